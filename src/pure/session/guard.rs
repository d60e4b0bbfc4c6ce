//! Guarded writes: a reply that says "done" is withheld until enough replicas have the write.
//!
//! ```text
//!  node --reply--> out [ delivered | may go | WRITE's reply ........ everything behind it ]
//!                                           ^ gate: round k has not confirmed it
//!
//!  round k+1: waiting  --begin-->  round k: flying  --confirmed--> released
//!                                                   --short, lost--> -UNCERTAIN in its place
//! ```
//!
//! A *round* is one question to the primary: do `replicas` replicas have all that was executed
//! before this? It speaks for every reply that had arrived when it was sent; what arrives later
//! waits for the next. So any number of writes costs one round, and one round is under way at a
//! time. Sessions that wait for none are not touched.
//!
//! # Invariants
//!
//! * No byte of a withheld reply, nor of anything behind it, is delivered before a round that
//!   began after the reply's first byte had arrived has confirmed it, in the epoch in which it
//!   arrived (or in the one to which that was handed over).
//! * A withheld reply that is not confirmed becomes exactly one `-UNCERTAIN`, in its place.
//! * Rounds end in the order in which they began, and marks stand in that order, too.
//!
//! # Deliberately absent
//!
//! How a round is asked, and the clock: `proxy::guard`. A session without a promise has none of
//! this but one test for `None`.

use super::log::Entry;
use super::machine::Session;
use super::rounds::{GuardedReads, Promise, Verdict};
use super::{Expect, World, texts};
use crate::pure::backlog::Backlog;
use crate::pure::command::Effect;
use crate::pure::resp::reply;
use crate::pure::topology::Epoch;
use std::borrow::Cow;
use std::collections::VecDeque;

/// What is withheld from clients now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Withheld {
    /// Replies that wait to be confirmed.
    pub replies: usize,
    /// Bytes of those and of everything behind them.
    pub bytes: usize,
}

/// Which promise a withheld reply waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Write,
    Read,
}

/// One withheld reply, by its place in all that the client is ever sent.
#[derive(Clone, Copy, Debug)]
struct Mark {
    start: u64,
    /// [`OPEN`] while it is still arriving.
    end: u64,
    round: u64,
    kind: Kind,
}

const OPEN: u64 = u64::MAX;

/// A guarded session's gate.
#[derive(Debug)]
pub(super) struct Guard {
    /// As which the rounds know the session.
    id: u64,
    /// Which of the worker's promises.
    promise: usize,
    terms: Promise,
    /// The epoch of the marks.
    epoch: Epoch,
    /// Bytes delivered so far: the place of the first byte in `out`.
    base: u64,
    marks: VecDeque<Mark>,
    /// The round for which it is in line.
    joined: u64,
    /// What it has of the worker's withheld replies.
    counted: Withheld,
}

impl Guard {
    /// How many of `len` waiting bytes may be delivered.
    pub(super) fn open(&self, len: usize) -> usize {
        self.marks.front().map_or(len, |it| place(it.start, self.base).min(len))
    }

    /// The first `n` bytes were delivered.
    pub(super) const fn delivered(&mut self, n: usize) {
        self.base += n as u64;
    }

    /// Replies that are withheld.
    pub(super) fn count(&self) -> usize {
        self.marks.len()
    }

    /// Nothing will be delivered any more.
    pub(super) fn abandon(&mut self) {
        self.marks.clear();
    }

    /// Which promise the reply `frame` to `entry` has to keep, if any.
    fn kind(&self, entry: &Entry, frame: &[u8]) -> Option<Kind> {
        match (entry.effect, &entry.expect) {
            (
                _,
                Expect::Local(_)
                | Expect::Replace(_)
                | Expect::Change(_)
                | Expect::ExecAsNull
                | Expect::DiscardAs(_)
                | Expect::Acquaintance
                | Expect::Quit
                | Expect::Fatal(_)
                | Expect::Confirm(..)
                | Expect::Identity(_)
                | Expect::Hello(_)
                | Expect::Tunnel,
            )
            | (Effect::Connection, _) => None,
            (Effect::Write, expect) => (!wrote_nothing(expect, frame)).then_some(Kind::Write),
            (Effect::Read, _) => {
                let waits = self.terms.reads == GuardedReads::Confirmed;
                (waits && frame.first() != Some(&b'-')).then_some(Kind::Read)
            }
        }
    }

    /// What stands in place of a reply that was not confirmed.
    fn doubt(&self, kind: Kind, is_lost: bool) -> Vec<u8> {
        let verb = match kind {
            Kind::Write => "executed",
            Kind::Read => "read",
        };
        texts::unconfirmed(verb, self.terms.replicas, self.terms.timeout, is_lost)
    }
}

/// The reply to `entry`, which ran on a node that is no primary: nobody can confirm a write there.
pub(super) fn doubted<'a>(
    guard: Option<&Guard>,
    world: &mut World,
    entry: &Entry,
    frame: &'a [u8],
) -> Cow<'a, [u8]> {
    match guard.and_then(|it| Some((it, it.kind(entry, frame)?))) {
        Some((guard, kind)) => {
            count_doubt(world, kind);
            guard.doubt(kind, true).into()
        }
        None => frame.into(),
    }
}

/// Where in the buffer that starts at `base` the byte `at` is.
fn place(at: u64, base: u64) -> usize {
    usize::try_from(at.saturating_sub(base)).unwrap_or(usize::MAX)
}

/// Whether `frame` proves that its command changed no data: then there is nothing to confirm.
fn wrote_nothing(expect: &Expect, frame: &[u8]) -> bool {
    let is_error = frame.first() == Some(&b'-');
    // A script may write first and fail, or say anything, afterwards.
    if matches!(expect, Expect::Script(_)) {
        return false;
    }
    // An `EXEC` that answers with an error, or null, has run nothing. A command that waits and is
    // answered null had its time; with an error it was let go before it was served. `WAIT` only
    // counts: to withhold "0 replicas" until there is one would never let a client know.
    if let Expect::Blocking(it) = expect
        && it.is_count()
    {
        return true;
    }
    if matches!(expect, Expect::Exec | Expect::Blocking(_)) {
        return is_error || reply::is_null(frame);
    }
    let Some(line) = frame.strip_prefix(b"-") else { return false };
    REFUSALS.iter().any(|it| line.starts_with(it))
}

/// How errors begin that servers answer before a command has changed anything. An error that is
/// not here may come from a module, or from something that was done in part.
const REFUSALS: [&[u8]; 20] = [
    b"WRONGTYPE ",
    b"NOAUTH ",
    b"NOPERM ",
    b"READONLY ",
    b"MASTERDOWN ",
    b"LOADING ",
    b"MISCONF ",
    b"OOM ",
    b"NOREPLICAS ",
    b"BUSY ",
    b"BUSYGROUP ",
    b"BUSYKEY ",
    b"NOGROUP ",
    b"EXECABORT ",
    b"ERR unknown command",
    b"ERR unknown subcommand",
    b"ERR wrong number of arguments",
    b"ERR syntax error",
    b"ERR value is not",
    b"ERR no such key",
];

/// The memory that marks of a burst leave behind.
const KEPT_MARKS_MAX: usize = 64;

impl Session {
    /// From now on the worker's promise number `promise` holds for this session, which the
    /// rounds know as `id`. Call it before the client has said anything.
    pub fn guard(&mut self, world: &World, id: u64, promise: usize) {
        let Some(rounds) = world.rounds.get(promise) else { return };
        self.guard = Some(Box::new(Guard {
            id,
            promise,
            terms: rounds.promise(),
            epoch: world.route.epoch,
            base: 0,
            marks: VecDeque::new(),
            joined: 0,
            counted: Withheld::default(),
        }));
    }

    /// A round of this session's promise is over.
    pub fn on_round(&mut self, world: &mut World, round: u64, verdict: Verdict) {
        let Some(guard) = self.guard.as_deref_mut() else { return };
        match verdict {
            Verdict::Short => self.unconfirm(world, round, false),
            Verdict::Confirmed => {
                while let Some(mark) = guard.marks.front().filter(|it| it.round <= round) {
                    match mark.kind {
                        Kind::Write => world.tally.guarded_writes += 1,
                        Kind::Read => world.tally.guarded_reads += 1,
                    }
                    guard.marks.pop_front();
                }
                if guard.marks.is_empty() && guard.marks.capacity() > KEPT_MARKS_MAX {
                    guard.marks = VecDeque::new();
                }
            }
        }
    }

    /// Whether a promise holds for this session: then no reply may go past [`Session::to_client`].
    pub const fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    /// Whether the client has all that it was answered; some may still wait to be confirmed.
    pub fn is_delivered(&self) -> bool {
        self.out.is_empty()
    }

    /// What is still to be delivered never will be.
    pub(super) fn clear_out(&mut self) {
        self.out.clear();
        if let Some(guard) = &mut self.guard {
            guard.abandon();
        }
    }

    /// Whether a reply waits to be confirmed.
    pub(super) fn is_withheld(&self) -> bool {
        self.guard.as_ref().is_some_and(|it| !it.marks.is_empty())
    }

    /// Which promise the reply `frame` to `entry` has to keep.
    pub(super) fn kind_of(&self, entry: &Entry, frame: &[u8]) -> Option<Kind> {
        self.guard.as_ref().and_then(|it| it.kind(entry, frame))
    }

    /// The reply in `out` from `from` on waits to be confirmed.
    pub(super) fn withhold(&mut self, world: &mut World, kind: Kind, from: usize) {
        let to = self.out.len();
        if from < to {
            self.mark(world, kind, from, Some(to));
        }
    }

    /// Likewise; the end of the reply is still to come.
    pub(super) fn withhold_open(&mut self, world: &mut World, start: &[u8]) {
        let from = self.out.len();
        if let Some(kind) = self.log.front().and_then(|it| self.kind_of(it, start)) {
            self.mark(world, kind, from, None);
        }
    }

    /// The reply that was still arriving is complete.
    pub(super) fn close_mark(&mut self) {
        let end = self.out.len() as u64;
        if let Some(guard) = self.guard.as_deref_mut()
            && let Some(mark) = guard.marks.back_mut().filter(|it| it.end == OPEN)
        {
            mark.end = guard.base + end;
        }
    }

    fn mark(&mut self, world: &mut World, kind: Kind, from: usize, to: Option<usize>) {
        self.guard_route(world);
        // An answer of another epoch's primary, which was not handed over: nobody can confirm it.
        let is_late = !self.is_current(world) && !world.route.handed_over;
        let Some(guard) = self.guard.as_deref_mut() else { return };
        let Some(rounds) = world.rounds.get_mut(guard.promise) else { return };
        let round = rounds.join(guard.id, &mut guard.joined);
        let start = guard.base + from as u64;
        let end = to.map_or(OPEN, |it| guard.base + it as u64);
        guard.marks.push_back(Mark { start, end, round, kind });
        if is_late {
            self.unconfirm(world, u64::MAX, true);
        }
    }

    /// Sees a new epoch: what the old primary has answered and nobody confirmed is uncertain;
    /// unless the new one was given everything, and can be asked instead.
    pub(super) fn guard_route(&mut self, world: &mut World) {
        let epoch = world.route.epoch;
        let Some(guard) = self.guard.as_deref_mut().filter(|it| it.epoch != epoch) else { return };
        let is_next = guard.epoch.next() == epoch;
        guard.epoch = epoch;
        if guard.marks.is_empty() {
            return;
        }
        if !(world.route.handed_over && is_next) {
            return self.unconfirm(world, u64::MAX, true);
        }
        guard.joined = 0;
        let Some(rounds) = world.rounds.get_mut(guard.promise) else { return };
        let round = rounds.join(guard.id, &mut guard.joined);
        guard.marks.iter_mut().for_each(|it| it.round = round);
    }

    /// Too much is withheld: what waits is answered as it stands.
    pub(super) fn give_up_withheld(&mut self, world: &mut World) {
        self.unconfirm(world, u64::MAX, false);
    }

    /// A reply was still arriving when its link was lost: if it is withheld, the client has seen
    /// nothing of it. Says so, or that the client has seen the beginning.
    pub(super) fn lose_open(&mut self, world: &mut World) -> bool {
        let Some(guard) = self.guard.as_deref_mut() else { return false };
        let Some(mark) = guard.marks.back().copied().filter(|it| it.end == OPEN) else {
            return false;
        };
        guard.marks.pop_back();
        self.out.take_back(place(mark.start, guard.base));
        let text = guard.doubt(mark.kind, true);
        self.out.extend_from_slice(&text);
        // As a command without an answer it is counted by the caller.
        world.tally.unguarded_writes += u64::from(mark.kind == Kind::Write);
        world.tally.unguarded_reads += u64::from(mark.kind == Kind::Read);
        true
    }

    /// Turns every withheld reply up to round `through` into `-UNCERTAIN`.
    fn unconfirm(&mut self, world: &mut World, through: u64, is_lost: bool) {
        let Some(guard) = self.guard.as_deref_mut() else { return };
        if guard.marks.front().is_none_or(|it| it.round > through) {
            return;
        }
        let old = std::mem::take(&mut self.out);
        let mut out = Backlog::new();
        let mut kept = VecDeque::new();
        let mut done = 0;
        for mark in std::mem::take(&mut guard.marks) {
            let is_open = mark.end == OPEN;
            let start = place(mark.start, guard.base);
            let end = if is_open { old.len() } else { place(mark.end, guard.base) };
            out.extend_from_slice(old.get(done..start).unwrap_or_default());
            done = end;
            if mark.round <= through {
                out.extend_from_slice(&guard.doubt(mark.kind, is_lost));
                count_doubt(world, mark.kind);
                if is_open && let Some(passing) = &mut self.passing {
                    // Its answer has been given.
                    passing.hidden = true;
                }
            } else {
                out.extend_from_slice(old.get(start..end).unwrap_or_default());
                let start = guard.base + (out.len() - (end - start)) as u64;
                let end = if is_open { OPEN } else { guard.base + out.len() as u64 };
                kept.push_back(Mark { start, end, ..mark });
            }
        }
        out.extend_from_slice(old.get(done..).unwrap_or_default());
        guard.marks = kept;
        self.out = out;
    }

    /// Keeps the worker's count of what is withheld; the bytes of this session.
    pub(super) fn count_withheld(&mut self, world: &mut World) -> usize {
        let Some(guard) = self.guard.as_deref_mut() else { return 0 };
        let len = self.out.len();
        let now = Withheld { replies: guard.marks.len(), bytes: len - guard.open(len) };
        let all = &mut world.withheld;
        all.replies = (all.replies + now.replies).saturating_sub(guard.counted.replies);
        all.bytes = (all.bytes + now.bytes).saturating_sub(guard.counted.bytes);
        guard.counted = now;
        now.bytes
    }
}

/// A reply that was withheld and is not confirmed.
const fn count_doubt(world: &mut World, kind: Kind) {
    match kind {
        Kind::Write => {
            world.tally.uncertain += 1;
            world.tally.unguarded_writes += 1;
        }
        Kind::Read => world.tally.unguarded_reads += 1,
    }
}

#[cfg(test)]
#[path = "guard_test.rs"]
mod tests;
