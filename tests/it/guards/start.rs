//! Segue comes late: what it finds is all that it knows.

use super::adopt;
use crate::harness::{Group, Kind, Proxy, eventually};

on_both!(
    a_primary_that_was_dead_before_is_replaced_if_its_replicas_agree,
    an_old_primary_back_from_its_log_waits_for_a_human,
);

/// Goal: a primary that died before Segue started is replaced, because all of its replicas say
/// who it was, that they lost it, and that they have one history.
///
/// Method: kill, then start Segue; read at the node.
fn a_primary_that_was_dead_before_is_replaced_if_its_replicas_agree(kind: Kind) {
    let mut group = Group::start(kind, 2);
    group.primary.call(&["SET", "k", "v"]);
    group.wait_in_sync();
    group.primary.kill();
    let proxy = Proxy::over(&group.nodes()).start();
    proxy.announce_failover();
    proxy.announce(&["\"The primary was dead before Segue came; its replicas agree on it\""]);
    let mut client = proxy.client();
    assert_eq!(client.call(&["GET", "k"]), "v");
    assert_eq!(client.call(&["SET", "k", "w"]), "+OK");
    let promoted = group.promoted();
    assert_eq!(promoted.call(&["GET", "k"]), "w");
    let other = group.replicas.iter().find(|it| it.addr() != promoted.addr()).unwrap();
    eventually("the sibling follows", || other.follows(promoted).then_some(()));
}

/// Goal: an old primary that comes back from its append-only file, after a restart of Segue, has
/// a history that nobody knows: it is not wiped, and `segue adopt` decides.
///
/// Method: fail over, end Segue, bring the old primary back, start another Segue.
fn an_old_primary_back_from_its_log_waits_for_a_human(kind: Kind) {
    let mut group = Group::start_with(kind, 1, &["--appendonly", "yes"]);
    {
        let proxy = Proxy::start(&group.nodes());
        proxy.announce_failover();
        let mut client = proxy.client();
        assert_eq!(client.call(&["SET", "k", "before"]), "+OK");
        group.wait_in_sync();
        group.primary.kill();
        assert_eq!(client.call(&["SET", "k", "after"]), "+OK");
    }
    group.primary.restart();
    let proxy = Proxy::over(&group.nodes()).start();
    proxy.announce_failover();
    proxy.announce(&[
        "\"Primaries of unrelated histories; choose with segue adopt NODE\"",
        "\"An operator chose whose data wins\"",
    ]);
    eventually("it waits for a human", || {
        proxy.status()["reason"].as_str()?.contains("segue adopt").then_some(())
    });
    assert_eq!(group.primary.call(&["GET", "k"]), "before");
    assert_eq!(adopt(&proxy, &["b", "--yes"]).0, Some(0));
    let (old, new) = (&group.primary, &group.replicas[0]);
    eventually("the old one follows", || old.follows(new).then_some(()));
    assert_eq!(proxy.client().call(&["GET", "k"]), "after");
}
