//! One connection that many sessions of a worker share, and the task that keeps it.
//!
//! Sessions push whole requests; what was pushed in one turn of the loop is written with one call,
//! by the connection's task, or by a session at once (see `at_once`).
//! What the node answers is read with one call, dealt out by [`Mux`], and written to each client
//! right away, without waking the session's own task.
//!
//! # Invariants
//!
//! * Nothing is written while the gate is held, or to the primary of another epoch.
//! * While the reader of a large reply does not keep up, nothing is read (see `stall`), and sessions
//!   that have nothing in flight here go elsewhere.
//! * Before a connection is given up, every session is told which of its bytes were not written.

mod at_once;
mod deal;
#[cfg(test)]
pub(in crate::proxy) mod stage_test;
mod stall;

use super::Waited;
use crate::net::{DialError, dial, read_now};
use crate::proxy::gate::Gate;
use crate::proxy::last_words::{SHARED_MAX, take_in};
use crate::proxy::session::Seat;
use crate::pure::backlog::Backlog;
use crate::pure::mux::Mux;
use crate::pure::resp::reply::{self, Scan, Scanner};
use crate::pure::session::Key;
use crate::pure::time::Time;
use crate::pure::topology::{Epoch, SignalKind};
use crate::telemetry::metrics::Direction;
use at_once::WRITE_EARLY;
use bytes::{Buf, BytesMut};
use stall::Stall;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// Bytes that wait for the node's socket; beyond this sessions wait.
const OUT_MAX: usize = 256 * 1024;

/// How long a connection that nobody uses is kept.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Reads of one turn before sessions get theirs.
const READS_MAX: usize = 4;

type Dialing = Pin<Box<dyn Future<Output = Result<TcpStream, DialError>>>>;

enum Link {
    Down,
    Dialing(Dialing),
    /// Logging in: what is to be written, what was read, and how many replies are to come.
    Greeting {
        stream: TcpStream,
        out: BytesMut,
        seen: BytesMut,
        left: usize,
    },
    Up(TcpStream),
}

struct Inner {
    link: Link,
    epoch: Epoch,
    mux: Mux<Seat>,
    /// The part of a reply that has arrived.
    upbox: Backlog,
    /// Empty between turns; it keeps its memory.
    touched: Vec<Seat>,
    seats: BTreeMap<u64, Seat>,
    stalled: Option<Stall>,
    /// Who waits for the connection, or for room.
    waiting: Vec<Waker>,
    failures: u64,
    refused: bool,
    /// The node has said nothing yet on this connection.
    fresh: bool,
    task: Option<Waker>,
    /// Has let the sessions go first in this turn.
    has_yielded: bool,
    idle: Option<Pin<Box<Sleep>>>,
    over: bool,
}

/// A shared connection.
pub(in crate::proxy) struct Shared {
    key: Key,
    inner: RefCell<Inner>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// The connection of this kind; made if there is none.
    pub(super) fn of(gate: &Rc<Gate>, key: Key) -> Rc<Self> {
        if let Some(shared) = gate.shared.borrow().get(&key) {
            return Rc::clone(shared);
        }
        let shared = Rc::new(Self { key: key.clone(), inner: RefCell::new(Inner::new()) });
        gate.shared.borrow_mut().insert(key, Rc::clone(&shared));
        let (gate, kept) = (Rc::clone(gate), Rc::clone(&shared));
        tokio::task::spawn_local(async move { poll_fn(|cx| kept.poll(&gate, cx)).await });
        shared
    }

    /// Whether it is of this kind.
    pub(super) fn is_of(&self, key: &Key) -> bool {
        self.key == *key
    }

    /// How often it could not be made.
    pub(super) fn failures(&self) -> u64 {
        self.inner.borrow().failures
    }

    /// Whether it is up, for `epoch`; if not, the caller is woken when that may have changed.
    pub(super) fn wait(&self, cx: &Context<'_>, epoch: Epoch, failures: u64) -> Waited {
        let mut inner = self.inner.borrow_mut();
        if matches!(inner.link, Link::Up(_)) && inner.epoch == epoch && !inner.over {
            return Waited::Up;
        }
        if inner.failures != failures || inner.over {
            return if inner.refused { Waited::Refused } else { Waited::Failed };
        }
        inner.waiting.push(cx.waker().clone());
        inner.wake();
        Waited::Not
    }

    /// `seat` uses it from now on.
    pub(super) fn attach(&self, seat: &Seat) {
        let mut inner = self.inner.borrow_mut();
        inner.idle = None;
        inner.seats.insert(seat.id, seat.clone());
    }

    /// Session `id` does not use it any more. Replies that are still to come for it are dropped.
    pub(super) fn detach(&self, id: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.seats.remove(&id);
        // It may have been the reader that others wait for.
        if inner.seats.is_empty() || inner.stalled.is_some() {
            inner.wake();
        }
    }

    /// Whether more may be pushed; if not, the caller is woken when it may.
    pub(in crate::proxy) fn has_room(&self, cx: &Context<'_>) -> bool {
        let mut inner = self.inner.borrow_mut();
        let room = inner.mux.to_node().len() < OUT_MAX;
        if !room {
            inner.waiting.push(cx.waker().clone());
        }
        room
    }

    /// Takes `requests` requests of `seat`. Whether it ends its turn with
    /// [`write_at_once`](Self::write_at_once); otherwise the connection's task writes.
    #[must_use]
    pub(in crate::proxy) fn push(&self, seat: &Seat, bytes: &[u8], requests: usize) -> bool {
        let mut inner = self.inner.borrow_mut();
        inner.mux.push(seat, bytes, requests);
        let is_alone = inner.seats.len() == 1;
        if !is_alone {
            inner.wake();
        }
        is_alone || inner.mux.to_node().len() >= WRITE_EARLY
    }

    /// Takes in what the node has answered by now, up to [`SHARED_MAX`].
    pub(in crate::proxy) fn last_words(&self, gate: &Gate, now: Time) {
        let read = |buf: &mut [u8]| {
            let inner = self.inner.borrow();
            let Link::Up(stream) = &inner.link else { return Ok(0) };
            if inner.mux.is_idle() { Ok(0) } else { read_now(stream, buf) }
        };
        let take = |bytes: &[u8]| self.inner.borrow_mut().take(gate, now, bytes);
        take_in(SHARED_MAX, &mut gate.scratch.borrow_mut(), read, take);
    }

    /// A new route is in force: a connection of another epoch is given up at once. Its sessions
    /// see the route themselves.
    pub(in crate::proxy) fn on_route(&self, gate: &Gate, epoch: Epoch) {
        let mut inner = self.inner.borrow_mut();
        if inner.epoch != epoch {
            inner.drop_link(gate);
        }
        inner.wake();
    }

    fn poll(&self, gate: &Rc<Gate>, cx: &mut Context<'_>) -> Poll<()> {
        let now = gate.now();
        gate.turn(now);
        let mut inner = self.inner.borrow_mut();
        if inner.task.as_ref().is_none_or(|it| !it.will_wake(cx.waker())) {
            inner.task = Some(cx.waker().clone());
        }
        if inner.lets_others_first() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let moved = match &mut inner.link {
                Link::Down => inner.start(gate),
                Link::Dialing(_) => inner.poll_dial(gate, &self.key, cx),
                Link::Greeting { .. } => inner.greet(gate, cx),
                Link::Up(_) => inner.exchange(gate, cx, now),
            };
            if !moved {
                break;
            }
        }
        gate.collect();
        if inner.stalled.is_some() {
            gate.retire(&self.key, self);
        }
        if inner.is_over(cx) {
            inner.drop_link(gate);
            inner.over = true;
            inner.wake_waiting();
            drop(inner);
            gate.remove(&self.key, self);
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Inner {
    fn new() -> Self {
        Self {
            link: Link::Down,
            epoch: Epoch::default(),
            mux: Mux::default(),
            upbox: Backlog::new(),
            touched: Vec::new(),
            seats: BTreeMap::new(),
            stalled: None,
            waiting: Vec::new(),
            failures: 0,
            refused: false,
            fresh: false,
            task: None,
            has_yielded: false,
            idle: None,
            over: false,
        }
    }

    fn wake(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    /// Whether sessions that have something to send should push it first. The node's socket may be
    /// reported before those of clients; without this their requests would leave in two writes.
    fn lets_others_first(&mut self) -> bool {
        self.has_yielded = !self.has_yielded && self.seats.len() > 1;
        self.has_yielded
    }

    fn wake_waiting(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    /// Whether nobody has used it for as long as it is kept.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.seats.is_empty() || !self.waiting.is_empty() || !self.mux.is_idle() {
            self.idle = None;
            return false;
        }
        let idle = self.idle.get_or_insert_with(|| Box::pin(sleep(IDLE_MAX)));
        idle.as_mut().poll(cx).is_ready() || idle.deadline() <= Instant::now()
    }

    /// Starts to connect, if anybody wants it.
    fn start(&mut self, gate: &Gate) -> bool {
        let route = gate.world.borrow().route;
        let Some(primary) = route.primary() else { return false };
        if self.waiting.is_empty() {
            return false;
        }
        self.epoch = route.epoch;
        self.refused = false;
        self.link = Link::Dialing(Box::pin(dial(primary.addr, gate.dial_limit)));
        true
    }

    fn poll_dial(&mut self, gate: &Gate, key: &Key, cx: &mut Context<'_>) -> bool {
        let Link::Dialing(dialing) = &mut self.link else { return false };
        let Poll::Ready(dialed) = dialing.as_mut().poll(cx) else { return false };
        match dialed {
            Ok(stream) => {
                gate.cells.upstream_opened.inc();
                gate.cells.upstream_connections.inc();
                let (out, left) = key.handshake();
                self.fresh = left == 0;
                let out = BytesMut::from(out.as_slice());
                self.link = Link::Greeting { stream, out, seen: BytesMut::new(), left };
            }
            Err(_) => {
                gate.cells.upstream_failed.inc();
                gate.signal_unreachable(self.epoch);
                self.link = Link::Down;
                self.fail();
            }
        }
        true
    }

    /// Tells everybody who waits that it could not be made.
    fn fail(&mut self) {
        self.failures += 1;
        self.wake_waiting();
    }

    /// Logs in.
    fn greet(&mut self, gate: &Gate, cx: &mut Context<'_>) -> bool {
        let Link::Greeting { stream, out, seen, left } = &mut self.link else { return false };
        if *left == 0 {
            let Link::Greeting { stream, .. } = std::mem::replace(&mut self.link, Link::Down)
            else {
                return false;
            };
            self.link = Link::Up(stream);
            self.wake_waiting();
            return true;
        }
        while !out.is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, out) {
                Poll::Ready(Ok(n)) if n > 0 => out.advance(n),
                Poll::Pending => break,
                Poll::Ready(_) => return self.give_up(gate, false),
            }
        }
        let mut scratch = gate.scratch.borrow_mut();
        let mut buf = ReadBuf::new(&mut scratch);
        match Pin::new(stream).poll_read(cx, &mut buf) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => seen.extend_from_slice(buf.filled()),
            Poll::Ready(_) => {
                drop(scratch);
                return self.give_up(gate, false);
            }
        }
        drop(scratch);
        while let Scan::Frame { len } = Scanner::new().scan(seen) {
            let frame = seen.split_to(len);
            if reply::error_text(&frame).is_some() {
                return self.give_up(gate, true);
            }
            *left = left.saturating_sub(1);
        }
        true
    }

    /// The node did not let it in, or went away meanwhile.
    fn give_up(&mut self, gate: &Gate, refused: bool) -> bool {
        self.drop_link(gate);
        self.refused = refused;
        self.fail();
        true
    }

    /// Reads, writes, and deals out what was read, in this order: nothing is written to a node whose
    /// end has been told, and the node has work again before its replies are dealt out.
    fn exchange(&mut self, gate: &Gate, cx: &mut Context<'_>, now: Time) -> bool {
        for _ in 0..READS_MAX {
            let is_stalled = self.is_stalled(gate, now);
            let Link::Up(stream) = &mut self.link else { return true };
            let mut scratch = gate.scratch.borrow_mut();
            let mut buf = ReadBuf::new(&mut scratch);
            let read =
                if is_stalled { Poll::Pending } else { Pin::new(stream).poll_read(cx, &mut buf) };
            let is_well = match read {
                Poll::Pending => {
                    if self.write(gate, cx) {
                        return false;
                    }
                    false
                }
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    gate.cells.bytes.add(Direction::NodeIn, buf.filled().len() as u64);
                    let is_written = self.write(gate, cx);
                    self.take(gate, now, buf.filled()) && is_written
                }
                Poll::Ready(_) => false,
            };
            if !is_well {
                drop(scratch);
                self.lose(gate, now);
                return true;
            }
        }
        // Others first; the node's bytes will still be there.
        cx.waker().wake_by_ref();
        false
    }

    /// Writes what was pushed, if the gate is open; false if the connection is gone.
    fn write(&mut self, gate: &Gate, cx: &mut Context<'_>) -> bool {
        let Link::Up(stream) = &mut self.link else { return true };
        let route = gate.world.borrow().route;
        if !route.lets_finish() || route.epoch != self.epoch {
            return true;
        }
        while !self.mux.to_node().is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, self.mux.to_node()) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    gate.cells.bytes.add(Direction::NodeOut, n as u64);
                    self.mux.sent(n);
                }
                Poll::Pending => return true,
                Poll::Ready(_) => return false,
            }
        }
        if !self.waiting.is_empty() {
            self.wake_waiting();
        }
        true
    }

    /// The connection is gone: its sessions decide what becomes of their requests.
    fn lose(&mut self, gate: &Gate, now: Time) {
        if !self.mux.is_idle() {
            gate.signal(SignalKind::Lost);
        }
        self.drop_link(gate);
        for seat in std::mem::take(&mut self.seats).into_values() {
            seat.with(|it| {
                it.machine.on_link_lost(&mut gate.world.borrow_mut(), now);
                it.wake();
            });
        }
        self.wake_waiting();
    }

    /// Closes the connection, after telling each session which bytes were not written.
    fn drop_link(&mut self, gate: &Gate) {
        if matches!(self.link, Link::Greeting { .. } | Link::Up(_)) {
            gate.cells.upstream_connections.dec();
            gate.cells.upstream_lost.inc();
        }
        self.link = Link::Down;
        self.stalled = None;
        self.upbox.clear();
        for (seat, unwritten) in self.mux.lose() {
            seat.with(|it| it.machine.unsend(unwritten));
        }
    }
}
