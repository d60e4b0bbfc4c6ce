//! An operator changes the primary of a guarded group.

use super::scene::{ENDLESS, MODES, Scene, Writers, is_uncertain};
use crate::harness::{Kind, eventually};
use serde_json::json;

on_both!(
    a_failover_loses_no_acknowledged_write,
    a_failover_makes_uncertain_what_was_withheld_and_holds_the_rest,
    a_switchover_waits_for_what_is_withheld_and_holds_the_rest,
);

/// Goal: `segue failover` loses no acknowledged write, although the primary lives and others go on
/// following it for a moment.
///
/// Method: order it under guarded load, there and back; each key is looked for on who serves.
fn a_failover_loses_no_acknowledged_write(kind: Kind) {
    for mode in MODES {
        let scene = Scene::start(kind, 2, mode, &json!({ "timeout": "5s" }));
        let load = Writers::start(scene.guarded_addr(), 4, 16);
        load.wait(1_000);
        for to in ["b", "a"] {
            eventually("it is carried out", || {
                let (code, account) = scene.proxy.order(&["failover", "--yes", "--to", to]);
                assert!(code == Some(0) || account["outcome"] == "refused", "{account}");
                (code == Some(0)).then_some(())
            });
            scene.proxy.wait_primary(to);
            load.wait(1_000);
        }
        let told = load.finish();
        assert!(scene.group.primary.is_primary());
        told.check(&scene.group.primary);
        // At most one pipeline of each client was in flight, each time.
        assert!(told.uncertain.len() <= 2 * 4 * 16, "{} uncertain", told.uncertain.len());
    }
}

/// Goal: a write that is withheld when the primary is given up is `-UNCERTAIN`, once, in its place;
/// a command that comes while nobody serves waits and runs on the new primary only.
///
/// Method: two confirmations asked for and one replica frozen: the write stays withheld. Another
/// session writes while the gate is held, which lasts for as long as the candidate is frozen, too.
fn a_failover_makes_uncertain_what_was_withheld_and_holds_the_rest(kind: Kind) {
    for mode in MODES {
        let promise = json!({ "replicas": 2, "timeout": ENDLESS });
        let scene = Scene::start(kind, 2, mode, &promise);
        scene.proxy.announce(&["\"Node is suspect\"", "\"The failover"]);
        let (mut first, mut second) = (scene.guarded(), scene.proxy.client());
        assert_eq!(first.call(&["SET", "k", "0"]), "+OK");
        scene.group.wait_in_sync();
        scene.group.replicas[1].freeze();
        first.send_all(&[&["INCR", "k"], &["GET", "k"]]);
        eventually("it is withheld, and the candidate has it", || {
            let withheld = scene.proxy.metric("segue_withheld_replies") as usize;
            (withheld >= 1 && scene.replica().call(&["GET", "k"]) == "1").then_some(())
        });
        let (code, account) = scene.proxy.order(&["failover", "--yes", "--to", "b"]);
        assert_eq!(code, Some(0), "{account}");
        let replies = first.read_n(2);
        assert!(is_uncertain(&replies[0]), "{}", replies[0]);
        assert!(replies[0].to_string().contains("lost before 2 replicas"), "{}", replies[0]);
        assert_eq!(replies[1], "1", "what was uncertain happens to be there");
        assert_eq!(second.call(&["INCR", "k"]), ":2");
        assert_eq!(scene.replica().call(&["GET", "k"]), "2");
        scene.group.replicas[1].thaw();
        assert!(!scene.group.primary.is_primary() && scene.replica().is_primary());
    }
}

/// Goal: a switchover waits for what is withheld, and answers it `OK`; what comes while the gate is
/// held is silent, touches no node, and runs where the switchover ends.
///
/// Method: one replica frozen keeps a write withheld, and so the switchover in its drain phase; a
/// second session writes meanwhile; thaw.
fn a_switchover_waits_for_what_is_withheld_and_holds_the_rest(kind: Kind) {
    for mode in MODES {
        let promise = json!({ "replicas": 2, "timeout": ENDLESS });
        let scene = Scene::start(kind, 2, mode, &promise);
        scene.proxy.announce(&["\"The switchover did not succeed\"", "\"Node is suspect\""]);
        let (mut first, mut second) = (scene.guarded(), scene.guarded());
        assert_eq!(first.call(&["SET", "k", "0"]), "+OK");
        scene.group.wait_in_sync();
        scene.group.replicas[1].freeze();
        first.send_all(&[&["INCR", "k"]]);
        eventually("it is withheld", || {
            (scene.proxy.metric("segue_withheld_replies") as usize == 1).then_some(())
        });
        let (code, account) = std::thread::scope(|scope| {
            let switchover = scope.spawn(|| scene.proxy.order(&["switchover", "--to", "b"]));
            eventually("commands are held", || {
                (scene.proxy.status()["gate_open"] == false || switchover.is_finished())
                    .then_some(())
            });
            second.send_all(&[&["INCR", "k"]]);
            eventually("its command is held", || {
                let held = scene.proxy.status()["held"]["commands"] == 1;
                (held || switchover.is_finished()).then_some(())
            });
            let there = scene.group.primary.call(&["GET", "k"]);
            let is_held = scene.proxy.status()["gate_open"] == false;
            assert!(there == "1" || !is_held, "{there} although commands are held");
            assert!(first.is_silent() && second.is_silent());
            scene.group.replicas[1].thaw();
            switchover.join().expect("the command runs")
        });
        // Where the machine was too slow for the drain phase, it was taken back by itself.
        let is_done = code == Some(0);
        assert!(is_done || account["outcome"] == "rolled_back", "{account}");
        assert_eq!((first.read(), second.read()), (int(1), int(2)));
        assert_eq!(scene.replica().is_primary(), is_done);
        assert_eq!(scene.proxy.metric("segue_commands_uncertain_total"), 0.0);
    }
}

const fn int(value: i64) -> crate::harness::Value {
    crate::harness::Value::Integer(value)
}
