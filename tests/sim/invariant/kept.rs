//! Whoever was promoted begins to serve only if he still has what he was chosen for: a copy of another
//! data set may have been complete just before he was told. What others do to him later in his epoch
//! is theirs.

use crate::client::Outcome;
use crate::node::report::run_id;
use crate::sim::Sim;
use segue::pure::topology::Route;

impl Sim {
    /// The gate opens for `node`.
    pub(super) fn check_kept(&mut self, p: usize, route: Route, node: usize) {
        let eyes = &self.checker.eyes[p];
        let Some((epoch, chosen, point)) = eyes.chosen else { return };
        let told = eyes.known[node].report.as_ref().map(|it| it.run_id);
        let Some(process) = &self.nodes[node].process else { return };
        // What answered may be gone already; the next answer tells.
        let serves_again = eyes.opened.contains_key(&epoch);
        if epoch != route.epoch
            || serves_again
            || chosen != node
            || Some(run_id(process.run)) != told
        {
            return;
        }
        // By what was told; what becomes of it while the answer is under way, the next one tells.
        let Some(own) = eyes.known[node].point else { return };
        let gone = (0..self.checker.writes.len()).find(|it| {
            self.checker.writes[*it] == Outcome::Acked
                && self.data.contains(point, *it)
                && !self.data.contains(own, *it)
        });
        self.check(gone.is_none(), "kept", || {
            format!("node {node} serves without write {gone:?}, which it had when it was chosen")
        });
    }
}
