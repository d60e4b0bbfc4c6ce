//! Primaries change no more often than there is a reason to.

use crate::sim::Sim;
use crate::swarm::SECOND;
use segue::pure::failover::Note;

/// Changes that a group may still need once everything is whole.
const AFTER_HEALING_MAX: u64 = 3;

impl Sim {
    pub(super) fn check_flapping(&mut self, p: usize, note: &Note) {
        if !matches!(note, Note::FailedOver { .. }) {
            return;
        }
        self.checker.eyes[p].switches += 1;
        let switches = self.checker.eyes[p].switches;
        // A fault ends as well, and each side may move a role; then there are the other proxies.
        let others = self.checker.eyes.len() as u64;
        let limit = (self.checker.stats.faults * 2 + AFTER_HEALING_MAX) * others;
        self.check(switches <= limit, "flapping", || {
            format!("proxy {p} changed over {switches} times, limit {limit}")
        });
        let calm = self.healing_from.is_some_and(|it| self.now > it + 60 * SECOND);
        self.check(!calm, "flapping", || {
            format!("proxy {p} changes over long after everything is whole")
        });
    }
}
