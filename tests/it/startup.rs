//! Segue starts before its nodes.

use crate::harness::{Group, Kind, Proxy, Server, eventually};
use serde_json::json;

on_both!(
    commands_wait_for_nodes_that_appear_later,
    replicas_alone_are_no_group,
    a_node_that_is_missing_at_first_joins,
);

/// Goal: refused connections at start-up are nobody's error: commands wait for the primary.
///
/// Method: start Segue over reserved ports, send, see silence and `/readyz` 503, start the nodes.
fn commands_wait_for_nodes_that_appear_later(kind: Kind) {
    let mut primary = Server::reserve(kind, &[]);
    let replica = Server::reserve(kind, &[]);
    let proxy = Proxy::over(&[&primary, &replica]).start();
    proxy.announce_failover();
    let mut client = proxy.client();
    client.send_all(&[&["SET", "k", "early"], &["GET", "k"]]);
    let mut second = proxy.client();
    second.send_all(&[&["PING"]]);
    eventually("it says why it waits", || proxy.status()["reason"].is_string().then_some(()));
    assert_eq!(proxy.get("/readyz").0, 503);
    assert_eq!(proxy.get("/livez").0, 200);
    assert!(client.is_silent() && second.is_silent());

    primary.start();
    assert_eq!(client.read(), "+OK");
    assert_eq!(client.read(), "early");
    assert_eq!(second.read(), "+PONG");
    assert_eq!(primary.call(&["GET", "k"]), "early");
    proxy.wait_ready();
    proxy.wait_primary("a");
}

/// Goal: without a primary that was ever seen, replicas are not promoted at start-up at once
/// just because they are there; the primary that appears late is the one that serves.
///
/// Method: start Segue over a live replica of a dead primary for less than any threshold, then
/// bring the primary back with its data.
fn replicas_alone_are_no_group(kind: Kind) {
    let mut group = Group::start(kind, 1);
    group.primary.call(&["SET", "k", "saved"]);
    assert_eq!(group.primary.call(&["SAVE"]), "+OK");
    group.wait_in_sync();
    group.primary.kill();
    let proxy = Proxy::over(&group.nodes())
        .with(|it| it["health"]["down_after"] = json!("20s"))
        .with(|it| it["health"]["refused_after"] = json!("20s"))
        .start();
    proxy.announce_failover();
    let mut client = proxy.client();
    client.send_all(&[&["GET", "k"]]);
    eventually("it says why it waits", || proxy.status()["reason"].is_string().then_some(()));
    assert!(client.is_silent());

    group.primary.restart();
    assert_eq!(client.read(), "saved");
    assert!(!group.replicas[0].is_primary());
}

/// Goal: a replica that was not there when Segue started can take over later.
///
/// Method: start Segue with the primary only, start the replica afterwards, kill the primary.
fn a_node_that_is_missing_at_first_joins(kind: Kind) {
    let mut primary = Server::primary(kind);
    let mut replica = Server::reserve(kind, &[]);
    let proxy = Proxy::start(&[&primary, &replica]);
    proxy.announce_failover();
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "v"]), "+OK");
    replica.start();
    // Whether Segue makes a stray empty node a replica is rejoin's business; here a human does.
    replica.call(&["REPLICAOF", "127.0.0.1", &primary.addr().port().to_string()]);
    crate::harness::wait_in_sync(&primary, &replica);
    eventually("segue sees the replica", || {
        (proxy.status()["nodes"][1]["link_up"] == json!(true)).then_some(())
    });

    primary.kill();
    assert_eq!(client.call(&["GET", "k"]), "v");
    assert!(replica.is_primary());
}
