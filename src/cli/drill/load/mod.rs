//! The load of a drill: ordinary clients at a steady pace, each with its own way of working.
//!
//! | client | what it does in a turn |
//! |---|---|
//! | 0 | a transaction that sets two keys |
//! | 1 | pushes to a queue; a second connection waits for it with `BLPOP` |
//! | 2 | publishes; a second connection is subscribed |
//! | others | by turns: one write and one read; or a pipeline of four of each |
//!
//! # Deliberately absent
//!
//! Help for the clients: no retry of any kind. One connects again only after its disconnection was
//! counted. And the `redis` crate, which `examples/failover` uses on purpose: the binary would carry
//! a second client library for ten commands, and what it does by itself would have to be known.

mod client;
mod pairs;

use super::history::Seen;
use super::site::{Site, Unfit};
use client::Client;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Clients of the kinds that there is one of, and one of each other kind.
pub(super) const CLIENTS_MIN: u16 = 5;

/// Writes in one pipeline; it has as many reads.
const DEPTH: u32 = 4;

/// What the clients tell while they work.
#[derive(Debug)]
pub(super) struct Shared {
    operations: AtomicU64,
    /// How many writes each client has begun: what has to be cleaned up, whatever became of it.
    begun: Vec<AtomicU32>,
}

/// The running clients. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Load {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Seen>,
}

impl Load {
    /// Connects every client, and lets them go: `rate` operations a second together.
    ///
    /// # Errors
    ///
    /// If one cannot connect.
    pub(super) async fn start(site: &Arc<Site>, clients: u16, rate: u32) -> Result<Self, Unfit> {
        let begun = (0..clients).map(|_| AtomicU32::new(0)).collect();
        let shared = Arc::new(Shared { operations: AtomicU64::new(0), begun });
        let (stop, stopped) = watch::channel(false);
        let mut ready = Vec::new();
        for id in 0..clients {
            ready.push(Client::open(id, site, &shared, &stopped).await?);
        }
        let mut partners = Vec::new();
        for id in [1, 2] {
            partners.push(Client::open(id, site, &shared, &stopped).await?);
        }
        let mut load = Self { shared, stop, tasks: JoinSet::new() };
        // So many clients, so many operations each, for a turn of `operations`.
        let every = |operations: u32| {
            let turns = f64::from(rate) / f64::from(operations) / f64::from(clients);
            Duration::from_secs_f64(1.0 / turns)
        };
        for client in ready {
            match client.id() {
                0 => drop(load.tasks.spawn(client.transactions(every(4)))),
                1 => drop(load.tasks.spawn(client.push(every(3)))),
                2 => drop(load.tasks.spawn(client.publish(every(2)))),
                id if id % 2 == 1 => drop(load.tasks.spawn(client.plain(every(2)))),
                _ => drop(load.tasks.spawn(client.pipelined(every(2 * DEPTH), DEPTH))),
            }
        }
        for client in partners {
            if client.id() == 1 {
                load.tasks.spawn(client.pop());
            } else {
                load.tasks.spawn(client.listen());
            }
        }
        Ok(load)
    }

    /// Operations answered so far.
    pub(super) fn operations(&self) -> u64 {
        self.shared.operations.load(Ordering::Relaxed)
    }

    /// How many writes each client has begun.
    pub(super) fn begun(&self) -> Vec<u32> {
        self.shared.begun.iter().map(|it| it.load(Ordering::Relaxed)).collect()
    }

    /// Lets every client finish its turn, within `limit`, and hand in what it saw. Who does not
    /// finish is ended: what it saw is missing then.
    pub(super) async fn stop(&mut self, limit: Duration) -> Vec<Seen> {
        self.stop.send_replace(true);
        let mut seen = Vec::new();
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                // A client that panicked has said so on standard error.
                seen.extend(ended.ok());
            }
        };
        let is_late = timeout(limit, all).await.is_err();
        if is_late {
            self.tasks.shutdown().await;
        }
        seen
    }
}
