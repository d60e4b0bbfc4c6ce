//! What is kept to restore a session is bounded, and each limit has a documented end.

use super::{Change, Scene, patient};
use crate::harness::{Kind, eventually};

on_both!(
    a_transaction_too_large_to_be_kept_is_aborted_by_a_change,
    a_hundred_thousand_subscriptions_are_restored,
    a_script_too_large_to_be_kept_is_unknown_after_a_change,
);

/// Goal: past 1 MiB the queue of a transaction is not kept: `EXEC` runs it all as long as nothing
/// changes, and after a change answers `-EXECABORT` and runs nothing; it is never run by halves.
///
/// Method: 1.5 MiB in 24 commands, with and without a change before `EXEC`.
fn a_transaction_too_large_to_be_kept_is_aborted_by_a_change(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut session = scene.client();
    let value = "x".repeat(64 * 1024);
    for change in [None, Some(Change::Stopped), Some(Change::Killed)] {
        assert!(session.call(&["DEL", "list"]).error().is_none());
        assert_eq!(session.call(&["MULTI"]), "+OK");
        for _ in 0..24 {
            assert_eq!(session.call(&["RPUSH", "list", &value]), "+QUEUED");
        }
        let kept = scene.proxy.status()["in_flight_bytes"].as_u64().expect("a number");
        assert!((1 << 20..3 << 19).contains(&kept), "{kept} bytes are kept");
        if let Some(change) = change {
            scene.change(change);
            scene.wait_served();
        }
        let ran = session.call(&["EXEC"]);
        if change.is_none() {
            assert_eq!(ran.items().len(), 24);
            continue;
        }
        let expected = "-EXECABORT Transaction discarded because of previous errors.";
        assert_eq!(ran, expected, "{change:?}");
        assert_eq!(session.call(&["LLEN", "list"]), ":0", "{change:?}");
        scene.recover();
    }
    assert_eq!(scene.proxy.status()["in_flight_bytes"], 0);
}

/// Goal: a session with 100,000 subscriptions keeps all of them, with bounded memory that stands
/// in the metrics.
///
/// Method: subscribe in pipelines; change; the new primary itself counts the channels, and a
/// message arrives.
fn a_hundred_thousand_subscriptions_are_restored(kind: Kind) {
    const COUNT: usize = 100_000;
    let mut scene = Scene::start_with(kind, &[], patient);
    let mut session = scene.client();
    for start in (0..COUNT).step_by(1_000) {
        let names: Vec<_> = (start..start + 1_000).map(|it| format!("channel:{it}")).collect();
        let command = ["SUBSCRIBE"].into_iter().chain(names.iter().map(String::as_str));
        session.send_all(&[&command.collect::<Vec<_>>()]);
        for _ in 0..1_000 {
            session.read_any();
        }
    }
    let kept = scene.proxy.status()["in_flight_bytes"].as_u64().expect("a number");
    assert!((2_000_000..8_000_000).contains(&kept), "{kept} bytes are kept");
    for change in [Change::Demoted, Change::Killed] {
        scene.change(change);
        scene.wait_served();
        eventually("all are subscribed again", || {
            let last = scene.primary().call(&["PUBSUB", "NUMSUB", "channel:99999", "channel:0"]);
            (last == "[channel:99999, :1, channel:0, :1]").then_some(())
        });
        assert_eq!(scene.primary().call(&["PUBLISH", "channel:99999", "x"]), ":1");
        assert_eq!(session.read_any(), "[message, channel:99999, x]", "{change:?}");
        scene.recover();
    }
    assert_eq!(session.call(&["SUBSCRIBE", "one-more"]), "[subscribe, one-more, :100001]");
    assert!(scene.proxy.peak_kib() < 200 * 1024, "{} KiB", scene.proxy.peak_kib());
}

/// Goal: a body of more than 1 MiB is not kept: after a change the client hears the server's own
/// `-NOSCRIPT`, as after a restart of the server.
///
/// Method: load a large and a small one, change, call both.
fn a_script_too_large_to_be_kept_is_unknown_after_a_change(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut session = scene.client();
    let large = format!("return 1 -- {}", "x".repeat(1 << 20));
    let large = session.call(&["SCRIPT", "LOAD", &large]).text();
    let small = session.call(&["SCRIPT", "LOAD", "return 2"]).text();
    scene.change(Change::Killed);
    let unknown = session.call(&["EVALSHA", &large, "0"]);
    assert!(unknown.error().is_some_and(|it| it.starts_with("NOSCRIPT ")), "{unknown}");
    assert_eq!(session.call(&["EVALSHA", &small, "0"]), ":2");
    scene.recover();
}
