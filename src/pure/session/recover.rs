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

use super::log::{Entry, Log, Taken};
use super::machine::{End, Link, Session, Stream};
use super::plan;
use super::state::{Change, ReplyMode};
use super::transaction::Transaction;
use super::{Expect, UncertainWrites, World, texts};
use crate::pure::command::Effect;
use crate::pure::resp::{request, write};
use crate::pure::time::Time;
use std::collections::VecDeque;

/// Something to be admitted again.
#[derive(Debug)]
pub(super) enum Item {
    /// A request, as the client wrote it.
    Raw { at: Time, request: Box<[u8]>, ran: bool },
    /// Something that needs no node and waits for its turn.
    Here { at: Time, expect: Expect },
    /// What goes into the log as it came out of it: the beginning of a large request of which
    /// nothing was lost, or a refusal that a transaction must hear of.
    Kept { entry: Box<Entry>, request: Box<[u8]> },
}

impl Item {
    /// What an entry of the log and its bytes come to; nothing if only Segue wanted to know.
    pub(super) fn of(entry: Entry, bytes: Box<[u8]>) -> Option<Self> {
        let at = entry.at;
        if matches!(entry.expect, Expect::Acquaintance) {
            return None;
        }
        if entry.expect.is_here() {
            return Some(Self::Here { at, expect: entry.expect });
        }
        let refused = matches!(entry.expect, Expect::Replace(_) | Expect::DiscardAs(_));
        if entry.streamed.is_some() || refused && entry.original.is_none() {
            return Some(Self::Kept { entry: Box::new(entry), request: bytes });
        }
        let ran = entry.ran;
        let request = match (entry.original, &entry.expect) {
            (None, Expect::Confirm(_, Some(left))) => unconfirmed(bytes, *left),
            (original, _) => original.unwrap_or(bytes),
        };
        Some(Self::Raw { at, request, ran })
    }

    /// Bytes kept.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Raw { request, .. } | Self::Kept { request, .. } => request.len(),
            Self::Here { expect: Expect::Local(reply), .. } => reply.len(),
            Self::Here { .. } => 0,
        }
    }

    /// When its request was first seen.
    pub(super) fn at(&self) -> Time {
        match self {
            Self::Raw { at, .. } | Self::Here { at, .. } => *at,
            Self::Kept { entry, .. } => entry.at,
        }
    }
}

/// Requests taken back, in order, with an eye on transactions: what was queued in one that may
/// have run must not be queued again.
#[derive(Debug)]
pub(super) struct Recovery {
    items: VecDeque<Item>,
    in_multi: bool,
    /// Something was refused in the open transaction: it cannot run.
    aborted: bool,
    /// Where the open transaction begins among the items; `None` if it was open before them.
    multi_at: Option<usize>,
    /// What the requests queued since then change, one each.
    queued: Vec<Option<Change>>,
    /// Running one of those twice would show.
    writes: bool,
    /// The transaction that was open at the start has ended in a way nobody knows, or ran.
    ended: bool,
    /// So did some transaction, and with it every watch.
    watch_over: bool,
    /// Confirmations of the first request in the log that were seen and not passed on.
    confirmed: usize,
}

impl Recovery {
    /// Nothing yet; `open` is the transaction that is open.
    pub(super) fn new(open: Option<&Transaction>) -> Self {
        Self {
            items: VecDeque::new(),
            in_multi: open.is_some(),
            aborted: open.is_some_and(Transaction::is_aborted),
            multi_at: None,
            queued: Vec::new(),
            writes: false,
            ended: false,
            watch_over: false,
            confirmed: 0,
        }
    }

    /// Whether a transaction is open behind the last item.
    pub(super) const fn is_in_multi(&self) -> bool {
        self.in_multi
    }

    /// Whether the open transaction holds something that shows if it runs twice; `before` says so
    /// of what was queued before the first item.
    pub(super) const fn writes(&self, before: bool) -> bool {
        self.writes || before && self.multi_at.is_none()
    }

    /// What the requests taken back into the open transaction change, one each, and whether others
    /// were queued before.
    pub(super) fn take_queued(&mut self) -> (Vec<Option<Change>>, bool) {
        (std::mem::take(&mut self.queued), self.multi_at.is_none())
    }

    /// A confirmation for the first request of the log, of which `left` are to come; whether it
    /// was the last.
    pub(super) const fn confirm(&mut self, left: usize) -> bool {
        self.confirmed += 1;
        let last = self.confirmed >= left;
        if last {
            self.confirmed = 0;
        }
        last
    }

    /// Takes what needs no node from the front of the log.
    pub(super) fn take_here(&mut self, log: &mut Log) {
        while log.front().is_some_and(|it| it.expect.is_here()) {
            let Some(Taken { entry, bytes, .. }) = log.take() else { return };
            self.items.extend(Item::of(entry, bytes));
        }
    }

    /// A request that can be admitted again.
    pub(super) fn again(&mut self, taken: Taken) {
        let Taken { entry, bytes, .. } = taken;
        match &entry.expect {
            Expect::Change(change) if matches!(**change, Change::Multi) && !self.in_multi => {
                self.in_multi = true;
                self.aborted = false;
                self.multi_at = Some(self.items.len());
                self.queued.clear();
                self.writes = false;
            }
            Expect::Exec | Expect::DiscardAs(_) | Expect::ExecAsNull => self.in_multi = false,
            Expect::Change(change) if matches!(**change, Change::Discard | Change::Reset) => {
                self.in_multi = false;
            }
            Expect::Change(change) | Expect::Hello(change) if self.in_multi => {
                self.queued.push(Some((**change).clone()));
            }
            Expect::Forward
            | Expect::Local(_)
            | Expect::Acquaintance
            | Expect::Replace(_)
            | Expect::Change(_)
            | Expect::Quit
            | Expect::Fatal(_)
            | Expect::Confirm(..)
            | Expect::Blocking(_)
            | Expect::Cursor
            | Expect::Script(_)
            | Expect::ScriptLoad(_)
            | Expect::ScriptFlush
            | Expect::Identity(_)
            | Expect::Hello(_)
            | Expect::Tunnel => {
                if self.in_multi {
                    self.aborted |= matches!(entry.expect, Expect::Replace(_));
                    self.queued.push(None);
                    self.writes |= entry.effect == Effect::Write;
                }
            }
        }
        self.items.extend(Item::of(entry, bytes));
    }

    /// A request that has its answer.
    pub(super) fn answer(&mut self, at: Time, reply: impl Into<Box<[u8]>>) {
        self.items.push_back(Item::Here { at, expect: Expect::Local(reply.into()) });
    }

    /// A request that cannot be sent again. An open transaction must not run without it.
    pub(super) fn refuse(&mut self, at: Time, reply: &[u8]) {
        if self.in_multi {
            self.aborted = true;
            let (entry, request) = plan::refusal(at, reply);
            self.items.push_back(Item::Kept { entry: Box::new(entry), request });
        } else {
            self.answer(at, reply);
        }
    }

    /// `EXEC` has, or may have, run: what was queued for it is answered as the node would have.
    pub(super) fn answer_exec(&mut self, at: Time, reply: impl Into<Box<[u8]>>) {
        let start = self.multi_at.take();
        self.ended |= start.is_none();
        self.watch_over = true;
        for (index, item) in self.items.iter_mut().enumerate().skip(start.unwrap_or(0)) {
            if let Item::Raw { at, .. } = item {
                let reply = if start == Some(index) { texts::OK } else { texts::QUEUED };
                *item = Item::Here { at: *at, expect: Expect::Local(reply.into()) };
            }
        }
        self.in_multi = false;
        self.answer(at, reply);
    }

    /// Decides about one request of a lost link.
    fn lose(&mut self, world: &mut World, mut taken: Taken) {
        let (at, effect, whole) = (taken.entry.at, taken.entry.effect, taken.whole);
        if taken.entry.expect.is_here() {
            return self.items.extend(Item::of(taken.entry, taken.bytes));
        }
        if taken.entry.streamed.is_some_and(|it| it.gone) {
            if whole && effect == Effect::Write && !self.in_multi {
                world.tally.uncertain += 1;
                return self.answer(at, texts::UNCERTAIN);
            }
            world.tally.refused_streamed += 1;
            return self.refuse(at, texts::STREAM_CUT);
        }
        let is_exec = matches!(taken.entry.expect, Expect::Exec) && self.in_multi;
        if is_exec && whole && !self.aborted {
            world.tally.uncertain += 1;
            return self.answer_exec(at, texts::UNCERTAIN);
        }
        let waits = matches!(taken.entry.expect, Expect::Blocking(_));
        let safe = !whole || self.in_multi || waits || effect != Effect::Write;
        if safe {
            world.tally.replayed_reads += u64::from(whole && effect == Effect::Read);
        } else if world.policy.uncertain_writes == UncertainWrites::Replay {
            world.tally.replayed_writes += 1;
            taken.entry.ran = true;
        } else {
            world.tally.uncertain += 1;
            return self.answer(at, texts::UNCERTAIN);
        }
        self.again(taken);
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
        self.suspect |= self.log.has_sent();
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
                Recovery::new(self.state.transaction())
            }
        };
        if self.tunnel {
            self.end.get_or_insert(End::Tunnel);
        }
        while let Some(taken) = self.log.take() {
            let cut = taken.entry.streamed.is_some_and(|it| it.gone && !it.complete);
            recovery.lose(world, taken);
            if cut {
                self.stream = Some(Stream::Discard);
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
        if recovery.ended {
            self.state.rare_mut().transaction = None;
        }
        if recovery.watch_over {
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
        if !hidden && !self.lose_open(world) {
            self.cut();
        }
        if !unasked && self.state.reply == ReplyMode::SkipNext {
            self.state.reply = ReplyMode::On;
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
