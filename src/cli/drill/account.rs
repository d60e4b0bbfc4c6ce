//! Adds up what the clients of a drill saw, and judges it. Values in, values out.
//!
//! Replication is asynchronous: what a lost primary had acknowledged and no replica had received
//! is gone with or without a proxy. After a failover such writes are counted and shown; after a
//! switchover each one is a broken promise.

use super::aftermath::Findings;
use super::history::{Outcome, Seen};
use crate::pure::failover::{self, Millis};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What the drill did.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mode {
    /// Switched over, and back.
    Switchover,
    /// Gave the primary up.
    Failover,
    /// Looked on.
    Watch,
}

/// How long answers took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Waits {
    pub(super) p50_ms: Millis,
    pub(super) p99_ms: Millis,
    pub(super) longest_ms: Millis,
}

/// One node, before and after.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) role_before: &'static str,
    pub(super) role_after: &'static str,
    /// Full copies that it gave to replicas meanwhile.
    pub(super) full_resyncs: Option<u64>,
    /// Partial resynchronisations that it gave.
    pub(super) partial_resyncs: Option<u64>,
    /// Why that is not known.
    pub(super) remark: Option<String>,
}

/// The whole account. Fields are only ever added: scripts read this.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Account {
    pub(super) mode: Mode,
    pub(super) run: String,
    pub(super) clients: usize,
    pub(super) seconds: f64,
    pub(super) writes: u64,
    pub(super) reads: u64,
    pub(super) primary_before: Option<String>,
    pub(super) primary_after: Option<String>,
    /// What Segue told of each change that was asked for.
    pub(super) changes: Vec<failover::Account>,
    /// Before the change.
    pub(super) before: Waits,
    /// From the change on.
    pub(super) after: Waits,
    /// The longest time without an acknowledged write: before, and from the change on.
    pub(super) without_write_before_ms: Millis,
    pub(super) without_write_ms: Millis,
    pub(super) disconnections: u64,
    /// By command and code.
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) uncertain: u64,
    /// Uncertain ones that had run.
    pub(super) uncertain_ran: u64,
    /// Writes whose connection was lost before an answer.
    pub(super) unknown: u64,
    pub(super) acknowledged: u64,
    /// Acknowledged and not there any more.
    pub(super) lost: u64,
    /// Transactions of which one half is there.
    pub(super) torn: u64,
    /// Values that were never written where they were found or read.
    pub(super) wrong: u64,
    /// Reads that did not see an acknowledged write that is there.
    pub(super) stale_reads: u64,
    /// Elements that were pushed, and never came out.
    pub(super) queue_lost: u64,
    /// Elements that came out more than once.
    pub(super) queue_repeated: u64,
    /// Messages that Segue said somebody got, and the subscriber did not.
    pub(super) messages_missed: u64,
    pub(super) nodes: Vec<Node>,
    /// Whether every key of the drill was removed.
    pub(super) cleaned: bool,
    /// What was promised and not kept; sentences.
    pub(super) broken: Vec<String>,
}

/// What the account is made of, beside what clients saw.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) mode: Mode,
    pub(super) run: String,
    /// Lost writes are a broken promise after a failover as well.
    pub(super) lossless: bool,
    pub(super) started: Instant,
    /// When the first change began; `None` if that is for the clients' histories to say.
    pub(super) changed: Option<Instant>,
    pub(super) changes: Vec<failover::Account>,
    pub(super) primary_before: Option<String>,
    pub(super) primary_after: Option<String>,
    pub(super) nodes: Vec<Node>,
    /// What is there; or why that cannot be said.
    pub(super) found: Result<Findings, String>,
    pub(super) cleaned: Result<(), String>,
}

impl Account {
    pub(super) fn of(seen: &[Seen], facts: Facts) -> Self {
        let served = served(seen);
        let changed = facts.changed.unwrap_or_else(|| longest_gap(&served, facts.started).0);
        let (before, after): (Vec<_>, Vec<_>) = seen
            .iter()
            .flat_map(|it| &it.waits)
            .map(|(sent, took)| (*sent + *took, *took))
            .partition(|(answered, _)| *answered < changed);
        let early: Vec<_> = served.iter().copied().filter(|it| *it <= changed).collect();
        // The gap that spans the change began before it.
        let from = early.last().copied().unwrap_or(facts.started);
        let late: Vec<_> = served.iter().copied().filter(|it| *it > changed).collect();
        let count = |outcome| writes(seen, outcome).count() as u64;
        let end = seen.iter().flat_map(|it| &it.waits).map(|(sent, took)| *sent + *took).max();
        let seconds = end.map_or(0.0, |it| it.duration_since(facts.started).as_secs_f64());
        let mut account = Self {
            mode: facts.mode,
            run: facts.run,
            clients: seen.iter().map(|it| it.client).collect::<BTreeSet<_>>().len(),
            seconds: (seconds * 1e3).round() / 1e3,
            writes: seen.iter().map(|it| it.writes.len() as u64).sum(),
            reads: seen.iter().map(|it| it.reads).sum(),
            primary_before: facts.primary_before,
            primary_after: facts.primary_after,
            changes: facts.changes,
            before: waits(before.into_iter().map(|it| it.1)),
            after: waits(after.into_iter().map(|it| it.1)),
            without_write_before_ms: Millis(longest_gap(&early, facts.started).1),
            without_write_ms: Millis(longest_gap(&late, from).1),
            disconnections: seen.iter().map(|it| it.disconnections).sum(),
            errors: errors(seen),
            uncertain: count(Outcome::Uncertain),
            uncertain_ran: 0,
            unknown: count(Outcome::Unknown),
            acknowledged: count(Outcome::Acknowledged),
            lost: 0,
            torn: 0,
            wrong: seen.iter().map(|it| it.wrong).sum(),
            stale_reads: 0,
            queue_lost: 0,
            queue_repeated: 0,
            messages_missed: 0,
            nodes: facts.nodes,
            cleaned: facts.cleaned.is_ok(),
            broken: Vec::new(),
        };
        account.pairs(seen);
        match facts.found {
            Ok(found) => account.compare(seen, &found),
            Err(why) => account.broken.push(format!("the writes could not be looked for: {why}")),
        }
        account.judge(facts.lossless, late.is_empty());
        if let Err(why) = facts.cleaned {
            account.broken.push(format!("keys of the drill were left behind: {why}"));
        }
        account
    }

    pub(super) const fn is_kept(&self) -> bool {
        self.broken.is_empty()
    }

    /// What went in at one end and came out at the other.
    fn pairs(&mut self, seen: &[Seen]) {
        let of = |client| seen.iter().filter(move |it| it.client == client);
        let missing = |client| {
            let given: BTreeSet<_> = of(client).flat_map(|it| it.given.iter().copied()).collect();
            let taken: BTreeSet<_> = of(client).flat_map(|it| it.taken.keys().copied()).collect();
            given.difference(&taken).count() as u64
        };
        self.queue_lost = missing(1);
        self.messages_missed = missing(2);
        self.queue_repeated =
            of(1).flat_map(|it| it.taken.values()).filter(|it| **it > 1).count() as u64;
    }

    /// What was acknowledged with what is there.
    fn compare(&mut self, seen: &[Seen], found: &Findings) {
        for it in seen {
            let Some(found) = found.get(&it.client) else { continue };
            let is_there = |n: u32| found.whole.contains(&n) || found.wrong.contains(&n);
            for write in &it.writes {
                match write.outcome {
                    Outcome::Acknowledged => self.lost += u64::from(!is_there(write.n)),
                    Outcome::Uncertain => self.uncertain_ran += u64::from(is_there(write.n)),
                    Outcome::Unknown | Outcome::Failed => {}
                }
            }
            self.torn += found.torn.len() as u64;
            self.wrong += found.wrong.len() as u64;
            self.stale_reads += it.missed.iter().filter(|n| is_there(**n)).count() as u64;
        }
    }

    fn judge(&mut self, lossless: bool, is_dead: bool) {
        let is_planned = self.mode == Mode::Switchover;
        let errors: u64 = self.errors.values().sum();
        let told = if is_planned { 0 } else { self.uncertain_answers() };
        let lost_at_the_primary = [
            (self.lost, "acknowledged writes lost"),
            (self.queue_lost, "queued elements lost"),
            (self.queue_repeated, "queued elements delivered twice"),
        ];
        let never = [
            (self.disconnections, "disconnections"),
            (errors.saturating_sub(told), "errors"),
            (self.torn, "transactions that ran by halves"),
            (self.wrong, "values that were never written there"),
            (self.stale_reads, "reads that did not see a write that is there"),
        ];
        let mut broken = |count: u64, what: &str| {
            if count > 0 {
                self.broken.push(format!("{count} {what}"));
            }
        };
        never.into_iter().for_each(|(count, what)| broken(count, what));
        if is_planned || lossless {
            lost_at_the_primary.into_iter().for_each(|(count, what)| broken(count, what));
        }
        if is_planned {
            broken(self.messages_missed, "messages that did not arrive");
        }
        if is_dead {
            self.broken.push("no write was served after the change".to_owned());
        }
    }

    /// Errors that are promised where the outcome is uncertain: one in place of each reply.
    fn uncertain_answers(&self) -> u64 {
        self.errors.iter().filter(|it| it.0.starts_with("UNCERTAIN ")).map(|it| it.1).sum()
    }
}

fn errors(seen: &[Seen]) -> BTreeMap<String, u64> {
    let mut errors = BTreeMap::new();
    // Lost connections have a line of their own.
    let each = seen.iter().flat_map(|it| &it.errors).filter(|it| it.0.0 != "connection");
    for ((command, code), count) in each {
        *errors.entry(format!("{code} to a {command}")).or_default() += count;
    }
    errors
}

fn writes(seen: &[Seen], outcome: Outcome) -> impl Iterator<Item = &super::history::Write> {
    seen.iter().flat_map(|it| &it.writes).filter(move |it| it.outcome == outcome)
}

/// When writes were acknowledged, in order.
fn served(seen: &[Seen]) -> Vec<Instant> {
    let mut served: Vec<_> = writes(seen, Outcome::Acknowledged).map(|it| it.answered).collect();
    served.sort_unstable();
    served
}

/// The longest time between two of `moments`, and from `start` to the first; and when it began.
fn longest_gap(moments: &[Instant], start: Instant) -> (Instant, Duration) {
    let starts = [start].into_iter().chain(moments.iter().copied());
    let gaps = starts.zip(moments).map(|(a, b)| (a, b.saturating_duration_since(a)));
    gaps.max_by_key(|it| it.1).unwrap_or((start, Duration::ZERO))
}

fn waits(took: impl Iterator<Item = Duration>) -> Waits {
    let mut took: Vec<_> = took.collect();
    took.sort_unstable();
    let at = |percent: usize| {
        let index = took.len().saturating_sub(1) * percent / 100;
        Millis(took.get(index).copied().unwrap_or_default())
    };
    Waits { p50_ms: at(50), p99_ms: at(99), longest_ms: at(100) }
}

#[cfg(test)]
#[path = "account_test.rs"]
mod tests;
