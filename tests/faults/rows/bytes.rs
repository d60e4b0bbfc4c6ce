//! The connection to the node is cut at every byte of a request and of its reply.
//!
//! A cut inside a request means that it did not run, one inside the reply that it did. Segue knows
//! neither: a write must be answered `-UNCERTAIN`, and must have run as often as the cut says; a
//! read must be answered as if nothing had been. All of it in either protocol, and alone as well as
//! with a command behind it in the same write, which must be answered in any case.

use super::Row;
use crate::harness::{Client, encode, eventually};
use crate::history::{Action, Op, Outcome};
use crate::relay::Cut;
use crate::stage::{Setup, Stage};
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    Row::new("F25a", "connection cut at some bytes of requests and replies", some)
        .setup(setup)
        .plain_only()
        .bounded(1),
    Row::new("F25b", "connection cut at every byte of 12 requests and replies, four ways", every)
        .setup(setup)
        .plain_only(),
];

/// The row itself is the client.
const ROW: u16 = u16::MAX;

/// Of how many cuts F25a makes one.
const STRIDE: usize = 29;

/// A session, and what it sends.
#[derive(Clone, Copy, Debug)]
struct Manner {
    is_resp3: bool,
    /// The command that shows that no reply has slipped is sent at once, not afterwards.
    is_followed: bool,
}

const MANNERS: [Manner; 4] = [
    Manner { is_resp3: false, is_followed: false },
    Manner { is_resp3: false, is_followed: true },
    Manner { is_resp3: true, is_followed: false },
    Manner { is_resp3: true, is_followed: true },
];

fn setup() -> Setup {
    Setup { is_relayed: true, roles: Vec::new(), ..Setup::default() }
}

/// One command, and how to see whether it ran.
struct Case {
    command: &'static [&'static str],
    reply: &'static str,
    /// What makes the state before.
    before: &'static [&'static str],
    /// Shows the state, and what it shows before and after one run.
    look: &'static [&'static str],
    shows: (&'static str, &'static str),
    is_write: bool,
}

/// `{x}` is the key. Replies as the harness prints them.
const CASES: [Case; 12] = [
    write(&["SET", "{x}", "new"], "+OK", &["SET", "{x}", "old"], &["GET", "{x}"], ("old", "new")),
    write(&["INCR", "{x}"], ":8", &["SET", "{x}", "7"], &["GET", "{x}"], ("7", "8")),
    write(&["APPEND", "{x}", "b"], ":2", &["SET", "{x}", "a"], &["GET", "{x}"], ("a", "ab")),
    write(&["RPUSH", "{x}", "b"], ":2", &["RPUSH", "{x}", "a"], &["LLEN", "{x}"], (":1", ":2")),
    write(&["LPOP", "{x}"], "a", &["RPUSH", "{x}", "a", "b"], &["LLEN", "{x}"], (":2", ":1")),
    write(&["HSET", "{x}", "f", "1"], ":1", &["DEL", "{x}"], &["HLEN", "{x}"], (":0", ":1")),
    write(&["SADD", "{x}", "m"], ":1", &["DEL", "{x}"], &["SCARD", "{x}"], (":0", ":1")),
    write(
        &["EVAL", "return redis.call('INCR',KEYS[1])", "1", "{x}"],
        ":2",
        &["SET", "{x}", "1"],
        &["GET", "{x}"],
        ("1", "2"),
    ),
    read(&["GET", "{x}"], "value", &["SET", "{x}", "value"]),
    read(&["STRLEN", "{x}"], ":5", &["SET", "{x}", "value"]),
    read(&["LINDEX", "{x}", "1"], "b", &["RPUSH", "{x}", "a", "b"]),
    read(&["EXISTS", "{x}"], ":1", &["SET", "{x}", "1"]),
];

const fn write(
    command: &'static [&'static str],
    reply: &'static str,
    before: &'static [&'static str],
    look: &'static [&'static str],
    shows: (&'static str, &'static str),
) -> Case {
    Case { command, reply, before, look, shows, is_write: true }
}

const fn read(
    command: &'static [&'static str],
    reply: &'static str,
    before: &'static [&'static str],
) -> Case {
    Case { command, reply, before, look: &["PING"], shows: ("+PONG", "+PONG"), is_write: false }
}

fn some(stage: &mut Stage<'_>) {
    let first = stage.random.below(STRIDE as u64) as usize;
    cut_all(stage, |at| at % STRIDE == first);
}

fn every(stage: &mut Stage<'_>) {
    cut_all(stage, |_| true);
}

/// Cuts where `chosen` says so, counting all places there are.
fn cut_all(stage: &mut Stage<'_>, chosen: impl Fn(usize) -> bool) {
    let (mut place, mut cuts) = (0, 0);
    for manner in MANNERS {
        let mut client = stage.client();
        if manner.is_resp3 {
            assert_eq!(client.call(&["HELLO", "3"]).error(), None);
        }
        for case in &CASES {
            let request = encode(&with_key(case.command, "faults:x"));
            let reply = wire_length(case.reply);
            let cuts_here = (0..request.len()).map(Cut::Request).chain((0..reply).map(Cut::Reply));
            for cut in cuts_here {
                place += 1;
                if chosen(place) {
                    one(stage, &mut client, case, manner, (cut, place));
                    cuts += 1;
                }
            }
        }
    }
    stage.say(&format!("{cuts} of {place} places were cut"));
}

fn with_key<'a>(command: &[&'a str], key: &'a str) -> Vec<&'a str> {
    command.iter().map(|it| if *it == "{x}" { key } else { *it }).collect()
}

/// Bytes of a reply that is printed as `text`.
fn wire_length(text: &str) -> usize {
    if text.starts_with([':', '+']) {
        text.len() + 2
    } else {
        format!("${}\r\n{text}\r\n", text.len()).len()
    }
}

fn one(
    stage: &mut Stage<'_>,
    client: &mut Client,
    case: &Case,
    manner: Manner,
    (cut, place): (Cut, usize),
) {
    let key = "faults:x";
    let node = stage.node(0);
    node.call(&["DEL", key]);
    node.call(&with_key(case.before, key));
    let request = encode(&with_key(case.command, key));
    let invoked = stage.now();
    stage.relays[0].cut(request.clone(), cut);
    let mark = format!("mark:{place}");
    let follower = encode(&["ECHO", &mark]);
    let (at_once, afterwards) =
        if manner.is_followed { (follower.as_slice(), &[][..]) } else { (&[][..], &follower[..]) };
    client.send(&[&request, at_once].concat());
    let reply = client.read();
    let relay = &stage.relays[0];
    eventually("the connection is cut", || relay.is_cut().then_some(()));
    let what = format!("{:?}, {manner:?}, cut at {cut:?}: {reply}", case.command);
    let done = stage.now();
    stage.told.longest = stage.told.longest.max(Duration::from_nanos(done - invoked));
    let is_uncertain = reply.error().is_some_and(|it| it.starts_with("UNCERTAIN "));
    if case.is_write != is_uncertain || (!case.is_write && reply != case.reply) {
        stage.told.odd.push(what.clone());
    }
    let ran = matches!(cut, Cut::Reply(_));
    let expected = if ran { case.shows.1 } else { case.shows.0 };
    // A request whose reply was begun has run, and one that was cut cannot run any more.
    let shown = stage.node(0).call(&with_key(case.look, key));
    if shown != expected {
        stage.told.odd.push(format!("{what}; then {:?} shows {shown}", case.look));
    }
    let outcome = if is_uncertain { Outcome::Unknown } else { Outcome::Done };
    let action = Action::Other;
    stage.told.ops.push(Op { client: ROW, action, invoked, done, outcome });
    if let Some(kind) = reply.error().and_then(|it| it.split(' ').next()) {
        *stage.told.errors.entry(kind.to_owned()).or_default() += 1;
    }
    client.send(afterwards);
    assert_eq!(client.read(), mark.as_str(), "replies have slipped after {what}");
}
