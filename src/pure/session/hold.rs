//! How long commands wait, and what they hear when it was too long.
//!
//! A command waits at most `hold.timeout` from the moment that it could not go on. When the first
//! of a session is refused, everything behind it is too: a pipeline never has a hole.

use super::log::Entry;
use super::machine::{Link, Session, Stream};
use super::recover::Item;
use super::{Expect, World, plan, texts};
use crate::pure::command::Special;
use crate::pure::time::Time;
use std::sync::Arc;

impl Session {
    /// When the first command that waits has waited long enough.
    pub(super) fn hold_deadline(&self, world: &World) -> Option<Time> {
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
            Some(Entry { expect: Expect::Blocking(_), .. }) => None,
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
        if self.is_in_flight() || matches!(self.link, Link::Draining(_)) {
            // Sent, and nobody has decided since what became of it. It is given up with its link;
            // what is harmless comes back from there and is refused with the rest.
            self.lose_link(world);
            self.retry_later(world, now);
        }
        let reply = texts::no_primary(world.policy.hold_timeout);
        let refused = self.refuse_waiting(world, now, &reply);
        world.tally.refused_timeout += refused;
    }

    /// Answers every command that waits with `reply`, the oldest first; returns how many.
    pub(super) fn refuse_waiting(&mut self, world: &mut World, now: Time, reply: &[u8]) -> u64 {
        let mut items = Vec::new();
        while let Some((entry, request)) = self.log.pop_unsent() {
            let Entry { at, expect, original, streamed, .. } = entry;
            if matches!(expect, Expect::Acquaintance) {
                continue;
            }
            items.push(if let Expect::Local(reply) = expect {
                Item::Local { at, reply }
            } else if let Expect::Fatal(reply) = expect {
                Item::Fatal { at, reply }
            } else if let Some(streamed) = streamed {
                if !streamed.complete {
                    self.stream = Some(Stream::Discard);
                }
                Item::Local { at, reply: reply.into() }
            } else {
                Item::Raw { at, request: original.unwrap_or(request) }
            });
        }
        let rest = std::mem::take(&mut self.replay);
        let waiting: Vec<Item> = items.into_iter().rev().chain(rest).collect();
        let table = Arc::clone(&world.table);
        let mut refused = 0;
        for item in waiting {
            let at = item.at();
            let reply: Box<[u8]> = match item {
                Item::Local { reply, .. } => reply,
                Item::Fatal { reply, .. } => {
                    self.replay.push_back(Item::Fatal { at, reply });
                    continue;
                }
                Item::Stream { entry, .. } => {
                    if entry.streamed.is_some_and(|it| !it.complete) {
                        self.stream = Some(Stream::Discard);
                    }
                    refused += 1;
                    reply.into()
                }
                Item::Raw { request, .. } => {
                    let class = plan::classify(&table, &request);
                    if class.special == Special::Quit {
                        self.replay.push_back(Item::Raw { at, request });
                        continue;
                    }
                    refused += 1;
                    self.abort_transaction(class);
                    reply.into()
                }
            };
            self.replay.push_back(Item::Local { at, reply });
        }
        self.tail_multi = self.state.is_in_transaction();
        self.admit_replay(world, now);
        refused
    }
}
