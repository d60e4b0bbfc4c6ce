//! Another process than the one that Segue has looked at is at the primary's address.

use super::scene::{MODES, Scene, is_uncertain};
use crate::harness::{Group, Kind, Relay, eventually};
use serde_json::json;

on_both!(only_the_process_that_was_looked_at_confirms,);

/// Goal: a process that Segue has not looked at confirms nothing, although it has a replica that
/// would, and although the one that Segue knows was never asked.
///
/// Method: a relay before the primary, which forbids `WAIT`, so that no connection for it can be made.
/// Then the relay leads to the primary of another group; Segue's probes keep the connection that they
/// have, and the epoch.
fn only_the_process_that_was_looked_at_confirms(kind: Kind) {
    for mode in MODES {
        let (group, other) = (Group::start(kind, 1), Group::start(kind, 1));
        group.primary.call(&["ACL", "SETUSER", "default", "-wait"]);
        let relay = Relay::to(group.primary.addr());
        let scene = Scene::with(group, mode, &json!({ "timeout": "60ms" }), |it| {
            it["group"]["nodes"][0]["address"] = json!(relay.addr().to_string());
        });
        scene.proxy.announce(&["\"Guarded writes cannot be confirmed"]);
        let epoch = scene.proxy.status()["epoch"].clone();
        eventually("WAIT is refused", || {
            (scene.proxy.logged("the primary refuses WAIT: NOPERM") > 0).then_some(())
        });

        relay.turn_to(other.primary.addr());
        eventually("the other one could be asked", || {
            let asked = other.primary.try_info("commandstats")?.contains_key("cmdstat_wait");
            asked.then_some(())
        });
        let mut client = scene.guarded();
        for n in 1..=5 {
            let reply = client.call(&["INCR", "k"]);
            assert!(is_uncertain(&reply), "{mode}: {reply}");
            assert_eq!(other.primary.call(&["GET", "k"]), n.to_string().as_str(), "it ran");
        }
        eventually("an operator hears of it", || {
            (scene.proxy.logged("leads to another process than probes do") > 0).then_some(())
        });
        assert_eq!(scene.proxy.status()["epoch"], epoch, "the probes' process is there");
    }
}
