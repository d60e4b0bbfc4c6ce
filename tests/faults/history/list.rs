//! The list that everybody pushes to: what is lost, and what must not be.
//!
//! The list is also the ruler of a run. Replication is one stream, so a promotion cuts it at one
//! place: the pushes that survived and those that did not show where, and anything else that was
//! acknowledged can only be lost behind that place.

use super::{Action, Era, Findings, History, Nanos, Op, Outcome, Unique, Window};
use std::collections::{BTreeMap, BTreeSet};

struct Push {
    value: Unique,
    invoked: Nanos,
    done: Nanos,
    is_there: bool,
}

/// Checks the list, and gives the windows in which anything else may be lost.
pub(crate) fn check(history: &History, findings: &mut Findings) -> Vec<Window> {
    let there: BTreeSet<_> = history.list.iter().copied().collect();
    if there.len() != history.list.len() {
        findings.wrong(format!("{} pushes ran twice", history.list.len() - there.len()));
    }
    let outcomes: BTreeMap<Unique, &Op> = history
        .ops
        .iter()
        .filter_map(|it| match it.action {
            Action::Push { value } => Some((value, it)),
            _ => None,
        })
        .collect();
    findings.wrong_all(strangers(&there, &outcomes));
    findings.wrong_all(disorder(&history.list));

    let acknowledged: Vec<_> = outcomes
        .iter()
        .filter(|(_, it)| it.is_done())
        .map(|(value, it)| Push {
            value: *value,
            invoked: it.invoked,
            done: it.done,
            is_there: there.contains(value),
        })
        .collect();
    let windows: Vec<_> = history.eras.iter().map(|it| window(*it, &acknowledged)).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|it| !it.is_there).collect();
    findings.lost += lost.len();
    let inexplicable = lost
        .iter()
        .filter(|it| !windows.iter().any(|window| window.holds(it.invoked, it.done)))
        .map(|it| {
            format!("the acknowledged push {:?} is lost, and no failover explains it", it.value)
        });
    findings.wrong_all(inexplicable.collect());
    findings.wrong_all(gaps(&acknowledged, history.eras.len()));
    windows
}

/// What is there and was never sent, or was refused.
fn strangers(there: &BTreeSet<Unique>, outcomes: &BTreeMap<Unique, &Op>) -> Vec<String> {
    let odd = there.iter().filter_map(|value| match outcomes.get(value).map(|it| it.outcome) {
        None => Some(format!("{value:?} is in the list and was never pushed")),
        Some(Outcome::Refused) => Some(format!("the push {value:?} was refused, and ran")),
        Some(Outcome::Done | Outcome::Unknown) => None,
    });
    odd.collect()
}

/// The pushes of one client stand in the order in which it sent them.
fn disorder(list: &[Unique]) -> Vec<String> {
    let mut last: BTreeMap<u16, u64> = BTreeMap::new();
    let mut odd = Vec::new();
    for (client, number) in list {
        if last.insert(*client, *number).is_some_and(|it| it > *number) {
            odd.push(format!("client {client}: push {number} stands behind a later one"));
        }
    }
    odd
}

/// Where one change of primary may have lost something: behind the last push that was answered
/// before the fault and survived it.
fn window(era: Era, acknowledged: &[Push]) -> Window {
    let survivors = acknowledged.iter().filter(|it| it.is_there && it.done < era.hurt);
    let from = survivors.map(|it| it.invoked).max().unwrap_or(0);
    Window { from, to: era.over }
}

/// Each change of primary loses a suffix of what each client had written: one gap.
fn gaps(acknowledged: &[Push], failovers: usize) -> Vec<String> {
    let mut clients: BTreeMap<u16, (usize, bool)> = BTreeMap::new();
    // By client and number, as the map that they came from.
    for push in acknowledged {
        let (gaps, in_gap) = clients.entry(push.value.0).or_default();
        *gaps += usize::from(!push.is_there && !*in_gap);
        *in_gap = !push.is_there;
    }
    let odd = clients.iter().filter(|(_, (gaps, _))| *gaps > failovers);
    odd.map(|(client, (gaps, _))| {
        format!("client {client}: pushes lost in {gaps} places by {failovers} failovers")
    })
    .collect()
}
