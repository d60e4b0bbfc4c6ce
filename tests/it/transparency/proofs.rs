//! Row 9: what proves that a command did not run is never shown; what only looks like it is
//! passed on unchanged.

use super::{Change, Scene, patient};
use crate::harness::{Kind, Server, Value, eventually};
use serde_json::json;

on_both!(
    forged_errors_pass_unchanged,
    a_script_that_writes_on_a_demoted_node_runs_on_the_new_primary,
    an_aborted_transaction_is_told_by_its_cause,
    too_few_replicas_are_reported_by_default,
    too_few_replicas_are_waited_for_on_request,
    a_primary_that_loads_is_waited_for,
    a_busy_primary_answers_for_itself,
    a_full_primary_answers_for_itself,
    a_primary_that_cannot_save_answers_for_itself,
);

/// Goal: an error that a script makes up reaches the client as it is, once, and the script is not
/// run again.
///
/// Method: scripts that write and then return the servers' own texts.
fn forged_errors_pass_unchanged(kind: Kind) {
    let scene = Scene::start(kind);
    let mut session = scene.client();
    let texts = [
        "READONLY You can't write against a read only replica.",
        "READONLY You can't write against a read only replica. script: me, on @user_script:1.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "LOADING Redis is loading the dataset in memory",
        "LOADING Valkey is loading the dataset in memory",
        "REDIRECT 127.0.0.1:6379",
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> \
         replica?)",
        "EXECABORT Transaction discarded because of: READONLY me",
        "NOREPLICAS Not enough good replicas to write.",
    ];
    for (round, text) in texts.into_iter().enumerate() {
        let script = "redis.call('INCR', KEYS[1]); return redis.error_reply(ARGV[1])";
        let reply = session.call(&["EVAL", script, "1", "k", text]);
        let shown = reply.error().unwrap_or_default();
        assert!(shown.starts_with(text), "{shown}");
        let count = (round + 1).to_string();
        assert_eq!(scene.primary().call(&["GET", "k"]), count.as_str(), "{text}");
    }
    assert_eq!(scene.proxy.status()["epoch"], 1);
}

/// Goal: a script that writes and meets a node that has just been demoted runs on the new
/// primary, once; `-READONLY` is not shown.
///
/// Method: scripts of all forms, alone and in a pipeline, sent before Segue can know.
fn a_script_that_writes_on_a_demoted_node_runs_on_the_new_primary(kind: Kind) {
    const PLAIN: &str = "return redis.call('INCR', KEYS[1])";
    const DECLARED: &str = "#!lua\nreturn redis.call('INCR', KEYS[1])";
    let mut scene = Scene::start(kind);
    let mut sessions: Vec<_> = (0..3).map(|_| scene.client()).collect();
    let sha = sessions[0].call(&["SCRIPT", "LOAD", PLAIN]).text();
    for round in 0..3 {
        for session in &mut sessions {
            assert_eq!(session.call(&["PING"]), "+PONG");
        }
        scene.change(Change::Demoted);
        for (n, session) in sessions.iter_mut().enumerate() {
            let key = format!("{round}:{n}");
            let calls: [&[&str]; 3] = [
                &["EVAL", PLAIN, "1", &key],
                &["EVAL", DECLARED, "1", &key],
                &["EVALSHA", &sha, "1", &key],
            ];
            session.send_all(&[calls[n], &["GET", &key], calls[n], &["PING"]]);
        }
        for session in &mut sessions {
            let replies: Vec<_> = session.read_n(4).iter().map(Value::to_string).collect();
            assert_eq!(replies, [":1", "1", ":2", "+PONG"]);
        }
        scene.recover();
    }
}

/// Goal: `-EXECABORT` because the node was demoted is dealt with; any other is shown.
///
/// Method: queue a write, demote, `EXEC`; and a transaction with an error of its own.
fn an_aborted_transaction_is_told_by_its_cause(kind: Kind) {
    const OWN: &str = "-EXECABORT Transaction discarded because of previous errors.";
    let mut scene = Scene::start(kind);
    let mut sessions = scene.both_protocols();
    for round in 1..=3 {
        for session in &mut sessions {
            assert_eq!(session.call(&["MULTI"]), "+OK");
            assert_eq!(session.call(&["INCR", "k"]), "+QUEUED");
        }
        scene.change(Change::Demoted);
        for (n, session) in sessions.iter_mut().enumerate() {
            session.send_all(&[&["EXEC"], &["MULTI"], &["NOSUCHCOMMAND"], &["EXEC"]]);
            let replies = session.read_n(4);
            assert_eq!(replies[0], format!("[:{}]", 2 * (round - 1) + n + 1).as_str());
            assert_eq!(replies[3], OWN);
        }
        scene.recover();
    }
}

const TOO_FEW: &str = "-NOREPLICAS Not enough good replicas to write.";

fn demand_replicas(node: &Server, count: &str) {
    assert_eq!(node.call(&["CONFIG", "SET", "min-replicas-to-write", count]), "+OK");
}

/// Goal: `-NOREPLICAS` is shown as it is, which is the default.
///
/// Method: demand more replicas than there are.
fn too_few_replicas_are_reported_by_default(kind: Kind) {
    let scene = Scene::start(kind);
    let mut session = scene.client();
    demand_replicas(scene.primary(), "5");
    assert_eq!(session.call(&["SET", "k", "v"]), TOO_FEW);
    session.send_all(&[&["MULTI"], &["SET", "k", "v"], &["EXEC"], &["GET", "k"]]);
    let replies = session.read_n(4);
    assert_eq!(replies[1], TOO_FEW);
    assert!(replies[2].error().is_some_and(|it| it.starts_with("EXECABORT ")));
    assert_eq!(replies[3], "(null)");
}

/// Goal: with `sessions.noreplicas: hold` the write waits until there are enough, and gets the
/// server's own error after `hold.timeout`.
///
/// Method: demand too many, write, demand fewer; and leave it so for longer than the hold.
fn too_few_replicas_are_waited_for_on_request(kind: Kind) {
    let scene = Scene::start_with(kind, &[], |it| {
        it["sessions"]["noreplicas"] = json!("hold");
        it["hold"]["timeout"] = json!("2s");
    });
    let mut session = scene.client();
    demand_replicas(scene.primary(), "5");
    session.send_all(&[&["INCR", "k"], &["GET", "k"]]);
    eventually("it was refused", || {
        let proofs = "segue_nonexecution_proofs_total{kind=\"noreplicas\"}";
        (scene.proxy.metric(proofs) > 1.0).then_some(())
    });
    assert!(session.is_silent());
    demand_replicas(scene.primary(), "0");
    assert_eq!(session.read(), ":1");
    assert_eq!(session.read(), "1");
    demand_replicas(scene.primary(), "5");
    assert_eq!(session.call(&["INCR", "k"]), TOO_FEW);
    assert_eq!(session.call(&["GET", "k"]), "1");
    assert_eq!(scene.proxy.status()["epoch"], 1);
}

const LOAD_SLOWLY: [&str; 4] =
    ["--key-load-delay", "300", "--loading-process-events-interval-bytes", "1024"];

/// Goal: a command that meets a primary in the middle of loading waits, and is never answered
/// `-LOADING`.
///
/// Method: `DEBUG RELOAD` of enough data that commands come in between; reads all the while.
fn a_primary_that_loads_is_waited_for(kind: Kind) {
    let scene = Scene::start_with(kind, &LOAD_SLOWLY, |it| {
        it["health"]["loading_after"] = json!("60s");
    });
    let mut session = scene.client();
    let fill = "for n = 1, 3000 do redis.call('SET', 'fill:' .. n, n) end";
    assert_eq!(scene.primary().call(&["EVAL", fill, "0"]), "(null)");
    scene.settle();
    let mut admin = scene.primary().client();
    admin.send_all(&[&["DEBUG", "RELOAD"]]);
    // The first of these meets the load before a probe does.
    while admin.is_silent() {
        assert_eq!(session.call(&["GET", "fill:3000"]), "3000");
    }
    let proofs = "segue_nonexecution_proofs_total{kind=\"loading\"}";
    assert!(scene.proxy.metric(proofs) >= 1.0, "it was met");
    assert_eq!(admin.read(), "+OK");
}

/// Goal: `-BUSY` is shown: the node is the primary, and only its administrator can help.
///
/// Method: a script that does not end, with a short limit; then it is killed.
fn a_busy_primary_answers_for_itself(kind: Kind) {
    let limit = ["--lua-time-limit", "50"];
    let scene = Scene::start_with(kind, &limit, patient);
    scene.proxy.announce(&["\"Node answers, and something is wrong with it\""]);
    let mut session = scene.client();
    assert_eq!(session.call(&["PING"]), "+PONG");
    let mut busy = scene.primary().client();
    busy.send_all(&[&["EVAL", "while true do end", "0"]]);
    eventually("it is busy", || {
        let reply = scene.primary().call(&["GET", "k"]);
        reply.error().is_some_and(|it| it.starts_with("BUSY ")).then_some(())
    });
    let shown = session.call(&["GET", "k"]);
    assert!(shown.error().is_some_and(|it| it.starts_with("BUSY ")), "{shown}");
    assert_eq!(session.call(&["SCRIPT", "KILL"]), "+OK");
    assert!(busy.read().error().is_some());
    assert_eq!(session.call(&["GET", "k"]), "(null)");
}

/// Goal: `-OOM` is shown: a failover would not make memory.
///
/// Method: a limit that is reached already.
fn a_full_primary_answers_for_itself(kind: Kind) {
    let scene = Scene::start(kind);
    let mut session = scene.client();
    assert_eq!(scene.primary().call(&["CONFIG", "SET", "maxmemory", "1"]), "+OK");
    let shown = session.call(&["SET", "k", "v"]);
    assert_eq!(shown, "-OOM command not allowed when used memory > 'maxmemory'.");
    assert_eq!(session.call(&["GET", "k"]), "(null)");
    assert_eq!(scene.proxy.status()["epoch"], 1);
}

/// Goal: `-MISCONF` is shown: the operator asked the server to refuse writes then.
///
/// Method: a snapshot that cannot be written.
fn a_primary_that_cannot_save_answers_for_itself(kind: Kind) {
    let scene = Scene::start_with(kind, &["--enable-protected-configs", "yes"], |_| {});
    scene.proxy.announce(&["\"Node answers, and something is wrong with it\""]);
    let mut session = scene.client();
    for (name, value) in [("save", "3600 1"), ("dir", "/proc")] {
        assert_eq!(scene.primary().call(&["CONFIG", "SET", name, value]), "+OK");
    }
    scene.primary().call(&["BGSAVE"]);
    eventually("writes are refused", || {
        let shown = session.call(&["SET", "k", "v"]);
        shown.error().is_some_and(|it| it.starts_with("MISCONF ")).then_some(())
    });
    assert_eq!(scene.proxy.status()["epoch"], 1);
}
