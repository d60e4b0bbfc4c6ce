//! An acknowledged guarded write is not lost while the promise of its listener holds: unless as
//! many copies as it promised are gone, whoever takes over has it.
//!
//! A copy is gone when its node restarted without it, or threw it away for another data set. With
//! several proxies the one that promotes must follow the rule as well, which each of them does;
//! but it may be deposed by a human, who does not.
//!
//! One that begins knows no earlier processes: whose word it takes may have lost what he confirmed
//! before that (docs/guarded-writes.md). So its first primary is not held against it then.

use crate::data::{Point, Write};
use crate::sim::Sim;

impl Sim {
    /// A client hears that a write is safe: who has it.
    pub(super) fn note_copies(&mut self, write: Write) {
        let Some(promise) = self.swarm.guarded else { return };
        let by = self.checker.executed_by.get(&write).copied();
        let has = |n: &usize| {
            let process = self.nodes[*n].process.as_ref();
            process.is_some_and(|it| Some(it.run) != by && self.data.contains(it.point(), write))
        };
        let copies: Vec<usize> = (0..self.nodes.len()).filter(has).collect();
        let (told, promised) = (copies.len() as u64, u64::from(promise.replicas));
        // One may have gone between its word and this moment.
        self.check(told >= promised || !self.checker.gone_at.is_empty(), "guarded", || {
            format!("write {write} is acknowledged, and only {copies:?} have it")
        });
        self.checker.copies.insert(write, copies);
    }

    /// A node loses what it has: a restart, or another data set.
    pub(crate) fn copy_goes(&mut self, n: usize) {
        self.checker.gone_at.insert(n, self.now);
    }

    /// The gate of proxy `p` opens for `node`, which lacks `missing`.
    pub(super) fn check_guarded(&mut self, p: usize, node: usize, missing: &[Write]) {
        let eyes = &self.checker.eyes[p];
        let (begins, born_at) = (eyes.serving.is_none(), eyes.born_at);
        let is_void = self.checker.meddled;
        let Some(promise) = self.swarm.guarded.filter(|_| !is_void) else { return };
        for write in missing {
            let Some(copies) = self.checker.copies.get(write).cloned() else { continue };
            let has = |n: &&usize| {
                let process = self.nodes[**n].process.as_ref();
                // Where keys prove nothing, nor does what a file gave back under a new name.
                let is_told = |it: Point| !self.swarm.expiring || self.data.tells(it, *write);
                process
                    .is_some_and(|it| self.data.contains(it.point(), *write) && is_told(it.point()))
            };
            let left = copies.iter().filter(has).count();
            let gone = copies.len() - left;
            let went = |n: &usize| self.checker.gone_at.get(n).is_some_and(|it| *it <= born_at);
            if begins && copies.iter().any(went) {
                continue;
            }
            let is_kept = left > 0 && (gone as u64) < u64::from(promise.replicas);
            self.check(!is_kept, "guarded", || {
                format!("node {node} serves without write {write}, which {copies:?} had")
            });
        }
    }
}
