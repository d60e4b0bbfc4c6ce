//! Epochs and versions never go back; an epoch is open for one node, and has one candidate.

use crate::sim::Sim;
use segue::pure::topology::{Epoch, Route};

impl Sim {
    pub(super) fn check_epoch(&mut self, p: usize, route: Route) {
        let eyes = &self.checker.eyes[p];
        let (version, epoch) = (eyes.version, eyes.epoch);
        self.check(route.version > version, "epoch", || format!("{route:?} after {version}"));
        self.check(route.epoch >= epoch, "epoch", || format!("{route:?} after epoch {epoch}"));
        self.checker.eyes[p].version = route.version;
        self.checker.eyes[p].epoch = route.epoch;
    }

    pub(super) fn check_opened(&mut self, p: usize, route: Route, node: usize) {
        let eyes = &mut self.checker.eyes[p];
        let owner = *eyes.opened.entry(route.epoch).or_insert(node);
        let candidate = eyes.candidates.get(&route.epoch).copied().unwrap_or(node);
        let said = eyes.known[node].report.as_ref().is_some_and(|it| it.is_primary());
        self.check(owner == node, "epoch", || format!("{route:?} belongs to node {owner}"));
        self.check(candidate == node, "epoch", || format!("{route:?} was meant for {candidate}"));
        self.check(said, "epoch", || format!("{route:?}, and node {node} says it is no primary"));
    }

    pub(super) fn check_candidate(&mut self, p: usize, node: usize, epoch: Epoch) {
        let eyes = &self.checker.eyes[p];
        let first = eyes.candidates.get(&epoch).copied().unwrap_or(node);
        let served = eyes.opened.get(&epoch).copied();
        let latest = eyes.epoch;
        self.check(first == node, "epoch", || format!("{epoch}: {node} after {first}"));
        self.check(served.is_none(), "epoch", || format!("{epoch} served {served:?} already"));
        self.check(epoch == latest, "epoch", || format!("a promotion in {epoch}, not {latest}"));
    }
}
