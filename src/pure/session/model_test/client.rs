//! A model of one client: what it asks for, and whether what it hears can be true.
//!
//! It knows the protocol and nothing of Segue: from the frames that it gets it keeps the state that
//! its connection should have, and every reply is held against the request whose turn it is.

use super::command::{SCAN_ITEMS, text};
use crate::pure::resp::reply::{self, Scan};
use crate::pure::resp::write;
use std::collections::{BTreeSet, VecDeque};

/// What became of one request, as far as the client can know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// Answered by its own reply: it ran.
    Done,
    /// Answered by an error that says that it did not run.
    Refused,
    Uncertain,
    /// Nobody wanted the answer.
    Hidden,
    /// Queued in a transaction whose number this is; see [`Client::transactions`].
    Queued(usize),
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Mode {
    #[default]
    On,
    Off,
    Skip,
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) args: Vec<String>,
    pub(super) token: String,
}

impl Request {
    pub(super) fn name(&self) -> String {
        self.args[0].to_ascii_uppercase()
    }

    /// Whether running it twice would show.
    pub(super) fn is_write(&self) -> bool {
        ["SET", "MOD.PUT", "INCR", "RPUSH", "EVAL", "EVALSHA"].contains(&self.name().as_str())
    }

    fn subscription(&self) -> Option<(usize, bool)> {
        Some(match self.name().as_str() {
            "SUBSCRIBE" => (0, true),
            "PSUBSCRIBE" => (1, true),
            "SSUBSCRIBE" => (2, true),
            "UNSUBSCRIBE" => (0, false),
            "PUNSUBSCRIBE" => (1, false),
            "SUNSUBSCRIBE" => (2, false),
            _ => return None,
        })
    }
}

/// What a transaction came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Transaction {
    pub(super) queue: Vec<Request>,
    pub(super) outcome: Option<Outcome>,
    pub(super) aborted: bool,
    pub(super) watches: Vec<(String, String)>,
}

/// The connection's state, as the client has been told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) resp3: bool,
    pub(super) mode: Mode,
    pub(super) db: u8,
    pub(super) user: String,
    pub(super) name: String,
    pub(super) lib: String,
    pub(super) tracking: Option<String>,
    pub(super) subs: [BTreeSet<String>; 3],
    pub(super) monitor: bool,
    pub(super) watches: Vec<(String, String)>,
    pub(super) multi: Option<usize>,
    pub(super) id: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) told: Told,
    pub(super) waiting: VecDeque<Request>,
    /// Frames of the first request that were seen.
    seen: usize,
    /// Frames that it takes; known from the first one on.
    takes: Option<usize>,
    inbuf: Vec<u8>,
    pub(super) outcomes: Vec<(Request, Outcome)>,
    /// Writes may be uncertain although they were answered.
    pub(super) guarded: bool,
    pub(super) transactions: Vec<Transaction>,
    /// Bodies that a reply has confirmed.
    pub(super) scripts: BTreeSet<String>,
    /// Where the iteration stands, and what it has returned.
    pub(super) cursor: String,
    scanned: BTreeSet<String>,
    pub(super) scans_done: usize,
    pub(super) invalidations: usize,
    /// Errors that are right in this run.
    pub(super) may_be_refused: bool,
}

impl Client {
    /// Asks for `args`; returns the bytes.
    pub(super) fn ask(&mut self, args: &[&str], token: &str) -> Vec<u8> {
        let request = Request {
            args: args.iter().map(|&it| it.to_owned()).collect(),
            token: token.to_owned(),
        };
        self.waiting.push_back(request);
        let mut bytes = Vec::new();
        let args: Vec<&[u8]> = args.iter().map(|it| it.as_bytes()).collect();
        write::request(&mut bytes, &args);
        bytes
    }

    /// Takes what the session delivered.
    pub(super) fn hear(&mut self, bytes: &[u8], losses: usize) {
        self.inbuf.extend_from_slice(bytes);
        loop {
            let Scan::Frame { len } = reply::Scanner::new().scan(&self.inbuf) else { return };
            let frame: Vec<u8> = self.inbuf.drain(..len).collect();
            self.frame(&frame, losses);
        }
    }

    pub(super) fn is_mid_frame(&self) -> bool {
        !self.inbuf.is_empty()
    }

    /// Lets go of requests at the front that get no reply.
    pub(super) fn skip_silent(&mut self) {
        while let Some(first) = self.waiting.front() {
            let reply_mode = first.name() == "CLIENT" && first.args[1] == "REPLY";
            let shown = reply_mode && first.args[2] == "ON"
                || first.name() == "RESET"
                || first.subscription().is_some();
            let mode = self.told.mode;
            let silent = reply_mode && first.args[2] != "ON" || mode != Mode::On && !shown;
            if !silent {
                return;
            }
            let request = self.waiting.pop_front().unwrap();
            if mode == Mode::Skip {
                self.told.mode = Mode::On;
            }
            if reply_mode {
                match request.args[2].as_str() {
                    "OFF" => self.told.mode = Mode::Off,
                    _ if mode != Mode::Off => self.told.mode = Mode::Skip,
                    _ => {}
                }
            }
            self.outcomes.push((request, Outcome::Hidden));
        }
    }

    fn frame(&mut self, frame: &[u8], losses: usize) {
        if self.unasked(frame) {
            return;
        }
        self.skip_silent();
        let Some(request) = self.waiting.front().cloned() else {
            panic!("a reply to nothing: {}", text(frame));
        };
        let error = reply::error_text(frame).map(text);
        let in_multi = self.told.multi;
        if let Some((kind, adds)) = request.subscription()
            && error.is_none()
        {
            assert!(in_multi.is_none(), "subscribed inside MULTI");
            return self.confirmation(&request, kind, adds, frame);
        }
        let request = self.waiting.pop_front().unwrap();
        self.seen = 0;
        self.takes = None;
        if self.told.mode == Mode::Skip {
            self.told.mode = Mode::On;
        }
        let name = request.name();
        if let Some(error) = error {
            return self.error(request, &error, losses);
        }
        let at_once = ["EXEC", "DISCARD", "RESET"].contains(&name.as_str());
        if let Some(number) = in_multi
            && !at_once
        {
            assert_eq!(text(frame), "+QUEUED\r\n", "in MULTI, for {request:?}");
            self.transactions[number].queue.push(request.clone());
            self.outcomes.push((request, Outcome::Queued(number)));
            return;
        }
        assert_ne!(text(frame), "+QUEUED\r\n", "outside of MULTI, for {request:?}");
        if name == "EXEC" {
            self.exec(&request, frame, losses);
        } else {
            self.value(&request, frame);
        }
        self.outcomes.push((request, Outcome::Done));
    }

    fn unasked(&mut self, frame: &[u8]) -> bool {
        if self.told.monitor && frame.starts_with(b"+17") {
            return true;
        }
        let is_push = frame[0] == b'>';
        if !is_push && (frame[0] != b'*' || self.told.resp3) {
            return false;
        }
        let items: Vec<String> =
            reply::items(frame).map(|it| reply::text(it).map(text).unwrap_or_default()).collect();
        match items.first().map(String::as_str) {
            Some("invalidate") if is_push => {
                self.invalidations += 1;
                true
            }
            Some("message") => {
                assert!(self.told.subs[0].contains(&items[1]), "message on {}", items[1]);
                true
            }
            Some("pmessage") => {
                assert!(self.told.subs[1].contains(&items[1]), "message on {}", items[1]);
                true
            }
            Some("smessage") => {
                assert!(self.told.subs[2].contains(&items[1]), "message on {}", items[1]);
                true
            }
            _ => false,
        }
    }

    fn confirmation(&mut self, request: &Request, kind: usize, adds: bool, frame: &[u8]) {
        let items: Vec<&[u8]> = reply::items(frame).collect();
        let word = reply::text(items[0]).map(text).unwrap_or_default();
        let un = if adds { "" } else { "un" };
        assert_eq!(word, format!("{}{un}subscribe", ["", "p", "s"][kind]), "for {request:?}");
        assert_eq!(frame[0] == b'>', self.told.resp3, "marker of {}", text(frame));
        let name = reply::text(items[1]).map(text);
        let takes = *self.takes.get_or_insert_with(|| match request.args.len() {
            1 => self.told.subs[kind].len().max(1),
            n => n - 1,
        });
        if let Some(name) = name {
            if request.args.len() > 1 {
                assert_eq!(name, request.args[1 + self.seen], "confirmations in order");
            }
            if adds {
                self.told.subs[kind].insert(name);
            } else {
                self.told.subs[kind].remove(&name);
            }
        }
        let subs = &self.told.subs;
        let count = if kind == 2 { subs[2].len() } else { subs[0].len() + subs[1].len() };
        assert_eq!(reply::int(items[2]), Some(count as i64), "count of {}", text(frame));
        self.seen += 1;
        if self.seen == takes {
            self.seen = 0;
            self.takes = None;
            if self.told.mode == Mode::Skip {
                self.told.mode = Mode::On;
            }
            let request = self.waiting.pop_front().unwrap();
            self.outcomes.push((request, Outcome::Done));
        }
    }

    fn error(&mut self, request: Request, error: &str, losses: usize) {
        let name = request.name();
        let in_multi = self.told.multi.is_some();
        let outcome = if error.starts_with("UNCERTAIN Segue") {
            assert!(losses > 0 || self.guarded, "uncertain although no link was lost: {request:?}");
            // A pop behind a `MULTI` that fails is not known to be one that waits.
            let may_be = request.is_write() && !in_multi || name == "EXEC" || name == "BLPOP";
            assert!(may_be || self.guarded && !in_multi, "uncertain: {request:?}");
            Outcome::Uncertain
        } else {
            let right = match error.split(' ').next().unwrap_or_default() {
                "TRYAGAIN" => self.may_be_refused,
                "NOSCRIPT" => !self.scripts.contains(&request.args[1]),
                "EXECABORT" => name == "EXEC" && in_multi,
                // A script might have made the text itself: it is passed on.
                "READONLY" | "LOADING" => name.starts_with("EVAL") && !in_multi,
                "WRONGPASS" => name == "AUTH" || self.may_be_refused,
                // It may have been subscribed at a node whose confirmation it never got.
                _ if error.starts_with("ERR Can't execute") => !self.told.resp3,
                // Decided when it is pipelined behind `MULTI`, whatever becomes of that.
                _ if error.contains("subscribing inside MULTI") => true,
                _ if error.contains("inside MULTI") => in_multi,
                _ if error.starts_with("ERR MULTI calls") => in_multi,
                _ if error.contains("without MULTI") => !in_multi,
                _ => false,
            };
            assert!(right, "'{error}' for {request:?} by {:?}", self.told);
            Outcome::Refused
        };
        if let Some(number) = self.told.multi {
            let transaction = &mut self.transactions[number];
            if name == "EXEC" || name == "DISCARD" {
                let aborted = error.starts_with("EXECABORT");
                assert!(!aborted || transaction.aborted, "aborted for no reason: {transaction:?}");
                transaction.outcome = Some(outcome);
                self.told.multi = None;
                self.told.watches.clear();
            } else {
                transaction.aborted = true;
            }
        }
        self.outcomes.push((request, outcome));
    }

    fn exec(&mut self, request: &Request, frame: &[u8], losses: usize) {
        let number = self.told.multi.take().expect("EXEC succeeded without MULTI");
        let watches = std::mem::take(&mut self.told.watches);
        if reply::is_null(frame) {
            assert_eq!(frame == b"_\r\n", self.told.resp3, "the null of the protocol");
            assert!(!watches.is_empty(), "null without WATCH: {request:?} after {losses} losses");
            self.transactions[number].outcome = Some(Outcome::Refused);
            return;
        }
        let items: Vec<&[u8]> = reply::items(frame).collect();
        let transaction = &mut self.transactions[number];
        assert!(!transaction.aborted, "ran although aborted: {transaction:?}");
        transaction.outcome = Some(Outcome::Done);
        transaction.watches = watches;
        let queue = transaction.queue.clone();
        assert_eq!(items.len(), queue.len(), "{} for {queue:?}", text(frame));
        for (item, request) in items.iter().zip(&queue) {
            if let Some(error) = reply::error_text(item).map(text) {
                let right = error.starts_with("NOSCRIPT")
                    && !self.scripts.contains(&request.args[1])
                    || error.contains(" script: ")
                    || error.starts_with("WRONGPASS") && request.name() == "AUTH";
                assert!(right, "'{error}' inside EXEC for {request:?}");
            } else {
                self.value(request, item);
            }
        }
    }

    /// A reply that is no error, and not about a transaction.
    fn value(&mut self, request: &Request, frame: &[u8]) {
        let name = request.name();
        let is = |expected: &str| {
            let shown = reply::text(frame).or(reply::error_text(frame)).map(text);
            assert_eq!(shown.as_deref(), Some(expected), "for {request:?}: {}", text(frame));
        };
        let arg = |at: usize| request.args.get(at).cloned().unwrap_or_default();
        match name.as_str() {
            "PING" => assert!(text(frame).to_ascii_lowercase().contains("pong")),
            "ECHO" | "GET" => is(&arg(1)),
            "MOD.PUT" => is(&format!("put:{}", request.token)),
            "EVAL" | "EVALSHA" => {
                is(&format!("ran:{}", request.token));
                let sha =
                    if name == "EVAL" { super::command::sha(arg(1).as_bytes()) } else { arg(1) };
                self.scripts.insert(sha);
            }
            "SCRIPT" => {
                let sha = super::command::sha(arg(2).as_bytes());
                is(&sha);
                self.scripts.insert(sha);
            }
            "INCR" | "RPUSH" => {
                assert!(reply::int(frame).is_some(), "{} for {request:?}", text(frame));
            }
            "BLPOP" => {
                let key = reply::items(frame).next().and_then(reply::text).map(text);
                let null = if self.told.resp3 { b"_\r\n".as_slice() } else { b"*-1\r\n" };
                assert!(frame == null || key == Some(arg(1)), "{} for {request:?}", text(frame));
            }
            "SCAN" => self.scanned(request, frame),
            "RESET" => {
                is("RESET");
                let Told { lib, id, .. } = std::mem::take(&mut self.told);
                self.told = Told { lib, id, user: "default".to_owned(), ..Told::default() };
            }
            "HELLO" => {
                assert!(text(frame).contains("proto"), "{} for {request:?}", text(frame));
                self.told.resp3 = arg(1) == "3";
                if let Some(at) = request.args.iter().position(|it| it == "AUTH") {
                    self.told.user = arg(at + 1);
                }
                if let Some(at) = request.args.iter().position(|it| it == "SETNAME") {
                    self.told.name = arg(at + 1);
                }
                let id = reply::items(frame).nth(3).unwrap();
                self.identity(text(id).trim().trim_start_matches(':'));
            }
            "CLIENT" => self.client(request, frame),
            _ => {
                is("OK");
                self.changed(request);
            }
        }
    }

    fn identity(&mut self, id: &str) {
        let known = self.told.id.get_or_insert_with(|| id.to_owned());
        assert_eq!(known, id, "the id of a session changed");
    }

    fn client(&mut self, request: &Request, frame: &[u8]) {
        let shown = reply::text(frame).map(text);
        match request.args[1].as_str() {
            "GETNAME" => assert_eq!(shown.as_deref(), Some(self.told.name.as_str())),
            "ID" => {
                let id = reply::int(frame).expect("an id").to_string();
                self.identity(&id);
            }
            sub => {
                assert_eq!(shown.as_deref(), Some("OK"), "for {request:?}: {}", text(frame));
                match sub {
                    "SETNAME" => self.told.name.clone_from(&request.args[2]),
                    "SETINFO" => self.told.lib.clone_from(&request.args[3]),
                    "REPLY" => self.told.mode = Mode::On,
                    "TRACKING" if request.args[2] == "ON" => {
                        self.told.tracking = Some(request.args[3..].join(" "));
                    }
                    "TRACKING" => self.told.tracking = None,
                    _ => {}
                }
            }
        }
    }

    /// A command was answered `+OK`.
    fn changed(&mut self, request: &Request) {
        let arg = |at: usize| request.args.get(at).cloned().unwrap_or_default();
        match request.name().as_str() {
            "SELECT" => self.told.db = arg(1).parse().unwrap(),
            "AUTH" => self.told.user = arg(1),
            "WATCH" => self.told.watches.push((arg(1), request.token.clone())),
            "UNWATCH" => self.told.watches.clear(),
            "MONITOR" => self.told.monitor = true,
            "MULTI" => {
                self.told.multi = Some(self.transactions.len());
                self.transactions.push(Transaction::default());
            }
            "DISCARD" => {
                let number = self.told.multi.take().expect("DISCARD without MULTI");
                self.transactions[number].outcome = Some(Outcome::Refused);
                self.told.watches.clear();
            }
            "SET" | "QUIT" => {}
            other => panic!("+OK for {other}"),
        }
    }

    fn scanned(&mut self, request: &Request, frame: &[u8]) {
        let mut items = reply::items(frame);
        let cursor = items.next().and_then(reply::text).map(text).expect("a cursor");
        let found = items.next().expect("elements");
        if request.args[1] == "0" {
            self.scanned.clear();
        }
        self.scanned.extend(reply::items(found).filter_map(reply::text).map(text));
        if cursor == "0" {
            self.scans_done += 1;
            let found = self.scanned.len() as u64;
            assert_eq!(found, SCAN_ITEMS, "an iteration missed elements: {:?}", self.scanned);
        }
        self.cursor = cursor;
    }
}
