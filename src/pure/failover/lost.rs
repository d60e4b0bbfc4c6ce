//! The primary is lost: whether it really is, who takes over, and the promotion itself.

use super::brain::{Brain, Goal, Loss, Phase, Promotion, Serving};
use super::event::{Note, Outcome};
use super::member::Member;
use super::select::{Candidate, Limits, Lost, Ranked, Ranking, Reject, rank};
use crate::pure::detect::{Cause, Health};
use crate::pure::time::Time;
use crate::pure::topology::snapshot::FailoverAccount;
use crate::pure::topology::{Kinship, LinkState, NodeId, Report};
use std::time::Duration;

/// How long replicas may go on draining what the lost primary sent. Measured: 1 to 11 ms, and
/// up to 400 ms with megabytes queued; a replica that needs longer is compared as it stands.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// A replica whose link still looks up has drained when nothing changed for so many probes.
const DRAIN_PROBES: u32 = 2;

/// Whose promotion came to nothing is not chosen again before this.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

impl Brain {
    /// The primary is lost. Finds out whether a replica may take over now.
    pub(super) fn lose(&mut self, now: Time, loss: Loss) {
        let Some(node) = self.serving.as_ref().map(|it| it.node) else { return };
        if self.lost_from.is_none() {
            self.lost_from = Some(now);
            let reason = self.why_lost(node, loss);
            self.note(Note::PrimaryLost { primary: node, reason });
        }
        if !self.params.enabled {
            let reason = format!("{} and failover.enabled is false", self.why_lost(node, loss));
            return self.wait(now, reason);
        }
        // First of all: a witness, or nobody to ask, may be what takes so long.
        self.watch_the_clock(now);
        if loss == Loss::Down {
            if let Some(witness) = self.witness(now, node) {
                return self.spare(now, node, witness);
            }
            self.witness_told = None;
            if let Err(reason) = self.corroborate(now, node) {
                return self.wait(now, reason);
            }
        }
        if loss == Loss::Deposed
            && let Some(reason) = self.torn(now)
        {
            return self.wait(now, reason);
        }
        self.take_over(now, node, loss);
    }

    fn why_lost(&self, node: NodeId, loss: Loss) -> String {
        let name = self.name(node);
        let health = self.member(node).map(Member::health);
        match (loss, health) {
            (Loss::Amnesia, _) => format!("{name} came back without its data"),
            (Loss::Deposed, _) => format!("{name} is a replica now, and nobody is primary"),
            (Loss::Forced, _) => format!("{name} was given up by an operator"),
            (Loss::Down, Some(Health::Down(cause) | Health::Suspect(cause))) => {
                format!("{name} {cause}")
            }
            (Loss::Down, Some(Health::Up | Health::Unknown) | None) => format!("{name} is down"),
        }
    }

    /// Chooses, and commits to a failover or goes on with one.
    pub(super) fn take_over(&mut self, now: Time, node: NodeId, loss: Loss) {
        if let Some(reason) = self.disputed(now).filter(|_| loss != Loss::Forced) {
            return self.wait(now, reason);
        }
        let ranking = self.ranking(now, node, loss);
        self.tell_rejected(&ranking.rejected);
        let lost_for = self.lost_from.map_or(Duration::ZERO, |it| now.since(it));
        let Some(best) = self.chosen(&ranking) else {
            if self.is_forcing() {
                let reason = self.nobody(&ranking.rejected);
                return self.recall(now, reason);
            }
            // What was acknowledged as guarded is not forgiven to anybody, unless nobody is left.
            let may_forgive = if self.params.guarded.is_some() {
                self.is_all_that_is_left(node)
            } else {
                self.worth_saving().is_none() && lost_for >= self.params.timeout
            };
            // What it has is not known before it has loaded it.
            let is_loaded =
                self.member(node).and_then(|it| it.report()).is_some_and(|it| !it.loading);
            if loss == Loss::Amnesia && may_forgive && is_loaded {
                return self.forgive(node);
            }
            let nobody = self.nobody(&ranking.rejected);
            let torn = self.torn_apart().filter(|_| loss == Loss::Amnesia);
            let why = torn.or_else(|| self.unfollowed());
            let reason = why.map_or(nobody.clone(), |it| format!("{it}; {nobody}"));
            return self.wait(now, reason);
        };
        if loss == Loss::Down && lost_for < DRAIN_MAX && !self.is_settled(&ranking) {
            return;
        }
        if matches!(loss, Loss::Down | Loss::Deposed)
            && self.is_better_in_doubt(now, &ranking, best)
        {
            return;
        }
        if !self.is_severed() {
            return self.sever(Goal::Promote);
        }
        let Some(best) = self.last_choice(now, node, loss, (&ranking, best)) else { return };
        // Replicas of a primary without its data are about to wipe themselves; and an operator's
        // word is for this decider alone.
        if matches!(loss, Loss::Amnesia | Loss::Forced) || self.may_promote(now, node) {
            self.begin_promotion(now, best);
        }
    }

    /// A primary came back without its data, and whoever held more has been gone for as long
    /// as a failover may take. Serving what there is beats serving nobody for ever.
    fn forgive(&mut self, primary: NodeId) {
        let report = self.member(primary).and_then(|it| it.report().cloned());
        if let (Some(serving), Some(report)) = (&mut self.serving, report) {
            serving.amnesia = None;
            serving.anchor = report;
        }
        self.note(Note::Forgiven { primary });
    }

    /// Whether everybody who could be chosen has said his last offset.
    fn is_settled(&self, ranking: &Ranking) -> bool {
        let still = self.params.detect.interval.saturating_mul(DRAIN_PROBES);
        let drained = ranking
            .ranked
            .iter()
            .all(|it| self.member(it.node).is_none_or(|member| member.is_drained(still)));
        drained && ranking.rejected.iter().all(|(_, why)| *why != Reject::Unheard)
    }

    /// Whether somebody who said that he has more than the best has not been given up yet, or has
    /// not answered an order: he answers in a moment, or he is down. A moment is cheaper than what he
    /// has.
    fn is_better_in_doubt(&self, now: Time, ranking: &Ranking, best: Ranked) -> bool {
        let Some(chosen) = self.member(best.node) else { return false };
        let priority = |it: &Member, report: &Report| {
            it.spec.priority.or_else(|| Some(report.link()?.priority)).unwrap_or(0)
        };
        let Some(own) = chosen.report() else { return false };
        ranking.rejected.iter().any(|(node, why)| {
            let Some(it) = self.member(*node) else { return false };
            let Some(report) = it.report() else { return false };
            let is_whole = report.link().is_some_and(|it| {
                matches!(it.state, LinkState::Up { .. } | LinkState::Down { .. })
            });
            let is_late = matches!(why, Reject::NotUp(Cause::Silent | Cause::Refused));
            (is_late || *why == Reject::Unheard && it.is_being_turned())
                && !it.health().is_down()
                && it.detector.alive_at() + self.params.detect.down_after > now
                && is_whole
                && report.replid == own.replid
                && report.offset > own.offset
                && (1..=priority(chosen, own)).contains(&priority(it, report))
        })
    }

    pub(super) fn ranking(&self, now: Time, node: NodeId, loss: Loss) -> Ranking {
        let Some(serving) = &self.serving else { return Ranking::default() };
        // A primary that still answers was lost when commands were held for it.
        let lost_at = match loss {
            Loss::Down => self.member(node).map_or(now, |it| it.detector.well_at()),
            Loss::Amnesia | Loss::Deposed | Loss::Forced => self.held_from.unwrap_or(now),
        };
        let fresh = self.fresh_from(now);
        let since = if loss == Loss::Down { fresh.max(lost_at) } else { fresh };
        let candidates: Vec<Candidate<'_>> = self
            .nodes()
            // One that is a replica now is as good a candidate as any.
            .filter(|(other, _)| *other != node || loss == Loss::Deposed)
            .map(|(other, member)| {
                let report = match member.health() {
                    Health::Suspect(cause) | Health::Down(cause) => Err(Reject::NotUp(cause)),
                    Health::Unknown => Err(Reject::NotUp(Cause::Silent)),
                    // An order of ours on its way to it could undo the promotion.
                    Health::Up if member.is_being_turned() => Err(Reject::Unheard),
                    Health::Up if member.has_just_failed(now) => Err(Reject::RefusedBefore),
                    Health::Up => member.report_since(since).ok_or(Reject::Unheard),
                };
                Candidate { node: other, report, priority: member.spec.priority }
            })
            .collect();
        let limits = Limits {
            max_lag_bytes: self.params.max_lag_bytes,
            max_link_down: self.params.max_link_down,
        };
        let amnesia = loss == Loss::Amnesia;
        let ahead = if loss == Loss::Deposed { self.ahead(now).cloned() } else { None };
        let compared = match ahead {
            Some(ahead) => vec![ahead],
            None if amnesia => self.remembered(),
            None => vec![serving.anchor.clone()],
        };
        let ago = now.since(lost_at);
        let mut rankings = compared.iter().map(|report| {
            let lost = Lost { report, ago, amnesia };
            let ranking = rank(limits, lost, &self.lineage, &candidates);
            self.only_safe(ranking, &serving.anchor, &candidates, loss)
        });
        let first = rankings.next().unwrap_or_default();
        if !first.ranked.is_empty() {
            return first;
        }
        rankings.find(|it| !it.ranked.is_empty()).unwrap_or(first)
    }

    /// Somebody changed roles by hand until nobody was left primary: the replica whose history
    /// continues that of the last primary we know of.
    fn ahead(&self, now: Time) -> Option<&Report> {
        let anchor = &self.serving.as_ref()?.anchor;
        let fresh = self.fresh_from(now);
        let heard = self.nodes().filter_map(|(_, it)| it.report_since(fresh));
        heard
            .filter(|it| self.lineage.kinship(it, anchor) == Kinship::Successor)
            .max_by_key(|it| (it.descends.map(|it| it.1), it.offset, std::cmp::Reverse(it.run_id)))
    }

    /// Why nobody can be chosen then: two nodes have each what the other lacks.
    fn torn(&self, now: Time) -> Option<String> {
        let ahead = self.ahead(now)?;
        let fresh = self.fresh_from(now);
        let mut heard = self.nodes().filter_map(|(node, it)| Some((node, it.report_since(fresh)?)));
        let (node, _) = heard.find(|(_, it)| {
            it.run_id != ahead.run_id && self.own_bytes(it, ahead).is_some_and(|bytes| bytes > 0)
        })?;
        Some(format!(
            "roles were changed by hand until nobody was primary, and {} has data that the one \
             ahead of it lacks; choose whose data wins with `segue adopt NODE`",
            self.name(node)
        ))
    }

    /// Says once when a failover takes longer than it may. It goes on all the same: giving up
    /// half-way is not safer.
    pub(super) fn watch_the_clock(&mut self, now: Time) {
        let Some(lost_from) = self.lost_from else { return };
        if self.is_overdue || now.since(lost_from) < self.params.timeout {
            return;
        }
        self.is_overdue = true;
        let reason = match (&self.phase, &self.reason) {
            (Phase::Committing { .. }, _) => "a worker does not confirm that the gate is closed",
            (Phase::Promoting(_), _) => "the chosen replica does not answer",
            (_, Some(reason)) => reason,
            (_, None) => "no replica can take over",
        };
        self.note(Note::Overdue { reason: reason.to_owned() });
    }

    /// The old epoch is being severed; goes on when every worker has confirmed it.
    pub(super) fn commit(&mut self, now: Time, version: u64, goal: Goal) {
        if self.confirmed >= version {
            match goal {
                // Everything is looked at once more: the primary may be back, a better
                // replica may have answered.
                Goal::Promote => self.phase = Phase::Suspecting,
                Goal::Switch(to) => self.commit_switch(now, to, true),
                Goal::Adopt(node) => self.commit_adoption(now, node),
                // A stuck worker confirms late: whoever lacked nothing then may do so now.
                Goal::Follow(heir) if self.is_heir(now, heir) => self.adopt(now, heir, true),
                Goal::Follow(_) => self.phase = Phase::Suspecting,
                Goal::Obey(chosen) => {
                    let fresh = self.fresh_from(now);
                    let still = self.member(chosen).and_then(|it| it.report_since(fresh));
                    if still.is_some_and(Report::is_primary) {
                        self.adopt(now, chosen, true);
                    } else {
                        self.phase = Phase::Suspecting;
                    }
                }
            }
            return;
        }
        if let Goal::Switch(to) = goal {
            return self.commit_switch(now, to, false);
        }
        // Nothing was done to anybody yet, so the primary may still come back; with its data.
        self.recollect(now);
        if goal == Goal::Promote && self.is_well(now) && !self.is_forcing() {
            return self.release(now);
        }
        self.watch_the_clock(now);
    }

    pub(super) fn begin_promotion(&mut self, now: Time, best: Ranked) {
        let Ranked { node, offset, lag_bytes } = best;
        let Some(member) = self.member(node) else { return };
        let Some((run_id, replid)) = member.report().map(|it| (it.run_id, it.replid)) else {
            return;
        };
        // Once it has begun to copy, the last that it said before is what it still has.
        let had = member.report().and_then(|it| member.had_of(it)).filter(|_| offset <= 1);
        let chosen_for = (replid, had.map_or(offset, |it| it.offset));
        self.phase = Phase::Promoting(Promotion {
            node,
            run_id,
            chosen_for,
            since: now,
            attempts: 1,
            is_uncertain: false,
            again_at: None,
        });
        self.reason = Some(format!("{} is being promoted", self.name(node)));
        self.note(Note::Promoting { node, epoch: self.route.epoch, offset, lag_bytes });
        self.order_promotion(node);
    }

    /// One look at a promotion under way. Only a probe confirms it.
    pub(super) fn promote(&mut self, now: Time, promotion: Promotion) {
        let Promotion { node, run_id, chosen_for: (replid, offset), since, .. } = promotion;
        let Some(member) = self.member(node) else { return };
        let is_ordered = member.pending.is_some();
        let report = member.report_since(since);
        if let Some(report) = report.filter(|it| it.run_id == run_id && it.is_primary()) {
            // It may have thrown away what it was chosen for just before it was told.
            let fork = self.lineage.fork(report, replid);
            // Chosen while it copied, nobody knows how much of that it had: then only who went on from
            // there, and nowhere else, has it whole.
            let is_next = offset > 1 || report.descends.is_some_and(|it| it.0 == replid);
            let has_it = report.replid == replid || is_next && fork.is_some_and(|it| it > offset);
            if report.loading {
                return;
            }
            if !has_it {
                let (reason, replid) =
                    ("it has copied other data meanwhile".to_owned(), report.replid);
                if let Some(member) = self.member_mut(node) {
                    // Nor is it followed as somebody else's choice.
                    member.forsaken = Some(replid);
                }
                return self.abandon(now, node, reason);
            }
            let untold = self.untold(node, since);
            self.adopt(now, node, false);
            for it in untold {
                self.order_to_follow(it, node);
            }
            return;
        }
        // Its process is gone, and with it whatever it was told. No client byte went there.
        if !is_ordered && report.is_some_and(|it| it.run_id != run_id) {
            return self.abandon(now, node, "it was restarted".to_owned());
        }
        if !is_ordered && member.health() == Health::Down(Cause::Refused) {
            return self.abandon(now, node, "its process is gone".to_owned());
        }
        if !is_ordered && promotion.again_at.is_some_and(|it| it <= now) {
            self.phase = Phase::Promoting(Promotion {
                attempts: promotion.attempts.saturating_add(1),
                again_at: None,
                ..promotion
            });
            self.order_promotion(node);
        }
        self.watch_the_clock(now);
    }

    /// Whether what answers is certainly the process that was chosen. Who is asked again, because there
    /// was no answer, may have been restarted meanwhile: then only a probe tells what is primary there.
    pub(super) const fn is_first_attempt(&self) -> bool {
        matches!(&self.phase, Phase::Promoting(it) if it.attempts == 1)
    }

    pub(super) fn promotion_answered(&mut self, now: Time, node: NodeId, outcome: Outcome) {
        let again_at = now + self.params.detect.interval;
        let Phase::Promoting(promotion) = &mut self.phase else { return };
        if promotion.node != node {
            return;
        }
        promotion.again_at = Some(again_at);
        let attempts = promotion.attempts;
        match outcome {
            Outcome::Done => promotion.is_uncertain = true,
            Outcome::Unknown => {
                promotion.is_uncertain = true;
                self.note(Note::PromotionUnknown { node, attempts });
            }
            // What could not be sent now may have arrived before: then only this node will do.
            Outcome::NotSent(_) if promotion.is_uncertain => {}
            Outcome::Refused(reason) | Outcome::NotSent(reason) => {
                self.abandon(now, node, reason);
            }
        }
    }

    /// Gives a candidate up; the next one gets an epoch of its own. A process that took its place
    /// is another candidate, and may be that next one; once.
    fn abandon(&mut self, now: Time, node: NodeId, reason: String) {
        if let Phase::Promoting(Promotion { run_id, .. }) = self.phase
            && let Some(member) = self.member_mut(node)
        {
            member.fail(run_id, now + REFUSAL_PAUSE);
        }
        self.doubt_old_primary(now, &reason);
        self.note(Note::PromotionFailed { node, reason });
        self.phase = self.looking_again();
    }

    /// A new primary serves from now on.
    pub(super) fn adopt(&mut self, now: Time, node: NodeId, followed: bool) {
        let Some(anchor) = self.member(node).and_then(|it| it.report().cloned()) else { return };
        let Some(from) = self.serving.as_ref().map(|it| it.node) else {
            return self.enthrone(node, anchor);
        };
        self.claim_everybody();
        self.note_heir(&anchor);
        self.serving = Some(Serving { node, anchor, amnesia: None });
        self.claim_everybody();
        let epoch = self.route.epoch;
        let held = self.held_from.map_or(Duration::ZERO, |it| now.since(it));
        let planned = !followed && self.is_switch_to(node);
        if planned {
            self.switched_held = Some(held);
        } else {
            self.fail(format!("{} took over", self.name(node)));
        }
        let outcome = match (followed, planned) {
            (true, _) => "followed",
            (false, true) => "switched",
            (false, false) => "promoted",
        };
        self.account(Some(from), Some(node), held, outcome);
        self.open(node, epoch);
        self.note(Note::FailedOver { from, to: node, epoch, held, followed, planned });
        for member in &mut self.members {
            member.joining_from = None;
            member.quiet_until = now;
            member.remark = None;
        }
    }

    pub(super) fn account(
        &mut self,
        from: Option<NodeId>,
        to: Option<NodeId>,
        held: Duration,
        outcome: &str,
    ) {
        let name = |it: NodeId| self.name(it).to_owned();
        self.last_failover = Some(FailoverAccount {
            epoch: self.route.epoch.0,
            from: from.map(name),
            to: to.map(name),
            held_ms: u64::try_from(held.as_millis()).unwrap_or(u64::MAX),
            outcome: outcome.to_owned(),
        });
    }
}

#[cfg(test)]
#[path = "lost_test.rs"]
mod tests;
