//! One client: its connection, its pace, and the plain ways of working.

use super::super::history::{Outcome, Seen, Write};
use super::super::site::{Site, Unfit, command};
use super::Shared;
use crate::net::converse::Conversation;
use crate::pure::resp::reply::{error_text, is_null, items, text};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep};

/// Between two attempts to connect again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// A connection that could not be had.
const CONNECTION: &str = "connection";

#[derive(Debug)]
pub(super) struct Client {
    pub(super) site: Arc<Site>,
    shared: Arc<Shared>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) link: Option<Conversation>,
    pub(super) seen: Seen,
    /// Its last write that was acknowledged.
    known: Option<u32>,
}

/// A request that was answered, or was not.
pub(super) struct Answer {
    pub(super) at: Instant,
    /// `None` if the connection was lost over it.
    pub(super) replies: Option<Vec<Bytes>>,
}

impl Client {
    pub(super) async fn open(
        id: u16,
        site: &Arc<Site>,
        shared: &Arc<Shared>,
        stop: &watch::Receiver<bool>,
    ) -> Result<Self, Unfit> {
        let link = Some(site.open().await?);
        let (site, shared, stop) = (Arc::clone(site), Arc::clone(shared), stop.clone());
        Ok(Self { site, shared, stop, link, seen: Seen::of(id, 1), known: None })
    }

    pub(super) const fn id(&self) -> u16 {
        self.seen.client
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// A pace whose clients do not all work at the same moment.
    pub(super) fn pace(&self, every: Duration) -> Interval {
        let places = u32::try_from(self.shared.begun.len()).unwrap_or(u32::MAX).max(1);
        let offset = every.saturating_mul(u32::from(self.id())) / places;
        let mut pace = interval_at(tokio::time::Instant::now() + offset, every);
        // What was missed is not caught up with in a burst.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pace
    }

    /// Waits for its next turn; false when it shall stop.
    pub(super) async fn turn(&mut self, pace: &mut Interval) -> bool {
        tokio::select! {
            // To stop comes first.
            biased;
            _ = self.stop.wait_for(|it| *it) => false,
            _ = pace.tick() => true,
        }
    }

    /// The numbers of the next `count` writes; from now on they will be cleaned up.
    pub(super) fn begin(&self, count: u32) -> u32 {
        let cell = self.shared.begun.get(usize::from(self.id()));
        cell.map_or(0, |it| it.fetch_add(count, Ordering::Relaxed))
    }

    /// Sends `commands` in one piece and waits for the answers, as long as it takes.
    pub(super) async fn call(&mut self, commands: &[Vec<String>]) -> Answer {
        let sent = Instant::now();
        let Some(link) = &mut self.link else {
            self.reconnect().await;
            return Answer { at: Instant::now(), replies: None };
        };
        let outcome = link.call(commands, self.site.patience).await;
        let at = Instant::now();
        self.seen.waits.push((sent, at.duration_since(sent)));
        let replies = match outcome {
            Ok(replies) => {
                self.shared.operations.fetch_add(replies.len() as u64, Ordering::Relaxed);
                Some(replies)
            }
            Err(error) => {
                self.lost(&error).await;
                None
            }
        };
        Answer { at, replies }
    }

    /// Counts a lost connection and makes a new one, so that the drill can go on.
    pub(super) async fn lost(&mut self, error: &io::Error) {
        self.link = None;
        self.seen.disconnections += 1;
        self.count(CONNECTION, error.kind().to_string());
        self.reconnect().await;
    }

    async fn reconnect(&mut self) {
        while self.link.is_none() && !self.is_stopped() {
            match self.site.open().await {
                Ok(link) => self.link = Some(link),
                Err(_still_not) => sleep(RECONNECT_PAUSE).await,
            }
        }
    }

    fn count(&mut self, what: &'static str, code: String) {
        *self.seen.errors.entry((what, code)).or_default() += 1;
    }

    /// What a reply says of a write; errors are counted.
    pub(super) fn judge(&mut self, what: &'static str, reply: Option<&Bytes>) -> Outcome {
        let Some(reply) = reply else { return Outcome::Unknown };
        let Some(error) = error_text(reply) else { return Outcome::Acknowledged };
        let code = error.split(|it| *it == b' ').next().unwrap_or_default();
        let code = String::from_utf8_lossy(code).into_owned();
        let outcome = if code == "UNCERTAIN" { Outcome::Uncertain } else { Outcome::Failed };
        self.count(what, code);
        outcome
    }

    /// One write, then one read, in each turn.
    pub(super) async fn plain(mut self, every: Duration) -> Seen {
        let mut pace = self.pace(every);
        while self.turn(&mut pace).await {
            self.batch(1, 0).await;
            self.batch(0, 1).await;
        }
        self.seen
    }

    /// A pipeline in each turn.
    pub(super) async fn pipelined(mut self, every: Duration, depth: u32) -> Seen {
        let mut pace = self.pace(every);
        while self.turn(&mut pace).await {
            self.batch(depth, depth).await;
        }
        self.seen
    }

    async fn batch(&mut self, writes: u32, reads: u32) {
        let id = self.id();
        let first = self.begin(writes);
        let numbers = first..first.saturating_add(writes);
        let mut commands: Vec<_> = numbers.clone().map(|n| self.site.set(id, n, 0)).collect();
        let known = self.known;
        if let Some(known) = known {
            let get = command(["GET", &self.site.key(id, known, 0)]);
            commands.extend((0..reads).map(|_| get.clone()));
        }
        if commands.is_empty() {
            return;
        }
        let Answer { at, replies } = self.call(&commands).await;
        let replies = replies.unwrap_or_default();
        let mut replies = replies.iter();
        for n in numbers {
            let outcome = self.judge("write", replies.next());
            if outcome == Outcome::Acknowledged {
                self.known = Some(n);
            }
            self.seen.writes.push(Write { n, answered: at, outcome });
        }
        for reply in replies {
            self.read(known, reply);
        }
    }

    fn read(&mut self, known: Option<u32>, reply: &Bytes) {
        let Some(known) = known else { return };
        self.seen.reads += 1;
        if is_null(reply) {
            self.seen.missed.insert(known);
        } else if self.judge("read", Some(reply)) == Outcome::Acknowledged {
            let expected = self.site.value(self.id(), known, 0);
            self.seen.wrong += u64::from(text(reply) != Some(expected.as_bytes()));
        }
    }

    /// A transaction, command by command, in each turn.
    pub(super) async fn transactions(mut self, every: Duration) -> Seen {
        self.seen.parts = 2;
        let mut pace = self.pace(every);
        while self.turn(&mut pace).await {
            let (id, n) = (self.id(), self.begin(1));
            let steps = [
                command(["MULTI"]),
                self.site.set(id, n, 0),
                self.site.set(id, n, 1),
                command(["EXEC"]),
            ];
            let mut outcome = Outcome::Unknown;
            let mut at = Instant::now();
            for step in steps {
                let answer = self.call(&[step]).await;
                at = answer.at;
                let reply = answer.replies.as_deref().and_then(|it| it.first());
                outcome = self.judge("transaction", reply);
                // A transaction that was not opened must not be continued.
                if outcome != Outcome::Acknowledged {
                    break;
                }
                // Null is "the watched key changed", and nothing is watched.
                if reply
                    .is_some_and(|it| is_null(it) || items(it).any(|it| error_text(it).is_some()))
                {
                    self.count("transaction", "not executed".to_owned());
                    outcome = Outcome::Failed;
                }
            }
            self.seen.writes.push(Write { n, answered: at, outcome });
        }
        self.seen
    }
}
