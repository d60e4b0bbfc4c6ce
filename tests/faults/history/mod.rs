//! What clients did and saw, as values, and the checks of it.
//!
//! All times are nanoseconds of one monotonic clock since the run began. An operation of which
//! nobody knows whether it ran is *unknown*: it has no end, and may have run at any time after it
//! was sent, or never.
//!
//! Deliberately absent: sockets, servers and clocks. A history is checked, wherever it came from.

pub(crate) mod counter;
pub(crate) mod list;
pub(crate) mod register;
pub(crate) mod zone;

use std::collections::BTreeMap;

/// Nanoseconds since the run began.
pub(crate) type Nanos = u64;

/// The end of what has no end.
pub(crate) const NEVER: Nanos = Nanos::MAX;

/// Who wrote something, and which of its writes that was: unique in a run.
pub(crate) type Unique = (u16, u64);

/// What was asked for, and what was seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    Set {
        key: u16,
        value: Unique,
    },
    Get {
        key: u16,
        saw: Option<Unique>,
    },
    /// To the end of the one list.
    Push {
        value: Unique,
    },
    /// Of the one counter; meaningless unless it is done.
    Increment {
        saw: i64,
    },
    /// Between two accounts, in one transaction.
    Transfer,
    /// Of all accounts, read in one transaction.
    Sum {
        saw: i64,
    },
    /// Anything that changes nothing of the above.
    Other,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Done,
    /// Refused with an error that says that it did not run.
    Refused,
    Unknown,
}

/// One operation of one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) client: u16,
    pub(crate) action: Action,
    pub(crate) invoked: Nanos,
    /// When its reply was there, also of an error.
    pub(crate) done: Nanos,
    pub(crate) outcome: Outcome,
}

impl Op {
    pub(crate) const fn is_write(&self) -> bool {
        match self.action {
            Action::Set { .. }
            | Action::Push { .. }
            | Action::Increment { .. }
            | Action::Transfer => true,
            Action::Get { .. } | Action::Sum { .. } | Action::Other => false,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.outcome == Outcome::Done
    }
}

/// An unplanned change of primary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Era {
    /// Just before the old primary was hurt. What was answered until here ran on it.
    pub(crate) hurt: Nanos,
    /// When the new primary had been seen. What was sent later never ran on the old one.
    pub(crate) over: Nanos,
}

/// A time in which asynchronous replication may have lost what was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// What was answered before is not lost.
    pub(crate) from: Nanos,
    /// What was sent later is not lost.
    pub(crate) to: Nanos,
}

impl Window {
    /// Whether the operation may have run on the old primary and not on the new one.
    pub(crate) const fn holds(&self, invoked: Nanos, done: Nanos) -> bool {
        done >= self.from && invoked <= self.to
    }
}

/// Everything of one run.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) ops: Vec<Op>,
    /// Unplanned changes of primary in which something may be lost; none if nothing may.
    pub(crate) eras: Vec<Era>,
    /// What the last primary has at the end.
    pub(crate) list: Vec<Unique>,
    pub(crate) count: i64,
    pub(crate) registers: BTreeMap<u16, Option<Unique>>,
    /// The sum of all accounts, which no transfer changes.
    pub(crate) sum: i64,
    /// When the end was read.
    pub(crate) read: Nanos,
}

/// What the checks found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Acknowledged pushes and increments that are not there.
    pub(crate) lost: usize,
    /// What must not be, whole sentences.
    pub(crate) wrong: Vec<String>,
}

/// Wrong findings that are told one by one; a broken run has thousands of the same.
const TOLD_MAX: usize = 5;

impl Findings {
    pub(crate) fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// Keeps the first few of what `found` has, and the number of the others.
    pub(crate) fn wrong_all(&mut self, found: Vec<String>) {
        let more = found.len().saturating_sub(TOLD_MAX);
        self.wrong.extend(found.into_iter().take(TOLD_MAX));
        if more > 0 {
            self.wrong.push(format!("… and {more} more of that kind"));
        }
    }
}

/// Checks everything.
pub(crate) fn check(history: &History) -> Findings {
    let mut findings = Findings::default();
    let windows = list::check(history, &mut findings);
    counter::check(history, &windows, &mut findings);
    register::check(history, &windows, &mut findings);
    let sums = history.ops.iter().filter(|it| it.is_done());
    let odd = sums.filter_map(|it| match it.action {
        Action::Sum { saw } if saw != history.sum => {
            Some(format!("client {}: half a transfer: the sum was {saw}", it.client))
        }
        _ => None,
    });
    findings.wrong_all(odd.collect());
    findings
}
