//! Clients: each pipelines `SET`s of unique keys and `GET`s, changes its database, opens
//! transactions with and without `WATCH`, and remembers what it was told.

use crate::data::Write;
use crate::sim::{Event, Sim};
use crate::swarm::Us;
use std::collections::VecDeque;
use std::fmt::Write as _;

/// Requests of one transaction.
const QUEUE_MAX: usize = 4;

/// One client, with one connection at a time.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) proxy: usize,
    pub(crate) session: Option<usize>,
    pub(crate) waiting: VecDeque<Asked>,
    /// The database that it has selected.
    db: u64,
    /// Its transaction, from `MULTI` to `EXEC`, and what it is to hold together.
    open: Option<Transaction>,
    /// It waits for one answer before it goes on.
    quiet: bool,
    /// The `WATCH` that was answered with `+OK`, and no `EXEC` since.
    watch: Option<u64>,
    /// Its last `MULTI` was refused: what follows runs by itself.
    pub(crate) unopened: bool,
    /// So many answers that come next belong to requests behind one that was turned away.
    pub(crate) behind: usize,
}

/// What a client has put into a transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) writes: Vec<Write>,
    pub(crate) watch: Option<u64>,
}

/// A request that has no answer yet.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) what: What,
    pub(crate) at: Us,
    /// When the oldest one was asked that had no answer then; it, if there was none.
    pub(crate) behind_from: Us,
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Set(Write),
    Get(Write),
    Select(u64),
    Watch(u64),
    Multi,
    Queue(Write),
    Exec(Transaction),
}

/// What a client knows of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// No answer; also when the proxy died or said `-UNCERTAIN`.
    Unknown,
    /// `+OK`.
    Acked,
    /// An error that promises that it was not executed.
    Refused,
}

impl Client {
    pub(crate) const fn new(proxy: usize) -> Self {
        Self {
            proxy,
            session: None,
            waiting: VecDeque::new(),
            db: 0,
            open: None,
            quiet: false,
            watch: None,
            unopened: false,
            behind: 0,
        }
    }

    /// Connected anew: what was asked before stays unknown.
    fn reconnected(&mut self, session: usize) {
        *self = Self { session: Some(session), ..Self::new(self.proxy) };
    }
}

impl Sim {
    pub(crate) fn client_speaks(&mut self, client: usize) {
        let wait = self.rng.spread(self.swarm.think);
        self.after(wait, Event::ClientSpeaks { client });
        let proxy = self.clients[client].proxy;
        let session = match self.clients[client].session {
            Some(it) if !self.sessions[it].is_closed => it,
            Some(_) | None => {
                let it = self.open_session(client, proxy);
                self.clients[client].reconnected(it);
                it
            }
        };
        let mut input = String::new();
        for _ in 0..self.rng.range(1, 3) {
            let it = &self.clients[client];
            if it.quiet || it.waiting.len() >= self.swarm.pipeline {
                break;
            }
            for what in self.choose(client) {
                self.ask(client, what, &mut input);
            }
        }
        if !input.is_empty() {
            self.session_hears(session, input.as_bytes());
        }
    }

    /// What the client asks next.
    fn choose(&mut self, client: usize) -> Vec<What> {
        let roll = self.rng.range(0, 99);
        let is_idle = self.clients[client].waiting.is_empty();
        if let Some(open) = self.clients[client].open.clone() {
            let ends = roll < 40 || open.writes.len() >= QUEUE_MAX;
            return vec![if ends { What::Exec(open) } else { What::Queue(self.new_write()) }];
        }
        if self.clients[client].watch.is_some() || roll < 8 {
            return vec![What::Multi, What::Queue(self.new_write())];
        }
        match roll {
            8..15 if is_idle => vec![What::Select(self.rng.range(0, 3))],
            15..20 if is_idle => vec![What::Watch(self.serial())],
            75.. if !self.checker.writes.is_empty() => {
                vec![What::Get(self.rng.index(self.checker.writes.len()))]
            }
            _ => vec![What::Set(self.new_write())],
        }
    }

    fn new_write(&mut self) -> Write {
        self.checker.writes.push(Outcome::Unknown);
        self.checker.writes.len() - 1
    }

    fn ask(&mut self, client: usize, what: What, input: &mut String) {
        let at = self.now;
        self.trace(|| format!("client {client} asks {what:?}"));
        let it = &mut self.clients[client];
        let db = it.db;
        let key = |write: &Write| format!("k:{write}:{db}");
        let words = match &what {
            What::Set(write) => vec!["SET".into(), key(write), format!("v:{write}")],
            What::Get(write) => vec!["GET".into(), key(write)],
            What::Select(db) => {
                it.quiet = true;
                vec!["SELECT".into(), format!("{db}")]
            }
            What::Watch(watch) => {
                it.quiet = true;
                vec!["WATCH".into(), format!("w:{watch}")]
            }
            What::Multi => {
                let watch = it.watch.take();
                it.unopened = false;
                it.open = Some(Transaction { writes: Vec::new(), watch });
                vec!["MULTI".into()]
            }
            What::Queue(write) => {
                it.open.get_or_insert_default().writes.push(*write);
                vec!["SET".into(), key(write), format!("v:{write}")]
            }
            What::Exec(_) => {
                it.open = None;
                // What comes next must not be mistaken for a part of it.
                it.quiet = true;
                vec!["EXEC".into()]
            }
        };
        if let What::Queue(_) = what {
            let open = it.open.clone().unwrap_or_default();
            self.checker.transactions.insert(open.writes[0], (client, open));
        }
        let _infallible = write!(input, "*{}\r\n", words.len());
        for word in words {
            let _infallible = write!(input, "${}\r\n{word}\r\n", word.len());
        }
        let waiting = &mut self.clients[client].waiting;
        let behind_from = waiting.front().map_or(at, |it| it.at);
        waiting.push_back(Asked { what, at, behind_from });
    }

    /// Replies reach the client; each answers its oldest request.
    pub(crate) fn client_hears(&mut self, session: usize, output: &[u8]) {
        let client = self.sessions[session].client;
        if self.clients[client].session != Some(session) {
            return;
        }
        let text = String::from_utf8(output.to_vec()).unwrap();
        let _infallible = self.digest.write_str(&text);
        let mut lines = text.split_terminator("\r\n");
        while let Some(line) = lines.next() {
            let more = match line.as_bytes().first() {
                Some(b'$') if line != "$-1" => 1,
                Some(b'*') if line != "*-1" => line[1..].parse().unwrap(),
                _ => 0,
            };
            let rest: Vec<&str> = lines.by_ref().take(more).collect();
            let Some(asked) = self.clients[client].waiting.pop_front() else {
                return self.fail("session", format!("client {client} got {line} unasked"));
            };
            self.learn(client, &asked.what, line);
            self.check_answer(client, &asked, line, &rest);
        }
    }

    /// What an answer changes in what the client does next.
    fn learn(&mut self, client: usize, what: &What, line: &str) {
        let it = &mut self.clients[client];
        let is_ok = line == "+OK";
        match what {
            What::Select(db) => {
                it.quiet = false;
                it.db = if is_ok { *db } else { it.db };
            }
            What::Watch(watch) => {
                it.quiet = false;
                it.watch = is_ok.then_some(*watch);
                if is_ok {
                    self.checker.watch_heard(*watch);
                }
            }
            What::Multi if !is_ok => {
                it.unopened = true;
            }
            What::Exec(open) => {
                it.quiet = false;
                // There was nothing to end, so it watches on.
                it.watch = if it.unopened { open.watch } else { None };
            }
            What::Set(_) | What::Get(_) | What::Multi | What::Queue(_) => {}
        }
    }
}
