//! Row 6: a script that was seen is never unknown because of a failover.

use super::{Change, Scene};
use crate::harness::{Kind, Value};

on_both!(
    a_script_that_was_seen_is_known_to_the_next_primary,
    a_script_called_in_an_open_transaction_is_known_when_it_runs,
    flushing_forgets_and_strangers_stay_strangers,
    functions_replicate,
);

/// SHA1s of the scripts below, as the server itself names them.
#[track_caller]
fn sha(scene: &Scene, script: &str) -> String {
    let text = scene.primary().call(&["EVAL", "return redis.sha1hex(ARGV[1])", "0", script]).text();
    assert_eq!(text.len(), 40);
    text
}

const LOADED: &str = "return 'loaded ' .. ARGV[1]";
const SEEN: &str = "return 'seen ' .. ARGV[1]";
const IN_MULTI: &str = "return 'in multi ' .. ARGV[1]";

/// Goal: `EVALSHA` (and `EVALSHA_RO`, in pipelines and transactions) finds after a change what
/// was given before by `SCRIPT LOAD` or `EVAL`, by this session or another, also inside `MULTI`;
/// and the new primary then knows it itself.
///
/// Method: the first calls after the change are by SHA; the node's own `SCRIPT EXISTS` afterwards.
fn a_script_that_was_seen_is_known_to_the_next_primary(kind: Kind) {
    let mut scene = Scene::start(kind);
    let [mut giver, mut taker] = scene.both_protocols();
    assert!(giver.call(&["SCRIPT", "LOAD", LOADED]).error().is_none());
    assert_eq!(giver.call(&["EVAL", SEEN, "0", "x"]), "seen x");
    assert_eq!(giver.call(&["MULTI"]), "+OK");
    assert_eq!(giver.call(&["EVAL", IN_MULTI, "0", "x"]), "+QUEUED");
    assert_eq!(giver.call(&["EXEC"]), "[in multi x]");
    let shas = [LOADED, SEEN, IN_MULTI].map(|it| sha(&scene, it));
    for change in Change::ALL {
        scene.change(change);
        scene.wait_served();
        for (sha, word) in shas.iter().zip(["loaded 1", "seen 1", "in multi 1"]) {
            assert_eq!(taker.call(&["EVALSHA_RO", sha, "0", "1"]), word, "{change:?}");
        }
        for session in [&mut taker, &mut giver] {
            session.send_all(&[
                &["EVALSHA", &shas[0], "0", "2"],
                &["MULTI"],
                &["EVALSHA", &shas[1], "0", "3"],
                &["EVALSHA", &shas[0].to_uppercase(), "0", "4"],
                &["EXEC"],
            ]);
            let replies: Vec<_> = session.read_n(5).iter().map(Value::to_string).collect();
            let expected = ["loaded 2", "+OK", "+QUEUED", "+QUEUED", "[seen 3, loaded 4]"];
            assert_eq!(replies, expected, "{change:?}");
        }
        let exist = ["SCRIPT", "EXISTS", &shas[0], &shas[1], &shas[2]];
        assert_eq!(scene.primary().call(&exist), "[:1, :1, :1]", "{change:?}");
        scene.recover();
    }
    assert!(scene.proxy.metric("segue_scripts_reloaded_total") >= 6.0);
}

/// Goal: `EVALSHA` that was queued at the old primary runs at the new one.
///
/// Method: `MULTI`, `EVALSHA`, the change, `EXEC`.
fn a_script_called_in_an_open_transaction_is_known_when_it_runs(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut session = scene.client();
    let given = session.call(&["SCRIPT", "LOAD", LOADED]).text();
    for change in Change::ALL {
        assert_eq!(session.call(&["MULTI"]), "+OK");
        assert_eq!(session.call(&["EVALSHA", &given, "0", "1"]), "+QUEUED");
        scene.change(change);
        assert_eq!(session.call(&["EVALSHA", &given, "0", "2"]), "+QUEUED", "{change:?}");
        assert_eq!(session.call(&["EXEC"]), "[loaded 1, loaded 2]", "{change:?}");
        scene.recover();
    }
}

/// Goal: `SCRIPT FLUSH` empties what Segue would give to the next primary, and a script that
/// nobody gave is `-NOSCRIPT` with the server's own text.
///
/// Method: give, flush, change, call.
fn flushing_forgets_and_strangers_stay_strangers(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut session = scene.client();
    for change in Change::ALL {
        let given = session.call(&["SCRIPT", "LOAD", LOADED]).text();
        assert_eq!(session.call(&["SCRIPT", "FLUSH"]), "+OK");
        scene.change(change);
        let stranger = "0123456789012345678901234567890123456789";
        for sha in [given.as_str(), stranger] {
            let through = session.call(&["EVALSHA", sha, "0"]);
            assert!(through.error().is_some_and(|it| it.starts_with("NOSCRIPT ")), "{change:?}");
            assert_eq!(through, scene.primary().call(&["EVALSHA", sha, "0"]));
        }
        scene.recover();
    }
}

/// Goal: functions are data: they replicate, and a change needs nothing.
///
/// Method: `FUNCTION LOAD` through Segue, the change, `FCALL`.
fn functions_replicate(kind: Kind) {
    const LIBRARY: &str = "#!lua name=lib\nredis.register_function{function_name='f', \
                           callback=function(keys, args) return 'called ' .. args[1] end, \
                           flags={'no-writes'}}";
    let mut scene = Scene::start(kind);
    let mut session = scene.client();
    assert_eq!(session.call(&["FUNCTION", "LOAD", LIBRARY]), "lib");
    for change in Change::ALL {
        scene.change(change);
        assert_eq!(session.call(&["FCALL", "f", "0", "1"]), "called 1", "{change:?}");
        assert_eq!(session.call(&["FCALL_RO", "f", "0", "2"]), "called 2", "{change:?}");
        scene.recover();
    }
}
