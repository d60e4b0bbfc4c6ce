//! Nobody is promoted unless the primary gave no good answer for as long as the configuration
//! says, in time that the proxy was awake; or came back as another process.

use super::eyes::least;
use crate::proxy::micros;
use crate::sim::Sim;
use crate::swarm::Us;
use segue::pure::topology::{Link, LinkState};
use std::collections::BTreeSet;

impl Sim {
    pub(super) fn check_evidence(&mut self, p: usize) {
        let eyes = &self.checker.eyes[p];
        let Some(serving) = eyes.serving else {
            let is_orphaned = eyes.orphaned;
            return self.check(is_orphaned, "evidence", || {
                "a promotion before anybody served, and nobody said who did".to_owned()
            });
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

    /// Before anybody served: only if all but one node are replicas of that one, and lost it. They
    /// must say so when it is given up; afterwards one of them may be gone as well.
    pub(super) fn check_orphans(&mut self, p: usize) {
        self.checker.eyes[p].orphaned = true;
        let links: Vec<_> = self.checker.eyes[p]
            .known
            .iter()
            // What the dead one said in its life does not count.
            .map(|it| if it.streak > 0 { it.report.as_ref() } else { None })
            .map(|it| it.and_then(|it| it.link()).cloned())
            .collect();
        let hosts: BTreeSet<_> = links.iter().flatten().map(|it| it.host.clone()).collect();
        let lost = |it: &Link| matches!(it.state, LinkState::Down { .. });
        let all_lost = links.iter().flatten().all(lost);
        let missing = links.iter().filter(|it| it.is_none()).count();
        self.check(hosts.len() == 1 && all_lost && missing <= 1, "evidence", || {
            format!("a primary is given up before anybody served: {links:?}")
        });
    }
}
