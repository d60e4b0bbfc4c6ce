//! What a node answers to `PING` and `INFO`.

use super::{Link, Process, Role};
use crate::data::{Point, replid};
use crate::sim::Sim;
use crate::swarm::{SECOND, Us};
use segue::pure::failover::Finding;
use segue::pure::topology::{Follower, Link as Told, LinkState, Report, Role as Said, RunId};

pub(crate) const PORT: u16 = 6379;

/// The host name under which everybody reaches node `n`.
pub(crate) fn host(n: usize) -> String {
    format!("10.0.0.{}", n + 1)
}

impl Sim {
    /// What a probe of node `n` finds, and what the node holds in truth.
    pub(crate) fn find(&self, n: usize) -> Option<(Finding, Point)> {
        let process = self.nodes[n].process.as_ref()?;
        let point = process.point();
        let report = Box::new(self.report(n, process));
        let finding = match self.nodes[n].impairment(self.now) {
            // A busy script holds up INFO as well; a failed save only PING.
            Some(error) if error.starts_with("BUSY") => {
                Finding::Impaired { error: error.to_owned(), report: None }
            }
            Some(error) => Finding::Impaired { error: error.to_owned(), report: Some(report) },
            None => Finding::Good(report),
        };
        Some((finding, point))
    }

    fn report(&self, n: usize, process: &Process) -> Report {
        let keys = self.data.keys(process.point());
        let role = match process.role {
            Role::Primary => Said::Primary,
            Role::Replica { of, link } => Said::Replica(Told {
                host: host(of),
                port: PORT,
                state: self.link_state(n, process, link),
                received: process.received,
                priority: self.nodes[n].priority,
            }),
        };
        let offset = if process.is_primary() || process.cached { process.offset } else { 1 };
        Report {
            version: "7.0.15".to_owned(),
            run_id: run_id(process.run),
            role,
            replid: replid(process.history),
            descends: process.second.map(|(history, fork)| (replid(history), fork)),
            offset,
            loading: process.loading.is_some(),
            failing_over: false,
            followers: self.followers(n, process.run),
            keys,
            expiring_keys: if self.swarm.expiring { keys } else { 0 },
        }
    }

    fn link_state(&self, n: usize, process: &Process, link: Link) -> LinkState {
        let ago = |since: Us| {
            let phase = self.nodes[n].phase;
            (self.now + phase) / SECOND - (since + phase) / SECOND
        };
        match link {
            // Loading is the last part of a full copy.
            _ if process.loading.is_some_and(|it| it.from.is_some()) => LinkState::Syncing,
            Link::Syncing { .. } => LinkState::Syncing,
            Link::Up { .. } => LinkState::Up { idle_secs: ago(process.last_io) },
            Link::Down => process
                .down_since
                .map_or(LinkState::Never, |since| LinkState::Down { secs: ago(since) }),
        }
    }

    fn followers(&self, n: usize, own: u64) -> Vec<Follower> {
        let follows = |other: usize| {
            let process = self.nodes[other].process.as_ref()?;
            let Role::Replica { of, link: Link::Up { run, .. } } = process.role else {
                return None;
            };
            (of == n && run == own).then(|| Follower {
                host: host(other),
                port: PORT,
                online: true,
                offset: process.offset,
            })
        };
        (0..self.nodes.len()).filter_map(follows).collect()
    }
}

pub(crate) fn run_id(run: u64) -> RunId {
    RunId::parse(&format!("r{run:039}")).unwrap()
}
