//! The whole world of one run, its clock and its queue of events.
//!
//! One thread, one heap: at equal times the order is that of scheduling. Nothing reads a clock or
//! iterates over anything unordered, so a seed gives the same run each time, bit for bit.

use crate::client::Client;
use crate::data::{Data, Point};
use crate::invariant::Checker;
use crate::nemesis::Ending;
use crate::network::Network;
use crate::node::Node;
use crate::proxy::Proxy;
use crate::proxy::executor::{Reply, Stage};
use crate::proxy::keeper::Question;
use crate::proxy::session::Sess;
use crate::rng::Rng;
use crate::swarm::{MS, Swarm, Us};
use segue::pure::failover::Finding;
use segue::pure::time::Time;
use segue::pure::topology::Signal;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::Duration;

/// Many times what the longest run needs.
const EVENTS_MAX: u64 = 5_000_000;

/// What can happen. Numbers are positions: `proxy`, `node`, `session`, `client`; a `serial` tells
/// whether what was scheduled is still wanted.
#[derive(Debug)]
pub(crate) enum Event {
    Pump,
    Strike,
    Ends(Ending),
    Heal,
    Look,
    ProbeStarts { proxy: usize, node: usize, serial: u64 },
    ProbeArrives { proxy: usize, node: usize, serial: u64 },
    ProbeReplies { proxy: usize, node: usize, serial: u64, finding: Finding, point: Option<Point> },
    ProbeTimesOut { proxy: usize, node: usize, serial: u64 },
    Tick { proxy: usize, serial: u64 },
    OrderArrives { proxy: usize, job: u64, stage: Stage, tries: u32 },
    OrderReplies { proxy: usize, job: u64, stage: Stage, reply: Reply },
    OrderTimesOut { proxy: usize, job: u64, stage: Stage },
    RouteArrives { proxy: usize, worker: usize, serial: u64 },
    Confirmed { proxy: usize, serial: u64 },
    Drained { proxy: usize, serial: u64 },
    Asked { proxy: usize, serial: u64, to: Option<String>, timeout: Duration },
    Signalled { proxy: usize, serial: u64, signal: Signal },
    KeeperDialed { proxy: usize, worker: usize, serial: u64, node: usize },
    KeeperStuck { proxy: usize, worker: usize, serial: u64 },
    KeeperAsks { proxy: usize, worker: usize, serial: u64, asked: Option<Question> },
    KeeperHears { proxy: usize, worker: usize, serial: u64, offset: u64, is_enough: bool },
    KeeperLost { proxy: usize, worker: usize, serial: u64 },
    ClientSpeaks { client: usize },
    Dialed { session: usize, serial: u64 },
    FlowsToNode { session: usize, serial: u64 },
    FlowsToProxy { session: usize, serial: u64 },
    ConnectionEnds { session: usize, serial: u64 },
    SessionDue { session: usize, serial: u64 },
}

#[derive(Debug)]
struct Scheduled {
    at: Us,
    serial: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.serial) == (other.at, other.serial)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

/// A hash that takes anything that can be printed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Digest(u64);

impl Digest {
    const fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(5);
    }
}

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.add(u64::from(byte));
        }
        Ok(())
    }
}

/// The world.
pub(crate) struct Sim {
    pub(crate) now: Us,
    queue: BinaryHeap<Reverse<Scheduled>>,
    serial: u64,
    pub(crate) runs: u64,
    pub(crate) rng: Rng,
    pub(crate) swarm: Swarm,
    pub(crate) network: Network,
    pub(crate) data: Data,
    pub(crate) nodes: Vec<Node>,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) sessions: Vec<Sess>,
    pub(crate) clients: Vec<Client>,
    pub(crate) checker: Checker,
    pub(crate) healing_from: Option<Us>,
    /// Who does not come back.
    pub(crate) gone: Option<usize>,
    pub(crate) is_over: bool,
    pub(crate) events: u64,
    /// Of everything that happened, was decided and was answered, to compare two runs.
    pub(crate) digest: Digest,
    verbose: bool,
}

impl Sim {
    pub(crate) fn new(seed: u64, verbose: bool) -> Self {
        let mut rng = Rng::new(seed);
        let swarm = Swarm::of(seed, &mut rng);
        let mut sim = Self {
            now: 0,
            queue: BinaryHeap::new(),
            serial: 0,
            runs: 0,
            network: Network::new(&swarm),
            data: Data::default(),
            nodes: Vec::new(),
            proxies: Vec::new(),
            sessions: Vec::new(),
            clients: Vec::new(),
            checker: Checker::new(&swarm),
            healing_from: None,
            gone: None,
            is_over: false,
            events: 0,
            digest: Digest::default(),
            rng,
            swarm,
            verbose,
        };
        sim.set_up();
        sim
    }

    fn set_up(&mut self) {
        // History 0 is "nothing".
        self.data.begin();
        self.trace_swarm();
        for n in 0..self.swarm.nodes {
            let phase = self.rng.range(0, 999) * MS;
            let of = (n > 0).then_some(0);
            self.nodes.push(Node::new(self.swarm.priorities[n], phase, of));
            self.start_node(n);
        }
        for proxy in 0..self.swarm.proxies {
            self.proxies.push(Proxy::new(&self.swarm));
            self.start_proxy(proxy);
            for _ in 0..self.swarm.clients {
                let client = self.clients.len();
                self.clients.push(Client::new(proxy));
                self.after(self.swarm.think, Event::ClientSpeaks { client });
            }
        }
        self.after(0, Event::Pump);
        let first = 3_000 * MS + self.rng.spread(self.swarm.fault_every);
        self.after(first, Event::Strike);
        self.after(self.swarm.chaos_for + 3_000 * MS, Event::Heal);
    }

    fn trace_swarm(&self) {
        self.trace(|| format!("{:#?}", self.swarm));
    }

    /// Runs to the end; the first violation ends it.
    pub(crate) fn run(&mut self) {
        while !self.is_over && self.checker.violation.is_none() {
            let Some(Reverse(next)) = self.queue.pop() else { break };
            self.now = next.at;
            self.events += 1;
            self.digest.add(next.at ^ (next.serial << 20));
            if self.events > EVENTS_MAX {
                self.fail(
                    "endless",
                    format!("more than {EVENTS_MAX} events, now {:?}", next.event),
                );
            }
            self.happen(next.event);
        }
        self.check_end();
    }

    /// A number that was never used before.
    pub(crate) const fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(crate) fn after(&mut self, wait: Us, event: Event) {
        self.at(self.now + wait, event);
    }

    pub(crate) fn at(&mut self, at: Us, event: Event) {
        let (at, serial) = (at.max(self.now), self.serial());
        self.queue.push(Reverse(Scheduled { at, serial, event }));
    }

    /// The time as the code under test sees it.
    pub(crate) const fn time(&self) -> Time {
        Time::from_start(Duration::from_micros(self.now))
    }

    pub(crate) fn delay(&mut self) -> Us {
        self.network.delay(&mut self.rng)
    }

    /// Prints a line, when one seed is replayed for a human.
    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        if self.verbose {
            eprintln!("{:>10.4} {}", self.now as f64 / 1e6, line());
        }
    }

    /// A process that stands still takes nothing; what is for it waits until it goes on.
    fn waits_until(&self, event: &Event) -> Option<Us> {
        let (proxy, worker) = match event {
            Event::ProbeStarts { proxy, .. }
            | Event::ProbeReplies { proxy, .. }
            | Event::ProbeTimesOut { proxy, .. }
            | Event::Tick { proxy, .. }
            | Event::OrderReplies { proxy, .. }
            | Event::OrderTimesOut { proxy, .. }
            | Event::Confirmed { proxy, .. }
            | Event::Drained { proxy, .. }
            | Event::Asked { proxy, .. }
            | Event::Signalled { proxy, .. } => (*proxy, None),
            Event::RouteArrives { proxy, worker, .. }
            | Event::KeeperDialed { proxy, worker, .. }
            | Event::KeeperStuck { proxy, worker, .. }
            | Event::KeeperHears { proxy, worker, .. }
            | Event::KeeperLost { proxy, worker, .. } => (*proxy, Some(*worker)),
            Event::ClientSpeaks { client } => {
                let client = &self.clients[*client];
                (client.proxy, client.session.map(|it| self.sessions[it].worker))
            }
            Event::Dialed { session, .. }
            | Event::FlowsToProxy { session, .. }
            | Event::ConnectionEnds { session, .. }
            | Event::SessionDue { session, .. } => {
                let session = &self.sessions[*session];
                (session.proxy, Some(session.worker))
            }
            Event::Pump
            | Event::Strike
            | Event::Ends(_)
            | Event::Heal
            | Event::Look
            | Event::ProbeArrives { .. }
            | Event::KeeperAsks { .. }
            | Event::OrderArrives { .. }
            | Event::FlowsToNode { .. } => return None,
        };
        let proxy = &self.proxies[proxy];
        let stuck = worker.map_or(0, |it| proxy.workers[it].stuck_until);
        Some(proxy.asleep_until.max(stuck)).filter(|it| *it > self.now)
    }

    fn happen(&mut self, event: Event) {
        if let Some(until) = self.waits_until(&event) {
            return self.at(until, event);
        }
        match event {
            Event::Pump => {
                self.pump();
                self.note_roughness();
                self.after(self.swarm.pump_every, Event::Pump);
            }
            Event::Strike => self.strike(),
            Event::Ends(ending) => self.end_fault(ending),
            Event::Heal => self.heal(),
            Event::Look => self.check_healed(),
            Event::ProbeStarts { proxy, node, serial } => self.probe_starts(proxy, node, serial),
            Event::ProbeArrives { proxy, node, serial } => self.probe_arrives(proxy, node, serial),
            Event::ProbeReplies { proxy, node, serial, finding, point } => {
                if self
                    .network
                    .passes(crate::network::End::Node(node), crate::network::End::Proxy(proxy))
                {
                    self.probe_ends(proxy, node, serial, finding, point);
                }
            }
            Event::ProbeTimesOut { proxy, node, serial } => {
                self.probe_times_out(proxy, node, serial);
            }
            Event::Tick { proxy, serial } => self.tick(proxy, serial),
            Event::OrderArrives { proxy, job, stage, tries } => {
                self.order_arrives(proxy, job, stage, tries);
            }
            Event::OrderReplies { proxy, job, stage, reply } => {
                self.order_replies(proxy, job, stage, reply);
            }
            Event::OrderTimesOut { proxy, job, stage } => {
                self.order_times_out(proxy, job, stage);
            }
            Event::RouteArrives { proxy, worker, serial } => {
                self.route_arrives(proxy, worker, serial);
            }
            Event::Confirmed { proxy, serial } => self.confirmed(proxy, serial),
            Event::Drained { proxy, serial } => self.drained(proxy, serial),
            Event::Asked { proxy, serial, to, timeout } => self.asked(proxy, serial, to, timeout),
            Event::Signalled { proxy, serial, signal } => self.signalled(proxy, serial, signal),
            Event::KeeperDialed { proxy, worker, serial, node } => {
                self.keeper_dialed(proxy, worker, serial, node);
            }
            Event::KeeperStuck { proxy, worker, serial } => {
                self.keeper_stuck(proxy, worker, serial);
            }
            Event::KeeperAsks { proxy, worker, serial, asked } => {
                self.keeper_asks(proxy, worker, serial, asked);
            }
            Event::KeeperHears { proxy, worker, serial, offset, is_enough } => {
                self.keeper_hears(proxy, worker, serial, offset, is_enough);
            }
            Event::KeeperLost { proxy, worker, serial } => self.keeper_lost(proxy, worker, serial),
            Event::ClientSpeaks { client } => self.client_speaks(client),
            Event::Dialed { session, serial } => self.dialed(session, serial),
            Event::FlowsToNode { session, serial } => self.flows_to_node(session, serial),
            Event::FlowsToProxy { session, serial } => self.flows_to_proxy(session, serial),
            Event::ConnectionEnds { session, serial } => self.connection_ends(session, serial),
            Event::SessionDue { session, serial } => self.session_due(session, serial),
        }
    }
}
