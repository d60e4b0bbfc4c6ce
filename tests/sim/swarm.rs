//! What kind of run a seed gives: how many of everything, which faults, how often, how slow.

use crate::regime::Regime;
use crate::rng::Rng;
use segue::pure::detect;
use segue::pure::failover::{Guarded, Params, Rejoin, Witnessless};
use segue::pure::session::{GuardedReads, Promise};
use std::time::Duration;

/// Microseconds.
pub(crate) type Us = u64;

pub(crate) const MS: Us = 1_000;
pub(crate) const SECOND: Us = 1_000_000;

/// Kinds of faults. Each is on or off for a whole run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// A process is killed and comes back after a while.
    Kill,
    /// A host vanishes: nothing is refused, nothing answers.
    Vanish,
    /// A process stands still.
    Stop,
    /// Two ends cannot reach each other, both ways or one way.
    Cut,
    /// One proxy and the primary cannot reach each other.
    CutFromPrimary,
    /// A node is cut off from everybody.
    Isolate,
    /// Everything takes longer for a while.
    Slow,
    /// A node answers `-BUSY` or `-MISCONF`.
    Impair,
    /// Somebody turns roles behind the proxies' backs.
    Human,
    /// A proxy stands still as a whole.
    Doze,
    /// One worker of a proxy stands still.
    Stuck,
    /// A proxy is killed and comes back knowing nothing.
    Forget,
    /// No fault: an operator asks for a switchover.
    Switch,
    /// Several processes are killed at once, and come back each after a while.
    Blackout,
    /// Two nodes cannot reach each other.
    CutLink,
    /// The proxies and some of the replicas cannot reach the primary, and others can.
    CutAway,
    /// A replica stands still for a moment.
    Late,
    /// The network falls in two: who is on one side reaches nobody on the other.
    Split,
}

impl Fault {
    /// Those that every run may draw; the others belong to a [`Regime`].
    pub(crate) const ALL: [Self; 13] = [
        Self::Kill,
        Self::Vanish,
        Self::Stop,
        Self::Cut,
        Self::CutFromPrimary,
        Self::Isolate,
        Self::Slow,
        Self::Impair,
        Self::Human,
        Self::Doze,
        Self::Stuck,
        Self::Forget,
        Self::Switch,
    ];

    /// Whether a proxy, or a part of one, stands still.
    pub(crate) const fn stops_things(self) -> bool {
        matches!(self, Self::Doze | Self::Stuck)
    }
}

/// What a node keeps over a restart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Disk {
    /// Nothing.
    None,
    /// Snapshots, with the replication id in them.
    Snapshot,
    /// All writes, or all but those of the last second; no replication id.
    Log {
        /// Nothing is missing.
        always: bool,
    },
}

/// The drawn parameters.
#[derive(Clone, Debug)]
pub(crate) struct Swarm {
    pub(crate) nodes: usize,
    pub(crate) proxies: usize,
    pub(crate) workers: usize,
    pub(crate) clients: usize,
    pub(crate) params: Params,
    pub(crate) priorities: Vec<u32>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) fault_every: Us,
    pub(crate) chaos_for: Us,
    pub(crate) disk: Disk,
    /// Whether `CONFIG REWRITE` works, so that roles survive a restart.
    pub(crate) remembers_role: bool,
    pub(crate) latency: Us,
    pub(crate) spike_percent: u64,
    pub(crate) spike: Us,
    /// In so many of a hundred, an order's answer is lost though it was carried out.
    pub(crate) answer_lost_percent: u64,
    /// Bytes of an order that did not get through may still arrive after it was given up.
    pub(crate) late_orders: bool,
    pub(crate) pump_every: Us,
    pub(crate) apply_lag: Us,
    pub(crate) ping_every: Us,
    pub(crate) repl_timeout: Us,
    pub(crate) sync_for: Us,
    pub(crate) load_for: Us,
    pub(crate) backlog: u64,
    pub(crate) think: Us,
    pub(crate) hold_timeout: Us,
    /// Bytes that one worker may hold.
    pub(crate) hold_bytes: usize,
    /// Requests that a client has under way at most.
    pub(crate) pipeline: usize,
    /// Nothing goes wrong, and nobody may notice the switchovers.
    pub(crate) is_calm: bool,
    /// `durability:`, if writes are guarded.
    pub(crate) guarded: Option<Promise>,
    /// From a blink to longer than anything is waited for: about how long faults last.
    pub(crate) spans: [Us; 6],
    /// Whether replicas find in their files whom they follow, or were told so while they ran.
    pub(crate) files: bool,
    /// Nodes do not let the proxy cut a replica's connection.
    pub(crate) deaf: bool,
    /// Whoever starts cannot write to its disk for a while, and says so even while it loads.
    pub(crate) full_disk: bool,
    /// Every key has a time to live, much longer than the run.
    pub(crate) expiring: bool,
    /// Strikes the primary once all has healed, for good.
    pub(crate) last: Option<Fault>,
    /// A node that dies whenever it is told to be primary, and is back at once.
    pub(crate) dies_of_it: Option<usize>,
}

impl Swarm {
    /// The run of `seed`.
    pub(crate) fn of(seed: u64, rng: &mut Rng) -> Self {
        let mut swarm = Self::draw(rng);
        if let Some(regime) = Regime::of(seed) {
            regime.shape(&mut swarm, rng);
        }
        swarm
    }

    /// What was drawn for other numbers of nodes and proxies fits those of now.
    pub(crate) fn settle(&mut self, rng: &mut Rng) {
        let nodes = self.nodes;
        self.priorities.resize(nodes, 100);
        if let Some(promise) = &mut self.guarded {
            let others = u32::try_from(nodes - 1).unwrap();
            promise.replicas = promise.replicas.min(others);
            let always_quorum = self.params.guarded.is_some_and(|it| it.always_quorum);
            self.params.guarded = Some(Guarded {
                replicas_min: promise.replicas,
                always_quorum: always_quorum || self.proxies > 1,
            });
        }
        // Somebody can take over.
        if self.priorities.iter().all(|it| *it == 0) {
            self.priorities[rng.index(nodes)] = 100;
        }
    }

    fn draw(rng: &mut Rng) -> Self {
        let nodes = usize::try_from(rng.range(2, 5)).unwrap();
        let proxies = if rng.chance(75) { 1 } else { rng.pick(&[2, 3]) };
        let mut faults: Vec<Fault> = Fault::ALL.into_iter().filter(|_| rng.chance(35)).collect();
        if faults.is_empty() {
            faults.push(Fault::Kill);
        }
        let is_calm = rng.chance(8);
        if is_calm {
            faults = vec![Fault::Switch];
        }
        let guarded = (!is_calm && rng.chance(30)).then(|| promise(rng, nodes));
        let rule = guarded.map(|it| Guarded {
            replicas_min: it.replicas,
            always_quorum: proxies > 1 || rng.chance(20),
        });
        let priority = |_| if rng.chance(8) { 0 } else { rng.pick(&[100, 100, 100, 50]) };
        let priorities = (0..nodes).map(priority).collect();
        Self {
            nodes,
            proxies,
            workers: rng.pick(&[1, 1, 2]),
            clients: usize::try_from(rng.range(1, 3)).unwrap(),
            priorities,
            params: Params { guarded: rule, ..params(rng) },
            faults,
            fault_every: rng.pick(&[500, 1_000, 2_000, 4_000]) * MS,
            chaos_for: rng.range(6, 20) * SECOND,
            disk: rng.pick(&[
                Disk::None,
                Disk::Snapshot,
                Disk::Log { always: true },
                Disk::Log { always: false },
            ]),
            remembers_role: rng.chance(50),
            latency: rng.pick(&[50, 200, 1_000, 5_000]),
            spike_percent: if is_calm { 0 } else { rng.pick(&[0, 0, 1, 5]) },
            spike: rng.range(20, 400) * MS,
            answer_lost_percent: if is_calm { 0 } else { rng.pick(&[0, 0, 10, 40]) },
            late_orders: rng.chance(15),
            pump_every: rng.pick(&[2, 10, 30]) * MS,
            apply_lag: rng.pick(if is_calm { &[0, 5, 100] } else { &[0, 0, 5, 100, 600] }) * MS,
            ping_every: rng.pick(&[1, 1, 10]) * SECOND,
            repl_timeout: rng.pick(&[3, 10, 60]) * SECOND,
            sync_for: rng.pick(&[10, 100, 1_000, 3_000]) * MS,
            load_for: rng.pick(&[5, 50, 1_000]) * MS,
            backlog: rng.pick(&[500, 10_000, 1 << 20]),
            think: rng.pick(&[10, 30, 80]) * MS,
            hold_timeout: rng.pick(&[2, 5, 10]) * SECOND,
            hold_bytes: if is_calm { 1 << 26 } else { rng.pick(&[1 << 26, 1 << 26, 1 << 26, 600]) },
            pipeline: rng.pick(&[8, 8, 40]),
            is_calm,
            guarded,
            spans: [30 * MS, 150 * MS, 500 * MS, 1_200 * MS, 3 * SECOND, 8 * SECOND],
            files: true,
            deaf: false,
            full_disk: false,
            expiring: false,
            last: None,
            dies_of_it: None,
        }
    }
}

pub(crate) fn promise(rng: &mut Rng, nodes: usize) -> Promise {
    let replicas = if nodes > 2 { rng.pick(&[1, 1, 2]) } else { 1 };
    let timeout = Duration::from_millis(rng.pick(&[100, 500]));
    let reads = rng.pick(&[GuardedReads::Local, GuardedReads::Confirmed]);
    Promise { replicas, timeout, reads }
}

fn params(rng: &mut Rng) -> Params {
    let ms = Duration::from_millis;
    let interval = rng.pick(&[50, 100, 100, 200]);
    let down_after = rng.pick(&[600, 1_000, 1_000, 2_000]);
    Params {
        detect: detect::Params {
            interval: ms(interval),
            timeout: ms(rng.pick(&[300, 500])),
            suspect_after: ms(rng.pick(&[150, 200, 300])),
            down_after: ms(down_after),
            refused_after: ms(rng.pick(&[200, 300, 500])),
            rise: u32::try_from(rng.range(1, 3)).unwrap(),
            loading_after: ms(rng.pick(&[1_500, 4_000, 30_000])),
        },
        enabled: true,
        timeout: ms(10_000),
        parallel_syncs: rng.pick(&[1, 1, 2]),
        max_lag_bytes: rng.pick(&[2_000, 64 << 20, 64 << 20]),
        max_link_down: ms(rng.pick(&[3_000, 10_000, 10_000])),
        rejoin: Rejoin::Auto,
        discover: false,
        guarded: None,
        without_witness: rng.pick(&[Witnessless::Wait, Witnessless::Promote]),
        jitter: ms(rng.pick(&[0, 50, 50])),
        seed: rng.range(0, 1 << 40),
        fence: None,
    }
}
