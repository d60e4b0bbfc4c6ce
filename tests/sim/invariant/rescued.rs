//! A guarded group does not look on while a primary that came back with another history, of which
//! nothing can be told, makes a replica throw away what was acknowledged: whoever certainly has all
//! takes over, as soon as enough have said what they have.

use super::eyes::Known;
use crate::data::Write;
use crate::proxy::micros;
use crate::sim::Sim;
use crate::swarm::{SECOND, Us};

/// Many times what it takes until somebody is told.
const RESCUE_MAX: Us = SECOND;

impl Sim {
    /// Node `n` is about to throw its data away for that of node `of`.
    pub(crate) fn check_rescued(&mut self, n: usize, of: usize) {
        let Some(rule) = self.swarm.params.guarded else { return };
        let eyes = &self.checker.eyes[0];
        let is_back = eyes.serving == Some(of) && self.is_amnesiac(0) && eyes.slept == 0;
        let since = eyes.back_since.filter(|_| is_back && self.swarm.proxies == 1);
        let (Some(since), Some(served)) = (since, eyes.served_point) else { return };
        let is_late = since + RESCUE_MAX + micros(self.swarm.params.jitter) <= self.now;
        let stands_still = self.swarm.faults.iter().any(|it| it.stops_things());
        if !is_late || eyes.orders_while_held > 0 || self.checker.meddled || stands_still {
            return;
        }
        // They have said it all the time since then, and before they began to copy. What a restarted
        // one has of its file is less than it confirmed, and an offset of 0 or 1 is also said by one
        // whose copy broke off.
        let speaks = |it: &Known| {
            it.streak >= 5
                && it.step_run.is_some()
                && it.step_run == it.report.as_ref().map(|it| it.run_id)
                && it.well_from <= since
                && it.point.is_some_and(|it| it.history == served.history && it.offset > 1)
        };
        let words = (0..self.swarm.nodes).filter(|it| *it != of && speaks(&eyes.known[*it]));
        let words: Vec<usize> = words.collect();
        let replicas = usize::try_from(rule.replicas_min).unwrap();
        let most = words.iter().filter_map(|it| Some(eyes.known[*it].point?.offset)).max();
        let is_best = eyes.known[n].point.map(|it| it.offset) == most;
        let could = words.contains(&n)
            && is_best
            && words.len() >= self.swarm.nodes.saturating_sub(replicas)
            && self.is_eligible(0, n).is_ok();
        let own = self.nodes[n].process.as_ref().map(crate::node::Process::point);
        let acked = |it: &Write| own.is_some_and(|own| self.data.contains(own, *it));
        let gone = self.checker.copies.keys().copied().find(acked);
        self.check(!could || gone.is_none(), "rescued", || {
            format!("node {n} throws away write {gone:?} for node {of}, and could take over")
        });
    }
}
