//! Replies from a shared connection: taken, and written to the client, without waking the
//! session's own task.

use super::{Driver, Gate, Seat};
use crate::pure::mux::{Mux, Nobody, Run, Taker};
use crate::pure::session::World;
use crate::pure::time::Time;
use crate::telemetry::metrics::Direction;

/// Replies from this size on are offered to the client's socket where they lie; smaller ones are
/// collected, so that those of one turn leave in one write.
const OFFER_MIN: usize = 4 * 1024;

impl Driver {
    /// Takes its replies at the start of `input`, from the shared connection; and whether they are
    /// the first of a turn. A session that is over has no use for them.
    pub(in crate::proxy) fn take_run(
        &mut self,
        gate: &Gate,
        now: Time,
        mux: &mut Mux<Seat>,
        input: &[u8],
    ) -> (Run, bool) {
        if self.closed {
            return (mux.deal_run(input, &mut Nobody), false);
        }
        let mut world = gate.world.borrow_mut();
        let run = mux.deal_run(input, &mut Taking { driver: self, world: &mut world, now });
        (run, !std::mem::replace(&mut self.touched, true))
    }

    /// Gives the client what it takes at once of `bytes`, before which nothing waits.
    pub(super) fn offer(&self, bytes: &[u8]) -> usize {
        // Full or gone: the session's own task finds out which.
        let taken = self.client.try_write(bytes).unwrap_or_default();
        self.gate.cells.bytes.add(Direction::ClientOut, taken as u64);
        taken
    }

    /// Bytes of a large reply from a shared connection that wait for the client.
    pub(in crate::proxy) fn unread(&self) -> usize {
        if self.machine.is_passing() { self.machine.to_client().len() } else { 0 }
    }

    /// The client did not read its replies for too long.
    pub(in crate::proxy) fn give_up_reader(&mut self) {
        self.machine.give_up_reader();
        self.wake();
    }

    /// After a turn in which the shared connection gave replies: they go to the client at once.
    pub(in crate::proxy) fn after_replies(&mut self, now: Time) {
        self.touched = false;
        self.used = true;
        let mut world = self.gate.world.borrow_mut();
        self.machine.on_turn_end(&mut world, now);
        drop(world);
        while !self.machine.to_client().is_empty() {
            let taken = self.offer(self.machine.to_client());
            if taken == 0 {
                break;
            }
            self.machine.delivered(taken);
        }
        let world = self.gate.world.borrow();
        let must_look = self.paused || self.client_eof || self.gate.is_draining();
        if must_look || self.machine.needs_shell(&world) {
            self.wake();
        }
    }
}

/// Gives the replies of a shared connection to a session, and large ones to its client at once.
struct Taking<'a> {
    driver: &'a mut Driver,
    world: &'a mut World,
    now: Time,
}

impl Taking<'_> {
    /// What of `bytes`, which are for the client, it did not take at once.
    fn left<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        // What a guarded session is told may have to wait.
        let is_first = self.driver.machine.is_delivered() && !self.driver.machine.is_guarded();
        if bytes.len() < OFFER_MIN || !is_first {
            return bytes;
        }
        bytes.get(self.driver.offer(bytes)..).unwrap_or_default()
    }
}

impl Taker for Taking<'_> {
    fn reply(&mut self, frame: &[u8]) {
        if frame.len() >= OFFER_MIN && self.driver.machine.forwards(frame) {
            let left = self.left(frame);
            self.driver.machine.forward(self.world, self.now, left);
        } else {
            self.driver.machine.on_shared_reply(self.world, self.now, frame);
        }
    }

    fn part(&mut self, start: &[u8], passable: usize, missing: usize) -> bool {
        if !self.driver.machine.takes_part(self.world, start, missing) {
            return false;
        }
        let part = start.get(..passable).unwrap_or_default();
        if self.driver.machine.on_shared_part(self.world, part) {
            let left = self.left(part);
            self.driver.machine.deliver_later(left);
        }
        true
    }
}
