//! The fence for clients that bypass Segue: `min-replicas-to-write` on the primary while it is
//! ours, so that one which is cut off from its replicas stops taking writes by itself.
//!
//! # Invariants
//!
//! * A fence is set only where a primary serves through us, and only while it has as many
//!   replicas in step as the fence wants: setting it does not stop anybody's writes.
//! * What stood there before is remembered, and put back when the node no longer serves and when
//!   this process ends; only if what stands there then is still what was set.
//! * A node that already has the wanted values was configured so by somebody else (an operator,
//!   another Segue): nothing is set, and nothing put back.
//!
//! # Deliberately absent
//!
//! Lifting a fence because the replicas are gone: that is what it is for. Persistence: whoever
//! kills this process leaves the fence where it is.

use super::brain::{Brain, Phase};
use super::event::{Action, Note};
use crate::pure::time::Time;
use crate::pure::topology::NodeId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often it is looked at whether the fence still stands: a restart, an operator, another
/// Segue's end take it away.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The two settings of a server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Fence {
    /// `min-replicas-to-write`; 0 is off.
    pub min_replicas: u64,
    /// `min-replicas-max-lag`, in seconds; 0 is off.
    pub max_lag_secs: u64,
}

/// What is to be done to a node's fence. `control::executor` alone carries it out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Fencing {
    /// Set this, unless it stands there already.
    Set(Fence),
    /// Put `before` back, if `ours` stands there.
    PutBack {
        /// What was set.
        ours: Fence,
        /// What stood there before.
        before: Fence,
    },
}

/// How it went.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Fenced {
    /// It stands there; with what stood there before, if that was something else.
    Done(Option<Fence>),
    /// The node refused.
    Refused(String),
    /// It was not reached, or did not answer.
    Unknown(String),
}

/// What is known of one node's fence.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// What stood there before ours; `None` while ours does not stand there.
    before: Option<Fence>,
    is_pending: bool,
    look_at: Time,
    told: Option<String>,
}

impl Standing {
    pub(super) const fn new(now: Time) -> Self {
        Self { before: None, is_pending: false, look_at: now, told: None }
    }
}

impl Brain {
    /// Sets the fence of the node that serves, and puts back those of others.
    pub(super) fn tend_fences(&mut self, now: Time) {
        let Some(ours) = self.params.fence else { return };
        let serving = self.serving.as_ref().map(|it| it.node);
        let is_open = self.phase == Phase::Steady && self.is_open();
        for node in self.nodes().map(|it| it.0).collect::<Vec<_>>() {
            let Some(member) = self.member(node) else { continue };
            let standing = &member.fence;
            if standing.is_pending || now < standing.look_at || !member.health().is_up() {
                continue;
            }
            let online = member.report().map_or(0, |report| {
                let online = report.followers.iter().filter(|it| it.online).count();
                u64::try_from(online).unwrap_or(u64::MAX)
            });
            let fencing = match standing.before {
                // While a failover runs it is not known yet who will serve.
                Some(before) if serving != Some(node) && is_open => {
                    Fencing::PutBack { ours, before }
                }
                Some(_) | None
                    if serving == Some(node) && is_open && online >= ours.min_replicas =>
                {
                    Fencing::Set(ours)
                }
                Some(_) | None => continue,
            };
            if let Some(member) = self.member_mut(node) {
                member.fence.is_pending = true;
                member.fence.look_at = now + LOOK_EVERY;
            }
            self.act(Action::Fence { node, fencing });
        }
    }

    pub(super) fn fenced(&mut self, node: NodeId, fencing: Fencing, outcome: Fenced) {
        let Some(member) = self.member_mut(node) else { return };
        let standing = &mut member.fence;
        standing.is_pending = false;
        match (fencing, outcome) {
            (Fencing::Set(_), Fenced::Done(before)) => {
                standing.told = None;
                if let Some(before) = before {
                    standing.before = Some(before);
                    self.note(Note::Fenced { node });
                }
            }
            (Fencing::PutBack { .. }, Fenced::Done(_)) => {
                standing.told = None;
                standing.before = None;
                self.note(Note::Unfenced { node });
            }
            (_, Fenced::Refused(reason) | Fenced::Unknown(reason)) => {
                if standing.told.as_ref() != Some(&reason) {
                    standing.told = Some(reason.clone());
                    self.note(Note::FenceFailed { node, reason });
                }
            }
        }
    }

    /// What must be put back before this process ends.
    pub fn fences(&self) -> Vec<(NodeId, Fencing)> {
        let Some(ours) = self.params.fence else { return Vec::new() };
        self.nodes()
            .filter_map(|(node, it)| {
                let before = it.fence.before?;
                Some((node, Fencing::PutBack { ours, before }))
            })
            .collect()
    }
}

#[cfg(test)]
#[path = "fence_test.rs"]
mod tests;
