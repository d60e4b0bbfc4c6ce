//! The primary is lost or replaced: what was acknowledged is there, and who lacks it is not
//! promoted.

use super::scene::{ENDLESS, MODES, Scene, Told, Writers, is_uncertain};
use crate::harness::{Group, Kind, Server, eventually};
use serde_json::json;

on_both!(
    a_killed_primary_loses_no_acknowledged_write,
    a_frozen_primary_loses_no_acknowledged_write,
    who_lacks_acknowledged_writes_is_not_promoted,
    a_new_process_asks_a_quorum,
    what_was_not_confirmed_is_uncertain_after_a_failover,
    a_switchover_costs_guarded_clients_nothing,
);

const SMALL_BACKLOG: [&str; 2] = ["--repl-backlog-size", "1mb"];

/// Makes `b` preferred and leaves it behind: frozen, while the group goes on for longer than
/// buffers reach. What stands in `guarded` was acknowledged, because `c` has it.
fn leave_behind(scene: &Scene) {
    let mut client = scene.guarded();
    assert_eq!(client.call(&["SET", "k", "old"]), "+OK");
    scene.group.wait_in_sync();
    scene.group.replicas[0].freeze();
    client.overfill();
    assert_eq!(client.call(&["SET", "k", "new"]), "+OK");
    assert_eq!(scene.group.replicas[1].call(&["GET", "k"]), "new");
}

/// A group of three in which `b` is preferred.
fn prefer_b(kind: Kind, mode: &str) -> Scene {
    let group = Group::start_with(kind, 2, &SMALL_BACKLOG);
    Scene::with(group, mode, &json!({ "timeout": "5s" }), |it| {
        it["group"]["nodes"][1]["priority"] = json!(1);
        it["failover"]["max_link_down"] = json!("1h");
    })
}

/// Goal: under guarded load, a kill of the primary loses no acknowledged write, although one
/// replica is far behind and preferred by its operator.
///
/// Method: freeze the preferred replica while the others go on for tens of megabytes; load; kill
/// the primary and thaw that replica at once; every acknowledged key is looked for on the new
/// primary itself.
fn a_killed_primary_loses_no_acknowledged_write(kind: Kind) {
    for mode in MODES {
        let mut scene = prefer_b(kind, mode);
        leave_behind(&scene);
        let load = Writers::start(scene.guarded_addr(), 4, 16);
        load.wait(2_000);
        scene.group.primary.kill();
        scene.group.replicas[0].thaw();
        load.wait(2_000);
        let told = load.finish();
        let ahead = &scene.group.replicas[1];
        assert!(ahead.is_primary() && !scene.group.replicas[0].is_primary());
        told.check(ahead);
        assert_eq!(ahead.call(&["GET", "k"]), "new");
        assert!(told.uncertain.len() <= 4 * 16, "{} uncertain", told.uncertain.len());
        eventually("the other catches up", || {
            (scene.group.replicas[0].try_info("replication")?["master_link_status"] == "up"
                && scene.group.replicas[0].call(&["GET", "k"]) == "new")
                .then_some(())
        });
    }
}

/// Goal: the same for a primary that stops without dying, and what it still had to say when it
/// wakes up does not count.
///
/// Method: freeze the primary under guarded load, thaw it when a replica serves.
fn a_frozen_primary_loses_no_acknowledged_write(kind: Kind) {
    for mode in MODES {
        let scene = Scene::start(kind, 1, mode, &json!({ "timeout": "400ms" }));
        let load = Writers::start(scene.guarded_addr(), 4, 16);
        load.wait(1_000);
        scene.group.primary.freeze();
        let promoted = scene.group.promoted();
        scene.group.primary.thaw();
        eventually("the old primary follows", || {
            scene.group.primary.follows(promoted).then_some(())
        });
        // Nobody could confirm anything before it was back.
        load.wait(1_000);
        let told: Told = load.finish();
        told.check(promoted);
        crate::harness::wait_in_sync(promoted, &scene.group.primary);
        told.check(&scene.group.primary);
    }
}

/// Goal: if the only replica that answers lacks what was acknowledged, nobody is promoted, and
/// the status says why; the one that has it takes over as soon as it answers.
///
/// Method: leave one behind, kill the primary, let only that one answer.
fn who_lacks_acknowledged_writes_is_not_promoted(kind: Kind) {
    let mut scene = prefer_b(kind, "dedicated");
    scene.proxy.announce(&["\"A failover takes long\"", "\"The failover takes"]);
    leave_behind(&scene);
    let mut client = scene.guarded();
    let (behind, ahead) = (&scene.group.replicas[0], &scene.group.replicas[1]);
    ahead.freeze();
    scene.proxy.freeze();
    scene.group.primary.kill();
    behind.thaw();
    eventually("it has drained what it had received", || {
        (behind.try_info("replication")?["master_link_status"] == "down").then_some(())
    });
    scene.proxy.thaw();
    eventually("it is refused, and the status says why", || {
        let reason = scene.proxy.status()["reason"].as_str()?.to_owned();
        reason.contains("of writes that were acknowledged as guarded").then_some(())
    });
    assert!(!behind.is_primary());
    ahead.thaw();
    assert_eq!(client.call(&["GET", "k"]), "new");
    assert!(ahead.is_primary() && !behind.is_primary());
}

/// Goal: a Segue that does not know what was acknowledged before it began promotes nobody before
/// enough replicas have said what they have.
///
/// Method: of three nodes, with one confirmation a write, both replicas must be heard: let one be
/// frozen when the primary dies, and a Segue run that has acknowledged nothing.
fn a_new_process_asks_a_quorum(kind: Kind) {
    let mut scene = Scene::start(kind, 2, "dedicated", &json!({}));
    scene.proxy.announce(&["\"A failover takes long\"", "\"The failover takes"]);
    let (first, second) = (&scene.group.replicas[0], &scene.group.replicas[1]);
    second.freeze();
    scene.group.primary.kill();
    eventually("nobody takes over, and the status says why", || {
        let reason = scene.proxy.status()["reason"].as_str()?.to_owned();
        reason.contains("only 1 of 2 replicas that must be heard").then_some(())
    });
    assert!(!first.is_primary());
    second.thaw();
    assert_eq!(scene.proxy.client().call(&["SET", "k", "v"]), "+OK");
    assert!(first.is_primary() != second.is_primary());
}

/// Goal: a write that the old primary had answered and nobody confirmed is `-UNCERTAIN` when
/// another one serves, in its place, and never `OK`.
///
/// Method: freeze one replica of two with two confirmations asked for, write, kill the primary;
/// the promoted replica happens to have the write, and it is uncertain all the same.
fn what_was_not_confirmed_is_uncertain_after_a_failover(kind: Kind) {
    for mode in MODES {
        let promise = json!({ "replicas": 2, "timeout": ENDLESS });
        let mut scene = Scene::start(kind, 2, mode, &promise);
        let mut client = scene.guarded();
        assert_eq!(client.call(&["SET", "k", "0"]), "+OK");
        scene.group.replicas[1].freeze();
        client.send_all(&[&["INCR", "k"], &["GET", "k"]]);
        eventually("it is withheld", || {
            (scene.proxy.metric("segue_withheld_replies") as usize == 1).then_some(())
        });
        eventually("one replica has it", || {
            (scene.group.replicas[0].call(&["GET", "k"]) == "1").then_some(())
        });
        scene.group.primary.kill();
        let replies = client.read_n(2);
        assert!(is_uncertain(&replies[0]), "{}", replies[0]);
        assert!(replies[0].to_string().contains("lost before 2 replicas"), "{}", replies[0]);
        assert_eq!(replies[1], "1");
        scene.group.replicas[1].thaw();
    }
}

/// Goal: a planned change of primary loses nothing, and costs guarded clients no error and no
/// uncertain answer.
///
/// Method: switch over twice under guarded load, there and back.
fn a_switchover_costs_guarded_clients_nothing(kind: Kind) {
    for mode in MODES {
        let group = Group::start_with(kind, 2, &["--repl-diskless-sync-delay", "0"]);
        let scene = Scene::with(group, mode, &json!({ "timeout": "5s" }), |_| {});
        let load = Writers::start(scene.guarded_addr(), 4, 8);
        load.wait(500);
        for to in ["b", "a"] {
            eventually("it is switched", || {
                (scene.proxy.order(&["switchover", "--to", to]).0 == Some(0)).then_some(())
            });
            scene.proxy.wait_primary(to);
            load.wait(500);
        }
        let told = load.finish();
        assert!(told.uncertain.is_empty(), "{} uncertain", told.uncertain.len());
        let serving: &Server = &scene.group.primary;
        assert!(serving.is_primary());
        told.check(serving);
    }
}
