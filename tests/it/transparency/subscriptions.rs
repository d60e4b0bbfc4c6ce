//! Row 3: subscribers stay subscribed, at once, with nothing repeated and nothing mixed up.

use super::{Change, Scene};
use crate::harness::{Client, Kind, Value, eventually};
use serde_json::json;

on_both!(
    subscribers_stay_subscribed,
    a_resp2_subscriber_keeps_its_restricted_mode,
    counts_and_names_go_on_where_they_were,
    subscribing_while_nobody_is_primary_is_confirmed_once,
    a_gap_is_counted_and_announced_on_request,
    a_subscriber_in_resp3_goes_on_with_commands,
);

/// Publishes on the primary itself until somebody listens, and says how many did.
#[track_caller]
fn publish(scene: &Scene, command: &str, channel: &str, text: &str, listeners: i64) {
    eventually(&format!("{listeners} subscribers of {channel}"), || {
        let numbers = match command {
            "SPUBLISH" => scene.primary().call(&["PUBSUB", "SHARDNUMSUB", channel]),
            _ => scene.primary().call(&["PUBSUB", "NUMSUB", channel]),
        };
        (numbers.items()[1].integer() == listeners).then_some(())
    });
    scene.primary().call(&[command, channel, text]);
}

/// Goal: after a change, and without a word from the client, messages of all three kinds arrive,
/// each once, and nothing else does.
///
/// Method: a subscriber in each protocol; publish on the new primary itself.
fn subscribers_stay_subscribed(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut sessions = scene.both_protocols();
    for session in &mut sessions {
        for (command, name) in [("SUBSCRIBE", "c"), ("PSUBSCRIBE", "p*"), ("SSUBSCRIBE", "s")] {
            session.send_all(&[&[command, name]]);
            let confirmed = session.read_any().to_string();
            assert!(confirmed.starts_with(&format!("[{}, {name}, :", command.to_lowercase())));
        }
    }
    for change in Change::ALL {
        scene.change(change);
        scene.wait_served();
        publish(&scene, "PUBLISH", "c", "one", 2);
        publish(&scene, "PUBLISH", "pattern", "two", 0);
        publish(&scene, "SPUBLISH", "s", "three", 2);
        for session in &mut sessions {
            assert_eq!(session.read_any(), "[message, c, one]", "{change:?}");
            assert_eq!(session.read_any(), "[pmessage, p*, pattern, two]");
            assert_eq!(session.read_any(), "[smessage, s, three]");
            assert!(session.is_silent());
        }
        scene.recover();
    }
}

/// Goal: a RESP2 subscriber may do after a change what it might before, and no more.
///
/// Method: `PING` in the form of the mode, a refused command, `UNSUBSCRIBE` out of the mode.
fn a_resp2_subscriber_keeps_its_restricted_mode(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut session = scene.client();
    for change in Change::ALL {
        assert_eq!(session.call(&["SUBSCRIBE", "c"]), "[subscribe, c, :1]");
        scene.change(change);
        assert_eq!(session.call(&["PING"]), "[pong, ]", "{change:?}");
        let refused = session.call(&["GET", "k"]);
        assert!(refused.error().is_some_and(|it| it.contains("allowed in this context")));
        assert_eq!(session.call(&["UNSUBSCRIBE"]), "[unsubscribe, c, :0]");
        assert_eq!(session.call(&["UNSUBSCRIBE"]), "[unsubscribe, (null), :0]");
        assert_eq!(session.call(&["SET", "k", "v"]), "+OK");
        scene.recover();
    }
}

/// Goal: the counts in later confirmations, and `UNSUBSCRIBE` without names, are those of a
/// session to which nothing happened.
///
/// Method: two channels, a pattern and a shard channel; then, after the change, more and fewer.
fn counts_and_names_go_on_where_they_were(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut sessions = scene.both_protocols();
    for change in Change::ALL {
        for session in &mut sessions {
            session.send_all(&[
                &["SUBSCRIBE", "a", "b", "a"],
                &["PSUBSCRIBE", "p*"],
                &["SSUBSCRIBE", "s"],
            ]);
            let counts: Vec<_> = (0..5).map(|_| count(&session.read_any())).collect();
            assert_eq!(counts, [1, 2, 2, 3, 1]);
        }
        scene.change(change);
        for session in &mut sessions {
            session.send_all(&[&["SUBSCRIBE", "c", "a"], &["UNSUBSCRIBE", "none"]]);
            assert_eq!(session.read_any(), "[subscribe, c, :4]", "{change:?}");
            assert_eq!(session.read_any(), "[subscribe, a, :4]", "{change:?}");
            assert_eq!(session.read_any(), "[unsubscribe, none, :4]", "{change:?}");
            session.send_all(&[&["UNSUBSCRIBE"], &["PUNSUBSCRIBE"], &["SUNSUBSCRIBE"]]);
            let mut frames: Vec<_> = (0..5).map(|_| session.read_any().to_string()).collect();
            assert!(frames[2].ends_with(":1]"), "{frames:?}");
            assert_eq!(frames[3..], ["[punsubscribe, p*, :0]", "[sunsubscribe, s, :0]"]);
            frames.truncate(3);
            for name in ["a", "b", "c"] {
                assert!(frames.iter().any(|it| it.starts_with(&format!("[unsubscribe, {name}, "))));
            }
            assert_eq!(session.call(&["ECHO", "done"]), "done");
        }
        scene.recover();
    }
}

fn count(confirmation: &Value) -> i64 {
    confirmation.items()[2].integer()
}

/// Goal: a `SUBSCRIBE` that is sent while nobody is primary is confirmed once a name, in order.
///
/// Method: freeze, subscribe, read; then everything arrives once.
fn subscribing_while_nobody_is_primary_is_confirmed_once(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut sessions = scene.both_protocols();
    for session in &mut sessions {
        assert_eq!(session.call(&["PING"]), "+PONG");
    }
    scene.stop();
    for session in &mut sessions {
        session.send_all(&[&["SUBSCRIBE", "a", "b"], &["PING"], &["SUBSCRIBE", "c"]]);
    }
    for session in &mut sessions {
        assert_eq!(session.read_any(), "[subscribe, a, :1]");
        assert_eq!(session.read_any(), "[subscribe, b, :2]");
        let pong = session.read_any();
        assert!(pong == "[pong, ]" || pong == "+PONG", "{pong}");
        assert_eq!(session.read_any(), "[subscribe, c, :3]");
    }
    publish(&scene, "PUBLISH", "b", "once", 2);
    for session in &mut sessions {
        assert_eq!(session.read_any(), "[message, b, once]");
        assert!(session.is_silent());
    }
    scene.recover();
}

/// Goal: what may have been missed is counted, and with `sessions.gap_channel` whoever listens
/// there is told, once for each change.
///
/// Method: three subscribers, two of them of the channel that the configuration names.
fn a_gap_is_counted_and_announced_on_request(kind: Kind) {
    let mut scene = Scene::start_with(kind, &[], |it| {
        it["sessions"]["gap_channel"] = json!("segue:gap");
    });
    let mut told = scene.both_protocols();
    let mut other = scene.client();
    assert_eq!(other.call(&["SUBSCRIBE", "c"]), "[subscribe, c, :1]");
    for session in &mut told {
        session.send_all(&[&["SUBSCRIBE", "segue:gap"]]);
        assert_eq!(session.read_any(), "[subscribe, segue:gap, :1]");
    }
    for (round, change) in Change::ALL.into_iter().enumerate() {
        scene.change(change);
        for session in &mut told {
            assert_eq!(session.read_any(), "[message, segue:gap, gap]", "{change:?}");
        }
        scene.recover();
        let gaps = scene.proxy.metric("segue_subscription_gaps_total");
        assert!((gaps - 3.0 * (round + 1) as f64).abs() < f64::EPSILON, "{gaps}");
    }
    assert!(other.is_silent());
    assert!(told.iter().all(Client::is_silent));
}

/// Goal: in RESP3 commands and messages go on side by side, and no reply is taken for a message.
///
/// Method: pipelines with commands whose replies look like messages, across every change, while
/// somebody publishes through Segue.
fn a_subscriber_in_resp3_goes_on_with_commands(kind: Kind) {
    let mut scene = Scene::start(kind);
    let [mut publisher, mut session] = scene.both_protocols();
    session.send_all(&[&["SUBSCRIBE", "c"]]);
    assert_eq!(session.read_any(), "[subscribe, c, :1]");
    session.call(&["RPUSH", "like", "message", "c", "no message"]);
    for change in Change::ALL {
        scene.change(change);
        for n in 0..20 {
            let text = n.to_string();
            publisher.send_all(&[&["PUBLISH", "c", &text]]);
            session.send_all(&[&["LRANGE", "like", "0", "-1"], &["ECHO", &text]]);
            assert_eq!(session.read(), "[message, c, no message]", "{change:?}");
            assert_eq!(session.read(), text.as_str());
            assert!(publisher.read().integer() <= 1);
        }
        scene.recover();
    }
    assert!(session.pushes.iter().all(|it| it.to_string().starts_with("[message, c, ")));
    assert!(session.pushes.len() > 20);
}
