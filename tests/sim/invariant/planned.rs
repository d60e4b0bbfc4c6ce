//! A switchover loses nothing: its target has every acknowledged write before it is told. And
//! where nothing else goes wrong, no client hears of it.

#![allow(clippy::wildcard_enum_match_arm, reason = "only what matters here are named")]

use crate::sim::Sim;
use segue::pure::failover::{Note, Verdict};

impl Sim {
    /// Proxy `p` orders the target of its switchover to become primary.
    pub(super) fn check_planned(&mut self, p: usize, node: usize) {
        if self.swarm.proxies > 1 || self.checker.meddled {
            return;
        }
        let Some((from, _)) = self.checker.eyes[p].switching else { return };
        self.check(from != node, "planned", || format!("node {node} shall follow on itself"));
        let missing = self.missing(node);
        let example = missing.first().copied();
        self.check(missing.is_empty(), "planned", || {
            format!("node {node} is to take over without {} writes: {example:?}", missing.len())
        });
    }

    pub(super) fn note_switchover(&mut self, p: usize, note: &Note) {
        match note {
            Note::Switching { from, to } => {
                let pair = (usize::from(from.0), usize::from(to.0));
                self.checker.eyes[p].switching = Some(pair);
            }
            Note::Switched { outcome, reason, .. } => {
                // Its promotion may have been carried out, and is asked for until it is confirmed.
                if *outcome != Verdict::Unfinished {
                    self.checker.eyes[p].switching = None;
                }
                let is_done = *outcome == Verdict::Done;
                self.checker.stats.switchovers += u64::from(is_done);
                self.checker.stats.switchovers_undone += u64::from(!is_done);
                let is_calm = self.swarm.is_calm && self.swarm.proxies == 1;
                // A burst may put it behind by more than this world's small limit.
                let lags = reason.as_ref().is_some_and(|it| it.contains("failover.max_lag_bytes"));
                self.check(is_done || !is_calm || lags, "planned", || {
                    format!("nothing is wrong, and a switchover is taken back: {reason:?}")
                });
            }
            // What it was chosen for is void, and what serves now is judged by what was served.
            Note::PromotionFailed { node, .. } => {
                let eyes = &mut self.checker.eyes[p];
                let node = usize::from(node.0);
                eyes.switching.take_if(|it| it.1 == node);
                eyes.chosen.take_if(|it| it.1 == node);
                eyes.given_up = Some(node);
            }
            _ => {}
        }
    }

    /// With nothing but switchovers, no client reads an error. (A watched `EXEC` may be null.)
    pub(super) fn check_calm(&mut self) {
        if !self.swarm.is_calm || self.swarm.proxies > 1 {
            return;
        }
        let told = self.checker.errors_told;
        self.check(told == 0, "planned", || format!("{told} answers were errors"));
        let lost = self.checker.lost.len();
        self.check(lost == 0, "planned", || format!("{lost} writes were lost"));
    }
}
