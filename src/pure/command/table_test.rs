//! Every command has the class that it ought to have.
//!
//! One test walks the whole of `commands.txt`, so that a command which a new server
//! brings is either classed by its flags or seen here.

use super::classify::harmless;
use super::table::BUILTIN;
use super::*;
use crate::pure::resp::{reply, write};
use proptest::prelude::*;

fn rows() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    BUILTIN.lines().filter(|it| !it.starts_with('#')).map(|line| {
        let mut words = line.split(' ');
        let name = words.next().expect("a name");
        let servers = words.next().expect("servers");
        assert!(["r", "v", "rv"].contains(&servers), "{line}");
        (name, words.collect())
    })
}

fn class(table: &Table, name: &str) -> Class {
    match name.split_once('|') {
        Some((name, sub)) => table.lookup(name.as_bytes(), sub.as_bytes()),
        None => table.lookup(name.as_bytes(), b""),
    }
}

#[track_caller]
fn check(names: &str, effect: Effect, special: Special) {
    let table = Table::builtin();
    for name in names.split(' ') {
        let found = class(&table, name);
        assert_eq!((found.effect, found.special), (effect, special), "{name}");
    }
}

#[test]
fn the_table_is_whole() {
    let known = [
        "container",
        "read",
        "write",
        "may_replicate",
        "blocking",
        "option",
        "state",
        "admin",
        "no_auth",
        "no_multi",
        "pubsub",
    ];
    let names: Vec<&str> = rows().map(|(name, _)| name).collect();
    assert!(names.is_sorted() && names.len() == Table::builtin().len());
    assert!(names.len() == 399, "commands.txt was made anew: look at what is new, then count");
    for (name, words) in rows() {
        assert!(words.iter().all(|it| known.contains(it)), "{name}: {words:?}");
        assert!(name.bytes().all(|it| it.is_ascii_lowercase() || b"|-_".contains(&it)), "{name}");
        if let Some((parent, _)) = name.split_once('|') {
            let parent = rows().find(|(name, _)| *name == parent).expect("has a parent");
            assert!(parent.1.contains(&"container"), "{name}");
        }
    }
    for name in harmless() {
        assert!(names.contains(name), "{name} is in no server");
    }
}

/// The class of every command agrees with what the servers, and the facts gathered about
/// them, say.
#[test]
fn classes_agree_with_the_servers() {
    let table = Table::builtin();
    for (name, words) in rows() {
        let has = |word: &str| words.contains(&word);
        let class = class(&table, name);
        let refused = matches!(class.special, Special::Refused(_));
        if has("write") || has("may_replicate") {
            assert_eq!(class.effect, Effect::Write, "{name}");
        } else if has("read") {
            assert_eq!(class.effect, Effect::Read, "{name}");
        }
        // EXEC closes the transaction, but first it runs it.
        if name != "exec" && !refused {
            assert_eq!(has("state"), class.effect == Effect::Connection, "{name}");
        }
        assert_eq!(has("blocking") || has("option"), class.is_blocking, "{name}");
        assert_eq!(class.is_blocking, class.block_arg().is_some(), "{name}");
        assert_eq!(has("option"), class.block_arg() == Some(BlockArg::OptionMillis), "{name}");
        assert_eq!(has("no_auth"), class.no_auth, "{name}");
        assert_eq!(has("no_multi"), class.no_multi, "{name}");
        // Nothing that a plain user may not run is harmless by default.
        if has("admin") && class.effect == Effect::Read {
            assert!(harmless().contains(&name) || name.ends_with("|help"), "{name}");
        }
    }
}

#[test]
fn reads_may_be_sent_again() {
    check("get mget exists ttl type hgetall lrange smembers zrange", Effect::Read, Special::None);
    check("keys randomkey dbsize dump touch sort_ro bitfield_ro", Effect::Read, Special::None);
    check("ping echo time info role lastsave command command|docs", Effect::Read, Special::None);
    check(
        "config|get slowlog|get latency|doctor memory|usage acl|whoami",
        Effect::Read,
        Special::None,
    );
    check(
        "object|encoding xinfo|stream pubsub|numsub client|help xgroup|help",
        Effect::Read,
        Special::None,
    );
    check(
        "cluster|info cluster|slots cluster|nodes cluster|myid cluster|keyslot",
        Effect::Read,
        Special::None,
    );
    check("function|list function|dump module|list", Effect::Read, Special::None);
    check("eval_ro", Effect::Read, Special::Eval);
    check("evalsha_ro", Effect::Read, Special::EvalSha);
    check("fcall_ro", Effect::Read, Special::Fcall);
    check("script|exists", Effect::Read, Special::ScriptExists);
    check("script|load", Effect::Read, Special::ScriptLoad);
    check("client|id", Effect::Read, Special::ClientId);
    check("client|list", Effect::Read, Special::ClientList);
    check("scan", Effect::Read, Special::Scan);
    check("hscan", Effect::Read, Special::Hscan);
    check("sscan", Effect::Read, Special::Sscan);
    check("zscan", Effect::Read, Special::Zscan);
    check("xread", Effect::Read, Special::Blocking(BlockArg::OptionMillis));
}

#[test]
fn writes_may_not() {
    check("set incr del expire lpush eval_rw foo getex getdel setex", Effect::Write, Special::None);
    check(
        "sort georadius bitfield migrate restore flushall swapdb copy",
        Effect::Write,
        Special::None,
    );
    check("publish spublish pfcount", Effect::Write, Special::None);
    check("config|set config|rewrite config|resetstat slowlog|reset", Effect::Write, Special::None);
    check(
        "acl|setuser acl|log module|load script|kill function|load",
        Effect::Write,
        Special::None,
    );
    check("save bgsave bgrewriteaof memory|purge latency|reset", Effect::Write, Special::None);
    check("exec", Effect::Write, Special::Exec);
    check("eval", Effect::Write, Special::Eval);
    check("evalsha", Effect::Write, Special::EvalSha);
    check("fcall", Effect::Write, Special::Fcall);
    check("script|flush", Effect::Write, Special::ScriptFlush);
    check("client|kill", Effect::Write, Special::ClientKill);
    check("client|pause", Effect::Write, Special::ClientPause);
    check("client|unblock", Effect::Write, Special::ClientUnblock);
    // Its answer is about writes of a connection that is gone.
    check("wait", Effect::Write, Special::Wait);
    check("waitaof", Effect::Write, Special::Waitaof);
    check(
        "blpop brpop bzpopmin bzpopmax blmove brpoplpush",
        Effect::Write,
        Special::Blocking(BlockArg::LastSeconds),
    );
    check("blmpop bzmpop", Effect::Write, Special::Blocking(BlockArg::FirstSeconds));
    check("xreadgroup", Effect::Write, Special::Blocking(BlockArg::OptionMillis));
}

#[test]
fn connections_are_remembered() {
    for (name, special) in [
        ("auth", Special::Auth),
        ("hello", Special::Hello),
        ("select", Special::Select),
        ("reset", Special::Reset),
        ("quit", Special::Quit),
        ("multi", Special::Multi),
        ("discard", Special::Discard),
        ("watch", Special::Watch),
        ("unwatch", Special::Unwatch),
        ("subscribe", Special::Subscribe),
        ("psubscribe", Special::Psubscribe),
        ("ssubscribe", Special::Ssubscribe),
        ("unsubscribe", Special::Unsubscribe),
        ("punsubscribe", Special::Punsubscribe),
        ("sunsubscribe", Special::Sunsubscribe),
        ("monitor", Special::Monitor),
        ("asking", Special::Asking),
        ("readonly", Special::Readonly),
        ("readwrite", Special::Readwrite),
        ("client|setname", Special::ClientSetname),
        ("client|setinfo", Special::ClientSetinfo),
        ("client|reply", Special::ClientReply),
        ("client|tracking", Special::ClientTracking),
        ("client|caching", Special::ClientCaching),
        ("client|no-evict", Special::ClientNoEvict),
        ("client|no-touch", Special::ClientNoTouch),
        ("client|capa", Special::ClientCapa),
        ("client|import-source", Special::ClientImportSource),
        ("script|debug", Special::ScriptDebug),
    ] {
        check(name, Effect::Connection, special);
    }
}

#[test]
fn what_would_turn_the_group_against_itself_is_refused() {
    let refused = |names, allow| check(names, Effect::Write, Special::Refused(allow));
    refused("replicaof slaveof", Allow::Replicaof);
    refused("failover", Allow::Failover);
    refused("shutdown", Allow::Shutdown);
    refused("sync psync replconf", Allow::Sync);
    refused("debug debug|sleep debug|object", Allow::Debug);
    refused("cluster|reset cluster|failover cluster|setslot cluster|meet", Allow::Cluster);
    refused("cluster|syncslots cluster|migrateslots cluster|nonsense", Allow::Cluster);
    let keys: Vec<&str> = Allow::ALL.into_iter().map(Allow::key).collect();
    assert_eq!(keys, ["replicaof", "failover", "shutdown", "sync", "debug", "cluster"]);
}

#[test]
fn names_are_found_in_any_case() {
    let table = Table::builtin();
    assert_eq!(table.lookup(b"GeT", b"KEY"), table.lookup(b"get", b""));
    assert_eq!(table.lookup(b"CLIENT", b"SETNAME").special, Special::ClientSetname);
    assert_eq!(table.lookup(b"Client", b"No-Evict").special, Special::ClientNoEvict);
}

#[test]
fn what_is_not_a_command_is_unknown() {
    let table = Table::builtin();
    for name in ["", "gett", "ge", "client|setname", "get\0", "|", "client|", "GET "] {
        assert_eq!(table.lookup(name.as_bytes(), b""), Class::UNKNOWN, "{name:?}");
    }
    assert_eq!(table.lookup(b"client|no", b"touch"), Class::UNKNOWN);
    assert_eq!(table.lookup(b"client", b"nonsense"), Class::UNKNOWN);
    assert_eq!(table.lookup(b"client", &[b'x'; 1_000]), Class::UNKNOWN);
    assert_eq!(table.lookup(&[b'x'; 1_000], b""), Class::UNKNOWN);
    // A read without its subcommand, but who knows with an unknown one.
    assert_eq!(table.lookup(b"command", b"").effect, Effect::Read);
    assert_eq!(table.lookup(b"command", b"nonsense").effect, Effect::Write);
    // Whatever the slots in which they are looked for.
    for n in 0..5_000 {
        let class = table.lookup(b"command", format!("x{n}").as_bytes());
        assert_eq!(class.effect, Effect::Write, "x{n}");
    }
    // The first argument of what has no subcommands does not matter.
    assert_eq!(table.lookup(b"get", b"|"), table.lookup(b"get", b""));
}

fn learnt(name: &str, readonly: bool, write: bool) -> Learnt {
    Learnt { name: name.to_owned(), readonly, write, ..Learnt::default() }
}

#[test]
fn believes_a_primary_about_its_modules_only() {
    let mut table = Table::builtin();
    table.learn([
        learnt("json.get", true, false),
        learnt("json.set", false, true),
        learnt("json.odd", true, true),
        learnt("json.none", false, false),
        Learnt { pubsub: true, ..learnt("json.tell", true, false) },
        Learnt { blocking: true, ..learnt("json.wait", true, false) },
        learnt("json.debug", false, false),
        learnt("json.debug|memory", true, false),
        learnt("orphan|sub", true, false),
        learnt("client|new", true, false),
        // Lies, and the truth about a later server.
        learnt("set", true, false),
        learnt("publish", true, false),
        learnt("client|kill", true, false),
        learnt("get", false, true),
        learnt("subscribe", false, true),
        learnt("", true, false),
        learnt(&"x".repeat(65), true, false),
    ]);
    let effect = |name| class(&table, name).effect;
    for name in ["json.get", "json.wait", "json.debug|memory", "client|new", "JSON.GET"] {
        assert_eq!(effect(name), Effect::Read, "{name}");
    }
    for name in ["json.set", "json.odd", "json.none", "json.tell", "json.debug", "json.debug|x"] {
        assert_eq!(effect(name), Effect::Write, "{name}");
    }
    for name in ["set", "publish", "client|kill", "get", "orphan|sub"] {
        assert_eq!(effect(name), Effect::Write, "{name}");
    }
    assert_eq!(effect("subscribe"), Effect::Connection);
    assert!(class(&table, "json.wait").is_blocking);
    assert_eq!(table.len(), Table::builtin().len() + 9);
}

#[test]
fn learns_only_so_much() {
    let mut table = Table::builtin();
    table.learn((0..10_000).map(|it| learnt(&format!("m.{it}"), true, false)));
    assert_eq!(table.len(), Table::builtin().len() + 4_096);
    assert_eq!(class(&table, "m.4095").effect, Effect::Read);
    assert_eq!(class(&table, "m.4096"), Class::UNKNOWN);
    assert_eq!(class(&table, "client|setname").special, Special::ClientSetname);
}

fn strings(out: &mut Vec<u8>, marker: u8, texts: &[&str]) {
    out.extend_from_slice(format!("{}{}\r\n", char::from(marker), texts.len()).as_bytes());
    texts.iter().for_each(|it| write::simple(out, it.as_bytes()));
}

/// A description as 7.0 gives it; `flags` is an array in RESP2 and a set in RESP3.
fn description(out: &mut Vec<u8>, set: u8, name: &str, flags: &[&str], subs: &[(&str, &[&str])]) {
    write::array(out, 10);
    write::bulk(out, name.as_bytes());
    write::int(out, -2);
    strings(out, set, flags);
    (0..3).for_each(|_| write::int(out, 0));
    strings(out, set, &["@slow"]);
    strings(out, b'*', &[]);
    strings(out, b'*', &[]);
    write::array(out, subs.len());
    for (name, flags) in subs {
        description(out, set, name, flags, &[]);
    }
}

#[test]
fn reads_the_reply_to_command() {
    for set in [b'*', b'~'] {
        let mut frame = Vec::new();
        write::array(&mut frame, 4);
        description(&mut frame, set, "json.get", &["readonly", "fast"], &[]);
        let subs: &[(&str, &[&str])] = &[("JSON.DEBUG|Memory", &["readonly"])];
        description(&mut frame, set, "json.debug", &["write", "no_auth", "no_multi"], subs);
        // Before 7.0 a description ended with the categories; an alien one is left out.
        write::array(&mut frame, 3);
        write::bulk(&mut frame, b"old");
        write::int(&mut frame, 1);
        strings(&mut frame, set, &["blocking", "pubsub"]);
        write::int(&mut frame, 1);
        assert_eq!(reply::Scanner::new().scan(&frame), reply::Scan::Frame { len: frame.len() });
        assert_eq!(
            parse(&frame),
            Some(vec![
                learnt("json.get", true, false),
                Learnt { no_auth: true, no_multi: true, ..learnt("json.debug", false, true) },
                learnt("json.debug|memory", true, false),
                Learnt { blocking: true, pubsub: true, ..learnt("old", false, false) },
            ]),
        );
    }
    assert_eq!(parse(b"-NOPERM no\r\n"), None);
    assert_eq!(parse(b"*0\r\n"), Some(vec![]));
}

proptest! {
    #[test]
    fn any_other_name_is_a_write(name in "[a-z.]{1,70}", sub in ".{0,70}") {
        let known = rows().any(|(it, _)| it == name);
        let class = Table::builtin().lookup(name.as_bytes(), sub.as_bytes());
        prop_assert!(known || class == Class::UNKNOWN);
    }

    #[test]
    fn any_reply_is_read_without_panic(frame in proptest::collection::vec(any::<u8>(), 0..60)) {
        parse(&frame);
    }
}
