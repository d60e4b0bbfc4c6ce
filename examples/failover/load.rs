//! Ordinary clients: threads with the `redis` crate's blocking connection, reading and writing at a
//! steady pace, which remember what they were told.
//!
//! Every second client sends one command at a time, the others send pipelines of eight. Half of each
//! speak RESP3. A write sets a key that nobody else sets and nobody sets again.

use crate::Fallible;
use redis::RedisResult;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Longer than Segue holds anything by default: who waits longer was forgotten.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Writes in one pipeline; it has as many reads.
const PIPELINE_WRITES: u64 = 4;
/// Time from one turn to the next: 100 operations a second for each plain client, 200 for each
/// pipelined one.
const PLAIN_EVERY: Duration = Duration::from_millis(20);
const PIPELINE_EVERY: Duration = Duration::from_millis(40);

/// What became of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Acknowledged,
    /// `-UNCERTAIN`: it may have run.
    Uncertain,
    /// Another error, or the connection was lost.
    Failed,
}

/// One write.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) key: String,
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
    pub(crate) outcome: Outcome,
}

/// Everything that one client saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    pub(crate) writes: Vec<Write>,
    pub(crate) reads: u64,
    /// Keys that were acknowledged and yet read as absent.
    pub(crate) missed: Vec<String>,
    /// Reads that returned another value than the one written.
    pub(crate) wrong: u64,
    /// Errors by kind of command and code.
    pub(crate) errors: BTreeMap<(&'static str, String), u64>,
    pub(crate) disconnections: u64,
    /// When each turn began and how long it took.
    pub(crate) turns: Vec<(Instant, Duration)>,
}

/// What the clients tell while they work.
#[derive(Default)]
struct Progress {
    stop: AtomicBool,
    operations: AtomicU64,
    disconnections: AtomicU64,
}

/// The running clients.
pub(crate) struct Load {
    progress: Arc<Progress>,
    threads: Vec<JoinHandle<Session>>,
}

impl Load {
    /// Connects all clients and lets them go.
    pub(crate) fn start(address: SocketAddr, clients: usize) -> Fallible<Self> {
        let progress = Arc::new(Progress::default());
        let mut load = Self { progress: Arc::clone(&progress), threads: Vec::new() };
        let mut ready = Vec::new();
        for id in 0..clients {
            let protocol = if (id / 2) % 2 == 0 { "resp2" } else { "resp3" };
            let url = format!("redis://{address}/?protocol={protocol}");
            let client = redis::Client::open(url)?;
            let connection = connect(&client)?;
            let session = Session::default();
            let progress = Arc::clone(&progress);
            ready.push(Client { id, client, connection, progress, session, next: 0, known: None });
        }
        for client in ready {
            load.threads.push(thread::spawn(move || client.work()));
        }
        Ok(load)
    }

    /// Operations answered so far.
    pub(crate) fn operations(&self) -> u64 {
        self.progress.operations.load(Ordering::Relaxed)
    }

    /// Connections lost so far.
    pub(crate) fn disconnections(&self) -> u64 {
        self.progress.disconnections.load(Ordering::Relaxed)
    }

    /// Lets every client finish its turn and hand in what it saw.
    pub(crate) fn stop(mut self) -> Vec<Session> {
        self.progress.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        threads.into_iter().filter_map(|it| it.join().ok()).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.progress.stop.store(true, Ordering::Relaxed);
    }
}

struct Client {
    id: usize,
    client: redis::Client,
    connection: redis::Connection,
    progress: Arc<Progress>,
    session: Session,
    /// Number of the next write.
    next: u64,
    /// The last write that was acknowledged.
    known: Option<String>,
}

/// The value that belongs to `key`.
pub(crate) fn value_of(key: &str) -> String {
    format!("value of {key}")
}

fn connect(client: &redis::Client) -> RedisResult<redis::Connection> {
    let connection = client.get_connection_with_timeout(CONNECT_WITHIN)?;
    connection.set_read_timeout(Some(ANSWER_WITHIN))?;
    Ok(connection)
}

impl Client {
    fn work(mut self) -> Session {
        let pipelined = self.id % 2 == 1;
        let (writes, every) =
            if pipelined { (PIPELINE_WRITES, PIPELINE_EVERY) } else { (1, PLAIN_EVERY) };
        while !self.progress.stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            if pipelined {
                self.turn(writes, writes);
            } else {
                self.turn(1, 0);
                self.turn(0, 1);
            }
            thread::sleep(every.saturating_sub(start.elapsed()));
        }
        self.session
    }

    /// One pipeline of so many writes and so many reads; of one command, it is a plain command.
    fn turn(&mut self, writes: u64, reads: u64) {
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        let mut sent_keys = Vec::new();
        for _ in 0..writes {
            let key = format!("client:{}:write:{}", self.id, self.next);
            self.next += 1;
            pipe.set(&key, value_of(&key));
            sent_keys.push(key);
        }
        let read_key = self.known.clone();
        for key in read_key.iter().cycle().take(reads.try_into().unwrap_or(0)) {
            pipe.get(key);
        }
        if pipe.is_empty() {
            return;
        }

        let sent = Instant::now();
        let answers: RedisResult<Vec<RedisResult<Option<String>>>> =
            pipe.query(&mut self.connection);
        let answered = Instant::now();
        self.session.turns.push((sent, answered.duration_since(sent)));
        let answers = answers.unwrap_or_else(|error| {
            self.lost(&error);
            Vec::new()
        });
        self.progress.operations.fetch_add(answers.len() as u64, Ordering::Relaxed);
        let mut answers = answers.into_iter();
        for key in sent_keys {
            let outcome = match answers.next() {
                Some(Ok(_)) => Outcome::Acknowledged,
                Some(Err(error)) => self.refused("write", &error),
                None => Outcome::Failed,
            };
            if outcome == Outcome::Acknowledged {
                self.known = Some(key.clone());
            }
            self.session.writes.push(Write { key, sent, answered, outcome });
        }
        for answer in answers {
            let Some(key) = &read_key else { continue };
            self.session.reads += 1;
            match answer {
                Ok(Some(value)) if value == value_of(key) => {}
                Ok(Some(_)) => self.session.wrong += 1,
                Ok(None) => self.session.missed.push(key.clone()),
                Err(error) => {
                    self.refused("read", &error);
                }
            }
        }
    }

    /// Counts an error reply.
    fn refused(&mut self, command: &'static str, error: &redis::RedisError) -> Outcome {
        let code = error.code().map_or_else(|| error.to_string(), str::to_owned);
        let outcome = if code == "UNCERTAIN" { Outcome::Uncertain } else { Outcome::Failed };
        *self.session.errors.entry((command, code)).or_default() += 1;
        outcome
    }

    /// Counts a lost connection and makes a new one, so that the rest of the show can go on.
    fn lost(&mut self, error: &redis::RedisError) {
        self.session.disconnections += 1;
        self.progress.disconnections.fetch_add(1, Ordering::Relaxed);
        *self.session.errors.entry(("connection", error.to_string())).or_default() += 1;
        while !self.progress.stop.load(Ordering::Relaxed) {
            if let Ok(connection) = connect(&self.client) {
                self.connection = connection;
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}
