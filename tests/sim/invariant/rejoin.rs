//! Nodes are turned only towards the primary that serves, and never the primary itself.

use crate::sim::Sim;
use segue::pure::failover::Order;
use segue::pure::topology::Gate;

impl Sim {
    /// The brain orders `node` to follow `primary`.
    pub(super) fn check_rejoin(&mut self, p: usize, node: usize, primary: usize) {
        let route = self.proxies[p].route;
        let serves = match route.gate {
            Gate::Open(open) => usize::from(open.node.0) == primary,
            // At the end of a switchover all are turned at once, before the gate opens.
            Gate::Draining | Gate::Held => {
                let eyes = &self.checker.eyes[p];
                eyes.is_planned(primary) && eyes.promoted == Some((route.epoch, primary))
            }
        };
        self.check(serves, "rejoin", || {
            format!("node {node} shall follow node {primary} under {route:?}")
        });
        self.check(node != primary, "rejoin", || format!("node {node} shall follow itself"));
    }

    /// An order is carried out at `node`.
    pub(crate) fn check_carried_out(&mut self, p: usize, node: usize, order: &Order) {
        let route = self.proxies[p].route;
        let serving = route.primary().map(|it| usize::from(it.node.0));
        let is_demotion = matches!(order, Order::Follow { .. });
        self.trace(|| format!("node {node} carries out {order:?}"));
        let is_bad = is_demotion
            && serving == Some(node)
            && self.swarm.proxies == 1
            && !self.swarm.late_orders;
        self.check(!is_bad, "rejoin", || format!("node {node} serves, and is demoted by us"));
    }
}
