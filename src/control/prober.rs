//! Asks one node how it is: `PING` and one `INFO`, pipelined, on a kept connection; on its own
//! schedule, and at once when told to.
//!
//! Names are looked up for every new connection. A connection that broke is replaced within
//! the same probe, so that a server that closes idle clients, or was restarted, is not taken
//! for one that refuses.

use super::Clock;
use crate::config::Credentials;
use crate::net::call::{CallError, Connection};
use crate::net::{DialError, resolve};
use crate::pure::failover::{Endpoint, Event, Finding, NodeSpec, Probed};
use crate::pure::resp::reply::{error_text, text};
use crate::pure::topology::{NodeId, Report};
use crate::telemetry::metrics::{NodeMetrics, ProbeResult};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tracing::debug;

/// One atomic answer to all questions; several sections in one call since 7.0.
const INFO: &[&[u8]] = &[b"INFO", b"server", b"replication", b"persistence", b"keyspace"];

/// Whom to ask, and how.
#[derive(Debug)]
pub(super) struct Prober {
    pub(super) node: NodeId,
    pub(super) spec: NodeSpec,
    pub(super) credentials: Option<Credentials>,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
    /// Told when the node is to be asked out of turn; remembers one call while it is busy.
    pub(super) nudge: Arc<Notify>,
    pub(super) metrics: Option<NodeMetrics>,
}

impl Prober {
    /// Probes until nobody listens any more.
    pub(super) async fn run(self, results: mpsc::Sender<Event>) {
        let mut kept = None;
        loop {
            let start = Instant::now();
            let probed = self.probe(&mut kept, start).await;
            if let Some(metrics) = &self.metrics
                && let Some(result) = result_of(&probed.finding)
            {
                metrics.probed(result, start.elapsed());
            }
            if results.send(Event::Probed(probed)).await.is_err() {
                return;
            }
            let rest = self.interval.saturating_sub(start.elapsed());
            tokio::select! {
                // Asked for first: the schedule is only the lower bound.
                biased;
                () = self.nudge.notified() => {}
                () = sleep(rest) => {}
            }
        }
    }

    async fn probe(&self, kept: &mut Option<Connection>, start: Instant) -> Probed {
        let asked = self.clock.now();
        let mut aliases = Vec::new();
        let mut addr = None;
        let finding = self.ask(kept, start, &mut aliases, &mut addr).await;
        Probed { node: self.node, asked, addr, aliases, finding }
    }

    async fn ask(
        &self,
        kept: &mut Option<Connection>,
        start: Instant,
        aliases: &mut Vec<SocketAddr>,
        addr: &mut Option<SocketAddr>,
    ) -> Finding {
        // Taken out for the time of the call: on any failure it is closed by being dropped.
        if let Some(mut connection) = kept.take() {
            match self.question(&mut connection, self.left(start)).await {
                Ok(finding) => {
                    *addr = Some(connection.addr());
                    *kept = Some(connection);
                    return finding;
                }
                Err(CallError::Timeout { .. }) => return Finding::Silent { connected: false },
                Err(error) => {
                    debug!(node = %self.spec.name, %error, "Probe connection lost");
                }
            }
        }
        let mut connection = match self.connect(start, aliases).await {
            Ok(connection) => connection,
            Err(finding) => return finding,
        };
        *addr = Some(connection.addr());
        match self.question(&mut connection, self.left(start)).await {
            Ok(finding) => {
                *kept = Some(connection);
                finding
            }
            Err(error) => explain(&error, true),
        }
    }

    fn left(&self, start: Instant) -> Duration {
        self.timeout.saturating_sub(start.elapsed())
    }

    async fn connect(
        &self,
        start: Instant,
        aliases: &mut Vec<SocketAddr>,
    ) -> Result<Connection, Finding> {
        let found = self.look_up(&self.spec.address, start).await;
        aliases.extend(&found);
        if self.spec.replication != self.spec.address {
            // Only a help to recognise the node under the name that replicas use.
            aliases.extend(self.look_up(&self.spec.replication, start).await);
        }
        let mut finding = Finding::Silent { connected: false };
        for addr in found {
            let limit = self.left(start);
            match Connection::open(addr, self.credentials.as_ref(), limit).await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    debug!(node = %self.spec.name, %addr, %error, "No probe connection");
                    // The system makes connections for a process that hangs.
                    let was_connected = !matches!(error, CallError::Dial(_));
                    finding = explain(&error, was_connected);
                }
            }
        }
        Err(finding)
    }

    async fn look_up(&self, name: &Endpoint, start: Instant) -> Vec<SocketAddr> {
        match resolve(&name.host, name.port, self.left(start)).await {
            Ok(found) => found,
            Err(error) => {
                debug!(node = %self.spec.name, %error, "Name not resolved");
                Vec::new()
            }
        }
    }

    async fn question(
        &self,
        connection: &mut Connection,
        limit: Duration,
    ) -> Result<Finding, CallError> {
        let replies = connection.call(&[&[b"PING"], INFO], limit).await?;
        let [ping, info] = replies.as_slice() else {
            return Ok(Finding::Impaired { error: "no answer to INFO".to_owned(), report: None });
        };
        let report = match text(info) {
            Some(info) => {
                Report::parse(&String::from_utf8_lossy(info)).map_err(|it| it.to_string())
            }
            None => Err(words(error_text(info))),
        };
        Ok(match (error_text(ping), report) {
            (None, Ok(report)) => Finding::Good(Box::new(report)),
            // What it is is known, and the detector looks at `loading` itself.
            (Some(error), Ok(report)) if error.starts_with(b"LOADING") && report.loading => {
                Finding::Good(Box::new(report))
            }
            (Some(error), _) if error.starts_with(b"LOADING") => Finding::Loading,
            (Some(error), Ok(report)) => {
                Finding::Impaired { error: words(Some(error)), report: Some(Box::new(report)) }
            }
            (Some(error), Err(_)) => Finding::Impaired { error: words(Some(error)), report: None },
            (None, Err(error)) => Finding::Impaired { error, report: None },
        })
    }
}

fn words(text: Option<&[u8]>) -> String {
    text.map_or_else(|| "nothing".to_owned(), |it| String::from_utf8_lossy(it).into_owned())
}

/// What a failed call says of the node.
fn explain(error: &CallError, connected: bool) -> Finding {
    match error {
        CallError::Dial(error) if error.is_ours() => Finding::NotAsked,
        CallError::Dial(DialError::Refused { .. }) | CallError::Lost { .. } => Finding::Refused,
        CallError::Dial(DialError::Timeout { .. } | DialError::Other { .. }) => {
            Finding::Silent { connected: false }
        }
        CallError::Timeout { .. } => Finding::Silent { connected },
        CallError::Denied { text, .. } => Finding::Impaired { error: text.clone(), report: None },
        CallError::Protocol { .. } | CallError::TooLong { .. } => {
            Finding::Impaired { error: error.to_string(), report: None }
        }
    }
}

const fn result_of(finding: &Finding) -> Option<ProbeResult> {
    match finding {
        Finding::Good(report) if report.loading => Some(ProbeResult::Loading),
        Finding::Good(_) => Some(ProbeResult::Ok),
        Finding::Impaired { .. } => Some(ProbeResult::Error),
        Finding::Loading => Some(ProbeResult::Loading),
        Finding::Refused => Some(ProbeResult::Refused),
        Finding::Silent { .. } => Some(ProbeResult::Timeout),
        Finding::NotAsked => None,
    }
}
