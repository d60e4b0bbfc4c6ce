//! The harness itself: its servers are real, and its checks can fail.

use crate::harness::{
    Client, Command, Group, History, Kind, Load, Op, Port, Server, Traffic, Value, eventually,
    wait_in_sync,
};
use std::net::TcpStream;
use std::panic::catch_unwind;
use std::time::Instant;

on_both!(
    a_group_replicates_and_its_nodes_end_with_it,
    a_killed_node_refuses_and_comes_back_with_what_was_saved,
    a_frozen_node_is_silent_and_wakes_up,
    a_load_on_a_bare_node_passes_its_own_checks,
);

/// Goal: groups are in sync when they are handed out, and leave no process behind.
///
/// Method: write to the primary, read from both replicas, drop the group, look for its pids.
fn a_group_replicates_and_its_nodes_end_with_it(kind: Kind) {
    let group = Group::start(kind, 2);
    assert_eq!(group.primary.call(&["SET", "k", "v"]), "+OK");
    group.wait_in_sync();
    for replica in &group.replicas {
        assert_eq!(replica.call(&["GET", "k"]), "v");
        assert!(replica.follows(&group.primary));
    }
    let pids: Vec<_> = group.nodes().iter().map(|it| it.pid()).collect();
    drop(group);
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}

/// Goal: a dead node's port stays its own, and both kinds of restart are what they say.
///
/// Method: kill after `SAVE`, see the refusal, restart with the file and then without it.
fn a_killed_node_refuses_and_comes_back_with_what_was_saved(kind: Kind) {
    let mut node = Server::primary(kind);
    node.call(&["SET", "k", "v"]);
    assert_eq!(node.call(&["SAVE"]), "+OK");
    node.kill();
    assert!(Client::connect(node.addr()).is_err(), "nobody listens");
    node.restart();
    assert_eq!(node.call(&["GET", "k"]), "v");
    node.kill();
    node.restart_empty();
    assert_eq!(node.call(&["DBSIZE"]), ":0");
}

/// Goal: freezing stops a node, not its connections; thawing lets it answer.
///
/// Method: send to a frozen node, see silence, thaw it, read the reply on the same connection.
fn a_frozen_node_is_silent_and_wakes_up(kind: Kind) {
    let node = Server::primary(kind);
    let mut client = node.client();
    assert_eq!(client.call(&["PING"]), "+PONG");
    node.freeze();
    client.send_all(&[&["PING"]]);
    assert!(client.is_silent());
    node.thaw();
    assert_eq!(client.read(), "+PONG");
    assert_eq!(node.calls_of("ping"), 2);
}

/// Goal: the checks of a load do not complain about a server that did nothing wrong.
///
/// Method: load a bare primary, then promote its replica by hand and check there.
fn a_load_on_a_bare_node_passes_its_own_checks(kind: Kind) {
    let started = Instant::now();
    let group = Group::start(kind, 1);
    let load = Load::start(group.primary.addr(), Traffic { clients: 2, depth: 10 });
    load.wait_rounds(20);
    let histories = load.finish();
    group.wait_in_sync();
    let replica = &group.replicas[0];
    assert_eq!(replica.call(&["REPLICAOF", "NO", "ONE"]), "+OK");
    assert_eq!(group.promoted().addr(), replica.addr());
    for history in &histories {
        history.check_replies(0);
        assert_eq!(history.check_data(replica, started, 0), 0);
    }
}

/// Goal: a demotion by hand is seen by the helpers that wait for one.
///
/// Method: swap the roles of two bare nodes.
#[test]
fn roles_are_read_from_the_nodes() {
    let group = Group::start(Kind::Redis, 1);
    let (old, new) = (&group.primary, &group.replicas[0]);
    new.call(&["REPLICAOF", "NO", "ONE"]);
    old.call(&["REPLICAOF", "127.0.0.1", &new.addr().port().to_string()]);
    eventually("the old primary follows", || old.follows(new).then_some(()));
    wait_in_sync(new, old);
    assert!(new.is_primary() && !old.is_primary());
}

/// Goal: no two tests are ever given one port, and a reserved port refuses.
///
/// Method: reserve many, connect to each.
#[test]
fn reserved_ports_differ_and_refuse() {
    let ports: Vec<_> = (0..50).map(|_| Port::reserve()).collect();
    let mut addrs: Vec<_> = ports.iter().map(Port::addr).collect();
    addrs.sort();
    addrs.dedup();
    assert_eq!(addrs.len(), ports.len());
    assert!(addrs.iter().all(|it| TcpStream::connect(it).is_err()));
}

/// Goal: every rule of a history can fail.
///
/// Method: one forged history for each rule.
#[test]
fn a_forged_history_fails() {
    let ok = || Value::Simple("OK".to_owned());
    let one = || Value::Integer(1);
    let text = |it: &str| Value::Bulk(it.as_bytes().to_vec());
    let uncertain = || Value::Error("UNCERTAIN who knows".to_owned());
    let good =
        [(Command::Set(1), ok()), (Command::Get(8), text("0:1:1")), (Command::Push(9), one())];
    history(&good).check_replies(0);
    history(&[(Command::Set(1), uncertain())]).check_replies(1);

    for (why, ops) in [
        ("another client's value", vec![(Command::Get(8), text("1:1:1"))]),
        ("another key's value", vec![(Command::Get(8), text("0:2:2"))]),
        ("a value of the future", vec![(Command::Get(8), text("0:1:15"))]),
        ("slipped by one", vec![(Command::Set(1), one()), (Command::Push(2), ok())]),
        ("an error", vec![(Command::Set(1), Value::Error("READONLY no".to_owned()))]),
        ("an uncertain read", vec![(Command::Get(1), uncertain())]),
        ("nothing failed over", vec![(Command::Set(1), uncertain())]),
        (
            "counted twice",
            vec![(Command::Increment, one()), (Command::Increment, Value::Integer(3))],
        ),
        ("nothing at all", vec![]),
    ] {
        let forged = history(&ops);
        assert!(catch_unwind(|| forged.check_replies(0)).is_err(), "passed: {why}");
    }

    let pushed = history(&[1, 2, 3, 4].map(|it| (Command::Push(it), one())));
    let late = Instant::now();
    let early = pushed.ops[0].invoked;
    let values = |of: &[&str]| of.iter().map(ToString::to_string).collect::<Vec<_>>();
    let all = ["0:1:1", "0:2:2", "0:3:3", "0:4:4"];
    assert_eq!(pushed.check_list(&values(&all), early, 0), 0);
    assert_eq!(pushed.check_list(&values(&[all[0], all[3]]), late, 1), 2);
    for (why, there, since) in [
        ("ran twice", values(&[all[0], all[0]]), late),
        ("two holes", values(&[all[1], all[3]]), late),
        ("out of order", values(&[all[1], all[0], all[2], all[3]]), late),
        ("lost after the failover", values(&all[..3]), early),
    ] {
        assert!(catch_unwind(|| pushed.check_list(&there, since, 1)).is_err(), "passed: {why}");
    }
}

fn history(ops: &[(Command, Value)]) -> History {
    let mut history = History::new(0);
    history.ops = ops
        .iter()
        .map(|(command, reply)| {
            let now = Instant::now();
            Op { command: *command, invoked: now, done: now, reply: reply.clone() }
        })
        .collect();
    history
}
