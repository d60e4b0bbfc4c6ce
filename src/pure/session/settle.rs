//! After every event: what is kept is counted, whether it is stuck is noted, and a session whose
//! client hung up ends as soon as its client has all that it will get.

use super::machine::{End, Session, Stream};
use super::recover::Item;
use super::{Expect, Held, World};
use crate::pure::time::Time;

impl Session {
    /// After every event: what is kept is counted, and whether it is stuck is noted.
    pub(super) fn settle(&mut self, world: &mut World, now: Time) {
        if self.log.is_empty() && self.replay.is_empty() {
            // Nor before the client can know that something was turned away.
            self.refusing &= !self.inbox.is_empty() || self.is_withheld();
            self.suspect = false;
        }
        let waiting = self.log.count() + self.replay.len();
        let can_send = self.can_send(world);
        if can_send && !self.suspect {
            if let Some(since) = self.stuck_since.take()
                && self.held.commands > 0
            {
                world.tally.released += waiting as u64;
                world.hold_ended.push(now.since(since));
            }
        } else if self.stuck_since.is_none() {
            self.stuck_since = Some(now);
        }
        let held = if can_send || waiting == 0 {
            Held::default()
        } else {
            Held { commands: waiting, bytes: self.log.bytes() }
        };
        world.held.commands =
            (world.held.commands + held.commands).saturating_sub(self.held.commands);
        world.held.bytes = (world.held.bytes + held.bytes).saturating_sub(self.held.bytes);
        self.held = held;
        let in_flight = if can_send { waiting } else { 0 };
        world.in_flight = (world.in_flight + in_flight).saturating_sub(self.in_flight);
        self.in_flight = in_flight;
        self.closing = self.eof && !(self.has_work() && self.can_finish(world));
        self.close_if_done();
        self.note_redirect(world, now);
        let kept = self.kept() + self.count_withheld(world);
        world.budget.used = (world.budget.used + kept).saturating_sub(self.charged);
        self.charged = kept;
        self.beside = kept.saturating_sub(self.log.bytes() + self.inbox.len());
        self.count_drained(world);
        self.count_listening(world);
    }

    /// Bytes that this session keeps for its client.
    fn kept(&self) -> usize {
        let transaction = self.state.rare().map_or(0, |it| {
            it.transaction.as_ref().map_or(0, |it| it.bytes()) + it.subscriptions.bytes()
        });
        let replay: usize = self.replay.iter().map(Item::bytes).sum();
        self.log.bytes() + self.inbox.len() + replay + transaction
    }

    /// Whether what a client that hung up has asked for will be answered soon.
    fn can_finish(&self, world: &World) -> bool {
        let waits = matches!(self.log.front().map(|it| &it.expect), Some(Expect::Blocking(_)));
        let cut = self.tunnel || self.stream == Some(Stream::Relay);
        (world.route.lets_finish() || world.awaits_heir) && !waits && !cut
    }

    /// Ends the session of a client that hung up, once it has all that it will get.
    pub(super) fn close_if_done(&mut self) {
        if self.closing && self.out.is_empty() {
            self.end.get_or_insert(End::Client);
        }
    }

    /// The session goes: what it kept is no longer counted.
    pub fn close(&mut self, world: &mut World) {
        world.budget.used = world.budget.used.saturating_sub(self.charged);
        self.charged = 0;
        world.held.commands = world.held.commands.saturating_sub(self.held.commands);
        world.held.bytes = world.held.bytes.saturating_sub(self.held.bytes);
        self.held = Held::default();
        world.in_flight = world.in_flight.saturating_sub(self.in_flight);
        self.in_flight = 0;
        self.clear_out();
        self.count_withheld(world);
        self.identity.forget(world);
        self.uncount_drained(world);
        self.uncount_listening(world);
        world.directory.redirect(self.redirects_to.take(), None);
    }
}
