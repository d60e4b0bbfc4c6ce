//! What a share of the seeds is about: situations that take several rare things at once.
//!
//! Uniform chance seldom brings together what a rule is for: a lagging replica that is alone with its
//! proxy while the one that confirmed is cut off; a group whose rack loses power. So two seeds in five
//! are shaped by one of these, after all was drawn as for the others; what they do not fix stays drawn.
//! The other three in five draw from everything.

use crate::rng::Rng;
use crate::swarm::{Disk, Fault, MS, SECOND, Swarm, promise};
use segue::pure::failover::{Guarded, Witnessless};
use std::time::Duration;

/// What a run is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Regime {
    /// A guarded group under kills and cuts, with replicas that lag and keys that prove nothing.
    Guarded,
    /// Several proxies, and networks that fall in two.
    Several,
    /// Many nodes are gone at once, and come back with what their disks have, as what their files say.
    Blackout,
    /// Replicas that cannot be asked about their primary, or are late with what they have to say.
    Deaf,
    /// Processes that are back at once, with less; and slow orders.
    Reborn,
    /// One primary after the other falls silent, and comes back as a primary.
    Chase,
    /// Once all has healed, the primary is gone for good; and a replica may die of its promotion.
    Last,
}

impl Regime {
    const ALL: [Self; 7] = [
        Self::Guarded,
        Self::Several,
        Self::Blackout,
        Self::Deaf,
        Self::Reborn,
        Self::Chase,
        Self::Last,
    ];

    /// What `seed` is about, if it is about anything.
    pub(crate) fn of(seed: u64) -> Option<Self> {
        let turn = match seed % 5 {
            1 => seed / 5 * 2,
            4 => seed / 5 * 2 + 1,
            _ => return None,
        };
        Some(Self::ALL[usize::try_from(turn % Self::ALL.len() as u64).unwrap()])
    }

    /// Makes `swarm` a run of this kind.
    pub(crate) fn shape(self, swarm: &mut Swarm, rng: &mut Rng) {
        if swarm.is_calm {
            return;
        }
        swarm.params.max_lag_bytes = 64 << 20;
        match self {
            Self::Guarded => guarded(swarm, rng),
            Self::Several => several(swarm, rng),
            Self::Blackout => blackout(swarm, rng),
            Self::Deaf => deaf(swarm, rng),
            Self::Reborn => reborn(swarm, rng),
            Self::Chase => chase(swarm, rng),
            Self::Last => last(swarm, rng),
        }
        swarm.settle(rng);
    }
}

/// Some of these, but always the first.
fn some(rng: &mut Rng, faults: &[Fault]) -> Vec<Fault> {
    let first = faults[0];
    faults.iter().copied().filter(|it| *it == first || rng.chance(55)).collect()
}

fn guarded(swarm: &mut Swarm, rng: &mut Rng) {
    use Fault::{Cut, CutFromPrimary, CutLink, Forget, Isolate, Kill, Late, Stop, Vanish};
    swarm.nodes = rng.pick(&[3, 3, 4, 5]);
    swarm.proxies = rng.pick(&[1, 1, 1, 2]);
    swarm.guarded = Some(promise(rng, swarm.nodes));
    swarm.params.guarded = swarm.guarded.map(|it| Guarded {
        replicas_min: it.replicas,
        always_quorum: swarm.proxies > 1 || rng.chance(30),
    });
    swarm.faults =
        some(rng, &[Kill, CutLink, Late, Cut, CutFromPrimary, Isolate, Vanish, Stop, Forget]);
    swarm.fault_every = rng.pick(&[500, 1_000]) * MS;
    if rng.chance(50) {
        expiring(swarm, rng);
    }
    swarm.apply_lag = rng.pick(&[0, 5, 100]) * MS;
}

/// Keys say nothing, and a primary is back before anybody was promoted. Nobody forgets: what a proxy
/// that knows nothing makes of such keys is told in the README.
fn expiring(swarm: &mut Swarm, rng: &mut Rng) {
    swarm.expiring = true;
    swarm.faults.retain(|it| *it != Fault::Forget);
    swarm.disk = Disk::Log { always: false };
    swarm.sync_for = rng.pick(&[1, 3]) * SECOND;
    swarm.spans = [30 * MS, 150 * MS, 150 * MS, 500 * MS, 1_200 * MS, 3 * SECOND];
}

fn several(swarm: &mut Swarm, rng: &mut Rng) {
    use Fault::{CutFromPrimary, Doze, Isolate, Kill, Split, Stop};
    swarm.nodes = rng.pick(&[3, 3, 4, 5]);
    swarm.proxies = rng.pick(&[2, 2, 3]);
    swarm.faults = some(rng, &[Split, CutFromPrimary, Isolate, Kill, Stop, Doze]);
    swarm.fault_every = rng.pick(&[1_000, 2_000, 4_000]) * MS;
    swarm.spans = [500 * MS, 1_200 * MS, 3 * SECOND, 3 * SECOND, 8 * SECOND, 8 * SECOND];
}

fn blackout(swarm: &mut Swarm, rng: &mut Rng) {
    use Fault::{Blackout, Cut, CutLink, Human, Impair, Kill};
    swarm.nodes = rng.pick(&[2, 2, 3, 4]);
    swarm.proxies = 1;
    swarm.faults = some(rng, &[Blackout, Kill, Impair, Impair, Cut, CutLink, Human]);
    swarm.fault_every = rng.pick(&[500, 1_000, 2_000]) * MS;
    (swarm.files, swarm.remembers_role) = (rng.chance(50), rng.chance(30));
    swarm.disk = rng.pick(&[Disk::Snapshot, Disk::Snapshot, Disk::Log { always: false }]);
    swarm.load_for = rng.pick(&[5, 300, 1_000]) * MS;
    swarm.full_disk = rng.chance(40);
    swarm.spans = [30 * MS, 150 * MS, 150 * MS, 500 * MS, 1_200 * MS, 3 * SECOND];
}

fn deaf(swarm: &mut Swarm, rng: &mut Rng) {
    use Fault::{Cut, CutAway, CutFromPrimary, CutLink, Isolate, Kill, Late, Slow, Stop, Vanish};
    swarm.nodes = rng.pick(&[3, 3, 4]);
    swarm.proxies = 1;
    swarm.faults = vec![CutAway, CutAway, CutLink, Late, Late];
    swarm.faults.extend(
        [CutFromPrimary, Stop, Vanish, Kill, Slow, Cut, Isolate].iter().filter(|_| rng.chance(35)),
    );
    swarm.repl_timeout = rng.pick(&[3, 3, 10]) * SECOND;
    swarm.fault_every = rng.pick(&[500, 1_000]) * MS;
    swarm.deaf = rng.chance(50);
    swarm.params.without_witness = rng.pick(&[Witnessless::Promote, Witnessless::Wait]);
    swarm.params.detect.down_after = Duration::from_millis(rng.pick(&[600, 1_000]));
    swarm.ping_every = rng.pick(&[1, 1, 10]) * SECOND;
    // Who is not wanted as primary can speak for it all the same.
    swarm.priorities = (0..swarm.nodes).map(|_| rng.pick(&[0, 100, 100, 50])).collect();
    swarm.spans = [500 * MS, 1_200 * MS, 3 * SECOND, 3 * SECOND, 8 * SECOND, 8 * SECOND];
}

fn reborn(swarm: &mut Swarm, rng: &mut Rng) {
    use Fault::{Cut, Impair, Kill, Late, Slow, Stuck};
    swarm.nodes = rng.pick(&[2, 3, 3, 4]);
    swarm.proxies = 1;
    swarm.faults = some(rng, &[Kill, Slow, Late, Impair, Cut, Stuck]);
    swarm.disk = rng.pick(&[Disk::None, Disk::Log { always: false }, Disk::Snapshot]);
    swarm.latency = rng.pick(&[200, 1_000, 5_000]);
    swarm.spike_percent = 5;
    swarm.sync_for = rng.pick(&[10, 30, 100]) * MS;
    swarm.load_for = rng.pick(&[5, 20]) * MS;
    swarm.answer_lost_percent = rng.pick(&[0, 10, 40]);
    swarm.spans = [30 * MS, 30 * MS, 30 * MS, 150 * MS, 150 * MS, 500 * MS];
}

fn chase(swarm: &mut Swarm, rng: &mut Rng) {
    use Fault::{Blackout, CutFromPrimary, CutLink, Isolate, Kill, Late, Stop};
    swarm.nodes = rng.pick(&[3, 3, 4]);
    swarm.proxies = 1;
    swarm.faults = vec![Stop, Kill, CutLink, CutLink];
    swarm
        .faults
        .extend([CutFromPrimary, Late, Isolate, Blackout].iter().filter(|_| rng.chance(35)));
    swarm.fault_every = rng.pick(&[500, 1_000]) * MS;
    (swarm.files, swarm.remembers_role) = (rng.chance(50), rng.chance(30));
    swarm.disk = rng.pick(&[Disk::Snapshot, Disk::Snapshot, Disk::Log { always: false }]);
    swarm.params.detect.down_after = Duration::from_millis(rng.pick(&[600, 1_000]));
    swarm.params.without_witness = Witnessless::Promote;
    swarm.spans = [150 * MS, 500 * MS, 1_200 * MS, 3 * SECOND, 3 * SECOND, 8 * SECOND];
}

fn last(swarm: &mut Swarm, rng: &mut Rng) {
    use Fault::{Kill, Stop, Vanish};
    swarm.nodes = rng.pick(&[3, 3, 4]);
    swarm.proxies = rng.pick(&[1, 1, 1, 2]);
    swarm.chaos_for = rng.range(2, 8) * SECOND;
    swarm.last = Some(rng.pick(&[Kill, Stop, Vanish]));
    swarm.priorities = vec![100; swarm.nodes];
    // It is wanted most, and has something when it is back.
    if rng.chance(60) {
        let node = 1 + rng.index(swarm.nodes - 1);
        swarm.disk = Disk::Snapshot;
        swarm.priorities[node] = 50;
        swarm.dies_of_it = Some(node);
        // Its word is not counted for a quorum, once it was restarted.
        (swarm.guarded, swarm.params.guarded) = (None, None);
    }
}
