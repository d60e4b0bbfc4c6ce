//! The checks of histories, checked: the zones against an exhaustive search, and every check
//! against histories with a planted error.
//!
//! A checker that never fails proves nothing. A program of its own, because the matrix itself
//! (`faults`) is no collection of `#[test]`s.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the helpers of a test fail loudly, and clippy spares only the test functions"
)]

#[path = "faults/history/mod.rs"]
mod history;

use history::zone::{self, Access};
use history::{Action, Era, Findings, History, NEVER, Nanos, Op, Outcome, check};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Few values and short times, so that most random histories are nearly good.
fn accesses() -> impl Strategy<Value = Vec<Access<u8>>> {
    let times = (0_u64..40, 1_u64..20);
    let reads = prop::collection::vec((prop::option::of(0_u8..4), times.clone()), 0..6);
    let writes = prop::collection::vec((times, prop::bool::weighted(0.2)), 0..4);
    (reads, writes).prop_map(|(reads, writes)| {
        // No two moments are equal, as on a real clock: even ones begin, odd ones end.
        let mut all: Vec<_> = reads
            .into_iter()
            .map(|(value, (begin, length))| access(value, false, begin, Some(begin + length)))
            .collect();
        for (value, ((begin, length), is_unknown)) in (0..).zip(writes) {
            let end = (!is_unknown).then_some(begin + length);
            all.push(access(Some(value), true, begin, end));
        }
        all
    })
}

fn access(value: Option<u8>, is_write: bool, begin: u64, end: Option<u64>) -> Access<u8> {
    let done = end.map_or(NEVER, |it| 2 * it + 3);
    Access { value, is_write, invoked: 2 * begin + 2, done }
}

/// Whether some order of the operations that respects their times explains every read. Tries all.
fn is_linearizable(left: &[Access<u8>], value: Option<u8>) -> bool {
    let is_over = left.iter().all(|it| it.is_write && it.done == NEVER);
    if is_over {
        return true;
    }
    let first_end = left.iter().map(|it| it.done).min().unwrap_or(NEVER);
    (0..left.len()).any(|at| {
        let next = left[at];
        let may_be_next = next.invoked < first_end && (next.is_write || next.value == value);
        let mut rest = left.to_vec();
        rest.remove(at);
        may_be_next && is_linearizable(&rest, if next.is_write { next.value } else { value })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn zones_agree_with_an_exhaustive_search(accesses in accesses()) {
        prop_assert_eq!(zone::check(&accesses).is_ok(), is_linearizable(&accesses, None));
    }
}

/// A run of one client that is right: each operation takes 5, one begins each 10.
struct Script {
    history: History,
    now: Nanos,
    number: u64,
}

impl Script {
    fn new() -> Self {
        let history = History { sum: 100, read: 1_000_000, ..History::default() };
        Self { history, now: 10, number: 0 }
    }

    fn op(&mut self, action: Action, outcome: Outcome) {
        self.now += 10;
        let op = Op { client: 0, action, invoked: self.now, done: self.now + 5, outcome };
        self.history.ops.push(op);
    }

    fn next(&mut self) -> (u16, u64) {
        self.number += 1;
        (0, self.number)
    }

    /// An acknowledged push, and whether it is there at the end.
    fn push(&mut self, is_there: bool) {
        let value = self.next();
        self.op(Action::Push { value }, Outcome::Done);
        self.history.list.extend(is_there.then_some(value));
    }

    fn set(&mut self, key: u16) -> (u16, u64) {
        let value = self.next();
        self.op(Action::Set { key, value }, Outcome::Done);
        self.history.registers.insert(key, Some(value));
        value
    }

    fn get(&mut self, key: u16, saw: Option<(u16, u64)>) {
        self.op(Action::Get { key, saw }, Outcome::Done);
    }

    fn increment(&mut self, saw: i64, outcome: Outcome) {
        self.op(Action::Increment { saw }, outcome);
    }

    /// The primary is hurt now, and replaced when `during` is over.
    fn era(&mut self, during: impl FnOnce(&mut Self)) {
        let hurt = self.now + 6;
        during(self);
        self.now += 10;
        self.history.eras.push(Era { hurt, over: self.now });
    }

    fn check(&self) -> Findings {
        check(&self.history)
    }

    #[track_caller]
    fn is_wrong(&self, what: &str) {
        let wrong = self.check().wrong;
        assert!(wrong.iter().any(|it| it.contains(what)), "not found: {what}; only {wrong:?}");
    }

    #[track_caller]
    fn is_right(&self) {
        assert_eq!(self.check().wrong, Vec::<String>::new());
    }
}

#[test]
fn a_good_history_is_right() {
    let mut it = Script::new();
    for number in 1..5 {
        it.push(true);
        let value = it.set(3);
        it.get(3, Some(value));
        it.increment(number, Outcome::Done);
        it.op(Action::Sum { saw: 100 }, Outcome::Done);
    }
    it.history.count = 4;
    it.is_right();
    assert_eq!(it.check().lost, 0);
}

#[test]
fn a_lost_push_without_a_failover_is_wrong() {
    let mut it = Script::new();
    it.push(true);
    it.push(false);
    it.push(true);
    it.is_wrong("no failover explains it");
    assert_eq!(it.check().lost, 1);
}

#[test]
fn a_lost_suffix_is_counted_and_right() {
    let mut it = Script::new();
    it.push(true);
    it.push(false);
    it.push(false);
    it.era(|_| ());
    it.push(true);
    it.is_right();
    assert_eq!(it.check().lost, 2);
}

#[test]
fn a_push_lost_before_a_survivor_is_wrong() {
    let mut it = Script::new();
    it.push(true);
    it.push(false);
    it.push(true);
    it.era(|_| ());
    it.is_wrong("no failover explains it");
}

#[test]
fn a_push_lost_after_the_failover_is_wrong() {
    let mut it = Script::new();
    it.push(true);
    it.era(|_| ());
    it.push(true);
    it.push(false);
    it.is_wrong("no failover explains it");
}

#[test]
fn two_gaps_by_one_failover_are_wrong() {
    let mut it = Script::new();
    it.push(true);
    it.era(|it| {
        it.push(false);
        it.push(true);
        it.push(false);
    });
    it.is_wrong("lost in 2 places by 1 failovers");
}

#[test]
fn what_ran_twice_out_of_order_or_uncalled_for_is_wrong() {
    let mut it = Script::new();
    it.push(true);
    it.push(true);
    let good = it.history.list.clone();
    it.history.list = vec![good[0], good[1], good[1]];
    it.is_wrong("ran twice");
    it.history.list = vec![good[1], good[0]];
    it.is_wrong("stands behind a later one");
    it.history.list = vec![good[0], good[1], (7, 7)];
    it.is_wrong("never pushed");
    it.history.list = good;
    it.history.ops[1].outcome = Outcome::Refused;
    it.is_wrong("was refused, and ran");
    it.history.ops[1].outcome = Outcome::Unknown;
    it.is_right();
}

#[test]
fn a_stale_read_is_wrong() {
    let mut it = Script::new();
    let old = it.set(1);
    it.set(1);
    it.get(1, Some(old));
    it.is_wrong("register 1 is not linearizable");
}

#[test]
fn a_stale_read_after_a_failover_is_wrong() {
    let mut it = Script::new();
    let old = it.set(1);
    it.push(true);
    it.era(|_| ());
    it.set(1);
    it.get(1, Some(old));
    it.is_wrong("register 1 is not linearizable");
}

#[test]
fn a_lost_write_may_have_been_read_but_not_come_back() {
    let mut it = Script::new();
    let old = it.set(1);
    it.push(true);
    let lost = it.set(1);
    it.get(1, Some(lost));
    it.era(|_| ());
    it.get(1, Some(old));
    it.history.registers.insert(1, Some(old));
    it.is_right();
    it.get(1, Some(lost));
    it.get(1, Some(old));
    it.is_wrong("register 1 is not linearizable");
}

#[test]
fn a_register_lost_without_a_failover_is_wrong() {
    let mut it = Script::new();
    let old = it.set(1);
    it.set(1);
    it.history.registers.insert(1, Some(old));
    it.is_wrong("register 1 is not linearizable");
}

#[test]
fn a_read_of_what_nobody_wrote_is_wrong() {
    let mut it = Script::new();
    it.get(1, Some((9, 9)));
    it.is_wrong("never written");
}

#[test]
fn an_unknown_write_may_be_seen_or_not() {
    let mut it = Script::new();
    let value = it.set(1);
    it.history.ops[0].outcome = Outcome::Unknown;
    it.get(1, None);
    it.get(1, Some(value));
    it.is_right();
    it.get(1, None);
    it.is_wrong("register 1 is not linearizable");
}

#[test]
fn a_refused_write_must_not_be_seen() {
    let mut it = Script::new();
    it.set(1);
    it.history.ops[0].outcome = Outcome::Refused;
    it.is_wrong("never written");
}

#[test]
fn a_counter_that_repeats_falls_or_ends_wrong_is_wrong() {
    let counts = |numbers: &[i64], count: i64| {
        let mut it = Script::new();
        numbers.iter().for_each(|saw| it.increment(*saw, Outcome::Done));
        it.history.count = count;
        it
    };
    counts(&[1, 2, 3], 3).is_right();
    counts(&[1, 2, 2], 3).is_wrong("got the number 2");
    counts(&[1, 3, 2], 3).is_wrong("began later got the smaller number 2");
    counts(&[1, 2, 3], 2).is_wrong("after 3 safe increments");
    counts(&[1, 2, 3], 4).is_wrong("0 unknown ones");
    assert_eq!(counts(&[1, 2, 3], 2).check().lost, 1);
    let mut it = counts(&[1, 2], 3);
    it.increment(0, Outcome::Unknown);
    it.is_right();
}

#[test]
fn half_a_transfer_is_wrong() {
    let mut it = Script::new();
    it.op(Action::Sum { saw: 99 }, Outcome::Done);
    it.is_wrong("half a transfer");
}

#[test]
fn many_findings_of_a_kind_are_cut_short() {
    let mut findings = Findings::default();
    findings.wrong_all((0..100).map(|it| it.to_string()).collect());
    assert_eq!(findings.wrong.len(), 6);
    assert_eq!(findings.wrong[5], "… and 95 more of that kind");
}

#[test]
fn what_is_a_write_is_known() {
    let value = (0, 1);
    let mut kinds = BTreeMap::new();
    let actions = [
        Action::Set { key: 0, value },
        Action::Push { value },
        Action::Transfer,
        Action::Get { key: 0, saw: None },
        Action::Other,
    ];
    for action in actions {
        let op = Op { client: 0, action, invoked: 1, done: 2, outcome: Outcome::Done };
        *kinds.entry(op.is_write()).or_insert(0) += 1;
    }
    assert_eq!(kinds, BTreeMap::from([(false, 2), (true, 3)]));
}
