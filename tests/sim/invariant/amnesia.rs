//! A primary that came back with less than a replica is known to hold does not serve.
//!
//! One case is counted and not failed, and only where nothing is guarded. A server that reads an
//! append-only file begins a history of an unknown name, so the design compares keys. If it has as many
//! as the replica, nothing that any server says tells the difference: be it that a client reached the
//! new process before the proxy did, over a gate that was open still, and has added keys; be it that
//! the file is of an older age, and has more than was served.
//! The account of a sweep says how often ("hidden by new keys").
//!
//! Only data counts of which the proxy could know that it belongs to what was served: of a history
//! that it opened for in this life, or that somebody told it such a one goes back to. One that was
//! killed has forgotten the steps between, and a server tells but the last.

use crate::client::Outcome;
use crate::data::replid;
use crate::proxy::micros;
use crate::sim::Sim;
use segue::pure::topology::Report;

impl Sim {
    pub(super) fn check_amnesia(&mut self, p: usize, node: usize) {
        let eyes = &self.checker.eyes[p];
        let is_new = eyes.serving == Some(node) && self.is_amnesiac(p);
        if !is_new || eyes.forgiven || self.swarm.proxies > 1 {
            return;
        }
        let Some(own) = eyes.known[node].point else { return };
        let Some(served) = eyes.served_point else { return };
        let plain = eyes.known[node].report.as_ref().filter(|_| self.swarm.guarded.is_none());
        let hides = |it: &&Report| it.descends.is_none_or(|it| !eyes.heard.contains(&it.0));
        let hides_up_to = plain.filter(hides).map(|it| it.keys);
        let mut hidden = 0;
        let age = 2 * micros(self.swarm.params.detect.interval);
        for other in 0..self.swarm.nodes {
            let known = &self.checker.eyes[p].known[other];
            let (Some(report), Some(point)) = (&known.report, known.point) else { continue };
            let counts = other != node
                && known.asked + age >= self.now
                && known.streak > 0
                && !report.is_primary()
                && !report.loading
                && self.data.descends(served.history, point.history)
                && self.checker.eyes[p].is_known_line(replid(point.history));
            if !counts {
                continue;
            }
            let saved = (0..self.checker.writes.len()).find(|it| {
                self.checker.writes[*it] == Outcome::Acked
                    && !self.checker.lost.contains(it)
                    && self.data.contains(point, *it)
                    && !self.data.contains(own, *it)
            });
            if saved.is_some() && hides_up_to.is_some_and(|it| it >= report.keys) {
                hidden = 1;
                continue;
            }
            self.check(saved.is_none(), "amnesia", || {
                format!("node {node} serves without write {saved:?}, which node {other} has")
            });
        }
        self.checker.stats.hidden += hidden;
    }
}
