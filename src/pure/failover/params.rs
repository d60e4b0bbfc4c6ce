//! What a brain is configured with.

use super::fence::Fence;
use crate::pure::detect;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is allowed, and how long things may take.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Params {
    /// `health:`.
    pub detect: detect::Params,
    /// `failover.enabled`: whether anybody may be promoted by us.
    pub enabled: bool,
    /// `failover.timeout`: after this a failover is reported as overdue.
    pub timeout: Duration,
    /// `failover.parallel_syncs`: how many replicas may be resynchronising at a time.
    pub parallel_syncs: usize,
    /// `failover.max_lag_bytes`.
    pub max_lag_bytes: u64,
    /// `failover.max_link_down`.
    pub max_link_down: Duration,
    /// `failover.rejoin`.
    pub rejoin: Rejoin,
    /// `group.discover`: replicas that the primary reports become nodes.
    pub discover: bool,
    /// `failover.without_witness`.
    pub without_witness: Witnessless,
    /// `failover.jitter`: how long at most this decider lets others go first.
    pub jitter: Duration,
    /// Another one in each process; from it and the epoch the delay is drawn.
    pub seed: u64,
    /// `failover.fence`.
    pub fence: Option<Fence>,
    /// `listen[].durability`: what is promised about writes, if anything is.
    pub guarded: Option<super::Guarded>,
}

/// What is done when a primary is out of reach and no replica can say whether it lives.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Witnessless {
    /// Nobody is promoted.
    Wait,
    /// After twice `health.down_after` the best replica is.
    Promote,
}

/// What happens to an old primary that comes back.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Rejoin {
    /// It becomes a replica at once.
    Auto,
    /// It is left as it is, so that a human can look at what it has; it gets no client byte.
    Quarantine,
    /// Nothing is done to any node that is not being promoted.
    Off,
}
