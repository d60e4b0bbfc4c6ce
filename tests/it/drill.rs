//! Game days: `segue drill` against real groups, and what it leaves behind.

use crate::harness::{Group, Kind, Proxy, Server, eventually, segue};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};

on_both!(
    a_switchover_costs_nothing_and_leaves_nothing,
    a_failover_is_counted_and_leaves_nothing,
    a_kill_is_watched_and_told_rightly,
    what_is_interrupted_leaves_nothing,
    nothing_happens_that_was_not_asked_for,
    clients_log_in_and_must_be_allowed_to,
);

/// A machine that is busy with other tests may make a node late.
const BUSY: &str = "\"Holding commands\"";

/// Goal: a drill with a switchover there and back reports no error, no loss and no full copy, names
/// who served, and leaves no key on any node; the group is as it was.
///
/// Method: run it; compare its account with the nodes.
fn a_switchover_costs_nothing_and_leaves_nothing(kind: Kind) {
    let group = Group::start(kind, 2);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce(&[BUSY]);
    group.primary.call(&["SET", "mine", "1"]);
    let (code, account) = drill(&proxy, &["--yes"]);
    assert_eq!(code, Some(0), "{account:#}");
    assert_eq!((&account["primary_before"], &account["primary_after"]), (&json("a"), &json("a")));
    assert_eq!(account["changes"].as_array().map(Vec::len), Some(2), "there and back");
    for none in ["lost", "uncertain", "unknown", "disconnections", "torn", "wrong", "queue_lost"] {
        assert_eq!(account[none], 0, "{none} in {account:#}");
    }
    assert_eq!(account["errors"].as_object().map(serde_json::Map::len), Some(0));
    assert!(account["acknowledged"].as_u64().is_some_and(|it| it > 300), "{account:#}");
    for node in account["nodes"].as_array().expect("nodes") {
        assert_eq!(node["full_resyncs"], 0, "{account:#}");
        let gave = node["partial_resyncs"].as_u64().expect("known");
        let changes = account["changes"].as_array().expect("changes");
        let times = |end: &str| changes.iter().filter(|it| it[end] == node["name"]).count() as u64;
        // A demoted primary cuts its replicas off, and the one whose order comes later than that asks
        // it once more.
        let expected = 2 * times("to")..=2 * times("to") + times("from");
        assert!(expected.contains(&gave), "both others resynchronise with it: {account:#}");
    }
    assert!(group.primary.is_primary());
    assert_eq!(group.primary.call(&["DBSIZE"]), ":1", "only what was there before");
    for node in group.nodes() {
        eventually("nothing is left behind", || left(node).is_empty().then_some(()));
    }
    let (code, account) = drill(&proxy, &["--yes", "--there-only", "--to", "c", "--db", "3"]);
    assert_eq!((code, &account["primary_after"]), (Some(0), &json("c")), "{account:#}");
    assert_eq!(group.replicas[1].call(&["DBSIZE"]), ":1");
}

/// Goal: a drill with a failover says that nobody was disconnected and nothing but `-UNCERTAIN` was
/// answered, counts what was lost, and leaves no key.
///
/// Method: run it; compare its account with the nodes and with Segue's counters.
fn a_failover_is_counted_and_leaves_nothing(kind: Kind) {
    let group = Group::start(kind, 2);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let (code, account) = drill(&proxy, &["--failover", "--yes"]);
    assert_eq!(code, Some(0), "{account:#}");
    assert_eq!(account["primary_before"], "a");
    let after = account["primary_after"].as_str().expect("a name");
    let new = by_name(&group, after);
    assert!(after != "a" && new.is_primary(), "{account:#}");
    assert_eq!(account["disconnections"], 0);
    let errors = account["errors"].as_object().expect("a map");
    assert!(errors.keys().all(|it| it.starts_with("UNCERTAIN ")), "{account:#}");
    let told: u64 = errors.values().filter_map(Json::as_u64).sum();
    assert_eq!(proxy.metric("segue_commands_uncertain_total") as u64, told);
    assert_eq!(proxy.promotions(), 1.0);
    assert!(left(new).is_empty(), "{:?}", left(new));
}

/// Goal: a drill that only looks on tells of a primary that is killed: who took over, that writes
/// stood still and were served again, that no client was disconnected; and leaves no key.
///
/// Method: start it, kill the primary once its clients write, read its account.
fn a_kill_is_watched_and_told_rightly(kind: Kind) {
    let mut group = Group::start(kind, 2);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let running = Running::start(&proxy, &["--watch", "--for", "60s"]);
    eventually("its clients write", || (left(&group.primary).len() > 50).then_some(()));
    group.primary.kill();
    let (code, account) = running.finish();
    assert_eq!(code, Some(0), "{account:#}");
    assert_eq!((&account["mode"], &account["primary_before"]), (&json("watch"), &json("a")));
    let new = group.promoted();
    assert_eq!(
        by_name(&group, account["primary_after"].as_str().expect("a name")).addr(),
        new.addr()
    );
    let down = account["nodes"].as_array().expect("nodes").iter().find(|it| it["name"] == "a");
    let down = down.expect("it is listed");
    assert_eq!(down["role_after"], "down");
    assert!(down["full_resyncs"].is_null() && down["remark"].is_string(), "{account:#}");
    assert_eq!(account["disconnections"], 0);
    // Longer than Segue needs to believe it, and told as the longest wait as well.
    let still = account["without_write_ms"].as_f64().expect("a number");
    let longest = account["after"]["longest_ms"].as_f64().expect("a number");
    assert!(still > 100.0 && longest > 100.0, "{account:#}");
    assert!(left(new).is_empty(), "{:?}", left(new));

    let (code, account) = drill(&proxy, &["--watch", "--for", "1s", "--force"]);
    assert_eq!(code, Some(75), "nothing happened: {account:#}");
    assert!(account["broken"].to_string().contains("no failover was seen"), "{account:#}");
    assert!(left(new).is_empty());
}

/// Goal: Ctrl-C in the middle removes every key.
///
/// Method: interrupt a drill that only looks on, once its clients write.
fn what_is_interrupted_leaves_nothing(kind: Kind) {
    let group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce(&[BUSY]);
    let running = Running::start(&proxy, &["--watch", "--prefix", "game"]);
    let keys = || group.primary.call(&["DBSIZE"]).integer();
    eventually("its clients write", || (keys() > 50).then_some(()));
    let ttl = eventually("a key has a time to live", || {
        let key = group.primary.call(&["RANDOMKEY"]).text();
        assert!(key.starts_with("game:"), "{key}");
        Some(group.primary.call(&["TTL", &key]).integer())
    });
    assert!(ttl > 600, "{ttl}");
    running.interrupt();
    let (code, said) = running.said();
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("every key of the drill was removed"), "{said}");
    assert_eq!(keys(), 0);
}

/// Goal: without a terminal and `--yes` nothing is changed; flags that make no sense, a Segue or
/// listener that is not there and a group that is not well are told apart, before a key is written.
///
/// Method: ask for each of these.
fn nothing_happens_that_was_not_asked_for(kind: Kind) {
    let mut group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let refused = |more: &[&str], code: i32, text: &str| {
        let (ended, said) = Running::start(&proxy, more).said();
        assert_eq!(ended, Some(code), "{more:?}: {said}");
        assert!(said.contains(text), "{more:?}: {said}");
    };
    refused(&[], 64, "--yes");
    refused(&["--failover"], 64, "--yes");
    refused(&["--failover", "--switchover"], 64, "cannot be used with");
    refused(&["--clients", "1"], 64, "--clients");
    refused(&["--yes", "--rate", "5", "--clients", "9"], 64, "--rate 5");
    refused(&["--yes", "--to", "nobody"], 64, "no node is called nobody");
    refused(&["--yes", "--to", "a"], 75, "already");
    refused(&["--yes", "--connect", "127.0.0.1:1"], 69, "--connect");
    let missing = ["drill", "--yes", "--control", "unix:/nonexistent/segue.sock"];
    for (more, code) in [(&[][..], 64), (&["--connect", "127.0.0.1:1"], 69)] {
        let output = segue(&missing).args(more).output().expect("the command runs");
        assert_eq!(output.status.code(), Some(code));
    }
    group.replicas[0].kill();
    eventually("Segue has noticed", || {
        (proxy.status()["nodes"][1]["health"] == "down").then_some(())
    });
    refused(&["--yes"], 75, "b is not up");
    assert_eq!(group.primary.call(&["DBSIZE"]), ":0", "not a single key was written");
    assert_eq!(
        group.primary.calls_of("set"),
        group.primary.calls_of("unlink"),
        "a rehearsal at most"
    );
    assert_eq!(proxy.status()["epoch"], 1);
}

/// Goal: clients log in as they are told, with a password from a file or the environment; who may
/// not write is told so before the load begins.
///
/// Method: two users, one of whom may only read.
fn clients_log_in_and_must_be_allowed_to(kind: Kind) {
    let group = Group::start(kind, 1);
    for node in group.nodes() {
        let player = ["ACL", "SETUSER", "player", "on", ">secret", "~game:*", "&game:*", "+@all"];
        assert_eq!(node.call(&player), "+OK");
        let reader = ["ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@all", "-@write"];
        assert_eq!(node.call(&reader), "+OK");
    }
    let proxy = Proxy::start(&group.nodes());
    proxy.announce(&[BUSY]);
    let file = proxy.config().with_file_name("secret");
    std::fs::write(&file, "secret\n").expect("the directory is ours");
    let file = file.to_str().expect("UTF-8");
    let flags = |user| ["--yes", "--user", user, "--password-file", file, "--prefix", "game"];
    let (code, account) = drill(&proxy, &flags("player"));
    assert_eq!(code, Some(0), "{account:#}");
    let (code, said) = Running::start(&proxy, &flags("reader")).said();
    assert_eq!(code, Some(77), "{said}");
    assert!(said.contains("SET was refused"), "{said}");
    let (code, said) =
        Running::start(&proxy, &["--yes", "--password-env", "SEGUE_TEST_NONE"]).said();
    assert_eq!(code, Some(64), "{said}");
    assert_eq!(group.primary.call(&["DBSIZE"]), ":0");
}

fn json(text: &str) -> Json {
    Json::from(text)
}

fn by_name<'a>(group: &'a Group, name: &str) -> &'a Server {
    group.nodes()[usize::from(name.as_bytes()[0] - b'a')]
}

/// Keys of drills that a node still has.
fn left(node: &Server) -> Vec<String> {
    let mut client = node.client();
    let keys = client.call(&["KEYS", "segue:drill:*"]);
    keys.items().iter().map(crate::harness::Value::text).collect()
}

/// A short drill; its code and account.
#[track_caller]
fn drill(proxy: &Proxy, more: &[&str]) -> (Option<i32>, Json) {
    Running::start(proxy, more).finish()
}

/// A drill that runs. Ends with the value.
struct Running(Child);

impl Running {
    fn start(proxy: &Proxy, more: &[&str]) -> Self {
        let config = proxy.config();
        let config = config.to_str().expect("UTF-8");
        let mut command: Command = segue(&["drill", "--json", "--seconds", "1"]);
        command.args(["--config", config]).args(more);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self(child.expect("the command runs"))
    }

    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.0), Signal::INT).expect("the process is ours");
    }

    /// Waits for its end; its code, and what it printed on each stream. The account of a short
    /// drill fits into a pipe.
    fn end(mut self) -> (Option<i32>, String, String) {
        let status = eventually("the drill ends", || self.0.try_wait().expect("it is ours"));
        let (mut out, mut err) = (String::new(), String::new());
        self.0.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
        self.0.stderr.take().expect("piped").read_to_string(&mut err).expect("text");
        (status.code(), out, err)
    }

    #[track_caller]
    fn finish(self) -> (Option<i32>, Json) {
        let (code, out, err) = self.end();
        (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("no account: {out}{err}")))
    }

    fn said(self) -> (Option<i32>, String) {
        let (code, _, err) = self.end();
        (code, err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
