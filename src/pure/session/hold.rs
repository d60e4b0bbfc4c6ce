//! How long commands wait, and what they hear when it was too long.
//!
//! A command waits at most `hold.timeout` from the moment that it could not go on. When the first
//! of a session is refused, everything behind it is too: a pipeline never has a hole.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "most commands are refused alike; only those that are not are named"
)]

use super::log::Entry;
use super::machine::{Link, Session, Stream};
use super::recover::Item;
use super::state::Change;
use super::{Expect, World, plan, texts};
use crate::pure::command::Special;
use crate::pure::resp::request;
use crate::pure::time::Time;
use std::collections::VecDeque;

impl Session {
    /// When the first command that waits has waited long enough.
    pub(super) fn hold_deadline(&self, world: &World) -> Option<Time> {
        if self.can_send(world) {
            return None;
        }
        let stuck = self.stuck_since?;
        let at = self.first_waiting()?;
        Some(at.max(stuck) + world.policy.hold_timeout)
    }

    /// When a command that waits by its nature would have been answered by its node.
    pub(super) fn blocked_deadline(&self) -> Option<Time> {
        self.stuck_since?;
        let Expect::Blocking(blocking) = &self.log.front()?.expect else { return None };
        if blocking.is_answerable() && !self.is_in_flight() { blocking.until } else { None }
    }

    /// When the first request that cannot wait by its nature came.
    fn first_waiting(&self) -> Option<Time> {
        match self.log.front() {
            Some(Entry { expect: Expect::Blocking(it), .. }) if it.may_outwait() => None,
            Some(first) => Some(first.at),
            None => self.replay.front().map(Item::at),
        }
    }

    /// Answers what has waited too long.
    pub(super) fn expire(&mut self, world: &mut World, now: Time) {
        if self.blocked_deadline().is_some_and(|it| it <= now) {
            self.log.pop();
            self.emit(texts::null_array(self.state.proto));
        }
        if self.hold_deadline(world).is_none_or(|it| now < it) {
            return;
        }
        if self.is_in_flight() || matches!(self.link, Link::Draining(_) | Link::Restoring(_)) {
            // Sent, and nobody has decided since what became of it. It is given up with its link;
            // what is harmless comes back from there and is refused with the rest. A node that
            // does not even answer the restoration is no better.
            self.lose_link(world);
            self.retry_later(world, now);
        }
        let reply = texts::no_primary(world.policy.hold_timeout);
        let refused = self.refuse_waiting(world, now, &reply);
        world.tally.refused_timeout += refused;
        // The refusal stands behind replies that are withheld: its client does not know of it, and
        // what is on its way was sent in the belief that all before it will run.
        self.refusing |= refused > 0 && self.is_withheld();
    }

    /// Answers every command that waits with `reply`, the oldest first: those taken back or held,
    /// and what has arrived behind them. Returns how many.
    pub(super) fn refuse_waiting(&mut self, world: &mut World, now: Time, reply: &[u8]) -> u64 {
        let mut waiting = VecDeque::new();
        while let Some((entry, request)) = self.log.pop_unsent() {
            if let Some(item) = Item::of(entry, request) {
                waiting.push_front(item);
            }
        }
        waiting.append(&mut self.replay);
        self.tail_multi = self.state.is_in_transaction();
        let mut refused = 0;
        for item in waiting {
            match item {
                Item::Here { expect, .. } => self.answer_here(expect),
                Item::Raw { ran: true, .. } => {
                    world.tally.uncertain += 1;
                    self.emit(texts::UNCERTAIN);
                }
                Item::Raw { request, .. } => {
                    refused += 1;
                    let special = plan::classify(&world.table, &request).special;
                    self.refuse_now(special, &request, reply);
                }
                Item::Kept { entry, .. } => {
                    refused += 1;
                    self.refuse_kept(*entry, reply);
                }
            }
        }
        self.refusal = Some(Refusal { reply: reply.into(), count: 0 });
        self.admit_inbox(world, now);
        if !self.is_proven {
            self.requests.set_limits(request::Limits::UNAUTHENTICATED);
        }
        refused + self.refusal.take().map_or(0, |it| it.count)
    }

    fn refuse_kept(&mut self, entry: Entry, reply: &[u8]) {
        if entry.streamed.is_some_and(|it| !it.complete) {
            self.stream = Some(Stream::Discard);
        }
        match entry.expect {
            Expect::Replace(own) => self.refuse_now(Special::None, b"", &own),
            Expect::DiscardAs(own) => self.refuse_now(Special::Exec, b"", &own),
            _ => self.refuse_now(Special::None, b"", reply),
        }
    }

    /// Answers a request, whose turn it is, with `reply`.
    pub(super) fn refuse_now(&mut self, special: Special, request: &[u8], reply: &[u8]) {
        let in_transaction = self.state.is_in_transaction();
        // Whatever becomes of the transaction now, the node would not know.
        self.drop_link |= in_transaction && self.has_link();
        match special {
            // These need no node, and no client expects an error: the framing would slip.
            Special::ClientReply if !in_transaction => match plan::reply_mode(request) {
                Some(mode) => self.answer_change(Change::Reply(mode), texts::OK, false),
                None => self.emit(reply),
            },
            Special::Reset => {
                self.tail_multi = false;
                self.drop_link |= self.has_link();
                self.answer_change(Change::Reset, texts::RESET, false);
            }
            // For its client the transaction is over.
            Special::Exec | Special::Discard if in_transaction => {
                self.tail_multi = false;
                self.state.apply(Change::Discard);
                self.emit(reply);
            }
            _ => {
                if let Some(it) = self.state.rare_if_any().and_then(|it| it.transaction.as_mut()) {
                    it.abort();
                }
                self.emit(reply);
            }
        }
    }
}

/// Why what arrives now is refused although the hold has room.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reply: Box<[u8]>,
    pub(super) count: u64,
}
