//! Of all that could take over, as far as was known, the one with the most data does.

use crate::sim::Sim;
use crate::swarm::{SECOND, Us};
use segue::pure::topology::LinkState;

impl Sim {
    pub(super) fn check_best(&mut self, p: usize, chosen: usize) {
        let params = self.swarm.params.detect;
        let eyes = &self.checker.eyes[p];
        let Some(own) = eyes.known[chosen].report.clone() else { return };
        // Once it has begun to copy, its place in the history is not said any more, also if that breaks
        // off; it still has it.
        let is_copying = own.link().is_some_and(|it| it.state == LinkState::Syncing);
        let is_vague = (is_copying || own.offset <= 1) && own.keys > 0;
        let point = eyes.known[chosen].point.filter(|_| is_vague);
        let offset = point.map_or(own.offset, |it| it.offset);
        let lost_at = eyes.primary().map_or(0, |it| eyes.known[it].good_at);
        let age = crate::proxy::micros(params.interval) * 2;
        for other in 0..self.swarm.nodes {
            let known = &self.checker.eyes[p].known[other];
            let Some(report) = known.report.clone() else { continue };
            let is_fresh = known.asked + age >= self.now && known.asked >= lost_at;
            let refused = |at: Us| at + 2 * SECOND > self.now;
            let is_well = known.streak >= params.rise.max(2)
                && known.refused_at.is_none_or(|it| !refused(it))
                && known.asked > self.checker.eyes[p].woke_at;
            let is_sound = report.link().is_some_and(|it| match it.state {
                LinkState::Up { .. } => true,
                LinkState::Down { secs } => secs < 2,
                LinkState::Syncing | LinkState::Never => false,
            });
            let is_behind = self.nodes[other].priority > self.nodes[chosen].priority;
            // What went on behind the fork of the one that was lost is another history.
            let fork = self.checker.eyes[p].data().and_then(|it| it.0.descends);
            let is_off = fork.is_some_and(|it| it.0 == report.replid && report.offset >= it.1);
            let is_better = report.replid == own.replid && report.offset > offset && !is_off;
            if other != chosen && is_fresh && is_well && is_sound && !is_behind && is_better {
                let (theirs, ours) = (report.offset, offset);
                self.check(self.is_eligible(p, other).is_err(), "best", || {
                    format!("node {chosen} at {ours} is promoted, node {other} has {theirs}")
                });
            }
        }
    }
}
