//! Replicas are witnesses: is the primary dead, or merely out of *our* reach?
//!
//! | what the replicas say | then |
//! |---|---|
//! | one of them received something after we heard the primary last | hold; nobody is promoted |
//! | and has received nothing more for a second | hold; it is *asked*, see below |
//! | a link that was up is down | the primary is lost for others too: promote |
//! | the host takes connections and the process says nothing, or loads | it hangs: promote |
//! | links look up and are silent | nothing yet: they are *asked*, see below |
//! | nobody can be asked | `failover.without_witness` decides |
//!
//! A replica hears a primary that nobody writes to once in `repl-ping-replica-period`, ten
//! seconds. That is too long to wait and too rare to prove anything. So a silent replica is
//! told to connect to its primary anew (`CLIENT KILL TYPE master`): with a living primary it is
//! back in step within milliseconds, by a partial copy that moves no data, and testifies; with a
//! lost one its link stays down. A testimony is good for [`WORD_MAX`], then it is asked again.
//!
//! # Deliberately absent
//!
//! Majorities: one replica that hears the primary is enough to spare it.

use super::brain::Brain;
use super::event::{Note, Order, Outcome};
use super::member::Member;
use super::params::Witnessless;
use crate::pure::detect::{Cause, Health};
use crate::pure::time::Time;
use crate::pure::topology::{LinkState, NodeId, Report};
use std::time::Duration;

/// How long after its last byte a replica's word is good for. More than the ten seconds after
/// which a primary that has nothing to say says so.
const WORD_MAX: Duration = Duration::from_secs(12);

/// How long after its last byte a replica is believed without being asked. One that was busy when
/// the primary fell silent reads late what had been sent before, and proves nothing. Servers
/// tell that age in whole seconds, so this cannot be less than one.
const HEARSAY_MAX: Duration = Duration::from_secs(1);

/// How long a replica may take to connect anew. Measured: 3 to 4 ms on loopback.
const RECONNECT_MAX: Duration = Duration::from_millis(500);

/// How long nothing may have arrived before a replica is asked to connect anew.
const QUIET_MIN: Duration = Duration::from_millis(300);

/// How one replica's connection to the primary was put to the test.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    /// The order is on its way.
    Ordered,
    /// It was cut, at this moment: if it is up again, the primary lived then.
    Cut(Time),
    /// It would not be cut.
    Failed(Time),
}

impl Test {
    /// Whether what came of it still counts.
    fn holds(self, now: Time) -> bool {
        match self {
            Self::Ordered => true,
            Self::Cut(at) | Self::Failed(at) => now.since(at) < WORD_MAX,
        }
    }
}

/// What one replica has to say.
enum Word {
    Lost,
    Unclear {
        is_tested: bool,
    },
    Pending,
    /// It spoke for the primary, and is connecting anew: what comes of it is waited for, whatever
    /// others say.
    Asked,
}

impl Member {
    /// What it says while it is connecting anew.
    const fn asked(&self) -> Word {
        if self.has_testified { Word::Asked } else { Word::Pending }
    }
}

impl Brain {
    /// Whoever still receives from the primary says that it lives, and that the fault is ours.
    pub(super) fn witness(&self, now: Time, node: NodeId) -> Option<NodeId> {
        let primary = self.member(node)?;
        let lost_at = self.lost_at(primary);
        self.nodes()
            .find(|(other, it)| {
                *other != node
                    && (it.is_witness(primary, lost_at, WORD_MAX)
                        || self.came_back(now, *other, node))
            })
            .map(|(other, _)| other)
    }

    /// Bytes that were under way when the last answer left are no testimony.
    fn lost_at(&self, primary: &Member) -> Time {
        primary.detector.alive_at() + self.params.detect.interval.saturating_mul(3)
    }

    /// Whether a replica whose connection was cut is in step with the primary again.
    fn came_back(&self, now: Time, witness: NodeId, node: NodeId) -> bool {
        let (Some(witness), Some(primary)) = (self.member(witness), self.member(node)) else {
            return false;
        };
        let Some(test @ Test::Cut(at)) = witness.test else { return false };
        let link = witness.report_since(at).and_then(Report::link);
        test.holds(now)
            && link.is_some_and(|it| {
                matches!(it.state, LinkState::Up { .. }) && primary.is_at(&it.host, it.port)
            })
    }

    pub(super) fn spare(&mut self, now: Time, primary: NodeId, witness: NodeId) {
        if self.is_hearsay(now, primary, witness) {
            self.put_to_the_test(witness);
            if let Some(member) = self.member_mut(witness) {
                member.has_testified = true;
            }
        }
        if self.witness_told.is_none() {
            self.witness_told = Some(witness);
            self.note(Note::Witnessed { primary, witness });
        }
        let (primary, witness) = (self.name(primary), self.name(witness));
        self.reason = Some(format!(
            "{witness} still receives from {primary}: the fault lies between Segue and {primary}"
        ));
    }

    /// Whether all that speaks for the primary is what this replica received a while ago.
    fn is_hearsay(&self, now: Time, primary: NodeId, witness: NodeId) -> bool {
        let (Some(primary), Some(it)) = (self.member(primary), self.member(witness)) else {
            return false;
        };
        let lost_at = self.lost_at(primary);
        // Until then it may be nothing but the rounding of that age: no need to ask.
        now.since(lost_at) >= HEARSAY_MAX
            && !it.test.is_some_and(|it| it.holds(now))
            && !it.is_witness(primary, lost_at, HEARSAY_MAX)
            && it.is_drained(QUIET_MIN)
    }

    fn put_to_the_test(&mut self, witness: NodeId) {
        if let Some(member) = self.member_mut(witness) {
            member.test = Some(Test::Ordered);
        }
        self.order(Order::Reconnect { node: witness });
    }

    pub(super) fn forget_tests(&mut self) {
        for member in &mut self.members {
            (member.test, member.has_testified) = (None, false);
        }
    }

    /// Whether somebody who spoke for `node` is being asked.
    pub(super) fn is_being_asked(&self, now: Time, node: NodeId) -> bool {
        let since = self.member(node).map_or(now, |it| it.detector.alive_at());
        self.words(now, node, since).iter().any(|(_, it)| matches!(it, Word::Asked))
    }

    /// Whether others lost the primary as well; why not, if that is not known.
    pub(super) fn corroborate(&mut self, now: Time, node: NodeId) -> Result<(), String> {
        let Some(primary) = self.member(node) else { return Ok(()) };
        let (name, since) = (primary.spec.name.clone(), primary.detector.alive_at());
        let words = self.words(now, node, since);
        let asked = format!("{name} cannot be reached, and its replicas are asked about it");
        if words.iter().any(|(_, it)| matches!(it, Word::Asked)) {
            return Err(asked);
        }
        // Whoever takes connections for a process that says nothing, or says that it loads, is
        // within reach. Who refuses them may be a middleman.
        match primary.health() {
            Health::Down(Cause::Loading) => return Ok(()),
            Health::Down(Cause::Silent) if primary.detector.is_reached() => return Ok(()),
            Health::Down(Cause::Silent | Cause::Refused)
            | Health::Suspect(_)
            | Health::Up
            | Health::Unknown => {}
        }
        if words.iter().any(|(_, it)| matches!(it, Word::Lost)) {
            return Ok(());
        }
        let mut is_asked = false;
        for (witness, word) in &words {
            match word {
                Word::Unclear { is_tested: false } => {
                    self.put_to_the_test(*witness);
                    is_asked = true;
                }
                Word::Pending | Word::Asked => is_asked = true,
                Word::Lost | Word::Unclear { is_tested: true } => {}
            }
        }
        if is_asked {
            return Err(asked);
        }
        // With nobody to promote there is nothing to be careful about: the choice says why.
        let fresh = self.fresh_from(now).max(since);
        if !self.nodes().any(|(other, it)| other != node && it.report_since(fresh).is_some()) {
            return Ok(());
        }
        let patience = self.params.detect.down_after.saturating_mul(2);
        match self.params.without_witness {
            Witnessless::Promote if now.since(since) >= patience => Ok(()),
            Witnessless::Promote => {
                Err(format!("{name} cannot be reached, which may be Segue's own network"))
            }
            Witnessless::Wait => Err(format!(
                "{name} cannot be reached, no replica can say whether it lives, and \
                 failover.without_witness is wait"
            )),
        }
    }

    /// What each replica of the primary has to say, of those that speak.
    fn words(&self, now: Time, node: NodeId, since: Time) -> Vec<(NodeId, Word)> {
        let Some(primary) = self.member(node) else { return Vec::new() };
        let others = self.nodes().filter(|(other, _)| *other != node);
        others
            .filter_map(|(other, it)| {
                let link = it.report_since(since).and_then(Report::link)?;
                let is_ours = primary.is_at(&link.host, link.port);
                let test = it.test.filter(|it| it.holds(now));
                let word = match (link.state, test) {
                    (LinkState::Syncing, _) => return None,
                    (_, Some(Test::Ordered)) => it.asked(),
                    (_, Some(Test::Cut(at))) if now.since(at) < RECONNECT_MAX => it.asked(),
                    (LinkState::Down { .. } | LinkState::Never, Some(Test::Cut(at))) => {
                        // What it said before says nothing of how it went.
                        it.report_since(at + RECONNECT_MAX).map_or(Word::Pending, |_| Word::Lost)
                    }
                    (LinkState::Down { .. } | LinkState::Never, _) => Word::Lost,
                    // What it has received and not applied would be lost with its connection.
                    (LinkState::Up { .. }, None) if is_ours && !it.is_drained(QUIET_MIN) => {
                        Word::Pending
                    }
                    (LinkState::Up { .. }, test) if is_ours => {
                        Word::Unclear { is_tested: test.is_some() }
                    }
                    (LinkState::Up { .. }, _) => return None,
                };
                Some((other, word))
            })
            .collect()
    }

    pub(super) fn reconnect_answered(&mut self, now: Time, node: NodeId, outcome: &Outcome) {
        if let Some(member) = self.member_mut(node)
            && member.test.is_some()
        {
            member.test = Some(match outcome {
                Outcome::Done => Test::Cut(now),
                Outcome::Unknown | Outcome::Refused(_) | Outcome::NotSent(_) => Test::Failed(now),
            });
        }
        if let Outcome::Refused(reason) | Outcome::NotSent(reason) = outcome {
            let reason = format!("it is not asked about the primary ({reason})");
            self.note(Note::OrderFailed { node, reason, is_unknown: false });
        }
    }

    /// Start-up, and the primary is dead already: nobody says that it is one, every node but one
    /// answers, and all of them are replicas of that one, of one history, and have lost it. Then
    /// it was the primary; what is known of it is what they have.
    pub(super) fn orphans(&self, now: Time) -> Option<(NodeId, Report)> {
        let fresh = self.fresh_from(now);
        let mut heard = self.nodes().filter(|(_, it)| !it.health().is_down());
        let first = heard.next()?;
        let link = first.1.report_since(fresh)?.link()?;
        let (lost, primary) = self.nodes().find(|(_, it)| it.is_at(&link.host, link.port))?;
        if !matches!(primary.health(), Health::Down(_)) {
            return None;
        }
        let mut best: Option<&Report> = None;
        for (node, member) in self.nodes().filter(|it| it.0 != lost) {
            let report = member.report_since(fresh).filter(|_| node != lost)?;
            let link = report.link().filter(|it| primary.is_at(&it.host, it.port))?;
            let is_orphan = matches!(link.state, LinkState::Down { .. });
            let is_kin = best.is_none_or(|it| it.replid == report.replid);
            if !is_orphan || !is_kin || report.loading || report.offset <= 1 {
                return None;
            }
            if best.is_none_or(|it| it.offset < report.offset) {
                best = Some(report);
            }
        }
        best.map(|it| (lost, it.clone()))
    }
}

#[cfg(test)]
#[path = "witness_test.rs"]
mod tests;
