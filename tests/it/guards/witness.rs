//! Segue is cut off from the primary, and its replicas are not.

use crate::harness::{Group, Kind, Proxy, Relay, Server, eventually};
use serde_json::json;

on_both!(a_primary_that_replicas_reach_is_spared, a_primary_that_replicas_lost_too_is_replaced,);

const SPARED: &str = "\"A replica still hears the primary; not promoting\"";

/// Segue before a group whose primary it reaches through a relay, while replicas reach it.
fn behind_relay(group: &Group, hold: &str) -> (Relay, Proxy) {
    let relay = Relay::to(group.primary.addr());
    let proxy = Proxy::over(&group.nodes())
        .with(|it| it["group"]["nodes"][0]["address"] = json!(relay.addr().to_string()))
        .with(|it| it["hold"]["timeout"] = json!(hold))
        .start();
    proxy.wait_ready();
    proxy.announce_failover();
    proxy.announce(&[SPARED, "\"The failover takes longer than failover.timeout\""]);
    (relay, proxy)
}

/// Goal: cut off from a primary that nobody else writes to, Segue holds, promotes nobody, refuses
/// what waited too long with `-TRYAGAIN`, and says why in status, log and metric; with the cut
/// healed the same primary serves on in the same epoch.
///
/// Method: a relay before the primary, for Segue alone, that refuses. The replicas' links are
/// silent, as nobody writes: they must be asked.
fn a_primary_that_replicas_reach_is_spared(kind: Kind) {
    let group = Group::start(kind, 2);
    let (mut relay, proxy) = behind_relay(&group, "3s");
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "v"]), "+OK");
    let epoch = proxy.status()["epoch"].clone();

    relay.cut();
    proxy.wait_gate(false);
    assert_eq!(
        client.call(&["SET", "k", "w"]),
        "-TRYAGAIN Segue: no primary for 3.0s; the command was not executed"
    );
    eventually("it says why", || {
        proxy.status()["reason"]
            .as_str()?
            .contains("the fault lies between Segue and")
            .then_some(())
    });
    assert!(proxy.metric("segue_witness_vetoes_total") >= 1.0);
    assert!(proxy.logged(SPARED) >= 1);
    assert_eq!(proxy.promotions(), 0.0);
    for replica in &group.replicas {
        eventually("it is in step again", || replica.follows(&group.primary).then_some(()));
    }
    // A partial copy: no replica was asked to throw its data away.
    assert_eq!(full_copies(&group.primary), 2);

    client.send_all(&[&["SET", "k", "held"]]);
    relay.heal();
    assert_eq!(client.read(), "+OK");
    assert_eq!(group.primary.call(&["GET", "k"]), "held");
    assert_eq!(proxy.status()["epoch"], epoch);
}

/// Goal: once the replicas have lost it as well, one of them is promoted.
///
/// Method: the same cut; then the primary dies behind it.
fn a_primary_that_replicas_lost_too_is_replaced(kind: Kind) {
    let mut group = Group::start(kind, 2);
    let (mut relay, proxy) = behind_relay(&group, "20s");
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "v"]), "+OK");
    group.wait_in_sync();
    relay.cut();
    eventually("a replica testifies, long before it is pinged", || {
        (proxy.metric("segue_witness_vetoes_total") >= 1.0).then_some(())
    });
    client.send_all(&[&["SET", "k", "held"]]);
    assert!(client.is_silent());
    group.primary.kill();
    assert_eq!(client.read(), "+OK");
    assert_eq!(group.promoted().call(&["GET", "k"]), "held");
    proxy.wait_promotions(1);
}

fn full_copies(node: &Server) -> u64 {
    node.info("stats")["sync_full"].parse().expect("a number")
}
