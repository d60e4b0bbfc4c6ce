//! A primary and its replicas, in sync.

use super::{Kind, Relay, Server, eventually};

/// A replication group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) primary: Server,
    pub(crate) replicas: Vec<Server>,
}

impl Group {
    /// A primary with `replicas` replicas that have all it has.
    pub(crate) fn start(kind: Kind, replicas: usize) -> Self {
        Self::start_with(kind, replicas, &[])
    }

    /// Every node gets `extra` on its command line.
    pub(crate) fn start_with(kind: Kind, replicas: usize, extra: &[&str]) -> Self {
        Self::around(Server::primary_with(kind, extra), replicas, extra)
    }

    /// The replicas reach the primary through a relay.
    #[allow(dead_code, reason = "the fault matrix has relays of its own")]
    pub(crate) fn behind_relay(kind: Kind, replicas: usize) -> (Self, Relay) {
        let mut primary = Server::primary(kind);
        let relay = Relay::to(primary.addr());
        primary.set_replication_addr(relay.addr());
        (Self::around(primary, replicas, &[]), relay)
    }

    /// Replicas for a primary that runs already.
    pub(crate) fn around(primary: Server, replicas: usize, extra: &[&str]) -> Self {
        let replicas: Vec<_> = (0..replicas).map(|_| Server::replica_of(&primary, extra)).collect();
        let group = Self { primary, replicas };
        group.wait_in_sync();
        group.start_history();
        group
    }

    /// Starts reserved nodes: the first as the primary, the others as its replicas.
    #[allow(dead_code, reason = "the fault matrix uses it")]
    pub(crate) fn assemble(mut nodes: Vec<Server>) -> Self {
        let mut primary = nodes.remove(0);
        primary.start();
        for replica in &mut nodes {
            replica.start_as_replica(&primary);
        }
        let group = Self { primary, replicas: nodes };
        group.wait_in_sync();
        group.start_history();
        group
    }

    /// The primary, then the replicas.
    pub(crate) fn nodes(&self) -> Vec<&Server> {
        [&self.primary].into_iter().chain(&self.replicas).collect()
    }

    /// The node that Segue calls so.
    pub(crate) fn by_name(&self, name: &str) -> &Server {
        self.nodes()[usize::from(name.as_bytes()[0] - b'a')]
    }

    /// Waits until everybody else follows `primary`.
    #[track_caller]
    pub(crate) fn wait_behind(&self, primary: &Server) {
        for node in self.nodes().into_iter().filter(|it| it.addr() != primary.addr()) {
            eventually("the node follows", || node.follows(primary).then_some(()));
        }
    }

    pub(crate) fn wait_in_sync(&self) {
        for replica in &self.replicas {
            wait_in_sync(&self.primary, replica);
        }
    }

    /// Until a first byte has been replicated, a replica cannot be told from one that never had a
    /// copy, and is not promoted once the primary has data. A message is replicated and leaves
    /// nothing behind.
    fn start_history(&self) {
        if self.replicas.is_empty() {
            return;
        }
        self.primary.call(&["PUBLISH", "history", "begins"]);
        let started = |it: &Server| {
            let offset: u64 = it.try_info("replication")?.get("slave_repl_offset")?.parse().ok()?;
            (offset > 1).then_some(())
        };
        eventually("replication begins", || self.replicas.iter().try_for_each(started));
        self.wait_in_sync();
    }

    /// The replica that says `role:master`, as soon as one does.
    #[track_caller]
    pub(crate) fn promoted(&self) -> &Server {
        eventually("a replica is promoted", || self.replicas.iter().find(|it| it.is_primary()))
    }
}

/// Waits until `replica` has all that `primary` has, and both say so.
///
/// Both must: a replica says that its link is up while the primary still waits for its first
/// acknowledgement, and streams nothing until then (diskless sync).
#[track_caller]
pub(crate) fn wait_in_sync(primary: &Server, replica: &Server) {
    let addr = replica.addr();
    let online = format!("ip={},port={},state=online", addr.ip(), addr.port());
    eventually("the replica is in sync", || {
        let theirs = primary.try_info("replication")?;
        let ours = replica.try_info("replication")?;
        let is_online = theirs.values().any(|it| it.contains(&online));
        let same = |a: &str, b: &str| ours.get(a).is_some_and(|it| Some(it) == theirs.get(b));
        (is_online
            && ours.get("master_link_status")? == "up"
            && same("master_replid", "master_replid")
            && same("slave_repl_offset", "master_repl_offset"))
        .then_some(())
    });
}
