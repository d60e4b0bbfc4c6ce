//! The pause of the old primary while a switchover compares and promotes: what clients that bypass
//! Segue write meanwhile waits there, and is neither lost nor acknowledged.
//!
//! # Invariants
//!
//! * It ends by itself soon, since this process may die: nobody else may lift it, who cannot know
//!   whose it is.
//! * It outlasts the switchover: what comes after it is too late to be lost unseen.

use super::account::Stage;
use super::brain::{Brain, Phase};
use super::event::{Order, Outcome};
use super::switchover::{PAUSE_SLACK, Step};
use crate::pure::time::Time;
use crate::pure::topology::{Gate, NodeId};
use std::time::Duration;

/// How long it may take from the pause to the promotion, whatever the time-out: so long, and
/// [`PAUSE_SLACK`], writes wait at the primary if this process dies meanwhile.
const PAUSE_MAX: Duration = Duration::from_secs(2);

impl Brain {
    /// Lets no write in at the old primary from here on.
    pub(super) fn pause(&mut self, now: Time, from: NodeId) {
        self.next_stage(now, Stage::Pause);
        let Some(switch) = &mut self.switch else { return };
        switch.deadline = switch.deadline.min(now + PAUSE_MAX);
        let left = switch.deadline.since(now);
        self.phase = Phase::Switching(Step::Pausing);
        // It may be carried out though its answer is lost.
        self.paused = Some(from);
        self.order(Order::Pause { node: from, span: left + PAUSE_SLACK });
    }

    pub(super) fn pause_answered(&mut self, now: Time, node: NodeId, outcome: Outcome) {
        if self.phase != Phase::Switching(Step::Pausing) {
            return;
        }
        match outcome {
            Outcome::Done => {}
            Outcome::Refused(reason) => {
                self.paused = None;
                let name = self.name(node).to_owned();
                if let Some(switch) = &mut self.switch {
                    switch.warnings.push(format!(
                        "{name} could not be paused ({reason}): what clients that bypass Segue \
                         wrote in the last moment may be lost"
                    ));
                }
            }
            Outcome::NotSent(reason) => {
                self.paused = None;
                return self.take_back(now, format!("{} {reason}", self.name(node)));
            }
            Outcome::Unknown => {
                let name = self.name(node);
                return self.take_back(now, format!("{name} does not answer CLIENT PAUSE"));
            }
        }
        self.next_stage(now, Stage::Match);
        self.phase = Phase::Switching(Step::Matching { since: now });
        self.look_at_both();
    }

    /// Lifts the pause of a node that serves again.
    pub(super) fn unpause(&mut self) {
        let Some(node) = self.paused else { return };
        let serves = matches!(self.route.gate, Gate::Open(it) if it.node == node);
        // Not before every worker has seen the route: what waited at the node over an epoch that
        // came to nothing is taken back first.
        if serves && self.is_free(node) && self.confirmed >= self.route.version {
            self.order(Order::Unpause { node });
        }
    }

    /// It follows now: what it held is refused, and its clients hear where they are.
    pub(super) fn unpause_follower(&mut self, node: NodeId) {
        if self.paused == Some(node) {
            self.order(Order::Unpause { node });
        }
    }

    pub(super) fn unpause_answered(&mut self, node: NodeId) {
        // A pause that could not be lifted lifts itself.
        if self.paused == Some(node) {
            self.paused = None;
        }
    }
}
