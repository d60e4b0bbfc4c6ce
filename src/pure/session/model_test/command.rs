//! What the modelled server does with each command: a useful subset, with the servers' own texts.

use super::node::{Blocked, Conn, Node, Role};
use super::store::Store;
use crate::pure::resp::write::{self, Proto};
use crate::pure::time::Time;

pub(super) const READONLY: &str = "-READONLY You can't write against a read only replica.";
pub(super) const LOADING: &str = "-LOADING Redis is loading the dataset in memory";

/// Elements of the set that `SCAN` walks.
pub(super) const SCAN_ITEMS: u64 = 12;

/// What an execution did to data.
pub(super) enum Effect {
    Done,
    /// These keys were written.
    Wrote(Vec<Vec<u8>>),
}

const WRITES: [&str; 8] = ["SET", "MOD.PUT", "INCR", "RPUSH", "DEL", "BLPOP", "EVAL", "EVALSHA"];
const AT_ONCE: [&str; 6] = ["EXEC", "DISCARD", "MULTI", "WATCH", "RESET", "QUIT"];
const LOADING_OK: [&str; 18] = [
    "AUTH",
    "HELLO",
    "SELECT",
    "CLIENT",
    "MULTI",
    "EXEC",
    "DISCARD",
    "RESET",
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SUNSUBSCRIBE",
    "WATCH",
    "UNWATCH",
    "QUIT",
    "MONITOR",
];
const SUBSCRIBED_OK: [&str; 8] = [
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SUNSUBSCRIBE",
    "PING",
    "RESET",
];

fn name_of(args: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&args[0]).to_ascii_uppercase()
}

fn writes(name: &str) -> bool {
    // Scripts are judged by what they do, which here is to write; but the server says so later.
    WRITES.contains(&name) && !name.starts_with("EVAL")
}

/// Runs `args`, or queues or refuses it.
pub(super) fn execute(
    node: &mut Node,
    store: &mut Store,
    now: Time,
    id: u64,
    args: &[Vec<u8>],
) -> Effect {
    let name = name_of(args);
    let role = node.role;
    let conn = node.conns.get_mut(&id).unwrap();
    if let Some(error) = refusal(conn, role, &name, args) {
        // The servers let `EXEC` end the transaction with the reason; the rest aborts it.
        if name == "EXEC" && conn.multi.is_some() {
            conn.multi = None;
            conn.watched.clear();
            let cause = error.trim_start_matches('-');
            conn.line(&format!("-EXECABORT Transaction discarded because of: {cause}"));
        } else {
            conn.dirty |= conn.multi.is_some();
            conn.line(&error);
        }
        return Effect::Done;
    }
    if let Some(queue) = &mut conn.multi
        && !AT_ONCE.contains(&name.as_str())
    {
        queue.push(args.to_vec());
        conn.line("+QUEUED");
        return Effect::Done;
    }
    if name == "EXEC" {
        return exec(node, store, now, id);
    }
    perform(node, store, now, id, args, false)
}

fn refusal(conn: &Conn, role: Role, name: &str, args: &[Vec<u8>]) -> Option<String> {
    let arity = match name {
        "ECHO" | "MULTI" | "EXEC" | "DISCARD" => {
            (args.len() != 1 + usize::from(name == "ECHO")).then_some(())
        }
        "SET" => (args.len() < 3).then_some(()),
        _ => None,
    };
    if arity.is_some() {
        return Some(format!(
            "-ERR wrong number of arguments for '{}' command",
            name.to_lowercase()
        ));
    }
    if role == Role::Loading && !LOADING_OK.contains(&name) {
        return Some(LOADING.to_owned());
    }
    let queued = |test: &dyn Fn(&str) -> bool| {
        name == "EXEC"
            && conn.multi.as_ref().is_some_and(|it| it.iter().any(|it| test(&name_of(it))))
    };
    if role == Role::Loading && queued(&|it| !LOADING_OK.contains(&it)) {
        return Some(LOADING.to_owned());
    }
    if role == Role::Replica && (writes(name) || queued(&writes)) {
        return Some(READONLY.to_owned());
    }
    if !conn.resp3 && conn.is_subscribed() && !SUBSCRIBED_OK.contains(&name) {
        return Some(format!(
            "-ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
             are allowed in this context",
            name.to_lowercase()
        ));
    }
    None
}

fn exec(node: &mut Node, store: &mut Store, now: Time, id: u64) -> Effect {
    let conn = node.conns.get_mut(&id).unwrap();
    let Some(queue) = conn.multi.take() else {
        conn.line("-ERR EXEC without MULTI");
        return Effect::Done;
    };
    let watched = std::mem::take(&mut conn.watched);
    if std::mem::take(&mut conn.dirty) {
        conn.line("-EXECABORT Transaction discarded because of previous errors.");
        return Effect::Done;
    }
    let seq = store.seq + 1;
    if watched.iter().any(|(key, at)| store.touched_between(key, *at, seq)) {
        conn.null_array();
        return Effect::Done;
    }
    conn.line(&format!("*{}", queue.len()));
    let mut wrote = Vec::new();
    for args in &queue {
        if let Effect::Wrote(keys) = perform(node, store, now, id, args, true) {
            wrote.extend(keys);
        }
    }
    Effect::Wrote(wrote)
}

fn perform(
    node: &mut Node,
    store: &mut Store,
    now: Time,
    id: u64,
    args: &[Vec<u8>],
    in_exec: bool,
) -> Effect {
    let name = name_of(args);
    let index = node.index;
    let arg = |at: usize| args.get(at).cloned().unwrap_or_default();
    let token = args.last().unwrap().clone();
    let conn = node.conns.get_mut(&id).unwrap();
    match name.as_str() {
        "PING" if conn.is_subscribed() && !conn.resp3 => {
            conn.line("*2\r\n$4\r\npong\r\n$0\r\n");
        }
        "PING" => conn.line("+PONG"),
        "SEGUE:WHICH-ROLE" => conn.line("-ERR unknown command 'segue:which-role', with args"),
        "ROLE" => {
            let role: &[u8] = if node.role == Role::Replica { b"slave" } else { b"master" };
            conn.line("*1");
            conn.bulk(role);
        }
        "ECHO" => conn.bulk(&arg(1)),
        // A key that was never written reads as its own name.
        "GET" => {
            let value = store.strings.get(&(conn.db, arg(1))).cloned().unwrap_or_else(|| arg(1));
            conn.bulk(&value);
        }
        "SET" => {
            store.record(index, Some(id), &token);
            store.strings.insert((conn.db, arg(1)), arg(2));
            conn.line("+OK");
            return Effect::Wrote(vec![arg(1)]);
        }
        "MOD.PUT" => {
            store.record(index, Some(id), &token);
            conn.bulk(&[b"put:".as_slice(), &token].concat());
        }
        "INCR" => {
            store.record(index, Some(id), &token);
            let times = store.times(&String::from_utf8_lossy(&token));
            conn.line(&format!(":{times}"));
        }
        "RPUSH" => {
            store.record(index, Some(id), &token);
            let list = store.lists.entry(arg(1)).or_default();
            list.push_back(arg(2));
            let len = list.len();
            conn.line(&format!(":{len}"));
            return Effect::Wrote(vec![arg(1)]);
        }
        "BLPOP" => return blpop(conn, index, store, now, args, in_exec),
        "EVAL" | "EVALSHA" => {
            let sha = if name == "EVAL" { sha(&arg(1)) } else { text(&arg(1)) };
            if name == "EVALSHA" && !node.scripts.contains(&sha) {
                conn.line("-NOSCRIPT No matching script. Please use EVAL.");
                return Effect::Done;
            }
            node.scripts.insert(sha);
            if node.role == Role::Replica {
                conn.line(&format!("{READONLY} script: x, on @user_script:1."));
                return Effect::Done;
            }
            store.record(index, Some(id), &token);
            conn.bulk(&[b"ran:".as_slice(), &token].concat());
        }
        "SCRIPT" => {
            let sha = sha(&arg(2));
            conn.bulk(sha.as_bytes());
            node.scripts.insert(sha);
        }
        "SCAN" => scan(conn, index, &arg(1)),
        // As Valkey does; Redis 7.0 leaves the transaction as it was.
        "MULTI" if conn.multi.is_some() => {
            conn.dirty = true;
            conn.line("-ERR MULTI calls can not be nested");
        }
        "MULTI" => {
            conn.multi = Some(Vec::new());
            conn.dirty = false;
            conn.line("+OK");
        }
        "DISCARD" if conn.multi.is_none() => conn.line("-ERR DISCARD without MULTI"),
        "DISCARD" => {
            conn.multi = None;
            conn.dirty = false;
            conn.watched.clear();
            conn.line("+OK");
        }
        "WATCH" if conn.multi.is_some() => {
            conn.dirty = true;
            conn.line("-ERR WATCH inside MULTI is not allowed");
        }
        "WATCH" => {
            let seq = store.tick();
            store.watches.insert(text(&token), seq);
            conn.watched.push((arg(1), seq));
            conn.line("+OK");
        }
        "UNWATCH" => {
            conn.watched.clear();
            conn.line("+OK");
        }
        _ => connection(node, id, &name, args),
    }
    Effect::Done
}

fn blpop(
    conn: &mut Conn,
    index: usize,
    store: &mut Store,
    now: Time,
    args: &[Vec<u8>],
    in_exec: bool,
) -> Effect {
    // `BLPOP list token timeout`: the second key never exists and names the request.
    let (key, token) = (args[1].clone(), args[2].clone());
    if let Some(value) = store.lists.get_mut(&key).and_then(|it| it.pop_front()) {
        store.popped.push(value.clone());
        store.record(index, Some(conn.id), &token);
        conn.line("*2");
        conn.bulk(&key);
        conn.bulk(&value);
    } else if in_exec {
        conn.null_array();
    } else {
        let until = Node::until(&args[3], now);
        conn.blocked = Some(Blocked { key, until, token });
    }
    Effect::Done
}

/// Every node walks in an order of its own, four elements at a time.
fn scan(conn: &mut Conn, index: usize, cursor: &[u8]) {
    let cursor: u64 = text(cursor).parse().unwrap();
    let from = cursor.min(SCAN_ITEMS);
    let to = (from + 4).min(SCAN_ITEMS);
    let next = if to == SCAN_ITEMS { 0 } else { to };
    conn.line("*2");
    conn.bulk(next.to_string().as_bytes());
    conn.line(&format!("*{}", to - from));
    let stride = [1, 5, 7][index];
    for at in from..to {
        conn.bulk(format!("item{}", at * stride % SCAN_ITEMS).as_bytes());
    }
}

fn connection(node: &mut Node, id: u64, name: &str, args: &[Vec<u8>]) {
    let locked = node.locked;
    let conn = node.conns.get_mut(&id).unwrap();
    let arg = |at: usize| args.get(at).map(|it| text(it)).unwrap_or_default();
    match name {
        "SELECT" => match arg(1).parse() {
            Ok(db) if db < 16 => {
                conn.db = db;
                conn.line("+OK");
            }
            _ => conn.line("-ERR DB index is out of range"),
        },
        "AUTH" if locked || arg(2) != format!("pw-{}", arg(1)) => conn.line(WRONGPASS),
        "AUTH" => {
            conn.user = arg(1);
            conn.line("+OK");
        }
        "HELLO" => hello(conn, locked, args),
        "CLIENT" => client(conn, args),
        "SUBSCRIBE" => subscribe(conn, 0, args),
        "PSUBSCRIBE" => subscribe(conn, 1, args),
        "SSUBSCRIBE" => subscribe(conn, 2, args),
        "UNSUBSCRIBE" => unsubscribe(conn, 0, args),
        "PUNSUBSCRIBE" => unsubscribe(conn, 1, args),
        "SUNSUBSCRIBE" => unsubscribe(conn, 2, args),
        "RESET" => {
            conn.reset();
            conn.line("+RESET");
        }
        "MONITOR" => {
            conn.monitor = true;
            conn.line("+OK");
            conn.line("+1700000000.5 [0 127.0.0.1:5] \"PING\"");
        }
        other => panic!("the model node does not know {other}"),
    }
}

const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.";

fn hello(conn: &mut Conn, locked: bool, args: &[Vec<u8>]) {
    let words: Vec<String> = args.iter().map(|it| text(it)).collect();
    if let Some(at) = words.iter().position(|it| it == "AUTH") {
        if locked || words[at + 2] != format!("pw-{}", words[at + 1]) {
            return conn.line(WRONGPASS);
        }
        conn.user = words[at + 1].clone();
    }
    if let Some(at) = words.iter().position(|it| it == "SETNAME") {
        conn.name = words[at + 1].clone();
    }
    conn.resp3 = words.get(1).is_some_and(|it| it == "3");
    let proto = if conn.resp3 { Proto::Resp3 } else { Proto::Resp2 };
    write::map(&mut conn.output, proto, 2);
    conn.bulk(b"proto");
    conn.line(if conn.resp3 { ":3" } else { ":2" });
    conn.bulk(b"id");
    let id = conn.id;
    conn.line(&format!(":{id}"));
}

fn client(conn: &mut Conn, args: &[Vec<u8>]) {
    let arg = |at: usize| args.get(at).map(|it| text(it)).unwrap_or_default();
    match arg(1).to_ascii_uppercase().as_str() {
        "SETNAME" => {
            conn.name = arg(2);
            conn.line("+OK");
        }
        "SETINFO" => {
            conn.lib = arg(3);
            conn.line("+OK");
        }
        "GETNAME" => {
            let name = conn.name.clone();
            conn.bulk(name.as_bytes());
        }
        "ID" => {
            let id = conn.id;
            conn.line(&format!(":{id}"));
        }
        "REPLY" => {
            assert_eq!(arg(2), "ON", "a node must never be told to be silent");
            conn.line("+OK");
        }
        "TRACKING" => {
            conn.tracking = (arg(2) == "ON")
                .then(|| args.iter().skip(3).map(|it| text(it)).collect::<Vec<_>>().join(" "));
            conn.line("+OK");
        }
        "CACHING" => conn.line("+OK"),
        other => panic!("the model node does not know CLIENT {other}"),
    }
}

fn confirm(conn: &mut Conn, kind: usize, adds: bool, name: Option<&[u8]>) {
    let word = ["subscribe", "psubscribe", "ssubscribe"][kind];
    let word = if adds { word.to_owned() } else { unword(word) };
    let count = match kind {
        2 => conn.subs[2].len(),
        _ => conn.subs[0].len() + conn.subs[1].len(),
    };
    conn.line(if conn.resp3 { ">3" } else { "*3" });
    conn.bulk(word.as_bytes());
    match name {
        Some(name) => conn.bulk(name),
        None => conn.line(if conn.resp3 { "_" } else { "$-1" }),
    }
    conn.line(&format!(":{count}"));
}

fn unword(word: &str) -> String {
    match word {
        "subscribe" => "unsubscribe".to_owned(),
        "psubscribe" => "punsubscribe".to_owned(),
        _ => "sunsubscribe".to_owned(),
    }
}

fn subscribe(conn: &mut Conn, kind: usize, args: &[Vec<u8>]) {
    for name in &args[1..] {
        conn.subs[kind].insert(name.clone());
        confirm(conn, kind, true, Some(name));
    }
}

fn unsubscribe(conn: &mut Conn, kind: usize, args: &[Vec<u8>]) {
    let names: Vec<Vec<u8>> =
        if args.len() > 1 { args[1..].to_vec() } else { conn.subs[kind].iter().cloned().collect() };
    if names.is_empty() {
        return confirm(conn, kind, false, None);
    }
    for name in &names {
        conn.subs[kind].remove(name);
        confirm(conn, kind, false, Some(name));
    }
}

pub(super) fn sha(body: &[u8]) -> String {
    sha1_smol::Sha1::from(body).digest().to_string()
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
