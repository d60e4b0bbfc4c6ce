//! A replica that does not confirm: what is withheld, what is not, and what clients are told.

use super::scene::{ENDLESS, MODES, Scene, is_uncertain};
use crate::harness::{Client, Group, Kind, Value, eventually};
use serde_json::json;

on_both!(
    a_frozen_replica_means_uncertain_and_never_ok,
    only_what_stands_behind_a_withheld_write_waits,
    every_kind_of_write_waits_and_no_refusal_does,
    confirmed_reads_wait_as_well,
    without_the_rights_nothing_is_acknowledged,
    the_process_ends_with_every_reply_given,
);

const SHORT: &str = "60ms";

/// Goal: a write that the replica does not confirm is answered `-UNCERTAIN` in its place, once;
/// it ran; the next is acknowledged again when the replica is back. Metrics agree.
///
/// Method: freeze the only replica, pipeline writes and reads, in either protocol and with either
/// kind of upstream connection; look at the primary; thaw.
fn a_frozen_replica_means_uncertain_and_never_ok(kind: Kind) {
    for mode in MODES {
        let scene = Scene::start(kind, 1, mode, &json!({ "timeout": SHORT }));
        let mut wrote = 0;
        for resp3 in [false, true] {
            let mut client = scene.guarded_as(resp3);
            assert_eq!(client.call(&["SET", "k", "before"]), "+OK");
            assert_eq!(scene.replica().call(&["GET", "k"]), "before", "it was confirmed");
            scene.replica().freeze();
            client.send_all(&[
                &["GET", "k"],
                &["SET", "k", "one"],
                &["GET", "k"],
                &["APPEND", "k", "two"],
                &["ECHO", "last"],
            ]);
            let replies = client.read_n(5);
            assert_eq!(replies[0], "before");
            assert!(is_uncertain(&replies[1]), "{mode}: {}", replies[1]);
            assert_eq!(replies[2], "one");
            assert!(is_uncertain(&replies[3]), "{mode}: {}", replies[3]);
            assert_eq!(replies[4], "last");
            assert_eq!(
                replies[1].error(),
                Some(
                    "UNCERTAIN Segue: executed on the primary, not confirmed by 1 replica within \
                     60ms"
                )
            );
            assert_eq!(scene.group.primary.call(&["GET", "k"]), "onetwo", "each ran once");
            scene.replica().thaw();
            eventually("writes are confirmed again", || {
                wrote += 1;
                let reply = client.call(&["SET", "k", "after"]);
                assert!(reply == "+OK" || is_uncertain(&reply), "{reply}");
                (reply == "+OK").then_some(())
            });
            assert_eq!(scene.replica().call(&["GET", "k"]), "after");
            wrote += 3;
        }
        let count = |outcome: &str| {
            let series = format!("segue_guarded_writes_total{{outcome=\"{outcome}\"}}");
            scene.proxy.metric(&series) as usize
        };
        // Counted at the end of a turn, a moment after its replies have left.
        eventually("every write is counted once", || {
            (count("confirmed") + count("uncertain") == wrote).then_some(())
        });
        let uncertain = scene.proxy.metric("segue_commands_uncertain_total") as usize;
        assert_eq!(uncertain, count("uncertain"));
        assert_eq!(scene.proxy.metric("segue_withheld_replies"), 0.0);
        assert_eq!(scene.proxy.metric("segue_withheld_bytes"), 0.0);
    }
}

/// Goal: a withheld write delays what its own session sent behind it, and nobody else: not other
/// sessions of the listener that read, not a plain listener; and order is kept.
///
/// Method: with a promise that outlasts the test, freeze the replica, write on one session; all
/// the others are answered while that one hears nothing. Thaw: it hears everything, in order.
fn only_what_stands_behind_a_withheld_write_waits(kind: Kind) {
    for mode in MODES {
        let scene = Scene::start(kind, 1, mode, &json!({ "timeout": ENDLESS }));
        let mut writer = scene.guarded();
        let mut reader = scene.guarded();
        let mut plain = scene.proxy.client();
        assert_eq!(writer.call(&["SET", "k", "0"]), "+OK");
        scene.replica().freeze();
        writer.send_all(&[&["INCR", "k"], &["GET", "k"], &["ECHO", "x"]]);
        eventually("the write is withheld", || {
            (scene.proxy.metric("segue_withheld_replies") > 0.0).then_some(())
        });
        for _ in 0..20 {
            assert_eq!(reader.call(&["GET", "k"]), "1", "reads see what is not confirmed");
            assert_eq!(plain.call(&["SET", "p", "1"]), "+OK");
        }
        writer.send_all(&[&["INCR", "k"]]);
        assert_eq!(reader.call(&["ECHO", "still"]), "still");
        assert!(writer.is_silent(), "{mode}: nothing is delivered before it is confirmed");
        scene.replica().thaw();
        let replies: Vec<_> = writer.read_n(4).iter().map(Value::to_string).collect();
        assert_eq!(replies, [":1", "1", "x", ":2"]);
        assert_eq!(scene.replica().call(&["GET", "k"]), "2");
    }
}

/// Goal: whatever may have written waits: plain commands, transactions, scripts, functions,
/// blocking pops that were served, unknown commands; what proves that nothing was written does
/// not: refusals, aborted transactions, pops that were not served.
///
/// Method: one of each with the replica frozen.
fn every_kind_of_write_waits_and_no_refusal_does(kind: Kind) {
    for mode in MODES {
        let scene = Scene::start(kind, 1, mode, &json!({ "timeout": SHORT }));
        let node = scene.group.primary.client();
        let mut client = scene.guarded();
        assert_eq!(client.call(&["SET", "text", "x"]), "+OK");
        scene.replica().freeze();
        writes_wait(&mut client, node);
        // From here on a round lasts for longer than the test: no refusal may wait for one.
        drop(client);
        scene.replica().thaw();
        let scene = Scene::start(kind, 1, mode, &json!({ "timeout": ENDLESS }));
        let mut client = scene.guarded();
        assert_eq!(client.call(&["SET", "text", "x"]), "+OK");
        scene.replica().freeze();
        refusals_pass(&mut client);
        scene.replica().thaw();
    }
}

#[track_caller]
fn writes_wait(client: &mut Client, mut node: Client) {
    let script = "redis.call('SET', 'k', ARGV[1]) return redis.error_reply('ERR as I like')";
    for command in [
        &["DEL", "nothing"][..],
        &["SET", "text", "y", "NX"],
        &["EVAL", "return redis.call('SET', 'k', 'v')", "0"],
        &["EVAL", script, "0", "v"],
        &["PUBLISH", "c", "m"],
        &["FLUSHDB"],
    ] {
        let reply = client.call(command);
        assert!(is_uncertain(&reply), "{command:?}: {reply}");
    }
    client.send_all(&[&["MULTI"], &["SET", "k", "v"], &["GET", "k"], &["EXEC"], &["GET", "k"]]);
    let replies = client.read_n(5);
    assert_eq!(replies[0], "+OK");
    assert_eq!(replies[1], "+QUEUED");
    assert!(is_uncertain(&replies[3]), "{}", replies[3]);
    assert_eq!(replies[4], "v");

    client.send_all(&[&["BLPOP", "list", "0"]]);
    eventually("it waits at the node", || {
        (node.call(&["RPUSH", "list", "element"]).integer() == 1
            || node.call(&["LLEN", "list"]) == ":0")
            .then_some(())
    });
    let reply = client.read();
    assert!(is_uncertain(&reply), "a pop that was served: {reply}");
    eventually("it was served once", || (node.call(&["LLEN", "list"]) == ":0").then_some(()));
}

#[track_caller]
fn refusals_pass(client: &mut Client) {
    let begins = |reply: &Value, text: &str| {
        let error = reply.error().unwrap_or_default().to_owned();
        assert!(error.starts_with(text), "{reply}");
    };
    begins(&client.call(&["LPUSH", "text", "x"]), "WRONGTYPE ");
    begins(&client.call(&["SET", "text"]), "ERR wrong number of arguments");
    begins(&client.call(&["INCR", "text"]), "ERR value is not an integer");
    begins(&client.call(&["NOSUCHCOMMAND"]), "ERR unknown command");
    assert_eq!(client.call(&["BLPOP", "none", "0.01"]), "(null)");
    client.send_all(&[&["MULTI"], &["SET", "k"], &["EXEC"]]);
    begins(&client.read_n(3)[2], "EXECABORT ");
    client.send_all(&[&["MULTI"], &["SET", "k", "v"], &["DISCARD"]]);
    assert_eq!(client.read_n(3)[2], "+OK");
    client.send_all(&[&["SELECT", "1"], &["SUBSCRIBE", "c"], &["UNSUBSCRIBE", "c"], &["PING"]]);
    assert_eq!(client.read_n(4)[3], "+PONG");
}

/// Goal: with `reads: confirmed` a reader is told nothing that a failover can take back.
///
/// Method: with the replica frozen, a value that only the primary has is read on a listener of
/// either kind.
fn confirmed_reads_wait_as_well(kind: Kind) {
    for mode in MODES {
        let promise = json!({ "timeout": SHORT, "reads": "confirmed" });
        let scene = Scene::start(kind, 1, mode, &promise);
        let mut client = scene.guarded();
        assert_eq!(client.call(&["SET", "k", "safe"]), "+OK");
        assert_eq!(client.call(&["GET", "k"]), "safe");
        scene.replica().freeze();
        let mut plain = scene.proxy.client();
        assert_eq!(plain.call(&["SET", "k", "unsafe"]), "+OK");
        assert_eq!(plain.call(&["GET", "k"]), "unsafe");
        client.send_all(&[&["GET", "k"], &["LLEN", "k"], &["ECHO", "x"]]);
        let replies = client.read_n(3);
        assert_eq!(
            replies[0].error(),
            Some("UNCERTAIN Segue: read on the primary, not confirmed by 1 replica within 60ms")
        );
        assert!(replies[1].error().is_some_and(|it| it.starts_with("WRONGTYPE ")));
        scene.replica().thaw();
        eventually("reads are confirmed again", || {
            (client.call(&["GET", "k"]) == "unsafe").then_some(())
        });
        assert_eq!(scene.replica().call(&["GET", "k"]), "unsafe");
        assert!(scene.proxy.metric("segue_guarded_reads_total{outcome=\"uncertain\"}") > 0.0);
        assert!(scene.proxy.metric("segue_guarded_reads_total{outcome=\"confirmed\"}") > 0.0);
    }
}

/// Goal: a user of Segue's own that may not ask replicas makes no write look safe, and the log
/// says what is missing; with the right given, writes are acknowledged without a restart.
///
/// Method: take `WAIT` away from the default user that Segue logs in as; give it back.
fn without_the_rights_nothing_is_acknowledged(kind: Kind) {
    let group = Group::start(kind, 1);
    group.primary.call(&["ACL", "SETUSER", "default", "-wait"]);
    let scene = Scene::with(group, "dedicated", &json!({ "timeout": SHORT }), |_| {});
    scene.proxy.announce(&["\"Guarded writes cannot be confirmed"]);
    let mut client = scene.guarded();
    let reply = client.call(&["SET", "k", "v"]);
    assert!(is_uncertain(&reply), "{reply}");
    eventually("the log says why", || {
        (scene.proxy.logged("the primary refuses WAIT: NOPERM") > 0).then_some(())
    });
    assert_eq!(scene.proxy.client().call(&["SET", "k", "plain"]), "+OK");
    scene.group.primary.call(&["ACL", "SETUSER", "default", "+wait"]);
    eventually("writes are acknowledged", || {
        (client.call(&["SET", "k", "safe"]) == "+OK").then_some(())
    });
    assert_eq!(scene.replica().call(&["GET", "k"]), "safe");
}

/// Goal: neither `QUIT` nor the end of the process takes a withheld reply away.
///
/// Method: with the replica frozen, write and say `QUIT` at once; write on another session and end
/// Segue; thaw.
fn the_process_ends_with_every_reply_given(kind: Kind) {
    for mode in MODES {
        let mut scene = Scene::start(kind, 1, mode, &json!({ "timeout": ENDLESS }));
        let (mut quits, mut writer) = (scene.guarded(), scene.guarded());
        assert_eq!(writer.call(&["SET", "k", "0"]), "+OK");
        scene.replica().freeze();
        quits.send_all(&[&["INCR", "k"], &["QUIT"]]);
        writer.send_all(&[&["INCR", "k"]]);
        eventually("both are withheld", || {
            (scene.proxy.metric("segue_withheld_replies") as usize == 2).then_some(())
        });
        scene.proxy.terminate();
        eventually("it drains", || (scene.proxy.logged("Stopped accepting") > 0).then_some(()));
        assert!(quits.is_silent() && writer.is_silent());
        scene.replica().thaw();
        let mut replies = [quits.read().integer(), writer.read().integer()];
        replies.sort_unstable();
        assert_eq!(replies, [1, 2]);
        assert_eq!(quits.read_to_end(), b"+OK\r\n");
        assert_eq!(writer.read_to_end(), b"");
        assert!(scene.proxy.wait_ended().success());
    }
}
