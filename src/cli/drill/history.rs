//! What the clients of a drill saw. Nothing is judged here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What became of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The answer was good.
    Acknowledged,
    /// `-UNCERTAIN`: it may have run.
    Uncertain,
    /// The connection was lost, or there was no answer in time: it may have run.
    Unknown,
    /// Another error.
    Failed,
}

/// One write, of one key or, in a transaction, of two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    /// The number of the write; with that of the client it makes the key.
    pub(super) n: u32,
    pub(super) answered: Instant,
    pub(super) outcome: Outcome,
}

/// Everything that one client saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Its number.
    pub(super) client: u16,
    /// How many keys a write of it has: 2 for transactions.
    pub(super) parts: u8,
    pub(super) writes: Vec<Write>,
    pub(super) reads: u64,
    /// Writes of its own that were acknowledged and read as absent.
    pub(super) missed: BTreeSet<u32>,
    /// Reads of a value that was never written there.
    pub(super) wrong: u64,
    /// Errors by command and code.
    pub(super) errors: BTreeMap<(&'static str, String), u64>,
    pub(super) disconnections: u64,
    /// When each request was sent, and how long its answer took.
    pub(super) waits: Vec<(Instant, Duration)>,
    /// What was pushed to the queue, or published: acknowledged ones. For `PUBLISH`, those that
    /// somebody got.
    pub(super) given: BTreeSet<u32>,
    /// What came out of the queue, or arrived as a message, and how often.
    pub(super) taken: BTreeMap<u32, u32>,
}

impl Seen {
    pub(super) fn of(client: u16, parts: u8) -> Self {
        Self { client, parts, ..Self::default() }
    }
}
