//! Nodes, epochs and the route: the words in which both planes talk about the group; and what
//! nodes say of themselves ([`Report`]), and whose data descends from whose ([`Lineage`]).

mod acknowledged;
mod lineage;
mod report;
mod route;
pub mod snapshot;

pub use acknowledged::Acknowledged;
pub use lineage::{Kinship, Lineage};
pub use report::{Follower, Link, LinkState, ReplId, Report, ReportError, Role, RunId};
pub use route::{Gate, Primary, Route, Signal, SignalKind};

use serde::{Deserialize, Serialize};
use std::fmt;

/// A node of the group, by its position in the list of known nodes.
///
/// A node keeps its id for the life of the process, whatever its address does; nodes
/// that are discovered later are appended. Names for people stand in the snapshot.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct NodeId(pub u16);

/// Number of a topology; larger wins.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
