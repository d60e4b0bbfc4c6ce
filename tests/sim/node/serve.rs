//! What a node answers to a client's request, and what it remembers of a client's connection:
//! its database, its transaction, what it watches.
//!
//! A key names the database that its client believes to have selected, so that a command that
//! runs in another one is noticed at once.

#![allow(clippy::wildcard_enum_match_arm, reason = "only what matters here are named")]

use crate::data::Write;
use crate::sim::Sim;

/// What a node remembers of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// The connection's number.
    serial: u64,
    db: u64,
    multi: Option<Vec<Request>>,
    aborted: bool,
    /// The last write that ran on it.
    last_write: Option<Write>,
}

impl Memory {
    /// A new connection.
    pub(crate) fn new(serial: u64) -> Self {
        Self { serial, ..Self::default() }
    }
}

/// A request that means something here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Request {
    Set {
        write: Write,
        db: u64,
    },
    Get {
        write: Write,
        db: u64,
    },
    Select(u64),
    Watch(u64),
    Multi,
    Exec,
    Discard,
    /// It lacks its argument: refused, and an open transaction is aborted.
    Incomplete,
    /// Nothing that a client of ours sends; a restoration may.
    Other,
}

impl Request {
    /// What Segue sends is well formed.
    fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        let mut words = text.split("\r\n").skip(2).step_by(2);
        let name = words.next().unwrap_or_default();
        let arg = words.next().unwrap_or_default();
        let mut numbers = arg.split(':').filter_map(|it| it.parse::<u64>().ok());
        let (first, second) = (numbers.next(), numbers.next());
        let key = || {
            let write = usize::try_from(first.unwrap()).unwrap();
            (write, second.unwrap())
        };
        match name {
            "SET" => {
                let (write, db) = key();
                Self::Set { write, db }
            }
            "GET" => {
                let (write, db) = key();
                Self::Get { write, db }
            }
            "SELECT" => Self::Select(first.unwrap()),
            "WATCH" => Self::Watch(first.unwrap()),
            "MULTI" => Self::Multi,
            "EXEC" => Self::Exec,
            "DISCARD" => Self::Discard,
            "ECHO" if arg.is_empty() => Self::Incomplete,
            _ => Self::Other,
        }
    }
}

const READONLY: &str = "READONLY You can't write against a read only replica.";
const LOADING: &str = "LOADING Redis is loading the dataset in memory";

impl Sim {
    /// What node `n` answers to one request of a client; `None` while a pause holds it up.
    pub(crate) fn serve(&mut self, n: usize, bytes: &[u8], memory: &mut Memory) -> Option<String> {
        let request = Request::parse(bytes);
        self.trace(|| format!("node {n} reads {request:?} on connection {}", memory.serial));
        let queued = memory.multi.as_ref();
        let writes = match request {
            Request::Set { .. } => queued.is_none(),
            Request::Exec => queued.is_some_and(|it| it.iter().any(|it| it.is_write())),
            _ => false,
        };
        if writes && self.nodes[n].paused_until > self.now {
            return None;
        }
        if let Some(error) = self.objection(n, request, writes) {
            return Some(Self::object(memory, request, error));
        }
        let answer = match request {
            Request::Exec => return Some(self.exec(n, memory)),
            Request::Discard if memory.multi.take().is_some() => "+OK".to_owned(),
            Request::Discard => "-ERR DISCARD without MULTI".to_owned(),
            Request::Multi if memory.multi.is_some() => "-ERR MULTI calls can not be nested".into(),
            Request::Multi => {
                memory.multi = Some(Vec::new());
                memory.aborted = false;
                "+OK".to_owned()
            }
            _ if memory.multi.is_some() => {
                memory.multi.get_or_insert_default().push(request);
                "+QUEUED".to_owned()
            }
            _ => return Some(self.carry(n, memory, request)),
        };
        Some(answer + "\r\n")
    }

    /// Why node `n` does not even look at a request.
    fn objection(&self, n: usize, request: Request, writes: bool) -> Option<&'static str> {
        if request == Request::Incomplete {
            return Some("ERR wrong number of arguments for 'echo' command");
        }
        // Servers allow these whatever else they refuse.
        let is_always_free = matches!(request, Request::Multi | Request::Discard);
        if let Some(error) = self.nodes[n].impairment(self.now).filter(|_| !is_always_free) {
            return Some(error);
        }
        let process = self.nodes[n].process.as_ref()?;
        let is_free = matches!(
            request,
            Request::Select(_) | Request::Multi | Request::Exec | Request::Discard
        );
        if process.loading.is_some() && (!is_free || writes) {
            return Some(LOADING);
        }
        let is_write = writes || request.is_write();
        (is_write && !process.is_primary()).then_some(READONLY)
    }

    /// An error: it aborts an open transaction, and an `EXEC` ends it.
    fn object(memory: &mut Memory, request: Request, error: &str) -> String {
        if request == Request::Exec && memory.multi.take().is_some() {
            return format!("-EXECABORT Transaction discarded because of: {error}\r\n");
        }
        memory.aborted |= memory.multi.is_some();
        format!("-{error}\r\n")
    }

    fn exec(&mut self, n: usize, memory: &mut Memory) -> String {
        let Some(queue) = memory.multi.take() else {
            return "-ERR EXEC without MULTI\r\n".to_owned();
        };
        if memory.aborted {
            return "-EXECABORT Transaction discarded because of previous errors.\r\n".to_owned();
        }
        let writes: Vec<Write> = queue.iter().filter_map(|it| it.write()).collect();
        self.check_transaction(&writes, memory.serial);
        let mut answer = format!("*{}\r\n", queue.len());
        for request in queue {
            answer += &self.carry(n, memory, request);
        }
        answer
    }

    fn carry(&mut self, n: usize, memory: &mut Memory, request: Request) -> String {
        let db = memory.db;
        if let Request::Set { db: meant, .. } | Request::Get { db: meant, .. } = request {
            self.check(db == meant, "identity", || {
                format!("{request:?} runs in database {db} of node {n}")
            });
        }
        let Some(process) = &mut self.nodes[n].process else { return String::new() };
        match request {
            Request::Set { write, .. } => {
                process.offset += 60;
                let (at, run) = (process.point(), process.run);
                let is_first = self.data.append(at, write);
                self.check_executed(write, run, is_first, at.history);
                let last = memory.last_write.replace(write);
                self.check(last.is_none_or(|it| it < write), "session", || {
                    format!("write {write} runs after write {last:?} of its client")
                });
                "+OK\r\n".to_owned()
            }
            Request::Get { write, .. } => {
                let point = process.point();
                if self.data.contains(point, write) {
                    let value = format!("v:{write}");
                    format!("${}\r\n{value}\r\n", value.len())
                } else {
                    "$-1\r\n".to_owned()
                }
            }
            Request::Select(db) => {
                memory.db = db;
                "+OK\r\n".to_owned()
            }
            Request::Watch(watch) => {
                self.checker.watch_runs(watch, memory.serial);
                "+OK\r\n".to_owned()
            }
            _ => "+OK\r\n".to_owned(),
        }
    }
}

impl Request {
    const fn is_write(self) -> bool {
        matches!(self, Self::Set { .. })
    }

    const fn write(self) -> Option<Write> {
        match self {
            Self::Set { write, .. } => Some(write),
            _ => None,
        }
    }
}
