//! Row 10: a password is kept only to restore its session; a primary that refuses it answers for
//! itself.

use super::{Change, Scene};
use crate::harness::{Client, Kind, Server};

on_both!(
    a_refused_login_is_the_servers_own_error_and_no_closed_socket,
    a_session_can_log_in_anew_after_its_login_was_refused,
);

const USER: [&str; 6] = ["ACL", "SETUSER", "app", "reset", "on", "~*"];

fn allow(node: &Server, password: &str) {
    let words: Vec<_> = USER.into_iter().chain(["+@all", password]).collect();
    assert_eq!(node.call(&words), "+OK");
}

fn log_in(session: &mut Client, is_hello: bool, password: &str) {
    let reply = if is_hello {
        session.call(&["HELLO", "3", "AUTH", "app", password])
    } else {
        session.call(&["AUTH", "app", password])
    };
    assert!(reply.error().is_none(), "{reply}");
}

/// Goal: a new primary with another password, or without the user, answers each next command
/// with its own error; the session stays open, and works again when the node is put right.
///
/// Method: the replica never has the right user; after the change it gets it.
fn a_refused_login_is_the_servers_own_error_and_no_closed_socket(kind: Kind) {
    let mut scene = Scene::start(kind);
    for (round, change) in Change::ALL.into_iter().enumerate() {
        allow(scene.primary(), ">right");
        let mut sessions = scene.both_protocols();
        for (n, session) in sessions.iter_mut().enumerate() {
            log_in(session, n == 1, "right");
            assert_eq!(session.call(&["SET", "k", "v"]), "+OK");
        }
        match round {
            0 => {}
            _ => allow(scene.replica(), ">changed"),
        }
        scene.change(change);
        scene.wait_served();
        for session in &mut sessions {
            for command in [&["GET", "k"][..], &["SET", "k", "w"]] {
                let refused = session.call(command);
                let refused = refused.error().unwrap_or_default();
                assert!(refused.starts_with("WRONGPASS "), "{change:?}: {refused}");
            }
        }
        allow(scene.primary(), ">right");
        for session in &mut sessions {
            assert_eq!(session.call(&["GET", "k"]), "v", "{change:?}");
            assert_eq!(session.call(&["ACL", "WHOAMI"]), "app", "{change:?}");
        }
        drop(sessions);
        scene.recover();
    }
    assert!(scene.proxy.metric("segue_session_restore_failures_total") >= 6.0);
    assert!(!scene.proxy.log().contains("right"), "a password is in the log");
}

/// Goal: a session whose login the new primary refuses can log in with the right password, as it
/// could on a connection of its own; a wrong one is refused with the server's own error.
///
/// Method: `AUTH` and `HELLO … AUTH` after the refusal.
fn a_session_can_log_in_anew_after_its_login_was_refused(kind: Kind) {
    let mut scene = Scene::start(kind);
    for change in Change::ALL {
        allow(scene.primary(), ">old");
        allow(scene.replica(), ">new");
        let mut sessions = scene.both_protocols();
        for (n, session) in sessions.iter_mut().enumerate() {
            log_in(session, n == 1, "old");
        }
        scene.change(change);
        scene.wait_served();
        for (n, session) in sessions.iter_mut().enumerate() {
            let refused = session.call(&["GET", "k"]);
            assert!(refused.error().is_some_and(|it| it.starts_with("WRONGPASS ")));
            let wrong = session.call(&["AUTH", "app", "wrong"]);
            assert!(wrong.error().is_some_and(|it| it.starts_with("WRONGPASS ")), "{wrong}");
            log_in(session, n == 1, "new");
            assert_eq!(session.call(&["GET", "k"]), "(null)", "{change:?}");
            assert_eq!(session.call(&["ACL", "WHOAMI"]), "app", "{change:?}");
        }
        drop(sessions);
        scene.recover();
    }
}
