//! Row 5: modes of a connection. Framing never slips by one reply, whatever the mode.

use super::{Change, Scene, null, resp3};
use crate::harness::{Client, Kind, Value, eventually};

on_both!(
    monitor_is_attached_again,
    replies_that_are_off_stay_off,
    a_skipped_reply_is_the_next_one_and_no_other,
    flags_are_set_again,
    reset_quit_and_hello_in_one_pipeline,
    another_user_stays_who_it_became,
);

/// Goal: a `MONITOR` shows what the new primary runs, and nothing of the restoration.
///
/// Method: monitor through Segue, change, run a marked command on the new primary itself.
fn monitor_is_attached_again(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut sessions = scene.both_protocols();
    for session in &mut sessions {
        assert_eq!(session.call(&["MONITOR"]), "+OK");
    }
    for change in Change::ALL {
        scene.change(change);
        scene.wait_served();
        scene.wait_listed("cmd=monitor", 2);
        assert_eq!(scene.primary().call(&["ECHO", "marked"]), "marked");
        for session in &mut sessions {
            eventually("the marked command is shown", || {
                let line = session.read_any();
                let Value::Simple(line) = line else { panic!("{change:?}: {line}") };
                assert!(line.starts_with(|it: char| it.is_ascii_digit()), "{change:?}: {line}");
                line.contains("\"marked\"").then_some(())
            });
        }
        scene.recover();
    }
    drop(sessions);
}

/// Goal: with `CLIENT REPLY OFF` nothing is answered across a change, what was sent is done, and
/// `ON` is answered with its own `+OK` and no other.
///
/// Method: writes before, during and after; the new primary itself has them all.
fn replies_that_are_off_stay_off(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut sessions = scene.both_protocols();
    for change in Change::ALL {
        for session in &mut sessions {
            session.send_all(&[&["CLIENT", "REPLY", "OFF"], &["INCR", "k"]]);
        }
        eventually("both have written", || {
            let count = scene.primary().call(&["GET", "k"]).to_string().parse::<u64>().ok()?;
            (count % 6 == 2).then_some(())
        });
        scene.change(change);
        for session in &mut sessions {
            session.send_all(&[&["INCR", "k"], &["NOSUCHCOMMAND"], &["INCR", "k"]]);
            assert!(session.is_silent());
            session.send_all(&[&["CLIENT", "REPLY", "ON"], &["ECHO", "on"]]);
            assert_eq!(session.read_any(), "+OK", "{change:?}");
            assert_eq!(session.read_any(), "on", "{change:?}");
        }
        scene.recover();
    }
    assert_eq!(scene.primary().call(&["GET", "k"]), "18");
}

/// Goal: `CLIENT REPLY SKIP` leaves out the next reply, of whatever kind, across a change and
/// inside pipelines.
///
/// Method: `SKIP`, the change, then pipelines in which one reply is missing.
fn a_skipped_reply_is_the_next_one_and_no_other(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut session = resp3(scene.client());
    let skip: &[&str] = &["CLIENT", "REPLY", "SKIP"];
    for change in Change::ALL {
        session.send_all(&[skip]);
        scene.change(change);
        session.send_all(&[&["ECHO", "skipped"], &["ECHO", "shown"], skip, &["GET", "k"]]);
        session.send_all(&[skip, &["NOSUCHCOMMAND"], &["ECHO", "last"]]);
        session.send_all(&[skip, &["MULTI"], &["PING"], &["EXEC"]]);
        session.send_all(&[skip, &["SUBSCRIBE", "c"], &["ECHO", "subscribed"]]);
        session.send_all(&[skip, &["UNSUBSCRIBE", "c"], &["ECHO", "end"]]);
        assert_eq!(session.read_any(), "shown", "{change:?}");
        assert_eq!(session.read_any(), "last", "{change:?}");
        assert_eq!(session.read_any(), "+QUEUED", "{change:?}");
        assert_eq!(session.read_any(), "[+PONG]", "{change:?}");
        assert_eq!(session.read_any(), "[subscribe, c, :1]", "{change:?}");
        assert_eq!(session.read_any(), "subscribed", "{change:?}");
        assert_eq!(session.read_any(), "[unsubscribe, c, :0]", "{change:?}");
        assert_eq!(session.read_any(), "end", "{change:?}");
        scene.recover();
    }
}

/// Goal: `CLIENT NO-EVICT`, `NO-TOUCH`, `CAPA` and `IMPORT-SOURCE` are in force at the new
/// primary.
///
/// Method: the flags and capabilities that the node lists for the session by its name.
fn flags_are_set_again(kind: Kind) {
    let mut scene = Scene::start_with(kind, import_mode(kind), |_| {});
    let mut session = scene.client();
    assert_eq!(session.call(&["CLIENT", "SETNAME", "flagged"]), "+OK");
    assert_eq!(session.call(&["CLIENT", "NO-EVICT", "ON"]), "+OK");
    if kind == Kind::Valkey {
        assert_eq!(session.call(&["CLIENT", "NO-TOUCH", "ON"]), "+OK");
        assert_eq!(session.call(&["CLIENT", "CAPA", "redirect"]), "+OK");
        assert_eq!(session.call(&["CLIENT", "IMPORT-SOURCE", "ON"]), "+OK");
    }
    let expected = listed(&scene);
    assert!(expected.contains('e'), "{expected}");
    for change in Change::ALL {
        scene.change(change);
        scene.wait_served();
        assert_eq!(session.call(&["PING"]), "+PONG");
        assert_eq!(listed(&scene), expected, "{change:?}");
        scene.recover();
    }
}

fn import_mode(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Redis => &[],
        Kind::Valkey => &["--import-mode", "yes"],
    }
}

/// What the node says of the session named `flagged`: flags and capabilities.
fn listed(scene: &Scene) -> String {
    let list = scene.primary().call(&["CLIENT", "LIST"]).text();
    let line = list.lines().find(|it| it.contains("name=flagged")).expect("it is listed");
    let words = line.split(' ').filter(|it| it.starts_with("flags=") || it.starts_with("capa="));
    words.collect::<Vec<_>>().join(" ")
}

/// Goal: `RESET`, `HELLO 2` and `HELLO 3` change the form of the replies behind them at the right
/// one, `QUIT` is the last, and all that across a change in which the pipeline is held.
///
/// Method: one pipeline through everything; the same bytes directly to the server.
fn reset_quit_and_hello_in_one_pipeline(kind: Kind) {
    let mut scene = Scene::start(kind);
    let pipeline: [&[&str]; 17] = [
        &["HSET", "h", "f", "v"],
        &["HGETALL", "h"],
        &["HELLO", "9"],
        &["SELECT", "3"],
        &["HGETALL", "h"],
        &["MULTI"],
        &["GET", "k"],
        &["RESET"],
        &["GET", "none"],
        &["HELLO", "3", "SETNAME", "x"],
        &["GET", "none"],
        &["CLIENT", "GETNAME"],
        &["HELLO", "2"],
        &["GET", "none"],
        &["SUBSCRIBE", "c"],
        &["RESET"],
        &["QUIT"],
    ];
    let bytes_of = |mut client: Client| {
        client.call(&["HELLO", "3"]);
        client.call(&["DEL", "h"]);
        client
    };
    let mut direct = bytes_of(scene.primary().client());
    direct.send_all(&pipeline);
    let expected = without_ids(&direct.read_to_end());
    for change in Change::ALL {
        let mut session = bytes_of(scene.client());
        scene.change(change);
        session.send_all(&pipeline);
        assert_eq!(without_ids(&session.read_to_end()), expected, "{change:?}");
        scene.recover();
    }
}

/// The text, with the one figure that differs between connections taken out.
fn without_ids(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split("$2\r\nid\r\n:");
    let mut out = parts.next().expect("a part").to_owned();
    for part in parts {
        out.push_str("id ");
        out.push_str(part.split_once("\r\n").expect("a line").1);
    }
    out
}

/// Goal: a session that changed its user, back and forth, is restored as the last one; a change
/// that failed changes nothing.
///
/// Method: users on both nodes; `AUTH` twice, and once with the wrong password.
fn another_user_stays_who_it_became(kind: Kind) {
    let mut scene = Scene::start(kind);
    for node in [scene.primary(), scene.replica()] {
        for user in ["one", "two"] {
            let made = node.call(&["ACL", "SETUSER", user, "on", ">pass", "~*", "+@all"]);
            assert_eq!(made, "+OK");
        }
    }
    let mut session = scene.client();
    for (change, user) in [(Change::Demoted, "one"), (Change::Stopped, "two")] {
        assert_eq!(session.call(&["AUTH", user, "pass"]), "+OK");
        assert!(session.call(&["AUTH", "default", "wrong"]).error().is_none());
        assert_eq!(session.call(&["AUTH", user, "pass"]), "+OK");
        assert!(session.call(&["AUTH", "three", "wrong"]).error().is_some());
        scene.change(change);
        assert_eq!(session.call(&["ACL", "WHOAMI"]), user, "{change:?}");
        scene.recover();
    }
    assert_eq!(session.call(&["RESET"]), "+RESET");
    scene.change(Change::Killed);
    assert_eq!(session.call(&["ACL", "WHOAMI"]), "default");
    assert_eq!(session.call(&["GET", "none"]), null());
    scene.recover();
}
