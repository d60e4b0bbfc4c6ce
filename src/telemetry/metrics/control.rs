//! What the control plane counts: nodes, probes, failovers, guards.

use super::keep;
use super::labels::{
    FailoverOutcome, FailoverPhase, Label, ProbeResult, Repointed, SignalLabel, SwitchoverOutcome,
};
use crate::pure::topology::snapshot::{Health, NodeStatus, Role, Snapshot};
use crate::pure::topology::{NodeId, SignalKind};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use std::sync::Arc;
use std::time::Duration;

/// Probes are meant to take less than a millisecond, and time out at half a second.
const PROBE_EDGES: [f64; 9] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.1, 0.5, 1.0];

/// Steps of a failover take milliseconds; `detect` as long as `health.down_after`.
const PHASE_EDGES: [f64; 11] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.5, 10.0];

/// Around the objectives (half a second when the process is gone, `down_after` and a bit
/// when it is silent) there must be an edge on either side.
const HOLD_EDGES: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 5.0, 10.0];

/// Metrics of the control plane. Clones count into the same series.
#[derive(Clone, Debug)]
pub struct ControlMetrics {
    /// `segue_topology_epoch`
    pub epoch: IntGauge,
    /// `segue_gate_open`
    pub gate_open: IntGauge,
    /// `segue_lineage_conflicts`
    pub conflicts: IntGauge,
    /// `segue_promotions_unknown_total`
    pub promotions_unknown: IntCounter,
    /// `segue_witness_vetoes_total`
    pub witness_vetoes: IntCounter,
    /// `segue_amnesia_guards_total`
    pub amnesia_guards: IntCounter,
    /// `segue_stalls_total`
    pub stalls: IntCounter,
    /// `segue_failover_hold_seconds`
    pub failover_hold: Histogram,
    nodes: Arc<[(String, NodeMetrics)]>,
    /// `segue_switchover_hold_seconds`
    pub switchover_hold: Histogram,
    failovers: By<IntCounter>,
    switchovers: By<IntCounter>,
    phases: By<Histogram>,
    repoints: By<IntCounter>,
    signals: By<IntCounter>,
}

/// Metrics of one configured node.
#[derive(Clone, Debug)]
pub struct NodeMetrics {
    up: IntGauge,
    primary: IntGauge,
    offset_bytes: IntGauge,
    lag_bytes: IntGauge,
    diverged_bytes: IntGauge,
    fenced: IntGauge,
    probe_seconds: Histogram,
    probes: By<IntCounter>,
}

impl ControlMetrics {
    /// Creates the metrics and registers them, with one set of series for each name in `nodes`.
    ///
    /// # Errors
    ///
    /// If a name is malformed or already taken; both are bugs, caught at start-up.
    pub fn register<'a>(
        registry: &Registry,
        nodes: impl IntoIterator<Item = &'a str>,
    ) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| keep(registry, IntGauge::new(name, help)?);
        let counter = |name: &str, help: &str| keep(registry, IntCounter::new(name, help)?);
        Ok(Self {
            epoch: gauge("segue_topology_epoch", "Epoch of the topology in force.")?,
            gate_open: gauge("segue_gate_open", "1 while commands are forwarded, 0 while held.")?,
            conflicts: gauge(
                "segue_lineage_conflicts",
                "Nodes that claim to be primary and wait for `segue adopt`.",
            )?,
            promotions_unknown: counter(
                "segue_promotions_unknown_total",
                "Promotions that were asked for and not answered in time.",
            )?,
            witness_vetoes: counter(
                "segue_witness_vetoes_total",
                "Promotions not made because a replica still hears the primary.",
            )?,
            amnesia_guards: counter(
                "segue_amnesia_guards_total",
                "Times a primary that restarted without its data was kept from wiping replicas.",
            )?,
            stalls: counter(
                "segue_stalls_total",
                "Times Segue itself had stopped, so that what it knew was thrown away.",
            )?,
            failover_hold: keep(
                registry,
                histogram(
                    "segue_failover_hold_seconds",
                    "How long commands were held in one failover, from first signal to release.",
                    &HOLD_EDGES,
                )?,
            )?,
            switchover_hold: keep(
                registry,
                histogram(
                    "segue_switchover_hold_seconds",
                    "How long commands were held in one switchover.",
                    &HOLD_EDGES,
                )?,
            )?,
            switchovers: counters::<SwitchoverOutcome>(
                registry,
                "segue_switchovers_total",
                "Switchovers that were asked for, by outcome.",
            )?,
            nodes: register_nodes(registry, nodes)?,
            failovers: counters::<FailoverOutcome>(
                registry,
                "segue_failovers_total",
                "Failovers that ended, by outcome.",
            )?,
            phases: register_phases(registry)?,
            repoints: counters::<Repointed>(
                registry,
                "segue_repoints_total",
                "Nodes told to replicate from another primary, by outcome.",
            )?,
            signals: counters::<SignalLabel>(
                registry,
                "segue_signals_total",
                "Hints of trouble that the data path gave, by kind.",
            )?,
        })
    }

    /// The metrics of `node`; none for a discovered one, whose name is not ours to export.
    pub fn node(&self, node: NodeId) -> Option<&NodeMetrics> {
        self.nodes.get(usize::from(node.0)).map(|(_, metrics)| metrics)
    }

    /// Counts one failover.
    pub fn failover_ended(&self, outcome: FailoverOutcome) {
        if let Some(counter) = self.failovers.at(outcome) {
            counter.inc();
        }
    }

    /// Counts one switchover.
    pub fn switchover_ended(&self, outcome: SwitchoverOutcome) {
        if let Some(counter) = self.switchovers.at(outcome) {
            counter.inc();
        }
    }

    /// Counts one step of a failover.
    pub fn phase_ended(&self, phase: FailoverPhase, took: Duration) {
        if let Some(histogram) = self.phases.at(phase) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// Counts one `REPLICAOF host port`.
    pub fn repointed(&self, outcome: Repointed) {
        if let Some(counter) = self.repoints.at(outcome) {
            counter.inc();
        }
    }

    /// Says whether the fence of `node` is set by us.
    pub fn fenced(&self, node: NodeId, is_set: bool) {
        if let Some(metrics) = self.node(node) {
            metrics.fenced.set(i64::from(is_set));
        }
    }

    /// Counts one hint of the data path.
    pub fn signalled(&self, kind: SignalKind) {
        if let Some(counter) = self.signals.at(SignalLabel::from(kind)) {
            counter.inc();
        }
    }

    /// Sets every gauge to what `snapshot` says. Called at each scrape, so that the metrics
    /// and the status never disagree.
    pub fn show(&self, snapshot: &Snapshot) {
        self.epoch.set(signed(snapshot.epoch));
        self.gate_open.set(i64::from(snapshot.gate_open));
        self.conflicts.set(i64::try_from(snapshot.conflicts.len()).unwrap_or(i64::MAX));
        for (name, metrics) in self.nodes.iter() {
            if let Some(status) = snapshot.nodes.iter().find(|it| it.name == *name) {
                metrics.show(status);
            }
        }
    }
}

impl NodeMetrics {
    /// Counts one probe.
    pub fn probed(&self, result: ProbeResult, took: Duration) {
        if let Some(counter) = self.probes.at(result) {
            counter.inc();
        }
        self.probe_seconds.observe(took.as_secs_f64());
    }

    /// Says how much only this node had when it was a primary beside ours.
    pub fn diverged(&self, bytes: u64) {
        self.diverged_bytes.set(signed(bytes));
    }

    fn show(&self, status: &NodeStatus) {
        self.up.set(i64::from(status.health == Health::Up));
        self.primary.set(i64::from(status.role == Role::Primary));
        self.offset_bytes.set(signed(status.offset.unwrap_or_default()));
        self.lag_bytes.set(signed(status.lag_bytes.unwrap_or_default()));
    }
}

/// One handle for each value of a label, looked up once: nothing searches by label later.
#[derive(Clone, Debug)]
struct By<H>(Arc<[H]>);

impl<H> By<H> {
    fn of<L: Label>(handle: impl Fn(&str) -> H) -> Self {
        Self(L::VALUES.iter().map(|value| handle(value)).collect())
    }

    fn at<L: Label>(&self, label: L) -> Option<&H> {
        self.0.get(label.index())
    }
}

fn counters<L: Label>(
    registry: &Registry,
    name: &str,
    help: &str,
) -> prometheus::Result<By<IntCounter>> {
    let vec = keep(registry, IntCounterVec::new(Opts::new(name, help), &[L::NAME])?)?;
    Ok(By::of::<L>(|value| vec.with_label_values(&[value])))
}

fn histogram(name: &str, help: &str, edges: &[f64]) -> prometheus::Result<Histogram> {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(edges.to_vec()))
}

fn register_phases(registry: &Registry) -> prometheus::Result<By<Histogram>> {
    let opts = HistogramOpts::new(
        "segue_failover_phase_seconds",
        "How long each step of a failover took, by phase.",
    );
    let vec = HistogramVec::new(opts.buckets(PHASE_EDGES.to_vec()), &[FailoverPhase::NAME])?;
    let vec = keep(registry, vec)?;
    Ok(By::of::<FailoverPhase>(|value| vec.with_label_values(&[value])))
}

fn register_nodes<'a>(
    registry: &Registry,
    nodes: impl IntoIterator<Item = &'a str>,
) -> prometheus::Result<Arc<[(String, NodeMetrics)]>> {
    let gauges = |name: &str, help: &str| {
        keep(registry, IntGaugeVec::new(Opts::new(name, help), &["node"])?)
    };
    let up = gauges("segue_node_up", "1 while the node counts as up.")?;
    let primary = gauges("segue_node_primary", "1 while the node says that it is a primary.")?;
    let offset = gauges("segue_node_offset_bytes", "Replication offset of the node.")?;
    let lag = gauges("segue_node_lag_bytes", "How far a replica is behind the primary.")?;
    let diverged = gauges(
        "segue_diverged_bytes",
        "Bytes of history that only this node had when it was a second primary last.",
    )?;
    let fenced = gauges("segue_node_fenced", "1 while the fence that Segue set is in force.")?;
    let seconds = HistogramOpts::new("segue_probe_seconds", "How long probes of the node took.");
    let seconds = HistogramVec::new(seconds.buckets(PROBE_EDGES.to_vec()), &["node"])?;
    let seconds = keep(registry, seconds)?;
    let probes = IntCounterVec::new(
        Opts::new("segue_probes_total", "Probes of the node, by result."),
        &["node", ProbeResult::NAME],
    )?;
    let probes = keep(registry, probes)?;
    let metrics = |node: &'a str| NodeMetrics {
        up: up.with_label_values(&[node]),
        primary: primary.with_label_values(&[node]),
        offset_bytes: offset.with_label_values(&[node]),
        lag_bytes: lag.with_label_values(&[node]),
        diverged_bytes: diverged.with_label_values(&[node]),
        fenced: fenced.with_label_values(&[node]),
        probe_seconds: seconds.with_label_values(&[node]),
        probes: By::of::<ProbeResult>(|result| probes.with_label_values(&[node, result])),
    };
    Ok(nodes.into_iter().map(|node| (node.to_owned(), metrics(node))).collect())
}

/// Gauges of the registry are signed; an offset past 2^63 is not met in practice.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
