//! A model of one server: its role, its connections, and when they block.

use super::command::{self, Effect};
use super::store::Store;
use crate::pure::resp::request::{self, Scan};
use crate::pure::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Role {
    #[default]
    Primary,
    Replica,
    Loading,
}

/// What a command waits for at the node.
#[derive(Clone, Debug)]
pub(super) struct Blocked {
    pub(super) key: Vec<u8>,
    pub(super) until: Option<Time>,
    pub(super) token: Vec<u8>,
}

/// One connection, as the server sees it.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) id: u64,
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    pub(super) db: u8,
    pub(super) user: String,
    pub(super) name: String,
    pub(super) lib: String,
    pub(super) resp3: bool,
    pub(super) multi: Option<Vec<Vec<Vec<u8>>>>,
    pub(super) dirty: bool,
    pub(super) watched: Vec<(Vec<u8>, u64)>,
    pub(super) subs: [BTreeSet<Vec<u8>>; 3],
    pub(super) tracking: Option<String>,
    pub(super) monitor: bool,
    pub(super) blocked: Option<Blocked>,
    pub(super) closed: bool,
    /// Every byte that ever came in.
    pub(super) heard: Vec<u8>,
}

impl Conn {
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            input: Vec::new(),
            output: Vec::new(),
            db: 0,
            user: "default".to_owned(),
            name: String::new(),
            lib: String::new(),
            resp3: false,
            multi: None,
            dirty: false,
            watched: Vec::new(),
            subs: Default::default(),
            tracking: None,
            monitor: false,
            blocked: None,
            closed: false,
            heard: Vec::new(),
        }
    }

    /// `RESET`.
    pub(super) fn reset(&mut self) {
        let fresh = Self::new(self.id);
        let old = std::mem::replace(self, fresh);
        self.input = old.input;
        self.output = old.output;
        self.heard = old.heard;
        self.lib = old.lib;
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.subs.iter().any(|it| !it.is_empty())
    }

    pub(super) fn line(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    pub(super) fn bulk(&mut self, text: &[u8]) {
        crate::pure::resp::write::bulk(&mut self.output, text);
    }

    pub(super) fn null_array(&mut self) {
        self.line(if self.resp3 { "_" } else { "*-1" });
    }
}

/// One server.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) index: usize,
    pub(super) role: Role,
    pub(super) conns: BTreeMap<u64, Conn>,
    pub(super) scripts: BTreeSet<String>,
    /// Passwords that it does not accept any more.
    pub(super) locked: bool,
    next_id: u64,
}

impl Node {
    pub(super) fn new(index: usize, role: Role) -> Self {
        let next_id = 10 * (index as u64 + 1);
        Self { index, role, next_id, ..Self::default() }
    }

    pub(super) fn connect(&mut self) -> u64 {
        self.next_id += 1;
        self.conns.insert(self.next_id, Conn::new(self.next_id));
        self.next_id
    }

    /// Takes `bytes` from the wire and runs what is complete.
    pub(super) fn hear(&mut self, store: &mut Store, now: Time, id: u64, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.input.extend_from_slice(bytes);
        conn.heard.extend_from_slice(bytes);
        self.run(store, now, id);
    }

    /// Runs whatever is complete and not behind a command that waits.
    pub(super) fn run(&mut self, store: &mut Store, now: Time, id: u64) {
        loop {
            let Some(conn) = self.conns.get_mut(&id) else { return };
            if conn.closed || conn.blocked.is_some() {
                return;
            }
            let mut scanner = request::Scanner::new(request::Limits::DEFAULT);
            let len = match scanner.scan(&conn.input) {
                Scan::Frame { len } => len,
                Scan::Partial => return,
                Scan::Ignored { len } => panic!("{len} bytes that mean nothing reached a node"),
                Scan::Error(error) => panic!("a protocol error reached a node: {error:?}"),
            };
            let frame: Vec<u8> = conn.input.drain(..len).collect();
            assert!(frame.starts_with(b"*"), "an inline request reached a node");
            let args: Vec<Vec<u8>> = request::args(&frame).iter().map(<[u8]>::to_vec).collect();
            match command::execute(self, store, now, id, &args) {
                Effect::Done => {}
                Effect::Wrote(keys) => {
                    for key in keys {
                        store.touch(&key);
                        self.serve_blocked(store, &key);
                    }
                }
            }
        }
    }

    /// A list may have got an element: whoever waits longest takes it.
    pub(super) fn serve_blocked(&mut self, store: &mut Store, key: &[u8]) {
        for conn in self.conns.values_mut() {
            let waits = conn.blocked.as_ref().is_some_and(|it| it.key == key);
            if !waits || conn.closed {
                continue;
            }
            let Some(value) = store.lists.get_mut(key).and_then(|it| it.pop_front()) else {
                return;
            };
            let Some(blocked) = conn.blocked.take() else { return };
            store.popped.push(value.clone());
            store.record(self.index, Some(conn.id), &blocked.token);
            conn.line("*2");
            conn.bulk(key);
            conn.bulk(&value);
        }
    }

    /// Somebody else does something: what waited may go on, and so may what stands behind it.
    pub(super) fn wake(&mut self, store: &mut Store, now: Time) {
        for conn in self.conns.values_mut() {
            let over = conn.blocked.as_ref().and_then(|it| it.until).is_some_and(|it| it <= now);
            if over {
                conn.blocked = None;
                conn.null_array();
            }
        }
        let ids: Vec<u64> = self.conns.keys().copied().collect();
        for id in ids {
            self.run(store, now, id);
        }
    }

    /// The node's role changes without anybody telling.
    pub(super) fn become_role(&mut self, role: Role) {
        if self.role == Role::Primary && role != Role::Primary {
            for conn in self.conns.values_mut().filter(|it| it.blocked.is_some()) {
                conn.blocked = None;
                conn.line(
                    "-UNBLOCKED force unblock from blocking operation, instance state changed \
                     (master -> replica?)",
                );
                conn.closed = true;
            }
        }
        self.role = role;
    }

    /// A message is published on this node.
    pub(super) fn publish(&mut self, kind: usize, name: &[u8], text: &[u8]) {
        let word = ["message", "pmessage", "smessage"][kind];
        for conn in self.conns.values_mut().filter(|it| it.subs[kind].contains(name)) {
            let marker = if conn.resp3 { '>' } else { '*' };
            conn.line(&format!("{marker}{}", if kind == 1 { 4 } else { 3 }));
            conn.bulk(word.as_bytes());
            if kind == 1 {
                conn.bulk(name);
            }
            conn.bulk(name);
            conn.bulk(text);
        }
    }

    pub(super) fn until(text: &[u8], now: Time) -> Option<Time> {
        let seconds: f64 = std::str::from_utf8(text).unwrap().parse().unwrap();
        (seconds > 0.0).then(|| now + Duration::from_secs_f64(seconds))
    }
}
