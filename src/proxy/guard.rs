//! Asks replicas to confirm guarded writes: one connection for each promise of a worker, which
//! nobody else uses, and one round at a time.
//!
//! ```text
//!  ROLE                      how far the primary is: covers all that it executed before
//!  SPUBLISH __segue__:guard  moves the replication stream, and with it what this
//!                            connection's WAIT waits for, past that place
//!  WAIT n t                  n replicas have it, or t is over
//! ```
//!
//! A `WAIT` without the publication would be false durability: Valkey waits only for what the
//! same connection has changed. `ROLE` comes first so that the offset which is told to the
//! control plane is certainly one that was confirmed. The publication goes to a shard channel,
//! which no pattern subscription hears; where the server has none, to an ordinary one.
//!
//! # Invariants
//!
//! * The control plane is told what is acknowledged *before* the first reply leaves.
//! * In an epoch only the process is asked for which it was opened, as the route names it. Another one
//!   that runs at its address confirms nothing before the control plane has looked at it and begun an
//!   epoch for it.
//! * So no reply of another process is confirmed, as long as an address leads to one server. A connection that
//!   a session made in this epoch leads to that process, or, when that has ended, to a later one; and a
//!   round that it answers was asked before it ended, and speaks for what had arrived until then.
//! * Nothing is written while the gate is held, nor on a connection of another epoch, and no
//!   answer of one counts.
//!
//! # Deliberately absent
//!
//! Which replies wait, and what becomes of them: `pure::session`.

use super::gate::Gate;
use crate::config::Credentials;
use crate::net::call::{CallError, Connection};
use crate::pure::resp::reply;
use crate::pure::session::{GUARD_CHANNEL, Promise, Rounds, Verdict, World};
use crate::pure::topology::{Acknowledged, Epoch, Primary, ReplId, RunId, SignalKind};
use bytes::Bytes;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep_until;
use tracing::{debug, info, warn};

/// How long to wait before another attempt to connect in the same epoch.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Starts what the worker's promises need.
pub(super) fn start(
    gate: &Rc<Gate>,
    credentials: Option<&Credentials>,
    acknowledged: &watch::Sender<Option<Acknowledged>>,
) {
    let promises: Vec<Promise> = gate.world.borrow().rounds.iter().map(|it| it.promise()).collect();
    for (index, promise) in promises.into_iter().enumerate() {
        let keeper = Keeper {
            gate: Rc::clone(gate),
            index,
            promise,
            credentials: credentials.cloned(),
            acknowledged: acknowledged.clone(),
            retry_after: RETRY_AFTER,
            link: None,
            refused: None,
            complaint: None,
        };
        tokio::task::spawn_local(keeper.keep());
    }
}

struct Link {
    connection: Connection,
    epoch: Epoch,
    replid: ReplId,
    publish: &'static [u8],
}

/// Keeps one promise.
struct Keeper {
    gate: Rc<Gate>,
    index: usize,
    promise: Promise,
    credentials: Option<Credentials>,
    acknowledged: watch::Sender<Option<Acknowledged>>,
    /// How long to wait before another attempt to connect.
    retry_after: Duration,
    link: Option<Link>,
    /// In which epoch a process was refused last.
    refused: Option<Epoch>,
    /// What was last found wrong, so that it is not said again.
    complaint: Option<String>,
}

impl Keeper {
    async fn keep(mut self) {
        // Since when a round is wanted that cannot begin.
        let mut stuck: Option<tokio::time::Instant> = None;
        // In which epoch connecting failed, and when to try again there.
        let mut failed: Option<(Epoch, tokio::time::Instant)> = None;
        loop {
            let route = self.gate.world.borrow().route;
            self.link.take_if(|it| it.epoch != route.epoch);
            let mut retry = None;
            if self.link.is_none()
                && let Some(primary) = route.primary()
            {
                let now = tokio::time::Instant::now();
                // Whatever woke this: a node that says no is not asked at every request.
                if failed.is_none_or(|(epoch, at)| epoch != route.epoch || at <= now) {
                    self.connect(primary, route.epoch).await;
                    let again = tokio::time::Instant::now() + self.retry_after;
                    failed = self.link.is_none().then_some((route.epoch, again));
                }
                retry = failed.map(|it| it.1);
            }
            let (route, is_wanted) = {
                let world = self.gate.world.borrow();
                (world.route, self.is_wanted(&world))
            };
            let is_usable = self.link.as_ref().is_some_and(|it| it.epoch == route.epoch);
            if is_wanted && is_usable && route.lets_finish() {
                // Whoever is ready to run has his reply first, so that the round speaks for him, too.
                tokio::task::yield_now().await;
                let since = tokio::time::Instant::now();
                // What is asked again has waited since it was asked first.
                stuck = self.round().await.then(|| stuck.unwrap_or(since));
                continue;
            }
            if !is_wanted {
                stuck = None;
            }
            let since = is_wanted.then(|| *stuck.get_or_insert_with(tokio::time::Instant::now));
            let late = since.map(|it| it + self.promise.timeout);
            tokio::select! {
                () = self.woken() => {}
                () = sleep_until(late.unwrap_or_else(far)), if late.is_some() => {
                    stuck = None;
                    self.give_up();
                }
                () = sleep_until(retry.unwrap_or_else(far)), if retry.is_some() => {}
            }
        }
    }

    fn is_wanted(&self, world: &World) -> bool {
        world.rounds.get(self.index).is_some_and(Rounds::is_wanted)
    }

    async fn woken(&self) {
        match self.gate.guards.get(self.index) {
            Some(guard) => guard.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Ends when `epoch` is over. The gate wakes this in the same turn in which it takes a new
    /// route, so what is polled after it in one turn never runs in a later epoch.
    async fn severed(&self, epoch: Epoch) {
        while self.gate.world.borrow().route.epoch == epoch {
            self.woken().await;
        }
    }

    async fn connect(&mut self, primary: Primary, epoch: Epoch) {
        let limit = self.gate.dial_limit;
        let opening = open(primary, epoch, self.credentials.as_ref(), limit);
        let opened = tokio::select! {
            biased;
            () = self.severed(epoch) => return,
            opened = opening => opened,
        };
        match opened {
            Ok(link) => {
                if self.complaint.take().is_some() {
                    info!("Guarded writes can be confirmed again");
                }
                self.link = Some(link);
            }
            Err(failure) => self.failed(failure),
        }
    }

    fn failed(&mut self, failure: Failure) {
        match failure {
            // What a failover is made of, and told of there.
            Failure::Lost(error) => debug!(%error, "No connection to confirm guarded writes on"),
            Failure::Denied(why) => self.complain(why),
            Failure::Another { addr, process } => self.refuse(addr, process),
            // The control plane finds out, too, and decides.
            Failure::Demoted => debug!("The primary is one no more"),
        }
    }

    /// Another process than the epoch's runs at the primary's address. It may lack what others have,
    /// and the control plane has not looked at it; if it is to serve, another epoch comes.
    fn refuse(&mut self, addr: SocketAddr, process: RunId) {
        // Whoever could have confirmed what waits is gone.
        self.give_up();
        let epoch = self.gate.world.borrow().route.epoch;
        if self.refused.replace(epoch) == Some(epoch) {
            // That was told before, and the epoch goes on all the same.
            return self.complain(format!("{addr} leads to another process than probes do"));
        }
        debug!(%addr, %process, "The primary runs as another process, which confirms nothing yet");
        self.gate.signal(SignalKind::Lost);
    }

    fn complain(&mut self, why: String) {
        if self.complaint.as_ref() != Some(&why) {
            warn!(%why, "Guarded writes cannot be confirmed and are answered -UNCERTAIN");
            self.complaint = Some(why);
        }
    }

    /// One round: everything that was answered by now is confirmed, or is not. True if it has to be
    /// asked again.
    async fn round(&mut self) -> bool {
        let Some(mut link) = self.link.take() else { return false };
        let epoch = link.epoch;
        let Some(round) = self.begin(epoch) else { return false };
        let started = Instant::now();
        let outcome = {
            let asking = ask(&mut link, self.promise, self.gate.dial_limit);
            tokio::select! {
                biased;
                () = self.severed(epoch) => return false,
                outcome = asking => outcome,
            }
        };
        self.gate.cells.guard_rounds.observe(started.elapsed());
        let verdict = match outcome {
            Ok(Answer { offset, replicas }) => {
                let is_enough = replicas >= u64::from(self.promise.replicas);
                if is_enough {
                    let Link { replid, .. } = link;
                    self.acknowledged.send_replace(Some(Acknowledged { epoch, replid, offset }));
                }
                self.link = Some(link);
                if is_enough { Verdict::Confirmed } else { Verdict::Short }
            }
            Err(failure) => {
                let is_lost = matches!(failure, Failure::Lost(_));
                self.failed(failure);
                if is_lost {
                    // It may be this connection alone: then the same process is asked again.
                    self.gate.signal(SignalKind::Lost);
                    self.again(round);
                    return true;
                }
                Verdict::Short
            }
        };
        self.end(round, verdict);
        false
    }

    /// Nobody can be asked: what waits is uncertain.
    fn give_up(&self) {
        let epoch = self.gate.world.borrow().route.epoch;
        if let Some(round) = self.begin(epoch) {
            self.end(round, Verdict::Short);
        }
    }

    fn begin(&self, epoch: Epoch) -> Option<u64> {
        let mut world = self.gate.world.borrow_mut();
        if world.route.epoch != epoch {
            return None;
        }
        world.rounds.get_mut(self.index).filter(|it| it.is_wanted()).map(|it| it.begin())
    }

    fn again(&self, round: u64) {
        let mut world = self.gate.world.borrow_mut();
        if let Some(rounds) = world.rounds.get_mut(self.index) {
            rounds.again(round);
        }
    }

    fn end(&self, round: u64, verdict: Verdict) {
        let rounds = |world: &mut World| {
            world.rounds.get_mut(self.index).map(|it| it.end(round)).unwrap_or_default()
        };
        let sessions = rounds(&mut self.gate.world.borrow_mut());
        let now = self.gate.now();
        for id in sessions {
            // One that is over has no use for it.
            if let Some(seat) = self.gate.seat(id) {
                seat.with(|it| it.after_round(now, round, verdict));
            }
        }
        self.gate.collect();
    }
}

fn far() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(3_600)
}

/// Connects, and finds out whether the node and its access rules let a round happen.
async fn open(
    primary: Primary,
    epoch: Epoch,
    credentials: Option<&Credentials>,
    limit: Duration,
) -> Result<Link, Failure> {
    let opened = Connection::open(primary.addr, credentials, limit).await;
    let mut connection = opened.map_err(Failure::from)?;
    let requests: [&[&[u8]]; 5] = [
        &[b"INFO", b"server"],
        &[b"INFO", b"replication"],
        &[b"ROLE"],
        &[b"SPUBLISH", GUARD_CHANNEL, b""],
        &[b"WAIT", b"0", b"1"],
    ];
    let replies = connection.call(&requests, limit).await.map_err(Failure::Lost)?;
    let [server, info, role, spublish, wait] = replies.as_slice() else {
        return Err(Failure::Denied("too few replies".to_owned()));
    };
    let lacks = |what: &str| Failure::Denied(format!("INFO has no {what}"));
    refused(server, "INFO")?;
    let process = field(server, "run_id:").and_then(RunId::parse).ok_or_else(|| lacks("run_id"))?;
    if process != primary.process {
        return Err(Failure::Another { addr: primary.addr, process });
    }
    is_primary(role)?;
    for (reply, command) in [(info, "INFO"), (wait, "WAIT")] {
        refused(reply, command)?;
    }
    // Servers before 7.0 have no shard channels.
    let publish: &[u8] = if reply::error_text(spublish).is_some() {
        let publish: &[&[u8]] = &[b"PUBLISH", GUARD_CHANNEL, b""];
        let replies = connection.call(&[publish], limit).await.map_err(Failure::Lost)?;
        replies.first().map_or(Ok(()), |it| refused(it, "PUBLISH"))?;
        b"PUBLISH"
    } else {
        b"SPUBLISH"
    };
    let replid = field(info, "master_replid:").and_then(ReplId::parse);
    let replid = replid.ok_or_else(|| lacks("master_replid"))?;
    Ok(Link { connection, epoch, replid, publish })
}

/// Asked first: what a replica refuses says nothing about rights.
fn is_primary(role: &Bytes) -> Result<(), Failure> {
    refused(role, "ROLE")?;
    let is_primary = reply::items(role).next().and_then(reply::text) == Some(b"master");
    if is_primary { Ok(()) } else { Err(Failure::Demoted) }
}

fn refused(reply: &Bytes, command: &str) -> Result<(), Failure> {
    reply::error_text(reply).map_or(Ok(()), |text| {
        // It became a replica while `WAIT` waited.
        if text.starts_with(b"UNBLOCKED ") {
            return Err(Failure::Demoted);
        }
        let text = String::from_utf8_lossy(text);
        Err(Failure::Denied(format!("the primary refuses {command}: {text}")))
    })
}

/// What stands behind `name` in a section of `INFO`.
fn field<'a>(info: &'a Bytes, name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(reply::text(info)?).ok()?;
    text.lines().find_map(|it| it.strip_prefix(name))
}

/// What a round found.
struct Answer {
    /// Everything that was executed before the round is below this, and the replicas have it.
    offset: u64,
    replicas: u64,
}

/// Why there was no answer.
#[derive(Debug)]
enum Failure {
    /// The connection failed; another one may do.
    Lost(CallError),
    /// The node says no, and will again.
    Denied(String),
    /// Another process than the epoch's is there.
    Another { addr: SocketAddr, process: RunId },
    /// It is a replica now.
    Demoted,
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Denied { .. } | CallError::Protocol { .. } | CallError::TooLong { .. } => {
                Self::Denied(error.to_string())
            }
            CallError::Dial(_) | CallError::Lost { .. } | CallError::Timeout { .. } => {
                Self::Lost(error)
            }
        }
    }
}

async fn ask(link: &mut Link, promise: Promise, grace: Duration) -> Result<Answer, Failure> {
    let (replicas, limit) = (promise.replicas.to_string(), promise.timeout.as_millis().to_string());
    let requests: [&[&[u8]]; 3] = [
        &[b"ROLE"],
        &[link.publish, GUARD_CHANNEL, b""],
        &[b"WAIT", replicas.as_bytes(), limit.as_bytes()],
    ];
    let called = link.connection.call(&requests, promise.timeout + grace).await;
    let replies = called.map_err(Failure::Lost)?;
    answer(&replies)
}

fn answer(replies: &[Bytes]) -> Result<Answer, Failure> {
    let denied = |why: &str| Failure::Denied(why.to_owned());
    let [role, publish, wait] = replies else { return Err(denied("too few replies")) };
    is_primary(role)?;
    for (reply, command) in [(publish, "PUBLISH"), (wait, "WAIT")] {
        refused(reply, command)?;
    }
    let offset =
        reply::items(role).nth(1).and_then(number).ok_or_else(|| denied("ROLE has no offset"))?;
    let replicas = number(wait).ok_or_else(|| denied("WAIT is not answered with a number"))?;
    Ok(Answer { offset, replicas })
}

fn number(element: &[u8]) -> Option<u64> {
    let digits = element.strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
#[path = "guard_test.rs"]
mod tests;
