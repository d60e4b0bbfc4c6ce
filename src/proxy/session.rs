//! Drives one session: moves bytes between two sockets and the machine that decides.
//!
//! One task a session, polled by hand: whatever woke it, it sees a new route first, then the node,
//! then the client, and passes on what they said, until nothing moves. So both are passed on in the
//! same turn in which they were read, nothing is written after a route has closed, and nothing to a
//! node whose end has been told. Replies from a shared connection are
//! given to the session by that connection's task, which also writes them to the client.

mod large;
mod taking;

use super::gate::Gate;
use super::last_words::{OWN_MAX, take_in};
use super::upstream::{Upstream, Waited};
use crate::net::{Pipe, Stream};
use crate::pure::session::{Session, Verdict};
use crate::pure::time::Time;
use crate::pure::topology::SignalKind;
use crate::telemetry::metrics::{Closed, Direction};
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::{debug, info};

/// Rounds of one turn before other sessions get theirs.
const ROUNDS_MAX: usize = 16;

/// One session, as others on its thread know it.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) id: u64,
    driver: Rc<RefCell<Driver>>,
}

impl PartialEq for Seat {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seat({})", self.id)
    }
}

impl Seat {
    /// A session that has just begun.
    pub(super) fn new(gate: &Rc<Gate>, id: u64, client: Stream) -> Self {
        Self { id, driver: Rc::new(RefCell::new(Driver::new(Rc::clone(gate), client))) }
    }

    /// Calls `act` with the session. Never while the session is polled: one thread, and neither
    /// calls the other.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Driver) -> T) -> T {
        act(&mut self.driver.borrow_mut())
    }
}

/// Serves one client until the session is over.
pub(super) async fn serve(gate: Rc<Gate>, id: u64, client: Stream, promise: Option<usize>) {
    gate.cells.session_opened();
    let seat = Seat::new(&gate, id, client);
    if let Some(promise) = promise {
        seat.with(|it| it.machine.guard(&gate.world.borrow(), id, promise));
    }
    gate.register(seat.clone());
    let closed = poll_fn(|cx| seat.with(|it| it.turn(cx, &seat))).await;
    gate.forget(id);
    seat.with(|it| it.close(id));
    gate.collect();
    gate.cells.session_closed(closed);
    match closed {
        // What a client was promised could not be kept, or a node broke its word.
        Closed::Unrestorable | Closed::Error => {
            info!(session = id, reason = closed.name(), "Session closed");
        }
        Closed::Client
        | Closed::Idle
        | Closed::ProtocolError
        | Closed::SlowReader
        | Closed::Drain => debug!(session = id, reason = closed.name(), "Session closed"),
    }
}

pub(super) struct Driver {
    gate: Rc<Gate>,
    pub(super) machine: Session,
    client: Stream,
    upstream: Upstream,
    /// The version of the route that the machine has seen.
    version: u64,
    timer: Option<Pin<Box<Sleep>>>,
    client_eof: bool,
    /// The client was not read because there was no room.
    paused: bool,
    waker: Option<Waker>,
    /// All that was to be sent went to a shared connection in this round.
    has_pushed: bool,
    /// Pushed in this turn what does not wait for the connection's task.
    writes_at_once: bool,
    /// Got a reply from a shared connection in this turn.
    touched: bool,
    /// A large reply passes through it.
    pipe: Option<Pipe>,
    /// Had something to do since the gate last looked.
    used: bool,
    /// The gate looks.
    warm: bool,
    closed: bool,
}

impl Driver {
    fn new(gate: Rc<Gate>, client: Stream) -> Self {
        let world = gate.world.borrow();
        let (machine, version) = (Session::new(&world), world.route.version);
        drop(world);
        Self {
            gate,
            machine,
            client,
            upstream: Upstream::None,
            version,
            timer: None,
            client_eof: false,
            paused: false,
            waker: None,
            has_pushed: false,
            writes_at_once: false,
            touched: false,
            pipe: None,
            used: false,
            warm: false,
            closed: false,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, seat: &Seat) -> Poll<Closed> {
        let polled = self.poll(cx, seat);
        if std::mem::take(&mut self.writes_at_once) {
            self.upstream.write_at_once(&self.gate);
        }
        polled
    }

    fn poll(&mut self, cx: &mut Context<'_>, seat: &Seat) -> Poll<Closed> {
        self.note_waker(cx);
        self.used = true;
        if !std::mem::replace(&mut self.warm, true) {
            self.gate.note_warm(seat.id);
        }
        let is_own = self.upstream.is_own();
        let now = if is_own { self.gate.now() } else { self.gate.turn_time() };
        self.gate.turn(now);
        self.has_pushed = false;
        for _ in 0..ROUNDS_MAX {
            let heard = self.see_route(seat, now) | self.read_node(cx, seat, now);
            let read = heard | self.read_client(cx, now);
            if std::mem::take(&mut self.has_pushed) && !read {
                // Nothing has changed for the rest, and whoever writes will count.
                return Poll::Pending;
            }
            let sent = self.poll_upstream(cx, seat, now);
            let moved = self.write_client(cx) | self.poll_timer(cx, now);
            if let Some(closed) = self.over(cx) {
                // The last reply may wait to be confirmed.
                self.gate.collect();
                return closed;
            }
            if !(read || sent || moved) {
                self.gate.collect();
                return Poll::Pending;
            }
            self.has_pushed &= !moved;
        }
        self.gate.collect();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn note_waker(&mut self, cx: &Context<'_>) {
        if self.waker.as_ref().is_none_or(|it| !it.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    /// Takes in what the node has said by now, up to [`OWN_MAX`]; nothing that comes later will count.
    pub(super) fn last_words(&mut self, now: Time) {
        let Self { gate, machine, upstream, .. } = self;
        if machine.hears_on(&gate.world.borrow()) {
            let scratch = &mut gate.scratch.borrow_mut();
            take_in(
                OWN_MAX,
                scratch,
                |buf| upstream.read_now(buf),
                |bytes| {
                    machine.on_node(&mut gate.world.borrow_mut(), now, bytes);
                    machine.hears_on(&gate.world.borrow())
                },
            );
        }
    }

    /// Gives memory back, if it had nothing to do since this was last called; false if it had.
    pub(super) fn cool(&mut self) -> bool {
        if std::mem::take(&mut self.used) {
            return false;
        }
        self.machine.give_back();
        self.warm = false;
        true
    }

    /// Lets the session's own task run.
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Obeys a route that is new since the last round.
    fn see_route(&mut self, seat: &Seat, now: Time) -> bool {
        let mut world = self.gate.world.borrow_mut();
        if world.route.version == self.version {
            return false;
        }
        self.version = world.route.version;
        self.machine.on_route(&mut world, now);
        drop(world);
        self.reconcile(seat, now);
        true
    }

    /// Makes the connection follow the machine: drops what it gave up, gets what it wants.
    fn reconcile(&mut self, seat: &Seat, now: Time) {
        if self.machine.take_proof() {
            self.gate.signal(SignalKind::NotPrimary);
        }
        if self.machine.wants_drop() {
            self.upstream.drop_it(&self.gate, seat.id);
            let mut world = self.gate.world.borrow_mut();
            self.machine.on_link_lost(&mut world, now);
        }
        if let Upstream::Shared(shared) = &self.upstream
            && shared.is_stalled()
        {
            self.machine.leave_shared();
        }
        if !self.machine.has_link() && self.upstream.is_up() {
            self.upstream.drop_it(&self.gate, seat.id);
        }
        if !self.upstream.is_some() || self.upstream.is_waiting() {
            let wish = self.machine.wish(&self.gate.world.borrow(), now);
            // While it waited something may have come that others must not share.
            if !self.upstream.waits_for(&wish) {
                self.upstream.drop_it(&self.gate, seat.id);
                self.upstream = Upstream::get(&self.gate, wish);
            }
        }
    }

    /// Gets a connection and writes to it.
    fn poll_upstream(&mut self, cx: &mut Context<'_>, seat: &Seat, now: Time) -> bool {
        self.reconcile(seat, now);
        match &self.upstream {
            Upstream::None => false,
            Upstream::Dialing(..) => self.poll_dial(cx, now),
            Upstream::Waiting(..) => self.poll_shared(cx, seat, now),
            Upstream::Shared(_) => self.push(cx, seat, now),
            Upstream::Up(_) => self.write_node(cx, seat, now),
        }
    }

    fn poll_dial(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        let Poll::Ready(connected) = self.upstream.poll_dial(&self.gate, cx) else { return false };
        if connected {
            self.machine.on_link(&mut self.gate.world.borrow_mut(), now);
        } else {
            self.machine.on_link_failed(&mut self.gate.world.borrow_mut(), now);
        }
        true
    }

    /// Waits for a shared connection.
    fn poll_shared(&mut self, cx: &mut Context<'_>, seat: &Seat, now: Time) -> bool {
        let waited = self.upstream.poll_shared(&self.gate, cx, seat);
        let mut world = self.gate.world.borrow_mut();
        match waited {
            Waited::Not => return false,
            Waited::Up => self.machine.on_shared_link(&mut world, now),
            Waited::Failed => self.machine.on_link_failed(&mut world, now),
            Waited::Refused => self.machine.on_shared_refused(&mut world, now),
        }
        true
    }

    /// Gives what is to be sent to the shared connection.
    fn push(&mut self, cx: &mut Context<'_>, seat: &Seat, now: Time) -> bool {
        let Upstream::Shared(shared) = &self.upstream else { return false };
        let pushed = {
            let world = self.gate.world.borrow();
            let bytes = self.machine.to_node(&world);
            if bytes.is_empty() || !shared.has_room(cx) {
                return false;
            }
            self.writes_at_once = shared.push(seat, bytes, self.machine.unsent_requests());
            bytes.len()
        };
        let mut world = self.gate.world.borrow_mut();
        self.machine.sent(&mut world, now, pushed);
        self.has_pushed = self.machine.to_node(&world).is_empty();
        true
    }

    /// A round that speaks for this session is over.
    pub(super) fn after_round(&mut self, now: Time, round: u64, verdict: Verdict) {
        if self.closed {
            return;
        }
        // What could not be read for want of room can be now.
        let was_full = !self.machine.wants_node(&self.gate.world.borrow());
        self.machine.on_round(&mut self.gate.world.borrow_mut(), round, verdict);
        self.after_replies(now);
        if was_full {
            self.wake();
        }
    }

    fn write_node(&mut self, cx: &mut Context<'_>, seat: &Seat, now: Time) -> bool {
        let mut moved = false;
        loop {
            let written = {
                let world = self.gate.world.borrow();
                let bytes = self.machine.to_node(&world);
                if bytes.is_empty() {
                    return moved;
                }
                self.upstream.poll_write(cx, bytes)
            };
            match written {
                Poll::Pending => return moved,
                Poll::Ready(Ok(n)) if n > 0 => {
                    moved = true;
                    self.gate.cells.bytes.add(Direction::NodeOut, n as u64);
                    self.machine.sent(&mut self.gate.world.borrow_mut(), now, n);
                }
                Poll::Ready(_) => {
                    self.lose_node(seat, now);
                    return true;
                }
            }
        }
    }

    fn read_node(&mut self, cx: &mut Context<'_>, seat: &Seat, now: Time) -> bool {
        if !self.upstream.is_own() || !self.machine.wants_node(&self.gate.world.borrow()) {
            return false;
        }
        if self.is_piping() {
            return self.splice(cx, seat, now);
        }
        let gate = Rc::clone(&self.gate);
        let mut scratch = gate.scratch.borrow_mut();
        let mut buf = ReadBuf::new(&mut scratch);
        match self.upstream.poll_read(cx, &mut buf) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                let bytes = buf.filled();
                gate.cells.bytes.add(Direction::NodeIn, bytes.len() as u64);
                let rest = bytes.get(self.pass(bytes)..).unwrap_or_default();
                if !rest.is_empty() {
                    self.machine.on_node(&mut gate.world.borrow_mut(), now, rest);
                }
                self.reconcile(seat, now);
                true
            }
            Poll::Ready(_) => {
                self.lose_node(seat, now);
                true
            }
        }
    }

    fn lose_node(&mut self, seat: &Seat, now: Time) {
        // An idle connection that a node closes (its `timeout`, a `CLIENT KILL`) is no news.
        if self.machine.is_in_flight() && self.machine.is_current(&self.gate.world.borrow()) {
            self.gate.signal(SignalKind::Lost);
        }
        self.upstream.drop_it(&self.gate, seat.id);
        self.machine.on_link_lost(&mut self.gate.world.borrow_mut(), now);
        self.reconcile(seat, now);
    }

    fn write_client(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = self.pipe.as_ref().is_some_and(|it| it.inside() > 0);
        if !self.drain_pipe(cx) {
            return false;
        }
        while !self.machine.to_client().is_empty() {
            match Pin::new(&mut self.client).poll_write(cx, self.machine.to_client()) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    moved = true;
                    self.gate.cells.bytes.add(Direction::ClientOut, n as u64);
                    self.machine.delivered(n);
                    if let Upstream::Shared(shared) = &self.upstream {
                        shared.on_drained();
                    }
                }
                Poll::Pending => break,
                Poll::Ready(_) => {
                    self.lose_client();
                    return true;
                }
            }
        }
        moved
    }

    fn read_client(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        self.paused = !self.machine.wants_client(&self.gate.world.borrow());
        if self.client_eof || self.paused {
            return false;
        }
        let gate = Rc::clone(&self.gate);
        let mut scratch = gate.scratch.borrow_mut();
        let mut buf = ReadBuf::new(&mut scratch);
        match Pin::new(&mut self.client).poll_read(cx, &mut buf) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                gate.cells.bytes.add(Direction::ClientIn, buf.filled().len() as u64);
                self.machine.on_client(&mut gate.world.borrow_mut(), now, buf.filled());
            }
            Poll::Ready(Ok(())) => {
                self.client_eof = true;
                self.machine.on_client_eof(&mut gate.world.borrow_mut(), now);
            }
            Poll::Ready(Err(_)) => {
                self.client_eof = true;
                self.machine.abandon();
            }
        }
        true
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        let Some(deadline) = self.machine.deadline(&self.gate.world.borrow()) else {
            self.timer = None;
            return false;
        };
        let at: Instant = self.gate.instant(deadline);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.timer = None;
        // The timer may fire within the turn's own clock reading.
        self.machine.on_deadline(&mut self.gate.world.borrow_mut(), now.max(deadline));
        true
    }

    /// Whether the session is over; then the last words are written first.
    fn over(&mut self, cx: &mut Context<'_>) -> Option<Poll<Closed>> {
        let closed = match self.machine.end() {
            Some(end) => Closed::from(end),
            None if self.gate.is_draining() && !self.machine.is_busy() => Closed::Drain,
            None => return None,
        };
        self.write_client(cx);
        let is_piped = self.pipe.as_ref().is_none_or(|it| it.inside() == 0);
        if self.machine.is_delivered() && is_piped || closed == Closed::Client && self.client_eof {
            let shut = ready_shutdown(&mut self.client, cx);
            return Some(shut.map(|()| closed));
        }
        Some(Poll::Pending)
    }

    fn close(&mut self, id: u64) {
        self.closed = true;
        if let Some(pipe) = self.pipe.take() {
            self.gate.put_pipe(pipe);
        }
        self.upstream.drop_it(&self.gate, id);
        self.machine.close(&mut self.gate.world.borrow_mut());
    }
}

/// Says goodbye, so that the last reply is not lost to a reset.
fn ready_shutdown(client: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
    let _gone = ready!(Pin::new(client).poll_shutdown(cx));
    Poll::Ready(())
}
