//! One decider alone does not go back to a primary that he replaced: that it is one still is nobody
//! else's decision.

use crate::sim::Sim;
use crate::swarm::Fault;
use segue::pure::failover::Note;

impl Sim {
    pub(super) fn check_replaced(&mut self, p: usize, note: &Note) {
        let Note::FailedOver { from, to, followed: true, .. } = note else { return };
        let is_alone = self.swarm.proxies == 1
            && !self.checker.meddled
            && !self.swarm.late_orders
            && !self.swarm.faults.contains(&Fault::Forget);
        let (from, to) = (usize::from(from.0), usize::from(to.0));
        let eyes = &self.checker.eyes[p];
        let (left, next) = (&eyes.known[from].report, &eyes.known[to].report);
        // Whoever served last is a primary still, as far as he said anything.
        let is_left = left.as_ref().is_some_and(|it| {
            it.is_primary() && Some(it.run_id) == eyes.left.as_ref().map(|it| it.1)
        });
        let was_ours = next.as_ref().is_some_and(|it| {
            eyes.reigns.get(&(to, it.run_id)).is_some_and(|it| *it > 1)
                && eyes.known[to].replica_run != Some(it.run_id)
        });
        self.check(!is_alone || !is_left || !was_ours, "replaced", || {
            format!("node {to} is followed, which was given up for node {from}")
        });
    }
}
