//! Clients: each pipelines `SET`s of unique keys and `GET`s, and remembers what it was told.

use crate::data::Write;
use crate::sim::{Event, Sim};
use crate::swarm::Us;
use std::collections::VecDeque;

/// Requests that a client has under way at most.
const PIPELINE_MAX: usize = 8;

/// One client, with one connection at a time.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) proxy: usize,
    pub(crate) session: Option<usize>,
    waiting: VecDeque<Asked>,
}

/// A request that has no answer yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) what: What,
    pub(crate) at: Us,
}

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Set(Write),
    Get(Write),
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
        Self { proxy, session: None, waiting: VecDeque::new() }
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
                // Connected anew: what was asked before stays unknown.
                self.clients[client].waiting.clear();
                let it = self.open_session(client, proxy);
                self.clients[client].session = Some(it);
                it
            }
        };
        let mut input = String::new();
        for _ in 0..self.rng.range(1, 3) {
            if self.clients[client].waiting.len() >= PIPELINE_MAX {
                break;
            }
            let writes = self.checker.writes.len();
            let what = if writes == 0 || self.rng.chance(75) {
                self.checker.writes.push(Outcome::Unknown);
                What::Set(writes)
            } else {
                What::Get(self.rng.index(writes))
            };
            input += &match what {
                What::Set(write) => {
                    let (key, value) = (format!("k:{write}"), format!("v:{write}"));
                    let (long, wide) = (key.len(), value.len());
                    format!("*3\r\n$3\r\nSET\r\n${long}\r\n{key}\r\n${wide}\r\n{value}\r\n")
                }
                What::Get(write) => {
                    let key = format!("k:{write}");
                    format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len())
                }
            };
            let at = self.now;
            self.clients[client].waiting.push_back(Asked { what, at });
        }
        if !input.is_empty() {
            self.session_hears(session, input.as_bytes());
        }
    }

    /// Replies reach the client; each answers its oldest request.
    pub(crate) fn client_hears(&mut self, session: usize, output: &[u8]) {
        let client = self.sessions[session].client;
        if self.clients[client].session != Some(session) {
            return;
        }
        let text = String::from_utf8(output.to_vec()).unwrap();
        let mut lines = text.split_terminator("\r\n");
        while let Some(line) = lines.next() {
            let value = match line.strip_prefix('$') {
                Some("-1") | None => None,
                Some(_) => lines.next(),
            };
            match self.clients[client].waiting.pop_front() {
                Some(asked) => self.check_answer(client, asked, line, value),
                None => self.fail("session", format!("client {client} got {line} unasked")),
            }
        }
    }
}
