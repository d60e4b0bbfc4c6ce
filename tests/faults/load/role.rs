//! What a kind of client asks for, and what its replies may be.

use crate::harness::{Client, Value, encode};
use crate::history::{Action, Unique};
use crate::random::Random;
use std::io;

/// Registers that everybody shares.
pub(crate) const KEYS: u16 = 64;

pub(crate) const LIST: &str = "faults:list";
pub(crate) const COUNTER: &str = "faults:count";

/// Accounts between which money moves, and what they hold together.
pub(crate) const ACCOUNTS: u64 = 4;
pub(crate) const TREASURE: i64 = 4_000;

/// The most commands that one pipeline of [`Role::Pipeline`] has.
const PIPELINE_MAX: u64 = 1_000;

/// A kind of client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// `SET` and `GET` of the shared registers, one at a time or a few.
    Registers,
    /// `RPUSH` to the one list.
    Pushes,
    /// `INCR` of the one counter.
    Counts,
    /// `MULTI`, two `INCRBY`, `EXEC`.
    Transfers,
    /// `MULTI`, `MGET`, `EXEC`.
    Sums,
    /// Long pipelines of marks, with writes and reads of keys of its own in between.
    Pipeline,
}

/// One request, of one or more commands, and what it means.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) action: Action,
    commands: Vec<Vec<String>>,
    expects: Expects,
}

#[derive(Clone, Debug)]
enum Expects {
    Ok,
    Number,
    /// A value of this key, or nothing.
    ValueOf(String),
    Text(String),
    /// `+OK`, `+QUEUED` for each, then an array of so many.
    Transaction(usize),
}

/// The name of a register.
pub(crate) fn key(number: u16) -> String {
    format!("faults:r{number}")
}

pub(crate) fn account(number: u64) -> String {
    format!("faults:a{number}")
}

/// A value that names its key, its client, and which of the client's writes it is.
fn value(key: &str, (client, number): Unique) -> String {
    format!("{key}:{client}:{number}")
}

/// What `value` made for this key.
pub(crate) fn parse(key: &str, text: &str) -> Option<Unique> {
    let (client, number) = text.strip_prefix(key)?.strip_prefix(':')?.split_once(':')?;
    Some((client.parse().ok()?, number.parse().ok()?))
}

impl Role {
    /// The next pipeline of a client.
    pub(super) fn requests(self, id: u16, attempts: &mut u64, random: &mut Random) -> Vec<Request> {
        let depth = match self {
            Self::Registers | Self::Pushes | Self::Counts => 1 + random.below(4),
            Self::Transfers | Self::Sums => 1,
            // Mostly short: the long ones are there to be long, not to be many.
            Self::Pipeline if random.below(20) == 0 => 1 + random.below(PIPELINE_MAX),
            Self::Pipeline => 1 + random.below(16),
        };
        (0..depth)
            .map(|_| {
                *attempts += 1;
                self.request((id, *attempts), random)
            })
            .collect()
    }

    fn request(self, unique: Unique, random: &mut Random) -> Request {
        match self {
            Self::Registers => register(random.below(u64::from(KEYS)) as u16, unique, random),
            Self::Pushes => Request::one(
                Action::Push { value: unique },
                &["RPUSH", LIST, &value(LIST, unique)],
                Expects::Number,
            ),
            Self::Counts => {
                Request::one(Action::Increment { saw: 0 }, &["INCR", COUNTER], Expects::Number)
            }
            Self::Transfers => transfer(random),
            Self::Sums => sum(),
            Self::Pipeline => mark(unique, random),
        }
    }
}

fn register(number: u16, unique: Unique, random: &mut Random) -> Request {
    let name = key(number);
    if random.below(2) == 0 {
        let action = Action::Set { key: number, value: unique };
        return Request::one(action, &["SET", &name, &value(&name, unique)], Expects::Ok);
    }
    let action = Action::Get { key: number, saw: None };
    Request::one(action, &["GET", &name], Expects::ValueOf(name.clone()))
}

fn transfer(random: &mut Random) -> Request {
    let from = random.below(ACCOUNTS);
    let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
    let amount = (1 + random.below(9)).to_string();
    let commands = [
        vec!["MULTI".to_owned()],
        vec!["DECRBY".to_owned(), account(from), amount.clone()],
        vec!["INCRBY".to_owned(), account(to), amount],
        vec!["EXEC".to_owned()],
    ];
    Request {
        action: Action::Transfer,
        commands: commands.into(),
        expects: Expects::Transaction(2),
    }
}

fn sum() -> Request {
    let mget = ["MGET".to_owned()].into_iter().chain((0..ACCOUNTS).map(account)).collect();
    let commands = vec![vec!["MULTI".to_owned()], mget, vec!["EXEC".to_owned()]];
    Request { action: Action::Sum { saw: 0 }, commands, expects: Expects::Transaction(1) }
}

fn mark(unique: Unique, random: &mut Random) -> Request {
    let own = format!("faults:p{}:{}", unique.0, random.below(8));
    match random.below(3) {
        0 => Request::one(Action::Other, &["SET", &own, &value(&own, unique)], Expects::Ok),
        1 => Request::one(Action::Other, &["GET", &own], Expects::ValueOf(own.clone())),
        _ => {
            let text = value("mark", unique);
            Request::one(Action::Other, &["ECHO", &text], Expects::Text(text.clone()))
        }
    }
}

impl Request {
    fn one(action: Action, command: &[&str], expects: Expects) -> Self {
        let commands = vec![command.iter().map(ToString::to_string).collect()];
        Self { action, commands, expects }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let encode = |it: &Vec<String>| encode(&it.iter().map(String::as_str).collect::<Vec<_>>());
        self.commands.iter().flat_map(encode).collect()
    }

    /// Its replies, one for each command.
    pub(super) fn read(&self, client: &mut Client) -> io::Result<Vec<Value>> {
        self.commands.iter().map(|_| client.try_read()).collect()
    }

    /// The action with what was seen; none of `replies` is an error.
    pub(super) fn saw(&self, client: u16, replies: &[Value]) -> Result<Action, String> {
        let odd = || {
            let command = self.commands.first().map(|it| it.join(" ")).unwrap_or_default();
            let told: Vec<_> = replies.iter().map(ToString::to_string).collect();
            format!("client {client}: `{command:.60}` was answered {:.200}", told.join(", "))
        };
        let [.., last] = replies else { return Err(odd()) };
        match &self.expects {
            Expects::Ok if *last == "+OK" => Ok(self.action),
            Expects::Text(text) if *last == text.as_str() => Ok(self.action),
            Expects::Number => match (last, self.action) {
                (Value::Integer(saw), Action::Increment { .. }) => {
                    Ok(Action::Increment { saw: *saw })
                }
                (Value::Integer(_), action) => Ok(action),
                _ => Err(odd()),
            },
            Expects::ValueOf(name) => {
                let saw = match last {
                    Value::Null => None,
                    Value::Bulk(_) => Some(parse(name, &last.text()).ok_or_else(odd)?),
                    _ => return Err(odd()),
                };
                match self.action {
                    Action::Get { key, .. } => Ok(Action::Get { key, saw }),
                    action => Ok(action),
                }
            }
            Expects::Transaction(count) => self.transaction(*count, replies).ok_or_else(odd),
            Expects::Ok | Expects::Text(_) => Err(odd()),
        }
    }

    fn transaction(&self, count: usize, replies: &[Value]) -> Option<Action> {
        let [multi, queued @ .., exec] = replies else { return None };
        let is_whole = *multi == "+OK" && queued.iter().all(|it| *it == "+QUEUED");
        let Value::Array(results) = exec else { return None };
        if !is_whole || results.len() != count {
            return None;
        }
        if self.action == Action::Transfer {
            let moved = results.iter().all(|it| matches!(it, Value::Integer(_)));
            return moved.then_some(self.action);
        }
        let [Value::Array(accounts)] = results.as_slice() else { return None };
        let parsed = accounts.iter().map(|it| match it {
            Value::Bulk(_) => it.text().parse::<i64>().ok(),
            _ => None,
        });
        parsed.sum::<Option<i64>>().map(|saw| Action::Sum { saw })
    }
}
