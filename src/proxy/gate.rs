//! What all sessions of one worker share: the world of the session machines, the clock of the
//! turn, and who must be woken when the route changes.

use super::session::Seat;
use super::upstream::shared::Shared;
use crate::pure::session::{Key, Tally, World};
use crate::pure::time::Time;
use crate::pure::topology::{Route, Signal, SignalKind};
use crate::telemetry::metrics::WorkerCells;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};

/// Bytes read from a socket at once. What a session keeps is copied out; the buffer is the
/// worker's, so an idle session has none.
const SCRATCH_BYTES: usize = 64 * 1024;

/// One worker's shared part. Never borrowed across an `.await`.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) world: RefCell<World>,
    pub(super) cells: Arc<WorkerCells>,
    pub(super) scratch: RefCell<Box<[u8]>>,
    /// How long a connection to a node may take to be made.
    pub(super) dial_limit: Duration,
    /// Connections that sessions share, by what these have in common.
    pub(super) shared: RefCell<BTreeMap<Key, Rc<Shared>>>,
    /// Woken when a round of guarded writes is wanted, or the route is new.
    pub(super) guards: Vec<Notify>,
    draining: Cell<bool>,
    seats: RefCell<BTreeMap<u64, Seat>>,
    signals: mpsc::Sender<Signal>,
    drained: watch::Sender<u64>,
    started: Instant,
}

impl Gate {
    pub(super) fn new(
        world: World,
        cells: Arc<WorkerCells>,
        signals: mpsc::Sender<Signal>,
        drained: watch::Sender<u64>,
        dial_limit: Duration,
    ) -> Self {
        Self {
            guards: world.rounds.iter().map(|_| Notify::new()).collect(),
            world: RefCell::new(world),
            cells,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into()),
            dial_limit,
            shared: RefCell::default(),
            draining: Cell::new(false),
            seats: RefCell::default(),
            signals,
            drained,
            started: Instant::now(),
        }
    }

    /// The time for the session machines.
    pub(super) fn now(&self) -> Time {
        Time::from_start(self.started.elapsed())
    }

    /// The moment `at` on the runtime's clock.
    pub(super) fn instant(&self, at: Time) -> tokio::time::Instant {
        (self.started + at.since_start()).into()
    }

    /// Takes a new route and wakes every session to see it. A new epoch severs: what nodes have
    /// answered by now is taken in first, so that no request is uncertain whose reply is here.
    /// When this returns, no session of this
    /// worker can write to a node of an older epoch: the machines ask for the route's epoch in
    /// the same turn in which they write.
    pub(super) fn set_route(&self, route: Route) {
        if route.epoch != self.world.borrow().route.epoch {
            let now = self.now();
            for shared in self.shared.borrow().values() {
                shared.last_words(self, now);
            }
            for seat in self.seats.borrow().values() {
                seat.with(|it| it.last_words(now));
            }
        }
        self.world.borrow_mut().set_route(route);
        for shared in self.shared.borrow().values() {
            shared.on_route(self, route.epoch);
        }
        self.guards.iter().for_each(Notify::notify_one);
        self.wake_all();
    }

    /// From now on a session ends as soon as nothing is in flight.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        self.wake_all();
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// A session begins.
    pub(super) fn register(&self, seat: Seat) {
        self.seats.borrow_mut().insert(seat.id, seat);
    }

    /// The session of this number, if it is not over.
    pub(super) fn seat(&self, id: u64) -> Option<Seat> {
        self.seats.borrow().get(&id).cloned()
    }

    pub(super) fn forget(&self, id: u64) {
        self.seats.borrow_mut().remove(&id);
    }

    fn wake_all(&self) {
        for seat in self.seats.borrow().values() {
            seat.with(|it| it.wake());
        }
    }

    /// Tells the control plane what was seen of the primary. A hint: when the queue is full, it
    /// has hints enough.
    pub(super) fn signal(&self, kind: SignalKind) {
        let route = self.world.borrow().route;
        if let Some(primary) = route.primary() {
            let signal = Signal { epoch: route.epoch, node: primary.node, kind };
            let _full = self.signals.try_send(signal);
        }
    }

    /// Moves what the sessions counted into the metrics.
    pub(super) fn collect(&self) {
        let mut world = self.world.borrow_mut();
        self.cells.in_flight_requests.set(world.in_flight as u64);
        self.cells.in_flight_bytes.set(world.budget.used as u64);
        self.cells.hold_commands.set(world.held.commands as u64);
        self.cells.hold_bytes.set(world.held.bytes as u64);
        for (rounds, guard) in world.rounds.iter().zip(&self.guards) {
            self.cells.withheld_replies.set(world.withheld.replies as u64);
            self.cells.withheld_bytes.set(world.withheld.bytes as u64);
            if rounds.is_wanted() {
                guard.notify_one();
            }
        }
        if world.is_drained() {
            let version = world.route.version;
            self.drained.send_if_modified(|it| std::mem::replace(it, version) != version);
        }
        if world.tally == Tally::default() {
            return;
        }
        let tally = std::mem::take(&mut world.tally);
        let waits = std::mem::take(&mut world.hold_ended);
        drop(world);
        for wait in waits {
            self.cells.hold_seconds.observe(wait);
        }
        self.cells.add(&tally);
    }
}
