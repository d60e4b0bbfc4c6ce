//! While a replica is known to receive from the primary that the proxy cannot reach, nobody is
//! promoted.

use crate::node::report::host;
use crate::proxy::micros;
use crate::sim::Sim;
use crate::swarm::{SECOND, Us};
use segue::pure::topology::LinkState;

/// A primary that has nothing to say says so after ten seconds.
const WORD_MAX: Us = 12 * SECOND;

impl Sim {
    pub(super) fn check_witness(&mut self, p: usize) {
        let eyes = &self.checker.eyes[p];
        let Some(serving) = eyes.serving else { return };
        if self.is_amnesiac(p) || eyes.slept > 0 {
            return;
        }
        let params = self.swarm.params.detect;
        let lost_at = eyes.known[serving].good_at + 3 * micros(params.interval);
        for node in 0..self.swarm.nodes {
            let known = &self.checker.eyes[p].known[node];
            let Some(link) = known.report.as_ref().and_then(|it| it.link()) else { continue };
            let LinkState::Up { idle_secs } = link.state else { continue };
            let received_at = known.asked.saturating_sub((idle_secs + 1) * SECOND);
            // Its word is good until it counts as down itself, though its next answer is late.
            let was_well = known.is_late && known.streak_before >= params.rise.max(2);
            let is_well = (known.streak >= params.rise.max(2) || was_well)
                && known.good_at + micros(params.down_after) > self.now;
            let still_counts = (idle_secs + 1) * SECOND <= WORD_MAX;
            let testifies =
                is_well && still_counts && link.host == host(serving) && received_at > lost_at;
            self.check(!testifies, "witness", || {
                format!("node {node} still receives from node {serving}, which is given up")
            });
        }
    }
}
