//! A promotion whose outcome is unknown is asked of the same node again, never of the next one,
//! as long as the process that was asked lives and has not said that it is a primary: then it is
//! known, and has another reason not to serve (it has copied other data meanwhile).

use crate::node::report::run_id;
use crate::sim::Sim;
use segue::pure::failover::{Order, Outcome};
use segue::pure::topology::Report;

impl Sim {
    /// An order's outcome is told; `run` is the process that it was sent to.
    pub(super) fn note_outcome(
        &mut self,
        p: usize,
        order: &Order,
        run: Option<u64>,
        outcome: &Outcome,
    ) {
        let Order::Promote { node, epoch, .. } = order else { return };
        let node = usize::from(node.0);
        let run = run.map(run_id);
        if *outcome == Outcome::Done {
            self.checker.eyes[p].promoted = Some((*epoch, node));
        }
        // A probe may have told long ago.
        let is_settled = self.checker.eyes[p].opened.contains_key(epoch);
        if *outcome == Outcome::Unknown && !is_settled {
            self.checker.eyes[p].uncertain = run.map(|it| (node, it, self.now));
        }
    }

    /// Node `chosen` is about to be promoted in an epoch of its own.
    pub(super) fn check_unknown(&mut self, p: usize, chosen: usize) {
        let Some((node, run, at)) = self.checker.eyes[p].uncertain else { return };
        let known = &self.checker.eyes[p].known[node];
        let says = |it: &Report| it.run_id == run && it.is_primary() && !it.loading;
        if known.asked >= at && known.report.as_ref().is_some_and(says) {
            return;
        }
        let process = self.nodes[node].process.as_ref();
        let lives = process.is_some_and(|it| run_id(it.run) == run);
        self.check(node == chosen || !lives, "unknown", || {
            format!("node {chosen} is promoted while node {node} may have been")
        });
    }
}
