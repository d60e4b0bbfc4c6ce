//! The inside of a large reply on a connection of the session's own: passed on without a copy.
//!
//! ```text
//!  node --splice--> pipe --splice--> client      much of it is to come: it stays in the kernel
//!  node --read--> buffer --write--> client       the rest
//! ```
//!
//! # Invariants
//!
//! * While something is in the pipe the node is not read, and nothing else is written to the client.

use super::{Driver, Seat};
use crate::pure::time::Time;
use crate::telemetry::metrics::Direction;
use std::io;
use std::task::{Context, Poll};

/// The inside of a reply of which this many bytes are to come stays inside the kernel.
const SPLICE_MIN: usize = 64 * 1024;

impl Driver {
    /// Whether the node's next bytes go through a pipe, or have to wait for those that are in it.
    pub(super) fn is_piping(&mut self) -> bool {
        if self.pipe.as_ref().is_some_and(|it| it.inside() > 0) {
            return true;
        }
        if self.machine.passes(usize::MAX) < SPLICE_MIN {
            if let Some(pipe) = self.pipe.take() {
                self.gate.put_pipe(pipe);
            }
            return false;
        }
        if self.pipe.is_none() {
            self.pipe = self.gate.pipe();
        }
        self.pipe.is_some()
    }

    /// Passes on the inside of a large reply inside the kernel.
    pub(super) fn splice(&mut self, cx: &mut Context<'_>, seat: &Seat, now: Time) -> bool {
        let Some(pipe) = self.pipe.as_mut().filter(|it| it.inside() == 0) else { return false };
        let passes = self.machine.passes(usize::MAX);
        match self.upstream.poll_fill(cx, pipe, passes) {
            Poll::Pending => false,
            Poll::Ready(Ok(taken)) if taken > 0 => {
                self.gate.cells.bytes.add(Direction::NodeIn, taken as u64);
                self.machine.passed(taken);
                true
            }
            Poll::Ready(_) => {
                self.lose_node(seat, now);
                true
            }
        }
    }

    /// Gives the client what is in the pipe; false while there is something left.
    pub(super) fn drain_pipe(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(pipe) = self.pipe.as_mut().filter(|it| it.inside() > 0) {
            match pipe.drain(&self.client) {
                Ok(given) => self.gate.cells.bytes.add(Direction::ClientOut, given as u64),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.client.poll_write_ready(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => self.lose_client(),
                        Poll::Pending => return false,
                    }
                }
                Err(_) => self.lose_client(),
            }
        }
        true
    }

    /// The client is gone, and what is in the pipe with it.
    pub(super) fn lose_client(&mut self) {
        self.machine.abandon();
        if let Some(pipe) = self.pipe.take() {
            self.gate.put_pipe(pipe);
        }
    }

    /// Passes on the inside of a large reply without a copy; how many bytes that were.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let passes = bytes.get(..self.machine.passes(bytes.len())).unwrap_or_default();
        if passes.is_empty() {
            return 0;
        }
        let taken = self.offer(passes);
        self.machine.passed(taken);
        taken
    }
}
