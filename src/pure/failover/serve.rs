//! Steady and suspecting: is the primary in order, and if not, may commands go on?
//!
//! What is sent into a dying primary can only become uncertain. So the gate closes with the
//! first hard sign, long before a verdict, and opens again when the primary answers.

use super::brain::{Brain, Goal, Loss, Phase};
use super::event::Note;
use super::member::Member;
use crate::pure::detect::Health;
use crate::pure::time::Time;
use crate::pure::topology::{Gate, NodeId, Report};
use std::time::Duration;

/// How long a probe may take to refute a lost connection before everybody waits: many times
/// what it takes on a healthy network, little enough to be no hole in a failover.
pub(super) const SIGNAL_GRACE: Duration = Duration::from_millis(20);

/// How long a demoted primary may take to answer what was sent to it before the gate closed: many
/// times a round trip.
const FOLLOW_GRACE: Duration = Duration::from_millis(30);

/// So many groundless holds within [`FLAPS_WINDOW`] are an odd connection's, not the node's:
/// until the window is over, signals make nobody wait before a probe had its time.
const FLAPS_MAX: u32 = 5;
const FLAPS_WINDOW: Duration = Duration::from_secs(1);

impl Brain {
    /// One look at a group in order.
    pub(super) fn watch(&mut self, now: Time) {
        let Some(node) = self.serving.as_ref().map(|it| it.node) else { return };
        if let Some(heir) = self.heir(now) {
            return self.follow(now, heir);
        }
        self.recollect(now);
        if let Some(reason) = self.trouble().or_else(|| self.replaced(now)) {
            return self.hold(now, node, reason);
        }
        if self.is_epoch_of_another(node) {
            let reason = format!("{} runs as another process now", self.name(node));
            return self.hold(now, node, reason);
        }
        self.anchor();
        if let Some(doubt) = self.doubt {
            if self.is_answered(node) {
                // Also with an open gate: who sent the signal waits for a newer route.
                self.open(node, self.route.epoch);
            } else if doubt.hold_at.is_some_and(|it| it <= now) {
                let name = self.name(node);
                return self.hold(now, node, format!("connections to {name} fail"));
            }
        }
        self.reconcile(now);
        self.catch_up(now);
    }

    /// Why commands must not go to the primary, judging by probes alone.
    pub(super) fn trouble(&self) -> Option<String> {
        let serving = self.serving.as_ref()?;
        let member = self.member(serving.node)?;
        let name = &member.spec.name;
        match member.health() {
            Health::Up => {}
            Health::Unknown => return Some(format!("{name} has not answered yet")),
            Health::Suspect(cause) | Health::Down(cause) => return Some(format!("{name} {cause}")),
        }
        if serving.amnesia.is_some() {
            return Some(format!("{name} came back without its data"));
        }
        let Some(report) = member.report() else {
            return Some(format!("{name} has not said what it is"));
        };
        if report.loading {
            return Some(format!("{name} has not said what it has loaded"));
        }
        let Some(link) = report.link() else {
            return self.unproven(report).or_else(|| self.standstill_reason());
        };
        Some(format!("{name} says that it is a replica of {}:{}", link.host, link.port))
    }

    /// Why the primary that runs as another process now must not serve in a guarded group.
    fn unproven(&self, report: &Report) -> Option<String> {
        let serving = self.serving.as_ref().filter(|it| it.anchor.run_id != report.run_id)?;
        self.may_lack(serving.node, report, &serving.anchor)
    }

    /// Whether a doubt about `node` has been answered by a sign of life to a question that was
    /// asked after it arose.
    fn is_answered(&self, node: NodeId) -> bool {
        let Some(doubt) = self.doubt else { return true };
        self.member(node).is_some_and(|it| it.alive_asked >= doubt.since)
    }

    /// Whether the primary may serve (again).
    pub(super) fn is_well(&self, now: Time) -> bool {
        self.seems_well() && self.replaced(now).is_none()
    }

    /// The same, by what it says itself.
    pub(super) fn seems_well(&self) -> bool {
        let Some(serving) = &self.serving else { return false };
        self.trouble().is_none() && self.is_answered(serving.node) && self.has_looked_round()
    }

    /// Whether everybody who is up has spoken since this process woke up: the primary's own word
    /// does not say that nobody else was promoted meanwhile. Whoever stays silent is suspect soon,
    /// and no longer waited for.
    pub(super) fn has_looked_round(&self) -> bool {
        let awake_from = self.awake_from;
        self.members
            .iter()
            .filter(|it| it.health().is_up())
            .all(|it| it.report_since(awake_from).is_some() || it.impaired.is_some())
    }

    /// Remembers the primary as it is now: what candidates will be compared with.
    pub(super) fn anchor(&mut self) {
        let Some(node) = self.serving.as_ref().map(|it| it.node) else { return };
        let Some(report) = self.member(node).and_then(|it| it.report().cloned()) else { return };
        if let Some(serving) = &mut self.serving
            && report.is_primary()
            && !report.loading
        {
            serving.anchor = report;
        }
    }

    /// Remembers how far the primary's own process has come meanwhile, though it is not trusted
    /// yet: others may write to it, and whoever takes over is compared with the last that it said.
    fn advance(&mut self) {
        let Some(serving) = &self.serving else { return };
        let Some(report) = self.member(serving.node).and_then(|it| it.report()) else { return };
        let (anchor, report) = (&serving.anchor, report);
        let is_same = (report.run_id, report.replid) == (anchor.run_id, anchor.replid);
        if is_same && report.offset > anchor.offset {
            self.anchor();
        }
    }

    /// One look while the gate is held in doubt of the primary.
    pub(super) fn suspect(&mut self, now: Time) {
        self.advance();
        if let Some(heir) = self.heir(now) {
            return self.follow(now, heir);
        }
        self.recollect(now);
        if self.is_forcing() {
            return self.force(now);
        }
        if let Some(heir) = self.next_heir(now) {
            return self.follow(now, heir);
        }
        if self.seems_well() {
            return match self.replaced(now) {
                Some(reason) => self.reason = Some(reason),
                None => self.release(now),
            };
        }
        let Some(serving) = &self.serving else { return };
        let Some(primary) = self.member(serving.node) else { return };
        let is_down = primary.health().is_down() && !primary.detector.is_recovering();
        if serving.amnesia.is_some() {
            self.lose(now, Loss::Amnesia);
        } else if is_down {
            self.lose(now, Loss::Down);
        } else if self.is_deposed(now) {
            self.lose(now, Loss::Deposed);
        } else if let Some(leader) = self.led_by(now)
            && let Some(witness) = self.witness(now, leader)
        {
            self.spare(now, leader, witness);
        } else if let Some(reason) = primary.report().and_then(|it| self.unproven(it)) {
            self.wait(now, reason);
        }
    }

    /// Whether the primary says that it is a replica of a node of this group that is none: as
    /// one does that is restarted with an old `replicaof`. Nobody would ever be primary again.
    ///
    /// Somebody may be changing roles by hand, so this takes its time; and what follows a node
    /// that is not of this group is somebody else's business. So is a group that has a primary
    /// which only we do not reach.
    fn is_deposed(&self, now: Time) -> bool {
        let held_for = self.held_from.map_or(Duration::ZERO, |it| now.since(it));
        let Some(member) = self.serving.as_ref().and_then(|it| self.member(it.node)) else {
            return false;
        };
        let Some(report) = member.report_since(self.fresh_from(now)) else { return false };
        let Some(link) = report.link() else { return false };
        let own = report.run_id;
        // It would copy that node next, and its replicas would copy it: no time is left.
        let saves = self.serving.as_ref().is_some_and(|it| it.anchor.run_id != own)
            && self.nodes().any(|(node, it)| {
                it.is_at(&link.host, link.port)
                    && it.report().is_some_and(|theirs| {
                        theirs.is_primary() && self.can_be_saved_from(node, theirs)
                    })
            });
        let is_leaderless = || {
            let fresh = self.fresh_from(now);
            let claims = |it: &Member| {
                !it.health().is_up() && it.answer_since(fresh).is_some_and(Report::is_primary)
            };
            held_for >= self.params.detect.down_after
                && !self.members.iter().any(claims)
                && self.led_by(now).is_none()
        };
        (saves || is_leaderless()) && self.members.iter().any(|it| it.is_at(&link.host, link.port))
    }

    /// Where our primary is a replica now: a node that only we do not reach, since others receive from
    /// it, or are asked whether they do.
    fn led_by(&self, now: Time) -> Option<NodeId> {
        let own = self.serving.as_ref().and_then(|it| self.member(it.node))?;
        own.report_since(self.fresh_from(now))?.link()?;
        let mut away = self.nodes().filter(|(_, it)| !it.health().is_up()).map(|it| it.0);
        away.find(|it| self.witness(now, *it).is_some() || self.is_being_asked(now, *it))
    }

    /// Lets commands flow to the primary again; nothing has changed but the time. If it was
    /// restarted meanwhile, in a new epoch: whatever the dead process was sent is given up.
    pub(super) fn release(&mut self, now: Time) {
        let Some(node) = self.serving.as_ref().map(|it| it.node) else { return };
        let held = self.held_from.map_or(Duration::ZERO, |it| now.since(it));
        if self.doubt.is_some() {
            self.count_flap(now);
        }
        self.anchor();
        let was_lost = self.lost_from.is_some();
        let epoch = self.epoch_for(node);
        if was_lost {
            self.account(Some(node), Some(node), held, "recovered");
        }
        self.open(node, epoch);
        self.note(Note::Released { primary: node, epoch, held, was_lost });
    }

    fn count_flap(&mut self, now: Time) {
        if now.since(self.flaps_from) > FLAPS_WINDOW {
            self.flaps_from = now;
            self.flaps = 0;
        }
        self.flaps = self.flaps.saturating_add(1);
    }

    pub(super) fn is_flapping(&self, now: Time) -> bool {
        self.flaps >= FLAPS_MAX && now.since(self.flaps_from) <= FLAPS_WINDOW
    }

    /// Changes over to a node that is a primary already.
    pub(super) fn follow(&mut self, now: Time, heir: NodeId) {
        if self.is_severed() {
            return self.adopt(now, heir, true);
        }
        // A primary that was demoted behind our back lives, and answers what was sent to it: with a
        // proof that it ran nothing. Severed at once, those writes would be uncertain.
        if let Some(old) = self.demoted_while_serving()
            && self.follow_at.is_none()
        {
            if matches!(self.route.gate, Gate::Open(_)) {
                let name = self.name(heir).to_owned();
                self.hold(now, old, format!("{name} was promoted by somebody else"));
            }
            self.follow_at = Some(now + FOLLOW_GRACE);
            return;
        }
        self.held_from.get_or_insert(now);
        if self.follow_at.is_some_and(|it| it > now) {
            return;
        }
        self.sever(Goal::Follow(heir));
    }

    /// The node that served in the epoch in force, if it is up: whatever it was sent may still be
    /// answered, also if a signal has closed the gate meanwhile.
    fn demoted_while_serving(&self) -> Option<NodeId> {
        let old = self.serving.as_ref()?.node;
        let served = self.opened.contains_key(&self.route.epoch) && !self.is_epoch_of_another(old);
        (served && self.member(old)?.health().is_up()).then_some(old)
    }

    /// The epoch in which `node` may serve: the one in force, unless it is another one's.
    fn epoch_for(&self, node: NodeId) -> crate::pure::topology::Epoch {
        let epoch = self.route.epoch;
        if self.is_epoch_of_another(node) { epoch.next() } else { epoch }
    }

    /// Whether commands are forwarded.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.route.gate, Gate::Open(_)) && self.phase == Phase::Steady
    }
}
