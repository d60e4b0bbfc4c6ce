//! Two histories: Segue refuses to guess, and a human decides.

use super::adopt;
use crate::harness::{Group, Kind, Proxy, Server, eventually};
use serde_json::json;

on_both!(
    two_histories_wait_for_a_human,
    a_primary_with_data_of_its_own_is_left_alone_until_it_is_given_up,
);

const CONFLICT: &str = "\"Primaries of unrelated histories; choose with segue adopt NODE\"";
const CHOSEN: &str = "\"An operator chose whose data wins\"";

/// Goal: two primaries of unrelated histories at start-up: nobody serves, and status, metric and
/// log say why and what to do; `segue adopt` says what will be lost, asks, and then the named
/// node serves and the others follow it.
///
/// Method: two primaries with data of their own, a replica of one of them; the refusals of the
/// command; then the decision for the *smaller* one, read at the nodes.
fn two_histories_wait_for_a_human(kind: Kind) {
    let group = Group::start(kind, 1);
    let other = Server::primary(kind);
    group.primary.call(&["MSET", "k", "ours", "only", "ours"]);
    group.wait_in_sync();
    other.call(&["SET", "k", "theirs"]);
    let proxy = Proxy::over(&[&group.primary, &group.replicas[0], &other]).start();
    proxy.announce_failover();
    proxy.announce(&[CONFLICT, CHOSEN]);
    let mut client = proxy.client();
    client.send_all(&[&["GET", "k"]]);
    eventually("it says why it waits", || {
        proxy.status()["reason"].as_str()?.contains("segue adopt").then_some(())
    });
    assert_eq!(proxy.status()["conflicts"], json!(["a", "c"]));
    assert_eq!(proxy.metric("segue_lineage_conflicts"), 2.0);
    eventually("it is logged", || (proxy.logged(CONFLICT) == 1).then_some(()));
    assert_eq!(proxy.get("/readyz").0, 503);

    let (code, looked) = adopt(&proxy, &["c", "--dry-run", "--json"]);
    assert_eq!((code, &looked["outcome"]), (Some(0), &json!("dry-run")));
    assert_eq!(looked["keys"], 1);
    let lost = json!({ "node": "a", "fate": "discarded", "keys": 2, "own_bytes": null });
    assert_eq!(looked["others"][0], lost);
    for (arguments, expected) in [
        (&["c"][..], 64), // nobody is there to ask
        (&["c", "--json"], 64),
        (&["d", "--yes"], 64),
        (&["b", "--yes"], 75), // a replica of a living primary
    ] {
        assert_eq!(adopt(&proxy, arguments).0, Some(expected), "{arguments:?}");
    }
    assert!(group.primary.is_primary() && other.is_primary(), "nothing was touched");
    assert!(client.is_silent());

    let (code, begun) = adopt(&proxy, &["c", "--yes", "--json"]);
    assert_eq!((code, &begun["outcome"]), (Some(0), &json!("begun")));
    assert_eq!(client.read(), "theirs");
    for loser in [&group.primary, &group.replicas[0]] {
        eventually("the loser follows", || loser.follows(&other).then_some(()));
        eventually("its data is the winner's", || {
            (loser.call(&["GET", "k"]) == "theirs" && loser.call(&["DBSIZE"]) == ":1").then_some(())
        });
    }
    eventually("nothing waits any more", || {
        (proxy.metric("segue_lineage_conflicts") == 0.0).then_some(())
    });
    eventually("once all follow, there is nothing to decide", || {
        (adopt(&proxy, &["c", "--yes"]).0 == Some(75)).then_some(())
    });
}

/// Goal: a node that claims to be primary beside ours with data that never belonged to the group
/// is not wiped; adopting the one that serves gives it up.
///
/// Method: a third node appears with keys of its own.
fn a_primary_with_data_of_its_own_is_left_alone_until_it_is_given_up(kind: Kind) {
    let group = Group::start(kind, 1);
    let mut other = Server::reserve(kind, &[]);
    let proxy = Proxy::start(&[&group.primary, &group.replicas[0], &other]);
    proxy.announce_failover();
    proxy.announce(&["\"Node is left alone\"", CHOSEN]);
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "ours"]), "+OK");
    other.start();
    other.call(&["SET", "k", "theirs"]);
    // A blank one would have joined; it may have been caught before it had a key.
    eventually("it is left alone, or was blank", || {
        (proxy.logged("Node is left alone") > 0 || !other.is_primary()).then_some(())
    });
    if other.is_primary() {
        assert_eq!(other.call(&["GET", "k"]), "theirs");
        assert_eq!(proxy.status()["conflicts"], json!(["c"]));
        assert_eq!(adopt(&proxy, &["a", "--yes"]).0, Some(0));
    }
    eventually("it follows", || other.follows(&group.primary).then_some(()));
    eventually("it has the group's data", || (other.call(&["GET", "k"]) == "ours").then_some(()));
    assert_eq!(client.call(&["GET", "k"]), "ours");
}
