//! What was served is saved from a replica that went on by itself as well: a primary that came back
//! without a part of it does not serve while such a one has that part.
//!
//! `amnesia.rs` looks at replicas of what was served; this at those whose history forked off it. Only
//! forks count that were told, as there.

use crate::client::Outcome;
use crate::data::{Point, replid};
use crate::proxy::micros;
use crate::sim::Sim;
use segue::pure::topology::LinkState;

impl Sim {
    pub(super) fn check_apart(&mut self, p: usize, node: usize) {
        let eyes = &self.checker.eyes[p];
        let is_new = eyes.serving == Some(node) && self.is_amnesiac(p);
        if !is_new || eyes.forgiven || self.swarm.proxies > 1 || self.checker.meddled {
            return;
        }
        let (Some(own), Some(served)) = (eyes.known[node].point, eyes.served_point) else { return };
        let line = eyes.line(replid(served.history));
        let is_told = |it: Point| eyes.line(replid(it.history)).iter().any(|it| line.contains(it));
        let told: Vec<bool> = eyes.known.iter().map(|it| it.point.is_some_and(is_told)).collect();
        if !told[node] {
            return;
        }
        let all = Point { offset: u64::MAX, ..served };
        let age = 2 * micros(self.swarm.params.detect.interval);
        for other in (0..self.swarm.nodes).filter(|it| *it != node) {
            let known = &self.checker.eyes[p].known[other];
            let (Some(report), Some(point)) = (&known.report, known.point) else { continue };
            let is_copying = report.link().is_none_or(|it| it.state == LinkState::Syncing);
            let counts = known.asked + age >= self.now
                && known.streak > 0
                && !is_copying
                && !report.loading
                && report.offset > 1
                && !self.data.descends(served.history, point.history)
                && told[other];
            let saved = (0..self.checker.writes.len()).filter(|_| counts).find(|it| {
                self.checker.writes[*it] == Outcome::Acked
                    && !self.checker.lost.contains(it)
                    && self.data.contains(all, *it)
                    && self.data.contains(point, *it)
                    && !self.data.contains(own, *it)
            });
            self.check(saved.is_none(), "apart", || {
                format!("node {node} serves without write {saved:?}, which node {other} kept")
            });
        }
    }
}
