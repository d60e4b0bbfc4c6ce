//! Many sessions that do nothing while the primary changes.

use crate::harness::{Client, Group, Kind, Proxy, eventually};

on_both!(a_thousand_idle_sessions_survive);

const SESSIONS: usize = 1000;

/// Goal: idle sessions survive a failover, each with its own state, none closed; what they cost
/// is given back when they end.
///
/// Method: a thousand sessions, each with a name and a database of its own; kill the primary;
/// every one of them still says its name, reads what it wrote before and writes.
fn a_thousand_idle_sessions_survive(kind: Kind) {
    let mut group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let descriptors = proxy.descriptors();
    let mut sessions: Vec<_> = (0..SESSIONS).map(|_| proxy.client()).collect();
    for (n, session) in sessions.iter_mut().enumerate() {
        set_up(n, session);
    }
    group.wait_in_sync();
    assert!((proxy.metric("segue_sessions_open") - 1000.0).abs() < f64::EPSILON);

    group.primary.kill();
    let promoted = group.promoted();
    proxy.wait_ready();
    assert!(sessions.iter().all(Client::is_silent), "none was closed or told");

    for (n, session) in sessions.iter_mut().enumerate() {
        session.send_all(&[&["CLIENT", "GETNAME"], &["GET", &key(n)], &["APPEND", &key(n), "!"]]);
    }
    for (n, session) in sessions.iter_mut().enumerate() {
        assert_eq!(session.read(), name(n).as_str());
        assert_eq!(session.read(), value(n).as_str());
        assert_eq!(session.read().integer(), value(n).len() as i64 + 1);
    }
    let mut direct = promoted.client();
    for n in (0..SESSIONS).step_by(97) {
        direct.call(&["SELECT", &database(n)]);
        assert_eq!(direct.call(&["GET", &key(n)]), format!("{}!", value(n)).as_str());
    }
    assert!((proxy.metric("segue_sessions_open") - 1000.0).abs() < f64::EPSILON);

    drop(sessions);
    // Some slack for the probers' own connections, which come and go.
    eventually("descriptors are given back", || {
        (proxy.descriptors() <= descriptors + 8).then_some(())
    });
}

fn set_up(n: usize, session: &mut Client) {
    session.send_all(&[
        &["CLIENT", "SETNAME", &name(n)],
        &["SELECT", &database(n)],
        &["SET", &key(n), &value(n)],
    ]);
    for reply in session.read_n(3) {
        assert_eq!(reply, "+OK");
    }
}

fn name(n: usize) -> String {
    format!("session-{n}")
}

fn database(n: usize) -> String {
    (n % 16).to_string()
}

fn key(n: usize) -> String {
    format!("idle:{n}")
}

fn value(n: usize) -> String {
    format!("value of {n}")
}
