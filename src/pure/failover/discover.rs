//! Start-up: which node is the primary, without any memory.
//!
//! Every node gets its chance to answer first. Several that say `role:master` are told apart
//! by lineage, never by who answers first. Nobody is promoted at this stage: without having
//! seen the group in order, nothing is known of what may be missing.

use super::brain::{Brain, Serving};
use super::event::Note;
use super::member::Member;
use crate::pure::detect::Health;
use crate::pure::time::Time;
use crate::pure::topology::{Kinship, LinkState, NodeId, Report};

/// Why nobody serves.
enum Undecided {
    /// A sentence.
    Nobody(String),
    /// Several do, and lineage does not tell them apart.
    Conflict(Vec<NodeId>),
}

impl Brain {
    pub(super) fn discover(&mut self, now: Time) {
        if self.members.iter().any(|it| it.health() == Health::Unknown) {
            return self.wait(now, "not every node has answered, or had its time to".to_owned());
        }
        // After a stall, what was said before it is out of date; who has said it again first must not win.
        if !self.has_looked_round() {
            return self
                .wait(now, "Segue stood still, and not every node has answered since".to_owned());
        }
        // Neither up nor given up: it may have the data of the group, or be its primary. That ends by
        // itself, with an answer or with the verdict of its detector. So does it with one that was given
        // up and answers again: several that were out of reach come back at their own pace, and the
        // first one that is trusted is not more of a primary than the next.
        let suspect = self.members.iter().find_map(|it| match it.health() {
            Health::Suspect(cause) => Some(format!("{} {cause}", it.spec.name)),
            Health::Down(_) if it.detector.is_recovering() => {
                Some(format!("{} answers again, and not for long enough", it.spec.name))
            }
            Health::Unknown | Health::Up | Health::Down(_) => None,
        });
        if let Some(reason) = suspect {
            return self.wait(now, reason);
        }
        // One that loads is not up; unless it answers something else meanwhile, a script's BUSY for one.
        let is_unread = |it: &&Member| it.report().is_some_and(|it| it.loading && it.is_primary());
        if let Some(it) = self.members.iter().filter(|it| it.health().is_up()).find(is_unread) {
            let reason = format!("{} has not said what it has loaded", it.spec.name);
            return self.wait(now, reason);
        }
        let chosen = self.choose(now);
        // A conflict ends with what is heard, not with what was.
        if let Ok(node) = chosen
            && self.member(node).is_some_and(|it| !it.health().is_up())
        {
            let name = self.name(node);
            let reason = format!(
                "{name} said that it is the primary, and does not answer now; if it does not come \
                 back, choose whose data wins with `segue adopt NODE`"
            );
            return self.wait(now, reason);
        }
        let conflict = match &chosen {
            Err(Undecided::Conflict(nodes)) => nodes.clone(),
            Ok(_) => Vec::new(),
            Err(Undecided::Nobody(_)) => self.conflict.clone(),
        };
        if self.conflict != conflict {
            self.conflict.clone_from(&conflict);
            if !conflict.is_empty() {
                self.note(Note::Conflict { nodes: conflict });
            }
        }
        match chosen {
            Ok(node) => {
                let Some(anchor) = self.member(node).and_then(|it| it.report().cloned()) else {
                    return;
                };
                // It may have been restarted without what an earlier Segue acknowledged.
                if let Some(reason) = self.may_lack(node, &anchor, &anchor) {
                    return self.wait(now, reason);
                }
                self.enthrone(node, anchor);
            }
            Err(Undecided::Nobody(reason)) => match self.orphans(now) {
                Some((primary, anchor)) if self.params.enabled => {
                    self.note(Note::Orphaned { primary });
                    self.serving = Some(Serving { node: primary, anchor, amnesia: None });
                    self.claim_everybody();
                    let name = self.name(primary);
                    let reason = format!("{name} was the primary, say its replicas, and is down");
                    self.hold(now, primary, reason);
                }
                Some(_) | None => self.wait(now, reason),
            },
            Err(Undecided::Conflict(nodes)) => {
                let reason = self.conflict_reason(&nodes);
                self.wait(now, reason);
            }
        }
    }

    fn conflict_reason(&self, nodes: &[NodeId]) -> String {
        let names: Vec<&str> = nodes.iter().map(|it| self.name(*it)).collect();
        let is_gone = |it: &&NodeId| self.member(**it).is_some_and(|it| it.health().is_down());
        let gone = nodes.iter().find(is_gone);
        let gone = gone.map_or(String::new(), |it| {
            format!("; {} does not answer now, and may have the data that counts", self.name(*it))
        });
        format!(
            "{} say that they are primaries, and neither continues the other's history; choose \
             whose data wins with `segue adopt NODE`{gone}",
            names.join(" and ")
        )
    }

    /// The one node that serves, or why that cannot be said.
    fn choose(&self, now: Time) -> Result<NodeId, Undecided> {
        let fresh = self.fresh_from(now);
        // Whoever was found in conflict does not lose it by falling silent: his last word stands.
        let heard: Vec<(NodeId, &Report)> = self
            .nodes()
            .filter_map(|(node, it)| {
                let last_word = it.report().filter(|_| self.conflict.contains(&node));
                Some((node, it.report_since(fresh).or(last_word)?))
            })
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
            return Err(Undecided::Nobody(format!(
                "{} says that it is the primary, but {} has data of another history and follows {name}",
                self.name(node),
                self.name(other)
            )));
        }
        if let Some(other) = self.robs(node, report) {
            return Err(Undecided::Nobody(format!(
                "{0} says that it is the primary, but its replica {1} has data that it lacks; before \
                 {1} copies it, save that or choose with `segue adopt NODE`",
                self.name(node),
                self.name(other)
            )));
        }
        match newer {
            None => Ok(node),
            Some((other, _)) => Err(Undecided::Nobody(format!(
                "{} says that it is the primary, but {} continues its history under another one",
                self.name(node),
                self.name(*other)
            ))),
        }
    }

    /// A replica that is about to copy `node`, and has what `node` lacks: a primary that came back
    /// from an old snapshot while nobody looked. As long as the copy has not replaced it, that data
    /// can be saved. Whoever follows somebody else is left alone: it may wait for a node that is dead.
    fn robs(&self, node: NodeId, report: &Report) -> Option<NodeId> {
        let primary = self.member(node)?;
        let asked = primary.seen.as_ref()?.asked;
        let (other, _) = self.nodes().find(|(other, it)| {
            let Some(seen) = it.seen.as_ref().filter(|_| *other != node && it.is_heard()) else {
                return false;
            };
            let theirs = &seen.report;
            let Some(link) = theirs.link() else { return false };
            let is_whole = !theirs.loading && theirs.keys > 0;
            let copies = matches!(link.state, LinkState::Down { .. } | LinkState::Syncing);
            if !(is_whole && copies && primary.is_at(&link.host, link.port)) {
                return false;
            }
            // Once the copy has begun, its place in the history is not said any more.
            let Some(had) = it.had_of(theirs) else { return false };
            let (history, offset) = (had.replid, had.offset);
            let lacks_from = if history == report.replid {
                // What it had before the primary spoke can only be ahead of one that lost it.
                (seen.asked <= asked).then_some(report.offset + 1)
            } else {
                self.lineage.fork(report, history)
            };
            lacks_from.is_some_and(|it| offset >= it)
        })?;
        Some(other)
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

    fn why_none(&self, heard: usize, primaries: &[(NodeId, &Report)]) -> Undecided {
        if primaries.is_empty() {
            let reason =
                if heard == 0 { "no node answers" } else { "no node says that it is the primary" };
            return Undecided::Nobody(reason.to_owned());
        }
        Undecided::Conflict(primaries.iter().map(|it| it.0).collect())
    }
}

#[cfg(test)]
#[path = "discover_test.rs"]
mod tests;
