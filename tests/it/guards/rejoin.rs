//! The old primary returns, with writes that only it has.

use super::adopt;
use crate::harness::{Client, Group, Kind, Proxy, Server, eventually, within};
use serde_json::json;
use std::time::Duration;

on_both!(
    auto_demotes_it_and_counts_what_only_it_had,
    quarantine_keeps_it_until_a_human_decides,
    off_leaves_every_node_alone,
    replicas_of_each_other_are_sorted_out,
);

const DEMOTED_WITHIN: Duration = Duration::from_secs(2);
const DIVERGED: &str = "segue_diverged_bytes{node=\"a\"}";

/// A primary that was replaced while it hung, and wakes up with a write that nobody else has.
struct Story {
    group: Group,
    proxy: Proxy,
    client: Client,
}

impl Story {
    fn tell(kind: Kind, rejoin: &str) -> Self {
        let group = Group::start(kind, 1);
        let proxy =
            Proxy::over(&group.nodes()).with(|it| it["failover"]["rejoin"] = json!(rejoin)).start();
        proxy.wait_ready();
        proxy.announce_failover();
        proxy.announce(&["\"Node is left alone\"", "\"An operator chose whose data wins\""]);
        let mut client = proxy.client();
        assert_eq!(client.call(&["SET", "k", "before"]), "+OK");
        group.wait_in_sync();
        let mut past_segue = group.primary.client();
        group.primary.freeze();
        // It stands in the kernel's buffer until the node wakes up, and is run then.
        past_segue.send_all(&[&["SET", "diverged", &"x".repeat(100)]]);
        proxy.wait_gate(false);
        assert_eq!(client.call(&["SET", "k", "after"]), "+OK");
        group.primary.thaw();
        assert_eq!(past_segue.read(), "+OK");
        Self { group, proxy, client }
    }

    fn old(&self) -> &Server {
        &self.group.primary
    }

    fn heir(&self) -> &Server {
        &self.group.replicas[0]
    }

    /// Clients write on, and none of it reaches the old primary.
    fn write_on(&mut self) {
        let before = self.old().calls_of("incr");
        for _ in 0..50 {
            assert_eq!(self.client.call(&["INCR", "n"]).error(), None);
        }
        assert_eq!(self.old().calls_of("incr"), before);
    }
}

/// Goal: with `auto` the old primary is a replica within two probe intervals, what only it had is
/// counted in bytes, and it gets no client's byte.
fn auto_demotes_it_and_counts_what_only_it_had(kind: Kind) {
    let mut story = Story::tell(kind, "auto");
    within(DEMOTED_WITHIN, "it is demoted", || (!story.old().is_primary()).then_some(()));
    story.client.call(&["SET", "n", "0"]);
    eventually("it follows", || story.old().follows(story.heir()).then_some(()));
    let bytes = story.proxy.metric(DIVERGED);
    // The command and its framing; the server may add a SELECT and a ping.
    assert!((100.0..400.0).contains(&bytes), "{bytes} bytes");
    eventually("its own write is gone", || {
        (story.old().call(&["EXISTS", "diverged"]) == ":0").then_some(())
    });
    assert_eq!(story.old().call(&["GET", "k"]), "after");
}

/// Goal: with `quarantine` it keeps what it has, for a human to look at, and gets no client's
/// byte; `segue adopt` of the one that serves lets it in.
fn quarantine_keeps_it_until_a_human_decides(kind: Kind) {
    let mut story = Story::tell(kind, "quarantine");
    eventually("it is told", || (story.proxy.logged("Node is left alone") == 1).then_some(()));
    story.write_on();
    assert!(story.old().is_primary());
    assert_eq!(story.old().call(&["EXISTS", "diverged"]), ":1");
    assert!(story.proxy.metric(DIVERGED) >= 100.0);
    assert_eq!(story.proxy.metric("segue_lineage_conflicts"), 1.0);

    let (code, answer) = adopt(&story.proxy, &["b", "--yes", "--json"]);
    assert_eq!(code, Some(0), "{answer}");
    assert!(answer["others"][0]["own_bytes"].as_u64().unwrap() >= 100, "{answer}");
    eventually("it follows", || story.old().follows(story.heir()).then_some(()));
    assert_eq!(story.client.call(&["GET", "k"]), "after");
}

/// Goal: with `off` nobody but the promoted node is turned; clients go to that one alone.
fn off_leaves_every_node_alone(kind: Kind) {
    let mut story = Story::tell(kind, "off");
    eventually("it is told", || (story.proxy.logged("Node is left alone") == 1).then_some(()));
    story.write_on();
    assert!(story.old().is_primary() && story.heir().is_primary());
    assert_eq!(story.old().calls_of("replicaof"), 0);
    assert_eq!(story.old().call(&["EXISTS", "diverged"]), ":1");
}

/// Goal: role changes by hand that cross with Segue's own repair leave two replicas of each
/// other: Segue makes the one primary that has everything, and nothing is lost.
///
/// Method: both nodes are told to follow each other in one breath, with nothing written between.
fn replicas_of_each_other_are_sorted_out(kind: Kind) {
    let group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let mut client = proxy.client();
    for n in 0..100 {
        assert_eq!(client.call(&["SET", &format!("k:{n}"), "v"]), "+OK");
    }
    group.wait_in_sync();
    let (a, b) = (&group.primary, &group.replicas[0]);
    let port = |it: &Server| it.addr().port().to_string();
    let (mut to_a, mut to_b) = (a.client(), b.client());
    to_b.send_all(&[&["REPLICAOF", "NO", "ONE"], &["REPLICAOF", "127.0.0.1", &port(a)]]);
    to_a.send_all(&[&["REPLICAOF", "127.0.0.1", &port(b)]]);
    assert_eq!(to_a.read(), "+OK");
    assert_eq!(to_b.read_n(2)[1].error(), None);

    assert_eq!(client.call(&["SET", "after", "v"]), "+OK");
    eventually("one follows the other", || (a.follows(b) || b.follows(a)).then_some(()));
    let primary = if a.is_primary() { a } else { b };
    for node in [a, b] {
        eventually("everything is there", || (node.call(&["DBSIZE"]) == ":101").then_some(()));
    }
    assert_eq!(primary.call(&["GET", "after"]), "v");
}
