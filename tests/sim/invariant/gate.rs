//! Bytes go only to the primary for which the worker's gate is open, on a connection of its
//! epoch; and no answer from an older epoch reaches a client.

use crate::sim::Sim;
use segue::pure::topology::Epoch;

impl Sim {
    /// A worker writes to a node.
    pub(crate) fn check_sent(&mut self, p: usize, worker: usize, epoch: Epoch, node: usize) {
        let route = self.proxies[p].workers[worker].world.route;
        let primary = route.primary().map(|it| usize::from(it.node.0));
        self.check(primary == Some(node) && route.epoch == epoch, "gate", || {
            format!("bytes to node {node} of epoch {epoch} under {route:?}")
        });
        // What the control plane believes to be severed is severed.
        let severed = self.proxies[p].route.epoch > epoch
            && self.proxies[p].workers.iter().all(|it| it.world.route.epoch > epoch);
        self.check(!severed, "gate", || format!("bytes to node {node} of severed epoch {epoch}"));
    }

    /// A worker takes a reply.
    pub(crate) fn check_heard(&mut self, p: usize, worker: usize, epoch: Epoch, node: usize) {
        let route = self.proxies[p].workers[worker].world.route;
        self.check(route.epoch == epoch, "gate", || {
            format!("a reply of node {node} from epoch {epoch} under {route:?}")
        });
    }
}
