//! Nobody can be primary: commands are held, then refused, then served again.

use crate::harness::{Group, Kind, Proxy, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

on_both!(
    without_any_node_commands_are_held_then_refused_then_served,
    a_replica_that_comes_back_takes_over,
    a_full_hold_refuses_the_newest,
);

const HOLD: Duration = Duration::from_secs(1);
const REFUSED: &str = "-TRYAGAIN Segue: no primary for 1.0s; the command was not executed";

/// Goal: with all nodes dead a command waits for `hold.timeout`, is refused once with the reason,
/// did not run, and the session works when the primary is back.
///
/// Method: kill three nodes of three, time the refusals, restart the primary from its file.
fn without_any_node_commands_are_held_then_refused_then_served(kind: Kind) {
    let mut group = Group::start(kind, 2);
    let proxy = Proxy::over(&group.nodes()).with(|it| it["hold"]["timeout"] = json!("1s")).start();
    proxy.wait_ready();
    proxy.announce_failover();
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "saved"]), "+OK");
    assert_eq!(group.primary.call(&["SAVE"]), "+OK");

    for replica in &mut group.replicas {
        replica.kill();
    }
    group.primary.kill();
    proxy.wait_gate(false);
    let sent = Instant::now();
    client.send_all(&[&["SET", "k", "refused"], &["GET", "k"], &["PING"]]);
    for reply in client.read_n(3) {
        assert_eq!(reply, REFUSED);
    }
    let waited = sent.elapsed();
    assert!(waited >= HOLD && waited < HOLD * 4, "held for {waited:?}");
    // The hold is counted for each command, not once for each outage.
    let sent = Instant::now();
    assert_eq!(client.call(&["INCR", "n"]), REFUSED);
    assert!(sent.elapsed() >= HOLD);
    assert!(proxy.status()["reason"].is_string(), "it says why");
    let counted = || proxy.metric("segue_commands_refused_total{reason=\"timeout\"}") as usize;
    eventually("each is counted", || (counted() == 4).then_some(()));

    group.primary.restart();
    proxy.wait_ready();
    assert_eq!(client.call(&["GET", "k"]), "saved");
    assert_eq!(client.call(&["INCR", "n"]), ":1");
    assert_eq!(group.primary.call(&["GET", "k"]), "saved");
}

/// Goal: with the primary dead and every replica out of reach, nobody is promoted; the first
/// replica that is back takes over and serves what is held.
///
/// Method: freeze both replicas, kill the primary, see a refusal, thaw one replica.
fn a_replica_that_comes_back_takes_over(kind: Kind) {
    let mut group = Group::start(kind, 2);
    let proxy = Proxy::over(&group.nodes()).with(|it| it["hold"]["timeout"] = json!("1s")).start();
    proxy.wait_ready();
    proxy.announce_failover();
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "v"]), "+OK");
    group.wait_in_sync();

    for replica in &group.replicas {
        replica.freeze();
    }
    group.primary.kill();
    proxy.wait_gate(false);
    assert_eq!(client.call(&["GET", "k"]), REFUSED);

    group.replicas[1].thaw();
    proxy.wait_ready();
    assert_eq!(client.call(&["GET", "k"]), "v");
    assert_eq!(client.call(&["SET", "k", "w"]), "+OK");
    assert_eq!(group.replicas[1].call(&["GET", "k"]), "w");
    group.replicas[0].thaw();
    let (late, primary) = (&group.replicas[0], &group.replicas[1]);
    eventually("the other one follows", || late.follows(primary).then_some(()));
}

/// Goal: what is held is bounded: past `hold.max_bytes` the newest commands are refused, never
/// with a hole inside a pipeline, and what was held before is served.
///
/// Method: hold small commands of one session, then large ones of others, then let a node serve.
fn a_full_hold_refuses_the_newest(kind: Kind) {
    let group = Group::start(kind, 1);
    let proxy = Proxy::over(&group.nodes())
        .with(|it| it["health"]["down_after"] = json!("60s"))
        .with(|it| it["hold"]["timeout"] = json!("20s"))
        .with(|it| it["hold"]["max_bytes"] = json!("1MiB"))
        .start();
    proxy.wait_ready();
    proxy.announce_failover();
    let mut early = proxy.client();
    let mut late: Vec<_> = (0..8).map(|_| proxy.client()).collect();
    early.call(&["PING"]);
    for client in &mut late {
        client.call(&["PING"]);
    }

    group.primary.freeze();
    proxy.wait_gate(false);
    early.send_all(&[&["SET", "early", "held"], &["GET", "early"]]);
    let value = "x".repeat(300 * 1024);
    for client in &mut late {
        client.send_all(&[&["SET", "late", &value], &["ECHO", "still in order"]]);
    }
    let refused = eventually("the hold is full", || late.iter().position(|it| !it.is_silent()));
    // One MiB holds no more than three of 300 KiB.
    eventually("all others are refused", || {
        let full = proxy.metric("segue_commands_refused_total{reason=\"full\"}");
        (full >= 5.0).then_some(())
    });
    let reply = late[refused].read();
    assert!(reply.to_string().starts_with("-TRYAGAIN Segue: "), "{reply}");
    assert!(early.is_silent(), "what was held first stays held");

    group.primary.thaw();
    assert_eq!(early.read(), "+OK");
    assert_eq!(early.read(), "held");
    let mut served = 0;
    for (n, client) in late.iter_mut().enumerate() {
        let set = if n == refused { reply.clone() } else { client.read() };
        let echo = client.read();
        if set == "+OK" {
            served += 1;
            assert_eq!(echo, "still in order");
        } else {
            // Once one is refused, nothing behind it in the pipeline may have run before it.
            assert!(set.to_string().starts_with("-TRYAGAIN "), "{set}");
        }
    }
    assert!(served >= 1, "one MiB holds at least one of them");
    assert!(served <= 4, "one MiB does not hold {served} of 300 KiB");
}
