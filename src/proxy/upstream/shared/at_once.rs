//! What is written in a session's own turn, without waiting for the connection's task: what the only
//! session of a connection pushed, for which the task would be woken at every request; and what many
//! have pushed, once it is much, so that the node begins with it while the worker reads on.
//!
//! # Invariants
//!
//! * As in that task: the clock is read anew for the stall guard, nothing is written while the gate
//!   is held, and nothing to a node that has said something which is not taken in yet.
//! * What the socket does not take at once, and whatever is out of the ordinary, is left to the task.

use super::{Inner, Link, Shared};
use crate::proxy::gate::Gate;
use crate::telemetry::metrics::Direction;
use tokio::io::Interest;

/// Bytes that many sessions have pushed and that do not wait for the end of the loop's turn. Servers
/// read as much at a time.
pub(super) const WRITE_EARLY: usize = 16 * 1024;

impl Shared {
    /// At the end of a session's turn: writes what was pushed.
    pub(in crate::proxy) fn write_at_once(&self, gate: &Gate) {
        gate.turn(gate.now());
        let mut inner = self.inner.borrow_mut();
        if !inner.try_write(gate) {
            inner.wake();
        }
        drop(inner);
        gate.collect();
    }
}

impl Inner {
    /// Whether all that was pushed is written.
    fn try_write(&mut self, gate: &Gate) -> bool {
        let Link::Up(stream) = &self.link else { return false };
        let route = gate.world.borrow().route;
        let is_allowed = route.lets_finish() && route.epoch == self.epoch;
        let is_plain = self.stalled.is_none() && self.waiting.is_empty();
        if !is_allowed || !is_plain || stream.try_io(Interest::READABLE, || Ok(())).is_ok() {
            return false;
        }
        let Ok(n) = stream.try_write(self.mux.to_node()) else { return false };
        gate.cells.bytes.add(Direction::NodeOut, n as u64);
        self.mux.sent(n);
        self.mux.to_node().is_empty()
    }
}

#[cfg(test)]
#[path = "at_once_test.rs"]
mod tests;
