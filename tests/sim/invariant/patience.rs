//! Where nobody can say whether a primary that is out of reach lives, policy decides: nobody is
//! promoted; or somebody, but not before twice the time after which it counts as down.

use super::eyes::Known;
use crate::proxy::micros;
use crate::sim::Sim;
use segue::pure::failover::Witnessless;
use segue::pure::topology::{LinkState, Report};

impl Sim {
    pub(super) fn check_patience(&mut self, p: usize) {
        let eyes = &self.checker.eyes[p];
        let Some(serving) = eyes.serving else { return };
        let lost = &eyes.known[serving];
        let is_replica = lost.report.as_ref().is_some_and(|it| !it.is_primary());
        // Whose host takes connections, or who loads, is in reach; of who answers, nothing is open.
        if lost.streak > 0 || lost.is_reached || is_replica || self.is_amnesiac(p) {
            return;
        }
        // A link that is down, as far as anybody said since, is a word.
        let speaks = |it: &Known| {
            let state = it.report.as_ref().and_then(Report::link).map(|it| it.state);
            it.asked >= lost.tried_well
                && matches!(state, Some(LinkState::Down { .. } | LinkState::Never))
        };
        let mut others = (0..self.swarm.nodes).filter(|it| *it != serving);
        if others.any(|it| speaks(&eyes.known[it])) {
            return;
        }
        let params = &self.swarm.params;
        let silent = eyes.awake(self.now).saturating_sub(lost.well_at);
        let patience = 2 * micros(params.detect.down_after);
        let may = params.without_witness == Witnessless::Promote && silent >= patience;
        let policy = params.without_witness;
        self.check(may, "patience", || {
            format!("nobody can say whether node {serving} lives, {silent} us are gone: {policy:?}")
        });
    }
}
