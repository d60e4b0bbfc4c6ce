//! Who is promoted has the group's data: not empty, not half copied, of the lost primary's
//! history, within the bounds, wanted.

use super::eyes::Known;
use crate::sim::Sim;
use crate::swarm::SECOND;
use segue::pure::topology::{LinkState, NodeId};

impl Sim {
    pub(super) fn check_eligible(&mut self, p: usize, node: usize) {
        if let Err(why) = self.is_eligible(p, node) {
            let NodeId(id) = NodeId(u16::try_from(node).unwrap());
            self.fail("eligible", format!("node {id} is promoted although {why}"));
        }
    }

    /// Whether what proxy `p` was told allows to promote `node`, by rules of our own.
    pub(super) fn is_eligible(&self, p: usize, node: usize) -> Result<(), String> {
        let eyes = &self.checker.eyes[p];
        let Known { report: Some(report), point: Some(point), .. } = &eyes.known[node] else {
            return Err("it never reported".to_owned());
        };
        let amnesia = self.is_amnesiac(p);
        let Some(link) = report.link() else { return Err("it says that it is a primary".into()) };
        if self.nodes[node].priority == 0 {
            return Err("its priority is 0".to_owned());
        }
        if report.loading {
            return Err("it is loading".to_owned());
        }
        if link.state == LinkState::Syncing && !amnesia {
            return Err("it is being synchronised".to_owned());
        }
        // Dead before anybody came: what its best replica had is all that is known, and who takes
        // over is judged by that: a replica whose link is up again as well as the dead primary
        // itself, which came back as a replica.
        let Some((served, served_point)) = eyes.data() else {
            return Err("nobody ever served".to_owned());
        };
        if let LinkState::Down { secs } = link.state {
            let lost = eyes.primary().map_or(0, |it| eyes.known[it].good_at);
            let lost = eyes.held_at.map_or(lost, |it| it.min(lost));
            let ago = (self.now.saturating_sub(lost)) / SECOND;
            let limit = self.swarm.params.max_link_down.as_secs() + ago + 1;
            if secs > limit {
                return Err(format!("it lost its link {secs} s ago, limit {limit}"));
            }
        }
        // Turned by hand until nobody was primary: whoever continues the history has it all.
        let turned = eyes.primary().and_then(|it| eyes.known[it].report.as_ref());
        let is_turned = turned.is_some_and(|it| !it.is_primary());
        let is_successor = is_turned && self.data.descends(point.history, served_point.history);
        let is_kin = is_successor || self.data.descends(served_point.history, point.history);
        if !is_kin && report.keys > 0 {
            return Err("its data is of another history".to_owned());
        }
        // A replica of that history, or of one that it goes on from, which has not come as far as the
        // first key is merely behind: by how much it may be is judged below. Servers say 0 or 1 for
        // "nothing yet", and once a copy has begun.
        let is_behind = self.data.place(served_point, point.history).is_some()
            && link.state != LinkState::Syncing
            && report.offset > 1;
        if report.keys == 0 && self.data.keys(served_point) > 0 && !is_behind {
            return Err("it is empty".to_owned());
        }
        let is_salvage = amnesia && link.state == LinkState::Syncing;
        if point.history == served_point.history && !is_salvage {
            let lag = served.offset.saturating_sub(report.offset);
            if lag > self.swarm.params.max_lag_bytes {
                return Err(format!("it lags {lag} bytes"));
            }
        }
        Ok(())
    }

    /// Whether the primary came back as another process, as far as proxy `p` was told.
    pub(super) fn is_amnesiac(&self, p: usize) -> bool {
        let eyes = &self.checker.eyes[p];
        let Some(serving) = eyes.serving else { return self.is_orphan_amnesiac(p) };
        let now = eyes.known[serving].report.as_ref().map(|it| it.run_id);
        now.is_some() && now != eyes.served.as_ref().map(|it| it.run_id)
    }

    /// The same of a primary that never served: by which process its replicas were led is not
    /// known, so it counts as another one if it is there and lacks what the best of them had: a write,
    /// or bytes of the same line of histories, of which nobody is told that they were only pings; in a
    /// guarded group also if it may, by the name of its history, because keys prove nothing there.
    fn is_orphan_amnesiac(&self, p: usize) -> bool {
        let eyes = &self.checker.eyes[p];
        let Some(orphaned) = &eyes.orphaned else { return false };
        let known = &eyes.known[orphaned.primary];
        let (Some(report), Some(own)) = (&known.report, known.point) else { return false };
        let mut writes = 0..self.checker.writes.len();
        let has_all =
            writes.all(|it| self.data.contains(own, it) || !self.data.contains(orphaned.point, it));
        let is_unproven = self.swarm.guarded.is_some() && own.history != orphaned.point.history;
        let place = self.data.place(own, orphaned.point.history);
        let lacks_bytes = place.is_some_and(|it| it < orphaned.point.offset);
        report.is_primary() && !report.loading && (!has_all || lacks_bytes || is_unproven)
    }
}
