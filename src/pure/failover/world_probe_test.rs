//! What a probe of a node finds.

use super::*;

impl World {
    pub(super) fn ask(&mut self, n: usize) {
        // One schedule a node: what was asked out of turn starts it anew.
        self.queue.retain(|_, item| !matches!(item, Item::Ask(other) if *other == n));
        let node = &self.nodes[n];
        let (wait, finding) = match (node.is_cut, node.life) {
            (true, _) => (TIMEOUT_MS, Finding::Silent { connected: false }),
            (false, Life::Dead) => (0, Finding::Refused),
            (false, _) if node.is_refusing => (0, Finding::Refused),
            (false, Life::Hung) => (TIMEOUT_MS, Finding::Silent { connected: true }),
            (false, Life::Running) if node.is_stranger => {
                let error = "ERR max number of clients reached".to_owned();
                (1, Finding::Impaired { error, report: None })
            }
            (false, Life::Running) if node.says_loading => {
                let error = "MISCONF Errors writing to the RDB file.".to_owned();
                (1, Finding::Impaired { error, report: Some(Box::new(self.report(n))) })
            }
            (false, Life::Running) if node.is_loading => (1, Finding::Loading),
            (false, Life::Running) => (1, Finding::Good(Box::new(self.report(n)))),
        };
        let addr: SocketAddr = endpoint(n).to_string().parse().expect("an address");
        let asked = Time::from_millis(self.now);
        let probed = Probed { node: id(n), asked, addr: Some(addr), aliases: vec![addr], finding };
        self.push(wait, Item::Tell(Event::Probed(probed)));
        self.push(wait.max(INTERVAL_MS), Item::Ask(n));
    }

    fn report(&self, n: usize) -> Report {
        let node = &self.nodes[n];
        let replid = |it: u64| ReplId::parse(&hex(it)).expect("an id");
        let role = node.follows.map_or(Role::Primary, |primary| {
            let at = endpoint(primary);
            let secs = |from: u64| (self.now - from) / 1000;
            let state = match (node.sync_until, node.link_up, node.link_down_from) {
                (Some(_), _, _) => LinkState::Syncing,
                (None, true, _) => LinkState::Up { idle_secs: secs(node.io_at) },
                (None, false, Some(from)) => LinkState::Down { secs: secs(from) },
                (None, false, None) => LinkState::Never,
            };
            Role::Replica(Link {
                host: at.host,
                port: at.port,
                state,
                received: node.offset + node.undrained,
                priority: 100,
            })
        });
        let followers = (0..self.nodes.len())
            .filter(|it| self.nodes[*it].follows == Some(n) && self.nodes[*it].link_up)
            .map(|it| Follower {
                host: endpoint(it).host,
                port: endpoint(it).port,
                online: true,
                offset: self.nodes[it].offset,
            });
        Report {
            version: "7.0.15".to_owned(),
            run_id: RunId::parse(&hex(node.run)).expect("an id"),
            followers: if node.follows.is_none() { followers.collect() } else { Vec::new() },
            role,
            replid: replid(node.replid),
            descends: node.descends.map(|(parent, fork)| (replid(parent), fork)),
            // A server forgets its place as soon as a full copy begins.
            offset: if node.sync_until.is_some() { 1 } else { node.offset },
            loading: node.says_loading,
            failing_over: false,
            keys: node.keys,
            expiring_keys: if node.is_cache { node.keys } else { 0 },
        }
    }
}
