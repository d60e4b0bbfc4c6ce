//! The promotion rule of groups with guarded writes: who certainly has everything that clients
//! were told is safe.
//!
//! A guarded write was acknowledged when R replicas had it. Two ways lead to one of them:
//!
//! 1. **Known.** Workers tell up to which offset they have acknowledged, before they do. Whoever
//!    has that much of the same history has everything. Told by a worker in any epoch of one
//!    line of histories: offsets go on where a promotion forks.
//! 2. **Quorum.** If nothing is known (this process has not confirmed a round on this history
//!    yet, so an earlier one may have acknowledged more), or if other proxies acknowledge as
//!    well: any R replicas and any N − R + 1 of N have one in common. So when that many have
//!    reported, the highest offset among them has everything, and nobody with less is promoted.
//!
//! Otherwise nobody is promoted, and the reason is said. Nor does a primary serve that came back as
//! another process, or that the old one follows because of an old `replicaof`, before one of the two
//! says that it lacks nothing, or before everybody was heard and nobody has more. Who has said that he
//! has more is waited for: others may have copied the one that lacks it since, and confirm nothing.
//!
//! What this does not guarantee: that somebody else's promotion follows the rule; that replicas
//! acknowledge nothing to a primary which is cut off from this process, but not from another
//! proxy, after they have reported. Acknowledged means in the memory of R replicas, not on disk:
//! a replica that restarts empty is not in step and does not count, but R of them at once do
//! lose what they had. And a replica that has begun to copy a primary which came back empty does not
//! say any more how much it has; then the last word that it said before has to do.

use super::brain::{Brain, Loss};
use super::member::Member;
use super::select::{Candidate, Ranking, Reject};
use crate::pure::topology::{Acknowledged, Kinship, LinkState, NodeId, Report};
use serde::{Deserialize, Serialize};

/// What clients of this group are promised.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Guarded {
    /// How many replicas confirm a write, where that is the fewest.
    pub replicas_min: u32,
    /// Others acknowledge guarded writes, too: what this process knows is not all.
    pub always_quorum: bool,
}

impl Brain {
    /// A worker is about to tell clients that writes are safe up to here.
    pub fn acknowledged(&mut self, told: Acknowledged) {
        let known = match self.acked {
            Some(known) if known.replid == told.replid || self.continues(told, known) => {
                Acknowledged { offset: told.offset.max(known.offset), ..told }
            }
            // Told late, of the history before: it was confirmed there all the same.
            Some(known) if self.continues(known, told) => {
                Acknowledged { offset: told.offset.max(known.offset), ..known }
            }
            // Another history serves: what was safe in the old one has no place in it.
            Some(_) | None => told,
        };
        self.acked = Some(known);
    }

    fn continues(&self, child: Acknowledged, parent: Acknowledged) -> bool {
        self.lineage.descends(child.replid, parent.replid)
    }

    /// Up to where clients were told that writes are safe, in the history of `anchor`; nothing if
    /// that is not known.
    fn known_floor(&self, anchor: &Report) -> Option<u64> {
        let acked = self.acked?;
        let is_same = acked.replid == anchor.replid
            || anchor.descends.is_some_and(|it| it.0 == acked.replid)
            || self.lineage.descends(anchor.replid, acked.replid);
        is_same.then_some(acked.offset)
    }

    /// The same where nothing is promised, or known, of it: 0.
    pub(super) fn acknowledged_floor(&self, anchor: &Report) -> u64 {
        let guarded = self.params.guarded.and_then(|_| self.known_floor(anchor));
        guarded.unwrap_or(0)
    }

    /// A node serves that somebody else promoted. If it lacks what was acknowledged, that is
    /// lost; nothing is known about what is safe in its history.
    pub(super) fn note_heir(&mut self, anchor: &Report) {
        let (Some(acked), Some((parent, fork))) = (self.acked, anchor.descends) else { return };
        let lacks = fork <= acked.offset;
        if (parent == acked.replid || self.lineage.descends(anchor.replid, acked.replid)) && lacks {
            self.acked = None;
        }
    }

    /// Takes everybody out of `ranking` who may lack something that was acknowledged. If the primary
    /// has served since they reported, who follows it may have more than he said: that he lacks
    /// something is not held against him yet.
    pub(super) fn only_safe(
        &self,
        mut ranking: Ranking,
        lost: &Report,
        candidates: &[Candidate<'_>],
        loss: Loss,
    ) -> Ranking {
        let Some(guarded) = self.params.guarded else { return ranking };
        let known = self.known_floor(lost);
        // Whoever received still when he said it last, and copies somebody now, may have got more in
        // between. Where an empty primary is about to wipe him, there is no time to be so exact.
        let is_exact = |it: &&Candidate<'_>| {
            let may_have_more = || {
                let member = self.member(it.node)?;
                Some(member.before_copy(it.report.ok()?).is_some() && member.had?.is_led)
            };
            loss == Loss::Amnesia || !may_have_more().unwrap_or(false)
        };
        let exact = candidates.iter().filter(is_exact);
        let heard: Vec<u64> = exact.filter_map(|it| self.testimony(lost, it)).collect();
        let needed = self.quorum(guarded);
        let by_quorum = guarded.always_quorum || known.is_none();
        let highest = heard.iter().copied().max().unwrap_or(0);
        let floor = if by_quorum { highest } else { 0 }.max(known.unwrap_or(0));
        let is_heard = !by_quorum || heard.len() >= needed;
        let word = |node| {
            let candidate = candidates.iter().find(|it| it.node == node);
            candidate.and_then(|it| self.testimony(lost, it))
        };
        // Whoever has begun to copy an empty primary says no more how much he has, and will soon
        // have nothing. If a quorum was heard, he is the best of those who have everything; what was
        // told to clients while he was copying already, others have confirmed.
        let is_whole = |node| {
            let copies = |it: &&Member| {
                it.is_copying() && it.told_before_copy == self.acked.map(|it| it.offset)
            };
            heard.len() >= needed
                && self.member(node).filter(copies).is_some()
                && word(node) >= Some(highest)
        };
        let may_have_more = |node| {
            let candidate = candidates.iter().find(|it| it.node == node);
            let link = candidate.and_then(|it| it.report.ok()?.link());
            self.awaits_more(loss)
                && link.is_some_and(|it| matches!(it.state, LinkState::Up { .. }))
        };
        for it in std::mem::take(&mut ranking.ranked) {
            let why = if !is_heard {
                Reject::NoQuorum { heard: heard.len(), needed }
            } else if may_have_more(it.node) {
                ranking.ranked.push(it);
                continue;
            } else if word(it.node).unwrap_or(0) < floor && !is_whole(it.node) {
                Reject::LacksAcknowledged { bytes: floor - word(it.node).unwrap_or(0) }
            } else {
                ranking.ranked.push(it);
                continue;
            };
            ranking.rejected.push((it.node, why));
        }
        ranking
    }

    /// So many replicas have one among them that has everything.
    fn quorum(&self, guarded: Guarded) -> usize {
        let all = self.members.len().saturating_sub(1) + self.strangers.len();
        let replicas_min = usize::try_from(guarded.replicas_min).unwrap_or(usize::MAX);
        (all + 1).saturating_sub(replicas_min).max(1)
    }

    /// Why the primary `node` must not serve in the place of the one that was lost with `lost`, or as
    /// its next process: it may lack what was acknowledged, and a replica that has it may come back.
    pub(super) fn may_lack(&self, node: NodeId, report: &Report, lost: &Report) -> Option<String> {
        let guarded = self.params.guarded?;
        let known = self.known_floor(lost).filter(|_| !guarded.always_quorum);
        if known.is_some_and(|floor| self.reaches(report, lost, floor)) {
            return None;
        }
        let serving = self.serving.as_ref().map_or(node, |it| it.node);
        // What was said while the process before it lived says nothing about what that did next.
        let since = self.member(node)?.born_at;
        let heard: Vec<(NodeId, &Member, &Report)> = self
            .nodes()
            .filter(|(other, _)| *other != node)
            .filter_map(|(other, it)| Some((other, it, it.report_since(since)?)))
            .filter(|it| !it.2.loading)
            .collect();
        let name = self.name(node);
        // Somebody in step with it has what it has, and was asked a moment later.
        let is_ahead = |it: &Report| it.replid != report.replid && self.holds_more(it, report);
        // He has data of what was lost, also if he went on by himself, and keys do not tell whether that is
        // more: they expire, and a client that reached the new process first has added some.
        let may_be_ahead = |member: &Member, it: &Report| {
            let has_part = || it.keys > 0 && self.lineage.shared(it, lost).is_some();
            (self.word(lost, member, it).is_some() || has_part())
                && self.lineage.kinship(report, lost) == Kinship::Unrelated
        };
        // Whoever has said that he has more may come back with it, also when others have copied this
        // one since, and have nothing more to say.
        let ahead = self.nodes().filter(|it| it.0 != node).find_map(|(_, it)| {
            let seen = it.seen.as_ref().filter(|it| it.asked >= since && !it.report.loading)?;
            let before = it.before_copy(&seen.report);
            let has_more = is_ahead(&seen.report) || before.as_ref().is_some_and(is_ahead);
            let says = match (has_more, it.health().is_up()) {
                (true, true) => "has more",
                (true, false) => "had more when it was heard last",
                (false, _) => may_be_ahead(it, before.as_ref().unwrap_or(&seen.report))
                    .then_some("may have more")?,
            };
            Some((&it.spec.name, says))
        });
        if let Some((other, says)) = ahead {
            return Some(format!(
                "{name} may lack writes that were acknowledged as guarded: {other} {says}; choose whose \
                 data wins with `segue adopt NODE`"
            ));
        }
        let replicas = heard.iter().filter(|it| it.0 != serving);
        let words: Vec<u64> =
            replicas.filter_map(|(_, it, report)| self.word(lost, it, report)).collect();
        let is_proven = words.len() >= self.quorum(guarded)
            || known.is_some_and(|floor| words.iter().any(|it| *it >= floor));
        // With everybody heard, nobody is left who could come back with it.
        let is_all = self.strangers.is_empty() && heard.len() + 1 == self.members.len();
        (!is_proven && !is_all).then(|| {
            format!(
                "{name} may lack writes that were acknowledged as guarded, and too few replicas have \
                 said what they have; wait for them, or decide with `segue adopt NODE`"
            )
        })
    }

    /// Whether every other node runs as another process than before commands were held, all were
    /// heard, and nobody has more than the primary `node` came back with. Then as many copies as were
    /// promised died at once; nobody threw anything away for it.
    pub(super) fn is_all_that_is_left(&self, node: NodeId) -> bool {
        let (Some(held_from), Some(serving)) = (self.held_from, &self.serving) else {
            return false;
        };
        let Some(report) = self.member(node).and_then(|it| it.report()) else { return false };
        let mut others = self.nodes().filter(|it| it.0 != node);
        others.all(|(_, it)| it.born_at >= held_from)
            && self.may_lack(node, report, &serving.anchor).is_none()
    }

    /// Whether the history of `report` goes on from `lost`'s, at `floor` or behind it.
    fn reaches(&self, report: &Report, lost: &Report, floor: u64) -> bool {
        match self.lineage.kinship(report, lost) {
            Kinship::Same => report.offset >= floor,
            Kinship::Successor => {
                self.lineage.fork(report, lost.replid).is_some_and(|it| it > floor)
            }
            Kinship::Prefix | Kinship::Diverged | Kinship::Unrelated => false,
        }
    }

    /// What a replica has of the lost primary's history, if its word counts: it holds the data
    /// that it once confirmed.
    fn testimony(&self, lost: &Report, candidate: &Candidate<'_>) -> Option<u64> {
        self.word(lost, self.member(candidate.node)?, candidate.report.ok()?)
    }

    fn word(&self, lost: &Report, member: &Member, report: &Report) -> Option<u64> {
        if report.loading {
            return None;
        }
        let state = report.link().map(|it| it.state);
        if state == Some(LinkState::Never) {
            return None;
        }
        let is_part = |report: &Report| {
            matches!(self.lineage.kinship(report, lost), Kinship::Same | Kinship::Prefix)
        };
        if let Some(then) = member.before_copy(report) {
            let was_in_step = member.had.is_some_and(|it| it.in_step);
            return (was_in_step && is_part(&then)).then_some(then.offset);
        }
        let is_told = report.offset > 1
            || !matches!(state, Some(LinkState::Down { .. } | LinkState::Syncing));
        (is_told && is_part(report)).then_some(report.offset)
    }
}

#[cfg(test)]
#[path = "guarded_test.rs"]
mod tests;

#[cfg(test)]
#[path = "word_test.rs"]
mod word_tests;
