//! How long each step of a failover took, read from the notes that the brain makes anyway.
//!
//! Deliberately absent: switchovers, whose account has its own phases.

use crate::pure::failover::Note;
use crate::pure::time::Time;
use crate::pure::topology::NodeId;
use crate::telemetry::metrics::FailoverPhase;
use std::collections::BTreeMap;
use std::time::Duration;

/// The step that is going on.
#[derive(Debug, Default)]
pub(super) struct Phases {
    since: Option<(FailoverPhase, Time)>,
    /// Nodes that were told whom to follow.
    told: BTreeMap<NodeId, Time>,
    is_planned: bool,
}

impl Phases {
    /// What `note` ends, and how long that took.
    pub(super) fn note(&mut self, now: Time, note: &Note) -> Option<(FailoverPhase, Duration)> {
        use FailoverPhase::{Commit, Detect, Promote, Publish, Repoint, Select};
        #[expect(clippy::wildcard_enum_match_arm, reason = "most notes are no step")]
        match note {
            Note::Switching { .. } => {
                self.is_planned = true;
                self.since = None;
                None
            }
            Note::Switched { .. } => {
                self.is_planned = false;
                None
            }
            Note::Held { .. } if self.since.is_none() => {
                self.begin(now, Detect);
                None
            }
            Note::PrimaryLost { .. } => self.turn(now, &[Detect], Select),
            Note::Committed { .. } => self.turn(now, &[Select, Detect], Commit),
            Note::Promoting { .. } => self.turn(now, &[Commit, Promote], Promote),
            Note::FailedOver { .. } => self.turn(now, &[Promote, Commit], Publish),
            Note::Released { .. } => {
                self.since = None;
                None
            }
            Note::Demoting { node, .. } | Note::Repointing { node, .. } => {
                self.told.insert(*node, now);
                None
            }
            Note::Rejoined { node } => {
                self.told.remove(node).map(|from| (Repoint, now.since(from)))
            }
            _ => None,
        }
    }

    /// Every worker has the new route.
    pub(super) fn published(&mut self, now: Time) -> Option<(FailoverPhase, Duration)> {
        let (phase, from) = self.since?;
        (phase == FailoverPhase::Publish).then(|| {
            self.since = None;
            (phase, now.since(from))
        })
    }

    fn begin(&mut self, now: Time, phase: FailoverPhase) {
        if !self.is_planned {
            self.since = Some((phase, now));
        }
    }

    /// Ends the step under way, if it is one of `from`, and begins another.
    fn turn(
        &mut self,
        now: Time,
        from: &[FailoverPhase],
        to: FailoverPhase,
    ) -> Option<(FailoverPhase, Duration)> {
        let ended = self.since.filter(|(phase, _)| from.contains(phase));
        self.begin(now, to);
        ended.map(|(phase, began)| (phase, now.since(began)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::topology::Epoch;

    #[test]
    fn each_step_is_told_once_with_its_time() {
        let (a, b, epoch) = (NodeId(0), NodeId(1), Epoch(2));
        let reason = String::new;
        let held = Duration::ZERO;
        let (followed, planned) = (false, false);
        let story = [
            (0, Note::Held { primary: a, reason: reason() }, None),
            (10, Note::PrimaryLost { primary: a, reason: reason() }, Some("detect")),
            (30, Note::Committed { epoch }, Some("select")),
            (60, Note::Promoting { node: b, epoch, offset: 1, lag_bytes: 0 }, Some("commit")),
            (
                100,
                Note::FailedOver { from: a, to: b, epoch, held, followed, planned },
                Some("promote"),
            ),
            (160, Note::Repointing { node: a, primary: b }, None),
            (220, Note::Rejoined { node: a }, Some("repoint")),
        ];
        let mut phases = Phases::default();
        let mut told = Vec::new();
        for (at, note, expected) in story {
            let ended = phases.note(Time::from_millis(at), &note);
            assert_eq!(ended.map(|it| it.0.name()), expected, "{note:?}");
            told.extend(ended.map(|it| it.1.as_millis()));
            if at == 100 {
                let ended = phases.published(Time::from_millis(105)).expect("published");
                assert_eq!((ended.0.name(), ended.1.as_millis()), ("publish", 5));
                assert_eq!(phases.published(Time::from_millis(106)), None);
            }
        }
        assert_eq!(told, [10, 20, 30, 40, 60]);
    }
}
