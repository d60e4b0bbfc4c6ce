//! A session that has a shared connection to itself: what it pushes is written in its own turn,
//! without waking the connection's task, which would be woken for one client's every request.
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

impl Shared {
    /// At the end of the turn of the only session: writes what it pushed.
    pub(in crate::proxy) fn write_alone(&self, gate: &Gate) {
        gate.turn(gate.now());
        let mut inner = self.inner.borrow_mut();
        if !inner.write_at_once(gate) {
            inner.wake();
        }
        drop(inner);
        gate.collect();
    }
}

impl Inner {
    /// Whether all that was pushed is written.
    fn write_at_once(&mut self, gate: &Gate) -> bool {
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
#[path = "alone_test.rs"]
mod tests;
