//! Somebody else's decision: who was promoted in the place of our primary, by a human, a Sentinel or
//! another Segue, and whether he is followed.
//!
//! He is told by lineage: his history goes on from ours. What has promoted him does not matter, that
//! he was does: a process that was restarted from an old snapshot claims the same ancestry.

use super::brain::Brain;
use super::member::Member;
use crate::pure::time::Time;
use crate::pure::topology::{Kinship, Link, LinkState, NodeId, Report};

impl Brain {
    /// Somebody else's decision: a node that was promoted, not by us, out of our primary's
    /// history; or the node that our primary says it follows. A primary that was killed and comes
    /// back with an old `replicaof` has decided nothing: then that node must have what was served,
    /// or nobody else may have it; in a guarded group, nobody who could come back with it either.
    ///
    /// Only a process that was seen as a replica before counts as promoted, or one that has taken
    /// replicas of ours over: one that was restarted from an old snapshot without `replicaof` claims the
    /// same ancestry.
    pub(super) fn heir(&self, now: Time) -> Option<NodeId> {
        let serving = self.serving.as_ref()?;
        let fresh = self.fresh_from(now);
        if let Some(node) = self.ours().and_then(|it| self.outranking(now, it)) {
            return Some(node);
        }
        let own = self.member(serving.node)?.report_since(fresh)?;
        // A process that was turned while it ran obeys a decision of today. One that came back as a
        // replica says what its file says, which may be as old as the group.
        let is_turned = own.run_id == serving.anchor.run_id;
        let mut link = own.link()?;
        // It may have been turned more than once, and others with it: then it is in step with the one at
        // the end of a chain. Bounded, so that a circle of replicas ends too.
        for _ in 0..self.members.len() {
            let (node, member) = self.nodes().find(|(node, it)| {
                *node != serving.node && it.is_at(&link.host, link.port) && !it.is_being_turned()
            })?;
            let report = member.report_since(fresh.max(member.answered_at))?;
            let Some(next) = report.link() else {
                // What it has is not known before it has loaded it.
                let is_it = is_turned || self.is_rightful(node, report, &serving.anchor);
                return (is_it && !report.loading).then_some(node);
            };
            let is_in_step = is_turned
                && report.replid == own.replid
                && matches!(link.state, LinkState::Up { .. });
            link = is_in_step.then_some(next)?;
        }
        None
    }

    /// What our primary has, by its last word if that goes on from what it served: it may have been turned
    /// by somebody else, and back.
    fn ours(&self) -> Option<&Report> {
        let serving = self.serving.as_ref()?;
        let goes_on = |it: &&Report| {
            it.is_primary()
                && !it.loading
                && it.run_id == serving.anchor.run_id
                && self.lineage.kinship(it, &serving.anchor) == Kinship::Successor
        };
        let report = self.member(serving.node).and_then(Member::report);
        Some(report.filter(goes_on).unwrap_or(&serving.anchor))
    }

    /// Whoever was promoted, not by us, and replaces a primary that has `ours`.
    pub(super) fn outranking(&self, now: Time, ours: &Report) -> Option<NodeId> {
        let serving = self.serving.as_ref()?.node;
        let fresh = self.fresh_from(now);
        let claims = self.nodes().filter(|it| it.0 != serving).filter_map(|(node, member)| {
            let report = member.report_since(fresh.max(member.answered_at))?;
            // Our own order to demote it may still be on its way to it.
            let is_promoted = self.is_promoted(node, report) && !member.is_being_turned();
            is_promoted.then_some((node, report))
        });
        claims
            .filter(|(_, report)| self.outranks(report, ours))
            .max_by_key(|(_, it)| (it.descends.map(|it| it.1), std::cmp::Reverse(it.run_id)))
            .map(|it| it.0)
    }

    /// Whether somebody promoted what runs there.
    fn is_promoted(&self, node: NodeId, report: &Report) -> bool {
        report.is_primary()
            && !report.loading
            && !self.is_forsaken(node, report)
            && self.member(node).is_some_and(|it| {
                let has_ours = |other: &Member| {
                    self.defection(other).is_some_and(|to| {
                        it.is_at(&to.host, to.port)
                            && other.joined.is_some_and(|it| it.1 == report.replid)
                    })
                };
                it.replica_run == Some(report.run_id) || self.members.iter().any(has_ours)
            })
    }

    /// Whom a replica is in step with that was in step with our primary, as the same process, and was
    /// turned to one who goes on from the same history: somebody has decided that.
    fn defection<'a>(&self, replica: &'a Member) -> Option<&'a Link> {
        let serving = self.serving.as_ref()?;
        let (report, link) = (replica.report()?, replica.report()?.link()?);
        let is_elsewhere =
            self.member(serving.node).is_some_and(|it| !it.is_at(&link.host, link.port));
        let (ours, theirs) = (serving.anchor.replid, report.replid);
        let has_left = replica.left == Some((report.run_id, ours))
            && self.lineage.kinship(report, &serving.anchor) == Kinship::Successor;
        let is_led = matches!(link.state, LinkState::Up { .. }) && !replica.is_being_turned();
        // It may go on with that as well, as another process that is not trusted yet.
        let leads = self.member(serving.node).and_then(Member::report).map(|it| it.replid);
        let is_led = is_led && leads != Some(theirs);
        (is_elsewhere && has_left && is_led && ours != theirs).then_some(link)
    }

    /// Why nothing more is sent to our primary: a node says that it was promoted in its place, and is
    /// followed as soon as it counts as up; or a replica says so, and it is out of our reach.
    pub(super) fn replaced(&self, now: Time) -> Option<String> {
        let fresh = self.fresh_from(now);
        let mut away = self.nodes().filter(|it| !it.1.health().is_up());
        let led =
            self.members.iter().filter(|it| it.report_since(fresh.max(it.answered_at)).is_some());
        let taken: Vec<&Link> = led.filter_map(|it| self.defection(it)).collect();
        if let Some((node, _)) =
            away.find(|(_, it)| taken.iter().any(|to| it.is_at(&to.host, to.port)))
        {
            return Some(format!("{} has its replicas now, and does not answer", self.name(node)));
        }
        if let Some(reason) = self.disputed(now) {
            return Some(reason);
        }
        let (node, _) = self.nodes().find(|(node, it)| {
            !it.health().is_up()
                && !it.is_being_turned()
                && it
                    .answer_since(fresh.max(it.answered_at))
                    .is_some_and(|it| self.is_replacing(*node, it))
        })?;
        Some(format!("{} was promoted in its place, and is heard again", self.name(node)))
    }

    /// Whether `report` of `node` says that it replaces our primary: until it is followed, neither it
    /// nor who follows it is turned away.
    pub(super) fn is_replacing(&self, node: NodeId, report: &Report) -> bool {
        let outranks = |it| self.outranks(report, it);
        self.is_promoted(node, report) && self.ours().is_some_and(outranks)
    }

    /// Who replaces what is back as another process of the primary, and has more of what was served:
    /// he is followed instead of it.
    pub(super) fn next_heir(&self, now: Time) -> Option<NodeId> {
        let serving = self.serving.as_ref()?;
        let back = self.member(serving.node).filter(|it| it.is_heard())?.report()?;
        let is_back = back.run_id != serving.anchor.run_id && back.is_primary() && !back.loading;
        let heir = self.outranking(now, back).filter(|_| is_back)?;
        let theirs = self.member(heir)?.report()?;
        self.lacks_what_was_served(back, theirs, &serving.anchor).then_some(heir)
    }

    /// Whether `node`, who was to be followed, still is.
    pub(super) fn is_heir(&self, now: Time, node: NodeId) -> bool {
        self.heir(now) == Some(node) || self.next_heir(now) == Some(node)
    }

    /// Whether to serve with what the primary `node` has, which nobody has chosen, costs nothing.
    fn is_rightful(&self, node: NodeId, theirs: &Report, anchor: &Report) -> bool {
        if self.params.guarded.is_some() {
            return !theirs.loading && self.may_lack(node, theirs, anchor).is_none();
        }
        self.has_all_of(theirs, anchor) || !self.can_be_saved_from(node, theirs)
    }

    /// Why the node is not followed that our primary says it follows.
    pub(super) fn unfollowed(&self) -> Option<String> {
        let serving = self.serving.as_ref()?;
        let link = self.member(serving.node)?.report()?.link()?;
        let (node, heir) = self.nodes().find(|(_, it)| it.is_at(&link.host, link.port))?;
        let theirs = heir.report().filter(|it| it.is_primary())?;
        self.may_lack(node, theirs, &serving.anchor)
    }

    /// Whether the primary `theirs` has what `anchor` had: it went on from that history, at or
    /// behind what clients were told is safe; or it is of the same one, and not behind.
    fn has_all_of(&self, theirs: &Report, anchor: &Report) -> bool {
        let floor = self.acknowledged_floor(anchor);
        match self.lineage.kinship(theirs, anchor) {
            Kinship::Successor => {
                self.lineage.fork(theirs, anchor.replid).is_some_and(|it| it > floor)
            }
            Kinship::Same => !theirs.loading && theirs.offset >= anchor.offset.max(floor),
            Kinship::Prefix | Kinship::Diverged | Kinship::Unrelated => false,
        }
    }

    /// Whether a replica that answers has data of ours that `heir` lacks: then that replica takes
    /// over, and not a node that would have it copy something else.
    pub(super) fn can_be_saved_from(&self, heir: NodeId, theirs: &Report) -> bool {
        let Some(serving) = &self.serving else { return false };
        self.nodes()
            .filter(|(node, it)| *node != serving.node && *node != heir && it.is_heard())
            .filter_map(|(_, it)| it.report())
            .filter(|it| !it.is_primary() && !it.loading && self.is_kin(it, &serving.anchor))
            .any(|it| self.holds_more(it, theirs))
    }

    /// Whether the primary `theirs` replaces ours: it continues our history; or both continue
    /// the same one (two deciders at a time) and it forked later, or has the lower run id.
    /// Every decider that sees both comes to the same result.
    fn outranks(&self, theirs: &Report, ours: &Report) -> bool {
        match self.lineage.kinship(theirs, ours) {
            Kinship::Successor => true,
            Kinship::Same | Kinship::Prefix | Kinship::Diverged => false,
            Kinship::Unrelated => match (theirs.descends, ours.descends) {
                (Some((their_parent, their_fork)), Some((our_parent, our_fork))) => {
                    let theirs_first = (their_fork, std::cmp::Reverse(theirs.run_id));
                    their_parent == our_parent
                        && theirs_first > (our_fork, std::cmp::Reverse(ours.run_id))
                }
                (Some(_) | None, Some(_) | None) => false,
            },
        }
    }
}

#[cfg(test)]
#[path = "heir_test.rs"]
mod tests;
