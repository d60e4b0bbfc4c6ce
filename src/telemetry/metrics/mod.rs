//! Every metric of the process: one registry, filled once at start-up.
//!
//! Two kinds of handle, by who counts:
//!
//! * The data plane counts into [`WorkerCells`], plain cells that one thread writes and a
//!   scrape sums over all workers: about a nanosecond a count, nothing shared.
//! * The control plane counts into [`ControlMetrics`], ordinary handles of the registry: it
//!   counts a few times a second.
//!
//! # Invariants
//!
//! * Every series exists from the start, at zero; label values come from enums or from the
//!   configured node names, never from what a client or a node sent.
//! * Each family is named once, here, and described in `docs/metrics.md`: a test compares.

mod cell;
mod control;
mod labels;
mod process;
mod worker;

pub use cell::{Counter, CounterBy, Gauge, Histogram};
pub use control::{ControlMetrics, NodeMetrics};
pub use labels::{
    Closed, Direction, FailoverOutcome, FailoverPhase, ProbeResult, Proof, Refused, Rejected,
    Repointed, RequestClass, SignalLabel, SwitchoverOutcome,
};
pub use worker::WorkerCells;

use crate::config::Config;
use crate::telemetry::logs::Dropped;
use prometheus::core::Collector;
use prometheus::{Gauge as FloatGauge, IntGauge, Opts, Registry, TextEncoder};
use std::sync::{Arc, Mutex, PoisonError};

/// Commit that this binary was built from.
pub const COMMIT: &str = env!("SEGUE_COMMIT");

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    /// What the control plane counts into.
    pub control: ControlMetrics,
    /// The limits in force.
    pub limits: Limits,
    registry: Registry,
    workers: worker::Workers,
}

/// The limits in force, so that a dashboard can show how much of each is used.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `segue_sessions_max`
    pub sessions_max: IntGauge,
    /// `segue_hold_max_bytes`
    pub hold_max_bytes: IntGauge,
    /// `segue_hold_max_seconds`
    pub hold_max_seconds: FloatGauge,
    /// `segue_session_in_flight_max_bytes`
    pub in_flight_max_bytes: IntGauge,
    /// `segue_session_query_buffer_max_bytes`
    pub query_buffer_max_bytes: IntGauge,
}

/// What the data plane holds and serves at this moment, summed over its workers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Client sessions open.
    pub sessions_open: i64,
    /// Commands held.
    pub hold_commands: i64,
    /// Bytes of the commands held.
    pub hold_bytes: i64,
    /// Bytes of requests sent and not answered, and of those held.
    pub in_flight_bytes: i64,
    /// Connections to nodes that sessions use.
    pub upstream_connections: i64,
}

impl Metrics {
    /// Creates and registers everything. `nodes` are the configured names, the only values
    /// that the label `node` takes; `dropped` counts the log lines that were lost.
    ///
    /// # Errors
    ///
    /// If a name is malformed or taken; both are bugs, caught at start-up.
    pub fn new<'a>(
        nodes: impl IntoIterator<Item = &'a str>,
        dropped: Dropped,
    ) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let workers = worker::Workers::register(&registry)?;
        let control = ControlMetrics::register(&registry, nodes)?;
        let limits = Limits::register(&registry)?;
        process::register(&registry, dropped)?;
        let build = IntGauge::with_opts(
            Opts::new("segue_build_info", "Always 1; the labels say what is running.")
                .const_label("version", env!("CARGO_PKG_VERSION"))
                .const_label("commit", COMMIT),
        )?;
        keep(&registry, build)?.set(1);
        Ok(Self { control, limits, registry, workers })
    }

    /// The cells of one more thread of the data plane; only that thread may write them.
    pub fn worker(&self) -> Arc<WorkerCells> {
        self.workers.add()
    }

    /// What is held and served now.
    pub fn totals(&self) -> Totals {
        self.workers.totals()
    }

    /// The exposition in Prometheus' text format, [`prometheus::TEXT_FORMAT`].
    ///
    /// # Errors
    ///
    /// If a family is inconsistent, which is a bug.
    pub fn encode(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl Limits {
    /// Shows the limits of `config`. `sessions_max` is what the limit of open files left of
    /// `sessions.max`.
    pub fn show(&self, config: &Config, sessions_max: u64) {
        let (hold, sessions) = (config.hold(), config.sessions());
        let signed = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.sessions_max.set(i64::try_from(sessions_max).unwrap_or(i64::MAX));
        self.hold_max_bytes.set(signed(hold.max_bytes()));
        self.hold_max_seconds.set(hold.timeout().as_secs_f64());
        self.in_flight_max_bytes.set(signed(sessions.max_in_flight_bytes()));
        self.query_buffer_max_bytes.set(signed(sessions.max_query_buffer_bytes()));
    }

    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let bytes = |name: &str, help: &str| keep(registry, IntGauge::new(name, help)?);
        Ok(Self {
            sessions_max: bytes("segue_sessions_max", "Client sessions allowed at once.")?,
            hold_max_bytes: bytes("segue_hold_max_bytes", "Bytes of commands that may be held.")?,
            hold_max_seconds: keep(
                registry,
                FloatGauge::new(
                    "segue_hold_max_seconds",
                    "How long a command may be held before it is refused.",
                )?,
            )?,
            in_flight_max_bytes: bytes(
                "segue_session_in_flight_max_bytes",
                "Bytes of unanswered requests that one session may have.",
            )?,
            query_buffer_max_bytes: bytes(
                "segue_session_query_buffer_max_bytes",
                "Bytes read from one client and not yet understood.",
            )?,
        })
    }
}

/// Registers `metric` and hands it back.
fn keep<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Locks a list that is only ever appended to: whole even if a holder panicked.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "metrics_test.rs"]
mod tests;
