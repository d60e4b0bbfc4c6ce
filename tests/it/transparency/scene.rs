//! Two nodes, a Segue, and the three ways in which a primary changes.

use crate::harness::{Client, Kind, Proxy, Server, Value, eventually, wait_in_sync};
use serde_json::Value as Json;

/// How the primary changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// By hand, behind Segue's back: `REPLICAOF` on the old one, then on the new one.
    Demoted,
    /// `SIGSTOP`, and `SIGCONT` once the other has taken over.
    Stopped,
    /// `SIGKILL`, and a start without data later.
    Killed,
}

impl Change {
    pub(super) const ALL: [Self; 3] = [Self::Demoted, Self::Stopped, Self::Killed];
}

/// A primary, its replica, and Segue before them.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) proxy: Proxy,
    nodes: Vec<Server>,
    primary: usize,
    /// What the last change did to the node that is replica now.
    pending: Option<Change>,
}

impl Scene {
    pub(super) fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[], |_| {})
    }

    /// Every node gets `extra` on its command line, and the configuration is changed.
    pub(super) fn start_with(kind: Kind, extra: &[&str], config: impl FnOnce(&mut Json)) -> Self {
        let primary = Server::primary_with(kind, extra);
        let replica = Server::replica_of(&primary, extra);
        wait_in_sync(&primary, &replica);
        // A replica that is still at offset 0 has not proved that it can follow.
        assert_eq!(primary.call(&["SET", "scene", "set"]), "+OK");
        wait_in_sync(&primary, &replica);
        let nodes = vec![primary, replica];
        let proxy = Proxy::over(&nodes.iter().collect::<Vec<_>>()).with(config).start();
        proxy.wait_ready();
        proxy.announce_failover();
        Self { proxy, nodes, primary: 0, pending: None }
    }

    pub(super) fn primary(&self) -> &Server {
        &self.nodes[self.primary]
    }

    pub(super) fn replica(&self) -> &Server {
        &self.nodes[1 - self.primary]
    }

    /// A session in RESP2.
    #[track_caller]
    pub(super) fn client(&self) -> Client {
        self.proxy.client()
    }

    /// A session in each protocol.
    #[track_caller]
    pub(super) fn both_protocols(&self) -> [Client; 2] {
        [self.client(), resp3(self.client())]
    }

    /// Waits until the replica has everything, so that a change loses nothing.
    #[track_caller]
    pub(super) fn settle(&self) {
        wait_in_sync(self.primary(), self.replica());
    }

    /// Takes the primary's role from it. When this returns, Segue need not have noticed, but what
    /// is sent now is not in flight to a node that does not answer.
    #[track_caller]
    pub(super) fn change(&mut self, change: Change) {
        eprintln!("the primary is {change:?}");
        self.settle();
        let old = self.primary;
        self.primary = 1 - old;
        self.pending = Some(change);
        match change {
            Change::Killed => self.nodes[old].kill(),
            Change::Stopped => {
                let epoch = self.epoch();
                self.nodes[old].freeze();
                eventually("the silence is noticed", || {
                    (self.proxy.status()["gate_open"] == false || self.epoch() > epoch)
                        .then_some(())
                });
            }
            Change::Demoted => {
                let port = self.primary().addr().port().to_string();
                let demoted = self.nodes[old].call(&["REPLICAOF", "127.0.0.1", &port]);
                assert_eq!(demoted, "+OK");
                assert_eq!(self.primary().call(&["REPLICAOF", "NO", "ONE"]), "+OK");
            }
        }
    }

    /// Stops the primary and returns at once: what is sent now is in flight.
    #[track_caller]
    pub(super) fn stop(&mut self) {
        self.settle();
        self.primary().freeze();
        self.primary = 1 - self.primary;
        self.pending = Some(Change::Stopped);
    }

    pub(super) fn epoch(&self) -> u64 {
        self.proxy.status()["epoch"].as_u64().expect("a number")
    }

    /// Waits until Segue serves from the new primary.
    #[track_caller]
    pub(super) fn wait_served(&self) {
        eventually("the other node is promoted", || self.primary().is_primary().then_some(()));
        let name = ["a", "b"][self.primary];
        eventually("Segue serves from it", || {
            let status = self.proxy.status();
            (status["gate_open"] == true && status["primary"] == name).then_some(())
        });
    }

    /// Brings the old primary back as a replica that has everything.
    #[track_caller]
    pub(super) fn recover(&mut self) {
        self.wait_served();
        let old = 1 - self.primary;
        match self.pending.take() {
            Some(Change::Killed) => self.nodes[old].restart_empty(),
            Some(Change::Stopped) => self.nodes[old].thaw(),
            Some(Change::Demoted) | None => {}
        }
        eventually("the old primary follows", || {
            self.replica().follows(self.primary()).then_some(())
        });
        // Segue may be about to turn the old primary round; the next change must not cross that.
        eventually("Segue has seen it follow", || {
            let nodes = self.proxy.status()["nodes"].clone();
            (nodes[old]["role"] == "replica" && nodes[old]["link_up"] == true).then_some(())
        });
        self.settle();
    }

    /// Waits until as many sessions as `count` are in the list of the primary's clients that
    /// carry `word` (`CLIENT LIST`).
    #[track_caller]
    pub(super) fn wait_listed(&self, word: &str, count: usize) {
        eventually(&format!("{count} sessions with {word} at the primary"), || {
            let list = self.primary().call(&["CLIENT", "LIST"]).text();
            (list.lines().filter(|it| it.contains(word)).count() == count).then_some(())
        });
    }

    /// Waits until whoever carries `word` there has sent nothing for a second, by the node's clock.
    #[track_caller]
    pub(super) fn wait_idle_for_a_second(&self, word: &str) {
        eventually(&format!("sessions with {word} have waited"), || {
            let list = self.primary().call(&["CLIENT", "LIST"]).text();
            let mut sessions = list.lines().filter(|it| it.contains(word));
            sessions.all(|it| !it.contains(" idle=0 ")).then_some(())
        });
    }
}

/// Health thresholds under which a node that is only busy is never lost.
pub(super) fn patient(config: &mut Json) {
    for (key, value) in [
        ("timeout", "9s"),
        ("suspect_after", "10s"),
        ("down_after", "12s"),
        ("loading_after", "30s"),
    ] {
        config["health"][key] = value.into();
    }
}

/// `client`, speaking RESP3.
#[track_caller]
pub(super) fn resp3(mut client: Client) -> Client {
    assert!(matches!(client.call(&["HELLO", "3"]), Value::Map(_)));
    client
}

/// How a reply that is null is printed, in either protocol.
pub(super) const fn null() -> &'static str {
    "(null)"
}
