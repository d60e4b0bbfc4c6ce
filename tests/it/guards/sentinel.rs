//! A Sentinel decides behind Segue's back, for a group that both look at.

use crate::harness::{Group, Kind, Load, Proxy, Sentinel, Traffic, eventually};
use std::time::Instant;

on_both!(its_promotion_is_followed_once);

/// Longer than a machine that is busy with other tests keeps a node from answering: what Sentinel
/// does is what it was told.
const DOWN_AFTER_MS: u32 = 10_000;

const TRAFFIC: Traffic = Traffic { clients: 4, depth: 8 };

/// Goal: when Sentinel promotes a replica of a healthy primary, Segue follows once and promotes
/// nobody itself; clients stay connected and go on, and what they write from then on is kept.
///
/// Method: `SENTINEL FAILOVER` under load, until Sentinel itself is done and every node follows; the
/// epoch and the counters say how often Segue changed its mind.
fn its_promotion_is_followed_once(kind: Kind) {
    let group = Group::start(kind, 2);
    let sentinel = Sentinel::watch(&group.primary, DOWN_AFTER_MS);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    sentinel.wait_content(&group.replicas);
    let load = Load::start(proxy.addr(), TRAFFIC);
    load.wait_rounds(20);

    sentinel.fail_over();
    let promoted = group.promoted();
    sentinel.wait_names(promoted);
    let name = if promoted.addr() == group.replicas[0].addr() { "b" } else { "c" };
    proxy.wait_primary(name);
    for node in group.nodes().into_iter().filter(|it| it.addr() != promoted.addr()) {
        eventually("everybody follows", || node.follows(promoted).then_some(()));
    }
    let since = Instant::now();
    load.wait_rounds(20);
    for history in load.finish() {
        history.check_replies(1);
        history.check_data(promoted, since, 1);
    }
    assert!(promoted.is_primary());
    let outcomes = ["promoted", "recovered", "halted", "followed"];
    let counted = outcomes
        .map(|it| proxy.metric(&format!("segue_failovers_total{{outcome=\"{it}\"}}")) as usize);
    assert_eq!((counted[0], counted[3]), (0, 1), "promoted and followed, of {counted:?}");
    assert_eq!(proxy.status()["epoch"], 2);
    assert_eq!(proxy.status()["primary"], name);
}
