//! Segue itself stands still while others decide.

use super::pass;
use crate::harness::{Group, Kind, Proxy, eventually};
use std::time::Duration;

on_both!(what_it_knew_before_is_worth_nothing);

/// How long Segue stands still; the minute of the promise with `SEGUE_STALL=60`.
fn stall() -> Duration {
    let secs = std::env::var("SEGUE_STALL").ok().and_then(|it| it.parse().ok());
    Duration::from_secs(secs.unwrap_or(2))
}

/// Goal: Segue stopped with SIGSTOP while a human promotes a replica, and resumed, decides
/// nothing from what it knew and sends nothing to the old primary, which lives and would take it.
///
/// Method: sessions that send while Segue stands still, so that their bytes are the first thing
/// that it finds; the old primary counts what it ran. Then the first primary is demoted by Segue.
fn what_it_knew_before_is_worth_nothing(kind: Kind) {
    let group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let (old, new) = (&group.primary, &group.replicas[0]);
    let mut sessions: Vec<_> = (0..8).map(|_| proxy.client()).collect();
    for session in &mut sessions {
        assert_eq!(session.call(&["INCR", "n"]).error(), None);
    }
    group.wait_in_sync();
    let mut monitor = old.client();
    assert_eq!(monitor.call(&["MONITOR"]), "+OK");

    proxy.freeze();
    assert_eq!(new.call(&["REPLICAOF", "NO", "ONE"]), "+OK");
    for session in &mut sessions {
        session.send_all(&[&["INCR", "n"], &["GET", "n"]]);
    }
    let mut late = proxy.client();
    late.send_all(&[&["INCR", "n"]]);
    pass(stall());
    assert!(old.is_primary(), "it would take what is sent to it");
    proxy.thaw();

    for session in &mut sessions {
        assert_eq!(session.read().error(), None);
        assert_eq!(session.read().error(), None);
    }
    assert_eq!(late.read().error(), None);
    assert_eq!(new.call(&["GET", "n"]), "17");
    eventually("the old one follows", || old.follows(new).then_some(()));
    assert_eq!(old.call(&["ECHO", "the end"]), "the end");
    // What comes by replication stands there with the new primary's address.
    let stream = format!(" {}]", new.addr());
    let mut ran = Vec::new();
    loop {
        let line = monitor.read().to_string();
        if line.contains("the end") {
            break;
        }
        let is_clients = ["INCR", "\"GET\"", "incr"].iter().any(|it| line.contains(it));
        if is_clients && !line.contains(&stream) {
            ran.push(line);
        }
    }
    assert!(ran.is_empty(), "client commands arrived at the old primary: {ran:?}");
    assert_eq!(proxy.promotions(), 0.0, "it decided nothing by itself");
    assert!(proxy.logged("Segue itself stood still") >= 1);
}
