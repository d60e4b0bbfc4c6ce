//! What the brain is told, and what it asks for: all values, so that tests compare them.

use super::account::{Progress, Verdict};
use super::adopt::{Adopt, Adoption};
use super::fence::{Fenced, Fencing};
use super::preflight::Ask;
use super::probed::{Endpoint, Probed};
use super::select::Reject;
use crate::pure::detect::Health;
use crate::pure::topology::{Epoch, NodeId, Route, RunId, Signal};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is reported to [`Brain::step`](super::Brain::step).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Event {
    /// A probe ended.
    Probed(Probed),
    /// The data path saw something.
    Signalled(Signal),
    /// Every worker has confirmed this version of the route, or a later one.
    Confirmed {
        /// The lowest version confirmed by all.
        version: u64,
    },
    /// No worker has anything in flight that was sent before this version of the route, which
    /// drains.
    Drained {
        /// The lowest version told by all.
        version: u64,
    },
    /// An operator asks for a switchover. Its account is told with [`Action::Tell`].
    Asked(Ask),
    /// An operator names the node whose data wins. Answered with [`Action::Adopted`].
    AskedToAdopt(Adopt),
    /// An operator says that the primary is lost, whatever it answers. Its account is told as well.
    Forced(Ask),
    /// An operator wants commands held, for so long at most.
    Hold(Duration),
    /// An operator lets go of them.
    Release,
    /// An order ended.
    Ordered {
        /// Which.
        order: Order,
        /// How.
        outcome: Outcome,
    },
    /// What became of [`Action::Fence`].
    Fenced {
        /// Where.
        node: NodeId,
        /// What was to be done.
        fencing: Fencing,
        /// How it went.
        outcome: Fenced,
    },
    /// [`Brain::deadline`](super::Brain::deadline) has passed.
    Tick,
}

/// What is to be done to a node. `control::executor` alone carries it out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Order {
    /// `REPLICAOF NO ONE`.
    Promote {
        /// To whom.
        node: NodeId,
        /// The epoch that it will serve.
        epoch: Epoch,
        /// Whom it said it follows when it was chosen. If it follows another one by now,
        /// somebody else has decided, and it is left alone.
        follows: Option<Endpoint>,
        /// The process that was chosen. Another one there has other data, and is left alone: so
        /// whatever this order does ends with the process that it was meant for.
        process: Option<RunId>,
    },
    /// `REPLICAOF host port`.
    Follow {
        /// To whom.
        node: NodeId,
        /// Whom it shall follow.
        primary: NodeId,
        /// The same, as replicas reach it.
        target: Endpoint,
    },
    /// `CLIENT PAUSE … WRITE`.
    Pause {
        /// To whom.
        node: NodeId,
        /// For how long at most.
        span: Duration,
    },
    /// `CLIENT UNPAUSE`.
    Unpause {
        /// To whom.
        node: NodeId,
    },
    /// `CLIENT KILL TYPE master`: a replica connects to its primary anew, which shows whether it
    /// reaches it.
    Reconnect {
        /// To whom.
        node: NodeId,
    },
}

impl Order {
    /// Whom it is for.
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Promote { node, .. }
            | Self::Follow { node, .. }
            | Self::Pause { node, .. }
            | Self::Unpause { node }
            | Self::Reconnect { node } => *node,
        }
    }
}

/// How an order ended: done, refused or unknown, as with anything remote. *Not sent* tells
/// about this attempt alone, and nothing about an earlier one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Outcome {
    /// The node said yes.
    Done,
    /// The node said no: it was not carried out.
    Refused(String),
    /// The node could not be asked.
    NotSent(String),
    /// No answer: it may have been carried out.
    Unknown,
}

/// What the driver must do, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Hand this route to every worker.
    Publish(Route),
    /// Ask this node at once, out of turn.
    Probe(NodeId),
    /// A node was discovered: probe it from now on.
    Watch(NodeId),
    /// Carry this out and report the outcome.
    Order(Order),
    /// Carry this out and report it with [`Event::Fenced`].
    Fence {
        /// Where.
        node: NodeId,
        /// What.
        fencing: Fencing,
    },
    /// Something that an operator looks for later.
    Note(Note),
    /// A line of the account of a switchover or forced failover, for whoever asked for it.
    Tell(Progress),
    /// The answer to [`Event::AskedToAdopt`].
    Adopted(Adoption),
}

/// What happened; each is logged once and counted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Note {
    /// The first primary was found.
    Discovered {
        /// Who.
        primary: NodeId,
        /// The epoch that begins.
        epoch: Epoch,
    },
    /// Nothing can be done for now; told when the reason changes.
    Waiting {
        /// A sentence.
        reason: String,
    },
    /// A node's health changed.
    HealthChanged {
        /// Whose.
        node: NodeId,
        /// What it was.
        from: Health,
        /// What it is.
        to: Health,
    },
    /// A node runs as another process than before.
    Restarted {
        /// Who.
        node: NodeId,
    },
    /// A node answers, and something is wrong with it.
    Impaired {
        /// Who.
        node: NodeId,
        /// What it answers.
        error: String,
    },
    /// Commands are held from now on.
    Held {
        /// The primary that is in doubt.
        primary: NodeId,
        /// A sentence.
        reason: String,
    },
    /// The primary is in order; commands flow again.
    Released {
        /// The primary.
        primary: NodeId,
        /// The epoch in force.
        epoch: Epoch,
        /// How long they were held.
        held: Duration,
        /// It had been given up: a failover was under way.
        was_lost: bool,
    },
    /// A replica still receives from the primary that we cannot reach: nobody is promoted.
    Witnessed {
        /// The primary.
        primary: NodeId,
        /// The replica.
        witness: NodeId,
    },
    /// The primary is lost; a failover begins.
    PrimaryLost {
        /// Who.
        primary: NodeId,
        /// A sentence.
        reason: String,
    },
    /// A restarted primary lost data that replicas still hold.
    Amnesia {
        /// Who.
        primary: NodeId,
        /// Keys that it has now.
        keys: u64,
        /// The replica that holds more.
        replica: NodeId,
        /// Keys that this one has.
        saved_keys: u64,
        /// Bytes of history that the primary lacks, where its history is known.
        lost_bytes: Option<u64>,
    },
    /// Nobody who held more than a primary without its data could be reached for long: it
    /// serves as it is.
    Forgiven {
        /// Who.
        primary: NodeId,
    },
    /// A replica cannot be promoted.
    Rejected {
        /// Who.
        node: NodeId,
        /// Why.
        why: Reject,
    },
    /// The old epoch is being severed.
    Committed {
        /// The new epoch.
        epoch: Epoch,
    },
    /// A replica is being promoted.
    Promoting {
        /// Who.
        node: NodeId,
        /// The epoch that it will serve.
        epoch: Epoch,
        /// Its offset in bytes.
        offset: u64,
        /// How far it is behind what the lost primary last said, in bytes.
        lag_bytes: u64,
    },
    /// A promotion had no answer; the same node is asked again.
    PromotionUnknown {
        /// Who.
        node: NodeId,
        /// How often it was asked.
        attempts: u32,
    },
    /// The candidate cannot take over after all.
    PromotionFailed {
        /// Who.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// A failover takes longer than `failover.timeout`.
    Overdue {
        /// A sentence.
        reason: String,
    },
    /// A new primary serves.
    FailedOver {
        /// Who served before.
        from: NodeId,
        /// Who serves now.
        to: NodeId,
        /// The epoch in force.
        epoch: Epoch,
        /// How long commands were held.
        held: Duration,
        /// Somebody else promoted it, and it was followed.
        followed: bool,
        /// It was planned: a switchover.
        planned: bool,
    },
    /// A switchover begins.
    Switching {
        /// Who serves.
        from: NodeId,
        /// Who shall.
        to: NodeId,
    },
    /// A switchover is over.
    Switched {
        /// Who served.
        from: NodeId,
        /// Who serves, or was to.
        to: NodeId,
        /// How it ended.
        outcome: Verdict,
        /// Why, if not well.
        reason: Option<String>,
    },
    /// A node says that it is a primary beside ours and is turned into a replica.
    Demoting {
        /// Who.
        node: NodeId,
        /// Whom it shall follow.
        primary: NodeId,
        /// Bytes of its own that it has beyond the common history, where that is known.
        diverged_bytes: Option<u64>,
        /// Keys that it has.
        keys: u64,
    },
    /// A replica follows the wrong primary and is pointed to the right one.
    Repointing {
        /// Who.
        node: NodeId,
        /// Whom it shall follow.
        primary: NodeId,
    },
    /// The primary refuses writes from now on when it has lost its replicas.
    Fenced {
        /// Who.
        node: NodeId,
    },
    /// A node's fence is down again, as it was before.
    Unfenced {
        /// Who.
        node: NodeId,
    },
    /// A node's fence was not changed; told when the reason changes.
    FenceFailed {
        /// Who.
        node: NodeId,
        /// A sentence.
        reason: String,
    },
    /// At start-up the primary is dead already; its replicas agree on who it was.
    Orphaned {
        /// Who.
        primary: NodeId,
    },
    /// An operator chose whose data wins.
    Adopting {
        /// Who.
        node: NodeId,
        /// Keys that it has.
        keys: u64,
        /// So many others lose data by it.
        losers: usize,
        /// Keys that they have, all together.
        lost_keys: u64,
    },
    /// Nodes say that they are primaries, and lineage does not tell which one counts.
    Conflict {
        /// Who.
        nodes: Vec<NodeId>,
    },
    /// A node says that it is a primary beside ours, and is left alone.
    LeftAlone {
        /// Who.
        node: NodeId,
        /// A sentence.
        reason: String,
        /// Bytes of its own that it has beyond the common history, where that is known.
        diverged_bytes: Option<u64>,
    },
    /// A replica has the new primary's data.
    Rejoined {
        /// Who.
        node: NodeId,
    },
    /// A node was not turned as ordered; it is tried again.
    OrderFailed {
        /// Who.
        node: NodeId,
        /// A sentence.
        reason: String,
        /// There was no answer: it may have been turned.
        is_unknown: bool,
    },
    /// The primary reports a replica that nobody configured.
    Stranger {
        /// Its address.
        address: String,
    },
    /// This process stood still, and counts that time for nothing.
    Stalled {
        /// For how long.
        stall: Duration,
    },
}
