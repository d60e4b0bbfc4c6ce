//! Steady and suspecting: is the primary in order, and if not, may commands go on?
//!
//! What is sent into a dying primary can only become uncertain. So the gate closes with the
//! first hard sign, long before a verdict, and opens again when the primary answers.

use super::brain::{Brain, Goal, Loss, Phase};
use super::event::Note;
use super::member::Member;
use super::several::disputed_reason;
use crate::pure::detect::Health;
use crate::pure::time::Time;
use crate::pure::topology::{Gate, Kinship, Link, LinkState, NodeId, Report};
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
    fn outranking(&self, now: Time, ours: &Report) -> Option<NodeId> {
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
                            && other.in_step.is_some_and(|it| it.1 == report.replid)
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
        if let Some(node) = self.disputed(now) {
            return Some(disputed_reason(self.name(node)));
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
    fn next_heir(&self, now: Time) -> Option<NodeId> {
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
    fn can_be_saved_from(&self, heir: NodeId, theirs: &Report) -> bool {
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

#[cfg(test)]
#[path = "heir_test.rs"]
mod tests;
