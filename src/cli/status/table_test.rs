//! What a person sees.

use super::*;
use crate::ops::status::{Guarded, Held, Listener, Sessions};

fn node(name: &str, role: Role, health: Health) -> NodeStatus {
    NodeStatus {
        name: name.to_owned(),
        address: "127.0.0.1:7001".to_owned(),
        resolved: None,
        configured: true,
        role,
        health,
        reason: None,
        run_id: None,
        replid: None,
        offset: None,
        lag_bytes: None,
        link_up: None,
        silent_ms: Some(12),
    }
}

fn status(snapshot: Snapshot) -> Status {
    Status {
        version: "0.1.0".to_owned(),
        commit: "abc".to_owned(),
        uptime_ms: 7_384_000,
        draining: false,
        ready: snapshot.gate_open,
        sessions: Sessions { open: 12, max: 10_000 },
        held: Held { commands: 0, bytes: 0, max_bytes: 64 << 20 },
        in_flight_bytes: 0,
        upstream_connections: 12,
        listeners: Vec::new(),
        snapshot,
    }
}

#[test]
fn guarded_listeners_are_named() {
    let mut status = status(Snapshot::default());
    let listener = |address: &str, guarded| Listener { address: address.to_owned(), guarded };
    let guarded = Guarded { replicas: 2, timeout_ms: 500, reads_confirmed: false };
    let strict = Guarded { replicas: 1, timeout_ms: 1_500, reads_confirmed: true };
    status.listeners = vec![
        listener("0.0.0.0:6380", None),
        listener("0.0.0.0:6381", Some(guarded)),
        listener("unix:/run/segue", Some(strict)),
    ];
    let text = render(&status);
    let lines: Vec<_> = text.lines().filter(|it| it.starts_with("guarded")).collect();
    assert_eq!(
        lines,
        [
            "guarded   0.0.0.0:6381: writes by 2 replicas within 500ms",
            "guarded   unix:/run/segue: writes and reads by 1 replica within 1.5s",
        ]
    );
}

#[test]
fn a_steady_group() {
    let replica = |name: &str, lag, silent| NodeStatus {
        lag_bytes: Some(lag),
        link_up: Some(true),
        silent_ms: Some(silent),
        ..node(name, Role::Replica, Health::Up)
    };
    let text = render(&status(Snapshot {
        group: "main".to_owned(),
        epoch: 3,
        gate_open: true,
        primary: Some("b".to_owned()),
        phase: "steady".to_owned(),
        nodes: vec![
            replica("a", 1_536, 7),
            node("b", Role::Primary, Health::Up),
            NodeStatus {
                configured: false,
                link_up: Some(false),
                reason: Some("link to the primary is down".to_owned()),
                ..replica("10.0.0.9:6379", 0, 61_000)
            },
        ],
        strangers: vec!["10.0.0.7:6379".to_owned(), "10.0.0.8:6379".to_owned()],
        conflicts: vec!["a".to_owned()],
        last_failover: Some(FailoverAccount {
            epoch: 3,
            from: Some("a".to_owned()),
            to: Some("b".to_owned()),
            held_ms: 412,
            outcome: "promoted".to_owned(),
        }),
        ..Snapshot::default()
    }));
    let expected = "\
group     main (steady)
primary   b
gate      open
epoch     3
sessions  12 of 10000
held      0 commands, 0 B of 64.0 MiB
segue     0.1.0 (abc), up 2h 3m

NODE                        ADDRESS         ROLE     HEALTH  LAG      LINK  SILENT
a                           127.0.0.1:7001  replica  up      1.5 KiB  up    7ms
b                           127.0.0.1:7001  primary  up      -        -     12ms
10.0.0.9:6379 (discovered)  127.0.0.1:7001  replica  up      0 B      down  1m 1s   link to the primary is down

reported by the primary, not configured: 10.0.0.7:6379, 10.0.0.8:6379

claim to be primary, and wait for `segue adopt`: a

last failover: a to b, promoted, epoch 3, commands held for 412ms
";
    assert_eq!(text, expected);
}

#[test]
fn before_anything_is_known_and_on_the_way_out() {
    let mut status = status(Snapshot {
        group: "main".to_owned(),
        reason: Some("no node has answered yet".to_owned()),
        ..Snapshot::default()
    });
    status.draining = true;
    let text = render(&status);
    assert!(
        text.starts_with("group     main\nprimary   none\ngate      held: no node has"),
        "{text}"
    );
    assert!(text.contains("up 2h 3m, draining\n"), "{text}");
    assert!(!text.contains("last failover"), "{text}");
}

#[test]
fn nothing_that_a_node_says_reaches_the_terminal_as_a_command() {
    let text = render(&status(Snapshot {
        group: "main".to_owned(),
        reason: Some("\u{1b}[2J".to_owned()),
        strangers: vec!["\u{7}\u{9b}31m".to_owned()],
        nodes: vec![NodeStatus {
            name: "a\r".to_owned(),
            reason: Some("ERR\n\u{1b}]0;owned".to_owned()),
            ..node("a", Role::Primary, Health::Up)
        }],
        ..Snapshot::default()
    }));
    assert!(!text.contains(|it: char| it.is_control() && it != '\n'), "{text:?}");
    assert_eq!(text.lines().count(), 12, "no line of a node's own: {text:?}");
}

#[test]
fn lengths_are_told_as_people_do() {
    let check = |length_ms: u64, expected: &str| assert_eq!(time(length_ms), expected);
    check(0, "0ms");
    check(999, "999ms");
    check(1_000, "1.0s");
    check(59_999, "59.9s");
    check(60_000, "1m");
    check(61_500, "1m 1s");
    check(3_600_000, "1h");
    check(3_661_000, "1h 1m");
    check(90_061_000, "1day 1h");
    let check = |count: u64, expected: &str| assert_eq!(bytes(count), expected);
    check(0, "0 B");
    check(1_023, "1023 B");
    check(1_024, "1.0 KiB");
    check(64 << 20, "64.0 MiB");
    check(u64::MAX, "16777216.0 TiB");
}
