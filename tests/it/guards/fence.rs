//! The fence for clients that bypass Segue.

use crate::harness::{Group, Kind, Proxy, Server, eventually, segue};
use serde_json::json;
use std::fs;

on_both!(the_fence_follows_the_primary_and_is_put_back, a_refused_fence_is_said_and_stops_nothing);

/// The two settings, as the node has them.
fn fence(node: &Server) -> String {
    node.call(&["CONFIG", "GET", "min-replicas-*"]).to_string()
}

#[track_caller]
fn wait_fence(node: &Server, min: &str, lag: &str) {
    eventually("the fence is as expected", || {
        let found = fence(node);
        let expects = |name: &str, value: &str| found.contains(&format!("{name}, {value}"));
        (expects("min-replicas-to-write", min) && expects("min-replicas-max-lag", lag))
            .then_some(())
    });
}

/// Goal: `min-replicas-to-write` is set on the primary while it is ours; on the next one after a
/// switchover, and the first has back what it had; after SIGTERM, too.
fn the_fence_follows_the_primary_and_is_put_back(kind: Kind) {
    let group = Group::start_with(kind, 1, &["--min-replicas-max-lag", "77"]);
    let mut proxy = Proxy::over(&group.nodes())
        .with(|it| it["failover"]["fence"] = json!({ "min_replicas": 1, "max_lag": "9s" }))
        .start();
    proxy.wait_ready();
    proxy.announce_failover();
    let (a, b) = (&group.primary, &group.replicas[0]);
    wait_fence(a, "1", "9");
    wait_fence(b, "0", "77");
    eventually("it is counted", || {
        (proxy.metric("segue_node_fenced{node=\"a\"}") == 1.0).then_some(())
    });
    let config = proxy.config();
    let output = segue(&["switchover", "--config", config.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_fence(a, "0", "77");
    wait_fence(b, "1", "9");
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "v"]), "+OK");

    proxy.terminate();
    assert!(proxy.wait_ended().success());
    wait_fence(a, "0", "77");
    wait_fence(b, "0", "77");
}

/// Goal: an ACL that forbids it is said, and nothing else changes.
fn a_refused_fence_is_said_and_stops_nothing(kind: Kind) {
    let group = Group::start(kind, 1);
    for node in group.nodes() {
        let rules =
            ["ACL", "SETUSER", "segue", "on", ">secret", "+@all", "-config|set", "~*", "&*"];
        assert_eq!(node.call(&rules), "+OK");
    }
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    fs::write(&password, "secret").unwrap();
    let proxy = Proxy::over(&group.nodes())
        .with(|it| it["failover"]["fence"] = json!({ "min_replicas": 1, "max_lag": "9s" }))
        .with(|it| {
            it["group"]["credentials"] = json!({ "username": "segue", "password_file": password });
        })
        .start();
    proxy.wait_ready();
    proxy.announce_failover();
    proxy.announce(&["\"A node's fence was not changed; trying again\""]);
    eventually("it is said", || (proxy.logged("fence was not changed") == 1).then_some(()));
    assert!(proxy.logged("NOPERM") >= 1, "{}", proxy.log());
    assert_eq!(proxy.client().call(&["SET", "k", "v"]), "+OK");
    wait_fence(&group.primary, "0", "10");
}
