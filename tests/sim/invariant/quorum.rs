//! Whoever is promoted in a guarded group certainly has what was acknowledged: as much as workers said
//! that they told clients; or, where that is not known or others acknowledge as well, enough replicas
//! have said what they have. Nobody else is promoted, whatever he has in truth.
//!
//! And in truth, also where several proxies acknowledge: whoever was promoted has what clients heard
//! of before the replicas spoke by whose word he was chosen, while enough copies live.

use super::eyes::Known;
use crate::data::Write;
use crate::node::report::run_id;
use crate::proxy::micros;
use crate::sim::Sim;
use crate::swarm::Us;
use segue::pure::topology::{Acknowledged, LinkState, Route};

impl Sim {
    /// A word counts for so long.
    fn word_max(&self) -> Us {
        let params = self.swarm.params.detect;
        3 * micros(params.interval) + micros(params.timeout)
    }

    /// Workers of proxy `p` are about to tell clients that writes are safe up to here.
    pub(crate) fn note_told(&mut self, p: usize, told: Acknowledged) {
        let known = self.checker.eyes[p].told.entry(told.replid).or_default();
        *known = told.offset.max(*known);
    }

    /// Proxy `p` promotes `node`.
    pub(super) fn check_quorum(&mut self, p: usize, node: usize) {
        let Some(rule) = self.swarm.params.guarded else { return };
        let eyes = &self.checker.eyes[p];
        let Some((served, _)) = eyes.data() else { return };
        let Some(own) = eyes.known[node].report.clone() else { return };
        let is_copying = own.link().is_some_and(|it| it.state == LinkState::Syncing);
        // Behind a copy that broke off it does not say any more how much it has; it still has it.
        let point = eyes.known[node].point.filter(|_| own.offset <= 1 && own.keys > 0);
        let offset = point.map_or(own.offset, |it| it.offset);
        let floor = eyes.told.get(&served.replid).copied().filter(|_| own.replid == served.replid);
        if let Some(floor) = floor.filter(|_| !is_copying) {
            self.check(offset >= floor, "quorum", || {
                format!("node {node} is promoted at {offset}, clients were told of {floor}")
            });
        }
        let eyes = &self.checker.eyes[p];
        let is_known = eyes.told.keys().any(|it| eyes.goes_back_to(served.replid, *it));
        if is_known && !rule.always_quorum {
            return;
        }
        let (age, now) = (self.word_max(), self.now);
        let speaks = |it: &Known| {
            let has_data = it.report.as_ref().is_some_and(|it| !it.loading);
            (it.streak > 0 || it.is_late) && has_data && it.asked + age >= now
        };
        let primary = eyes.primary();
        let is_led = |it: usize| eyes.known[it].report.as_ref().is_some_and(|it| !it.is_primary());
        let heard = (0..self.swarm.nodes)
            .filter(|it| Some(*it) != primary || is_led(*it))
            .filter(|it| speaks(&eyes.known[*it]))
            .count();
        let replicas = usize::try_from(rule.replicas_min).unwrap();
        let needed = self.swarm.nodes.saturating_sub(replicas).max(1);
        self.check(heard >= needed, "quorum", || {
            format!("node {node} is promoted by the word of {heard}, of {needed} that it takes")
        });
    }

    /// The gate opens for `node`, whom proxy `p`, one of several, has promoted.
    pub(super) fn check_copies(&mut self, p: usize, route: Route, node: usize) {
        let eyes = &self.checker.eyes[p];
        let Some((epoch, chosen, _)) = eyes.chosen else { return };
        if self.swarm.proxies == 1 || (epoch, chosen) != (route.epoch, node) {
            return;
        }
        // What answered may be gone already; the next answer tells.
        let told = eyes.known[node].report.as_ref().map(|it| it.run_id);
        if self.nodes[node].process.as_ref().map(|it| run_id(it.run)) != told {
            return;
        }
        let before = eyes.chosen_at.saturating_sub(self.word_max());
        let missing: Vec<Write> = self.missing(node);
        let is_old = |it: &Write| self.checker.acked_at.get(it).is_some_and(|it| *it < before);
        let old: Vec<Write> = missing.iter().copied().filter(is_old).collect();
        self.check_guarded(p, node, &old);
        self.checker.lost.extend(missing);
    }

    /// A client of a guarded group hears that a write is safe.
    pub(super) fn note_acked_at(&mut self, write: Write) {
        if self.swarm.guarded.is_some() && self.swarm.proxies > 1 {
            self.checker.acked_at.insert(write, self.now);
        }
    }
}
