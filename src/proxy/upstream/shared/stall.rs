//! A large reply whose reader does not keep up: it must be neither collected nor lost, and others
//! must not wait for it longer than they have to.
//!
//! While it is stalled the connection is not read. Nobody new comes to it, and sessions that have
//! nothing in flight on it go elsewhere; those that have wait behind the large reply, which is the
//! price of sharing. The session itself uses a connection of its own from then on.
//!
//! # Invariants
//!
//! * A reader that takes nothing at all for [`STALL_MAX`] is given up.

use super::{Inner, Shared};
use crate::proxy::gate::Gate;
use crate::pure::time::Time;
use std::time::Duration;

/// How long others may have to wait for a reader that takes nothing.
const STALL_MAX: Duration = Duration::from_secs(30);

/// A reader that does not keep up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    /// When it last took something.
    pub(super) since: Time,
    /// Bytes that wait for it.
    pub(super) left: usize,
}

impl Shared {
    /// Whether whoever can should go elsewhere.
    pub(in crate::proxy) fn is_stalled(&self) -> bool {
        self.inner.borrow().stalled.is_some()
    }

    /// A client took bytes: there may be room for more.
    pub(in crate::proxy) fn on_drained(&self) {
        let inner = self.inner.borrow();
        if inner.stalled.is_some() {
            inner.wake();
        }
    }

    /// Gives up a reader that took nothing for too long. To be called from time to time.
    pub(in crate::proxy) fn tick(&self, now: Time) {
        let inner = self.inner.borrow();
        if inner.stalled.is_some_and(|it| now.since(it.since) > STALL_MAX)
            && let Some(seat) = inner.mux.first()
        {
            seat.with(|it| it.give_up_reader());
            inner.wake();
        }
    }
}

impl Inner {
    /// Whether the reader of the reply that is being passed on has enough to take.
    pub(super) fn is_stalled(&mut self, gate: &Gate, now: Time) -> bool {
        let left = self.mux.first().map_or(0, |seat| seat.with(|it| it.unread()));
        if left < gate.world.borrow().limits.out_max {
            self.stalled = None;
            return false;
        }
        if self.stalled.is_none_or(|it| left < it.left) {
            self.stalled = Some(Stall { since: now, left });
        }
        true
    }
}

#[cfg(test)]
#[path = "stall_test.rs"]
mod tests;
