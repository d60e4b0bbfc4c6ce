//! Planned: the primary is well, and another node shall serve, without an error and without a
//! loss.
//!
//! ```text
//! Steady --asked--> (catch up, gate open) --lag small--> Draining   gate: nothing new goes out
//!   ^                                                       |       all in flight answered
//!   |                                                     Pausing   CLIENT PAUSE WRITE
//!   |                                                       |
//!   |                                                    Matching   target >= primary, in bytes
//!   +------ anything fails, or takes too long: ----------   |
//!           UNPAUSE, open for the old primary         Committing    epoch+1, gate held, confirmed
//!                                                           |
//!                       opened for the target <--------Promoting    REPLICAOF NO ONE; its answer
//!                                                                   sends everybody behind it
//! ```
//!
//! # Invariants
//!
//! * Until the promotion is ordered nothing has changed but time: whatever goes wrong, the old
//!   primary serves on.
//! * The promotion is ordered only after the target said an offset that is not below what the
//!   primary said *after* the last write that Segue sent to it was answered.
//! * A promotion without an answer is asked again, as in any failover.
//! * The old primary's pause is lifted only when it is a replica, or serves again.

use super::account::{Account, Millis, PhaseAccount, Progress, Stage, Verdict};
use super::brain::{Brain, Doubt, Goal, Phase};
use super::event::{Action, Note};
use super::preflight::{Ask, NoTarget};
use super::select::Ranked;
use crate::pure::time::Time;
use crate::pure::topology::{Gate, NodeId, RunId};
use std::time::Duration;

/// A target this close to a primary that is written to is in step: the rest is a moment.
const LAG_MAX_BYTES: u64 = 1 << 20;

/// How long what is in flight may take while everybody else waits.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// How long the pause outlasts the time-out: a promotion that was ordered last is confirmed, and
/// the old primary demoted, within this.
pub(super) const PAUSE_SLACK: Duration = Duration::from_secs(2);

/// Where a switchover stands while its gate is closed and nothing is committed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Until nothing is in flight for this version.
    Draining { version: u64 },
    /// `CLIENT PAUSE` is under way.
    Pausing,
    /// Reports asked for since then are compared.
    Matching { since: Time },
}

/// A switchover under way.
#[derive(Clone, Debug)]
pub(super) struct Switch {
    from: NodeId,
    to: NodeId,
    /// The process that was chosen.
    run_id: RunId,
    began: Time,
    pub(super) deadline: Time,
    closed_at: Option<Time>,
    stage: Stage,
    stage_from: Time,
    phases: Vec<PhaseAccount>,
    pub(super) warnings: Vec<String>,
    /// Why it is taken back, once it is.
    failed: Option<String>,
    /// Its asker was told that it takes too long.
    is_told: bool,
}

impl Brain {
    /// Whether what an operator asked for is under way.
    pub const fn is_switching(&self) -> bool {
        self.switch.is_some() || self.forced.is_some()
    }

    /// An operator asks for a switchover.
    pub(super) fn asked(&mut self, now: Time, ask: &Ask) {
        let from = self.serving.as_ref().map(|it| it.node);
        let target = self.preflight(now, ask).and_then(|to| {
            let report = self.member(to).and_then(|it| it.report());
            let known = from.zip(report).map(|(from, report)| (from, to, report.clone()));
            known.ok_or(NoTarget::Refused { to: Some(to), reasons: Vec::new() })
        });
        let (from, to, report) = match target {
            Ok(found) => found,
            Err(NoTarget::Unknown(name)) => {
                let reason = self.unknown(&name);
                return self.tell_untouched(Verdict::NoSuchNode, None, vec![reason]);
            }
            Err(NoTarget::Refused { to, reasons }) => {
                return self.tell_untouched(Verdict::Refused, to, reasons);
            }
        };
        if ask.dry_run {
            return self.tell_untouched(Verdict::DryRun, Some(to), Vec::new());
        }
        let primary = self.serving.as_ref().map_or(0, |it| it.anchor.offset);
        self.tell(Progress::Began {
            from: self.name(from).to_owned(),
            to: self.name(to).to_owned(),
            lag_bytes: primary.saturating_sub(report.offset),
        });
        self.note(Note::Switching { from, to });
        self.switch = Some(Box::new(Switch {
            from,
            to,
            run_id: report.run_id,
            began: now,
            deadline: now + ask.timeout,
            closed_at: None,
            stage: Stage::CatchUp,
            stage_from: now,
            phases: Vec::new(),
            warnings: Vec::new(),
            failed: None,
            is_told: false,
        }));
        self.act(Action::Probe(from));
        self.act(Action::Probe(to));
    }

    pub(super) fn tell(&mut self, progress: Progress) {
        self.actions.push(Action::Tell(progress));
    }

    /// Ends what was never begun.
    pub(super) fn tell_untouched(
        &mut self,
        outcome: Verdict,
        to: Option<NodeId>,
        reasons: Vec<String>,
    ) {
        let name = |it: NodeId| self.name(it).to_owned();
        let account = Account {
            outcome,
            from: self.serving.as_ref().map(|it| name(it.node)),
            to: to.map(name),
            epoch: self.route.epoch.0,
            reasons,
            warnings: Vec::new(),
            phases: Vec::new(),
            held_ms: Millis::default(),
            total_ms: Millis::default(),
        };
        self.tell(Progress::Ended(account));
    }

    /// Goes on while the gate is open: the target comes close, and then the gate closes.
    pub(super) fn catch_up(&mut self, now: Time) {
        let Some(switch) = &self.switch else { return };
        if switch.stage != Stage::CatchUp {
            return;
        }
        let (to, began, deadline) = (switch.to, switch.began, switch.deadline);
        if let Err(reason) = self.target(to, began) {
            return self.take_back(now, reason);
        }
        match self.lag(began) {
            Some(lag) if lag <= LAG_MAX_BYTES => {}
            Some(lag) if now >= deadline => {
                let name = self.name(to);
                return self.take_back(now, format!("{name} is still {lag} bytes behind"));
            }
            None if now >= deadline => {
                let name = self.name(to);
                return self.take_back(now, format!("{name} does not answer"));
            }
            Some(_) | None => return,
        }
        self.next_stage(now, Stage::Drain);
        self.held_from = Some(now);
        if let Some(switch) = &mut self.switch {
            switch.closed_at = Some(now);
        }
        self.reason = Some(format!("a switchover to {} is under way", self.name(to)));
        self.publish(self.route.epoch, Gate::Draining);
        self.phase = Phase::Switching(Step::Draining { version: self.route.version });
    }

    /// Bytes that the target lacks, by reports asked for since `since`.
    fn lag(&self, since: Time) -> Option<u64> {
        let switch = self.switch.as_ref()?;
        let primary = self.member(switch.from)?.report_since(since)?;
        let target = self.member(switch.to)?.report_since(since)?;
        (primary.is_primary() && primary.replid == target.replid)
            .then(|| primary.offset.saturating_sub(target.offset))
    }

    /// Whether the target may still be promoted, as far as is known since `since`.
    fn target(&self, to: NodeId, since: Time) -> Result<(), String> {
        let Some(member) = self.member(to) else { return Ok(()) };
        let name = &member.spec.name;
        if !member.health().is_up() {
            return Err(format!("{name} does not answer any more"));
        }
        let Some(report) = member.report_since(since) else { return Ok(()) };
        let run_id = self.switch.as_ref().map(|it| it.run_id);
        if run_id.is_some_and(|it| it != report.run_id) {
            return Err(format!("{name} was restarted"));
        }
        self.against_report(to, report).into_iter().next().map_or(Ok(()), Err)
    }

    /// One look while the gate is closed and nothing is committed.
    pub(super) fn switching(&mut self, now: Time, step: Step) {
        let Some((from, to, began, deadline)) =
            self.switch.as_ref().map(|it| (it.from, it.to, it.began, it.deadline))
        else {
            self.phase = Phase::Suspecting;
            return;
        };
        self.recollect(now);
        if let Some(heir) = self.heir(now) {
            self.fail(format!("somebody else promoted {}", self.name(heir)));
            return self.follow(now, heir);
        }
        if let Some(reason) = self.trouble().or_else(|| self.replaced(now)) {
            return self.take_back(now, reason);
        }
        // What the process before it answered last may be lost, and it hands over nothing.
        if self.is_epoch_of_another(from) {
            let reason = format!("{} runs as another process now", self.name(from));
            return self.take_back(now, reason);
        }
        self.anchor();
        if let Err(reason) = self.target(to, began) {
            return self.take_back(now, reason);
        }
        if now >= deadline {
            let stage = self.switch.as_ref().map_or("", |it| it.stage.word());
            return self.take_back(now, format!("out of time in phase {stage}"));
        }
        match step {
            // Not while an earlier pause is being lifted: the two could change places.
            Step::Draining { version } if self.drained >= version && self.is_free(from) => {
                self.pause(now, from);
            }
            Step::Draining { .. } => {
                let closed_at = self.switch.as_ref().and_then(|it| it.closed_at);
                if closed_at.is_some_and(|it| now.since(it) >= DRAIN_MAX) {
                    let reason = format!("a command in flight takes longer than {DRAIN_MAX:?}");
                    self.take_back(now, reason);
                }
            }
            Step::Pausing => {}
            Step::Matching { since } => self.compare(now, since),
        }
    }

    pub(super) fn look_at_both(&mut self) {
        if let Some((from, to)) = self.switch.as_ref().map(|it| (it.from, it.to)) {
            self.act(Action::Probe(from));
            self.act(Action::Probe(to));
        }
    }

    /// Whether the target has it all.
    fn compare(&mut self, now: Time, since: Time) {
        if self.lag(since) != Some(0) {
            return self.look_at_both();
        }
        let Some(to) = self.switch.as_ref().map(|it| it.to) else { return };
        self.next_stage(now, Stage::Sever);
        self.sever(Goal::Switch(to));
    }

    /// Every worker has confirmed; goes on to the promotion, unless the target is gone.
    pub(super) fn commit_switch(&mut self, now: Time, to: NodeId, is_confirmed: bool) {
        let Some((began, deadline)) = self.switch.as_ref().map(|it| (it.began, it.deadline)) else {
            self.phase = Phase::Suspecting;
            return;
        };
        if let Err(reason) = self.target(to, began) {
            return self.take_back(now, reason);
        }
        if now >= deadline {
            return self.take_back(now, "a worker does not confirm the route".to_owned());
        }
        if is_confirmed {
            let offset = self.member(to).and_then(|it| it.report()).map_or(0, |it| it.offset);
            self.next_stage(now, Stage::Promote);
            self.begin_promotion(now, Ranked { node: to, offset, lag_bytes: 0 });
        }
    }

    /// The target was promoted: everybody is sent behind it at once. A ping of the old primary
    /// to its replicas in between would make their resynchronisation a full one.
    pub(super) fn repoint_all(&mut self, to: NodeId) {
        for node in self.everybody_else(to) {
            self.order_to_follow(node, to);
        }
    }

    /// Who has not been sent behind the target yet, because a probe saw it promoted at `since` or later,
    /// before its answer was here or in its place.
    pub(super) fn untold(&self, to: NodeId, since: Time) -> Vec<NodeId> {
        let from = self.switch.as_ref().and_then(|it| self.member(it.from));
        let is_told = from.is_some_and(|it| it.pending.is_some() || it.answered_at >= since);
        if is_told || !self.is_switch_to(to) { Vec::new() } else { self.everybody_else(to) }
    }

    /// The siblings first, and the old primary.
    fn everybody_else(&self, to: NodeId) -> Vec<NodeId> {
        let Some(from) = self.switch.as_ref().map(|it| it.from) else { return Vec::new() };
        let Some(served) = self.serving.as_ref().map(|it| it.anchor.replid) else {
            return Vec::new();
        };
        let siblings = self.nodes().filter(|(node, it)| {
            let follows = it.report().is_some_and(|it| it.replid == served && !it.is_primary());
            *node != to && *node != from && follows && it.pending.is_none() && it.health().is_up()
        });
        siblings.map(|it| it.0).chain([from]).collect()
    }

    /// Something went wrong before the promotion was ordered: all is as it was.
    pub(super) fn take_back(&mut self, now: Time, reason: String) {
        let Some(from) = self.switch.as_ref().map(|it| it.from) else { return };
        let is_closed = !matches!(self.route.gate, Gate::Open(_));
        self.fail(reason.clone());
        if !is_closed {
            return;
        }
        if self.is_well(now) {
            self.release(now);
        } else {
            self.hold(now, from, reason);
        }
    }

    /// Remembers why it comes to nothing.
    pub(super) fn fail(&mut self, reason: String) {
        if let Some(switch) = &mut self.switch {
            self.handed_over = false;
            switch.failed.get_or_insert(reason);
        }
    }

    /// The target did not become primary after all. What the old primary said before it was told
    /// to follow says nothing now.
    pub(super) fn doubt_old_primary(&mut self, now: Time, reason: &str) {
        if self.switch.is_some() {
            self.fail(reason.to_owned());
            self.doubt = Some(Doubt { since: now, hold_at: None });
        }
    }

    pub(super) fn next_stage(&mut self, now: Time, stage: Stage) {
        let Some(switch) = &mut self.switch else { return };
        let phase = PhaseAccount { phase: switch.stage, ms: Millis(now.since(switch.stage_from)) };
        (switch.stage, switch.stage_from) = (stage, now);
        switch.phases.push(phase.clone());
        self.tell(Progress::Phase(phase));
    }

    /// After every step: whether it is over, and what its asker and its old primary are to hear.
    pub(super) fn conclude(&mut self, now: Time) {
        self.unpause();
        let Some(switch) = self.switch.as_deref() else { return };
        let (to, from, deadline) = (switch.to, switch.from, switch.deadline);
        let (is_failed, stage, is_told) = (switch.failed.is_some(), switch.stage, switch.is_told);
        let serving = self.serving.as_ref().map(|it| it.node);
        match &self.phase {
            Phase::Steady if serving == Some(to) => {
                if stage != Stage::Repoint {
                    self.next_stage(now, Stage::Repoint);
                }
                let is_pending = |(node, it): (NodeId, &super::member::Member)| {
                    it.pending.is_some() && (node == from || !it.health().is_down())
                };
                if !self.nodes().any(is_pending) {
                    self.end_switch(now, Verdict::Done);
                }
            }
            Phase::Steady if serving == Some(from) && !is_failed => {}
            Phase::Switching(_) | Phase::Committing { goal: Goal::Switch(_), .. } => {}
            Phase::Promoting(_) if !is_told && now >= deadline + PAUSE_SLACK => {
                self.end_switch_early(now);
            }
            Phase::Promoting(_) => {}
            // It serves, and is in trouble already: that is another story.
            _ if serving == Some(to) => self.end_switch(now, Verdict::Done),
            Phase::Steady | Phase::Suspecting | Phase::Discovering | Phase::Committing { .. } => {
                let why = self.reason.clone().unwrap_or_else(|| "the group changed".to_owned());
                self.fail(why);
                self.end_switch(now, Verdict::RolledBack);
            }
        }
    }

    pub(super) fn is_free(&self, node: NodeId) -> bool {
        self.member(node).is_none_or(|it| it.pending.is_none())
    }

    fn end_switch_early(&mut self, now: Time) {
        let Some(switch) = self.switch.as_deref().cloned() else { return };
        let reason = format!(
            "{} does not confirm that it is primary; Segue goes on asking",
            self.name(switch.to)
        );
        self.report_switch(now, &switch, Verdict::Unfinished, vec![reason]);
        if let Some(switch) = &mut self.switch {
            switch.is_told = true;
        }
    }

    fn end_switch(&mut self, now: Time, outcome: Verdict) {
        let Some(mut switch) = self.switch.take() else { return };
        if outcome == Verdict::Done {
            let ms = Millis(now.since(switch.stage_from));
            let phase = PhaseAccount { phase: switch.stage, ms };
            switch.phases.push(phase.clone());
            self.tell(Progress::Phase(phase));
        }
        if !switch.is_told {
            let reasons = switch.failed.iter().cloned().collect();
            self.report_switch(now, &switch, outcome, reasons);
        }
    }

    fn report_switch(
        &mut self,
        now: Time,
        switch: &Switch,
        outcome: Verdict,
        reasons: Vec<String>,
    ) {
        let Switch { from, to, .. } = *switch;
        let held = self.switched_held.take().or_else(|| switch.closed_at.map(|it| now.since(it)));
        let total = now.since(switch.began);
        let account = Account {
            outcome,
            from: Some(self.name(from).to_owned()),
            to: Some(self.name(to).to_owned()),
            epoch: self.route.epoch.0,
            reasons: reasons.clone(),
            warnings: switch.warnings.clone(),
            phases: switch.phases.clone(),
            held_ms: Millis(held.unwrap_or_default()),
            total_ms: Millis(total),
        };
        self.note(Note::Switched { from, to, outcome, reason: reasons.into_iter().next() });
        self.tell(Progress::Ended(account));
    }

    /// Whether the promotion under way is a switchover's.
    pub(super) fn is_switch_to(&self, node: NodeId) -> bool {
        self.switch.as_ref().is_some_and(|it| it.to == node && it.failed.is_none())
    }
}
