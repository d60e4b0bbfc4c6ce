//! What Segue refuses, and says how to allow.

use crate::harness::{Client, Kind, Proxy, Server, encode, eventually};
use serde_json::json;

on_both!(
    commands_that_turn_the_group_against_itself_are_refused,
    what_is_allowed_is_forwarded,
    one_session_too_many_gets_the_servers_words,
    a_node_without_room_is_tried_again,
    a_worker_takes_as_many_descriptors_as_are_reserved,
);

/// Goal: commands that would change roles or stop nodes are refused with the key that allows
/// each; they never reach the node; the session goes on in order.
///
/// Method: one pipeline a command, with a reply before and after; the node's own statistics.
fn commands_that_turn_the_group_against_itself_are_refused(kind: Kind) {
    let node = Server::primary(kind);
    let proxy = Proxy::start(&[&node]);
    let mut client = proxy.client();
    let refused: &[&[&str]] = &[
        &["REPLICAOF", "NO", "ONE"],
        &["slaveof", "127.0.0.1", "1"],
        &["FAILOVER"],
        &["SHUTDOWN", "NOSAVE"],
        &["SYNC"],
        &["PSYNC", "?", "-1"],
        &["REPLCONF", "listening-port", "1"],
        &["DEBUG", "SLEEP", "0"],
        &["CLUSTER", "RESET"],
        &["cluster", "meet", "127.0.0.1", "1"],
    ];
    for command in refused {
        client.send_all(&[&["ECHO", "before"], command, &["ECHO", "after"]]);
        assert_eq!(client.read(), "before");
        let reply = client.read().to_string();
        assert!(reply.starts_with('-') && reply.contains("sessions.allow"), "{command:?}: {reply}");
        assert_eq!(client.read(), "after");
    }
    for command in ["replicaof", "slaveof", "failover", "shutdown", "sync", "psync", "debug"] {
        // Segue itself asks nothing of the kind of a primary that is well.
        assert_eq!(node.calls_of(command), 0, "{command}");
    }
    // Inline, and inside a transaction, they are the same commands.
    client.send(b"DEBUG SLEEP 0\r\n");
    assert!(client.read().to_string().contains("sessions.allow"));
    client.send_all(&[&["MULTI"], &["SET", "k", "v"], &["REPLICAOF", "NO", "ONE"]]);
    assert_eq!(client.read(), "+OK");
    assert_eq!(client.read(), "+QUEUED");
    assert!(client.read().to_string().contains("sessions.allow"));
    assert_eq!(client.call(&["DISCARD"]), "+OK");
    let counted = || proxy.metric("segue_commands_refused_total{reason=\"policy\"}") as usize;
    eventually("each is counted", || (counted() == refused.len() + 2).then_some(()));
}

/// Goal: an operator can allow each of them.
///
/// Method: allow `debug` only; the node runs it; another one is still refused.
fn what_is_allowed_is_forwarded(kind: Kind) {
    let node = Server::primary(kind);
    let proxy = Proxy::over(&[&node]).with(|it| it["sessions"]["allow"] = json!(["debug"])).start();
    proxy.wait_ready();
    let mut client = proxy.client();
    assert_eq!(client.call(&["DEBUG", "SLEEP", "0"]), "+OK");
    assert_eq!(node.calls_of("debug"), 1);
    assert!(client.call(&["FAILOVER"]).to_string().contains("sessions.allow"));
}

/// Goal: past `sessions.max` a client hears what a server would say, and others are not hurt; a
/// session that ends makes room.
///
/// Method: fill the limit, connect once more, end one, connect again.
fn one_session_too_many_gets_the_servers_words(kind: Kind) {
    let node = Server::primary(kind);
    let proxy = Proxy::over(&[&node]).with(|it| it["sessions"]["max"] = json!(3)).start();
    proxy.wait_ready();
    let sessions = || proxy.metric("segue_sessions_open") as usize;
    // `start` has made a connection of its own; wait until it has come and gone.
    eventually("nobody is there", || {
        let closed = proxy.metric("segue_sessions_closed_total{reason=\"client\"}");
        (closed >= 1.0 && sessions() == 0).then_some(())
    });
    let mut all: Vec<_> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut all {
        assert_eq!(client.call(&["PING"]), "+PONG");
    }
    let mut refused = Client::connect(proxy.addr()).expect("accepted, to be told");
    // A client that sends at once hears it too.
    let _ = refused.try_send(&encode(&["PING"]));
    assert_eq!(refused.read_to_end(), b"-ERR max number of clients reached\r\n");
    assert!(proxy.metric("segue_sessions_rejected_total{reason=\"max\"}") >= 1.0);
    for client in &mut all {
        assert_eq!(client.call(&["PING"]), "+PONG");
    }
    all.pop();
    eventually("there is room", || (sessions() == 2).then_some(()));
    assert_eq!(proxy.client().call(&["PING"]), "+PONG");
}

/// Goal: a node that turns a connection away (`maxclients`) has run nothing of what was sent on it:
/// the client is told nothing, and its writes run once when there is room.
///
/// Method: leave no room, pipeline writes, make room; with connections of both kinds.
fn a_node_without_room_is_tried_again(kind: Kind) {
    for upstream in ["shared", "dedicated"] {
        let node = Server::primary(kind);
        let proxy =
            Proxy::over(&[&node]).with(|it| it["sessions"]["upstream"] = json!(upstream)).start();
        proxy.wait_ready();
        let mut admin = node.client();
        assert_eq!(admin.call(&["CONFIG", "SET", "maxclients", "1"]), "+OK");
        let mut client = proxy.client();
        client.send_all(&[&["INCR", "n"], &["INCR", "n"], &["SET", "k", "v"]]);
        eventually("the node turns connections away", || {
            let stats = admin.call(&["INFO", "stats"]).text();
            let rejected = stats.lines().find_map(|it| it.strip_prefix("rejected_connections:"));
            rejected.and_then(|it| it.trim().parse::<u64>().ok()).filter(|it| *it > 1)
        });
        assert_eq!(admin.call(&["CONFIG", "SET", "maxclients", "1000"]), "+OK");
        for expected in [":1", ":2", "+OK"] {
            assert_eq!(client.read(), expected, "{upstream}");
        }
    }
}

/// Goal: what the thread of a worker takes is what `sessions.max` leaves to it.
///
/// Method: count the descriptors of a Segue with one worker and of one with four.
fn a_worker_takes_as_many_descriptors_as_are_reserved(kind: Kind) {
    let node = Server::primary(kind);
    let with =
        |workers: u64| Proxy::over(&[&node]).with(|it| it["workers"] = json!(workers)).start();
    let (one, four) = (with(1), with(4));
    eventually("three workers more take three times as much", || {
        let more = four.descriptors().checked_sub(one.descriptors())?;
        (more as u64 == 3 * segue::proxy::THREAD_DESCRIPTORS).then_some(())
    });
    assert!(segue::proxy::descriptors(0) > segue::proxy::THREAD_DESCRIPTORS, "and the pipes");
}
