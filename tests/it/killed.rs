//! The primary is killed with SIGKILL; clients carry on.

use crate::harness::{Group, Kind, Load, Proxy, Traffic, eventually, within};
use std::time::{Duration, Instant};

on_both!(
    a_held_write_reaches_the_new_primary,
    a_pipelined_mixed_load_goes_on,
    a_second_failover_right_after_the_first,
    siblings_and_the_returning_primary_follow_the_new_one,
);

/// From the kill to the first write served again. The thresholds of the harness allow a tenth
/// of it; the rest is for a machine that is busy with other tests.
const SERVED_AGAIN_WITHIN: Duration = Duration::from_secs(3);

const TRAFFIC: Traffic = Traffic { clients: 4, depth: 16 };

/// Goal: a write sent while nobody is primary is neither lost nor refused.
///
/// Method: kill the primary, write once the gate is closed on the session that was open before,
/// and read the value from the replica itself: a proxy that answered `+OK` and dropped the write
/// must not pass.
fn a_held_write_reaches_the_new_primary(kind: Kind) {
    let mut group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "before"]), "+OK");
    let epoch = proxy.status()["epoch"].as_u64().expect("a number");

    group.primary.kill();
    proxy.wait_gate(false);
    assert_eq!(client.call(&["SET", "k", "after"]), "+OK");

    let replica = &group.replicas[0];
    assert_eq!(replica.call(&["GET", "k"]), "after");
    assert!(replica.is_primary());
    proxy.wait_promotions(1);
    proxy.wait_primary("b");
    assert!(proxy.status()["epoch"].as_u64().expect("a number") > epoch);
}

/// Goal: under load, a kill costs no connection, no order, no acknowledged write that a replica
/// had, and no error but one `-UNCERTAIN` for each write in flight; nothing runs twice.
///
/// Method: several clients pipeline reads and writes that name their keys. Before the kill a set
/// of writes is waited for on both replicas. Afterwards every history is checked, against the
/// promoted node itself.
fn a_pipelined_mixed_load_goes_on(kind: Kind) {
    let mut group = Group::start(kind, 2);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let mut client = proxy.client();
    for n in 0..200 {
        assert_eq!(client.call(&["SET", &format!("safe:{n}"), &format!("value {n}")]), "+OK");
    }
    group.wait_in_sync();

    let load = Load::start(proxy.addr(), TRAFFIC);
    load.wait_rounds(30);
    group.primary.kill();
    let killed = Instant::now();
    assert_eq!(client.call(&["SET", "first", "served"]), "+OK");
    let waited = killed.elapsed();
    let promoted = group.promoted();
    let since = Instant::now();
    load.wait_rounds(30);

    let mut uncertain = 0;
    for history in load.finish() {
        history.check_replies(1);
        history.check_data(promoted, since, 1);
        uncertain += history.uncertain();
        assert!(history.uncertain() <= TRAFFIC.depth);
        assert!(history.longest() < SERVED_AGAIN_WITHIN, "waited {:?}", history.longest());
    }
    for n in 0..200 {
        let there = promoted.call(&["GET", &format!("safe:{n}")]);
        assert_eq!(there, format!("value {n}").as_str(), "had been replicated");
    }
    assert_eq!(promoted.call(&["GET", "first"]), "served");
    let counted = || proxy.metric("segue_commands_uncertain_total") as usize;
    eventually("each is counted", || (counted() == uncertain).then_some(()));
    assert!(waited < SERVED_AGAIN_WITHIN, "the first write waited {waited:?}");
    proxy.wait_promotions(1);
}

/// Goal: losing the new primary as well, at once, is one more failover and nothing else.
///
/// Method: kill the primary under load, kill the promoted replica as soon as it serves writes,
/// check histories and the last node's data.
fn a_second_failover_right_after_the_first(kind: Kind) {
    let mut group = Group::start(kind, 2);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "safe"]), "+OK");
    group.wait_in_sync();

    let load = Load::start(proxy.addr(), Traffic { clients: 2, depth: 8 });
    load.wait_rounds(20);
    group.primary.kill();
    let first = group.promoted().addr();
    load.wait_rounds(1);
    let at = group.replicas.iter().position(|it| it.addr() == first).expect("one of them");
    let mut dead = group.replicas.remove(at);
    dead.kill();
    let last = group.promoted();
    let since = Instant::now();
    load.wait_rounds(20);

    for history in load.finish() {
        history.check_replies(2);
        history.check_data(last, since, 2);
    }
    assert_eq!(client.call(&["GET", "k"]), "safe");
    proxy.wait_promotions(2);
}

/// Goal: after a failover the group is whole again: the sibling follows the new primary, and so
/// does the old one when it is back, before it gets a client's byte.
///
/// Method: kill, wait until the sibling follows, write, restart the old primary empty, and read
/// the written value from it.
fn siblings_and_the_returning_primary_follow_the_new_one(kind: Kind) {
    let mut group = Group::start(kind, 2);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let mut client = proxy.client();
    group.primary.kill();
    assert_eq!(client.call(&["SET", "k", "after"]), "+OK");
    {
        let promoted = group.promoted();
        let sibling = group.replicas.iter().find(|it| it.addr() != promoted.addr());
        let sibling = sibling.expect("two replicas");
        eventually("the sibling follows", || sibling.follows(promoted).then_some(()));
    }

    group.primary.restart_empty();
    let (old, promoted) = (&group.primary, group.promoted());
    within(SERVED_AGAIN_WITHIN, "the old primary is demoted", || (!old.is_primary()).then_some(()));
    eventually("the old primary follows", || old.follows(promoted).then_some(()));
    assert_eq!(old.call(&["GET", "k"]), "after");
    assert_eq!(old.calls_of("set"), 0, "no client's write went to it");
    assert_eq!(client.call(&["GET", "k"]), "after");
    eventually("the status says so", || {
        let status = proxy.status();
        let roles: Vec<_> =
            status["nodes"].as_array()?.iter().filter_map(|it| it["role"].as_str()).collect();
        (roles.iter().filter(|it| **it == "replica").count() == 2).then_some(())
    });
}
