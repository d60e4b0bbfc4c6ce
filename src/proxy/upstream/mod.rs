//! The way to the primary, as a session sees it: one wish, one connection, its bytes.
//!
//! [`Upstream`] is the seam: a session asks for a connection, reads and writes it, and drops it.
//! Here each session has one of its own ([`Upstream::Up`]); sharing one among many sessions fits
//! behind the same calls.

use super::gate::Gate;
use crate::net::{DialError, dial};
use crate::pure::topology::Epoch;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

type Dialing = Pin<Box<dyn Future<Output = Result<TcpStream, DialError>>>>;

/// A session's connection to the primary.
pub(super) enum Upstream {
    None,
    /// Being made, for the primary of this epoch.
    Dialing(Epoch, Dialing),
    Up(TcpStream),
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Dialing(..) => "Dialing",
            Self::Up(_) => "Up",
        })
    }
}

impl Upstream {
    /// Starts to connect to the primary of the route in force, if there is one.
    pub(super) fn dial(gate: &Gate) -> Self {
        let route = gate.world.borrow().route;
        match route.primary() {
            None => Self::None,
            Some(primary) => {
                Self::Dialing(route.epoch, Box::pin(dial(primary.addr, gate.dial_limit)))
            }
        }
    }

    /// Drops the connection, whatever state it is in; whether it was up.
    pub(super) fn drop_it(&mut self, gate: &Gate) -> bool {
        let was_up = matches!(self, Self::Up(_));
        if was_up {
            gate.cells.upstream_connections.dec();
            gate.cells.upstream_lost.inc();
        }
        *self = Self::None;
        was_up
    }

    /// Whether a connection is up or being made.
    pub(super) const fn is_some(&self) -> bool {
        !matches!(self, Self::None)
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
                *self = Self::None;
                Poll::Ready(false)
            }
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
            Self::None | Self::Dialing(..) => Poll::Pending,
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
            Self::None | Self::Dialing(..) => Poll::Pending,
        }
    }
}
