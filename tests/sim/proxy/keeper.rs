//! Who asks replicas to confirm guarded writes: one connection a worker, one round at a time, as
//! `proxy::guard` does it (`ROLE`, a publication, `WAIT`).

use crate::data::replid;
use crate::network::End;
use crate::node::report::run_id;
use crate::node::{Link, Role};
use crate::sim::{Event, Sim};
use crate::swarm::{MS, SECOND, Us};
use segue::pure::session::Verdict;
use segue::pure::topology::{Acknowledged, Epoch, Gate, RunId};

/// How long connecting may take, and an answer beyond the time of the promise.
const DIAL_MAX: Us = SECOND;
const RETRY_AFTER: Us = 100 * MS;
/// How often a waiting node looks at what its replicas have said.
const LOOK_EVERY: Us = 2 * MS;
const BARRIER_BYTES: u64 = 30;

/// A connection to the primary of an epoch.
#[derive(Clone, Copy, Debug)]
struct Asked {
    epoch: Epoch,
    node: usize,
    run: u64,
    history: usize,
}

/// The keeper of one worker's promise.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    link: Option<Asked>,
    /// What is under way; an event of an older one says nothing.
    serial: u64,
    is_busy: bool,
    round: u64,
    epoch: Epoch,
    /// For which process the epoch was opened, as the route said.
    process: Option<RunId>,
    /// Since when a round is wanted that cannot begin.
    stuck: Option<Us>,
    /// What the control plane has not looked at yet.
    pub(crate) told: Option<Acknowledged>,
}

/// A round at the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    /// What `ROLE` said.
    offset: u64,
    /// What replicas must have.
    barrier: u64,
    until: Us,
}

impl Sim {
    fn keeper(&mut self, p: usize, w: usize) -> &mut Keeper {
        &mut self.proxies[p].workers[w].keeper
    }

    fn is_round_wanted(&self, p: usize, w: usize) -> bool {
        self.proxies[p].workers[w].world.rounds.first().is_some_and(|it| it.is_wanted())
    }

    /// Something changed: a reply is withheld, the route is new, a round is over.
    pub(crate) fn keeper_moves(&mut self, p: usize, w: usize) {
        if self.swarm.guarded.is_none() {
            return;
        }
        let (now, route) = (self.now, self.proxies[p].workers[w].world.route);
        let is_wanted = self.is_round_wanted(p, w);
        let serial = self.serial();
        let keeper = self.keeper(p, w);
        if keeper.is_busy && keeper.epoch == route.epoch {
            return;
        }
        if keeper.epoch != route.epoch {
            *keeper = Keeper {
                epoch: route.epoch,
                stuck: keeper.stuck,
                told: keeper.told,
                ..Keeper::default()
            };
        }
        keeper.serial = serial;
        if !is_wanted {
            keeper.stuck = None;
        }
        let link = keeper.link;
        match (link, route.primary()) {
            (None, Some(primary)) => {
                keeper.is_busy = true;
                keeper.process = Some(primary.process);
                let node = usize::from(primary.node.0);
                let wait = if self.is_in_reach(p, node) { 2 * self.delay() } else { DIAL_MAX };
                self.after(wait, Event::KeeperDialed { proxy: p, worker: w, serial, node });
            }
            (Some(link), _) if is_wanted && !matches!(route.gate, Gate::Held) => {
                let world = &mut self.proxies[p].workers[w].world;
                let round = world.rounds[0].begin();
                let keeper = self.keeper(p, w);
                keeper.is_busy = true;
                keeper.round = round;
                keeper.stuck.get_or_insert(now);
                let timeout = self.promise_timeout() + DIAL_MAX;
                let wait = self.delay();
                self.after(wait, Event::KeeperAsks { proxy: p, worker: w, serial, asked: None });
                self.after(timeout, Event::KeeperLost { proxy: p, worker: w, serial });
                self.trace(|| format!("worker {w} of proxy {p} begins round {round} at {link:?}"));
            }
            _ if is_wanted => {
                let stuck = *self.keeper(p, w).stuck.get_or_insert(now);
                let at = stuck + self.promise_timeout();
                self.at(at + 1, Event::KeeperStuck { proxy: p, worker: w, serial });
            }
            _ => {}
        }
    }

    fn promise_timeout(&self) -> Us {
        self.swarm.guarded.map_or(0, |it| super::micros(it.timeout))
    }

    pub(crate) fn keeper_dialed(&mut self, p: usize, w: usize, serial: u64, node: usize) {
        let (now, epoch) = (self.now, self.proxies[p].workers[w].world.route.epoch);
        let reaches = self.is_in_reach(p, node) && self.nodes[node].stopped_until <= now;
        let process = self.nodes[node].process.as_ref().filter(|_| reaches);
        let found = process.map(|it| (it.run, it.history));
        let is_sound = process.is_some_and(|it| it.is_primary() && it.loading.is_none())
            && self.nodes[node].impairment(now).is_none()
            && self.nodes[node].paused_until <= now;
        let keeper = self.keeper(p, w);
        if keeper.serial != serial || keeper.epoch != epoch {
            return;
        }
        keeper.is_busy = false;
        match found.filter(|_| is_sound) {
            Some((run, history)) if keeper.process == Some(run_id(run)) => {
                keeper.link = Some(Asked { epoch, node, run, history });
                self.keeper_moves(p, w);
            }
            another => {
                self.after(RETRY_AFTER, Event::KeeperStuck { proxy: p, worker: w, serial });
                if another.is_some() {
                    // Whoever could have confirmed what waits is gone.
                    return self.give_up(p, w);
                }
                if self.is_round_wanted(p, w) {
                    self.keeper(p, w).stuck.get_or_insert(now);
                }
            }
        }
    }

    /// Time is over, or it is time to connect again.
    pub(crate) fn keeper_stuck(&mut self, p: usize, w: usize, serial: u64) {
        let (now, timeout) = (self.now, self.promise_timeout());
        let keeper = self.keeper(p, w);
        if keeper.serial != serial || keeper.is_busy {
            return;
        }
        if keeper.stuck.is_some_and(|it| it + timeout <= now) {
            keeper.stuck = None;
            self.give_up(p, w);
        }
        self.keeper_moves(p, w);
    }

    /// The question is at the node, or waits there for its replicas.
    pub(crate) fn keeper_asks(&mut self, p: usize, w: usize, serial: u64, asked: Option<Question>) {
        let now = self.now;
        let timeout = self.promise_timeout();
        let keeper = self.keeper(p, w);
        if keeper.serial != serial {
            return;
        }
        let Some(Asked { node, run, .. }) = keeper.link else { return };
        let (there, back) = (End::Proxy(p), End::Node(node));
        let is_paused = self.nodes[node].paused_until > now;
        let is_up = self.nodes[node].host_up && self.network.passes(there, back);
        if !is_up || self.nodes[node].stopped_until > now {
            return self.after(20 * MS, Event::KeeperAsks { proxy: p, worker: w, serial, asked });
        }
        let Some(process) = self.nodes[node].process.as_mut().filter(|it| it.run == run) else {
            let wait = self.delay();
            return self.after(wait, Event::KeeperLost { proxy: p, worker: w, serial });
        };
        if asked.is_none() && is_paused {
            return self.after(5 * MS, Event::KeeperAsks { proxy: p, worker: w, serial, asked });
        }
        let is_sound = process.is_primary() && process.loading.is_none();
        let question = asked.unwrap_or_else(|| {
            let offset = process.offset;
            process.offset += BARRIER_BYTES;
            Question { offset, barrier: process.offset, until: now + timeout }
        });
        let replicas = self.confirming(node, run, question.barrier);
        let needed = self.swarm.guarded.map_or(0, |it| it.replicas);
        if is_sound && replicas < needed && now < question.until {
            let asked = Some(question);
            return self
                .after(LOOK_EVERY, Event::KeeperAsks { proxy: p, worker: w, serial, asked });
        }
        let is_enough = is_sound && replicas >= needed;
        let (offset, wait) = (question.offset, self.delay());
        self.after(wait, Event::KeeperHears { proxy: p, worker: w, serial, offset, is_enough });
    }

    /// Replicas of `node` that have said that they have everything up to `barrier`.
    fn confirming(&self, node: usize, run: u64, barrier: u64) -> u32 {
        let has = |other: &usize| {
            let process = self.nodes[*other].awake(self.now);
            process.is_some_and(|it| {
                let streams = matches!(it.role, Role::Replica { of, link: Link::Up { run: from, .. } }
                    if of == node && from == run);
                streams
                    && it.loading.is_none()
                    && it.offset >= barrier
                    && self.network.passes(End::Node(*other), End::Node(node))
            })
        };
        u32::try_from((0..self.nodes.len()).filter(has).count()).unwrap()
    }

    pub(crate) fn keeper_hears(
        &mut self,
        p: usize,
        w: usize,
        serial: u64,
        offset: u64,
        is_enough: bool,
    ) {
        let epoch = self.proxies[p].workers[w].world.route.epoch;
        let keeper = self.keeper(p, w);
        let Some(link) = keeper.link.filter(|it| keeper.serial == serial && it.epoch == epoch)
        else {
            return;
        };
        if !self.network.passes(End::Node(link.node), End::Proxy(p)) {
            return self.after(
                20 * MS,
                Event::KeeperHears { proxy: p, worker: w, serial, offset, is_enough },
            );
        }
        let keeper = self.keeper(p, w);
        keeper.is_busy = false;
        keeper.stuck = None;
        let round = keeper.round;
        if is_enough {
            // Before the first reply leaves.
            keeper.told = Some(Acknowledged { epoch, replid: replid(link.history), offset });
        }
        let verdict = if is_enough { Verdict::Confirmed } else { Verdict::Short };
        self.end_round(p, w, round, verdict);
        self.keeper_moves(p, w);
    }

    /// The connection is gone; the same process may be asked again.
    pub(crate) fn keeper_lost(&mut self, p: usize, w: usize, serial: u64) {
        let keeper = self.keeper(p, w);
        if keeper.serial != serial || !keeper.is_busy {
            return;
        }
        keeper.is_busy = false;
        keeper.link = None;
        let round = keeper.round;
        self.proxies[p].workers[w].world.rounds[0].again(round);
        self.keeper_moves(p, w);
    }

    fn give_up(&mut self, p: usize, w: usize) {
        if self.is_round_wanted(p, w) {
            let round = self.proxies[p].workers[w].world.rounds[0].begin();
            self.end_round(p, w, round, Verdict::Short);
        }
    }

    fn end_round(&mut self, p: usize, w: usize, round: u64, verdict: Verdict) {
        let told = self.proxies[p].workers[w].world.rounds[0].end(round);
        self.trace(|| format!("round {round} of worker {w}, proxy {p}: {verdict:?}"));
        for id in told {
            self.session_round(usize::try_from(id).unwrap(), round, verdict);
        }
    }
}
