//! Nobody is promoted unless the primary gave no good answer for as long as the configuration
//! says, in time that the proxy was awake; or came back as another process.

use super::eyes::least;
use crate::proxy::micros;
use crate::sim::Sim;
use crate::swarm::Us;

impl Sim {
    pub(super) fn check_evidence(&mut self, p: usize) {
        let eyes = &self.checker.eyes[p];
        let Some(serving) = eyes.serving else {
            return self.fail("evidence", "a promotion before anybody served".to_owned());
        };
        // Nothing is left to wait for if it says itself that it is a replica.
        let report = eyes.known[serving].report.as_ref();
        if self.is_amnesiac(p) || report.is_some_and(|it| !it.is_primary()) {
            return;
        }
        let params = self.swarm.params.detect;
        let known = &eyes.known[serving];
        let silent: Us = eyes.awake(self.now).saturating_sub(known.well_at);
        let least = micros(least(params));
        self.check(silent >= least, "evidence", || {
            format!("node {serving} was well {silent} us ago, and is given up already")
        });
    }
}
