//! What a brain was told and what it decided, as values that can be written down: one
//! [`Beginning`], then one [`Moment`] a step.
//!
//! The shell logs them at TRACE. Replayed through another brain, the same events must bring the
//! same decisions (`tests/sim/recorded`): a recording of a real failover is a test for ever.
//!
//! Deliberately absent: notes. They are words for people, and may be put better.

use super::Brain;
use super::event::{Action, Event};
use super::params::Params;
use super::probed::NodeSpec;
use crate::pure::time::Time;
use serde::{Deserialize, Serialize};

/// What a brain was made of.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Beginning {
    /// When.
    pub at: Time,
    /// `group.name`.
    pub group: String,
    /// `health:`, `failover:` and `group.discover`.
    pub params: Params,
    /// `group.nodes`.
    pub nodes: Vec<NodeSpec>,
}

/// One step of a brain.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Moment {
    /// When.
    pub at: Time,
    /// What it was told.
    pub event: Event,
    /// What it decided: routes and orders, as they print.
    pub decided: Vec<String>,
}

impl Beginning {
    /// The brain that began so.
    pub fn brain(&self) -> Brain {
        Brain::new(self.params.clone(), self.group.clone(), self.nodes.clone(), self.at)
    }
}

impl Moment {
    /// The step at `at` in which a brain took `event` and answered with `actions`.
    pub fn new(at: Time, event: Event, actions: &[Action]) -> Self {
        let is_decision = |it: &&Action| matches!(it, Action::Publish(_) | Action::Order(_));
        let decided = actions.iter().filter(is_decision).map(|it| format!("{it:?}")).collect();
        Self { at, event, decided }
    }
}
