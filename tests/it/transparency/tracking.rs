//! Row 4: client-side caching never serves what changed while nobody told.

use super::{Change, Scene};
use crate::harness::{Client, Kind, eventually};

on_both!(
    every_mode_is_put_in_force_again,
    invalidate_all_has_the_bytes_of_the_server,
    redirected_invalidations_reach_the_same_session,
    a_redirection_to_a_session_that_is_gone_is_reported,
);

/// The invalidation of one key, as printed.
fn invalidated(key: &str) -> String {
    format!("[invalidate, [{key}]]")
}

const ALL: &str = "[invalidate, (null)]";

/// Goal: default, `BCAST` with prefixes, `OPTIN`, `OPTOUT` and `NOLOOP` are in force at the new
/// primary; before that the client is told to drop everything, at once and once.
///
/// Method: a session in each mode reads a key after the change, somebody else changes it on the
/// new primary, and exactly the sessions that should be told are.
fn every_mode_is_put_in_force_again(kind: Kind) {
    let mut scene = Scene::start(kind);
    let modes: [&[&str]; 5] = [
        &["CLIENT", "TRACKING", "ON"],
        &["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "k:", "PREFIX", "other:"],
        &["CLIENT", "TRACKING", "ON", "OPTIN"],
        &["CLIENT", "TRACKING", "ON", "OPTOUT"],
        &["CLIENT", "TRACKING", "ON", "NOLOOP"],
    ];
    let mut sessions: Vec<_> = modes
        .iter()
        .map(|mode| {
            let mut session = super::resp3(scene.client());
            assert_eq!(session.call(mode), "+OK");
            session
        })
        .collect();
    for change in Change::ALL {
        scene.change(change);
        for session in &mut sessions {
            assert_eq!(session.read_any(), ALL, "{change:?}");
        }
        for session in &mut sessions {
            session.call(&["GET", "k:plain"]);
        }
        for (mode, caching) in [(2, "YES"), (3, "NO")] {
            assert_eq!(sessions[mode].call(&["CLIENT", "CACHING", caching]), "+OK");
            sessions[mode].call(&["GET", "k:chosen"]);
        }
        assert_eq!(sessions[4].call(&["SET", "k:own", "v"]), "+OK");
        for key in ["k:plain", "k:chosen", "other:k"] {
            assert_eq!(scene.primary().call(&["SET", key, "v"]), "+OK");
        }
        let expected: [&[&str]; 5] = [
            &["k:plain"],
            &["k:own", "k:plain", "k:chosen", "other:k"],
            &["k:chosen"],
            &["k:plain"],
            &["k:plain"],
        ];
        for (session, keys) in sessions.iter_mut().zip(expected) {
            let mut told: Vec<_> = keys.iter().map(|_| session.read_any().to_string()).collect();
            let mut keys: Vec<_> = keys.iter().map(|it| invalidated(it)).collect();
            told.sort();
            keys.sort();
            assert_eq!(told, keys, "{change:?}");
            assert!(session.is_silent());
        }
        scene.recover();
    }
    assert!(scene.proxy.metric("segue_tracking_invalidations_total") >= 15.0);
}

/// A session that redirects its invalidations, and the one that gets them: a RESP2 subscriber.
fn redirected(connect: impl Fn() -> Client) -> (Client, Client) {
    let (mut tracker, mut target) = (connect(), connect());
    let id = target.call(&["CLIENT", "ID"]).integer().to_string();
    assert_eq!(target.call(&["SUBSCRIBE", CHANNEL]), "[subscribe, __redis__:invalidate, :1]");
    assert_eq!(tracker.call(&["CLIENT", "TRACKING", "ON", "REDIRECT", &id]), "+OK");
    (tracker, target)
}

const CHANNEL: &str = "__redis__:invalidate";

/// Goal: "drop everything" is told with the bytes that the server itself sends after `FLUSHALL`,
/// as a push and as a RESP2 message.
///
/// Method: read the server's own on connections past Segue, and compare.
fn invalidate_all_has_the_bytes_of_the_server(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut direct_push = super::resp3(scene.primary().client());
    assert_eq!(direct_push.call(&["CLIENT", "TRACKING", "ON"]), "+OK");
    let (mut direct_tracker, mut direct_target) = redirected(|| scene.primary().client());
    direct_push.call(&["GET", "k"]);
    direct_tracker.call(&["GET", "k"]);
    assert_eq!(scene.primary().call(&["FLUSHALL"]), "+OK");
    let push = direct_push.read_raw_until("_\r\n");
    let message = direct_target.read_raw_until("$-1\r\n");

    let mut session = super::resp3(scene.client());
    assert_eq!(session.call(&["CLIENT", "TRACKING", "ON"]), "+OK");
    let (_tracker, mut target) = redirected(|| scene.client());
    for change in Change::ALL {
        scene.change(change);
        assert_eq!(session.read_raw_until("_\r\n"), push, "{change:?}");
        assert_eq!(target.read_raw_until("$-1\r\n"), message, "{change:?}");
        scene.recover();
        assert!(session.is_silent() && target.is_silent(), "{change:?}");
    }
}

/// Goal: `REDIRECT` names the same session after both have moved, whichever came first, and what
/// the tracker reads is told to it; also to a target in RESP3 that subscribes to nothing.
///
/// Method: numbers at the nodes are made to differ; somebody else changes a key that was read.
fn redirected_invalidations_reach_the_same_session(kind: Kind) {
    let mut scene = Scene::start(kind);
    let (mut tracker, mut target) = redirected(|| scene.client());
    let mut plain_target = super::resp3(scene.client());
    let id = plain_target.call(&["CLIENT", "ID"]).integer().to_string();
    let mut plain_tracker = scene.client();
    assert_eq!(plain_tracker.call(&["CLIENT", "TRACKING", "ON", "REDIRECT", &id]), "+OK");
    for change in Change::ALL {
        drop((0..9).map(|_| scene.replica().client().call(&["PING"])).collect::<Vec<_>>());
        scene.change(change);
        assert_eq!(target.read_any(), "[message, __redis__:invalidate, (null)]", "{change:?}");
        assert_eq!(plain_target.read_any(), ALL, "{change:?}");
        tracker.call(&["GET", "one"]);
        plain_tracker.call(&["GET", "two"]);
        assert_eq!(scene.primary().call(&["MSET", "one", "v", "two", "v"]), "+OK");
        assert_eq!(target.read_any(), "[message, __redis__:invalidate, [one]]", "{change:?}");
        assert_eq!(plain_target.read_any(), invalidated("two").as_str(), "{change:?}");
        scene.recover();
        assert!(target.is_silent() && plain_target.is_silent(), "{change:?}");
        assert!(tracker.is_silent() && plain_tracker.is_silent(), "{change:?}");
    }
}

/// Goal: a tracker whose target has gone is not kept from the new primary; in RESP3 it is told
/// that the redirection is broken, as the server does.
///
/// Method: close the target, change the primary, go on.
fn a_redirection_to_a_session_that_is_gone_is_reported(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut tracker = super::resp3(scene.client());
    let mut target = super::resp3(scene.client());
    let id = target.call(&["CLIENT", "ID"]).integer().to_string();
    assert_eq!(tracker.call(&["CLIENT", "TRACKING", "ON", "REDIRECT", &id]), "+OK");
    drop(target);
    eventually("the target is gone", || {
        let open = scene.proxy.status()["sessions"]["open"].as_u64()?;
        (open == 1).then_some(())
    });
    for change in Change::ALL {
        scene.change(change);
        assert_eq!(tracker.call(&["SET", "k", "v"]), "+OK", "{change:?}");
        assert_eq!(tracker.call(&["GET", "k"]), "v", "{change:?}");
        scene.recover();
    }
    let told = |it: &crate::harness::Value| it.to_string().starts_with("[tracking-redir-broken");
    assert!(tracker.pushes.iter().any(told), "{:?}", tracker.pushes);
}
