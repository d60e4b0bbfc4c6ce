//! The one state of the control plane: what it is, how events reach it, and the publication
//! that no other code may do. The phases have files of their own: `discover`, `serve` (steady
//! and suspecting), `lost` (commit and promotion), `rejoin`.

use super::event::{Action, Event, Note, Order, Outcome};
use super::forced::Forced;
use super::member::Member;
use super::params::Params;
use super::probed::{NodeSpec, Probed};
use super::several::Turn;
use super::standstill::Standstill;
use super::switchover::{Step, Switch};
use crate::pure::detect;
use crate::pure::time::Time;
use crate::pure::topology::snapshot::FailoverAccount;
use crate::pure::topology::{
    Acknowledged, Epoch, Lineage, NodeId, ReplId, Report, Route, RunId, Signal, SignalKind,
};
use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

/// How late the own timer may be before the delay counts as a stall.
pub(super) const STALL_MIN: Duration = Duration::from_millis(100);

/// What is going on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Discovering,
    Steady,
    Suspecting,
    /// Waiting until every worker has confirmed `version`.
    Committing {
        version: u64,
        goal: Goal,
    },
    Promoting(Promotion),
    /// A switchover whose gate is closed, and which has changed nothing yet.
    Switching(Step),
}

/// What a commit is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Goal {
    /// Promote the best replica.
    Promote,
    /// Follow a node that is a primary already, if it still ought to be followed.
    Follow(NodeId),
    /// Follow a node that is a primary already, whatever it has, as an operator asked for.
    Obey(NodeId),
    /// Promote this one, which has everything, as an operator asked for.
    Switch(NodeId),
    /// Promote this one, whatever it has, as an operator asked for.
    Adopt(NodeId),
}

/// In which way the primary is lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Loss {
    /// It gives no sign of life.
    Down,
    /// It came back without the data that replicas hold.
    Amnesia,
    /// It came back as a replica of a node that is none.
    Deposed,
    /// An operator says so.
    Forced,
}

/// A promotion that has been ordered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Promotion {
    pub(super) node: NodeId,
    /// The process that was chosen; another one under the same name is another candidate.
    pub(super) run_id: RunId,
    /// How much of which history it had then.
    pub(super) chosen_for: (ReplId, u64),
    pub(super) since: Time,
    pub(super) attempts: u32,
    /// One of the attempts was carried out, or had no answer and may have been; no probe tells yet.
    pub(super) is_uncertain: bool,
    /// When to ask again, if no order is under way.
    pub(super) again_at: Option<Time>,
}

/// Who serves, or served last, and what it said then.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) node: NodeId,
    /// Its last good report *as primary, with its data*: what candidates are compared with.
    pub(super) anchor: Report,
    /// The process that came back without the data that replicas still hold.
    pub(super) amnesia: Option<RunId>,
}

/// A signal that waits for the answer to a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    pub(super) since: Time,
    /// When to hold, if nothing was heard until then.
    pub(super) hold_at: Option<Time>,
}

/// All deciding of the control plane; see the module's header.
#[derive(Debug)]
pub struct Brain {
    pub(super) params: Params,
    pub(super) group: String,
    pub(super) members: Vec<Member>,
    pub(super) lineage: Lineage,
    pub(super) route: Route,
    pub(super) confirmed: u64,
    /// The version for which no worker has anything in flight.
    pub(super) drained: u64,
    pub(super) switch: Option<Box<Switch>>,
    pub(super) forced: Option<Box<Forced>>,
    /// Commands are held because an operator wants it.
    pub(super) standstill: Option<Standstill>,
    /// The epoch in force began with a switchover that went well so far.
    pub(super) handed_over: bool,
    /// How long commands were held for the switchover that just opened the gate.
    pub(super) switched_held: Option<Duration>,
    /// Whose pause is to be lifted.
    pub(super) paused: Option<NodeId>,
    pub(super) phase: Phase,
    pub(super) serving: Option<Serving>,
    pub(super) doubt: Option<Doubt>,
    /// When to change over to a node that somebody else promoted, if its predecessor lives.
    pub(super) follow_at: Option<Time>,
    /// Holds that a signal caused and a probe found groundless, not long ago.
    pub(super) flaps: u32,
    pub(super) flaps_from: Time,
    pub(super) held_from: Option<Time>,
    /// When the primary was found lost, while that is so.
    pub(super) lost_from: Option<Time>,
    pub(super) is_overdue: bool,
    /// The witness of which was told last.
    pub(super) witness_told: Option<NodeId>,
    /// When it may promote, in the epoch in force.
    pub(super) turn: Option<Turn>,
    /// Why commands are held.
    pub(super) reason: Option<String>,
    /// What was said of it already, and when.
    pub(super) reasons_told: Vec<(String, Time)>,
    pub(super) rejected: Vec<(NodeId, super::Reject)>,
    pub(super) strangers: Vec<String>,
    /// What workers said that they have told clients is safe.
    pub(super) acked: Option<Acknowledged>,
    /// Primaries of unrelated histories, at start-up.
    pub(super) conflict: Vec<NodeId>,
    pub(super) last_failover: Option<FailoverAccount>,
    /// Who was ordered to become primary in which epoch, and for which process it was opened.
    pub(super) candidates: BTreeMap<Epoch, NodeId>,
    pub(super) opened: BTreeMap<Epoch, (NodeId, RunId)>,
    /// Answers to questions asked before this count only if they are good.
    pub(super) awake_from: Time,
    beat_at: Time,
    stepped_at: Time,
    expected_at: Option<Time>,
    pub(super) actions: Vec<Action>,
}

impl Brain {
    /// A brain that knows the nodes and nothing about them.
    pub fn new(params: Params, group: String, nodes: Vec<NodeSpec>, now: Time) -> Self {
        let members = nodes.into_iter().map(|spec| Member::new(spec, params.detect, now)).collect();
        Self {
            params,
            group,
            members,
            lineage: Lineage::default(),
            route: Route::START,
            confirmed: 0,
            drained: 0,
            switch: None,
            forced: None,
            standstill: None,
            handed_over: false,
            switched_held: None,
            paused: None,
            phase: Phase::Discovering,
            serving: None,
            doubt: None,
            follow_at: None,
            flaps: 0,
            flaps_from: now,
            held_from: Some(now),
            lost_from: None,
            is_overdue: false,
            witness_told: None,
            turn: None,
            reason: None,
            reasons_told: Vec::new(),
            rejected: Vec::new(),
            strangers: Vec::new(),
            acked: None,
            conflict: Vec::new(),
            last_failover: None,
            candidates: BTreeMap::new(),
            opened: BTreeMap::new(),
            awake_from: now,
            beat_at: now,
            stepped_at: now,
            expected_at: None,
            actions: Vec::new(),
        }
    }

    /// The route in force.
    pub const fn route(&self) -> Route {
        self.route
    }

    /// What is known of a node's names; `None` for an id that was never given out.
    pub fn spec(&self, node: NodeId) -> Option<&NodeSpec> {
        self.members.get(usize::from(node.0)).map(|it| &it.spec)
    }

    /// Takes one event and returns what to do about it, in order.
    ///
    /// Total: late, early and repeated events are answered with nothing that harms.
    ///
    /// # Panics
    ///
    /// If an invariant of the module's header is broken. The process must die of it: a proxy
    /// that has stopped routes nobody to the wrong primary.
    pub fn step(&mut self, now: Time, event: Event) -> Vec<Action> {
        let before = self.route;
        self.notice_stall(now);
        self.end_standstill(now);
        match event {
            Event::Probed(probed) => self.probed(now, probed),
            Event::Signalled(signal) => self.signalled(now, signal),
            Event::Confirmed { version } => self.confirmed = self.confirmed.max(version),
            Event::Drained { version } => self.drained = self.drained.max(version),
            Event::Asked(ask) => self.asked(now, &ask),
            Event::AskedToAdopt(ask) => self.asked_to_adopt(now, &ask),
            Event::Forced(ask) => self.forced(now, &ask),
            Event::Hold(span) => self.stand_still(now, span),
            Event::Release => self.move_on(),
            Event::Ordered { order, outcome } => self.ordered(now, &order, outcome),
            Event::Fenced { node, fencing, outcome } => self.fenced(node, fencing, outcome),
            Event::Tick => {}
        }
        self.tick(now);
        self.decide(now);
        self.conclude(now);
        self.tend_fences(now);
        self.conclude_forced(now);
        assert!(self.route.epoch >= before.epoch, "the epoch went back");
        self.stepped_at = now;
        self.beat_at = now + self.params.detect.interval;
        self.expected_at = Some(self.deadline());
        mem::take(&mut self.actions)
    }

    /// When to call [`step`](Self::step) with [`Event::Tick`]. Never later than an interval
    /// from the last step, so that a stall of this process is noticed.
    pub fn deadline(&self) -> Time {
        let detectors = self.members.iter().filter_map(|it| it.detector.deadline());
        let doubt = self.doubt.and_then(|it| it.hold_at);
        let again = match &self.phase {
            Phase::Promoting(promotion) => promotion.again_at,
            Phase::Discovering
            | Phase::Steady
            | Phase::Suspecting
            | Phase::Committing { .. }
            | Phase::Switching(_) => None,
        };
        // What is due already had its chance in the last step; it must not spin the driver.
        let due = detectors
            .chain(doubt)
            .chain(again)
            .chain(self.follow_at)
            .chain(self.turn.map(|it| it.at))
            .chain(self.standstill.map(|it| it.until))
            .filter(|it| *it > self.stepped_at);
        due.fold(self.beat_at, Time::min)
    }

    /// The next event should have come at `expected_at`. If it comes much later, this process
    /// did not run; whatever did not arrive meanwhile is nobody's fault.
    fn notice_stall(&mut self, now: Time) {
        let Some(expected) = self.expected_at else { return };
        let stall = now.since(expected);
        if stall < STALL_MIN.max(self.params.detect.interval) {
            return;
        }
        // It may have begun right after the last step: no verdict rests on time that may be slept.
        let unseen = now.since(self.stepped_at);
        for member in &mut self.members {
            member.shift(unseen);
        }
        self.lost_from = self.lost_from.map(|it| it + unseen);
        self.awake_from = now;
        self.note(Note::Stalled { stall });
        // Slept through a failover's length: somebody else may have replaced the primary.
        if stall >= self.params.detect.down_after
            && let (Some(serving), Phase::Steady) = (&self.serving, &self.phase)
        {
            let node = serving.node;
            self.doubt = Some(Doubt { since: now, hold_at: None });
            self.hold(now, node, format!("Segue itself stood still for {stall:.1?}"));
        }
    }

    fn probed(&mut self, now: Time, probed: Probed) {
        let node = probed.node;
        let awake_from = self.awake_from;
        let Some(member) = self.members.get_mut(usize::from(node.0)) else { return };
        let Some(answer) = probed.finding.answer() else { return };
        let is_good = matches!(answer, detect::Answer::Good | detect::Answer::Impaired);
        if !is_good && probed.asked < awake_from {
            return;
        }
        let before = member.health();
        let (run_before, was_impaired) =
            (member.report().map(|it| it.run_id), member.impaired.clone());
        let is_stranger = probed.is_stranger();
        let was_copying = member.has_begun_to_copy();
        member.detector.observe(now, answer);
        member.learn(now, probed);
        member.note_copy(was_copying, self.acked);
        let (after, impaired) = (member.health(), member.impaired.clone());
        let restarted =
            member.report().is_some_and(|it| run_before.is_some_and(|run| run != it.run_id));
        if restarted {
            member.born_at = now;
        }
        if let Some(report) = member.report().cloned() {
            self.lineage.learn(&report);
            self.claim_family(node, &report);
        }
        self.health_changed(node, before, after);
        if is_stranger {
            self.doubt_process(now, node);
        }
        if restarted {
            self.note(Note::Restarted { node });
        }
        if let Some(error) = impaired.filter(|it| was_impaired.as_ref() != Some(it)) {
            self.note(Note::Impaired { node, error });
        }
    }

    /// Somebody at the primary's address answers, on a connection that was just made, and does
    /// not say who it is: it may be another process, which has nothing.
    fn doubt_process(&mut self, now: Time, node: NodeId) {
        if self.route.primary().is_some_and(|it| it.node == node) && self.doubt.is_none() {
            self.doubt = Some(Doubt { since: now, hold_at: Some(now) });
        }
    }

    fn tick(&mut self, now: Time) {
        for index in 0..self.members.len() {
            let Some(member) = self.members.get_mut(index) else { continue };
            let before = member.health();
            member.detector.tick(now);
            let after = member.health();
            self.health_changed(node_at(index), before, after);
        }
    }

    fn health_changed(&mut self, node: NodeId, from: detect::Health, to: detect::Health) {
        if from != to {
            self.note(Note::HealthChanged { node, from, to });
        }
    }

    fn signalled(&mut self, now: Time, signal: Signal) {
        let Signal { epoch, node, kind } = signal;
        let is_current = epoch == self.route.epoch
            && self.route.primary().is_some_and(|primary| primary.node == node);
        if !is_current {
            return;
        }
        let is_first = self.doubt.is_none();
        // A lost connection proves little (an idle time-out, CLIENT KILL), and a probe answers
        // within a millisecond: only if it does not, everybody waits. The other kinds say that
        // the next command would fail as well; unless they were groundless again and again.
        let is_patient = match kind {
            SignalKind::Lost => true,
            SignalKind::Unreachable | SignalKind::NotPrimary => self.is_flapping(now),
        };
        let doubt = self
            .doubt
            .get_or_insert(Doubt { since: now, hold_at: Some(now + super::serve::SIGNAL_GRACE) });
        if !is_patient {
            doubt.hold_at = Some(now);
        }
        if is_first {
            self.act(Action::Probe(node));
        }
    }

    fn ordered(&mut self, now: Time, order: &Order, outcome: Outcome) {
        let node = order.node();
        let Some(member) = self.members.get_mut(usize::from(node.0)) else { return };
        if member.pending.as_ref().is_none_or(|it| it.order != *order) {
            return;
        }
        member.pending = None;
        let is_done = outcome == Outcome::Done;
        match order {
            Order::Promote { .. } => {
                let is_first = self.is_first_attempt();
                self.promotion_answered(now, node, outcome);
                if is_done && is_first && self.is_switch_to(node) {
                    self.repoint_all(node);
                }
            }
            Order::Follow { .. } => {
                self.follow_answered(now, node, outcome);
                if is_done {
                    self.unpause_follower(node);
                }
            }
            Order::Pause { .. } => self.pause_answered(now, node, outcome),
            Order::Unpause { .. } => self.unpause_answered(node),
            Order::Reconnect { .. } => self.reconnect_answered(now, node, &outcome),
        }
        // What it is now is what counts.
        self.act(Action::Probe(node));
    }

    /// Looks at everything that is known and moves on as far as that allows.
    fn decide(&mut self, now: Time) {
        // Each phase may lead to the next; a switchover has the longest way.
        for _ in 0..6 {
            let before = (self.phase.clone(), self.route.version);
            match self.phase.clone() {
                Phase::Discovering => self.discover(now),
                Phase::Steady => self.watch(now),
                Phase::Suspecting => self.suspect(now),
                Phase::Committing { version, goal } => self.commit(now, version, goal),
                Phase::Promoting(promotion) => self.promote(now, promotion),
                Phase::Switching(step) => self.switching(now, step),
            }
            if before == (self.phase.clone(), self.route.version) {
                break;
            }
        }
    }

    pub(super) fn member(&self, node: NodeId) -> Option<&Member> {
        self.members.get(usize::from(node.0))
    }

    pub(super) fn member_mut(&mut self, node: NodeId) -> Option<&mut Member> {
        self.members.get_mut(usize::from(node.0))
    }

    pub(super) fn name(&self, node: NodeId) -> &str {
        self.member(node).map_or("an unknown node", |it| it.spec.name.as_str())
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.members.iter().enumerate().map(|(index, member)| (node_at(index), member))
    }

    pub(super) fn act(&mut self, action: Action) {
        if !self.actions.contains(&action) {
            self.actions.push(action);
        }
    }

    pub(super) fn note(&mut self, note: Note) {
        self.actions.push(Action::Note(note));
    }

    /// Reports older than this say nothing about now.
    pub(super) fn fresh_from(&self, now: Time) -> Time {
        let detect::Params { interval, timeout, .. } = self.params.detect;
        let age_max = interval.saturating_mul(3).saturating_add(timeout);
        Time::from_start(now.since_start().saturating_sub(age_max)).max(self.awake_from)
    }
}

pub(super) fn node_at(index: usize) -> NodeId {
    NodeId(u16::try_from(index).unwrap_or(u16::MAX))
}
