//! Drives one session: moves bytes between two sockets and the machine that decides.
//!
//! One task a session, polled by hand: whatever woke it, it sees a new route first, then the node,
//! then the client, until nothing moves. So a reply is passed on in the same turn in which it was
//! read, and nothing is written after a route has closed.

use super::gate::Gate;
use super::upstream::Upstream;
use crate::net::Stream;
use crate::pure::session::Session;
use crate::pure::time::Time;
use crate::pure::topology::SignalKind;
use crate::telemetry::metrics::{Closed, Direction};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::{debug, info};

/// Rounds of one turn before other sessions get theirs.
const ROUNDS_MAX: usize = 16;

/// Serves one client until the session is over.
pub(super) async fn serve(gate: Rc<Gate>, id: u64, client: Stream) {
    gate.cells.session_opened();
    let mut driver = Driver::new(Rc::clone(&gate), client);
    let closed = poll_fn(|cx| {
        gate.register(id, cx.waker());
        driver.poll(cx)
    })
    .await;
    gate.forget(id);
    driver.close();
    gate.collect();
    gate.cells.session_closed(closed);
    match closed {
        // What a client was promised could not be kept, or a node broke its word.
        Closed::Unrestorable | Closed::Error => info!(?closed, "Session closed"),
        Closed::Client
        | Closed::Idle
        | Closed::ProtocolError
        | Closed::SlowReader
        | Closed::Drain => debug!(?closed, "Session closed"),
    }
}

struct Driver {
    gate: Rc<Gate>,
    machine: Session,
    client: Stream,
    upstream: Upstream,
    /// The version of the route that the machine has seen.
    version: u64,
    timer: Option<Pin<Box<Sleep>>>,
    client_eof: bool,
}

impl Driver {
    fn new(gate: Rc<Gate>, client: Stream) -> Self {
        let world = gate.world.borrow();
        let (machine, version) = (Session::new(&world), world.route.version);
        drop(world);
        let upstream = Upstream::None;
        Self { gate, machine, client, upstream, version, timer: None, client_eof: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        let now = self.gate.now();
        for _ in 0..ROUNDS_MAX {
            let moved = self.see_route(now)
                | self.poll_upstream(cx, now)
                | self.poll_client(cx, now)
                | self.poll_timer(cx, now);
            if let Some(closed) = self.over(cx) {
                return closed;
            }
            if !moved {
                self.gate.collect();
                return Poll::Pending;
            }
        }
        self.gate.collect();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Obeys a route that is new since the last round.
    fn see_route(&mut self, now: Time) -> bool {
        let mut world = self.gate.world.borrow_mut();
        if world.route.version == self.version {
            return false;
        }
        self.version = world.route.version;
        self.machine.on_route(&mut world, now);
        drop(world);
        self.reconcile(now);
        true
    }

    /// Makes the socket follow the machine: drops what it gave up, dials what it wants.
    fn reconcile(&mut self, now: Time) {
        if self.machine.take_proof() {
            self.gate.signal(SignalKind::NotPrimary);
        }
        if self.machine.wants_drop() {
            self.upstream.drop_it(&self.gate);
            let mut world = self.gate.world.borrow_mut();
            self.machine.on_link_lost(&mut world, now);
        }
        if !self.machine.has_link() && matches!(self.upstream, Upstream::Up(_)) {
            self.upstream.drop_it(&self.gate);
        }
        let wants = self.machine.wants_link(&self.gate.world.borrow(), now);
        if wants && !self.upstream.is_some() {
            self.upstream = Upstream::dial(&self.gate);
        }
    }

    fn poll_upstream(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        self.reconcile(now);
        match self.upstream {
            Upstream::None => false,
            Upstream::Dialing(..) => self.poll_dial(cx, now),
            Upstream::Up(_) => self.write_node(cx, now) | self.read_node(cx, now),
        }
    }

    fn poll_dial(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        let Poll::Ready(connected) = self.upstream.poll_dial(&self.gate, cx) else { return false };
        if connected {
            self.machine.on_link(&mut self.gate.world.borrow_mut(), now);
        } else {
            self.gate.signal(SignalKind::Unreachable);
            self.machine.on_link_failed(&mut self.gate.world.borrow_mut(), now);
        }
        true
    }

    fn write_node(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
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
                    self.lose_node(now);
                    return true;
                }
            }
        }
    }

    fn read_node(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        if !self.machine.wants_node(&self.gate.world.borrow()) {
            return false;
        }
        let gate = Rc::clone(&self.gate);
        let mut scratch = gate.scratch.borrow_mut();
        let mut buf = ReadBuf::new(&mut scratch);
        match self.upstream.poll_read(cx, &mut buf) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                gate.cells.bytes.add(Direction::NodeIn, buf.filled().len() as u64);
                self.machine.on_node(&mut gate.world.borrow_mut(), now, buf.filled());
                self.reconcile(now);
                true
            }
            Poll::Ready(_) => {
                self.lose_node(now);
                true
            }
        }
    }

    fn lose_node(&mut self, now: Time) {
        // An idle connection that a node closes (its `timeout`, a `CLIENT KILL`) is no news.
        if self.machine.is_in_flight() {
            self.gate.signal(SignalKind::Lost);
        }
        self.upstream.drop_it(&self.gate);
        self.machine.on_link_lost(&mut self.gate.world.borrow_mut(), now);
        self.reconcile(now);
    }

    fn poll_client(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        self.write_client(cx) | self.read_client(cx, now)
    }

    fn write_client(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while !self.machine.to_client().is_empty() {
            match Pin::new(&mut self.client).poll_write(cx, self.machine.to_client()) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    moved = true;
                    self.gate.cells.bytes.add(Direction::ClientOut, n as u64);
                    self.machine.delivered(n);
                }
                Poll::Pending => break,
                Poll::Ready(_) => {
                    self.machine.abandon();
                    return true;
                }
            }
        }
        moved
    }

    fn read_client(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        if self.client_eof || !self.machine.wants_client(&self.gate.world.borrow()) {
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
        self.reconcile(now);
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
        if self.machine.to_client().is_empty() || closed == Closed::Client && self.client_eof {
            let shut = ready_shutdown(&mut self.client, cx);
            return Some(shut.map(|()| closed));
        }
        Some(Poll::Pending)
    }

    fn close(&mut self) {
        self.upstream.drop_it(&self.gate);
        self.machine.close(&mut self.gate.world.borrow_mut());
    }
}

/// Says goodbye, so that the last reply is not lost to a reset.
fn ready_shutdown(client: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
    let _gone = ready!(Pin::new(client).poll_shutdown(cx));
    Poll::Ready(())
}
