//! Row 1: an open transaction survives, a watch makes `EXEC` answer null, and nothing runs twice
//! or by halves.

use super::{Change, Scene, null};
use crate::harness::{Client, Kind, Value, within};
use std::time::Duration;

on_both!(
    an_open_transaction_is_reopened,
    a_transaction_with_an_error_stays_aborted,
    a_lost_watch_makes_exec_answer_null,
    a_watch_that_was_given_up_is_forgotten,
    an_exec_in_flight_is_uncertain_as_a_whole,
    a_demoted_node_runs_no_part_of_a_pipelined_transaction,
);

/// Goal: `MULTI` with 0, 1 and several queued commands goes on after a change, and runs once, on
/// the new primary only.
///
/// Method: sessions in both protocols with different queues, some of which get more afterwards;
/// the data and the counts are read from the new primary itself.
fn an_open_transaction_is_reopened(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut sessions = scene.both_protocols();
    for (round, change) in Change::ALL.into_iter().enumerate() {
        for (n, session) in sessions.iter_mut().enumerate() {
            assert_eq!(session.call(&["MULTI"]), "+OK");
            for _ in 0..n + round {
                assert_eq!(session.call(&["INCR", &format!("{round}:{n}")]), "+QUEUED");
            }
        }
        scene.change(change);
        for (n, session) in sessions.iter_mut().enumerate() {
            let key = format!("{round}:{n}");
            assert_eq!(session.call(&["INCR", &key]), "+QUEUED", "{change:?}");
            let expected: Vec<_> = (1..=n + round + 1).map(|it| format!(":{it}")).collect();
            let expected = format!("[{}]", expected.join(", "));
            assert_eq!(session.call(&["EXEC"]), expected.as_str(), "{change:?}");
            let count = (n + round + 1).to_string();
            assert_eq!(scene.primary().call(&["GET", &key]), count.as_str());
        }
        scene.recover();
    }
    assert!(scene.proxy.metric("segue_transactions_replayed_total") >= 5.0);
}

/// Goal: a transaction that was aborted by an error stays aborted, with the server's own answer,
/// and changes nothing.
///
/// Method: an unknown command among the queued ones, then the change, then more, then `EXEC`.
fn a_transaction_with_an_error_stays_aborted(kind: Kind) {
    const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.";
    let mut scene = Scene::start(kind);
    let mut sessions = scene.both_protocols();
    for change in Change::ALL {
        for session in &mut sessions {
            assert_eq!(session.call(&["MULTI"]), "+OK");
            assert_eq!(session.call(&["SET", "never", "1"]), "+QUEUED");
            assert!(session.call(&["NOSUCHCOMMAND"]).error().is_some());
        }
        scene.change(change);
        for session in &mut sessions {
            assert_eq!(session.call(&["SET", "never", "2"]), "+QUEUED", "{change:?}");
            assert_eq!(session.call(&["EXEC"]), ABORTED, "{change:?}");
            assert_eq!(session.call(&["GET", "never"]), null());
        }
        scene.recover();
    }
}

/// Goal: after a change nobody knows whether a watched key was touched, so `EXEC` answers null of
/// the protocol and runs nothing; the attempt after that succeeds.
///
/// Method: the watch stands alone, or the transaction is open, or a command is queued, when the
/// primary changes. Raw bytes tell the nulls of the protocols apart.
fn a_lost_watch_makes_exec_answer_null(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut sessions = scene.both_protocols();
    for (round, change) in Change::ALL.into_iter().enumerate() {
        for stage in 0..3 {
            if stage > 0 {
                scene.recover();
            }
            let key = format!("watched:{round}:{stage}");
            let set = ["SET", &key, "from EXEC"];
            let steps: [&[&str]; 3] = [&["WATCH", &key], &["MULTI"], &set];
            for session in &mut sessions {
                for step in &steps[..=stage] {
                    assert!(session.call(step).error().is_none());
                }
            }
            scene.change(change);
            for (session, nothing) in sessions.iter_mut().zip(["*-1\r\n", "_\r\n"]) {
                for step in &steps[stage + 1..] {
                    assert!(session.call(step).error().is_none(), "{change:?} {stage}");
                }
                session.send_all(&[&["EXEC"]]);
                assert_eq!(session.read_raw(nothing.len()), nothing, "{change:?} {stage}");
                assert_eq!(session.call(&["EXISTS", &key]), ":0", "it ran");
                for step in &steps {
                    assert!(session.call(step).error().is_none());
                }
                assert_eq!(session.call(&["EXEC"]), "[+OK]", "the next attempt");
                assert_eq!(session.call(&["DEL", &key]), ":1");
            }
        }
        scene.recover();
    }
    assert!(scene.proxy.metric("segue_watches_aborted_total") >= 18.0);
}

/// Goal: `UNWATCH`, `DISCARD` and `RESET` clear a watch, before the change and after it.
///
/// Method: watch, give it up, change, run a transaction; and watch, change, give it up, run.
fn a_watch_that_was_given_up_is_forgotten(kind: Kind) {
    let ways: [&[&[&str]]; 3] = [&[&["UNWATCH"]], &[&["MULTI"], &["DISCARD"]], &[&["RESET"]]];
    let mut scene = Scene::start(kind);
    let mut before: Vec<_> = ways.iter().map(|_| scene.client()).collect();
    let mut after: Vec<_> = ways.iter().map(|_| scene.client()).collect();
    let give_up = |session: &mut Client, way: &[&[&str]]| {
        for step in way {
            assert!(session.call(step).error().is_none());
        }
    };
    for change in Change::ALL {
        for session in before.iter_mut().chain(&mut after) {
            assert_eq!(session.call(&["WATCH", "k"]), "+OK");
        }
        before.iter_mut().zip(ways).for_each(|(it, way)| give_up(it, way));
        scene.change(change);
        after.iter_mut().zip(ways).for_each(|(it, way)| give_up(it, way));
        for session in before.iter_mut().chain(&mut after) {
            assert_eq!(session.call(&["MULTI"]), "+OK");
            assert_eq!(session.call(&["INCR", "ran"]), "+QUEUED");
            assert!(matches!(session.call(&["EXEC"]), Value::Array(_)), "{change:?}");
        }
        scene.recover();
    }
    assert_eq!(scene.primary().call(&["GET", "ran"]), "18");
}

/// Goal: an `EXEC` whose answer never came is one `-UNCERTAIN`, with every answer before it as
/// usual, and nothing of it is sent again.
///
/// Method: freeze the primary, send a whole transaction to it (it is in flight then), let the
/// other take over, and read what the new primary has.
fn an_exec_in_flight_is_uncertain_as_a_whole(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut opened = scene.client();
    let mut whole = scene.client();
    assert_eq!(opened.call(&["MULTI"]), "+OK");
    assert_eq!(opened.call(&["INCR", "opened"]), "+QUEUED");
    // With this it has a connection of its own: from a shared one it would first have to wait for
    // the answer to what is in front of the transaction, and nothing would be uncertain.
    assert_eq!(whole.call(&["CLIENT", "NO-EVICT", "ON"]), "+OK");
    scene.stop();
    opened.send_all(&[&["INCR", "opened"], &["EXEC"], &["GET", "opened"]]);
    whole.send_all(&[
        &["GET", "whole"],
        &["MULTI"],
        &["INCR", "whole"],
        &["INCR", "whole"],
        &["EXEC"],
        &["GET", "whole"],
    ]);
    assert_eq!(opened.read(), "+QUEUED");
    assert_uncertain(&opened.read());
    assert_eq!(opened.read(), null());
    assert_eq!(whole.read(), null());
    assert_eq!(whole.read(), "+OK");
    assert_eq!(whole.read(), "+QUEUED");
    assert_eq!(whole.read(), "+QUEUED");
    assert_uncertain(&whole.read());
    assert_eq!(whole.read(), null());
    for session in [&mut opened, &mut whole] {
        assert_eq!(session.call(&["MULTI"]), "+OK");
        assert_eq!(session.call(&["PING"]), "+QUEUED");
        assert_eq!(session.call(&["EXEC"]), "[+PONG]");
    }
    scene.recover();
    assert_eq!(scene.replica().call(&["EXISTS", "opened", "whole"]), ":0");
}

#[track_caller]
fn assert_uncertain(reply: &Value) {
    assert!(reply.error().is_some_and(|it| it.starts_with("UNCERTAIN ")), "{reply}");
}

/// Goal: a transaction sent in one piece to a node that has just been demoted runs on the new
/// primary, once, in the order of the pipeline.
///
/// Method: pipelines in which the refusal comes first, when queueing, or from `EXEC`; sent before
/// Segue can know.
fn a_demoted_node_runs_no_part_of_a_pipelined_transaction(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut sessions: Vec<_> = (0..4).map(|_| scene.client()).collect();
    for round in 0..3 {
        for session in &mut sessions {
            assert_eq!(session.call(&["DEL", "none"]), ":0");
        }
        scene.change(Change::Demoted);
        for (n, session) in sessions.iter_mut().enumerate() {
            let key = format!("k:{round}:{n}");
            session.send_all(&[
                &["INCR", &key],
                &["MULTI"],
                &["GET", &key],
                &["EXEC"],
                &["MULTI"],
                &["INCR", &key],
                &["EXEC"],
                &["WATCH", &key],
                &["MULTI"],
                &["EXEC"],
                &["GET", &key],
            ]);
        }
        for (n, session) in sessions.iter_mut().enumerate() {
            let replies: Vec<_> = session.read_n(11).iter().map(ToString::to_string).collect();
            let expected =
                [":1", "+OK", "+QUEUED", "[1]", "+OK", "+QUEUED", "[:2]", "+OK", "+OK", "[]", "2"];
            assert_eq!(replies, expected, "session {n}");
        }
        scene.recover();
        within(Duration::from_secs(5), "both nodes agree", || {
            (scene.replica().call(&["GET", &format!("k:{round}:0")]) == "2").then_some(())
        });
    }
}
