//! The registers: linearizable, each by itself, but for what a failover may lose.
//!
//! In a window (see `list`) an acknowledged or unknown write may be lost together with the reads
//! that saw it. Such a cluster is left out unless somebody saw it after the window. Leaving out a
//! write and its reads never makes a good history bad, so no good run is accused; what is left
//! must be linearizable.

use super::zone::{self, Access};
use super::{Action, Findings, History, NEVER, Outcome, Unique, Window};
use std::collections::{BTreeMap, BTreeSet};

/// Checks every register.
pub(crate) fn check(history: &History, windows: &[Window], findings: &mut Findings) {
    let mut odd = Vec::new();
    for (key, accesses) in accesses(history) {
        let lost = lost(&accesses, windows);
        let kept: Vec<_> = accesses
            .into_iter()
            .filter(|it| it.value.is_none_or(|value| !lost.contains(&value)))
            .collect();
        if let Err(why) = zone::check(&kept) {
            odd.push(format!("register {key} is not linearizable: {why}"));
        }
    }
    findings.wrong_all(odd);
}

/// By key; the values at the end count as reads.
fn accesses(history: &History) -> BTreeMap<u16, Vec<Access<Unique>>> {
    let mut keys: BTreeMap<u16, Vec<_>> = BTreeMap::new();
    for op in &history.ops {
        let (key, value, is_write) = match (op.action, op.outcome) {
            (Action::Set { key, value }, Outcome::Done | Outcome::Unknown) => {
                (key, Some(value), true)
            }
            (Action::Get { key, saw }, Outcome::Done) => (key, saw, false),
            _ => continue,
        };
        let done = if op.is_done() { op.done } else { NEVER };
        keys.entry(key).or_default().push(Access { value, is_write, invoked: op.invoked, done });
    }
    for (key, value) in &history.registers {
        let (value, is_write) = (*value, false);
        let end = Access { value, is_write, invoked: history.read, done: history.read + 1 };
        keys.entry(*key).or_default().push(end);
    }
    keys
}

/// Values written in a window that nobody saw after it.
fn lost(accesses: &[Access<Unique>], windows: &[Window]) -> BTreeSet<Unique> {
    let mut doubtful: BTreeMap<Unique, u64> = BTreeMap::new();
    for it in accesses.iter().filter(|it| it.is_write) {
        let inside = windows.iter().filter(|window| window.holds(it.invoked, it.done));
        if let (Some(value), Some(to)) = (it.value, inside.map(|it| it.to).min()) {
            doubtful.insert(value, to);
        }
    }
    for it in accesses.iter().filter(|it| !it.is_write) {
        if let Some(value) = it.value
            && doubtful.get(&value).is_some_and(|to| it.invoked > *to)
        {
            doubtful.remove(&value);
        }
    }
    doubtful.into_keys().collect()
}
