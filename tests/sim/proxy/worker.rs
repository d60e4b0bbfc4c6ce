//! A worker: obeys the route, tells every session, confirms.

use super::keeper::Keeper;
use crate::sim::{Event, Sim};
use crate::swarm::{Swarm, Us};
use segue::pure::command::Table;
use segue::pure::resp::request;
use segue::pure::session::{Limits, NoReplicas, Policy, Rounds, UncertainWrites, World};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// One worker thread.
pub(crate) struct Worker {
    pub(crate) world: World,
    pub(crate) confirmed: u64,
    /// The version that drains for which it has nothing in flight.
    pub(crate) drained: u64,
    pub(crate) keeper: Keeper,
    /// Until then its thread stands still.
    pub(crate) stuck_until: Us,
}

impl Worker {
    pub(crate) fn new(swarm: &Swarm) -> Self {
        static TABLE: OnceLock<Arc<Table>> = OnceLock::new();
        let table = Arc::clone(TABLE.get_or_init(|| Arc::new(Table::builtin())));
        let policy = Policy {
            hold_timeout: Duration::from_micros(swarm.hold_timeout),
            uncertain_writes: UncertainWrites::Refuse,
            shares: false,
            noreplicas: NoReplicas::Return,
            allow: Vec::new(),
            gap_channel: None,
            subscribers_first: Duration::from_millis(50),
        };
        let limits = Limits {
            in_flight_bytes_max: 1 << 20,
            in_flight_max: 1024,
            query_buffer_max: 1 << 20,
            reply_whole_max: 1 << 16,
            out_max: 1 << 20,
            request: request::Limits::DEFAULT,
        };
        let mut world = World::new(table, policy, limits, swarm.hold_bytes);
        world.rounds = swarm.guarded.map(Rounds::new).into_iter().collect();
        Self { world, confirmed: 0, drained: 0, keeper: Keeper::default(), stuck_until: 0 }
    }
}

impl Sim {
    /// The route that is in force *now* reaches a worker: a `watch` skips what is out of date.
    pub(crate) fn route_arrives(&mut self, proxy: usize, worker: usize, serial: u64) {
        if self.proxies[proxy].life != serial {
            return;
        }
        let route = self.proxies[proxy].route;
        if self.proxies[proxy].workers[worker].world.route == route {
            return;
        }
        self.proxies[proxy].workers[worker].world.set_route(route);
        for session in 0..self.sessions.len() {
            let it = &self.sessions[session];
            if it.proxy == proxy && it.worker == worker && !it.is_closed {
                self.session_sees_route(session);
            }
        }
        self.proxies[proxy].workers[worker].confirmed = route.version;
        let wait = self.rng.spread(20);
        self.after(wait, Event::Confirmed { proxy, serial });
        self.look_whether_drained(proxy, worker);
        self.keeper_moves(proxy, worker);
    }

    /// Tells the control plane, once, that nothing is in flight while the route drains.
    pub(crate) fn look_whether_drained(&mut self, proxy: usize, worker: usize) {
        let serial = self.proxies[proxy].life;
        let worker = &mut self.proxies[proxy].workers[worker];
        let version = worker.world.route.version;
        if worker.world.is_drained() && worker.drained != version {
            worker.drained = version;
            let wait = self.rng.spread(20);
            self.after(wait, Event::Drained { proxy, serial });
        }
    }
}
