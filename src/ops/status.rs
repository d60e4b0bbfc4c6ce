//! The status of one Segue, as `/api/v1/status` answers it and `segue status --json` prints it.
//!
//! Fields are only ever added: scripts read this.

use super::State;
use crate::config::Config;
use crate::pure::session::{GuardedReads, Promise};
use crate::pure::topology::snapshot::Snapshot;
use crate::telemetry::metrics::COMMIT;
use serde::{Deserialize, Serialize};

/// The whole answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Status {
    /// Version of the running binary.
    pub version: String,
    /// Commit that it was built from.
    pub commit: String,
    /// Milliseconds since the process started.
    pub uptime_ms: u64,
    /// Whether it is on its way out.
    pub draining: bool,
    /// What `/readyz` says.
    pub ready: bool,
    /// Client sessions.
    pub sessions: Sessions,
    /// Commands held now.
    pub held: Held,
    /// Bytes of requests kept because they are unanswered or held.
    pub in_flight_bytes: u64,
    /// Connections to nodes that sessions use.
    pub upstream_connections: u64,
    /// Where clients connect, and what is promised there.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// What the control plane knows.
    #[serde(flatten)]
    pub snapshot: Snapshot,
}

/// Where clients connect.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Listener {
    /// `listen[].address`.
    pub address: String,
    /// `listen[].durability`, if writes are guarded there.
    pub guarded: Option<Guarded>,
}

/// What a guarded listener promises.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Guarded {
    /// Replicas that have a write before it is acknowledged.
    pub replicas: u32,
    /// How long they may take, in milliseconds.
    pub timeout_ms: u64,
    /// Whether reads are withheld like writes.
    pub reads_confirmed: bool,
}

impl Listener {
    /// Those of a checked configuration.
    pub fn all(config: &Config) -> Vec<Self> {
        let listeners = config.listen().iter().map(|it| Self {
            address: it.address().to_string(),
            guarded: it.durability().map(|it| Guarded::of(it.promise())),
        });
        listeners.collect()
    }
}

impl Guarded {
    fn of(promise: Promise) -> Self {
        Self {
            replicas: promise.replicas,
            timeout_ms: u64::try_from(promise.timeout.as_millis()).unwrap_or(u64::MAX),
            reads_confirmed: promise.reads == GuardedReads::Confirmed,
        }
    }
}

/// Client sessions.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Sessions {
    /// Open now.
    pub open: u64,
    /// How many may be.
    pub max: u64,
}

/// Commands held now.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Held {
    /// How many.
    pub commands: u64,
    /// How large they are together.
    pub bytes: u64,
    /// How large they may be.
    pub max_bytes: u64,
}

/// The limits that the status shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Sessions allowed at once: what [`super::limits::sessions_allowed`] left of `sessions.max`.
    pub sessions_max: u64,
    /// `hold.max_bytes`
    pub hold_max_bytes: u64,
}

/// Why no client should be sent here; `None` when one may.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Readiness {
    /// Commands are forwarded.
    Ready,
    /// They are not, and why: a sentence.
    NotReady(String),
}

impl State {
    /// The status at this moment.
    pub fn status(&self) -> Status {
        let snapshot = Snapshot::clone(&self.snapshot.borrow());
        let totals = self.metrics.totals();
        // A sum over cells that move meanwhile may be a little below zero.
        let count = |value: i64| u64::try_from(value).unwrap_or(0);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: COMMIT.to_owned(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            draining: *self.draining.borrow(),
            ready: self.readiness() == Readiness::Ready,
            sessions: Sessions { open: count(totals.sessions_open), max: self.limits.sessions_max },
            held: Held {
                commands: count(totals.hold_commands),
                bytes: count(totals.hold_bytes),
                max_bytes: self.limits.hold_max_bytes,
            },
            in_flight_bytes: count(totals.in_flight_bytes),
            upstream_connections: count(totals.upstream_connections),
            listeners: self.listeners.clone(),
            snapshot,
        }
    }

    /// Whether clients should be sent here.
    pub fn readiness(&self) -> Readiness {
        if *self.draining.borrow() {
            return Readiness::NotReady("draining".to_owned());
        }
        let snapshot = self.snapshot.borrow();
        if snapshot.is_ready() {
            return Readiness::Ready;
        }
        let why = snapshot.reason.clone().unwrap_or_else(|| match snapshot.phase.as_str() {
            "" => "starting".to_owned(),
            phase => phase.to_owned(),
        });
        Readiness::NotReady(why)
    }

    /// Whether the process works at all. Never asks about nodes: an orchestrator that
    /// restarts Segue because Redis is down makes everything worse.
    pub fn is_alive(&self) -> bool {
        // An error says that the control plane is gone while nobody asked it to go: it
        // panicked, and without it no failover will ever happen again.
        *self.draining.borrow() || self.snapshot.has_changed().is_ok()
    }
}
