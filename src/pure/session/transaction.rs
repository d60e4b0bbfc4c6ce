//! A transaction that is open: what was queued, so that another primary can be told.
//!
//! # Invariants
//!
//! * The queue holds exactly the requests that were answered `+QUEUED`, in order.
//! * Past [`QUEUE_BYTES_MAX`] nothing is kept: after a loss the transaction is then aborted,
//!   never run in part.

use super::identity::Ask;
use super::{Change, Expect};

/// Bytes of queued requests that one session may keep for replay. A transaction that sits open
/// for an hour must not hold more; one that is larger is aborted by a failover.
pub(super) const QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// One queued request.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) request: Box<[u8]>,
    /// What it changes if `EXEC` runs it.
    pub(super) change: Option<Change>,
    /// What is to be looked at in its reply.
    pub(super) shows: Shows,
    /// Running it twice would show.
    pub(super) writes: bool,
}

/// What the reply to a queued request carries, when `EXEC` has run it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shows {
    /// Nothing of interest.
    AsIs,
    /// A `SCAN` cursor.
    Cursor,
    /// The session's id.
    Identity(Ask),
    /// The session's id, in the reply to `HELLO`.
    Hello,
    /// Whether a script was accepted.
    Script,
}

impl Shows {
    #[allow(clippy::wildcard_enum_match_arm, reason = "most replies carry nothing of interest")]
    pub(super) const fn of(expect: &Expect) -> Self {
        match expect {
            Expect::Cursor => Self::Cursor,
            Expect::Identity(ask) => Self::Identity(*ask),
            Expect::Hello(_) => Self::Hello,
            Expect::Script(_) | Expect::ScriptLoad(_) | Expect::ScriptFlush => Self::Script,
            _ => Self::AsIs,
        }
    }
}

/// An open `MULTI`.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    queue: Vec<Queued>,
    bytes: usize,
    aborted: bool,
    overflowed: bool,
}

impl Transaction {
    /// Takes note of a request, as the client wrote it, that was answered `+QUEUED`; `gone` if it
    /// was too large to be kept.
    pub(super) fn queued(&mut self, queued: Queued, gone: bool) {
        self.bytes += queued.request.len();
        self.overflowed |= gone || self.bytes > QUEUE_BYTES_MAX;
        if self.overflowed {
            // The order of changes still matters if `EXEC` succeeds here.
            self.queue.push(Queued { request: Box::default(), ..queued });
        } else {
            self.queue.push(queued);
        }
    }

    /// A request was refused when it was queued: `EXEC` will answer `-EXECABORT`.
    pub(super) fn abort(&mut self) {
        self.aborted = true;
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.aborted
    }

    /// The connection is gone: what is too large to be replayed is aborted.
    pub(super) fn lose(&mut self) {
        if self.overflowed {
            self.aborted = true;
            self.overflowed = false;
            self.queue.clear();
            self.bytes = 0;
        }
    }

    /// The queued requests, in order.
    pub(super) fn queue(&self) -> &[Queued] {
        &self.queue
    }

    /// The queued requests, for keeps.
    pub(super) fn into_queue(self) -> Vec<Queued> {
        self.queue
    }

    /// Bytes kept for replay.
    pub(super) const fn bytes(&self) -> usize {
        if self.overflowed { QUEUE_BYTES_MAX } else { self.bytes }
    }
}
