//! The way to the primary, as a session sees it: one wish, one connection, its bytes.
//!
//! [`Upstream`] is the seam. A session either has a connection of its own (`Dialing`, `Up`), or its
//! part of one that many share (`Waiting`, `Shared`, see [`shared`]).

pub(super) mod shared;

use super::gate::Gate;
use super::session::Seat;
use crate::net::{DialError, Pipe, dial, read_now};
use crate::pure::session::Wish;
use crate::pure::topology::Epoch;
use shared::Shared;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

type Dialing = Pin<Box<dyn Future<Output = Result<TcpStream, DialError>>>>;

/// A session's connection to the primary.
pub(super) enum Upstream {
    None,
    /// Being made, for the primary of this epoch.
    Dialing(Epoch, Dialing),
    Up(TcpStream),
    /// A shared one that is being made; with its failures when the waiting began.
    Waiting(Rc<Shared>, u64),
    Shared(Rc<Shared>),
}

/// What became of waiting for a shared connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Waited {
    Not,
    Up,
    /// It could not be made.
    Failed,
    /// The node refused its login or database.
    Refused,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Dialing(..) => "Dialing",
            Self::Up(_) => "Up",
            Self::Waiting(..) => "Waiting",
            Self::Shared(_) => "Shared",
        })
    }
}

impl Upstream {
    /// Starts to get what is wished for.
    pub(super) fn get(gate: &Rc<Gate>, wish: Wish) -> Self {
        let route = gate.world.borrow().route;
        match (wish, route.primary()) {
            (Wish::Nothing, _) | (_, None) => Self::None,
            (Wish::Own, Some(primary)) => {
                Self::Dialing(route.epoch, Box::pin(dial(primary.addr, gate.dial_limit)))
            }
            (Wish::Shared(key), Some(_)) => {
                let shared = Shared::of(gate, key);
                let failures = shared.failures();
                Self::Waiting(shared, failures)
            }
        }
    }

    /// Drops the connection, whatever state it is in.
    pub(super) fn drop_it(&mut self, gate: &Gate, id: u64) {
        match std::mem::replace(self, Self::None) {
            Self::None | Self::Dialing(..) => {}
            Self::Up(_) => {
                gate.cells.upstream_connections.dec();
                gate.cells.upstream_lost.inc();
            }
            Self::Waiting(shared, _) | Self::Shared(shared) => shared.detach(id),
        }
    }

    /// Whether there is one, or it is being made.
    pub(super) const fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether there is one.
    pub(super) const fn is_up(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Shared(_))
    }

    /// Whether a shared one is being made for it.
    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(..))
    }

    /// Whether it waits for a shared connection of the kind that is wished for.
    pub(super) fn waits_for(&self, wish: &Wish) -> bool {
        matches!((self, wish), (Self::Waiting(shared, _), Wish::Shared(key)) if shared.is_of(key))
    }

    /// Whether the session writes to the node itself, or is about to.
    pub(super) const fn is_own(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Dialing(..))
    }

    /// Goes on connecting. Ready when that has ended: true with a connection, false without.
    pub(super) fn poll_dial(&mut self, gate: &Gate, cx: &mut Context<'_>) -> Poll<bool> {
        let Self::Dialing(epoch, dialing) = self else { return Poll::Pending };
        let Poll::Ready(dialed) = dialing.as_mut().poll(cx) else { return Poll::Pending };
        // The route may have moved on while the connection was being made.
        let current = gate.world.borrow().route.epoch == *epoch;
        match dialed {
            Ok(stream) if current => {
                gate.cells.upstream_opened.inc();
                gate.cells.upstream_connections.inc();
                *self = Self::Up(stream);
                Poll::Ready(true)
            }
            Ok(_) => {
                *self = Self::None;
                Poll::Ready(false)
            }
            Err(_) => {
                gate.cells.upstream_failed.inc();
                gate.signal_unreachable(*epoch);
                *self = Self::None;
                Poll::Ready(false)
            }
        }
    }

    /// Goes on waiting for a shared connection.
    pub(super) fn poll_shared(&mut self, gate: &Gate, cx: &Context<'_>, seat: &Seat) -> Waited {
        let Self::Waiting(shared, failures) = self else { return Waited::Not };
        let epoch = gate.world.borrow().route.epoch;
        let waited = shared.wait(cx, epoch, *failures);
        match waited {
            Waited::Not => {}
            Waited::Up => {
                shared.attach(seat);
                *self = Self::Shared(Rc::clone(shared));
            }
            Waited::Failed | Waited::Refused => *self = Self::None,
        }
        waited
    }

    /// Writes what was pushed to a shared connection. If the session has left it meanwhile, the
    /// connection's task knows.
    pub(super) fn write_at_once(&self, gate: &Gate) {
        if let Self::Shared(shared) = self {
            shared.write_at_once(gate);
        }
    }

    /// Reads what is there; 0 bytes mean that the node has closed the connection.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Up(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::None | Self::Dialing(..) | Self::Waiting(..) | Self::Shared(_) => Poll::Pending,
        }
    }

    /// Reads what is there at this moment.
    pub(super) fn read_now(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Up(stream) => read_now(stream, buf),
            Self::None | Self::Dialing(..) | Self::Waiting(..) | Self::Shared(_) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// Takes bytes into `pipe`; ready with 0 if the node has closed the connection.
    pub(super) fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        let Self::Up(stream) = self else { return Poll::Pending };
        loop {
            match pipe.fill(stream, max) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(stream.poll_read_ready(cx))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    /// Writes what the socket takes.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Up(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::None | Self::Dialing(..) | Self::Waiting(..) | Self::Shared(_) => Poll::Pending,
        }
    }
}
