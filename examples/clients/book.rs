//! What clients write down: every operation, when it was sent, when it ended, and how.
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC`, which every process of the machine shares: whoever
//! causes a fault knows by the same clock when that was.

use rustix::time::{ClockId, clock_gettime};
use std::{
    fmt,
    io::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
};

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// `SET` of a key that nobody else sets and nobody sets again.
    Write,
    /// `GET` of a key that somebody was told is set.
    Read,
    /// `MULTI` to `EXEC`, with such a write in it.
    Transaction,
    Push,
    /// From a push to where its element was popped by a client that waited for it.
    Pop,
    Publish,
    /// From a publication to its arrival.
    Message,
    /// A connection made again, and what it takes to subscribe.
    Connect,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Transaction => "transaction",
            Self::Push => "push",
            Self::Pop => "pop",
            Self::Publish => "publish",
            Self::Message => "message",
            Self::Connect => "connect",
        }
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Done,
    /// A read that did not see a write which had been acknowledged before it was sent.
    Stale,
    /// A reply that nothing explains.
    Wrong,
    /// An error reply, by its code.
    Refused(String),
    /// No connection, a connection that was cut, or no answer.
    Broken(&'static str),
}

impl Outcome {
    /// The outcome of an error reply.
    pub(crate) fn refused(error: &str) -> Self {
        Self::Refused(error.split_whitespace().next().unwrap_or("").to_owned())
    }

    /// The outcome of a connection that is of no use any more.
    pub(crate) fn broken(error: &io::Error) -> Self {
        Self::Broken(match error.kind() {
            io::ErrorKind::TimedOut => "no-answer",
            io::ErrorKind::InvalidData => "garbage",
            _ => "cut",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Stale => f.write_str("stale"),
            Self::Wrong => f.write_str("wrong"),
            Self::Refused(code) => write!(f, "-{code}"),
            Self::Broken(how) => f.write_str(how),
        }
    }
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    /// Of the client's writes, pushes or publications; what was popped, of others.
    pub(crate) number: u64,
    pub(crate) sent: u64,
    pub(crate) ended: u64,
    pub(crate) outcome: Outcome,
    /// An acknowledged write that is not there in the end; filled in by the search.
    pub(crate) is_lost: bool,
}

/// What one client wrote down.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) client: usize,
    pub(crate) operations: Vec<Operation>,
}

impl Book {
    pub(crate) fn note(&mut self, kind: Kind, number: u64, sent: u64, outcome: Outcome) {
        let ended = now();
        self.operations.push(Operation { kind, number, sent, ended, outcome, is_lost: false });
    }

    /// A line each: client, kind, number, sent, ended, outcome, whether it is lost.
    pub(crate) fn write_to(&self, file: &mut impl Write) -> io::Result<()> {
        for it in &self.operations {
            writeln!(
                file,
                "{} {} {} {} {} {} {}",
                self.client,
                it.kind.word(),
                it.number,
                it.sent,
                it.ended,
                it.outcome,
                u8::from(it.is_lost)
            )?;
        }
        Ok(())
    }
}

/// The last write of each client that was acknowledged; 0 before there is one.
pub(crate) struct Known(Vec<AtomicU64>);

impl Known {
    pub(crate) fn of(clients: usize) -> Self {
        Self((0..clients).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn set(&self, client: usize, number: u64) {
        if let Some(it) = self.0.get(client) {
            it.store(number, Ordering::Release);
        }
    }

    /// A client and its last write: of the first one that has any, from `from` on.
    pub(crate) fn any(&self, from: usize) -> Option<(usize, u64)> {
        let clients = self.0.len();
        let of = |it: usize| self.0.get(it).map_or(0, |known| known.load(Ordering::Acquire));
        (from..from + clients).map(|it| it % clients).map(|it| (it, of(it))).find(|it| it.1 > 0)
    }
}

/// The key of a client's write.
pub(crate) fn key_of(client: usize, number: u64) -> String {
    format!("client:{client}:{number}")
}

/// The value that belongs to `key`.
pub(crate) fn value_of(key: &str) -> String {
    format!("value of {key}")
}
