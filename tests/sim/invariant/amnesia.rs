//! A primary that came back with less than a replica is known to hold does not serve.

use crate::client::Outcome;
use crate::proxy::micros;
use crate::sim::Sim;

impl Sim {
    pub(super) fn check_amnesia(&mut self, p: usize, node: usize) {
        let eyes = &self.checker.eyes[p];
        let is_new = eyes.serving == Some(node) && self.is_amnesiac(p);
        if !is_new || eyes.forgiven || self.swarm.proxies > 1 {
            return;
        }
        let Some(own) = eyes.known[node].point else { return };
        let Some(served) = eyes.served_point else { return };
        let age = 2 * micros(self.swarm.params.detect.interval);
        for other in 0..self.swarm.nodes {
            let known = &self.checker.eyes[p].known[other];
            let (Some(report), Some(point)) = (&known.report, known.point) else { continue };
            let counts = other != node
                && known.asked + age >= self.now
                && known.streak > 0
                && !report.is_primary()
                && !report.loading
                && self.data.descends(served.history, point.history);
            if !counts {
                continue;
            }
            let saved = (0..self.checker.writes.len()).find(|it| {
                self.checker.writes[*it] == Outcome::Acked
                    && !self.checker.lost.contains(it)
                    && self.data.contains(point, *it)
                    && !self.data.contains(own, *it)
            });
            self.check(saved.is_none(), "amnesia", || {
                format!("node {node} serves without write {saved:?}, which node {other} has")
            });
        }
    }
}
