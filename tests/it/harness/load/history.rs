//! What one client of a load saw, and the rules that hold whatever happened to the nodes.
//!
//! * Replies come in order, one for each command, each naming its key.
//! * The only error is `-UNCERTAIN`, for writes, in at most one pipeline for each failover.
//! * Nothing runs twice: list elements are unique, a counter never gains more than was asked for.
//! * Acknowledged writes that are missing are one block for each failover: what the dead primary
//!   had not yet streamed. Everything before, between and after is there.
//!
//! Deliberately absent: reading from Segue. What is there is read from the node itself.

use super::super::{Server, Value, encode};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Keys that a client sets and reads in turn.
const KEYS: u64 = 7;

/// One command of a load. The number is the client's attempt, which is part of what is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Command {
    Set(u64),
    Get(u64),
    Increment,
    Push(u64),
    Echo(u64),
}

/// A command, when it was sent and answered, and with what.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) command: Command,
    pub(crate) invoked: Instant,
    pub(crate) done: Instant,
    pub(crate) reply: Value,
}

/// Everything one client saw, in order.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) id: usize,
    pub(crate) ops: Vec<Op>,
    /// Why it ended before it was told to.
    pub(crate) broken: Option<String>,
}

impl Command {
    /// The command of one attempt: writes of three kinds and reads of two.
    pub(crate) const fn mixed(attempt: u64) -> Self {
        match attempt % 5 {
            0 => Self::Set(attempt),
            1 => Self::Push(attempt),
            2 => Self::Get(attempt),
            3 => Self::Increment,
            _ => Self::Echo(attempt),
        }
    }

    pub(crate) fn encode(self, client: usize) -> Vec<u8> {
        match self {
            Self::Set(n) => encode(&["SET", &key(client, n), &value(client, n)]),
            Self::Get(n) => encode(&["GET", &key(client, n)]),
            Self::Increment => encode(&["INCR", &counter(client)]),
            Self::Push(n) => encode(&["RPUSH", &list(client), &value(client, n)]),
            Self::Echo(n) => encode(&["ECHO", &value(client, n)]),
        }
    }

    const fn is_write(self) -> bool {
        matches!(self, Self::Set(_) | Self::Increment | Self::Push(_))
    }

    /// Whether `reply` can be a reply to this command and to no other.
    fn accepts(self, client: usize, reply: &Value) -> bool {
        match self {
            Self::Set(_) => *reply == "+OK",
            Self::Get(n) => match reply {
                Value::Null => true,
                Value::Bulk(_) => written_by(&reply.text(), client, n),
                _ => false,
            },
            Self::Increment | Self::Push(_) => matches!(reply, Value::Integer(1..)),
            Self::Echo(n) => *reply == value(client, n).as_str(),
        }
    }
}

impl Op {
    fn is_uncertain(&self) -> bool {
        self.command.is_write() && self.reply.error().is_some_and(|it| it.starts_with("UNCERTAIN "))
    }
}

impl History {
    pub(crate) const fn new(id: usize) -> Self {
        Self { id, ops: Vec::new(), broken: None }
    }

    pub(super) fn broken(mut self, why: String) -> Self {
        self.broken = Some(why);
        self
    }

    /// Commands whose outcome was left open.
    pub(crate) fn uncertain(&self) -> usize {
        self.ops.iter().filter(|it| it.is_uncertain()).count()
    }

    /// The longest time that a command took.
    pub(crate) fn longest(&self) -> Duration {
        self.ops.iter().map(|it| it.done - it.invoked).max().unwrap_or_default()
    }

    /// Checks what the client saw; `failovers` is how many there were.
    #[track_caller]
    pub(crate) fn check_replies(&self, failovers: usize) {
        let id = self.id;
        assert_eq!(self.broken, None, "client {id} was disconnected");
        assert!(!self.ops.is_empty(), "client {id} did nothing");
        let mut pipelines = BTreeSet::new();
        for op in &self.ops {
            if op.is_uncertain() {
                pipelines.insert(op.invoked);
                continue;
            }
            let Op { command, reply, .. } = op;
            assert!(command.accepts(id, reply), "client {id}: {command:?} got {reply}");
        }
        let open = pipelines.len();
        assert!(open <= failovers, "client {id}: uncertain in {open} pipelines");
        self.check_counter();
    }

    /// Each acknowledged `INCR` adds one; those in between that are uncertain may add one each.
    #[track_caller]
    fn check_counter(&self) {
        let (mut last, mut open) = (0, 0);
        for op in self.ops.iter().filter(|it| it.command == Command::Increment) {
            let Value::Integer(now) = op.reply else {
                open += 1;
                continue;
            };
            assert!(now <= last + 1 + open, "client {}: {last} to {now} by one", self.id);
            (last, open) = (now, 0);
        }
    }

    /// Checks what `node` has after `failovers`; whatever was sent after `since` must be there.
    /// Gives how many acknowledged pushes are missing.
    #[track_caller]
    pub(crate) fn check_data(&self, node: &Server, since: Instant, failovers: usize) -> usize {
        let reply = node.call(&["LRANGE", &list(self.id), "0", "-1"]);
        let there: Vec<_> = reply.items().iter().map(Value::text).collect();
        let lost = self.check_list(&there, since, failovers);
        self.check_keys(node, since);
        lost
    }

    #[track_caller]
    pub(crate) fn check_list(&self, there: &[String], since: Instant, failovers: usize) -> usize {
        let id = self.id;
        let unique: BTreeSet<_> = there.iter().collect();
        assert_eq!(unique.len(), there.len(), "client {id}: something ran twice");
        let order: Vec<_> = there.iter().map(|it| attempt_of(it)).collect();
        assert!(order.is_sorted(), "client {id}: out of order");
        let (mut lost, mut gaps, mut in_gap) = (0, 0, false);
        for op in &self.ops {
            let (Command::Push(n), Value::Integer(_)) = (op.command, &op.reply) else { continue };
            let missing = !unique.contains(&value(id, n));
            assert!(!missing || op.invoked < since, "client {id}: {n}, sent afterwards, is lost");
            lost += usize::from(missing);
            gaps += usize::from(missing && !in_gap);
            in_gap = missing;
        }
        assert!(gaps <= failovers, "client {id}: {lost} writes lost in {gaps} places");
        lost
    }

    /// The last write of each key that was sent after `since` is what is there.
    #[track_caller]
    fn check_keys(&self, node: &Server, since: Instant) {
        for slot in 0..KEYS {
            let last = self.ops.iter().rev().find_map(|op| match op.command {
                Command::Set(n) if n % KEYS == slot => Some((n, op)),
                _ => None,
            });
            let Some((n, op)) = last else { continue };
            if op.invoked < since || op.is_uncertain() {
                continue;
            }
            let there = node.call(&["GET", &key(self.id, slot)]);
            assert_eq!(there, value(self.id, n).as_str(), "client {}", self.id);
        }
    }
}

fn key(client: usize, attempt: u64) -> String {
    format!("load:{client}:{}", attempt % KEYS)
}

fn counter(client: usize) -> String {
    format!("load:{client}:count")
}

fn list(client: usize) -> String {
    format!("load:{client}:list")
}

/// Names the client, the key and the attempt.
fn value(client: usize, attempt: u64) -> String {
    format!("{client}:{}:{attempt}", attempt % KEYS)
}

fn attempt_of(value: &str) -> u64 {
    value.rsplit(':').next().and_then(|it| it.parse().ok()).expect("a value names its attempt")
}

/// Whether `text` is a value that `client` wrote to the key of `attempt`, not later than that.
fn written_by(text: &str, client: usize, attempt: u64) -> bool {
    let written = attempt_of(text);
    text == value(client, written) && written % KEYS == attempt % KEYS && written < attempt
}
