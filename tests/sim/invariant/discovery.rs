//! At start-up nobody is chosen over the data of replicas that follow somebody else.

use crate::data::Point;
use crate::node::report::host;
use crate::proxy::micros;
use crate::sim::Sim;
use segue::pure::topology::LinkState;

impl Sim {
    /// The first primary of a proxy's life is `node`.
    pub(super) fn check_discovered(&mut self, p: usize, node: usize) {
        let Some(own) = self.checker.eyes[p].known[node].point else { return };
        for other in 0..self.swarm.nodes {
            let known = &self.checker.eyes[p].known[other];
            let (Some(report), Some(point)) = (&known.report, known.point) else { continue };
            let Some(link) = report.link() else { continue };
            // Whose process is gone, as its host says, has nothing any more until it is back.
            let is_there = known.streak > 0 || known.is_late;
            let is_recent = is_there
                && known.asked + micros(self.swarm.params.detect.down_after) / 2 > self.now;
            let is_up = matches!(link.state, LinkState::Up { .. }) && is_recent;
            let follows = link.host == host(node);
            let Point { history, .. } = point;
            let is_other = !self.data.descends(own.history, history)
                && !self.data.descends(history, own.history);
            // Branches of one history are told apart by lineage.
            let is_strange = is_other && report.descends.is_none() && report.keys > 0;
            self.check(!is_up || follows || !is_strange, "discovery", || {
                format!("node {node} is chosen, node {other} has other data and follows another")
            });
        }
    }
}
