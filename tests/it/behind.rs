//! Roles change behind Segue's back.

use crate::harness::{Group, Kind, Load, Proxy, Server, Traffic, eventually, wait_in_sync};
use std::time::Instant;

on_both!(a_role_change_by_hand_is_never_seen, a_role_change_by_hand_under_load);

/// Swaps the roles as a careless human does. The old primary is demoted first, so that no write
/// is ever taken by both.
fn swap(old: &Server, new: &Server) {
    let port = new.addr().port().to_string();
    assert_eq!(old.call(&["REPLICAOF", "127.0.0.1", &port]), "+OK");
    assert_eq!(new.call(&["REPLICAOF", "NO", "ONE"]), "+OK");
}

/// Goal: `-READONLY` after somebody else changed the roles never reaches a client; the write runs
/// on the new primary, once.
///
/// Method: swap the roles with `REPLICAOF` on the nodes, write at once on old sessions, read from
/// the new primary itself.
fn a_role_change_by_hand_is_never_seen(kind: Kind) {
    let group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let (old, new) = (&group.primary, &group.replicas[0]);
    let mut sessions: Vec<_> = (0..4).map(|_| proxy.client()).collect();
    for (n, session) in sessions.iter_mut().enumerate() {
        assert_eq!(session.call(&["SET", &format!("before:{n}"), "v"]), "+OK");
    }
    group.wait_in_sync();

    swap(old, new);
    for (n, session) in sessions.iter_mut().enumerate() {
        let list = format!("list:{n}");
        session.send_all(&[&["RPUSH", &list, "once"], &["LLEN", &list], &["GET", "before:0"]]);
    }
    for (n, session) in sessions.iter_mut().enumerate() {
        assert_eq!(session.read(), ":1");
        assert_eq!(session.read(), ":1");
        assert_eq!(session.read(), "v");
        assert_eq!(new.call(&["LRANGE", &format!("list:{n}"), "0", "-1"]), "[once]");
    }
    proxy.wait_primary("b");
    assert!(new.is_primary());
    eventually("the old primary follows", || old.follows(new).then_some(()));
}

/// Goal: the same under load, back and forth.
///
/// Method: swap the roles twice while pipelines run. What the replica had not received when its
/// link was cut is lost by the human's hand, as one block for each swap; nothing else is.
fn a_role_change_by_hand_under_load(kind: Kind) {
    let group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let (first, second) = (&group.primary, &group.replicas[0]);
    let load = Load::start(proxy.addr(), Traffic { clients: 4, depth: 8 });
    load.wait_rounds(20);
    swap(first, second);
    load.wait_rounds(20);
    wait_until_follows(second, first);
    swap(second, first);
    let since = Instant::now();
    load.wait_rounds(20);

    let histories = load.finish();
    wait_in_sync(first, second);
    for history in histories {
        history.check_replies(2);
        history.check_data(first, since, 2);
    }
    assert!(first.is_primary());
}

fn wait_until_follows(primary: &Server, replica: &Server) {
    eventually("the other one follows", || replica.follows(primary).then_some(()));
}
