//! What a session has asked for and not been answered: request bytes and, for each request, what
//! its reply will mean.
//!
//! ```text
//!  bytes   [ sent, unanswered ........ | not sent ........ ]
//!  entries [ e0 ][ e1 ][ e2 (local) ][ e3 ][ e4 ]
//!                                  sent ^
//! ```
//!
//! One contiguous buffer serves sending, holding and replaying: a request is copied once, when
//! it is admitted, and dropped with its reply. An entry that is answered here has no bytes.
//!
//! # Invariants
//!
//! * The lengths of the entries add up to the bytes held.
//! * `sent` never passes the end, and never goes back except with the connection.

use super::Expect;
use super::state::Change;
use super::timing::Sent;
use crate::pure::backlog::Backlog;
use crate::pure::command::Effect;
use crate::pure::time::Time;
use std::collections::VecDeque;

/// One request that waits for its reply.
#[derive(Debug)]
pub(super) struct Entry {
    /// Bytes of it that are in the log; a streamed request leaves as it is sent.
    pub(super) len: usize,
    /// When its first byte was seen.
    pub(super) at: Time,
    /// What running it twice would do.
    pub(super) effect: Effect,
    /// What its reply means.
    pub(super) expect: Expect,
    /// What the client sent, if something else is sent upstream for it.
    pub(super) original: Option<Box<[u8]>>,
    /// Set if it is too large to be kept.
    pub(super) streamed: Option<Streamed>,
    /// It may have run on a link that was lost, and is sent again because the operator said so.
    pub(super) ran: bool,
}

/// How much of a large request has passed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Streamed {
    /// Its last byte was admitted.
    pub(super) complete: bool,
    /// Some of it was sent and is not kept any more.
    pub(super) gone: bool,
}

impl Entry {
    /// An entry for which `request` is sent, whatever the client wrote.
    pub(super) const fn sent_as(at: Time, request: &[u8], expect: Expect) -> Self {
        let effect = Effect::Read;
        Self { len: request.len(), at, effect, expect, original: None, streamed: None, ran: false }
    }

    /// An entry whose reply is passed on as it is.
    pub(super) const fn forward(at: Time) -> Self {
        Self::sent_as(at, b"", Expect::Forward)
    }

    /// An entry for which nothing is sent.
    pub(super) fn without_request(at: Time, expect: Expect) -> Self {
        Self::sent_as(at, b"", expect)
    }
}

/// An entry taken from the log, with what is known about its way to the node.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) entry: Entry,
    /// The request as it was sent.
    pub(super) bytes: Box<[u8]>,
    /// Every byte of it was given to the socket: it may have run.
    pub(super) whole: bool,
}

/// The log of one session.
#[derive(Debug, Default)]
pub(super) struct Log {
    bytes: Backlog,
    entries: VecDeque<Entry>,
    sent: usize,
    sent_at: Sent,
}

impl Log {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Requests that wait.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Bytes kept, sent or not.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends an entry whose bytes are `request`.
    pub(super) fn push(&mut self, entry: Entry, request: &[u8]) {
        debug_assert_eq!(entry.len, request.len());
        self.bytes.extend_from_slice(request);
        self.entries.push_back(entry);
    }

    /// From here on bytes pass that are no requests.
    pub(super) fn push_tunnel(&mut self, at: Time) {
        let streamed = Some(Streamed { complete: false, gone: true });
        self.entries.push_back(Entry { streamed, ..Entry::without_request(at, Expect::Tunnel) });
    }

    /// Appends bytes to the last entry: the next part of a request that is streamed.
    pub(super) fn extend_last(&mut self, part: &[u8]) {
        if let Some(last) = self.entries.back_mut() {
            last.len += part.len();
            self.bytes.extend_from_slice(part);
        }
    }

    /// The last entry, a streamed one, has all of its bytes.
    pub(super) fn complete_last(&mut self) {
        if let Some(streamed) = self.entries.back_mut().and_then(|it| it.streamed.as_mut()) {
            streamed.complete = true;
        }
    }

    /// What is to be sent next.
    pub(super) fn unsent(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// Takes note that `n` bytes of [`unsent`](Self::unsent) were given to the socket.
    pub(super) fn mark_sent(&mut self, n: usize, now: Time) {
        let sent = n.min(self.bytes.len() - self.sent);
        self.sent += sent;
        self.sent_at.add(sent, now);
    }

    /// Drops what was sent of a streamed request, if that is the first. Returns how much.
    pub(super) fn forget_sent(&mut self) -> usize {
        let Some(first) = self.entries.front_mut() else { return 0 };
        let Some(streamed) = &mut first.streamed else { return 0 };
        let dropped = first.len.min(self.sent);
        streamed.gone |= dropped > 0;
        first.len -= dropped;
        self.sent -= dropped;
        self.sent_at.take(dropped);
        self.bytes.advance(dropped);
        dropped
    }

    /// The entries, the last first.
    pub(super) fn entries_back(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev()
    }

    /// The last `n` bytes that were marked as sent were not.
    pub(super) fn unmark_sent(&mut self, n: usize) {
        self.sent = self.sent.saturating_sub(n);
        self.sent_at.take_back(n);
    }

    /// Whether a transaction is open behind the last entry, if one is open (`in_multi`) or not
    /// in front of the first.
    pub(super) fn ends_in_multi(&self, in_multi: bool) -> bool {
        self.entries.iter().fold(in_multi, |open, it| match &it.expect {
            Expect::Change(change) if matches!(**change, Change::Multi) => true,
            Expect::Change(change) => open && !matches!(**change, Change::Discard | Change::Reset),
            Expect::Exec | Expect::ExecAsNull | Expect::DiscardAs(_) => false,
            Expect::Forward
            | Expect::Acquaintance
            | Expect::Local(_)
            | Expect::Replace(_)
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
            | Expect::Tunnel => open,
        })
    }

    /// The request whose reply comes next.
    pub(super) fn front(&self) -> Option<&Entry> {
        self.entries.front()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Entry> {
        self.entries.front_mut()
    }

    pub(super) fn back(&self) -> Option<&Entry> {
        self.entries.back()
    }

    /// Whether every byte of the first entry was sent.
    pub(super) fn is_front_sent(&self) -> bool {
        self.entries.front().is_some_and(|it| it.len <= self.sent)
    }

    /// Likewise, and there is no more of it to come.
    pub(super) fn is_front_whole(&self) -> bool {
        let complete = |it: &Entry| it.streamed.is_none_or(|it| it.complete);
        self.is_front_sent() && self.entries.front().is_some_and(complete)
    }

    /// Removes the first entry.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        self.pop_sent().map(|(entry, _)| entry)
    }

    /// Removes the first entry; and when its last byte was sent, if all were that are here.
    pub(super) fn pop_sent(&mut self) -> Option<(Entry, Option<Time>)> {
        let sent = self.forget(self.entries.front()?.len);
        self.entries.pop_front().map(|it| (it, sent))
    }

    /// Removes the first entry for good; likewise.
    pub(super) fn drop_sent(&mut self) -> Option<Time> {
        let sent = self.forget(self.entries.front()?.len);
        self.entries.pop_front();
        sent
    }

    /// The first `len` bytes go: when the last of them was sent, if all were.
    fn forget(&mut self, len: usize) -> Option<Time> {
        self.bytes.advance(len);
        let sent = len.min(self.sent);
        self.sent -= sent;
        self.sent_at.take(sent).filter(|_| sent == len)
    }

    /// Removes the first entry and says how far it got.
    pub(super) fn take(&mut self) -> Option<Taken> {
        let entry = self.entries.pop_front()?;
        let whole = entry.len <= self.sent && entry.streamed.is_none_or(|it| it.complete);
        let bytes = self.bytes.take_front(entry.len);
        let sent = entry.len.min(self.sent);
        self.sent -= sent;
        self.sent_at.take(sent);
        Some(Taken { entry, bytes, whole })
    }

    /// Removes the last entry, which must not have been sent, not even in part.
    pub(super) fn pop_unsent(&mut self) -> Option<(Entry, Box<[u8]>)> {
        let start = self.bytes.len().checked_sub(self.entries.back()?.len)?;
        if start < self.sent {
            return None;
        }
        let entry = self.entries.pop_back()?;
        Some((entry, self.bytes.take_back(start)))
    }

    /// The connection is gone: nothing counts as sent any more.
    pub(super) fn unsend(&mut self) {
        self.sent = 0;
        self.sent_at.clear();
    }

    /// Whether anything was sent and is unanswered.
    pub(super) fn has_sent(&self) -> bool {
        // A streamed request may have left no byte behind.
        let gone = |it: &Entry| it.streamed.is_some_and(|it| it.gone);
        self.sent > 0 || self.entries.front().is_some_and(gone)
    }

    /// Whether the node has all of the first request, or of a large one some, and owes an answer
    /// to it. What waits there by its nature owes none.
    pub(super) fn is_owed(&self) -> bool {
        let Some(first) = self.front() else { return false };
        let waits = matches!(first.expect, Expect::Blocking(_) | Expect::Tunnel);
        let is_whole = first.len > 0 && first.len <= self.sent;
        !waits && (is_whole || first.streamed.is_some_and(|it| it.gone))
    }

    /// If nothing waits, gives memory back.
    pub(super) fn give_back(&mut self) {
        if self.entries.is_empty() {
            *self = Self::default();
        }
    }
}
