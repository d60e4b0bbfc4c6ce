//! A decider does not rob the successor that another one chose: he neither demotes him, nor takes his
//! replicas from him, nor promotes somebody else beside him.
//!
//! Judged by what was told to the one who acts, if another proxy does serve that node: he was seen as
//! a replica and is a primary now, as the same process, and his history goes on from what the one who
//! acts serves, by steps that were told. A process that was never seen as a replica may as well have
//! been restarted from an old snapshot; and steps of which nobody was told cannot be known. Whom he
//! serves himself is another matter: that one may have come back with less (`amnesia.rs`).

use super::eyes::{Eyes, Known};
use crate::node::report::host;
use crate::proxy::micros;
use crate::sim::Sim;
use segue::pure::topology::{LinkState, Report};

impl Eyes {
    /// Whether `report` is of a history that goes on from what is served.
    fn goes_on_from_ours(&self, report: &Report) -> bool {
        let Some(served) = self.served.as_ref().map(|it| it.replid) else { return false };
        report.replid != served && self.goes_back_to(report.replid, served)
    }

    /// Whether `node` is his own choice, which may not be what he chose it for.
    fn was_chosen(&self, node: usize) -> bool {
        self.chosen.is_some_and(|it| it.1 == node) || self.given_up == Some(node)
    }

    /// Whether it could know that `known` was promoted in the place of whom it serves.
    fn is_successor(&self, known: &Known) -> bool {
        known.report.as_ref().is_some_and(|it| {
            it.is_primary()
                && !it.loading
                && known.replica_run == Some(it.run_id)
                && self.goes_on_from_ours(it)
        })
    }
}

impl Sim {
    /// The proxy beside `p` that serves `node`, as the process that `p` knows.
    fn chosen_by(&self, p: usize, node: usize) -> Option<usize> {
        let run = self.checker.eyes[p].known[node].report.as_ref().map(|it| it.run_id);
        (0..self.swarm.proxies).filter(|it| *it != p).find(|it| {
            let serves = self.proxies[*it].route.primary();
            let theirs = &self.checker.eyes[*it];
            serves.is_some_and(|it| usize::from(it.node.0) == node)
                && theirs.served.as_ref().map(|it| it.run_id) == run
        })
    }

    /// Proxy `p` orders `node` to follow `primary`.
    pub(super) fn check_turned(&mut self, p: usize, node: usize, primary: usize) {
        let eyes = &self.checker.eyes[p];
        if eyes.switching.is_some() {
            return;
        }
        // His own choice, which may not be what he chose it for, he may give up.
        let was_his = eyes.was_chosen(node);
        if !was_his
            && eyes.is_successor(&eyes.known[node])
            && let Some(other) = self.chosen_by(p, node)
        {
            let told =
                format!("node {node}, whom proxy {other} chose, shall follow node {primary}");
            return self.fail("robbed", told);
        }
        let Some(report) = eyes.known[node].report.clone() else { return };
        let Some(link) = report.link() else { return };
        let is_led = matches!(link.state, LinkState::Up { .. }) && eyes.goes_on_from_ours(&report);
        let leader = (0..self.swarm.nodes).find(|it| host(*it) == link.host && *it != primary);
        let Some(leader) = leader.filter(|_| is_led) else { return };
        let serves = |it: &usize| {
            let open = self.proxies[*it].route.primary();
            *it != p && open.is_some_and(|it| usize::from(it.node.0) == leader)
        };
        let other = (0..self.swarm.proxies).find(serves);
        self.check(other.is_none(), "robbed", || {
            format!("node {node} is taken from node {leader}, whom proxy {other:?} chose")
        });
    }

    /// Proxy `p` promotes `chosen`.
    pub(super) fn check_beside(&mut self, p: usize, chosen: usize) {
        let params = self.swarm.params.detect;
        let eyes = &self.checker.eyes[p];
        let other = (0..self.swarm.nodes).find(|it| {
            let known = &eyes.known[*it];
            let is_heard = known.streak >= params.rise.max(2)
                && known.asked + 2 * micros(params.interval) >= self.now
                && known.asked > eyes.woke_at;
            let is_ours = eyes.primary() == Some(*it);
            *it != chosen
                && !is_ours
                && !eyes.was_chosen(*it)
                && is_heard
                && eyes.is_successor(known)
                && self.chosen_by(p, *it).is_some()
        });
        self.check(other.is_none(), "robbed", || {
            format!("node {chosen} is promoted beside node {other:?}, whom another proxy chose")
        });
    }
}
