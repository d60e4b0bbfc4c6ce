//! The gate opens only for whoever has loaded his data.

use crate::sim::Sim;

impl Sim {
    pub(super) fn check_ready(&mut self, p: usize, node: usize) {
        let loads = self.checker.eyes[p].known[node].report.as_ref().is_some_and(|it| it.loading);
        self.check(!loads, "ready", || format!("the gate opens for node {node}, which loads"));
    }
}
