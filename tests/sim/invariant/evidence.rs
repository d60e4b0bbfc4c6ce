//! Nobody is promoted unless the primary gave no good answer for as long as the configuration
//! says, in time that the proxy was awake; or came back as another process.

use super::eyes::{Known, Orphaned, least};
use crate::data::Point;
use crate::node::report::host;
use crate::proxy::micros;
use crate::sim::Sim;
use crate::swarm::Us;
use segue::pure::topology::{Link, LinkState, Report};

impl Sim {
    pub(super) fn check_evidence(&mut self, p: usize) {
        let eyes = &self.checker.eyes[p];
        let Some(serving) = eyes.primary() else {
            return self.fail(
                "evidence",
                "a promotion before anybody served, and nobody said who did".to_owned(),
            );
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

    /// Before anybody served: only if all other nodes but one are replicas of this one, and lost it. They
    /// must say so when it is given up; afterwards one of them may be gone as well.
    ///
    /// A replica's word is the last that it said. It still counts while its next answer is late by
    /// less than makes it suspect (three intervals and a time-out, as for everything that is decided
    /// by a report), but not from before the proxy stood still. What `primary` says itself does not:
    /// it may be back already as a replica of whom its file names; that it says that it is a
    /// primary, and is believed, would end the matter.
    pub(super) fn check_orphans(&mut self, p: usize, primary: usize) {
        let params = self.swarm.params.detect;
        let age = 3 * micros(params.interval) + micros(params.timeout);
        let (now, eyes) = (self.now, &self.checker.eyes[p]);
        let speaks = |it: &&Known| {
            let is_lately = it.asked + age >= now && it.asked >= eyes.woke_at;
            it.streak > 0 || it.is_late && it.good_at > 0 && is_lately
        };
        let own = &eyes.known[primary];
        let is_back =
            own.streak >= params.rise && own.report.as_ref().is_some_and(Report::is_primary);
        let others = (0..self.swarm.nodes).filter(|it| *it != primary);
        let words: Vec<(Option<Report>, Option<Point>)> = others
            .map(|it| Some(&eyes.known[it]).filter(speaks))
            .map(|it| (it.and_then(|it| it.report.clone()), it.and_then(|it| it.point)))
            .collect();
        let has_lost =
            |it: &Link| it.host == host(primary) && matches!(it.state, LinkState::Down { .. });
        let links: Vec<_> = words.iter().map(|it| it.0.as_ref().and_then(Report::link)).collect();
        let heard = links.iter().flatten().count();
        let all_lost = links.iter().flatten().all(|it| has_lost(it));
        let holds = !is_back && heard > 0 && all_lost && links.len() - heard <= 1;
        let told = format!("node {primary} is given up before anybody served: {links:?}");
        let best = words.into_iter().filter_map(|it| it.0.zip(it.1)).max_by_key(|it| it.0.offset);
        self.checker.eyes[p].orphaned = best.map(|(best, point)| Orphaned { primary, best, point });
        self.check(holds, "evidence", || told);
    }
}
