//! In normal operation Segue is invisible: every command of the merged tables gives, byte for
//! byte, the reply of a direct connection, or stands in [`EXCEPTIONS`] with the reason.

use super::{patient, resp3};
use crate::harness::{Client, Group, Kind, Proxy, encode};
use std::collections::BTreeSet;

on_both!(every_command_answers_as_on_a_direct_connection);

/// Names, with `|` before a subcommand, and the letters of the servers that know them.
const TABLE: &str = include_str!("../../../src/pure/command/commands.txt");

/// Commands that are not compared: a prefix of their names, and why.
const EXCEPTIONS: [(&str, &str); 45] = [
    ("replicaof", "refused: see sessions.allow"),
    ("slaveof", "refused: see sessions.allow"),
    ("failover", "refused: see sessions.allow"),
    ("shutdown", "refused: see sessions.allow"),
    ("sync", "refused: see sessions.allow"),
    ("psync", "refused: see sessions.allow"),
    ("replconf", "refused: see sessions.allow"),
    ("debug", "refused: see sessions.allow"),
    ("cluster", "those that change something are refused: see sessions.allow"),
    ("client|id", "differs between any two connections"),
    ("client|info", "differs between any two connections"),
    ("client|list", "the node's view; differs from moment to moment"),
    ("client|kill", "the node's view"),
    ("client|reply", "has no reply: modes.rs"),
    ("client|pause", "would stop the test itself"),
    ("hello", "has the id of the connection: modes.rs"),
    ("info", "figures of the moment"),
    ("time", "figures of the moment"),
    ("lastsave", "figures of the moment"),
    ("latency|", "figures of the moment"),
    ("slowlog|get", "figures of the moment"),
    ("slowlog|len", "figures of the moment"),
    ("commandlog|get", "figures of the moment"),
    ("commandlog|len", "figures of the moment"),
    ("memory|", "figures of the moment"),
    ("object|idletime", "figures of the moment"),
    ("acl|log", "figures of the moment, and the connection's address"),
    ("role", "figures of the moment"),
    ("acl|genpass", "random"),
    ("acl|cat", "in the order of a hash table that the server rebuilds meanwhile"),
    ("scan", "what a step shows depends on a hash table that the server rebuilds: scans.rs, MORE"),
    ("lolwut", "random"),
    ("randomkey", "random"),
    ("srandmember", "random"),
    ("spop", "random"),
    ("hrandfield", "random"),
    ("zrandmember", "random"),
    ("save", "depends on what was saved before"),
    ("bgsave", "depends on what was saved before"),
    ("bgrewriteaof", "depends on what was saved before"),
    ("config|rewrite", "changes the server's file"),
    ("monitor", "shows the other connections: modes.rs"),
    ("multi", "opens a transaction, in which the marker would be queued: transactions.rs"),
    ("quit", "ends the connection: modes.rs"),
    ("wait", "depends on the moment: blocking.rs"),
];

/// Names that can be called, as words.
fn commands(kind: Kind) -> Vec<Vec<String>> {
    let letter = if kind == Kind::Redis { 'r' } else { 'v' };
    let lines = TABLE.lines().filter(|it| !it.starts_with('#'));
    let entries = lines.map(|it| it.split(' ').collect::<Vec<_>>());
    entries
        .filter(|it| it[1].contains(letter) && !it.contains(&"container"))
        .filter(|it| !it.contains(&"blocking"))
        .filter(|it| !EXCEPTIONS.iter().any(|(name, _)| it[0].starts_with(name)))
        .map(|it| it[0].split('|').map(str::to_owned).collect())
        .collect()
}

/// One key of each type, and one that is not there.
const KEYS: [&str; 7] = ["string", "list", "hash", "set", "zset", "stream", "none"];

const FILL: [&[&str]; 11] = [
    &["FLUSHALL"],
    &["SCRIPT", "FLUSH"],
    &["FUNCTION", "FLUSH"],
    &["SET", "string", "10"],
    &["RPUSH", "list", "a", "b", "c"],
    &["HSET", "hash", "f", "1", "g", "2"],
    &["SADD", "set", "1", "2", "3"],
    &["ZADD", "zset", "1", "a", "2", "b"],
    &["XADD", "stream", "1-1", "f", "v"],
    &["XGROUP", "CREATE", "stream", "group", "0"],
    &["GEOADD", "geo", "13.36", "38.11", "one", "15.08", "37.50", "two"],
];

/// What no pattern hits: commands that succeed, with options.
const MORE: [&[&str]; 37] = [
    &["SET", "string", "v", "XX", "GET", "KEEPTTL"],
    &["GETEX", "string", "PERSIST"],
    &["MSETNX", "string", "1", "none", "2"],
    &["BITFIELD", "string", "SET", "u8", "0", "255", "GET", "u4", "4"],
    &["BITOP", "NOT", "none", "string"],
    &["LCS", "string", "string", "LEN"],
    &["LPOS", "list", "b", "RANK", "-1"],
    &["LMPOP", "2", "none", "list", "LEFT", "COUNT", "2"],
    &["LMOVE", "list", "none", "LEFT", "RIGHT"],
    &["SORT", "list", "ALPHA", "DESC", "LIMIT", "0", "2"],
    &["HGETALL", "hash"],
    &["HINCRBYFLOAT", "hash", "f", "0.5"],
    &["SMISMEMBER", "set", "1", "9"],
    &["SINTERCARD", "2", "set", "set", "LIMIT", "1"],
    &["ZRANGE", "zset", "(1", "+inf", "BYSCORE", "LIMIT", "0", "5", "WITHSCORES"],
    &["ZADD", "zset", "INCR", "1.5", "a"],
    &["ZMSCORE", "zset", "a", "none"],
    &["ZINTER", "2", "zset", "zset", "WEIGHTS", "2", "3", "WITHSCORES"],
    &["ZMPOP", "1", "zset", "MAX"],
    &["GEOSEARCH", "geo", "FROMMEMBER", "one", "BYRADIUS", "200", "km", "ASC", "WITHDIST"],
    &["GEOPOS", "geo", "one", "none"],
    &["XRANGE", "stream", "-", "+"],
    &["XREAD", "COUNT", "1", "STREAMS", "stream", "0"],
    &["XREADGROUP", "GROUP", "group", "me", "STREAMS", "stream", ">"],
    &["XINFO", "GROUPS", "stream"],
    &["XPENDING", "stream", "group"],
    &["PFADD", "pf", "a", "b"],
    &["SCAN", "0", "MATCH", "hash", "COUNT", "100"],
    &["SCAN"],
    &["SCAN", "x"],
    &["SCAN", "0", "COUNT", "0"],
    &["EVAL", "return {1, 'two', {3}, redis.status_reply('OK'), false}", "0"],
    &["EVAL_RO", "return redis.call('GET', KEYS[1])", "1", "string"],
    &["OBJECT", "ENCODING", "zset"],
    &["CONFIG", "GET", "maxmemory*"],
    &["COMMAND", "INFO", "get", "none"],
    &["CLIENT", "SETNAME", "somebody"],
];

/// The words behind the name that every command is tried with.
fn arguments() -> Vec<Vec<&'static str>> {
    let patterns: [&[&str]; 8] = [
        &["1"],
        &["1", "2"],
        &["f", "3"],
        &["0", "-1"],
        &["f"],
        &["1", "f", "2"],
        &["string", "set", "zset"],
        &["f", "x", "3", "y"],
    ];
    let mut all: Vec<Vec<_>> =
        vec![vec![], vec!["1"], vec!["1", "string"], vec!["a", "b", "c", "d"]];
    for key in KEYS {
        all.push(vec![key]);
        all.extend(patterns.iter().map(|it| [&[key], *it].concat()));
    }
    all
}

const MARKER: &str = "$10\r\nend-marker\r\n";

/// All replies to `requests`, as they stand on the wire.
#[track_caller]
fn replies(client: &mut Client, requests: &[Vec<&str>]) -> Vec<String> {
    let mut bytes: Vec<_> = FILL.iter().flat_map(|it| encode(it)).collect();
    bytes.extend(encode(&["PING", "end-marker"]));
    client.send(&bytes);
    client.read_raw_until(MARKER);
    let with_marker = |it: &Vec<&str>| [encode(it), encode(&["PING", "end-marker"])].concat();
    client.send(&requests.iter().flat_map(with_marker).collect::<Vec<_>>());
    requests.iter().map(|_| client.read_raw_until(MARKER)).collect()
}

/// Goal: whatever is sent, the reply is the server's, to the byte.
///
/// Method: every command with many arguments (most are errors, which counts too), on connections
/// in both protocols, first directly and then through Segue to the same node.
fn every_command_answers_as_on_a_direct_connection(kind: Kind) {
    let group = Group::start(kind, 0);
    let proxy = Proxy::over(&group.nodes()).with(patient).start();
    proxy.wait_ready();
    let mut differences = BTreeSet::new();
    let mut count = 0;
    let check = |requests: &[Vec<&str>], differences: &mut BTreeSet<String>| {
        for is_resp3 in [false, true] {
            let form = |client: Client| if is_resp3 { resp3(client) } else { client };
            let direct = replies(&mut form(group.primary.client()), requests);
            let through = replies(&mut form(proxy.client()), requests);
            for ((request, direct), through) in requests.iter().zip(direct).zip(through) {
                if direct != through {
                    differences.insert(format!("{request:?}: {direct:?} became {through:?}"));
                }
            }
        }
    };
    let arguments = arguments();
    for name in commands(kind) {
        let name: Vec<_> = name.iter().map(String::as_str).collect();
        let requests: Vec<_> = arguments.iter().map(|it| [&name[..], it].concat()).collect();
        count += requests.len() * 2;
        check(&requests, &mut differences);
    }
    let more: Vec<_> = MORE.iter().map(|it| it.to_vec()).collect();
    check(&more, &mut differences);
    eprintln!("{count} replies were compared");
    assert!(count > 20_000, "{count}");
    assert!(differences.is_empty(), "{differences:#?}");
}
