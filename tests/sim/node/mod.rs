//! A data node: what it is, what it keeps over a restart, what it answers.
//!
//! Modelled after what `redis-server` 7.0 and `valkey-server` 9.1 were seen to do; the parts that
//! decide whether data survives are as exact as we know them (see `replication`).

pub(crate) mod replication;
pub(crate) mod report;
pub(crate) mod serve;

use crate::data::{History, Point};
use crate::sim::Sim;
use crate::swarm::{Disk, SECOND, Us};
use std::collections::VecDeque;

/// A node and the host under it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) host_up: bool,
    pub(crate) process: Option<Process>,
    /// Until then the process stands still.
    pub(crate) stopped_until: Us,
    /// Until then it answers this error to everything.
    pub(crate) impaired: Option<(Us, &'static str)>,
    /// Until then `CLIENT PAUSE … WRITE` holds up writes.
    pub(crate) paused_until: Us,
    pub(crate) priority: u32,
    /// Its whole seconds begin here.
    pub(crate) phase: Us,
    pub(crate) cron_at: Us,
    /// What a restart finds.
    saved: Option<Point>,
    /// What the configuration file says.
    pub(crate) configured_of: Option<usize>,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) run: u64,
    pub(crate) role: Role,
    pub(crate) history: History,
    /// The history that was continued, and the first offset not shared with it.
    pub(crate) second: Option<(History, u64)>,
    /// Applied.
    pub(crate) offset: u64,
    pub(crate) received: u64,
    /// Received and not applied: due, offset.
    pub(crate) unapplied: VecDeque<(Us, u64)>,
    /// Where it stands in its primary's stream is known.
    pub(crate) cached: bool,
    pub(crate) backlog_from: u64,
    pub(crate) loading: Option<Loading>,
    pub(crate) down_since: Option<Us>,
    pub(crate) last_io: Us,
    pub(crate) pinged_at: Us,
    pub(crate) retry_at: Us,
}

/// A data set on its way into memory. Until it is there, the node has nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loading {
    pub(crate) until: Us,
    pub(crate) point: Point,
    /// It came from this process; otherwise from disk.
    pub(crate) from: Option<u64>,
}

/// What a process is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Primary,
    Replica { of: usize, link: Link },
}

/// A replica's link.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Link {
    Down,
    Syncing {
        until: Us,
        run: u64,
        snapshot: Point,
    },
    /// Streaming; `sent` is under way.
    Up {
        run: u64,
        sent: u64,
    },
}

impl Process {
    pub(crate) const fn is_primary(&self) -> bool {
        matches!(self.role, Role::Primary)
    }

    /// What it holds; nothing, while it loads.
    pub(crate) fn point(&self) -> Point {
        match self.loading {
            Some(_) => Point { history: 0, offset: 0 },
            None => Point { history: self.history, offset: self.offset },
        }
    }
}

impl Node {
    pub(crate) const fn new(priority: u32, phase: Us, of: Option<usize>) -> Self {
        Self {
            host_up: true,
            process: None,
            stopped_until: 0,
            impaired: None,
            paused_until: 0,
            priority,
            phase,
            cron_at: phase,
            saved: None,
            configured_of: of,
        }
    }

    /// The process, if it runs and does not stand still.
    pub(crate) fn awake(&self, now: Us) -> Option<&Process> {
        self.process.as_ref().filter(|_| self.host_up && self.stopped_until <= now)
    }

    pub(crate) fn impairment(&self, now: Us) -> Option<&'static str> {
        self.impaired.filter(|it| it.0 > now).map(|it| it.1)
    }
}

impl Sim {
    /// Starts the server of node `n` with what its disk has.
    pub(crate) fn start_node(&mut self, n: usize) {
        if self.nodes[n].process.is_some() {
            return;
        }
        self.runs += 1;
        let (run, now, disk) = (self.runs, self.now, self.swarm.disk);
        let of = self.nodes[n].configured_of;
        let saved = self.nodes[n].saved;
        let mut second = None;
        let (history, offset, cached) = match (saved, disk, of) {
            (None, _, _) | (_, Disk::None, _) => (self.data.begin(), 0, false),
            (Some(point), Disk::Snapshot, Some(_)) => (point.history, point.offset, true),
            (Some(point), Disk::Snapshot, None) => {
                second = Some((point.history, point.offset + 1));
                (self.data.go_on(point), point.offset, false)
            }
            (Some(point), Disk::Log { .. }, _) => (self.data.rebase(point), 0, false),
        };
        let point = Point { history, offset };
        let keys = self.data.keys(point);
        let role = of.map_or(Role::Primary, |of| Role::Replica { of, link: Link::Down });
        let loading = (keys > 0).then(|| Loading {
            until: now + self.rng.spread(self.swarm.load_for),
            point,
            from: None,
        });
        self.trace(|| format!("node {n} starts as run {run}, {role:?}, {point:?}, {keys} keys"));
        self.nodes[n].stopped_until = 0;
        if self.swarm.full_disk && now > 0 && self.healing_from.is_none() {
            let until = now + self.rng.spread(SECOND);
            self.nodes[n].impaired = Some((until, "MISCONF Errors writing to the RDB file."));
        }
        self.nodes[n].process = Some(Process {
            run,
            role,
            history,
            second,
            offset,
            received: offset,
            unapplied: VecDeque::new(),
            cached,
            backlog_from: offset + 1,
            loading,
            down_since: None,
            last_io: now,
            pinged_at: now,
            retry_at: now,
        });
    }

    /// Ends the server of node `n` at once.
    pub(crate) fn kill_node(&mut self, n: usize) {
        if self.nodes[n].process.is_none() {
            return;
        }
        if self.swarm.disk == (Disk::Log { always: true }) {
            self.save(n);
        }
        self.copy_goes(n);
        let run = self.nodes[n].process.take().map(|it| it.run);
        self.nodes[n].impaired = None;
        self.nodes[n].paused_until = 0;
        self.trace(|| format!("node {n} is killed, run {run:?}"));
        self.reset_connections(n);
    }

    /// Brings the disk up to date with what is in memory.
    pub(crate) fn save(&mut self, n: usize) {
        let Some(process) = &self.nodes[n].process else { return };
        if process.loading.is_none() {
            self.nodes[n].saved = Some(process.point());
        }
    }

    /// The configuration file follows the role, where it may be written.
    pub(crate) fn remember_role(&mut self, n: usize) {
        if !self.swarm.remembers_role {
            return;
        }
        let Some(process) = &self.nodes[n].process else { return };
        self.nodes[n].configured_of = match process.role {
            Role::Primary => None,
            Role::Replica { of, .. } => Some(of),
        };
    }
}
