//! Where commands go: the one value that the control plane publishes and every worker obeys.
//!
//! ```text
//! Held(e) --discovered--> Open(e+1) --suspicion--> Held(e+1) --answers again--> Open(e+1)
//!                                                     |
//!                            commit to a promotion: Held(e+2) --confirmed--> Open(e+2)
//! ```
//!
//! # Invariants
//!
//! * `version` grows with every publication, `epoch` never goes back.
//! * While the gate is held nothing is written to any node; what was already sent may
//!   still be answered by an upstream connection *of the same epoch*.
//! * A new epoch severs: whoever holds an upstream connection of an older epoch drops it
//!   before it confirms the version, and treats what is in flight there as lost. So once
//!   every worker has confirmed `Held(e+1)`, no byte can reach the primary of `e`, and no
//!   reply of it can reach a client.
//! * An epoch is open for at most one process of one node.
//! * A switchover drains first: `Draining` lets nothing new in, and what was sent is answered.
//!   Each worker tells when nothing is in flight any more but commands that wait at the node by
//!   their nature. Those wait on, unheard by nobody, over a *handed over* epoch: their
//!   connection writes nothing, and the old primary lets go of them when it is demoted.

use super::{Epoch, NodeId, RunId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The node that serves, the address at which its last good probe reached it, and what was there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Primary {
    /// Which node.
    pub node: NodeId,
    /// Where the control plane's own connection to it stands: already resolved.
    pub addr: SocketAddr,
    /// As which process it was looked at. What runs there now may be another.
    pub process: RunId,
}

/// Whether commands may be forwarded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gate {
    /// Forward to this primary.
    Open(Primary),
    /// A switchover is under way: hold what is new, finish what was begun.
    Draining,
    /// Nobody is known to be primary, or the primary is suspect: hold.
    Held,
}

/// The route in force.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Route {
    /// Grows with every publication; workers compare this one integer.
    pub version: u64,
    /// Grows when another history may begin: an older epoch's connections are severed.
    pub epoch: Epoch,
    /// Forward or hold.
    pub gate: Gate,
    /// The epoch began with a switchover: the one before was drained, its primary paused, and
    /// all that it did is kept. So what a connection of that epoch still answers is true.
    pub handed_over: bool,
}

impl Route {
    /// Before anything is known: everything is held.
    pub const START: Self =
        Self { version: 0, epoch: Epoch(0), gate: Gate::Held, handed_over: false };

    /// The primary, if the gate is open.
    pub const fn primary(&self) -> Option<Primary> {
        match self.gate {
            Gate::Open(primary) => Some(primary),
            Gate::Draining | Gate::Held => None,
        }
    }

    /// Whether what was begun may be finished on a connection of this epoch.
    pub const fn lets_finish(&self) -> bool {
        match self.gate {
            Gate::Open(_) | Gate::Draining => true,
            Gate::Held => false,
        }
    }
}

/// What the data path saw of a primary. A hint to probe at once, never a verdict.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Signal {
    /// The epoch that the connection belonged to; a signal about an older one is stale.
    pub epoch: Epoch,
    /// The node that the connection led to.
    pub node: NodeId,
    /// What happened.
    pub kind: SignalKind,
}

/// The kinds of [`Signal`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum SignalKind {
    /// A connection was closed or reset by the node, or no byte could be written.
    Lost,
    /// A connection was refused, or not established in time.
    Unreachable,
    /// The node proved that it is not serving as primary (`-READONLY` and its kin).
    NotPrimary,
}
