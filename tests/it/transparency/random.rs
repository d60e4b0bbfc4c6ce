//! Random conversations: each is held twice, directly with a server to which nothing happens, and
//! through Segue while the primary changes; the replies agree except where the promise says
//! otherwise.
//!
//! `SEGUE_SESSIONS=5000 cargo test --test it transparency::random` holds so many; `SEGUE_SEED`
//! begins with another seed. What fails says its seed.

use super::{Change, Scene};
use crate::harness::{Client, Kind, Random, Server, Value};
use std::env;

on_both!(random_conversations_agree);

/// Conversations that `make test` holds, of [`CLIENTS`] clients each.
const SHORT: u64 = 24;
const CLIENTS: usize = 3;
const COMMANDS: usize = 30;

/// What one client does. Keys are its own, so that clients do not disturb each other.
type Command = Vec<String>;

/// Sequences of a kind of session, `{k}` standing for a key of the client.
const PHRASES: [&[&str]; 20] = [
    &["SET {k} 1", "INCR {k}", "GET {k}"],
    &["RPUSH {k}l a b", "LRANGE {k}l 0 -1", "BLPOP {k}l 0", "BLPOP {k}n 0.01"],
    &["MULTI", "INCR {k}", "GET {k}", "EXEC"],
    &["MULTI", "SET {k} x", "NOSUCHCOMMAND", "EXEC"],
    &["MULTI", "GET {k}", "DISCARD"],
    &["WATCH {k}", "GET {k}", "UNWATCH"],
    &["WATCH {k}", "MULTI", "SET {k}c v", "EXEC"],
    &["SELECT 3", "SET {k} three", "SELECT 0", "GET {k}"],
    &["HELLO 3", "HSET {k}h f 1", "HGETALL {k}h", "HELLO 2", "HGETALL {k}h"],
    &["CLIENT SETNAME {k}", "CLIENT GETNAME", "RESET", "CLIENT GETNAME"],
    &["EVAL return~ARGV[1] 0 {k}", "EVALSHA 98f35e84ae48e6dbaf74efbb6eee3d9f9bd4d8c8 0"],
    &["SCRIPT~LOAD return~1", "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0"],
    &["MULTI", "SELECT 2", "EXEC", "SET {k} two", "SELECT 0"],
    &["CLIENT REPLY SKIP", "INCR {k}", "INCR {k}"],
    &["XADD {k}x 1-1 f v", "XREAD COUNT 1 STREAMS {k}x 0", "DEL {k}x"],
    &["GET", "SET {k}", "LPUSH {k}s v", "GET {k}s"],
    &["PING", "ECHO {k}", "EXEC", "DISCARD"],
    &["HELLO 3", "SUBSCRIBE {k}", "PING", "UNSUBSCRIBE {k}", "HELLO 2"],
    &["SUBSCRIBE {k} {k}2", "PING", "UNSUBSCRIBE {k} {k}2", "PING"],
    &["HELLO 3", "CLIENT TRACKING ON", "GET {k}", "CLIENT TRACKING OFF", "HELLO 2"],
];

fn conversation(random: &mut Random, client: usize) -> Vec<Command> {
    let mut commands = Vec::new();
    while commands.len() < COMMANDS {
        let phrase = PHRASES[random.below(PHRASES.len() as u64) as usize];
        let key = format!("key:{client}:{}", random.below(3));
        for line in phrase {
            let words = line.split(' ').map(|it| it.replace("{k}", &key).replace('~', " "));
            commands.push(words.flat_map(|it| two_words(&it)).collect());
        }
        commands.push(vec!["ECHO".to_owned(), "end".to_owned()]);
    }
    commands
}

/// `SCRIPT LOAD` is two words, `return 1` is one.
fn two_words(word: &str) -> Vec<String> {
    match word.strip_prefix("SCRIPT ") {
        Some(sub) => vec!["SCRIPT".to_owned(), sub.to_owned()],
        None => vec![word.to_owned()],
    }
}

/// A phrase's frames, up to the echo behind it.
#[track_caller]
fn frames(client: &mut Client) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        match client.read_any() {
            Value::Bulk(it) if it == b"end" => return all,
            // What was dropped with the primary is told by a push, which is the promise.
            push @ Value::Push(_) if push.to_string().starts_with("[invalidate") => {}
            Value::Map(pairs) => all.push(without_id(pairs)),
            Value::Array(items) if is_hello(&items) => all.push("hello".to_owned()),
            frame => all.push(frame.to_string()),
        }
    }
}

fn is_hello(items: &[Value]) -> bool {
    items.first().is_some_and(|it| *it == "server")
}

fn without_id(pairs: Vec<(Value, Value)>) -> String {
    // The role, too: a node that has just been demoted by hand says so until Segue has noticed.
    let shown = pairs.into_iter().filter(|(name, _)| *name != "id" && *name != "role");
    format!("{:?}", shown.map(|(name, it)| format!("{name} {it}")).collect::<Vec<_>>())
}

/// Holds a conversation, phrase by phrase, each in one piece; `between` runs before each.
fn hold(
    client: &mut Client,
    commands: &[Command],
    mut between: impl FnMut(usize),
) -> Vec<Vec<String>> {
    let phrases = commands.split_inclusive(|it| it[0] == "ECHO" && it[1] == "end");
    let phrases = phrases.enumerate().map(|(n, phrase)| {
        between(n);
        let words: Vec<Vec<&str>> =
            phrase.iter().map(|it| it.iter().map(String::as_str).collect()).collect();
        client.send_all(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        frames(client)
    });
    phrases.collect()
}

/// The phrase that watches: `EXEC` may answer null.
fn is_watch_lost(reply: &[String], expected: &[String]) -> bool {
    reply.split_last().is_some_and(|(last, rest)| {
        last == "(null)"
            && expected.split_last().is_some_and(|(ran, it)| ran == "[+OK]" && it == rest)
    })
}

/// Goal: whatever clients say, in whatever order, a change of primary is not to be seen.
///
/// Method: see the head of this file. Phrases are sent in one piece, so that transactions and
/// pipelines are cut anywhere; the primary changes by hand between phrases of some client, which
/// others meet in the middle of theirs.
fn random_conversations_agree(kind: Kind) {
    let number = |name: &str| env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let count = number("SEGUE_SESSIONS").unwrap_or(SHORT);
    let first = number("SEGUE_SEED").unwrap_or(1);
    let direct = Server::primary(kind);
    let mut scene = Scene::start(kind);
    let (mut changes, mut uncertain) = (0, 0);
    for seed in first..first + count {
        for node in [&direct, scene.primary()] {
            assert_eq!(node.call(&["FLUSHALL"]), "+OK");
        }
        let mut random = Random(seed);
        let talks: Vec<_> = (0..CLIENTS).map(|it| conversation(&mut random, it)).collect();
        let expected: Vec<_> =
            talks.iter().map(|it| hold(&mut direct.client(), it, |_| {})).collect();
        let mut sessions: Vec<_> = talks.iter().map(|_| scene.client()).collect();
        for ((session, talk), expected) in sessions.iter_mut().zip(&talks).zip(&expected) {
            let at = random.below(6) as usize;
            let replies = hold(session, talk, |n| {
                if n == at {
                    scene.change(Change::Demoted);
                } else if n == at + 1 {
                    scene.recover();
                }
            });
            scene.recover();
            changes += 1;
            for (n, (reply, expected)) in replies.iter().zip(expected).enumerate() {
                if reply.iter().any(|it| it.starts_with("-UNCERTAIN ")) {
                    // What follows may rest on the write.
                    uncertain += 1;
                    break;
                }
                let agrees = reply == expected || is_watch_lost(reply, expected);
                assert!(
                    agrees,
                    "seed {seed}, phrase {n} of {talk:?}, cut at {at}: {reply:?} instead of {expected:?}"
                );
            }
        }
    }
    eprintln!("{count} from seed {first}: {changes} changes, {uncertain} uncertain");
    assert!(uncertain <= changes / 10 + 1, "{uncertain} of {changes} were cut in flight");
}
