//! What the control plane knows, as one value for people: status page, API, CLI, metrics.
//!
//! Written by the control plane only, read by `ops` only; nothing decides by it.

use super::{Epoch, NodeId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Everything that `segue status` shows of the control plane.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Snapshot {
    /// `group.name`.
    pub group: String,
    /// Epoch of the topology in force.
    pub epoch: u64,
    /// Whether commands are forwarded or held.
    pub gate_open: bool,
    /// Name of the node that serves, or served last.
    pub primary: Option<String>,
    /// What the control plane is doing, in one word: `discovering`, `steady`, `suspecting`,
    /// `failing-over`, `switching-over`, `halted`; `held` when an operator wants it.
    pub phase: String,
    /// Why commands are held, or why no failover is possible; a sentence for an operator.
    pub reason: Option<String>,
    /// Every known node, configured ones first, in the order of [`NodeId`].
    pub nodes: Vec<NodeStatus>,
    /// Replicas that the primary reports and nobody configured, as it names them. Empty with
    /// `group.discover: true`, where they are nodes.
    pub strangers: Vec<String>,
    /// Nodes that claim to be primary beside ours or instead of it, and wait for `segue adopt`.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// The failover that ended last.
    pub last_failover: Option<FailoverAccount>,
}

/// One node, as seen from this process.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NodeStatus {
    /// Its configured name, or the address under which it was discovered.
    pub name: String,
    /// Its address as configured: `host:port`.
    pub address: String,
    /// Where that name resolved to when the last connection was made.
    pub resolved: Option<SocketAddr>,
    /// Whether `group.nodes` names it.
    pub configured: bool,
    /// What it says it is.
    pub role: Role,
    /// What we think of it.
    pub health: Health,
    /// Why it is not simply up, or why it cannot be promoted; a sentence.
    pub reason: Option<String>,
    /// Process identity; a change is a restart.
    pub run_id: Option<String>,
    /// Replication id of its data set.
    pub replid: Option<String>,
    /// Replication offset in bytes.
    pub offset: Option<u64>,
    /// How far a replica is behind the primary's last known offset, in bytes.
    pub lag_bytes: Option<u64>,
    /// A replica's link to its primary.
    pub link_up: Option<bool>,
    /// Milliseconds since its last good answer; `None` if it never answered.
    pub silent_ms: Option<u64>,
}

/// What a node says it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// `role:master`.
    Primary,
    /// `role:slave`.
    Replica,
    /// Never heard of.
    Unknown,
}

/// What this process thinks of a node.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not probed long enough to say.
    Unknown,
    /// Answers.
    Up,
    /// Stopped answering a moment ago.
    Suspect,
    /// Failed for as long as the thresholds say.
    Down,
}

/// How one failover went.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FailoverAccount {
    /// Epoch that it created.
    pub epoch: u64,
    /// Name of the primary that was lost.
    pub from: Option<String>,
    /// Name of the node that took over; `None` if nobody could.
    pub to: Option<String>,
    /// From the first hard signal to the gate's opening, in milliseconds.
    pub held_ms: u64,
    /// How it ended, in one word: `promoted`, `recovered`, `halted`, `followed`,
    /// `switched`.
    pub outcome: String,
}

impl Snapshot {
    /// Whether a primary is known and served: what `/readyz` asks.
    pub const fn is_ready(&self) -> bool {
        self.gate_open
    }

    /// The status of `node`.
    pub fn node(&self, node: NodeId) -> Option<&NodeStatus> {
        self.nodes.get(usize::from(node.0))
    }

    /// The epoch, typed.
    pub const fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }
}
