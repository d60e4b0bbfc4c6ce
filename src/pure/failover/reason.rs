//! Why nothing happens, said so that a human can act on it, and not again and again.
//!
//! # Deliberately absent
//!
//! Which reasons there are: whoever waits words his own.

use super::brain::Brain;
use super::event::Note;
use super::select::Reject;
use crate::pure::time::Time;
use crate::pure::topology::NodeId;
use std::time::Duration;

/// A reason that was told is told again after this.
const REASON_AGAIN: Duration = Duration::from_secs(30);

/// So many reasons are told within [`REASON_AGAIN`]; the status shows them all.
const REASONS_MAX: usize = 16;

impl Brain {
    /// Says why nothing happens. Reasons may take turns; each is told once in a while.
    pub(super) fn wait(&mut self, now: Time, reason: String) {
        if self.reason.as_ref() == Some(&reason) {
            return;
        }
        self.reason = Some(reason.clone());
        self.reasons_told.retain(|it| now.since(it.1) < REASON_AGAIN);
        let is_news = self.reasons_told.iter().all(|it| it.0 != reason);
        if is_news && self.reasons_told.len() < REASONS_MAX {
            self.reasons_told.push((reason.clone(), now));
            self.note(Note::Waiting { reason });
        }
    }

    /// Tells each new reason once, while this failover lasts.
    pub(super) fn tell_rejected(&mut self, rejected: &[(NodeId, Reject)]) {
        for (node, why) in rejected {
            let same = |it: &&(NodeId, Reject)| {
                it.0 == *node && std::mem::discriminant(&it.1) == std::mem::discriminant(why)
            };
            if self.rejected.iter().find(same).is_none() && *why != Reject::Unheard {
                self.note(Note::Rejected { node: *node, why: *why });
            }
        }
        self.rejected = rejected.to_vec();
    }

    pub(super) fn nobody(&self, rejected: &[(NodeId, Reject)]) -> String {
        if rejected.is_empty() {
            return "no replica is known".to_owned();
        }
        // Figures change from probe to probe; the reasons that a human reads do not.
        let each: Vec<String> =
            rejected.iter().map(|(node, why)| format!("{}: {why}", self.name(*node))).collect();
        format!("no replica can take over ({})", each.join("; "))
    }
}
