//! Start-up: which node is the primary, without any memory.
//!
//! Every node gets its chance to answer first. Several that say `role:master` are told apart
//! by lineage, never by who answers first. Nobody is promoted at this stage: without having
//! seen the group in order, nothing is known of what may be missing.

use super::brain::{Brain, Phase, Serving};
use super::event::Note;
use crate::pure::detect::{Cause, Health};
use crate::pure::time::Time;
use crate::pure::topology::{Epoch, Kinship, LinkState, NodeId, Report};

impl Brain {
    pub(super) fn discover(&mut self, now: Time) {
        if self.members.iter().any(|it| it.health() == Health::Unknown) {
            return self.wait("not every node has answered, or had its time to".to_owned());
        }
        if let Some(name) = self
            .members
            .iter()
            .find(|it| it.health() == Health::Suspect(Cause::Loading))
            .map(|it| it.spec.name.clone())
        {
            return self.wait(format!("{name} is loading its data set"));
        }
        let node = match self.choose(now) {
            Ok(node) => node,
            Err(reason) => return self.wait(reason),
        };
        let Some(anchor) = self.member(node).and_then(|it| it.report().cloned()) else { return };
        self.serving = Some(Serving { node, anchor, amnesia: None });
        self.claim_everybody();
        let epoch = self.route.epoch.max(Epoch(0)).next();
        self.open(node, epoch);
        if self.phase == Phase::Steady {
            self.note(Note::Discovered { primary: node, epoch });
        }
    }

    /// The one node that serves, or why that cannot be said.
    fn choose(&self, now: Time) -> Result<NodeId, String> {
        let fresh = self.fresh_from(now);
        let heard: Vec<(NodeId, &Report)> = self
            .nodes()
            .filter_map(|(node, member)| Some((node, member.report_since(fresh)?)))
            .collect();
        let mut primaries: Vec<(NodeId, &Report)> =
            heard.iter().copied().filter(|(_, report)| report.is_primary()).collect();
        // A server that was started empty has no history to defend.
        if primaries.iter().any(|(_, report)| !report.is_blank()) {
            primaries.retain(|(_, report)| !report.is_blank());
        }
        let Some(&(node, report)) = primaries.iter().find(|(node, report)| {
            primaries
                .iter()
                .filter(|(other, _)| other != node)
                .all(|(_, other)| self.lineage.kinship(report, other) == Kinship::Successor)
        }) else {
            return Err(self.why_none(heard.len(), &primaries));
        };
        // A primary whose own replica went on under another history was replaced.
        let newer = heard.iter().find(|(other, theirs)| {
            *other != node && self.lineage.kinship(theirs, report) == Kinship::Successor
        });
        if let Some((other, name)) = self.follows_another(node, report) {
            return Err(format!(
                "{} says that it is the primary, but {} has data of another history and follows {name}",
                self.name(node),
                self.name(other)
            ));
        }
        match newer {
            None => Ok(node),
            Some((other, _)) => Err(format!(
                "{} says that it is the primary, but {} continues its history under another one",
                self.name(node),
                self.name(*other)
            )),
        }
    }

    /// A replica that has data of another history from somebody who was there a moment ago: to
    /// choose `node` would throw that away because its primary is the later one to answer.
    fn follows_another(&self, node: NodeId, report: &Report) -> Option<(NodeId, String)> {
        let primary = self.member(node)?;
        // Also of one that is late with its next answer.
        let heard = self.nodes().filter(|(_, it)| !it.health().is_down());
        heard.filter_map(|(other, it)| Some((other, it.report()?))).find_map(|(other, theirs)| {
            let link = theirs.link().filter(|it| !primary.is_at(&it.host, it.port))?;
            let is_recent = match link.state {
                LinkState::Up { .. } => true,
                LinkState::Down { secs } => secs <= self.params.max_link_down.as_secs(),
                LinkState::Syncing | LinkState::Never => false,
            };
            let is_another =
                theirs.keys > 0 && self.lineage.kinship(theirs, report) == Kinship::Unrelated;
            (is_recent && is_another).then(|| (other, format!("{}:{}", link.host, link.port)))
        })
    }

    fn why_none(&self, heard: usize, primaries: &[(NodeId, &Report)]) -> String {
        if primaries.is_empty() {
            return if heard == 0 {
                "no node answers".to_owned()
            } else {
                "no node says that it is the primary".to_owned()
            };
        }
        let names: Vec<&str> = primaries.iter().map(|(node, _)| self.name(*node)).collect();
        format!(
            "{} say that they are primaries, and neither continues the other's history; decide, and make the others replicas",
            names.join(" and ")
        )
    }
}
