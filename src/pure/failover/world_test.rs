//! A small world for the brain's tests: nodes with histories, a network, workers, and a clock,
//! all in virtual time. It checks the safety invariants at every step.

use super::*;
use crate::pure::detect;
use crate::pure::time::Time;
use crate::pure::topology::{
    Epoch, Follower, Gate, Link, LinkState, NodeId, ReplId, Report, Role, Route, RunId, Signal,
    SignalKind,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

#[path = "world_check_test.rs"]
mod check;
#[path = "world_fault_test.rs"]
mod fault;
#[path = "world_probe_test.rs"]
mod probe;

const STEP_MS: u64 = 10;
const INTERVAL_MS: u64 = 100;
const TIMEOUT_MS: u64 = 500;
const SYNC_MS: u64 = 300;

pub(super) fn params() -> Params {
    Params {
        detect: detect::Params {
            interval: Duration::from_millis(INTERVAL_MS),
            timeout: Duration::from_millis(TIMEOUT_MS),
            suspect_after: Duration::from_millis(200),
            down_after: Duration::from_secs(1),
            refused_after: Duration::from_millis(300),
            rise: 2,
            loading_after: Duration::from_secs(5),
        },
        enabled: true,
        timeout: Duration::from_secs(10),
        parallel_syncs: 1,
        max_lag_bytes: 1 << 20,
        max_link_down: Duration::from_secs(10),
        rejoin: Rejoin::Auto,
        discover: false,
        guarded: None,
        without_witness: Witnessless::Wait,
        jitter: Duration::ZERO,
        seed: 1,
        fence: None,
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Life {
    Running,
    Hung,
    Dead,
}

/// What happens to the world.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Kill(usize),
    /// With its keys (an append-only file: new history id) or empty; following its last
    /// primary, or on its own.
    Restart {
        node: usize,
        keeps_keys: bool,
        alone: bool,
    },
    Hang(usize),
    Resume(usize),
    /// Between Segue and the node only.
    Cut(usize),
    Heal(usize),
    Signal(SignalKind),
    /// The next order gets no answer; it is carried out or not.
    LoseAnswer {
        carried_out: bool,
    },
    SlowWorker(u64),
    Stall(u64),
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) life: Life,
    pub(super) is_cut: bool,
    run: u64,
    pub(super) follows: Option<usize>,
    pub(super) replid: u64,
    pub(super) descends: Option<(u64, u64)>,
    pub(super) offset: u64,
    pub(super) keys: u64,
    /// Refuses us, and nobody else.
    pub(super) is_refusing: bool,
    /// Bytes that it has received and not applied.
    pub(super) undrained: u64,
    /// Its link is cut: it gets nothing any more.
    pub(super) is_frozen: bool,
    /// Its keys have a time to live.
    pub(super) is_cache: bool,
    /// It does not let its link be cut.
    pub(super) keeps_link: bool,
    /// It answers an error on a new connection, and does not say who it is.
    pub(super) is_stranger: bool,
    pub(super) is_loading: bool,
    /// It answers an error that proves a live process, and says in its report that it loads.
    pub(super) says_loading: bool,
    link_up: bool,
    link_down_from: Option<u64>,
    pub(super) sync_until: Option<u64>,
    io_at: u64,
    /// Orders that arrived while it hung.
    inbox: Vec<Order>,
}

enum Item {
    Ask(usize),
    Tell(Event),
    Carry(Order),
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) brain: Brain,
    pub(super) nodes: Vec<Node>,
    queue: BTreeMap<(u64, u64), Item>,
    seq: u64,
    next_id: u64,
    pub(super) route: Route,
    confirmed: u64,
    drained: u64,
    pub(super) drain_ms: u64,
    confirm_ms: u64,
    lose_answer: Option<bool>,
    stalled_until: u64,
    pub(super) notes: Vec<Note>,
    pub(super) promoted: Vec<(Epoch, NodeId)>,
    opened: BTreeMap<Epoch, (NodeId, RunId)>,
    /// Which process said `role:master` in the last report that was delivered, if it did.
    told_primary: Vec<Option<RunId>>,
    pub(super) orders: Vec<Order>,
    pub(super) told: Vec<Progress>,
    pub(super) adopted: Vec<Adoption>,
    pub(super) fencings: Vec<(NodeId, Fencing)>,
    /// Until when each node is paused.
    pub(super) paused: Vec<u64>,
}

fn endpoint(node: usize) -> Endpoint {
    Endpoint { host: "10.0.0.1".to_owned(), port: 7001 + u16::try_from(node).expect("few") }
}

fn id(n: usize) -> NodeId {
    NodeId(u16::try_from(n).expect("few"))
}

fn hex(n: u64) -> String {
    format!("{n:040x}")
}

impl World {
    /// Node 0 is the primary, the others are in step with it.
    pub(super) fn new(count: usize, params: Params) -> Self {
        let specs = (0..count)
            .map(|n| NodeSpec {
                name: format!("n{n}"),
                address: endpoint(n),
                replication: endpoint(n),
                priority: None,
                configured: true,
            })
            .collect();
        let node = |n: usize| Node {
            life: Life::Running,
            is_cut: false,
            run: 100 + n as u64,
            follows: (n > 0).then_some(0),
            replid: 1,
            descends: None,
            offset: 1000,
            keys: 100,
            is_refusing: false,
            undrained: 0,
            is_frozen: false,
            is_cache: false,
            is_stranger: false,
            is_loading: false,
            says_loading: false,
            keeps_link: false,
            link_up: n > 0,
            link_down_from: None,
            sync_until: None,
            io_at: 0,
            inbox: Vec::new(),
        };
        let mut world = Self {
            now: 0,
            brain: Brain::new(params, "main".to_owned(), specs, Time::ZERO),
            nodes: (0..count).map(node).collect(),
            queue: BTreeMap::new(),
            seq: 0,
            next_id: 1000,
            route: Route::START,
            confirmed: 0,
            drained: 0,
            drain_ms: 1,
            confirm_ms: 1,
            lose_answer: None,
            stalled_until: 0,
            notes: Vec::new(),
            promoted: Vec::new(),
            opened: BTreeMap::new(),
            told_primary: vec![None; count],
            orders: Vec::new(),
            told: Vec::new(),
            adopted: Vec::new(),
            fencings: Vec::new(),
            paused: vec![0; count],
        };
        for n in 0..count {
            world.push(0, Item::Ask(n));
        }
        world
    }

    fn push(&mut self, after_ms: u64, item: Item) {
        self.seq += 1;
        self.queue.insert((self.now + after_ms, self.seq), item);
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Lets `ms` of virtual time pass.
    pub(super) fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            let beat = self.now - self.now % STEP_MS + STEP_MS;
            let due = self.queue.keys().next().map_or(u64::MAX, |it| it.0);
            let awake = self.brain_at();
            let next = beat.min(due).min(awake).min(end).max(self.now);
            self.now = next;
            while let Some(entry) = self.queue.first_entry().filter(|it| it.key().0 <= self.now) {
                let item = entry.remove();
                self.handle(item);
            }
            if self.now >= self.brain_at() {
                self.step(Event::Tick);
            }
            if self.now.is_multiple_of(STEP_MS) {
                self.live();
            }
        }
    }

    fn brain_at(&self) -> u64 {
        let at = self.brain.deadline().since_start();
        // Timers have whole milliseconds here, and never go off early.
        let ms = u64::try_from(at.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        ms.max(self.stalled_until)
    }

    fn handle(&mut self, item: Item) {
        match item {
            Item::Ask(n) => self.ask(n),
            Item::Tell(event) if self.now < self.stalled_until => {
                let wait = self.stalled_until - self.now;
                self.push(wait, Item::Tell(event));
            }
            Item::Tell(event) => {
                if let Event::Probed(Probed { node, finding: Finding::Good(report), .. }) = &event {
                    let run_id = report.is_primary().then_some(report.run_id);
                    self.told_primary[usize::from(node.0)] = run_id;
                }
                if let Event::Confirmed { version } = event {
                    self.confirmed = self.confirmed.max(version);
                }
                if let Event::Drained { version } = event {
                    self.drained = self.drained.max(version);
                }
                self.step(event);
            }
            Item::Carry(order) => self.carry(order),
        }
    }

    pub(super) fn step(&mut self, event: Event) {
        let actions = self.brain.step(Time::from_millis(self.now), event);
        for action in actions {
            match action {
                Action::Publish(route) => self.published(route),
                Action::Probe(node) => self.push(0, Item::Ask(usize::from(node.0))),
                Action::Watch(_) => {}
                Action::Order(order) => {
                    self.check_order(&order);
                    self.orders.push(order.clone());
                    self.push(1, Item::Carry(order));
                }
                Action::Note(note) => self.notes.push(note),
                Action::Tell(progress) => self.told.push(progress),
                Action::Adopted(account) => self.adopted.push(account),
                Action::Fence { node, fencing } => self.fencings.push((node, fencing)),
            }
        }
    }

    /// Ten milliseconds of clients and replication.
    fn live(&mut self) {
        if let Some(primary) = self.route.primary() {
            let node = &mut self.nodes[usize::from(primary.node.0)];
            if node.life == Life::Running && node.follows.is_none() {
                node.offset += 10;
                node.keys += 1;
            }
        }
        for n in 0..self.nodes.len() {
            self.replicate(n);
        }
    }

    fn replicate(&mut self, n: usize) {
        let Some(primary) = self.nodes[n].follows else { return };
        if self.nodes[n].life != Life::Running {
            return;
        }
        let from = self.nodes[primary].clone();
        let (now, node) = (self.now, &mut self.nodes[n]);
        if from.life == Life::Dead && node.undrained > 0 {
            node.offset += 10.min(node.undrained);
            node.undrained = node.undrained.saturating_sub(10);
            return;
        }
        if from.life == Life::Dead || node.is_frozen {
            if node.link_up {
                node.link_down_from = Some(now);
            }
            node.link_up = false;
            node.sync_until = None;
            return;
        }
        // A replica that is not in step itself answers `-NOMASTERLINK`.
        if from.life == Life::Hung || (from.follows.is_some() && !from.link_up) {
            return;
        }
        let is_same = node.replid == from.replid && node.offset <= from.offset;
        let is_prefix =
            from.descends.is_some_and(|(parent, fork)| node.replid == parent && node.offset < fork);
        if is_same || is_prefix {
            node.replid = from.replid;
            node.descends = from.descends;
        } else if let Some(until) = node.sync_until {
            if now < until {
                return;
            }
            node.sync_until = None;
            (node.replid, node.descends) = (from.replid, from.descends);
        } else {
            node.sync_until = Some(now + SYNC_MS);
            node.link_up = false;
            return;
        }
        if node.offset != from.offset || !node.link_up {
            node.io_at = now;
        }
        node.offset = from.offset - node.undrained;
        (node.keys, node.link_up) = (from.keys, true);
    }

    fn carry(&mut self, order: Order) {
        let n = usize::from(order.node().0);
        let (life, is_cut) = (self.nodes[n].life, self.nodes[n].is_cut);
        let outcome = |outcome| Item::Tell(Event::Ordered { order: order.clone(), outcome });
        if is_cut {
            return self.push(1000, outcome(Outcome::NotSent("no connection".to_owned())));
        }
        if self.nodes[n].keeps_link && matches!(order, Order::Reconnect { .. }) {
            return self.push(1, outcome(Outcome::Refused("NOPERM".to_owned())));
        }
        if life == Life::Running && self.is_another(n, &order) {
            return self.push(1, outcome(Outcome::Refused("restarted".to_owned())));
        }
        match life {
            Life::Dead => self.push(1, outcome(Outcome::NotSent("refused".to_owned()))),
            Life::Hung => {
                self.push(1000, outcome(Outcome::Unknown));
                self.nodes[n].inbox.push(order);
            }
            Life::Running => match self.lose_answer.take() {
                Some(carried_out) => {
                    self.push(1000, outcome(Outcome::Unknown));
                    if carried_out {
                        self.obey(&order);
                    }
                }
                None => {
                    self.push(1, outcome(Outcome::Done));
                    self.obey(&order);
                }
            },
        }
    }

    fn obey(&mut self, order: &Order) {
        match order {
            Order::Promote { node, .. } => self.promote_by_hand(usize::from(node.0)),
            Order::Follow { node, primary, .. } => {
                let (n, primary) = (usize::from(node.0), usize::from(primary.0));
                if self.nodes[n].follows == Some(primary) {
                    return;
                }
                // A server that is demoted drops its own replicas first.
                for follower in self.nodes.iter_mut().filter(|it| it.follows == Some(n)) {
                    follower.link_up = false;
                    follower.link_down_from = Some(self.now);
                }
                let node = &mut self.nodes[n];
                node.follows = Some(primary);
                (node.sync_until, node.link_up, node.link_down_from) =
                    (None, false, Some(self.now));
            }
            Order::Pause { node, span } => {
                let ms = u64::try_from(span.as_millis()).expect("short");
                self.paused[usize::from(node.0)] = self.now + ms;
            }
            Order::Unpause { node } => self.paused[usize::from(node.0)] = 0,
            Order::Reconnect { node } => {
                let node = &mut self.nodes[usize::from(node.0)];
                (node.link_up, node.link_down_from) = (false, Some(self.now));
            }
        }
    }
}
