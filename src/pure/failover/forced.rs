//! Forced: an operator says that the primary is lost, though it may answer: it is sick in a way
//! that probes do not see.
//!
//! ```text
//! Steady, Suspecting --forced, somebody may take over--> Suspecting --> Committing --> Promoting
//!       ^                                                     |             |              |
//!       +-- nobody may any more, refused, or out of time -----+-------------+              |
//!                                        Steady, old primary demoted  <--------------------+
//! ```
//!
//! # Invariants
//!
//! * Who may take over is decided by the same rules as ever; an operator overrules *whether* the
//!   primary is lost (witnesses, patience, `failover.enabled`), never who is fit.
//! * Commit, promotion and repair are those of any failover. What is in flight becomes uncertain.
//! * Until `REPLICAOF NO ONE` is ordered all of it can be taken back, and is when time is up.
//! * The candidates are compared by what they say after every worker has let go of the old
//!   primary: nothing that a client of ours was told can arrive later.
//!
//! # Deliberately absent
//!
//! A pause of the old primary: it is taken for lost, and may not answer. What it acknowledges to
//! clients that bypass Segue until it is demoted is lost.

use super::account::{Account, Millis, PhaseAccount, Progress, Stage, Verdict};
use super::brain::{Brain, Goal, Loss, Phase};
use super::event::{Action, Note};
use super::params::Rejoin;
use super::preflight::{Ask, NoTarget};
use super::select::{Ranked, Ranking, Reject};
use crate::pure::time::Time;
use crate::pure::topology::{Gate, NodeId};
use std::mem;
use std::time::Duration;

/// How long candidates may take to say what they have once nobody can reach the old primary. They
/// are asked at once and answer within a millisecond; who is later is compared as it stood.
const LAST_WORDS_MAX: Duration = Duration::from_millis(500);

/// A forced failover under way.
#[derive(Clone, Debug)]
pub(super) struct Forced {
    from: NodeId,
    /// Whom it is expected to make primary: the named one, or the best so far.
    to: NodeId,
    named: Option<NodeId>,
    began: Time,
    deadline: Time,
    held_from: Time,
    held: Option<Duration>,
    /// When every worker was known to have let go of the old primary, in the epoch in force.
    severed_at: Option<Time>,
    /// Candidates have said what they have since then, or had the time to.
    is_heard: bool,
    stage: Stage,
    stage_from: Time,
    phases: Vec<PhaseAccount>,
    warnings: Vec<String>,
    /// Its asker was told that it takes too long.
    is_told: bool,
}

impl Brain {
    /// An operator orders a failover.
    pub(super) fn forced(&mut self, now: Time, ask: &Ask) {
        let (from, best, ranking) = match self.successor(now, ask) {
            Ok(found) => found,
            Err(NoTarget::Unknown(name)) => {
                let reason = self.unknown(&name);
                return self.tell_untouched(Verdict::NoSuchNode, None, vec![reason]);
            }
            Err(NoTarget::Refused { to, reasons }) => {
                return self.tell_untouched(Verdict::Refused, to, reasons);
            }
        };
        let forced = Forced {
            from,
            to: best.node,
            named: ask.to.as_ref().map(|_| best.node),
            began: now,
            deadline: now + ask.timeout,
            held_from: self.held_from.unwrap_or(now),
            held: None,
            severed_at: None,
            is_heard: false,
            stage: Stage::Sever,
            stage_from: now,
            phases: Vec::new(),
            warnings: self.warnings(from, best, &ranking, ask.dry_run),
            is_told: false,
        };
        if ask.dry_run {
            return self.report_forced(now, &forced, Verdict::DryRun, Vec::new());
        }
        let (name, lag_bytes) = (self.name(best.node).to_owned(), best.lag_bytes);
        let old = self.name(from).to_owned();
        self.tell(Progress::Began { from: old, to: name.clone(), lag_bytes });
        let reason = format!("an operator ordered a failover to {name}");
        self.lost_from = Some(now);
        self.note(Note::PrimaryLost { primary: from, reason: reason.clone() });
        self.forced = Some(Box::new(forced));
        // Also where commands are held already: the reason is another one, and everybody is asked.
        self.hold(now, from, reason);
    }

    /// Who would take over, and how everybody was judged.
    fn successor(&self, now: Time, ask: &Ask) -> Result<(NodeId, Ranked, Ranking), NoTarget> {
        let named = self.named(ask)?;
        let refuse = |reasons| NoTarget::Refused { to: named, reasons };
        let why = self.reason.as_deref().unwrap_or("nothing more is known");
        let Some(from) = self.serving.as_ref().map(|it| it.node) else {
            return Err(refuse(vec![format!("no primary is known: {why}")]));
        };
        match &self.phase {
            _ if self.switch.is_some() => {
                return Err(refuse(vec!["a switchover is under way".to_owned()]));
            }
            Phase::Steady | Phase::Suspecting if self.forced.is_none() => {}
            Phase::Discovering
            | Phase::Steady
            | Phase::Suspecting
            | Phase::Committing { .. }
            | Phase::Promoting(_)
            | Phase::Switching(_) => {
                return Err(refuse(vec![format!("a failover is under way: {why}")]));
            }
        }
        if named == Some(from) {
            return Err(refuse(vec![format!("{} is the primary already", self.name(from))]));
        }
        let ranking = self.ranking(now, from, self.forced_loss());
        let best = match named {
            None => ranking.ranked.first(),
            Some(node) => ranking.ranked.iter().find(|it| it.node == node),
        };
        let Some(best) = best.copied() else {
            let concerned = |it: &&(NodeId, Reject)| named.is_none_or(|node| node == it.0);
            let mut reasons: Vec<String> =
                ranking.rejected.iter().filter(concerned).map(|it| self.unfit(it)).collect();
            if reasons.is_empty() {
                reasons.push("no replica is known".to_owned());
            }
            return Err(refuse(reasons));
        };
        Ok((from, best, ranking))
    }

    fn unfit(&self, (node, why): &(NodeId, Reject)) -> String {
        format!("{} cannot take over: {why}", self.name(*node))
    }

    /// What an operator must know before, and is told again afterwards.
    fn warnings(
        &self,
        from: NodeId,
        best: Ranked,
        ranking: &Ranking,
        is_look: bool,
    ) -> Vec<String> {
        let (old, new) = (self.name(from), self.name(best.node));
        let mut warnings = Vec::new();
        // Afterwards it is no news.
        if is_look && self.seems_well() {
            warnings.push(format!(
                "{old} answers and serves: `segue switchover` would make {new} the primary without \
                 a loss"
            ));
        }
        warnings.push(format!(
            "what {old} has acknowledged and {new} has not received is lost: {} bytes by their last \
             reports; writes in flight become uncertain",
            best.lag_bytes
        ));
        match self.params.rejoin {
            Rejoin::Auto => {}
            Rejoin::Quarantine | Rejoin::Off => warnings.push(format!(
                "{old} stays writable for clients that bypass Segue: failover.rejoin does not let \
                 Segue demote it"
            )),
        }
        warnings.extend(ranking.rejected.iter().map(|it| self.unfit(it)));
        warnings
    }

    /// Whether the primary that an operator gave up has not been replaced yet.
    pub(super) fn is_forcing(&self) -> bool {
        let serving = self.serving.as_ref().map(|it| it.node);
        self.forced.as_ref().is_some_and(|it| serving == Some(it.from))
    }

    /// As what the primary is given up.
    fn forced_loss(&self) -> Loss {
        let is_amnesic = self.serving.as_ref().is_some_and(|it| it.amnesia.is_some());
        if is_amnesic { Loss::Amnesia } else { Loss::Forced }
    }

    /// One look while commands are held for it and nobody has been promoted.
    pub(super) fn force(&mut self, now: Time) {
        let Some((from, deadline)) = self.forced.as_ref().map(|it| (it.from, it.deadline)) else {
            return;
        };
        if now >= deadline {
            return self.recall(now, "it took too long".to_owned());
        }
        self.take_over(now, from, self.forced_loss());
        self.watch_the_clock(now);
    }

    /// Whom to promote of those who may be: the one who was named, or the best.
    pub(super) fn chosen(&self, ranking: &Ranking) -> Option<Ranked> {
        let named = self.forced.as_ref().filter(|_| self.is_forcing()).and_then(|it| it.named);
        let mut ranked = ranking.ranked.iter();
        match named {
            None => ranked.next().copied(),
            Some(node) => ranked.find(|it| it.node == node).copied(),
        }
    }

    /// Who takes over now that nobody can reach the old primary: `best`, or in a forced failover who
    /// is best by what candidates have said since then. Nobody, while it waits for that or when it
    /// comes to nothing.
    pub(super) fn last_choice(
        &mut self,
        now: Time,
        from: NodeId,
        loss: Loss,
        (ranking, best): (&Ranking, Ranked),
    ) -> Option<Ranked> {
        if !self.is_forcing() {
            return Some(best);
        }
        if self.awaits_last_words(now, ranking) {
            return None;
        }
        // Only now can it be said who has everything that was acknowledged as guarded.
        let ranking = self.ranking(now, from, loss);
        self.tell_rejected(&ranking.rejected);
        let best = self.chosen(&ranking);
        if best.is_none() {
            let reason = self.nobody(&ranking.rejected);
            self.recall(now, reason);
        }
        best
    }

    /// Whether a forced failover still waits for what candidates have to say now that nobody can
    /// reach the old primary.
    fn awaits_last_words(&mut self, now: Time, ranking: &Ranking) -> bool {
        let Some(forced) = &mut self.forced else { return false };
        let is_first = forced.severed_at.is_none();
        let since = *forced.severed_at.get_or_insert(now);
        if now.since(since) >= LAST_WORDS_MAX {
            forced.is_heard = true;
            return false;
        }
        if is_first {
            let nodes: Vec<NodeId> = self.nodes().map(|it| it.0).collect();
            nodes.into_iter().for_each(|it| self.act(Action::Probe(it)));
        }
        let has_said_all = |node: NodeId| {
            let report = self.member(node).and_then(|it| it.report_since(since));
            report.is_some_and(|it| it.link().is_none_or(|link| link.received <= it.offset))
        };
        let is_unheard = ranking.rejected.iter().any(|it| it.1 == Reject::Unheard);
        let awaits = is_unheard || !ranking.ranked.iter().all(|it| has_said_all(it.node));
        if let Some(forced) = &mut self.forced {
            forced.is_heard = !awaits;
        }
        awaits
    }

    /// Whether more may be acknowledged as guarded than candidates have reported, because the
    /// primary that an operator gives up has served since.
    pub(super) fn awaits_more(&self, loss: Loss) -> bool {
        loss == Loss::Forced && !self.forced.as_ref().is_some_and(|it| it.is_heard)
    }

    /// It comes to nothing: all is as it was, if the primary is well; and else as it would be
    /// without the order.
    pub(super) fn recall(&mut self, now: Time, reason: String) {
        let Some(forced) = self.forced.take() else { return };
        if !forced.is_told {
            self.report_forced(now, &forced, Verdict::RolledBack, vec![reason.clone()]);
        }
        if self.is_well(now) {
            return self.release(now);
        }
        // Whether it is lost is for the usual rules to say, from the start.
        self.lost_from = None;
        self.phase = Phase::Suspecting;
        self.wait(now, reason);
    }

    /// After every step: how far it is, and whether it is over.
    pub(super) fn conclude_forced(&mut self, now: Time) {
        let Some(forced) = self.forced.as_deref() else { return };
        let (from, to, stage, deadline) = (forced.from, forced.to, forced.stage, forced.deadline);
        let serving = self.serving.as_ref().map(|it| it.node);
        match self.phase.clone() {
            Phase::Steady if serving == Some(to) && to != from => {
                self.next_forced_stage(now, Stage::Repoint);
                self.conclude_repair(now, from);
            }
            // It serves, and is in trouble already: that is another story.
            _ if serving == Some(to) && to != from => self.end_forced(now, Verdict::Done, None),
            Phase::Promoting(promotion) => self.conclude_promoting(now, promotion.node),
            Phase::Committing { goal: Goal::Promote, .. } if now >= deadline => {
                self.recall(now, "a worker does not confirm that the gate is closed".to_owned());
            }
            Phase::Committing { goal: Goal::Promote, .. } => {
                if let Some(forced) = &mut self.forced {
                    (forced.severed_at, forced.is_heard) = (None, false);
                }
            }
            Phase::Suspecting if stage != Stage::Repoint => {}
            Phase::Steady
            | Phase::Suspecting
            | Phase::Discovering
            | Phase::Switching(_)
            | Phase::Committing { .. } => {
                let why = self.reason.clone().unwrap_or_else(|| "the group changed".to_owned());
                self.end_forced(now, Verdict::RolledBack, Some(why));
            }
        }
    }

    fn conclude_promoting(&mut self, now: Time, node: NodeId) {
        self.next_forced_stage(now, Stage::Promote);
        let Some(forced) = &mut self.forced else { return };
        forced.to = node;
        if now < forced.deadline || mem::replace(&mut forced.is_told, true) {
            return;
        }
        let forced = forced.clone();
        let name = self.name(node);
        let reason = format!("{name} does not confirm that it is primary; Segue goes on asking");
        self.report_forced(now, &forced, Verdict::Unfinished, vec![reason]);
    }

    /// The new primary serves; it is over when the old one is a replica, or cannot be made one
    /// for now.
    fn conclude_repair(&mut self, now: Time, from: NodeId) {
        let name = self.name(from).to_owned();
        let Some(forced) = &mut self.forced else { return };
        let held_from = forced.held_from;
        forced.held.get_or_insert(now.since(held_from));
        let deadline = forced.deadline;
        let Some(member) = self.member(from) else { return };
        // Where Segue does not demote it, that was warned of before.
        let is_left = self.params.rejoin != Rejoin::Auto;
        let is_demoted = member.pending.is_none()
            && member.report_since(member.answered_at).is_some_and(|it| !it.is_primary());
        let warning = if is_left || is_demoted {
            None
        } else if member.pending.is_none() && !member.is_heard() {
            Some(format!("{name} does not answer; it becomes a replica when it returns"))
        } else if now >= deadline {
            Some(format!("{name} is not a replica yet; Segue goes on telling it"))
        } else {
            return;
        };
        if let Some(forced) = &mut self.forced {
            forced.warnings.extend(warning);
        }
        self.end_forced(now, Verdict::Done, None);
    }

    fn next_forced_stage(&mut self, now: Time, stage: Stage) {
        let Some(forced) = self.forced.as_deref_mut().filter(|it| it.stage != stage) else {
            return;
        };
        let ms = Millis(now.since(forced.stage_from));
        let phase = PhaseAccount { phase: forced.stage, ms };
        (forced.stage, forced.stage_from) = (stage, now);
        forced.phases.push(phase.clone());
        if !forced.is_told {
            self.tell(Progress::Phase(phase));
        }
    }

    fn end_forced(&mut self, now: Time, outcome: Verdict, reason: Option<String>) {
        let Some(mut forced) = self.forced.take() else { return };
        if forced.is_told {
            return;
        }
        if outcome == Verdict::Done {
            let ms = Millis(now.since(forced.stage_from));
            let phase = PhaseAccount { phase: forced.stage, ms };
            forced.phases.push(phase.clone());
            self.tell(Progress::Phase(phase));
        }
        self.report_forced(now, &forced, outcome, reason.into_iter().collect());
    }

    fn report_forced(
        &mut self,
        now: Time,
        forced: &Forced,
        outcome: Verdict,
        reasons: Vec<String>,
    ) {
        let is_closed = !matches!(self.route.gate, Gate::Open(_)) && outcome != Verdict::DryRun;
        let so_far = is_closed.then(|| now.since(forced.held_from));
        let account = Account {
            outcome,
            from: Some(self.name(forced.from).to_owned()),
            to: Some(self.name(forced.to).to_owned()),
            epoch: self.route.epoch.0,
            reasons,
            warnings: forced.warnings.clone(),
            phases: forced.phases.clone(),
            held_ms: Millis(forced.held.or(so_far).unwrap_or_default()),
            total_ms: Millis(now.since(forced.began)),
        };
        self.tell(Progress::Ended(account));
    }
}
