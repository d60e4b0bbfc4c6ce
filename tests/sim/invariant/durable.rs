//! An acknowledged write that the promoted replica had is never lost later.
//!
//! With one proxy, every acknowledged write is in what serves, except those that were not on the
//! replica when it was promoted, and those of a primary that came back without them and had no
//! replica to ask. Several proxies without a coordinator promise less, and are not held to it.

use crate::client::Outcome;
use crate::data::{Point, Write};
use crate::node::report::run_id;
use crate::sim::Sim;

impl Sim {
    /// The gate opens for `node`.
    pub(super) fn check_durable(&mut self, p: usize, node: usize) {
        if self.swarm.proxies > 1 {
            return;
        }
        let eyes = &self.checker.eyes[p];
        let run = eyes.known[node].report.as_ref().map(|it| it.run_id);
        let is_same = eyes.serving == Some(node) && eyes.served.as_ref().map(|it| it.run_id) == run;
        // An answer may be under way while its process dies. Who begins to serve decides what is left, by
        // what was told; what serves on is told by the next answer.
        let in_truth = self.nodes[node].process.as_ref().map(|it| run_id(it.run));
        let told = eyes.known[node].point.filter(|_| in_truth != run);
        if in_truth != run && (is_same || told.is_none()) {
            return;
        }
        let is_planned = eyes.is_planned(node);
        // The other checks say whether it may.
        let missing = told.map_or_else(|| self.missing(node), |it| self.missing_at(it));
        if (is_same || is_planned) && !self.checker.meddled {
            let example = missing.first().copied();
            self.check(missing.is_empty(), "durable", || {
                format!("node {node} serves on without {} writes, say {example:?}", missing.len())
            });
        } else {
            self.check_guarded(p, node, &missing);
            self.checker.lost.extend(missing);
        }
    }

    /// An acknowledgement was under way when the process that gave it died, and another one
    /// serves in its place: lost like those before it.
    pub(super) fn note_late_ack(&mut self, write: Write) {
        let Some(node) = self.checker.eyes[0].serving else { return };
        let Some(process) = &self.nodes[node].process else { return };
        let by = self.checker.executed_by.get(&write).copied();
        if by != Some(process.run) && !self.data.contains(process.point(), write) {
            self.checker.lost.insert(write);
        }
    }

    pub(super) fn check_durable_end(&mut self) {
        if self.swarm.proxies > 1 || self.checker.meddled {
            return;
        }
        let Some(node) = self.checker.eyes[0].serving else { return };
        if self.proxies[0].route.primary().is_none() {
            return;
        }
        let missing = self.missing(node);
        let example = missing.first().copied();
        self.check(missing.is_empty(), "durable", || {
            format!("{} acknowledged writes are gone, say {example:?}", missing.len())
        });
    }

    /// Acknowledged writes that `node` does not have.
    pub(super) fn missing(&self, node: usize) -> Vec<Write> {
        let process = self.nodes[node].process.as_ref();
        process.map_or_else(Vec::new, |it| self.missing_at(it.point()))
    }

    /// Acknowledged writes that are not there.
    fn missing_at(&self, point: Point) -> Vec<Write> {
        let acked = self.checker.writes.iter().enumerate().filter(|it| *it.1 == Outcome::Acked);
        acked
            .map(|it| it.0)
            .filter(|it| !self.checker.lost.contains(it) && !self.data.contains(point, *it))
            .collect()
    }
}
