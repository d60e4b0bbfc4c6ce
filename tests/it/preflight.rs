//! What speaks against a switchover, each reason by itself: it is named, and nothing is touched.
//!
//! Priority 0, the primary itself as target, and a name that nobody has are in `switchover`.

use crate::harness::{Group, Kind, Proxy, Server, eventually, wait_in_sync};
use serde_json::json;

on_both!(
    a_target_that_lags,
    a_target_with_less_memory,
    rights_that_are_missing,
    rights_to_confirm_guarded_writes,
    a_failover_of_the_servers_own,
    a_failover_of_segue,
    a_target_that_is_in_no_state_to_serve,
);

/// Waits until a dry run of a switchover to `to` names `reason`; then asks for it, which is
/// refused for the same reason and leaves the primary in its epoch.
#[track_caller]
fn is_refused(proxy: &Proxy, to: &str, reason: &str) {
    let mut said = String::new();
    eventually("the reason is named", || {
        let (code, account) = proxy.order(&["switchover", "--to", to, "--dry-run"]);
        said = account["reasons"].to_string();
        (code == Some(75) && said.contains(reason)).then_some(())
    });
    let before = proxy.status();
    let (code, account) = proxy.order(&["switchover", "--to", to]);
    assert_eq!((code, &account["outcome"]), (Some(75), &json!("refused")), "{account}");
    assert!(account["reasons"].to_string().contains(reason), "{account}");
    let after = proxy.status();
    assert_eq!((&before["epoch"], &before["primary"]), (&after["epoch"], &after["primary"]));
    assert!(proxy.metric("segue_switchovers_total{outcome=\"refused\"}") >= 1.0);
}

/// Waits until nothing speaks against `to` any more.
#[track_caller]
fn is_fine(proxy: &Proxy, to: &str) {
    eventually("nothing speaks against it any more", || {
        let (code, _) = proxy.order(&["switchover", "--to", to, "--dry-run"]);
        (code == Some(0)).then_some(())
    });
}

/// Goal: a target that answers, with its link up, and is further behind than
/// `failover.max_lag_bytes`.
///
/// Method: it follows the primary through a relay, which stalls while the primary is written to.
fn a_target_that_lags(kind: Kind) {
    let (group, relay) = Group::behind_relay(kind, 1);
    let proxy = Proxy::over(&group.nodes())
        .with(|it| it["failover"]["max_lag_bytes"] = json!("1MiB"))
        .start();
    proxy.wait_ready();
    is_fine(&proxy, "b");
    relay.stall();
    let mut client = proxy.client();
    client.overfill();
    is_refused(&proxy, "b", "bytes behind, more than failover.max_lag_bytes (1048576)");
    assert_eq!(group.replicas[0].info("replication")["master_link_status"], "up");
    relay.go_on();
    is_fine(&proxy, "b");
    assert_eq!(proxy.order(&["switchover", "--to", "b"]).0, Some(0));
    assert!(group.replicas[0].is_primary());
}

/// Goal: a target with less `maxmemory` than the primary; more of it, or no limit, is fine.
fn a_target_with_less_memory(kind: Kind) {
    let group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    let target = &group.replicas[0];
    assert_eq!(group.primary.call(&["CONFIG", "SET", "maxmemory", "200mb"]), "+OK");
    assert_eq!(target.call(&["CONFIG", "SET", "maxmemory", "100mb"]), "+OK");
    is_refused(&proxy, "b", "b has a maxmemory of 104857600 bytes, a of 209715200");
    for enough in ["200mb", "300mb", "0"] {
        assert_eq!(target.call(&["CONFIG", "SET", "maxmemory", enough]), "+OK");
        is_fine(&proxy, "b");
    }
}

/// What README.md says that Segue's own user needs for a switchover, and nothing else.
const RIGHTS: [&str; 15] = [
    "segue",
    "on",
    ">secret",
    "resetkeys",
    "-@all",
    "+info",
    "+ping",
    "+replicaof",
    "+command",
    "+client|setname",
    "+config|get",
    "+client|pause",
    "+client|unpause",
    "+acl|whoami",
    "+acl|dryrun",
];

/// Goal: each right that a switchover takes is asked for on each node that needs it, before
/// anything is touched; with just these rights it works, without a warning.
///
/// Method: a user who has them and no others, and lacks one after the other.
fn rights_that_are_missing(kind: Kind) {
    let group = Group::start(kind, 2);
    for node in group.nodes() {
        assert_eq!(node.call(&[&["ACL", "SETUSER"], &RIGHTS[..]].concat()), "+OK");
    }
    let proxy = Proxy::over(&group.nodes()).with_user("segue", "secret").start();
    proxy.wait_ready();
    proxy.wait_followed();
    is_fine(&proxy, "b");
    let needed: [(&str, &[&str]); 3] =
        [("replicaof", &["a", "b", "c"]), ("client|pause", &["a"]), ("client|unpause", &["a"])];
    for (right, names) in needed {
        for name in names {
            let change = |sign: char| {
                let rule = format!("{sign}{right}");
                let done = group.by_name(name).call(&["ACL", "SETUSER", "segue", &rule]);
                assert_eq!(done, "+OK");
            };
            change('-');
            is_refused(&proxy, "b", &format!("{name} does not let Segue's user do it: "));
            is_refused(&proxy, "b", right);
            change('+');
            is_fine(&proxy, "b");
        }
    }
    // It serves no switchover to pause anybody but the primary.
    assert_eq!(group.by_name("b").call(&["ACL", "SETUSER", "segue", "-client|pause"]), "+OK");
    let (code, account) = proxy.order(&["switchover", "--to", "b"]);
    assert_eq!((code, &account["warnings"]), (Some(0), &json!([])), "{account}");
    assert!(group.by_name("b").is_primary());
}

/// Goal: a target on which Segue's user may not confirm guarded writes; only where there are any.
fn rights_to_confirm_guarded_writes(kind: Kind) {
    let group = Group::start(kind, 1);
    let plain = Proxy::start(&group.nodes());
    let guarded = Proxy::over(&group.nodes())
        .with(|it| {
            it["listen"][0]["durability"] = json!({ "replicas": 1, "timeout": "5s" });
        })
        .start();
    guarded.wait_ready();
    for right in ["wait", "spublish", "role"] {
        let target = &group.replicas[0];
        assert_eq!(target.call(&["ACL", "SETUSER", "default", &format!("-{right}")]), "+OK");
        is_refused(&guarded, "b", "b does not let Segue's user confirm guarded writes: ");
        is_refused(&guarded, "b", right);
        is_fine(&plain, "b");
        assert_eq!(target.call(&["ACL", "SETUSER", "default", &format!("+{right}")]), "+OK");
        is_fine(&guarded, "b");
    }
}

/// Goal: while the server's own `FAILOVER` runs on the primary, Segue begins nothing.
///
/// Method: its target is frozen with a write that it lacks, so it waits until it is aborted.
fn a_failover_of_the_servers_own(kind: Kind) {
    let group = Group::start(kind, 2);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    group.replicas[1].freeze();
    assert_eq!(group.primary.call(&["SET", "k", "v"]), "+OK");
    let port = group.replicas[1].addr().port().to_string();
    let failover = ["FAILOVER", "TO", "127.0.0.1", &port, "TIMEOUT", "60000"];
    assert_eq!(group.primary.call(&failover), "+OK");
    is_refused(&proxy, "b", "a is carrying out a FAILOVER of its own");
    assert_eq!(group.primary.call(&["FAILOVER", "ABORT"]), "+OK");
    group.replicas[1].thaw();
    is_fine(&proxy, "b");
    assert!(group.primary.is_primary());
}

/// Goal: while Segue itself looks for a successor, nobody can order a switchover on top of it.
///
/// Method: the only replica must not be promoted, and the primary dies.
fn a_failover_of_segue(kind: Kind) {
    let mut group = Group::start(kind, 1);
    group.replicas[0].call(&["CONFIG", "SET", "replica-priority", "0"]);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    proxy.announce(&["\"The failover takes longer than failover.timeout\""]);
    group.primary.kill();
    proxy.wait_gate(false);
    is_refused(&proxy, "b", "commands are held: ");
    assert!(!group.replicas[0].is_primary());
}

/// Goal: a target that hangs, and one that lost its link; each serves again when it is well.
fn a_target_that_is_in_no_state_to_serve(kind: Kind) {
    let (group, mut relay) = Group::behind_relay(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let target = &group.replicas[0];
    is_fine(&proxy, "b");
    target.freeze();
    is_refused(&proxy, "b", "b gives no answer");
    target.thaw();
    is_fine(&proxy, "b");
    relay.cut();
    is_refused(&proxy, "b", "b lost its link to a");
    relay.heal();
    wait_in_sync(&group.primary, target);
    is_fine(&proxy, "b");
}

/// Goal: an upgrade from Redis to Valkey is a switchover like any other; the way back is refused,
/// because the older server could not follow the newer one.
///
/// Method: a Redis primary with a Valkey replica, both ways.
#[test]
fn a_target_that_is_older() {
    let group = {
        let primary = Server::primary(Kind::Redis);
        let mut replica = Server::reserve(Kind::Valkey, &[]);
        replica.start_as_replica(&primary);
        wait_in_sync(&primary, &replica);
        assert_eq!(primary.call(&["SET", "k", "v"]), "+OK");
        wait_in_sync(&primary, &replica);
        Group { primary, replicas: vec![replica] }
    };
    let proxy = Proxy::start(&group.nodes());
    let mut client = proxy.client();
    is_fine(&proxy, "b");
    let (code, account) = proxy.order(&["switchover", "--to", "b"]);
    assert_eq!(code, Some(0), "{account}");
    assert!(group.replicas[0].is_primary());
    assert_eq!(client.call(&["GET", "k"]), "v");
    assert_eq!(client.call(&["SET", "k", "w"]), "+OK");
    is_refused(&proxy, "a", "older than b's");
    assert_eq!(client.call(&["GET", "k"]), "w");
}
