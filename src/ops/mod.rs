//! What operators and their machines see: HTTP, the control socket, signals, limits.
//!
//! | module | what it is |
//! |---|---|
//! | [`http`] | `/metrics`, `/livez`, `/readyz`, `/api/v1/status`, `/api/v1/events` and a page, read-only |
//! | [`control`] | the same over a Unix socket or with a token, and what changes state |
//! | [`switchover`] | `POST /api/v1/switchover` and `failover`, answered line by line while it goes on |
//! | [`adopt`] | `POST /api/v1/adopt`: whose data wins |
//! | [`client`] | how the `segue` commands talk to either |
//! | [`status`] | the one JSON shape of the status, for the API, the page and the CLI |
//! | [`signals`], [`drain`] | how the process is asked to end, and how it does |
//! | [`limits`] | file descriptors, raised and checked against `sessions.max` |
//!
//! # Deliberately absent
//!
//! No decision about the group: everything here reads the control plane's snapshot and the
//! metrics, and asks nothing of a node. A node that hangs cannot make a page hang.

pub mod adopt;
mod body;
pub mod client;
pub mod control;
pub mod drain;
pub mod http;
pub mod limits;
mod routes;
mod server;
pub mod signals;
pub mod status;
pub mod switchover;

use crate::pure::topology::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::recent::Recent;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// What every route reads. Cheap to share; only `recent` is locked, for as long as a copy takes.
#[derive(Debug)]
pub struct State {
    /// What the control plane knows.
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// Whether the process is on its way out.
    pub draining: watch::Receiver<bool>,
    /// The limits in force.
    pub limits: status::Limits,
    /// Where clients connect.
    pub listeners: Vec<status::Listener>,
    /// When the process started.
    pub started: Instant,
    /// The last transitions of the group.
    pub recent: Recent,
}
