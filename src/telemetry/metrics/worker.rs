//! What the data plane counts: one line here is one family, for every worker.

use super::cell::{Counter, CounterBy, Exported, Gauge, Histogram, HistogramBy};
use super::labels::{Closed, Direction, Family, Guarded, Proof, Refused, Rejected, RequestClass};
use super::{Totals, lock};
use crate::pure::session::{self, Tally, Timing};
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

macro_rules! worker_cells {
    ($($field:ident: $cell:ty = $name:literal, $help:literal;)+) => {
        /// The cells of one thread of the data plane. That thread alone writes them (a second
        /// writer would lose counts); any thread may read.
        ///
        /// Aligned so that two workers never share a cache line, nor a pair of lines that
        /// the processor fetches together.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct WorkerCells {
            $(#[doc = concat!("`", $name, "`: ", $help)] pub $field: $cell,)+
        }

        const FAMILIES: &[(&str, &str)] = &[$(($name, $help)),+];

        fn families(workers: &[Arc<WorkerCells>]) -> Vec<MetricFamily> {
            vec![$(family($name, $help, workers.iter().map(|it| &it.$field))),+]
        }
    };
}

worker_cells! {
    sessions_open: Gauge = "segue_sessions_open", "Client sessions open now.";
    sessions_accepted: Counter = "segue_sessions_accepted_total", "Client sessions let in.";
    sessions_rejected: CounterBy<Rejected> =
        "segue_sessions_rejected_total", "Clients turned away, by reason.";
    sessions_closed: CounterBy<Closed> =
        "segue_sessions_closed_total", "Client sessions that ended, by reason.";
    sessions_restored: Counter =
        "segue_sessions_restored_total", "Times a session's state was rebuilt on a new connection.";
    restore_failures: Counter =
        "segue_session_restore_failures_total", "Times rebuilding a session's state failed.";
    requests: CounterBy<RequestClass> =
        "segue_requests_total", "Requests read from clients, by class.";
    request_proxy: HistogramBy<Family> = "segue_request_proxy_seconds",
        "How long requests were with Segue before they were sent, by family of commands.";
    request_upstream: HistogramBy<Family> = "segue_request_upstream_seconds",
        "How long nodes took from the sending of a request to its reply, by family of commands.";
    bytes: CounterBy<Direction> =
        "segue_bytes_total", "Bytes moved, by direction as seen from Segue.";
    in_flight_requests: Gauge =
        "segue_in_flight_requests", "Requests sent to a node and not answered yet.";
    in_flight_bytes: Gauge =
        "segue_in_flight_bytes", "Bytes of requests kept because they are unanswered or held.";
    hold_commands: Gauge = "segue_hold_commands", "Commands held now.";
    hold_bytes: Gauge = "segue_hold_bytes", "Bytes of the commands held now.";
    hold_seconds: Histogram = "segue_hold_seconds", "How long commands were held.";
    commands_held: Counter = "segue_commands_held_total", "Commands that were held.";
    commands_released: Counter =
        "segue_commands_released_total", "Held commands that were sent after all.";
    commands_replayed: CounterBy<RequestClass> =
        "segue_commands_replayed_total", "Commands sent a second time, by class.";
    commands_uncertain: Counter =
        "segue_commands_uncertain_total", "Writes answered -UNCERTAIN: sent, and never answered or not confirmed.";
    commands_refused: CounterBy<Refused> =
        "segue_commands_refused_total", "Commands answered with an error of Segue's own, by reason.";
    proofs: CounterBy<Proof> =
        "segue_nonexecution_proofs_total", "Replies that proved a command was not run, by kind.";
    upstream_connections: Gauge =
        "segue_upstream_connections", "Connections to nodes that sessions use now.";
    upstream_opened: Counter =
        "segue_upstream_opened_total", "Connections to nodes that were established for sessions.";
    upstream_failed: Counter =
        "segue_upstream_failed_total", "Connections to nodes that could not be established.";
    upstream_lost: Counter =
        "segue_upstream_lost_total", "Connections to nodes that broke or were severed.";
    subscription_gaps: Counter =
        "segue_subscription_gaps_total", "Subscriptions that may have missed messages.";
    subscribers_late: Counter =
        "segue_subscribers_late_total", "Subscribers that others did not wait for after a switchover.";
    tracking_invalidations: Counter =
        "segue_tracking_invalidations_total", "Times a client's whole cache was invalidated.";
    blocking_reissued: Counter =
        "segue_blocking_reissued_total", "Blocking commands issued again on a new primary.";
    scans_restarted: Counter =
        "segue_scans_restarted_total", "Iterations started again on a new primary.";
    transactions_replayed: Counter =
        "segue_transactions_replayed_total", "Open transactions rebuilt on a new primary.";
    watches_aborted: Counter =
        "segue_watches_aborted_total", "Transactions answered null because WATCH was lost.";
    scripts_reloaded: Counter =
        "segue_scripts_reloaded_total", "Scripts loaded again on a new primary.";
    guarded_writes: CounterBy<Guarded> =
        "segue_guarded_writes_total", "Guarded writes, by what their clients were told.";
    guarded_reads: CounterBy<Guarded> =
        "segue_guarded_reads_total", "Guarded reads, by what their clients were told.";
    guard_rounds: Histogram =
        "segue_guard_round_seconds", "How long replicas took to confirm a round of guarded writes.";
    withheld_replies: Gauge =
        "segue_withheld_replies", "Replies that wait until replicas have confirmed them.";
    withheld_bytes: Gauge =
        "segue_withheld_bytes", "Bytes of those replies and of what waits behind them.";
}

impl WorkerCells {
    /// A session begins.
    pub fn session_opened(&self) {
        self.sessions_accepted.inc();
        self.sessions_open.inc();
    }

    /// A session ends.
    pub fn session_closed(&self, reason: Closed) {
        self.sessions_closed.inc(reason);
        self.sessions_open.dec();
    }

    /// Adds what requests took.
    pub fn time(&self, timing: &Timing) {
        let family = Family::from(timing.family);
        self.request_proxy.observe(family, timing.proxy(), timing.count);
        self.request_upstream.observe(family, timing.upstream(), timing.count);
    }

    /// Adds the requests that sessions admitted, and nothing else.
    pub fn add_requests(&self, tally: &Tally) {
        self.requests.add(RequestClass::Read, tally.reads);
        self.requests.add(RequestClass::Write, tally.writes);
        self.requests.add(RequestClass::Connection, tally.connection);
    }

    /// Adds what sessions counted.
    pub fn add(&self, tally: &Tally) {
        // Taken apart by name, so that a new count does not compile until it is exported.
        let Tally {
            reads: _,
            writes: _,
            connection: _,
            held,
            released,
            replayed_reads,
            replayed_writes,
            uncertain,
            refused_timeout,
            refused_full,
            refused_policy,
            refused_streamed,
            proofs,
            restored,
            restore_failures,
            transactions_replayed,
            watches_broken,
            blocking_reissued,
            subscription_gaps,
            subscribers_late,
            invalidations,
            scans_restarted,
            scripts_reloaded,
            guarded_writes,
            unguarded_writes,
            guarded_reads,
            unguarded_reads,
        } = *tally;
        self.add_requests(tally);
        self.commands_held.add(held);
        self.commands_released.add(released);
        self.commands_replayed.add(RequestClass::Read, replayed_reads);
        self.commands_replayed.add(RequestClass::Write, replayed_writes);
        self.commands_uncertain.add(uncertain);
        self.commands_refused.add(Refused::Timeout, refused_timeout);
        self.commands_refused.add(Refused::Full, refused_full);
        self.commands_refused.add(Refused::Policy, refused_policy);
        self.commands_refused.add(Refused::Streamed, refused_streamed);
        for (proof, count) in session::Proof::ALL.into_iter().zip(proofs) {
            self.proofs.add(Proof::from(proof), count);
        }
        self.sessions_restored.add(restored);
        self.restore_failures.add(restore_failures);
        self.transactions_replayed.add(transactions_replayed);
        self.watches_aborted.add(watches_broken);
        self.blocking_reissued.add(blocking_reissued);
        self.subscription_gaps.add(subscription_gaps);
        self.subscribers_late.add(subscribers_late);
        self.tracking_invalidations.add(invalidations);
        self.scans_restarted.add(scans_restarted);
        self.scripts_reloaded.add(scripts_reloaded);
        self.guarded_writes.add(Guarded::Confirmed, guarded_writes);
        self.guarded_writes.add(Guarded::Uncertain, unguarded_writes);
        self.guarded_reads.add(Guarded::Confirmed, guarded_reads);
        self.guarded_reads.add(Guarded::Uncertain, unguarded_reads);
    }
}

/// Every worker's cells, as one collector.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    /// Locked when a worker starts and when somebody looks, never to count.
    cells: Arc<Mutex<Vec<Arc<WorkerCells>>>>,
    descs: Arc<Vec<Desc>>,
}

impl Workers {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let describe = |&(name, help): &(&str, &str)| {
            Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())
        };
        let descs = FAMILIES.iter().map(describe).collect::<prometheus::Result<_>>()?;
        let workers = Self { cells: Arc::default(), descs: Arc::new(descs) };
        registry.register(Box::new(workers.clone()))?;
        Ok(workers)
    }

    pub(super) fn add(&self) -> Arc<WorkerCells> {
        let cells = Arc::new(WorkerCells::default());
        lock(&self.cells).push(Arc::clone(&cells));
        cells
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for cells in lock(&self.cells).iter() {
            totals.sessions_open += cells.sessions_open.read();
            totals.hold_commands += cells.hold_commands.read();
            totals.hold_bytes += cells.hold_bytes.read();
            totals.in_flight_bytes += cells.in_flight_bytes.read();
            totals.upstream_connections += cells.upstream_connections.read();
        }
        totals
    }
}

impl Collector for Workers {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        families(&lock(&self.cells))
    }
}

fn family<'a, C: Exported>(
    name: &str,
    help: &str,
    workers: impl Iterator<Item = &'a C> + Clone,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(C::TYPE);
    family.set_metric(C::sum(workers));
    family
}
