//! Whose data descends from whose.
//!
//! A promotion gives a node a new replication id and keeps the old one as the second, with
//! the first offset that the two histories do not share. So reports alone order nodes,
//! without any other memory. A server remembers one step; [`Lineage`] remembers the steps
//! that it saw, so that two promotions in a row are still one family.
//!
//! Deliberately absent: who answers first, who has more keys, wall clocks.

use super::{ReplId, Report};
use std::collections::VecDeque;

/// Steps remembered. One is added by each promotion and each restart from a snapshot.
const STEPS_MAX: usize = 64;

/// Names of histories remembered.
const NAMES_MAX: usize = 256;

/// How one data set relates to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kinship {
    /// The same history; offsets are comparable.
    Same,
    /// The first continues the second: it is the successor.
    Successor,
    /// The second continues the first, and the first holds nothing that the second lacks
    /// but what came before the fork.
    Prefix,
    /// The second continues the first, which went on by itself after the fork.
    Diverged,
    /// No relation is known.
    Unrelated,
}

/// The steps from history to history that were seen.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    /// (child, parent, first offset not shared), oldest first.
    steps: Vec<(ReplId, ReplId, u64)>,
    /// Histories that somebody had, newest first.
    names: VecDeque<ReplId>,
}

impl Lineage {
    /// Remembers what `report` says about its ancestry.
    pub fn learn(&mut self, report: &Report) {
        if !report.loading && !self.knows(report.replid) {
            self.names.truncate(NAMES_MAX - 1);
            self.names.push_front(report.replid);
        }
        let Some((parent, fork)) = report.descends else { return };
        let child = report.replid;
        if child == parent || self.steps.iter().any(|it| it.0 == child) {
            return;
        }
        if self.steps.len() >= STEPS_MAX {
            self.steps.remove(0);
        }
        self.steps.push((child, parent, fork));
    }

    /// Whether somebody was heard to have the history of this name.
    pub fn knows(&self, history: ReplId) -> bool {
        self.names.contains(&history)
    }

    /// How the data set of `first` relates to that of `second`.
    pub fn kinship(&self, first: &Report, second: &Report) -> Kinship {
        if first.replid == second.replid {
            return Kinship::Same;
        }
        // A report of its own ancestry is fresher than a remembered one.
        if self.fork(first, second.replid).is_some() {
            return Kinship::Successor;
        }
        match self.fork(second, first.replid) {
            Some(fork) if first.offset < fork => Kinship::Prefix,
            Some(_) => Kinship::Diverged,
            None => Kinship::Unrelated,
        }
    }

    /// Whether both descend from one history, as far as is known: two nodes that were promoted
    /// out of the same group are no strangers, though neither continues the other.
    pub fn is_family(&self, first: &Report, second: &Report) -> bool {
        let known = self.ancestry(first);
        self.ancestry(second).iter().any(|it| known.contains(it))
    }

    /// Whether the history `child` continues `ancestor`, as far as steps are remembered.
    pub fn descends(&self, child: ReplId, ancestor: ReplId) -> bool {
        let mut next = self.step(child).map(|it| it.0);
        // Bounded by the number of steps, so that a cycle in what nodes claim ends too.
        for _ in 0..=self.steps.len() {
            match next {
                Some(parent) if parent == ancestor => return true,
                Some(parent) => next = self.step(parent).map(|it| it.0),
                None => return false,
            }
        }
        false
    }

    /// Up to which offset two data sets are the same, by the nearest history that both go back to;
    /// `None` if no such history is known. Offsets go on where histories fork.
    pub fn shared(&self, first: &Report, second: &Report) -> Option<u64> {
        let theirs = self.line(second);
        self.line(first).into_iter().find_map(|(history, end)| {
            theirs.iter().find(|it| it.0 == history).map(|it| it.1.min(end))
        })
    }

    /// The history of `report`, and what it goes back to, nearest first; each with the last offset of
    /// it that `report` has.
    fn line(&self, report: &Report) -> Vec<(ReplId, u64)> {
        let mut found = vec![(report.replid, report.offset)];
        let mut next = report.descends.or_else(|| self.step(report.replid));
        let mut end = report.offset;
        // Bounded by the number of steps, so that a cycle in what nodes claim ends too.
        while let Some((history, fork)) = next.filter(|_| found.len() <= self.steps.len() + 1) {
            end = end.min(fork.saturating_sub(1));
            found.push((history, end));
            next = self.step(history);
        }
        found
    }

    /// The history of `report`, and what it goes back to, nearest first.
    fn ancestry(&self, report: &Report) -> Vec<ReplId> {
        let mut found = vec![report.replid];
        let mut next = report.descends.map(|it| it.0).or_else(|| Some(self.step(report.replid)?.0));
        // Bounded by the number of steps, so that a cycle in what nodes claim ends too.
        while let Some(history) = next.filter(|_| found.len() <= self.steps.len() + 1) {
            found.push(history);
            next = self.step(history).map(|it| it.0);
        }
        found
    }

    /// The first offset of `ancestor`'s history that `descendant` does not share, if it
    /// descends from it at all. Over several steps the lowest fork counts.
    pub fn fork(&self, descendant: &Report, ancestor: ReplId) -> Option<u64> {
        let (mut parent, mut lowest) =
            descendant.descends.or_else(|| self.step(descendant.replid))?;
        // Bounded by the number of steps, so that a cycle in what nodes claim ends too.
        for _ in 0..=self.steps.len() {
            if parent == ancestor {
                return Some(lowest);
            }
            let (next, fork) = self.step(parent)?;
            parent = next;
            lowest = lowest.min(fork);
        }
        None
    }

    fn step(&self, child: ReplId) -> Option<(ReplId, u64)> {
        self.steps.iter().find(|it| it.0 == child).map(|it| (it.1, it.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::topology::{Role, RunId};

    fn id(digit: char) -> ReplId {
        ReplId::parse(&digit.to_string().repeat(40)).expect("an id")
    }

    fn report(replid: char, descends: Option<(char, u64)>, offset: u64) -> Report {
        Report {
            version: String::new(),
            run_id: RunId::parse(&"r".repeat(40)).expect("an id"),
            role: Role::Primary,
            replid: id(replid),
            descends: descends.map(|(parent, fork)| (id(parent), fork)),
            offset,
            loading: false,
            failing_over: false,
            followers: Vec::new(),
            keys: 0,
            expiring_keys: 0,
        }
    }

    #[test]
    fn a_promoted_node_succeeds_the_one_it_followed() {
        let (old, new) = (report('a', None, 100), report('b', Some(('a', 101)), 150));
        let lineage = Lineage::default();
        assert_eq!(lineage.kinship(&new, &old), Kinship::Successor);
        assert_eq!(lineage.kinship(&old, &new), Kinship::Prefix);
        assert_eq!(lineage.kinship(&old, &old), Kinship::Same);
    }

    #[test]
    fn who_went_on_after_the_fork_has_diverged() {
        let (old, new) = (report('a', None, 101), report('b', Some(('a', 101)), 150));
        let lineage = Lineage::default();
        assert_eq!(lineage.kinship(&old, &new), Kinship::Diverged);
        assert_eq!(lineage.kinship(&new, &old), Kinship::Successor);
    }

    #[test]
    fn two_children_of_one_history_are_not_ordered() {
        let lineage = Lineage::default();
        let (one, other) = (report('b', Some(('a', 10)), 50), report('c', Some(('a', 20)), 50));
        assert_eq!(lineage.kinship(&one, &other), Kinship::Unrelated);
    }

    #[test]
    fn two_children_of_one_history_are_family() {
        let mut lineage = Lineage::default();
        let (one, other) = (report('b', Some(('a', 10)), 50), report('c', Some(('a', 20)), 50));
        assert!(lineage.is_family(&one, &other));
        assert!(!lineage.is_family(&one, &report('d', None, 50)));
        assert!(!lineage.is_family(&one, &report('e', Some(('c', 30)), 50)));
        lineage.learn(&other);
        assert!(lineage.is_family(&one, &report('e', Some(('c', 30)), 50)));
    }

    #[test]
    fn remembers_more_steps_than_a_server_does() {
        let mut lineage = Lineage::default();
        lineage.learn(&report('b', Some(('a', 50)), 60));
        let (first, third) = (report('a', None, 55), report('c', Some(('b', 70)), 80));
        assert_eq!(lineage.kinship(&third, &first), Kinship::Successor);
        // 55 is past the first fork, though not past the second.
        assert_eq!(lineage.kinship(&first, &third), Kinship::Diverged);
        assert_eq!(lineage.kinship(&report('a', None, 49), &third), Kinship::Prefix);
    }

    #[test]
    fn two_data_sets_share_what_came_before_the_nearer_fork() {
        let mut lineage = Lineage::default();
        lineage.learn(&report('b', Some(('a', 50)), 60));
        let third = report('c', Some(('b', 70)), 80);
        let shared = |it: &Report| lineage.shared(it, &third);
        assert_eq!(shared(&report('c', Some(('b', 70)), 75)), Some(75));
        assert_eq!(shared(&report('b', None, 65)), Some(65), "a prefix");
        assert_eq!(shared(&report('b', None, 90)), Some(69), "it went on by itself");
        assert_eq!(shared(&report('d', Some(('a', 40)), 90)), Some(39), "two branches");
        assert_eq!(shared(&report('e', Some(('z', 40)), 90)), None);
    }

    #[test]
    fn a_cycle_of_claims_ends() {
        let mut lineage = Lineage::default();
        lineage.learn(&report('a', Some(('b', 1)), 1));
        lineage.learn(&report('b', Some(('a', 1)), 1));
        assert!(!lineage.is_family(&report('a', None, 1), &report('z', None, 1)));
        assert_eq!(
            lineage.kinship(&report('a', None, 1), &report('z', None, 1)),
            Kinship::Unrelated
        );
    }

    #[test]
    fn forgets_the_oldest_step_first() {
        let mut lineage = Lineage::default();
        let name = |n: usize| ReplId::parse(&format!("{n:040}")).expect("an id");
        for n in 1..=STEPS_MAX + 1 {
            lineage.learn(&Report {
                replid: name(n + 1),
                descends: Some((name(n), 1)),
                ..report('a', None, 1)
            });
        }
        assert_eq!(lineage.steps.len(), STEPS_MAX);
        assert_eq!(lineage.step(name(2)), None);
        assert!(lineage.step(name(STEPS_MAX + 2)).is_some());
    }
}
