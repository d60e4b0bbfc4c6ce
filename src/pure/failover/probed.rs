//! Nodes and what probes find, as values.

use crate::pure::detect::Answer;
use crate::pure::time::Time;
use crate::pure::topology::{NodeId, Report};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

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

impl Probed {
    /// Whether it is an error, on a connection that was just made, from which one cannot tell
    /// which process answered. Names are looked up for every new connection.
    pub const fn is_stranger(&self) -> bool {
        !self.aliases.is_empty() && matches!(self.finding, Finding::Impaired { report: None, .. })
    }
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
