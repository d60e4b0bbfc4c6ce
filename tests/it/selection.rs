//! Which replica takes over.

use crate::harness::{Group, Kind, Proxy, Server, eventually};

on_both!(the_most_advanced_replica_wins, priority_zero_is_never_promoted);

/// Goal: of two replicas that both answer, the one with more of the primary's data takes over,
/// wherever it stands in the list; the other follows it and catches up.
///
/// Method: Segue is frozen while the world is arranged: one replica is frozen, the primary writes
/// more than any buffer holds, the primary dies, the replica thaws. Then Segue wakes up and finds
/// two live replicas, one behind.
fn the_most_advanced_replica_wins(kind: Kind) {
    let mut group = Group::start_with(kind, 2, &["--repl-backlog-size", "1mb"]);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let mut session = proxy.client();
    assert_eq!(session.call(&["SET", "k", "old"]), "+OK");
    group.wait_in_sync();

    let offset =
        |it: &Server| -> u64 { it.info("replication")["slave_repl_offset"].parse().unwrap() };
    {
        let (behind, ahead) = (&group.replicas[0], &group.replicas[1]);
        behind.freeze();
        proxy.freeze();
        let mut writer = group.primary.client();
        writer.overfill();
        assert_eq!(writer.call(&["SET", "k", "new"]), "+OK");
        eventually("one replica has it", || (ahead.call(&["GET", "k"]) == "new").then_some(()));
    }
    group.primary.kill();
    let (behind, ahead) = (&group.replicas[0], &group.replicas[1]);
    behind.thaw();
    eventually("the other has drained what it had received", || {
        (behind.try_info("replication")?["master_link_status"] == "down").then_some(())
    });
    assert!(offset(behind) < offset(ahead), "the arrangement is as meant");
    proxy.thaw();

    assert_eq!(session.call(&["GET", "k"]), "new");
    assert!(ahead.is_primary());
    proxy.wait_primary("c");
    eventually("the one behind follows", || behind.follows(ahead).then_some(()));
    eventually("it catches up", || (behind.call(&["GET", "k"]) == "new").then_some(()));
}

/// Goal: a node that its operator excluded (`replica-priority 0`) is never promoted.
///
/// Method: exclude the one that stands first, kill the primary, look who serves.
fn priority_zero_is_never_promoted(kind: Kind) {
    let mut group = Group::start(kind, 2);
    group.replicas[0].call(&["CONFIG", "SET", "replica-priority", "0"]);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let mut session = proxy.client();
    assert_eq!(session.call(&["SET", "k", "v"]), "+OK");
    group.wait_in_sync();

    group.primary.kill();
    assert_eq!(session.call(&["GET", "k"]), "v");
    assert!(group.replicas[1].is_primary());
    let excluded = &group.replicas[0];
    eventually("the excluded one follows", || excluded.follows(&group.replicas[1]).then_some(()));
}
