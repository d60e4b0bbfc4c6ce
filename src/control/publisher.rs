//! Hands routes to the workers and knows which version all of them have confirmed: the barrier
//! before a promotion.
//!
//! A worker that does not confirm blocks the promotion, for as long as it takes: a worker that
//! has not severed its connections could still reach the old primary. It is named in the log.
//! A worker that has ended can reach nobody, and counts as having confirmed everything.

use crate::pure::failover::Event;
use crate::pure::topology::Route;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tracing::{error, info};

/// A healthy worker confirms within a turn of its loop.
const CONFIRM_MAX: Duration = Duration::from_millis(500);

/// The one sender of routes.
#[derive(Debug)]
pub(super) struct Publisher {
    route: watch::Sender<Route>,
    confirmed: Vec<watch::Receiver<u64>>,
    published_at: Instant,
    complained_at: Option<Instant>,
}

impl Publisher {
    pub(super) fn new(
        route: watch::Sender<Route>,
        confirmed: Vec<watch::Receiver<u64>>,
        drained: Vec<watch::Receiver<u64>>,
        events: &mpsc::Sender<Event>,
    ) -> Self {
        for receiver in &confirmed {
            let told = |version| Event::Confirmed { version };
            tokio::spawn(report(receiver.clone(), confirmed.clone(), events.clone(), told));
        }
        for receiver in &drained {
            let told = |version| Event::Drained { version };
            tokio::spawn(report(receiver.clone(), drained.clone(), events.clone(), told));
        }
        Self { route, confirmed, published_at: Instant::now(), complained_at: None }
    }

    /// Hands `route` to every worker.
    pub(super) fn publish(&mut self, route: Route) {
        self.route.send_replace(route);
        self.published_at = Instant::now();
        self.complained_at = None;
    }

    /// The version that every worker has confirmed.
    pub(super) fn confirmed(&self) -> u64 {
        lowest(&self.confirmed)
    }

    /// Says so when a worker does not confirm the route in force, again each second.
    pub(super) fn complain(&mut self) {
        let version = self.route.borrow().version;
        let waited = self.published_at.elapsed();
        let late = self.confirmed.iter().position(|it| of(it) < version);
        let Some(worker) = late.filter(|_| waited > CONFIRM_MAX) else {
            if self.complained_at.take().is_some() {
                info!(version, "Every worker has confirmed the route");
            }
            return;
        };
        if self.complained_at.is_none_or(|it| it.elapsed() >= Duration::from_secs(1)) {
            self.complained_at = Some(Instant::now());
            let elapsed_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            error!(worker, version, elapsed_ms, "A worker does not confirm the route");
        }
    }
}

async fn report(
    mut own: watch::Receiver<u64>,
    all: Vec<watch::Receiver<u64>>,
    events: mpsc::Sender<Event>,
    told: impl Fn(u64) -> Event,
) {
    loop {
        let has_ended = own.changed().await.is_err();
        if events.send(told(lowest(&all))).await.is_err() || has_ended {
            return;
        }
    }
}

fn lowest(confirmed: &[watch::Receiver<u64>]) -> u64 {
    confirmed.iter().map(of).min().unwrap_or(u64::MAX)
}

fn of(receiver: &watch::Receiver<u64>) -> u64 {
    if receiver.has_changed().is_err() { u64::MAX } else { *receiver.borrow() }
}
