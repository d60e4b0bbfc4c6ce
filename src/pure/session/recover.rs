//! What becomes of requests that were on their way when their link was lost, or when its node
//! proved not to be a primary.
//!
//! | it was | then |
//! |---|---|
//! | not wholly sent | admitted again: it cannot have run |
//! | harmless to run twice | admitted again |
//! | queued in a transaction | admitted again, after the transaction is reopened |
//! | waiting at the node by its nature | admitted again, with the time that is left |
//! | a write, or `EXEC` | answered `-UNCERTAIN`, unless the operator opted into replay |
//!
//! The order of answers stays the order of requests, because everything goes back through
//! [`Session::admit_replay`] in that order, answers included.

use super::log::{Entry, Taken};
use super::machine::{Link, Session};
use super::plan;
use super::{Expect, UncertainWrites, World, texts};
use crate::pure::command::{Effect, Special, Table};
use crate::pure::resp::{reply, request, write};
use crate::pure::time::Time;
use std::collections::VecDeque;

/// Something to be admitted again.
#[derive(Debug)]
pub(super) enum Item {
    /// A request, as the client wrote it.
    Raw { at: Time, request: Box<[u8]> },
    /// An answer that waits for its turn.
    Local { at: Time, reply: Box<[u8]> },
    /// The last word to a client that broke the protocol.
    Fatal { at: Time, reply: Box<[u8]> },
    /// The beginning of a large request of which nothing was lost.
    Stream { entry: Box<Entry>, request: Box<[u8]> },
}

impl Item {
    /// Bytes kept.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Raw { request, .. } | Self::Stream { request, .. } => request.len(),
            Self::Local { reply, .. } | Self::Fatal { reply, .. } => reply.len(),
        }
    }

    /// When its request was first seen.
    pub(super) fn at(&self) -> Time {
        match self {
            Self::Raw { at, .. } | Self::Local { at, .. } | Self::Fatal { at, .. } => *at,
            Self::Stream { entry, .. } => entry.at,
        }
    }
}

/// Requests taken back, in order, with an eye on transactions: what was queued in one that may
/// have run must not be queued again.
#[derive(Debug)]
pub(super) struct Recovery {
    items: VecDeque<Item>,
    in_multi: bool,
    /// Where the open transaction begins among the items; `None` if it was open before them.
    multi_at: Option<usize>,
    /// The transaction that was open at the start has ended in a way nobody knows, or ran.
    ended: bool,
    /// All that was queued in the open transaction is harmless to run twice.
    harmless: bool,
}

impl Recovery {
    pub(super) fn new(in_multi: bool) -> Self {
        Self { items: VecDeque::new(), in_multi, multi_at: None, ended: false, harmless: false }
    }

    /// Whether the transaction that was open before the first item is over.
    pub(super) const fn has_ended_transaction(&self) -> bool {
        self.ended
    }

    /// A request that can be admitted again.
    pub(super) fn again(&mut self, table: &Table, taken: Taken) {
        let Taken { entry, bytes, .. } = taken;
        if matches!(entry.expect, Expect::Acquaintance) {
            return;
        }
        if entry.streamed.is_some() {
            self.items.push_back(Item::Stream { entry: Box::new(entry), request: bytes });
            return;
        }
        let request = match (entry.original, &entry.expect) {
            (None, Expect::Confirm(_, Some(left))) => unconfirmed(bytes, *left),
            (original, _) => original.unwrap_or(bytes),
        };
        let special = plan::classify(table, &request).special;
        if special == Special::Multi && !self.in_multi {
            self.in_multi = true;
            self.harmless = true;
            self.multi_at = Some(self.items.len());
        } else if matches!(special, Special::Exec | Special::Discard | Special::Reset) {
            self.in_multi = false;
        }
        self.harmless &= entry.effect != Effect::Write || special == Special::Exec;
        self.items.push_back(Item::Raw { at: entry.at, request });
    }

    /// `EXEC` was answered with `frame` by a node that has proved not to be a primary. What only
    /// read is run again, in its place behind what was refused before it.
    pub(super) fn drain_exec(&mut self, table: &Table, taken: Taken, frame: &[u8]) {
        let ran = reply::error_text(frame).is_none();
        if ran && !(self.in_multi && self.harmless && !reply::is_null(frame)) {
            self.answer_exec(taken.entry.at, frame);
        } else {
            self.again(table, taken);
        }
    }

    /// Whether what comes next was only queued: it cannot have run.
    pub(super) const fn is_in_multi(&self) -> bool {
        self.in_multi
    }

    /// A request that has its answer.
    pub(super) fn answer(&mut self, at: Time, reply: impl Into<Box<[u8]>>) {
        self.items.push_back(Item::Local { at, reply: reply.into() });
    }

    /// `EXEC` has, or may have, run: what was queued for it is answered as the node would have.
    pub(super) fn answer_exec(&mut self, at: Time, reply: impl Into<Box<[u8]>>) {
        let start = self.multi_at.take();
        self.ended |= start.is_none();
        for (index, item) in self.items.iter_mut().enumerate().skip(start.unwrap_or(0)) {
            if let Item::Raw { at, .. } = item {
                let reply = if start == Some(index) { texts::OK } else { texts::QUEUED };
                *item = Item::Local { at: *at, reply: reply.into() };
            }
        }
        self.in_multi = false;
        self.answer(at, reply);
    }

    /// Decides about one request of a lost link.
    fn lose(&mut self, world: &mut World, taken: Taken) {
        let (at, effect, whole) = (taken.entry.at, taken.entry.effect, taken.whole);
        if let Expect::Local(reply) = taken.entry.expect {
            return self.answer(at, reply);
        }
        if let Expect::Fatal(reply) = taken.entry.expect {
            return self.items.push_back(Item::Fatal { at, reply });
        }
        if let Some(streamed) = taken.entry.streamed
            && streamed.gone
        {
            if whole && effect == Effect::Write {
                world.tally.uncertain += 1;
                return self.answer(at, texts::UNCERTAIN);
            }
            world.tally.refused_streamed += 1;
            return self.answer(at, texts::STREAM_CUT);
        }
        if whole && matches!(taken.entry.expect, Expect::Exec) && self.in_multi {
            world.tally.uncertain += 1;
            return self.answer_exec(at, texts::UNCERTAIN);
        }
        let waits = matches!(taken.entry.expect, Expect::Blocking(_));
        let safe = !whole || self.in_multi || waits || effect != Effect::Write;
        if safe {
            world.tally.replayed_reads += u64::from(whole && effect == Effect::Read);
        } else if world.policy.uncertain_writes == UncertainWrites::Replay {
            world.tally.replayed_writes += 1;
        } else {
            world.tally.uncertain += 1;
            return self.answer(at, texts::UNCERTAIN);
        }
        self.again(&world.table, taken);
    }
}

/// The names of a `SUBSCRIBE` (or its kin) that were not confirmed: the last `left`.
fn unconfirmed(frame: Box<[u8]>, left: usize) -> Box<[u8]> {
    let args = request::args(&frame);
    let confirmed = args.len().saturating_sub(1).saturating_sub(left);
    if confirmed == 0 {
        return frame;
    }
    let rest: Vec<&[u8]> =
        [args.name()].into_iter().chain(args.iter().skip(1 + confirmed)).collect();
    let mut out = Vec::new();
    write::request(&mut out, &rest);
    out.into()
}

impl Session {
    /// The link is gone: decides about everything that was on it and takes back the rest.
    pub(super) fn lose_link(&mut self, world: &mut World) {
        let link = std::mem::replace(&mut self.link, Link::Down);
        let was_in_use = !matches!(link, Link::Down | Link::Restoring(_));
        self.drop_link = false;
        // What is admitted again says so again.
        self.sharing.on_shared = false;
        self.sharing.needs_own = false;
        self.identity.lose();
        self.upbox.clear();
        if let Some(passing) = self.passing.take() {
            self.lose_passing(world, passing.hidden, passing.unasked);
        }
        let mut recovery = match link {
            Link::Draining(recovery) => *recovery,
            Link::Down | Link::Up | Link::Restoring(_) | Link::Doubting(_) => {
                Recovery::new(self.state.is_in_transaction())
            }
        };
        while let Some(taken) = self.log.take() {
            if matches!(taken.entry.expect, Expect::Tunnel) && taken.whole {
                self.end.get_or_insert(super::End::Tunnel);
            }
            let cut = taken.entry.streamed.is_some_and(|it| it.gone && !it.complete);
            recovery.lose(world, taken);
            if cut {
                self.stream = Some(super::machine::Stream::Discard);
            }
        }
        self.log.unsend();
        self.take_back(recovery);
        self.state.break_watch();
        if was_in_use {
            self.note_gap(world);
        }
        self.catch_up(world);
    }

    /// Puts what was recovered in front of what waits to be admitted.
    fn take_back(&mut self, recovery: Recovery) {
        if recovery.has_ended_transaction() {
            self.state.rare_mut().transaction = None;
            self.state.forget_watch();
        }
        if self.state.is_in_transaction()
            && let Some(transaction) = &mut self.state.rare_mut().transaction
        {
            transaction.lose();
        }
        let mut items = recovery.items;
        items.append(&mut self.replay);
        self.replay = items;
        // What is admitted again sets this again.
        self.tail_multi = self.state.is_in_transaction();
    }

    /// A reply was passing to the client when its link was lost.
    fn lose_passing(&mut self, world: &mut World, hidden: bool, unasked: bool) {
        if !hidden {
            self.cut();
        }
        if !unasked && let Some(taken) = self.log.take() {
            // It has run, and the client has seen the beginning of its answer.
            world.tally.uncertain += u64::from(taken.entry.effect == Effect::Write);
        }
    }

    /// Whoever listened may have missed something.
    fn note_gap(&mut self, world: &mut World) {
        world.tally.subscription_gaps += u64::from(self.state.is_subscribed());
    }
}
