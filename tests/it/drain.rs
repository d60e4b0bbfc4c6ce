//! SIGTERM: Segue stops accepting, lets sessions finish what is in flight, and ends. SIGHUP: nothing.

use crate::harness::{Client, Kind, Proxy, Server, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

on_both!(
    a_hang_up_changes_nothing,
    what_is_in_flight_is_answered_before_the_end,
    draining_ends_at_its_timeout,
    a_second_signal_ends_at_once,
);

/// What ends "at once" on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Goal: a command in flight is answered, then its session closes; idle ones close; no new ones
/// are accepted; the exit code is 0.
///
/// Method: freeze the node for less than any threshold, send to it through Segue, terminate Segue,
/// thaw the node, read the replies.
fn what_is_in_flight_is_answered_before_the_end(kind: Kind) {
    let node = Server::primary(kind);
    let mut proxy = Proxy::over(&[&node])
        .with(|it| it["health"]["down_after"] = json!("20s"))
        .with(|it| it["health"]["suspect_after"] = json!("10s"))
        .with(|it| it["health"]["timeout"] = json!("15s"))
        .start();
    proxy.wait_ready();
    proxy.announce_failover();
    let (mut busy, mut idle) = (proxy.client(), proxy.client());
    assert_eq!(busy.call(&["SET", "k", "v"]), "+OK");
    assert_eq!(idle.call(&["PING"]), "+PONG");
    node.freeze();
    busy.send_all(&[&["INCR", "n"], &["GET", "k"]]);
    eventually("the commands are in flight", || {
        (proxy.metric("segue_in_flight_bytes") > 0.0).then_some(())
    });

    proxy.terminate();
    assert_eq!(idle.read_to_end(), b"", "nothing in flight: closed");
    assert!(busy.is_silent());
    node.thaw();
    assert_eq!(busy.read(), ":1");
    assert_eq!(busy.read(), "v");
    assert_eq!(busy.read_to_end(), b"");
    assert_eq!(proxy.wait_ended().code(), Some(0));
    assert!(Client::connect(proxy.addr()).is_err(), "nobody listens");
    assert_eq!(node.call(&["GET", "n"]), "1");
}

/// A Segue over a frozen node, with a command in flight that will never be answered.
fn stuck(node: &Server, drain: &str) -> (Proxy, Client) {
    let proxy = Proxy::over(&[node])
        .with(|it| it["drain"] = json!({ "timeout": drain }))
        .with(|it| it["health"]["down_after"] = json!("60s"))
        .with(|it| it["hold"]["timeout"] = json!("60s"))
        .start();
    proxy.wait_ready();
    proxy.announce_failover();
    let mut client = proxy.client();
    assert_eq!(client.call(&["PING"]), "+PONG");
    node.freeze();
    client.send_all(&[&["INCR", "n"]]);
    proxy.wait_gate(false);
    (proxy, client)
}

/// Goal: nobody waits longer than `drain.timeout`.
///
/// Method: terminate with a command in flight at a frozen node.
fn draining_ends_at_its_timeout(kind: Kind) {
    let node = Server::primary(kind);
    let (mut proxy, mut client) = stuck(&node, "700ms");
    proxy.announce(&["\"Drain timed out; "]);
    let told = Instant::now();
    proxy.terminate();
    let status = proxy.wait_ended();
    let waited = told.elapsed();
    assert!(waited >= Duration::from_millis(650), "ended after {waited:?}");
    assert!(waited < AT_ONCE + Duration::from_millis(700), "ended after {waited:?}");
    assert_eq!(status.code(), Some(0));
    client.read_to_end();
}

/// Goal: a second signal does not wait.
///
/// Method: as above with a long timeout, and terminate twice.
fn a_second_signal_ends_at_once(kind: Kind) {
    let node = Server::primary(kind);
    let (mut proxy, mut client) = stuck(&node, "60s");
    proxy.announce(&["\"Asked again; ", "stopped at once, as asked"]);
    proxy.terminate();
    eventually("it stops accepting", || Client::connect(proxy.addr()).is_err().then_some(()));
    assert_eq!(proxy.ended(), None, "it waits for what is in flight");
    let told = Instant::now();
    proxy.terminate();
    assert_ne!(proxy.wait_ended().code(), Some(0), "it did not end as it should");
    assert!(told.elapsed() < AT_ONCE, "ended after {:?}", told.elapsed());
    client.read_to_end();
}

/// Goal: SIGHUP, by which other servers read their file again, is said to do nothing, and does
/// nothing, whatever has become of the file.
///
/// Method: break the file, hang up; a client goes on.
fn a_hang_up_changes_nothing(kind: Kind) {
    let node = Server::primary(kind);
    let proxy = Proxy::start(&[&node]);
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "v"]), "+OK");
    std::fs::write(proxy.config(), "listen: nowhere").expect("the file is ours");
    proxy.hang_up();
    let is_said =
        || (proxy.logged("the configuration is read at the start only") == 1).then_some(());
    eventually("it says so", is_said);
    assert_eq!(client.call(&["GET", "k"]), "v");
    assert_eq!(proxy.get("/readyz").0, 200);
}
