//! Who is never promoted: a replica in its first copy, one that loads, one of another history,
//! one that lacks too much. Sentinel does promote the first; see the last test.

use super::pass;
use crate::harness::{Group, Kind, Proxy, Sentinel, Server, encode, eventually, wait_in_sync};
use serde_json::json;
use std::time::Duration;

on_both!(
    one_in_its_first_copy,
    one_that_loads,
    one_of_another_history,
    one_that_lacks_too_much,
    sentinel_promotes_an_empty_one,
);

/// Microseconds for every key that is loaded, and events in between.
const SLOW_LOADING: [&str; 4] =
    ["--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024"];

/// So many take longer to load than any step of a test may.
const LOADED_KEYS: usize = 8_000;

/// A primary with data, and a replica whose first copy does not end: the primary sends it key by
/// key, with a pause.
fn in_first_copy(kind: Kind) -> (Server, Server) {
    let primary = Server::primary_with(kind, &["--rdb-key-save-delay", "1000"]);
    assert_eq!(primary.call(&["DEBUG", "POPULATE", "100000"]), "+OK");
    let replica = Server::replica_of(&primary, &[]);
    eventually("the copy is under way", || {
        (replica.try_info("replication")?["master_sync_in_progress"] == "1").then_some(())
    });
    (primary, replica)
}

/// Goal: with the primary gone, a replica that never finished its first copy is not promoted, and
/// the status says why; commands are held.
fn one_in_its_first_copy(kind: Kind) {
    let (mut primary, replica) = in_first_copy(kind);
    let proxy = Proxy::start(&[&primary, &replica]);
    proxy.announce_failover();
    proxy.announce(&["\"The failover takes longer than failover.timeout\""]);
    let mut client = proxy.client();
    assert_eq!(client.call(&["DBSIZE"]), ":100000");
    primary.kill();
    is_rejected(&proxy, "b", &["full synchronisation", "never finished"]);
    assert!(!replica.is_primary());
    assert_eq!(proxy.promotions(), 0.0);
}

/// Goal: a replica that loads its data set when the primary dies is not promoted although its
/// operator prefers it; the other one is, and serves while it still loads. Then it follows.
///
/// Method: data, a snapshot on the preferred replica's disk, and a start from it that takes its
/// time over every key.
fn one_that_loads(kind: Kind) {
    let mut primary = Server::primary(kind);
    // Empty when it is copied first: only the start from the disk is slow.
    let mut slow = Server::replica_of(&primary, &SLOW_LOADING);
    let other = Server::replica_of(&primary, &[]);
    wait_in_sync(&primary, &slow);
    primary.call(&["PUBLISH", "history", "begins"]);
    let mut writer = primary.client();
    let keys: Vec<_> = (0..LOADED_KEYS).map(|it| format!("key:{it}")).collect();
    writer.send(&keys.iter().flat_map(|it| encode(&["SET", it, it])).collect::<Vec<_>>());
    assert!(writer.read_n(LOADED_KEYS).iter().all(|it| *it == "+OK"));
    for replica in [&slow, &other] {
        wait_in_sync(&primary, replica);
    }
    let proxy = Proxy::over(&[&primary, &slow, &other])
        .with(|it| it["group"]["nodes"][1]["priority"] = json!(1))
        .start();
    proxy.wait_ready();
    proxy.announce_failover();
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "v"]), "+OK");
    wait_in_sync(&primary, &slow);
    wait_in_sync(&primary, &other);

    assert_eq!(slow.call(&["SAVE"]), "+OK");
    slow.kill();
    slow.begin_restart();
    let is_loading = || Some(slow.try_info("persistence")?["loading"] == "1");
    eventually("it loads, and Segue knows it", || {
        let seen = proxy.metric("segue_probes_total{node=\"b\",result=\"loading\"}");
        (is_loading()? && seen >= 1.0).then_some(())
    });
    primary.kill();
    assert_eq!(client.call(&["GET", "k"]), "v");
    assert_eq!(client.call(&["SET", "k", "w"]), "+OK");
    assert_eq!(is_loading(), Some(true), "the arrangement is as meant");
    assert!(other.is_primary());
    proxy.wait_primary("c");
    assert_eq!(proxy.promotions(), 1.0);

    let mut hurry = slow.client();
    assert_eq!(hurry.call(&["CONFIG", "SET", "key-load-delay", "0"]), "+OK");
    eventually("it follows", || slow.follows(&other).then_some(()));
    wait_in_sync(&other, &slow);
    assert_eq!(slow.call(&["GET", "k"]), "w");
    assert_eq!(proxy.promotions(), 1.0);
}

/// Goal: a replica whose data belongs to another history is not promoted.
///
/// Method: it follows a primary of its own until the group's dies.
fn one_of_another_history(kind: Kind) {
    let other = Group::start(kind, 1);
    other.primary.call(&["SET", "k", "theirs"]);
    other.wait_in_sync();
    let stray = &other.replicas[0];
    let mut primary = Server::primary(kind);
    primary.call(&["SET", "k", "ours"]);
    let proxy =
        Proxy::over(&[&primary, stray]).with(|it| it["failover"]["rejoin"] = json!("off")).start();
    proxy.announce_failover();
    proxy.announce(&["\"Node is left alone\"", "\"The failover takes longer"]);
    // Two histories at start-up: the first word is a human's.
    proxy.announce(&["\"An operator chose whose data wins\""]);
    eventually("segue knows both", || proxy.status()["nodes"][1]["replid"].as_str().map(|_| ()));
    if proxy.status()["gate_open"] != true {
        assert_eq!(super::adopt(&proxy, &["a", "--yes"]).0, Some(0));
    }
    proxy.wait_ready();
    if stray.is_primary() || stray.follows(&other.primary) {
        primary.kill();
        is_rejected(&proxy, "b", &["does not descend", "other lineage", "refuses"]);
        assert_eq!(stray.call(&["GET", "k"]), "theirs");
        assert_eq!(proxy.promotions(), 0.0);
    }
}

/// Goal: a replica further behind than `failover.max_lag_bytes` is not promoted.
///
/// Method: Segue sees the primary write on while the replica is frozen; then the primary dies and
/// the replica wakes up.
fn one_that_lacks_too_much(kind: Kind) {
    let mut group = Group::start(kind, 1);
    let proxy = Proxy::over(&group.nodes())
        .with(|it| it["failover"]["max_lag_bytes"] = json!("1MiB"))
        .start();
    proxy.wait_ready();
    proxy.announce_failover();
    proxy.announce(&["\"The failover takes longer than failover.timeout\""]);
    let mut client = proxy.client();
    group.replicas[0].freeze();
    let value = "x".repeat(1024 * 1024);
    for n in 0..24 {
        assert_eq!(client.call(&["SET", &format!("big:{n}"), &value]), "+OK");
    }
    let offset: u64 = group.primary.info("replication")["master_repl_offset"].parse().unwrap();
    eventually("segue knows how far the primary is", || {
        (proxy.status()["nodes"][0]["offset"].as_u64()? >= offset).then_some(())
    });
    group.primary.kill();
    group.replicas[0].thaw();
    is_rejected(&proxy, "b", &["bytes behind"]);
    assert!(!group.replicas[0].is_primary());
}

/// Waits until the status says why a node cannot be promoted.
#[track_caller]
fn is_rejected(proxy: &Proxy, node: &str, reasons: &[&str]) {
    proxy.wait_gate(false);
    eventually("it says why", || {
        let status = proxy.status();
        let nodes = status["nodes"].as_array()?.clone();
        let reason = nodes.iter().find(|it| it["name"] == node)?["reason"].as_str()?.to_owned();
        reasons.iter().any(|it| reason.contains(it)).then_some(())
    });
    // Longer than any threshold.
    pass(Duration::from_secs(1));
    assert_eq!(proxy.promotions(), 0.0);
}

/// Goal: why [`one_in_its_first_copy`] is worth a test: real Sentinel promotes the replica that never
/// finished its first copy, and the group's data is gone.
///
/// Method: the same arrangement, watched by a Sentinel instead of Segue.
fn sentinel_promotes_an_empty_one(kind: Kind) {
    let (mut primary, replica) = in_first_copy(kind);
    let sentinel = Sentinel::watch(&primary, 1_000);
    sentinel.wait_heard_of(&replica);
    primary.kill();
    eventually("sentinel has promoted it", || replica.is_primary().then_some(()));
    let keys = replica.call(&["DBSIZE"]);
    assert_eq!(keys, ":0", "what sentinel promoted");
    eprintln!("{kind:?}: sentinel promoted a node with {keys} of 100,000 keys");
}
