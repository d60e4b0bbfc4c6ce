//! A proxy: the real brain of the control plane, with probes, orders and workers made of events.

pub(crate) mod executor;
pub(crate) mod keeper;
pub(crate) mod prober;
pub(crate) mod session;
mod worker;

use crate::node::report::{PORT, host};
use crate::sim::{Event, Sim};
use crate::swarm::{Swarm, Us};
use executor::Job;
use prober::Prober;
use segue::pure::failover::{self, Action, Ask, Brain, Endpoint, NodeSpec, Note};
use segue::pure::time::Time;
use segue::pure::topology::{Route, Signal};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use worker::Worker;

/// One proxy process.
pub(crate) struct Proxy {
    pub(crate) brain: Brain,
    /// Which life of it this is.
    pub(crate) life: u64,
    /// Until then the whole process stands still.
    pub(crate) asleep_until: Us,
    pub(crate) probers: Vec<Prober>,
    pub(crate) jobs: BTreeMap<u64, Job>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) route: Route,
    tick: u64,
}

impl Proxy {
    pub(crate) fn new(swarm: &Swarm) -> Self {
        Self {
            brain: brain(swarm, Time::ZERO),
            life: 0,
            asleep_until: 0,
            probers: Vec::new(),
            jobs: BTreeMap::new(),
            workers: Vec::new(),
            route: Route::START,
            tick: 0,
        }
    }
}

fn brain(swarm: &Swarm, now: Time) -> Brain {
    let spec = |n: usize| NodeSpec {
        name: format!("n{n}"),
        address: Endpoint { host: host(n), port: PORT },
        replication: Endpoint { host: host(n), port: PORT },
        priority: None,
        configured: true,
    };
    Brain::new(swarm.params.clone(), "main".to_owned(), (0..swarm.nodes).map(spec).collect(), now)
}

impl Sim {
    /// Begins a life of proxy `p`: it knows its configuration and nothing else.
    pub(crate) fn start_proxy(&mut self, p: usize) {
        let life = self.serial();
        let time = self.time();
        let workers = (0..self.swarm.workers).map(|_| Worker::new(&self.swarm)).collect();
        self.proxies[p] =
            Proxy { brain: brain(&self.swarm, time), life, workers, ..Proxy::new(&self.swarm) };
        self.checker.reset_proxy(p, &self.swarm, self.now);
        for node in 0..self.swarm.nodes {
            let serial = self.serial();
            self.proxies[p].probers.push(Prober::new(serial));
            self.after(0, Event::ProbeStarts { proxy: p, node, serial });
        }
        self.step(p, failover::Event::Confirmed { version: 0 });
    }

    /// Hands one event to the brain and obeys, as `control::driver` does.
    pub(crate) fn step(&mut self, p: usize, event: failover::Event) {
        let time = self.time();
        self.check_step(p);
        // What workers have acknowledged is looked at after the event arrived.
        let workers = self.proxies[p].workers.iter_mut();
        for told in workers.filter_map(|it| it.keeper.told.take()).collect::<Vec<_>>() {
            self.note_told(p, told);
            self.proxies[p].brain.acknowledged(told);
        }
        let actions = self.proxies[p].brain.step(time, event);
        for action in actions {
            let _infallible = write!(self.digest, "{action:?}");
            self.check_action(p, &action);
            match action {
                Action::Publish(route) => self.publish(p, route),
                Action::Probe(node) => self.nudge(p, usize::from(node.0)),
                Action::Watch(_) => {}
                Action::Order(order) => self.order(p, order),
                Action::Note(note) => self.note(p, &note),
                // The notes say as much; nobody asks for an adoption or a fence here.
                Action::Tell(_) | Action::Adopted(_) | Action::Fence { .. } => {}
            }
        }
        self.check_stepped(p);
        let serial = self.serial();
        self.proxies[p].tick = serial;
        let deadline = self.proxies[p].brain.deadline().since_start();
        // The runtime's timers fire within the millisecond after their moment.
        let late = self.rng.range(0, 1_000);
        let at = u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX) + late;
        self.at(at, Event::Tick { proxy: p, serial });
    }

    fn note(&mut self, p: usize, note: &Note) {
        if !matches!(note, Note::HealthChanged { .. }) {
            self.trace(|| format!("proxy {p}: {note:?}"));
        } else {
            self.trace(|| format!("proxy {p}:   {note:?}"));
        }
        self.check_note(p, note);
    }

    pub(crate) fn tick(&mut self, p: usize, serial: u64) {
        if self.proxies[p].tick == serial {
            self.step(p, failover::Event::Tick);
        }
    }

    fn publish(&mut self, p: usize, route: Route) {
        self.trace(|| format!("proxy {p}: {route:?}"));
        self.proxies[p].route = route;
        let serial = self.proxies[p].life;
        for worker in 0..self.swarm.workers {
            let wait = self.rng.spread(50);
            self.after(wait, Event::RouteArrives { proxy: p, worker, serial });
        }
    }

    /// Every worker's word is in: the lowest version counts.
    pub(crate) fn confirmed(&mut self, p: usize, serial: u64) {
        if self.proxies[p].life == serial {
            let version = self.proxies[p].workers.iter().map(|it| it.confirmed).min().unwrap_or(0);
            self.step(p, failover::Event::Confirmed { version });
        }
    }

    /// Every worker has nothing in flight: the lowest version counts.
    pub(crate) fn drained(&mut self, p: usize, serial: u64) {
        if self.proxies[p].life == serial {
            let version = self.proxies[p].workers.iter().map(|it| it.drained).min().unwrap_or(0);
            self.step(p, failover::Event::Drained { version });
        }
    }

    /// An operator asks proxy `p` for a switchover; like the driver, it looks at everybody first.
    pub(crate) fn ask_switchover(&mut self, p: usize) {
        if self.proxies[p].brain.is_switching() {
            return;
        }
        for node in 0..self.swarm.nodes {
            self.nudge(p, node);
        }
        let to = self.rng.chance(60).then(|| format!("n{}", self.rng.index(self.swarm.nodes)));
        let timeout = self.rng.pick(&[300, 1_000, 5_000]);
        let timeout = Duration::from_millis(if self.swarm.is_calm { 5_000 } else { timeout });
        let (wait, serial) = (2 * self.delay() + 100, self.proxies[p].life);
        self.after(wait, Event::Asked { proxy: p, serial, to, timeout });
    }

    pub(crate) fn asked(&mut self, p: usize, serial: u64, to: Option<String>, timeout: Duration) {
        if self.proxies[p].life == serial {
            let ask = Ask { to, timeout, ..Ask::default() };
            self.step(p, failover::Event::Asked(ask));
        }
    }

    pub(crate) fn signalled(&mut self, p: usize, serial: u64, signal: Signal) {
        if self.proxies[p].life == serial {
            self.step(p, failover::Event::Signalled(signal));
        }
    }
}

pub(crate) fn micros(span: Duration) -> Us {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
