//! The safety invariants that the small world checks at every publication and every order.

use super::*;

impl World {
    pub(super) fn published(&mut self, route: Route) {
        assert!(route.version > self.route.version, "the version did not grow");
        assert!(route.epoch >= self.route.epoch, "the epoch went back");
        if let Gate::Open(primary) = route.gate {
            let told = self.told_primary[usize::from(primary.node.0)];
            let Some(run_id) = told else { panic!("opened for a replica") };
            let owner = *self.opened.entry(route.epoch).or_insert((primary.node, run_id));
            assert_eq!(owner, (primary.node, run_id), "one epoch, two primaries");
        }
        self.route = route;
        self.push(self.confirm_ms, Item::Tell(Event::Confirmed { version: route.version }));
        if route.gate == Gate::Draining {
            let wait = self.confirm_ms + self.drain_ms;
            self.push(wait, Item::Tell(Event::Drained { version: route.version }));
        }
    }

    pub(super) fn check_order(&mut self, order: &Order) {
        match *order {
            Order::Promote { node, epoch, .. } => {
                assert_eq!(epoch, self.route.epoch, "promoted in another epoch");
                assert_eq!(self.route.gate, Gate::Held, "promoted with the gate open");
                assert!(self.confirmed >= self.route.version, "promoted before the barrier");
                let same = |it: &&(Epoch, NodeId)| it.0 == epoch;
                let first = self.promoted.iter().find(same).map(|it| it.1);
                assert_eq!(first.unwrap_or(node), node, "one epoch, two candidates");
                self.promoted.push((epoch, node));
                if first.is_some() {
                    // It may have been carried out: the same one is asked again, whoever is back since.
                    return;
                }
                let chosen = &self.nodes[usize::from(node.0)];
                // Who was given up by an operator may have more, and is not asked.
                let is_forced = self.notes.iter().any(|it| {
                    matches!(it, Note::PrimaryLost { reason, .. } if reason.starts_with("an operator"))
                });
                let is_better = |it: &Node| {
                    it.life == Life::Running
                        && !it.is_cut
                        && !(is_forced && it.follows.is_none())
                        && it.replid == chosen.replid
                        && it.offset > chosen.offset + 200
                };
                // What came back empty is copied any moment: who is not trusted yet is not waited for.
                let is_urgent = self
                    .notes
                    .iter()
                    .rev()
                    .take_while(|it| !matches!(it, Note::Held { .. } | Note::Discovered { .. }))
                    .any(|it| matches!(it, Note::Amnesia { .. }));
                let is_trusted = |n: usize| self.brain.members[n].health().is_up();
                let is_passed_over = |(n, it)| is_better(it) && (!is_urgent || is_trusted(n));
                let passed_over = self.nodes.iter().enumerate().find(|it| is_passed_over(*it));
                assert!(passed_over.is_none(), "a better one was passed over: {passed_over:?}");
            }
            Order::Follow { node, primary, .. } => {
                assert_ne!(node, primary);
                let serves = self.route.primary().map(|it| it.node);
                // A switchover turns everybody the moment that the target was promoted.
                let promoted = self.promoted.last().filter(|it| it.0 == self.route.epoch);
                let serves = serves.or(promoted.map(|it| it.1));
                assert_eq!(serves, Some(primary), "turned to a node that does not serve");
            }
            Order::Pause { node, .. } => {
                assert_eq!(self.route.gate, Gate::Draining, "paused with the gate open");
                assert!(self.drained >= self.route.version, "paused with writes in flight");
                assert!(self.told_primary[usize::from(node.0)].is_some(), "paused a replica");
            }
            Order::Reconnect { node } => {
                assert_eq!(self.route.gate, Gate::Held, "links are cut with the gate open");
                assert!(self.told_primary[usize::from(node.0)].is_none(), "a primary has no link");
            }
            Order::Unpause { .. } => {}
        }
    }
}
