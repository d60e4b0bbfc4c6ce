//! The gate: the only code that publishes a route or orders a promotion. The invariants of the
//! module's header are asserted here, in release too.

use super::brain::{Brain, Goal, Phase, node_at};
use super::event::{Action, Note, Order};
use super::probed::Endpoint;
use crate::pure::time::Time;
use crate::pure::topology::{Epoch, Gate, NodeId, Primary, Report, Route};

/// Epochs whose owners are remembered: only those around the one in force are ever asked for.
const EPOCHS_MAX: u64 = 16;

impl Brain {
    /// Closes the gate in the epoch in force.
    pub(super) fn hold(&mut self, now: Time, primary: NodeId, reason: String) {
        self.phase = Phase::Suspecting;
        self.held_from.get_or_insert(now);
        if let Some(doubt) = &mut self.doubt {
            doubt.hold_at = None;
        }
        self.reason = Some(reason.clone());
        self.publish(self.route.epoch, Gate::Held);
        self.note(Note::Held { primary, reason });
        // Whoever may have to take over, or testify, is asked now and not at its next turn.
        for index in 0..self.members.len() {
            self.act(Action::Probe(node_at(index)));
        }
    }

    /// Opens the gate for `node`.
    ///
    /// # Panics
    ///
    /// If `node` has not said that it is a primary, or the epoch belongs to another node or to an
    /// earlier process of this one.
    pub(super) fn open(&mut self, node: NodeId, epoch: Epoch) {
        let member = self.member(node).expect("only members are opened for");
        let report = member.report().filter(|it| it.is_primary()).expect("opened for a replica");
        let process = report.run_id;
        let owner = (node, process);
        assert!(self.candidates.get(&epoch).is_none_or(|it| *it == node), "another's epoch");
        let Some(addr) = member.addr else { return };
        // An epoch that was entered otherwise was handed over by nobody.
        self.handed_over &= epoch == self.route.epoch;
        self.doubt = None;
        self.follow_at = None;
        self.held_from = None;
        self.lost_from = None;
        self.is_overdue = false;
        self.witness_told = None;
        self.forget_tests();
        self.turn = None;
        self.reasons_told.clear();
        self.conflict.clear();
        self.reason = None;
        self.rejected.clear();
        self.members.iter_mut().for_each(|it| it.failed = None);
        // From now on it is our choice, and no longer one that somebody else may have promoted.
        if let Some(member) = self.member_mut(node) {
            member.replica_run = None;
        }
        self.phase = Phase::Steady;
        assert!(*self.opened.entry(epoch).or_insert(owner) == owner, "one epoch, two primaries");
        let Some(standstill) = self.standstill else {
            return self.publish(epoch, Gate::Open(Primary { node, addr, process }));
        };
        // It may serve, and does when an operator lets it.
        self.phase = Phase::Suspecting;
        self.held_from = Some(standstill.since);
        self.reason = self.standstill_reason();
        self.publish(epoch, Gate::Held);
    }

    /// Publishes a new epoch that is held, and waits for its confirmation.
    pub(super) fn sever(&mut self, goal: Goal) {
        let epoch = self.route.epoch.next();
        self.follow_at = None;
        self.handed_over = matches!(goal, Goal::Switch(_));
        self.publish(epoch, Gate::Held);
        self.phase = Phase::Committing { version: self.route.version, goal };
        self.note(Note::Committed { epoch });
    }

    /// Whether the epoch in force has been confirmed as held by all, and used for nothing.
    pub(super) fn is_severed(&self) -> bool {
        self.route.gate == Gate::Held
            && !self.candidates.contains_key(&self.route.epoch)
            && !self.opened.contains_key(&self.route.epoch)
            && self.route.epoch > Epoch::default()
            && self.confirmed >= self.route.version
    }

    /// Whether the epoch in force was meant or opened for somebody else: another node, or an
    /// earlier process of this one. What was sent to that process will never be answered, and its
    /// connections need not break: a child that it left behind keeps them.
    pub(super) fn is_epoch_of_another(&self, node: NodeId) -> bool {
        let run_id = self.member(node).and_then(|it| it.report()).map(|it| it.run_id);
        let epoch = self.route.epoch;
        self.candidates.get(&epoch).is_some_and(|it| *it != node)
            || self.opened.get(&epoch).is_some_and(|it| it.0 != node || Some(it.1) != run_id)
    }

    /// Orders the promotion of `node` in the epoch in force.
    ///
    /// # Panics
    ///
    /// If not every worker has confirmed that the gate is held in this epoch, or the epoch has
    /// another candidate.
    pub(super) fn order_promotion(&mut self, node: NodeId) {
        let epoch = self.route.epoch;
        assert!(self.route.gate == Gate::Held, "promoted with the gate open");
        assert!(self.confirmed >= self.route.version, "promoted before the barrier");
        assert!(!self.opened.contains_key(&epoch), "promoted in an epoch that served");
        assert!(*self.candidates.entry(epoch).or_insert(node) == node, "one epoch, two candidates");
        let report = self.member(node).and_then(|it| it.report());
        let link = report.and_then(Report::link);
        let follows = link.map(|it| Endpoint { host: it.host.clone(), port: it.port });
        let process = match &self.phase {
            Phase::Promoting(promotion) => Some(promotion.run_id),
            Phase::Discovering
            | Phase::Steady
            | Phase::Suspecting
            | Phase::Committing { .. }
            | Phase::Switching(_) => report.map(|it| it.run_id),
        };
        self.order(Order::Promote { node, epoch, follows, process });
    }

    pub(super) fn order(&mut self, order: Order) {
        if let Some(member) = self.member_mut(order.node()) {
            member.pending = Some(super::member::Pending { order: order.clone() });
        }
        self.act(Action::Order(order));
    }

    pub(super) fn publish(&mut self, epoch: Epoch, gate: Gate) {
        assert!(epoch >= self.route.epoch, "the epoch went back");
        let is_open = matches!(gate, Gate::Open(_));
        assert!(!is_open || self.standstill.is_none(), "opened against an operator's order");
        let version = self.route.version.saturating_add(1);
        let handed_over = self.handed_over;
        self.route = Route { version, epoch, gate, handed_over };
        self.actions.push(Action::Publish(self.route));
        if let Some(oldest) = epoch.0.checked_sub(EPOCHS_MAX) {
            self.candidates.retain(|it, _| it.0 >= oldest);
            self.opened.retain(|it, _| it.0 >= oldest);
        }
    }
}
