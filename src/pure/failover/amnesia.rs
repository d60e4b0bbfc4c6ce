//! The amnesia guard: a primary that runs as another process, and has less than a replica holds, is
//! dead; what answers there would wipe its replicas.
//!
//! | what came back | what tells that it lacks something |
//! |---|---|
//! | of the same line of histories (a snapshot carries the replication id) | offsets, exactly |
//! | of a file that names another line of histories | that: it was written before ours was served here |
//! | of an unknown history (started empty, or from an append-only file) | keys: those without a time to live, and all of them against half (keys may have expired while it was down) |
//! | the same, and writes are guarded | nothing does, since keys prove nothing: whoever certainly has all that was acknowledged takes over, if he may |
//!
//! It does not wait until the returned process counts as up again: that is trust to serve, and here
//! it is a matter of trusting it less. Its replicas may have begun to copy it already.
//!
//! What counts is what *was served*. A replica that went on by itself after a fork still has the
//! part before the fork; if what came back lacks some of that, the replica takes over with all it
//! has. What it wrote behind the fork was never served here, and is kept: it is nobody's loss.
//! Where what came back has a history of an unknown name, both may have what the other lacks: if it
//! has fewer keys than it had said itself, and such a replica has more, a human decides.
//!
//! # Deliberately absent
//!
//! Anything to tell a write to the returned process from one that it had: where keys are all there
//! is to go by, clients that wrote there before it was noticed hide what it lost.

use super::brain::{Brain, Loss};
use super::event::Note;
use crate::pure::time::Time;
use crate::pure::topology::{Kinship, LinkState, NodeId, Report};

impl Brain {
    /// Whether what came back lost something that somebody has.
    pub(super) fn recollect(&mut self, now: Time) {
        let Some(serving) = &self.serving else { return };
        let Some(primary) = self.member(serving.node) else { return };
        let Some(report) = primary.report() else { return };
        if !report.is_primary() || report.loading || !primary.is_heard() {
            return;
        }
        // A server that starts as primary begins a history; who goes on with this one has led it all the
        // time, though we know it by its replicas only. They may have been asked a moment later.
        let is_old =
            report.run_id == serving.anchor.run_id || report.replid == serving.anchor.replid;
        if is_old {
            self.serving.iter_mut().for_each(|it| it.amnesia = None);
            return;
        }
        if serving.amnesia == Some(report.run_id) {
            return;
        }
        let (primary, run_id, keys) = (serving.node, report.run_id, report.keys);
        let saved = self
            .with_data(primary)
            .find(|(_, theirs)| {
                self.lacks_what_was_served(report, theirs, &serving.anchor)
                    || self.is_worth_saving(theirs, report)
            })
            .map(|(node, theirs)| (node, theirs.keys, self.own_bytes(&theirs, report)))
            .or_else(|| self.certain(now, primary, report));
        if let Some(serving) = &mut self.serving {
            // Of an earlier process that had lost it, nothing is left.
            serving.amnesia = saved.map(|_| run_id);
        }
        if let Some((replica, saved_keys, lost_bytes)) = saved {
            self.note(Note::Amnesia { primary, keys, replica, saved_keys, lost_bytes });
        }
    }

    /// Replicas with their data; of those that have begun to copy somebody also what they had said before,
    /// which may have been more since. Also those that were down and answer again: they are not trusted
    /// yet, but they have data.
    fn with_data(&self, primary: NodeId) -> impl Iterator<Item = (NodeId, Report)> {
        self.nodes()
            .filter(move |(node, it)| *node != primary && it.is_heard())
            .filter_map(|(node, it)| Some((node, it, it.report()?)))
            .filter(|(_, _, theirs)| !theirs.is_primary() && !theirs.loading)
            .flat_map(|(node, it, theirs)| {
                [Some(theirs.clone()), it.before_copy(theirs)]
                    .into_iter()
                    .flatten()
                    .map(move |it| (node, it))
            })
    }

    /// Whether `returned` lacks a part of what was served until `anchor`, which somebody has.
    pub(super) fn lacks_what_was_served(
        &self,
        returned: &Report,
        theirs: &Report,
        anchor: &Report,
    ) -> bool {
        // More may have been served than the primary lived to say.
        let served = Report { offset: u64::MAX, ..anchor.clone() };
        match self.lineage.shared(returned, &served) {
            // Once a full copy has begun, a replica does not say any more how much it has.
            Some(left) if theirs.offset > 1 => {
                self.lineage.shared(theirs, &served).is_some_and(|it| it > left)
            }
            // Its file is of a time before it joined the history that it served; of that it has nothing,
            // or not more than what was before.
            shared => {
                let is_of_ours = theirs.replid == anchor.replid || shared.is_none();
                let is_foreign = is_of_ours && self.is_of_another_line(returned, anchor);
                self.is_kin(theirs, anchor)
                    && (is_foreign && theirs.lasting_keys() > 0
                        || self.holds_more(theirs, returned))
            }
        }
    }

    /// Whether the file of what came back names a history that was heard of, and does not go on from the
    /// one of `anchor`. One of an unknown name may have begun since: it was restarted twice, say.
    fn is_of_another_line(&self, returned: &Report, anchor: &Report) -> bool {
        returned.descends.is_some_and(|it| self.lineage.knows(it.0))
            && !matches!(self.lineage.kinship(returned, anchor), Kinship::Same | Kinship::Successor)
    }

    /// What candidates are compared with when what came back lost data, the most of it first: what was
    /// served; and each longer part of it that somebody has who went on by himself. Not of one that
    /// follows another primary, or is of a branch that we do not come from: then somebody else has
    /// decided, and is waited for.
    pub(super) fn remembered(&self) -> Vec<Report> {
        let Some(serving) = &self.serving else { return Vec::new() };
        let anchor = &serving.anchor;
        let Some(returned) = self.member(serving.node).and_then(|it| it.report()) else {
            return Vec::new();
        };
        let (mut most, mut parts) = (0, Vec::new());
        for (_, theirs) in self.with_data(serving.node) {
            if !self.lacks_what_was_served(returned, &theirs, anchor) {
                continue;
            }
            let served = Report { offset: u64::MAX, ..anchor.clone() };
            let offset = self.lineage.shared(&theirs, &served).filter(|_| theirs.offset > 1);
            let offset = offset.unwrap_or(u64::MAX);
            let is_led = theirs.link().is_some_and(|it| matches!(it.state, LinkState::Up { .. }));
            let is_apart = self.lineage.kinship(&theirs, anchor) == Kinship::Diverged;
            if self.is_kin(&theirs, anchor) {
                most = most.max(offset);
            } else if is_apart && !is_led {
                let (replid, descends) = (theirs.replid, theirs.descends);
                parts.push((offset, Report { replid, descends, offset, ..anchor.clone() }));
            }
        }
        // First, so that it stays before a part of the same length.
        parts.insert(0, (most, anchor.clone()));
        parts.sort_by_key(|it| std::cmp::Reverse(it.0));
        parts.into_iter().map(|it| it.1).collect()
    }

    /// In a guarded group, with a history from which nothing can be told: who takes over, because he
    /// certainly has everything that was acknowledged.
    fn certain(
        &self,
        now: Time,
        primary: NodeId,
        returned: &Report,
    ) -> Option<(NodeId, u64, Option<u64>)> {
        let anchor = &self.serving.as_ref()?.anchor;
        self.params.guarded?;
        if self.lineage.kinship(returned, anchor) != Kinship::Unrelated {
            return None;
        }
        let best = self.ranking(now, primary, Loss::Amnesia).ranked.first()?.node;
        Some((best, self.member(best)?.report()?.keys, None))
    }

    /// Whether a replica that went on by itself after the fork, and was not sent behind the primary
    /// yet, may have what is missing in what came back: it has far more; or more at all, where that has
    /// fewer keys than the primary had said itself and a history of an unknown name. It is nobody's
    /// successor, and what came back may have what was served behind the fork: either way data is
    /// lost, so a human decides. Sent behind the primary, it would have nothing left to decide about.
    fn is_worth_saving(&self, theirs: &Report, primary: &Report) -> bool {
        let Some(anchor) = self.serving.as_ref().map(|it| &it.anchor) else { return false };
        let has_shrunk = self.lineage.kinship(primary, anchor) == Kinship::Unrelated
            && self.holds_more(anchor, primary);
        self.lineage.kinship(theirs, anchor) == Kinship::Diverged
            && (primary.keys.saturating_mul(2) < theirs.keys
                || has_shrunk && self.holds_more(theirs, primary))
    }

    /// Such a replica, if there is one.
    pub(super) fn worth_saving(&self) -> Option<NodeId> {
        let serving = self.serving.as_ref()?.node;
        let primary = self.member(serving)?.report()?;
        self.with_data(serving).find(|it| self.is_worth_saving(&it.1, primary)).map(|it| it.0)
    }

    /// Why only a human can say whose data wins then.
    pub(super) fn torn_apart(&self) -> Option<String> {
        let (node, primary) = (self.worth_saving()?, self.serving.as_ref()?.node);
        Some(format!(
            "{} came back with less, and {} went on by itself and may have what is missing; choose \
             whose data wins with `segue adopt NODE`",
            self.name(primary),
            self.name(node)
        ))
    }

    pub(super) fn is_kin(&self, report: &Report, anchor: &Report) -> bool {
        matches!(self.lineage.kinship(report, anchor), Kinship::Same | Kinship::Prefix)
    }

    /// Whether `replica` holds data that `primary` lacks: one that was restarted, or that nobody has
    /// chosen.
    pub(super) fn holds_more(&self, replica: &Report, primary: &Report) -> bool {
        // Servers say 0 or 1 once a full copy has begun: the data is still there, its place in
        // the history is forgotten. Then keys are all there is to go by.
        if replica.offset <= 1 {
            return primary.lasting_keys() < replica.lasting_keys();
        }
        match self.lineage.kinship(replica, primary) {
            Kinship::Same => replica.offset > primary.offset,
            // The primary continues from a snapshot of the history that the replica has.
            Kinship::Prefix => false,
            Kinship::Diverged => true,
            // It went on where the primary's history was given up.
            Kinship::Successor => self.own_bytes(replica, primary).is_some_and(|it| it > 0),
            Kinship::Unrelated => {
                primary.lasting_keys() < replica.lasting_keys()
                    || primary.keys.saturating_mul(2) < replica.keys
            }
        }
    }
}

#[cfg(test)]
#[path = "amnesia_test.rs"]
mod tests;
