//! Nobody takes over while a replica that said it has more is only late with its next answer: it
//! answers in a moment, or counts as down.

use super::eyes::Known;
use crate::proxy::micros;
use crate::sim::Sim;
use segue::pure::topology::{LinkState, Report};

impl Sim {
    pub(super) fn check_late(&mut self, p: usize, chosen: usize) {
        let params = self.swarm.params.detect;
        let eyes = &self.checker.eyes[p];
        let Some(lost) = eyes.primary().map(|it| &eyes.known[it]) else { return };
        // One that answers was given up for another reason, and there may be no time to wait.
        let is_silent = lost.streak == 0 && !self.is_amnesiac(p) && eyes.slept == 0;
        let Some(own) = eyes.known[chosen].report.as_ref().filter(|_| is_silent) else { return };
        let is_whole = |it: &Report| {
            let state = it.link().map(|it| it.state);
            matches!(state, Some(LinkState::Up { .. } | LinkState::Down { .. }))
        };
        // Its answer is overdue, or was given up; refused is another matter.
        let is_overdue = |it: &Known| {
            let was_well = it.streak.max(it.streak_before) >= params.rise.max(2);
            let suspect_at = it.good_at + micros(params.interval + params.suspect_after);
            was_well && (it.is_late || it.streak > 0 && suspect_at <= self.now)
        };
        let late = (0..self.swarm.nodes).find(|it| {
            let known = &eyes.known[*it];
            let priority = self.nodes[*it].priority;
            let has_more = known.report.as_ref().is_some_and(|it| {
                is_whole(it) && it.replid == own.replid && it.offset > own.offset
            });
            *it != chosen
                && has_more
                && is_overdue(known)
                && self.is_eligible(p, *it).is_ok()
                && known.good_at + micros(params.down_after) > self.now
                && (1..=self.nodes[chosen].priority).contains(&priority)
        });
        self.check(late.is_none(), "late", || {
            format!("node {chosen} is promoted, and node {late:?} has more and is merely late")
        });
    }
}
