//! After the proxy itself stood still it decides by nothing that it was told before.

use crate::proxy::micros;
use crate::sim::Sim;
use crate::swarm::MS;

impl Sim {
    /// Notices that the proxy stood still: its timer never waits longer than an interval.
    pub(super) fn check_awake(&mut self, p: usize) {
        let now = self.now;
        let interval = micros(self.swarm.params.detect.interval);
        let eyes = &mut self.checker.eyes[p];
        let gap = now - eyes.stepped_at;
        eyes.stepped_at = now;
        if gap > interval + interval.max(100 * MS) + 2 * MS {
            eyes.slept += gap;
            eyes.woke_at = now;
        }
    }

    pub(super) fn check_fresh(&mut self, p: usize, node: usize) {
        let eyes = &self.checker.eyes[p];
        let (woke_at, asked) = (eyes.woke_at, eyes.known[node].asked);
        self.check(asked >= woke_at, "stale", || {
            format!("node {node} is promoted by what it said before the proxy woke up")
        });
    }
}
