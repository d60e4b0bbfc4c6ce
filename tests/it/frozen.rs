//! The primary is stopped with SIGSTOP: it keeps its connections and says nothing.

use crate::harness::{Client, Group, Kind, Load, Proxy, Traffic, eventually, within};
use serde_json::json;
use std::time::{Duration, Instant};

on_both!(
    a_woken_primary_gets_no_client_byte_and_is_demoted,
    a_short_freeze_changes_nothing,
    a_frozen_primary_under_load,
);

/// Two probe intervals of the harness are a tenth of a second; the rest is for a busy machine.
const DEMOTED_WITHIN: Duration = Duration::from_secs(2);

/// Goal: a primary that wakes up after it was replaced gets no byte of any client, and is a
/// replica within two probe intervals.
///
/// Method: a `MONITOR` that was attached before the freeze shows what the woken node runs. Sessions write all the while, each value naming when.
fn a_woken_primary_gets_no_client_byte_and_is_demoted(kind: Kind) {
    let group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let (old, new) = (&group.primary, &group.replicas[0]);
    let mut monitor = old.client();
    assert_eq!(monitor.call(&["MONITOR"]), "+OK");
    let mut sessions: Vec<_> = (0..4).map(|_| proxy.client()).collect();
    for session in &mut sessions {
        assert_eq!(session.call(&["SET", "when", "before"]), "+OK");
    }

    old.freeze();
    // Nothing is in flight: what follows is held, or sent to the new primary.
    proxy.wait_gate(false);
    for (n, session) in sessions.iter_mut().enumerate() {
        assert_eq!(session.call(&["SET", &format!("held:{n}"), "after"]), "+OK");
    }
    assert!(new.is_primary());

    old.thaw();
    let woken = Instant::now();
    let mut writes = 0;
    within(DEMOTED_WITHIN, "the woken primary is demoted", || {
        for session in &mut sessions {
            assert_eq!(session.call(&["SET", "when", "after"]), "+OK");
            writes += 1;
        }
        (!old.is_primary()).then_some(())
    });
    assert!(woken.elapsed() < DEMOTED_WITHIN);
    assert_eq!(new.call(&["GET", "when"]), "after");
    eventually("the woken node follows", || old.follows(new).then_some(()));

    assert_eq!(old.call(&["ECHO", "the end"]), "the end");
    let commands = ran(&mut monitor, "the end");
    // What came by replication stands there with the new primary's address.
    let stream = format!(" {}]", new.addr());
    let by_clients: Vec<_> =
        commands.iter().filter(|it| it.contains("after") && !it.contains(&stream)).collect();
    assert!(by_clients.is_empty(), "of {writes} writes the woken node got {by_clients:?}");
    for n in 0..sessions.len() {
        assert_eq!(old.call(&["GET", &format!("held:{n}")]), "after", "it was resynced");
    }
}

/// What the node ran, as `MONITOR` shows it (all but administration), up to `marker`.
fn ran(monitor: &mut Client, marker: &str) -> Vec<String> {
    let mut lines = Vec::new();
    eventually("the marker appears", || {
        let line = monitor.read().to_string();
        if line.contains(marker) {
            return Some(());
        }
        lines.push(line);
        None
    });
    lines
}

/// Goal: a primary that is back before the promotion loses nothing: no new epoch, no new
/// primary, no uncertain reply, the same upstream connection.
///
/// Method: freeze it for less than `down_after`, with one command in flight and others held; the
/// node's own id of the connection is the same afterwards.
fn a_short_freeze_changes_nothing(kind: Kind) {
    let group = Group::start(kind, 1);
    let proxy = Proxy::over(&group.nodes())
        .with(|it| it["health"]["down_after"] = json!("12s"))
        .with(|it| it["health"]["loading_after"] = json!("30s"))
        .start();
    proxy.wait_ready();
    proxy.announce_failover();
    let mut sent = proxy.client();
    let mut held = proxy.client();
    let id = sent.call(&["CLIENT", "ID"]);
    held.call(&["PING"]);
    let before = proxy.status();

    group.primary.freeze();
    sent.send_all(&[&["INCR", "sent"], &["GET", "sent"]]);
    proxy.wait_gate(false);
    held.send_all(&[&["INCR", "held"], &["INCR", "held"], &["GET", "held"]]);
    sent.send_all(&[&["CLIENT", "ID"]]);
    assert!(sent.is_silent() && held.is_silent());
    group.primary.thaw();

    assert_eq!(sent.read_n(3), [crate::harness::Value::Integer(1), bulk("1"), id]);
    assert_eq!(held.read(), ":1");
    assert_eq!(held.read(), ":2");
    assert_eq!(held.read(), "2");
    proxy.wait_gate(true);
    let after = proxy.status();
    assert_eq!(after["epoch"], before["epoch"]);
    assert_eq!(after["primary"], before["primary"]);
    assert!(proxy.promotions().abs() < f64::EPSILON);
    assert!(group.primary.is_primary() && !group.replicas[0].is_primary());
    assert_eq!(group.primary.call(&["GET", "sent"]), "1");
}

fn bulk(text: &str) -> crate::harness::Value {
    crate::harness::Value::Bulk(text.as_bytes().to_vec())
}

/// Goal: a frozen primary under load costs what a killed one costs, and its return costs nothing.
///
/// Method: freeze under load, wait for the promotion, thaw while the load goes on; the histories
/// and both nodes' data are checked.
fn a_frozen_primary_under_load(kind: Kind) {
    let group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let load = Load::start(proxy.addr(), Traffic { clients: 4, depth: 16 });
    load.wait_rounds(20);
    group.primary.freeze();
    let promoted = group.promoted();
    let since = Instant::now();
    load.wait_rounds(20);
    group.primary.thaw();
    eventually("the old primary follows", || group.primary.follows(promoted).then_some(()));
    load.wait_rounds(20);

    let histories = load.finish();
    crate::harness::wait_in_sync(promoted, &group.primary);
    for history in histories {
        history.check_replies(1);
        history.check_data(promoted, since, 1);
        history.check_data(&group.primary, since, 1);
    }
    proxy.wait_promotions(1);
}
