//! A client that shuts its half of the connection down behind its last command.

use crate::harness::{Client, Group, Kind, Proxy, Server, eventually};
use std::thread;

on_both!(
    what_was_said_before_is_answered,
    what_a_switchover_holds_up_is_answered,
    what_is_held_is_dropped_as_the_server_drops_what_it_has_paused,
);

/// A pipeline, its end, and all that comes back.
fn talk(client: &mut Client) -> String {
    let value = "v".repeat(100_000);
    client.send_all(&[&["SET", "k", &value], &["GET", "k"], &["MULTI"], &["INCR", "n"], &["EXEC"]]);
    client.finish_sending();
    String::from_utf8_lossy(&client.read_to_end()).into_owned()
}

/// Goal: everything that was sent is run and answered, as the server itself does; then it is over.
///
/// Method: the same pipeline, directly and through Segue.
fn what_was_said_before_is_answered(kind: Kind) {
    let node = Server::primary(kind);
    let direct = talk(&mut node.client());
    assert!(direct.starts_with("+OK\r\n$100000\r\n") && direct.ends_with("*1\r\n:1\r\n"));
    node.call(&["FLUSHALL"]);
    let proxy = Proxy::start(&[&node]);
    assert_eq!(talk(&mut proxy.client()), direct);
}

/// Goal: a command that waits is dropped when its client hangs up, unanswered and never run: a
/// client that has run out of patience may have sent it again.
///
/// Method: the server itself, paused; then Segue, whose only node is away for a while.
fn what_is_held_is_dropped_as_the_server_drops_what_it_has_paused(kind: Kind) {
    let mut node = Server::primary(kind);
    assert_eq!(node.call(&["CLIENT", "PAUSE", "60000", "WRITE"]), "+OK");
    let mut client = node.client();
    client.send_all(&[&["INCR", "paused"]]);
    let waits = || (node.info("clients")["blocked_clients"] == "1").then_some(());
    eventually("the command waits at the server", waits);
    client.finish_sending();
    assert_eq!(client.read_to_end(), b"");
    assert_eq!(node.call(&["CLIENT", "UNPAUSE"]), "+OK");
    assert_eq!(node.call(&["GET", "paused"]), "(null)");

    let proxy = Proxy::start(&[&node]);
    proxy.announce_failover();
    node.kill();
    proxy.wait_gate(false);
    let mut client = proxy.client();
    client.send_all(&[&["INCR", "held"]]);
    let waits = || proxy.metric("segue_hold_commands").eq(&1.0).then_some(());
    eventually("the command waits at Segue", waits);
    client.finish_sending();
    assert_eq!(client.read_to_end(), b"");
    node.restart();
    proxy.wait_gate(true);
    assert_eq!(proxy.client().call(&["GET", "held"]), "(null)");
}

/// Goal: a planned switchover is a moment, after which the command is run, once, on the new
/// primary, and answered.
///
/// Method: the target lacks a write until the command waits at Segue, so the switchover does, too.
fn what_a_switchover_holds_up_is_answered(kind: Kind) {
    let (group, relay) = Group::behind_relay(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.wait_followed();
    relay.stall();
    assert_eq!(group.primary.call(&["SET", "missing", "v"]), "+OK");
    let (code, account) = thread::scope(|scope| {
        let order = scope.spawn(|| proxy.order(&["switchover", "--to", "b"]));
        proxy.wait_gate(false);
        let mut client = proxy.client();
        client.send_all(&[&["INCR", "n"]]);
        client.finish_sending();
        let waits = || proxy.metric("segue_hold_commands").eq(&1.0).then_some(());
        eventually("the command waits at Segue", waits);
        relay.go_on();
        assert_eq!(client.read(), ":1");
        assert_eq!(client.read_to_end(), b"");
        order.join().expect("the command ends")
    });
    assert_eq!(code, Some(0), "{account}");
    assert_eq!(group.replicas[0].call(&["GET", "n"]), "1");
    assert!(group.replicas[0].is_primary());
}
