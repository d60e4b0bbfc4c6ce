//! What the brain is told, and what it asks for: all values, so that tests compare them.

use super::account::{Progress, Verdict};
use super::preflight::Ask;
use super::select::Reject;
use crate::pure::detect::{Answer, Health};
use crate::pure::time::Time;
use crate::pure::topology::{Epoch, NodeId, Report, Route, Signal};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// A host, by name or address, and a port.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Endpoint {
    /// A host name or an address literal.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A node as configured, or as discovered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NodeSpec {
    /// Its name, for people.
    pub name: String,
    /// Where this process reaches it.
    pub address: Endpoint,
    /// Where *replicas* reach it: what is sent in `REPLICAOF`.
    pub replication: Endpoint,
    /// Overrides `replica-priority` of the server.
    pub priority: Option<u32>,
    /// Whether `group.nodes` names it.
    pub configured: bool,
}

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
    /// An order ended.
    Ordered {
        /// Which.
        order: Order,
        /// How.
        outcome: Outcome,
    },
    /// [`Brain::deadline`](super::Brain::deadline) has passed.
    Tick,
}

/// The outcome of one probe.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Probed {
    /// Who was asked.
    pub node: NodeId,
    /// When the question was sent: only what a node says to a question asked *after* an event
    /// says anything about the time after it.
    pub asked: Time,
    /// Where the connection stands, if there is one.
    pub addr: Option<SocketAddr>,
    /// Every address that the node's two names resolve to; empty if they were not looked up.
    pub aliases: Vec<SocketAddr>,
    /// What it said.
    pub finding: Finding,
}

/// What a probe found.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Finding {
    /// `+PONG` and a report.
    Good(Box<Report>),
    /// An error that proves a live process.
    Impaired {
        /// Its text.
        error: String,
        /// The report, where that was answered all the same.
        report: Option<Box<Report>>,
    },
    /// It loads its data set.
    Loading,
    /// Connection refused or reset.
    Refused,
    /// No reply in time.
    Silent {
        /// Whether a new connection could be made all the same.
        connected: bool,
    },
    /// This machine could not ask (out of file descriptors): says nothing about the node.
    NotAsked,
}

impl Finding {
    /// What the detector makes of it.
    pub const fn answer(&self) -> Option<Answer> {
        match self {
            Self::Good(report) if report.loading => Some(Answer::Loading),
            Self::Good(_) => Some(Answer::Good),
            Self::Impaired { .. } => Some(Answer::Impaired),
            Self::Loading => Some(Answer::Loading),
            Self::Refused => Some(Answer::Refused),
            Self::Silent { connected } => Some(Answer::Silent { connected: *connected }),
            Self::NotAsked => None,
        }
    }
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
}

impl Order {
    /// Whom it is for.
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Promote { node, .. }
            | Self::Follow { node, .. }
            | Self::Pause { node, .. }
            | Self::Unpause { node } => *node,
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
    /// Something that an operator looks for later.
    Note(Note),
    /// A line of a switchover's account, for whoever asked for it.
    Tell(Progress),
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
    },
    /// A replica follows the wrong primary and is pointed to the right one.
    Repointing {
        /// Who.
        node: NodeId,
        /// Whom it shall follow.
        primary: NodeId,
    },
    /// A node says that it is a primary beside ours, and is left alone.
    LeftAlone {
        /// Who.
        node: NodeId,
        /// A sentence.
        reason: String,
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
