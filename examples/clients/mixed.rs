//! Clients of every kind: plain, pipelined, transactional, waiting, and subscribed.
//!
//! Five kinds in equal parts. Of those that wait, one pushes elements and one pops them, blocked
//! until there are any; of those that are subscribed, one publishes and one listens. Elements and
//! messages carry the moment at which they were sent, so that what a waiting client waits for too
//! long can be told from what it waits for anyway.

use crate::{
    book::{Book, Kind, Outcome, key_of, now, value_of},
    client::{Client, LOOK_EVERY, Shared},
    wire::{Reply, items, text},
};
use std::{
    io,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

/// Time from one turn to the next.
const EVERY: Duration = Duration::from_millis(10);
const PIPELINE_EVERY: Duration = Duration::from_millis(20);
const PIPELINE_WRITES: usize = 4;

/// Kinds of clients; one more round of each for every so many clients.
const KINDS: usize = 5;

/// The threads: those that end first, and those that take what is left.
pub(crate) type Threads = (Vec<JoinHandle<Book>>, Vec<JoinHandle<Book>>);

/// Connects `clients` and lets them go.
pub(crate) fn start(clients: usize, shared: &Arc<Shared>) -> io::Result<Threads> {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for id in 0..clients {
        let mut client = Client::new(id, shared)?;
        let round = id / KINDS;
        let (pair, is_taker) = (round / 2, round % 2 == 1);
        match id % KINDS {
            0 => first.push(thread::spawn(move || client.work(EVERY, plain))),
            1 => first.push(thread::spawn(move || {
                client.work(PIPELINE_EVERY, |it| it.turn(PIPELINE_WRITES, PIPELINE_WRITES))
            })),
            2 => {
                let mut before = None;
                first.push(thread::spawn(move || {
                    client.work(EVERY, |it| before = transaction(it, before))
                }));
            }
            3 if is_taker => {
                last.push(thread::spawn(move || {
                    take(&mut client, pair);
                    client.book
                }));
            }
            3 => {
                let list = list_of(pair);
                first.push(thread::spawn(move || {
                    client.work(EVERY, |it| say(it, Kind::Push, "RPUSH", &list))
                }));
            }
            _ if is_taker => {
                // Whoever speaks must find it there.
                subscribe(&mut client, pair).map_err(|it| io::Error::other(it.to_string()))?;
                last.push(thread::spawn(move || {
                    listen(&mut client, pair);
                    client.book
                }));
            }
            _ => {
                let channel = channel_of(pair);
                first.push(thread::spawn(move || {
                    client.work(EVERY, |it| say(it, Kind::Publish, "PUBLISH", &channel))
                }));
            }
        }
    }
    Ok((first, last))
}

/// The list that a pair shares.
pub(crate) fn list_of(pair: usize) -> String {
    format!("list:{pair}")
}

fn channel_of(pair: usize) -> String {
    format!("channel:{pair}")
}

/// One command at a time, in turn a write and a read.
pub(crate) fn plain(client: &mut Client) {
    if client.next_is_write() {
        client.turn(1, 0);
    } else {
        client.turn(0, 1);
    }
}

/// A write and a counter that only ever change together; gives the counter.
///
/// `before` is the counter after the last transaction, if it is known.
fn transaction(client: &mut Client, before: Option<i64>) -> Option<i64> {
    let number = client.next_number();
    let key = key_of(client.id(), number);
    let (value, counter) = (value_of(&key), format!("counter:{}", client.id()));
    let commands: [&[&str]; 4] =
        [&["MULTI"], &["SET", &key, &value], &["INCR", &counter], &["EXEC"]];
    let sent = now();
    let mut ended = Ok(Reply::Null);
    for command in commands {
        ended = client.call(command);
        match &ended {
            Ok(Reply::Error(_)) if command != ["EXEC"] => {
                // Out of the transaction, whatever became of it.
                if let Err(outcome) = client.call(&["DISCARD"]) {
                    ended = Err(outcome);
                }
                break;
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    let (outcome, counter) = match &ended {
        Err(outcome) => (outcome.clone(), None),
        Ok(Reply::Error(it)) => (Outcome::refused(it), None),
        Ok(it) => match items(it) {
            [_, Reply::Integer(n)] if before.is_none_or(|it| it + 1 == *n) => {
                (Outcome::Done, Some(*n))
            }
            _ => (Outcome::Wrong, None),
        },
    };
    if outcome == Outcome::Done {
        client.shared.known.set(client.id(), number);
    }
    client.book.note(Kind::Transaction, number, sent, outcome);
    counter
}

/// Pushes or publishes the next number and the moment.
fn say(client: &mut Client, kind: Kind, command: &str, to: &str) {
    let number = client.next_number();
    let sent = now();
    let outcome = match client.call(&[command, to, &format!("{number} {sent}")]) {
        Ok(Reply::Integer(_)) => Outcome::Done,
        Ok(Reply::Error(it)) => Outcome::refused(&it),
        Ok(_) => Outcome::Wrong,
        Err(outcome) => outcome,
    };
    client.book.note(kind, number, sent, outcome);
}

/// Number and moment of an element or a message.
fn said(reply: Option<&Reply>) -> Option<(u64, u64)> {
    let text = text(reply?)?;
    let (number, sent) = text.split_once(' ')?;
    Some((number.parse().ok()?, sent.parse().ok()?))
}

/// Pops, blocked until there is something, until nobody pushes any more.
fn take(client: &mut Client, pair: usize) {
    let list = list_of(pair);
    while let Some(popped) = ask_and_wait(client, Some(&["BLPOP", &list, "0"])) {
        if !note_arrival(client, Kind::Pop, &popped, 1) {
            thread::sleep(EVERY);
        }
    }
}

fn subscribe(client: &mut Client, pair: usize) -> Result<(), Outcome> {
    match client.call(&["SUBSCRIBE", &channel_of(pair)])? {
        Reply::Array(_) => Ok(()),
        Reply::Error(it) => Err(Outcome::refused(&it)),
        _ => Err(Outcome::Wrong),
    }
}

/// Listens until nobody speaks any more.
fn listen(client: &mut Client, pair: usize) {
    while let Some(message) = ask_and_wait(client, None) {
        note_arrival(client, Kind::Message, &message, 2);
        while !client.is_connected() && !client.shared.is_over() {
            let sent = now();
            let outcome = subscribe(client, pair).err().unwrap_or(Outcome::Done);
            client.book.note(Kind::Connect, 0, sent, outcome);
            thread::sleep(EVERY);
        }
    }
}

/// Writes down what arrived; whether it was what was waited for.
fn note_arrival(
    client: &mut Client,
    kind: Kind,
    reply: &Result<Reply, Outcome>,
    at: usize,
) -> bool {
    let arrived = reply.as_ref().ok().and_then(|it| said(items(it).get(at)));
    let (number, sent, outcome) = match (reply, arrived) {
        (Ok(_), Some((number, sent))) => (number, sent, Outcome::Done),
        (Ok(Reply::Error(it)), None) => (0, now(), Outcome::refused(it)),
        (Ok(_), None) => (0, now(), Outcome::Wrong),
        (Err(outcome), _) => (0, now(), outcome.clone()),
    };
    let is_done = outcome == Outcome::Done;
    client.book.note(kind, number, sent, outcome);
    is_done
}

/// What arrives, however long it takes; nothing once all is over.
fn ask_and_wait(client: &mut Client, command: Option<&[&str]>) -> Option<Result<Reply, Outcome>> {
    if client.shared.stop_takers.load(Ordering::Relaxed) {
        return None;
    }
    if let Some(command) = command
        && let Err(outcome) = client.send(&[command])
    {
        thread::sleep(EVERY);
        return Some(Err(outcome));
    }
    loop {
        let received = match client.wire() {
            Ok(wire) => wire.receive(LOOK_EVERY),
            Err(outcome) => return Some(Err(outcome)),
        };
        match received {
            Ok(reply) => return Some(Ok(reply)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                if client.shared.stop_takers.load(Ordering::Relaxed) {
                    return None;
                }
            }
            Err(error) => return Some(Err(client.lose(&error))),
        }
    }
}
