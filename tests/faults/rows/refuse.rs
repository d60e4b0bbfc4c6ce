//! Servers that are up and refuse: by real settings, never by a fake answer.

use super::Row;
use crate::finish::Promise;
use crate::harness::{Value, eventually};
use crate::stage::{Setup, Stage};

pub(super) const ROWS: &[Row] = &[
    Row::new("F13a", "BUSY: a script runs for too long", busy)
        .setup(|| server(&["--busy-reply-threshold", "50"]))
        .promise(Promise::Errors(&["BUSY", "EXECABORT"])),
    Row::new("F13b", "OOM: maxmemory reached", out_of_memory)
        .setup(|| server(&[]))
        .promise(Promise::Errors(&["OOM", "EXECABORT"])),
    Row::new("F13c", "MISCONF: a snapshot failed", misconfigured)
        .setup(|| server(&["--enable-protected-configs", "yes"]))
        .promise(Promise::Errors(&["MISCONF", "EXECABORT"])),
    Row::new("F13d", "NOREPLICAS: too few replicas for the server", no_replicas)
        .setup(|| server(&[]))
        .promise(Promise::Errors(&["NOREPLICAS", "EXECABORT"])),
    Row::new("F13e", "READONLY: roles swapped behind Segue's back", read_only),
    Row::new("F13f", "LOADING: the primary loads its data again", loading)
        // Otherwise so small a file is loaded without a word: silence, not LOADING.
        .setup(|| server(&["--loading-process-events-interval-bytes", "1024"]))
        .promise(Promise::Unconfirmed),
];

fn server(extra: &[&str]) -> Setup {
    let server = extra.iter().map(ToString::to_string).collect();
    let warnings = vec!["\"Node answers, and something is wrong with it\"".to_owned()];
    Setup { server, warnings, ..Setup::default() }
}

/// Nobody takes over from a server that answers.
fn still_primary(stage: &Stage<'_>) {
    assert!(stage.node(0).is_primary(), "the primary is what it was");
}

fn config(stage: &Stage<'_>, key: &str, value: &str) {
    assert_eq!(stage.node(0).call(&["CONFIG", "SET", key, value]), "+OK", "{key} {value}");
}

/// Until the primary has refused a write with this error.
fn refused(stage: &mut Stage<'_>, kind: &str) {
    let mut client = stage.client();
    eventually("writes are refused", || {
        let reply = client.call(&["SET", "faults:probe", "x"]);
        reply.error().is_some_and(|it| it.starts_with(kind)).then_some(())
    });
}

fn busy(stage: &mut Stage<'_>) {
    let mut script = stage.node(0).client();
    script.send_all(&[&["EVAL", "while true do end", "0"]]);
    stage.say("a script runs");
    // Past Segue, so that the counters stay those of the clients.
    eventually("the server says that it is busy", || {
        let reply = stage.node(0).client().try_call(&["GET", "faults:probe"]).ok()?;
        reply.error().is_some_and(|it| it.starts_with("BUSY")).then_some(())
    });
    stage.rounds(2, 6);
    assert_eq!(stage.node(0).call(&["SCRIPT", "KILL"]), "+OK");
    assert!(script.read().error().is_some(), "the script was killed");
    stage.say("the script is killed");
    still_primary(stage);
}

fn out_of_memory(stage: &mut Stage<'_>) {
    config(stage, "maxmemory", "1");
    refused(stage, "OOM");
    stage.rounds(3, 10);
    config(stage, "maxmemory", "0");
    still_primary(stage);
}

fn misconfigured(stage: &mut Stage<'_>) {
    let folder = tempfile::TempDir::new().expect("a temporary directory");
    let before = stage.node(0).call(&["CONFIG", "GET", "dir"]).items()[1].text();
    config(stage, "save", "3600 1");
    config(stage, "dir", folder.path().to_str().expect("UTF-8"));
    drop(folder);
    assert!(stage.node(0).call(&["BGSAVE"]).error().is_none());
    refused(stage, "MISCONF");
    stage.rounds(3, 10);
    config(stage, "dir", &before);
    config(stage, "save", "");
    still_primary(stage);
}

fn no_replicas(stage: &mut Stage<'_>) {
    config(stage, "min-replicas-to-write", "3");
    refused(stage, "NOREPLICAS");
    stage.rounds(3, 10);
    config(stage, "min-replicas-to-write", "0");
    still_primary(stage);
}

/// What somebody else does by hand. Segue finds out and follows.
fn read_only(stage: &mut Stage<'_>) {
    let new = 1 + stage.random.below(2) as usize;
    let addr = stage.node(new).replication_addr();
    stage.hurt();
    assert_eq!(stage.node(new).call(&["REPLICAOF", "NO", "ONE"]), "+OK");
    let (ip, port) = (addr.ip().to_string(), addr.port().to_string());
    for other in (0..3).filter(|it| *it != new) {
        let reply = stage.node(other).call(&["REPLICAOF", &ip, &port]);
        assert!(matches!(reply, Value::Simple(_)), "{reply}");
    }
    stage.promoted(&[new]);
    stage.settled();
    stage.over();
}

fn loading(stage: &mut Stage<'_>) {
    let mut filler = stage.node(0).client();
    let value = "x".repeat(100);
    for number in 0..500 {
        assert_eq!(filler.call(&["SET", &format!("filler:{number}"), &value]), "+OK");
    }
    // A key takes 2 ms, so that probes fall into it.
    config(stage, "key-load-delay", "2000");
    let mut reload = stage.node(0).client();
    reload.send_all(&[&["DEBUG", "RELOAD"]]);
    stage.say("the primary loads");
    assert_eq!(reload.read(), "+OK");
    config(stage, "key-load-delay", "0");
    stage.rounds(3, 10);
    still_primary(stage);
}
