//! What all sessions of one worker share: the world of the session machines, the clock of the
//! turn, and who must be woken when the route changes.

use super::session::Seat;
use super::turn;
use super::upstream::shared::Shared;
use crate::net::Pipe;
use crate::pure::session::{Key, World};
use crate::pure::time::Time;
use crate::pure::topology::Gate::Held;
use crate::pure::topology::{Epoch, Route, Signal, SignalKind};
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

/// Set in the version of a route that a worker gave itself.
const OWN_VERSION: u64 = 1 << 63;
/// Large replies that pass through the kernel at a time; each takes two descriptors.
pub(super) const PIPES_MAX: usize = 32;

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
    /// Told when sessions that waited for subscribers may go on.
    pub(super) released: Notify,
    /// Woken when a round of guarded writes is wanted, or the route is new.
    pub(super) guards: Vec<Notify>,
    /// Those of them to which nobody new may come.
    retired: RefCell<Vec<Rc<Shared>>>,
    /// Pipes that nobody uses, and how many there are in all.
    pipes: RefCell<Vec<Pipe>>,
    pipe_count: Cell<usize>,
    draining: Cell<bool>,
    seats: RefCell<BTreeMap<u64, Seat>>,
    /// Sessions that may have memory to give back.
    warm: RefCell<Vec<u64>>,
    signals: mpsc::Sender<Signal>,
    drained: watch::Sender<u64>,
    started: Instant,
    /// When the clock was read last.
    turn_at: Cell<Time>,
    /// When this worker was seen running last.
    beat_at: Cell<Time>,
    /// Standing still for so long, it may have missed a change of primary.
    stall_min: Duration,
}

impl Gate {
    pub(super) fn new(
        world: World,
        cells: Arc<WorkerCells>,
        signals: mpsc::Sender<Signal>,
        drained: watch::Sender<u64>,
        dial_limit: Duration,
        stall_min: Duration,
    ) -> Self {
        Self {
            released: Notify::new(),
            guards: world.rounds.iter().map(|_| Notify::new()).collect(),
            world: RefCell::new(world),
            cells,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into()),
            dial_limit,
            shared: RefCell::default(),
            retired: RefCell::default(),
            pipes: RefCell::default(),
            pipe_count: Cell::new(0),
            draining: Cell::new(false),
            seats: RefCell::default(),
            warm: RefCell::default(),
            signals,
            drained,
            started: Instant::now(),
            turn_at: Cell::new(Time::ZERO),
            beat_at: Cell::new(Time::ZERO),
            stall_min,
        }
    }

    /// Begins a turn. The stall guard of the data plane: a worker that stood still may have
    /// missed that the primary was replaced, and the control plane may have stood still with it.
    /// What it knows is then worth nothing until the control plane, having asked, says it again:
    /// nothing is written to a node before a newer route arrives. Called at the beginning of
    /// every turn that may write, before a session writes at once, and by the worker's beat.
    pub(super) fn turn(&self, now: Time) {
        let slept = now.since(self.beat_at.replace(now));
        if slept < self.stall_min || self.world.borrow().route.primary().is_none() {
            return;
        }
        // A hint like any other: it is answered by a probe, and then by a newer route.
        self.signal(SignalKind::Unreachable);
        let mut world = self.world.borrow_mut();
        let route = world.route;
        // A version that nobody publishes: each session sees at its next turn that something has
        // changed. Nobody is woken for it; this may be called from within a session's own turn.
        world.set_route(Route { version: route.version | OWN_VERSION, gate: Held, ..route });
    }

    /// The time by the clock. Whoever is about to write to a node asks for it, so that the stall
    /// guard judges by what is true now.
    pub(super) fn now(&self) -> Time {
        let now = Time::from_start(self.started.elapsed());
        self.turn_at.set(now);
        now
    }

    /// The time at which this turn of the loop began, or later.
    pub(super) fn turn_time(&self) -> Time {
        if turn::is_new() { self.now() } else { self.turn_at.get() }
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
            self.each_shared(|it| it.last_words(self, now));
            for seat in self.seats.borrow().values() {
                seat.with(|it| it.last_words(now));
            }
        }
        self.world.borrow_mut().set_route(route);
        self.each_shared(|it| it.on_route(self, route.epoch));
        self.guards.iter().for_each(Notify::notify_one);
        self.wake_all();
    }

    fn each_shared(&self, act: impl Fn(&Shared)) {
        for shared in self.shared.borrow().values().chain(self.retired.borrow().iter()) {
            act(shared);
        }
    }

    /// Nobody new comes to `shared`.
    pub(super) fn retire(&self, key: &Key, shared: &Shared) {
        let mut open = self.shared.borrow_mut();
        if open.get(key).is_some_and(|it| std::ptr::eq(&raw const **it, shared))
            && let Some(shared) = open.remove(key)
        {
            self.retired.borrow_mut().push(shared);
        }
    }

    /// `shared` is over.
    pub(super) fn remove(&self, key: &Key, shared: &Shared) {
        self.retire(key, shared);
        self.retired.borrow_mut().retain(|it| !std::ptr::eq(&raw const **it, shared));
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

    /// An empty pipe; nothing if there are enough, or no descriptors: then bytes are copied.
    pub(super) fn pipe(&self) -> Option<Pipe> {
        if let Some(pipe) = self.pipes.borrow_mut().pop() {
            return Some(pipe);
        }
        if self.pipe_count.get() >= PIPES_MAX {
            return None;
        }
        let pipe = Pipe::new().ok()?;
        self.pipe_count.set(self.pipe_count.get() + 1);
        Some(pipe)
    }

    /// A pipe is not needed any more.
    pub(super) fn put_pipe(&self, pipe: Pipe) {
        if pipe.inside() == 0 {
            self.pipes.borrow_mut().push(pipe);
        } else {
            self.pipe_count.set(self.pipe_count.get().saturating_sub(1));
        }
    }

    /// A session begins to be busy.
    pub(super) fn note_warm(&self, id: u64) {
        self.warm.borrow_mut().push(id);
    }

    /// To be called from time to time. Sessions that had nothing to do since then give their memory back: while
    /// they are busy they keep it, so that no command has to allocate.
    pub(super) fn cool(&self) {
        let now = self.now();
        self.each_shared(|it| it.tick(now));
        let seats = self.seats.borrow();
        let mut warm = self.warm.borrow_mut();
        warm.retain(|id| seats.get(id).is_some_and(|seat| !seat.with(|it| it.cool())));
        if warm.is_empty() {
            *warm = Vec::new();
        }
    }

    pub(super) fn forget(&self, id: u64) {
        self.seats.borrow_mut().remove(&id);
    }

    /// Lets every session run.
    pub(super) fn wake_all(&self) {
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

    /// The node of `epoch` could not be reached: news only while that epoch is in force. A dial
    /// that outlives its epoch says nothing about who serves now.
    pub(super) fn signal_unreachable(&self, epoch: Epoch) {
        if self.world.borrow().route.epoch == epoch {
            self.signal(SignalKind::Unreachable);
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
        world.timings.drain(..).for_each(|it| self.cells.time(&it));
        if world.tally.is_plain() {
            self.cells.add_requests(&world.tally);
            world.tally.forget_requests();
        } else {
            self.cells.add(&std::mem::take(&mut world.tally));
        }
        world.hold_ended.drain(..).for_each(|it| self.cells.hold_seconds.observe(it));
        if world.take_released() {
            self.released.notify_one();
        }
    }
}
