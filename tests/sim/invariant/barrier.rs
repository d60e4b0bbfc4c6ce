//! Nobody is promoted before every worker has closed its gate in the new epoch.

use crate::sim::Sim;
use segue::pure::topology::{Epoch, Gate};

impl Sim {
    pub(super) fn check_barrier(&mut self, p: usize, epoch: Epoch) {
        for worker in 0..self.swarm.workers {
            let route = self.proxies[p].workers[worker].world.route;
            self.check(route.epoch == epoch && route.gate == Gate::Held, "barrier", || {
                format!("a promotion in epoch {epoch} while worker {worker} has {route:?}")
            });
        }
    }
}
