//! Replication as the servers do it: partial and full copies, shifting ids, lag, reconnecting.
//!
//! * `REPLICAOF NO ONE` begins a new history and keeps the old one as the second, with the first
//!   offset not shared; on a primary it does nothing. `REPLICAOF` to the same node does nothing.
//! * A partial copy needs a shared history and the bytes in the backlog. Anything else is a full
//!   copy: the place in the old stream is forgotten when it begins, the *data* when loading
//!   begins.
//! * Who changes its primary or its history disconnects its own replicas.
//! * A replica whose link is down tries again once a second; who was told to follow tries at once.

use super::{Link, Loading, Process, Role};
use crate::data::Point;
use crate::network::End;
use crate::sim::Sim;
use crate::swarm::{Disk, MS, SECOND, Us};

impl Sim {
    /// `REPLICAOF`: to whom, or no one. The error is the server's.
    pub(crate) fn replicaof(&mut self, n: usize, of: Option<usize>) -> Result<(), String> {
        let now = self.now;
        if let Some(error) = self.nodes[n].impairment(now).filter(|it| it.starts_with("BUSY")) {
            return Err(error.to_owned());
        }
        let Some(process) = &mut self.nodes[n].process else { return Err("gone".to_owned()) };
        if process.loading.is_some() {
            return Err("LOADING Redis is loading the dataset in memory".to_owned());
        }
        match (process.role, of) {
            (Role::Primary, None) => return Ok(()),
            (Role::Replica { of: old, .. }, Some(new)) if old == new => return Ok(()),
            (Role::Replica { .. }, None) => {
                let point = process.point();
                process.role = Role::Primary;
                process.second = Some((process.history, process.offset + 1));
                process.history = self.data.go_on(point);
            }
            (Role::Primary, Some(of)) => {
                process.role = Role::Replica { of, link: Link::Down };
                process.cached = true;
                process.down_since = None;
            }
            (Role::Replica { link, .. }, Some(of)) => {
                process.role = Role::Replica { of, link: Link::Down };
                if matches!(link, Link::Up { .. }) {
                    process.down_since = Some(now);
                }
            }
        }
        process.unapplied.clear();
        process.received = process.offset;
        process.retry_at = now + MS;
        self.trace(|| format!("node {n} is turned: REPLICAOF {of:?}"));
        self.kick_replicas(n);
        self.remember_role(n);
        Ok(())
    }

    /// `CLIENT KILL TYPE master`: what was received and not applied is lost with the connection,
    /// and it connects anew at once.
    pub(crate) fn cut_link(&mut self, n: usize) {
        let now = self.now;
        let Some(process) = &mut self.nodes[n].process else { return };
        if let Role::Replica { of, link: Link::Up { .. } } = process.role {
            process.role = Role::Replica { of, link: Link::Down };
            process.down_since = Some(now);
            process.cached = true;
            process.unapplied.clear();
            process.received = process.offset;
            process.retry_at = now + MS;
        }
    }

    /// Everybody's links move on.
    pub(crate) fn pump(&mut self) {
        for n in 0..self.nodes.len() {
            if self.nodes[n].awake(self.now).is_none() {
                continue;
            }
            self.finish_loading(n);
            self.cron(n);
            let Some(Process { role: Role::Replica { of, link }, loading: None, .. }) =
                self.nodes[n].process
            else {
                continue;
            };
            match link {
                Link::Down => self.reconnect(n, of),
                Link::Syncing { until, run, snapshot } => self.sync(n, of, until, run, snapshot),
                Link::Up { run, sent } => self.stream(n, of, run, sent),
            }
        }
    }

    fn finish_loading(&mut self, n: usize) {
        let now = self.now;
        let Some(process) = &self.nodes[n].process else { return };
        let Some(Loading { until, point, from }) = process.loading else { return };
        if until > now {
            return;
        }
        // Whoever sent it may be gone, or be of another history, by now.
        let is_there = |of: usize, run: u64| {
            let source = self.nodes[of].process.as_ref();
            source.is_some_and(|it| it.run == run && it.history == point.history)
        };
        let streams = match (from, process.role) {
            (Some(run), Role::Replica { of, .. }) => is_there(of, run),
            (Some(_) | None, Role::Primary | Role::Replica { .. }) => false,
        };
        let Some(process) = &mut self.nodes[n].process else { return };
        process.loading = None;
        process.history = point.history;
        process.offset = point.offset;
        process.received = point.offset;
        if let (Some(run), Role::Replica { of, .. }) = (from, process.role) {
            process.second = None;
            process.cached = true;
            process.backlog_from = point.offset + 1;
            process.last_io = now;
            process.down_since = (!streams).then_some(now);
            let up = Link::Up { run, sent: point.offset };
            process.role = Role::Replica { of, link: if streams { up } else { Link::Down } };
            // It was told so while it ran.
            if !self.swarm.files && !self.swarm.remembers_role {
                self.nodes[n].configured_of = None;
            }
        }
        self.trace(|| format!("node {n} has loaded {point:?}"));
    }

    /// What a server does once a second.
    fn cron(&mut self, n: usize) {
        let now = self.now;
        if self.nodes[n].cron_at > now {
            return;
        }
        self.nodes[n].cron_at = (now - self.nodes[n].phase % SECOND) / SECOND * SECOND
            + self.nodes[n].phase % SECOND
            + SECOND;
        let every = if self.swarm.disk == Disk::Snapshot { 4 } else { 1 };
        if self.swarm.disk != Disk::None && (now / SECOND).is_multiple_of(every) {
            self.save(n);
        }
        let ping_every = self.swarm.ping_every;
        let has_replicas = (0..self.nodes.len()).any(|it| self.streams_from(it, n));
        let Some(process) = &mut self.nodes[n].process else { return };
        if process.is_primary()
            && process.loading.is_none()
            && has_replicas
            && now >= process.pinged_at + ping_every
        {
            process.pinged_at = now;
            process.offset += 14;
        }
    }

    fn streams_from(&self, replica: usize, n: usize) -> bool {
        let Some(run) = self.nodes[n].process.as_ref().map(|it| it.run) else { return false };
        let process = self.nodes[replica].process.as_ref();
        matches!(process.map(|it| it.role),
            Some(Role::Replica { of, link: Link::Up { run: from, .. } }) if of == n && from == run)
    }

    fn reaches(&self, n: usize, of: usize) -> bool {
        self.nodes[of].host_up
            && self.network.passes(End::Node(n), End::Node(of))
            && self.network.passes(End::Node(of), End::Node(n))
    }

    /// One attempt to get in step with `of`.
    fn reconnect(&mut self, n: usize, of: usize) {
        let now = self.now;
        let next = self.nodes[n].cron_at.max(now + MS);
        let backlog = self.swarm.backlog;
        let sync_for = self.rng.spread(self.swarm.sync_for);
        let reaches = self.reaches(n, of);
        let source = self.nodes[of].awake(now).filter(|_| reaches && of != n);
        let source = source.filter(|it| {
            let is_in_step = match it.role {
                Role::Primary => true,
                Role::Replica { link, .. } => matches!(link, Link::Up { .. }),
            };
            it.loading.is_none() && is_in_step
        });
        let offer = source.map(|it| (it.run, it.point(), it.second, it.backlog_from));
        let Some(process) = &mut self.nodes[n].process else { return };
        if process.retry_at > now {
            return;
        }
        process.retry_at = next;
        let Some((run, theirs, second, backlog_from)) = offer else { return };
        let is_shared = process.history == theirs.history
            || second
                .is_some_and(|(history, fork)| history == process.history && process.offset < fork);
        let backlog_from = backlog_from.max(theirs.offset.saturating_sub(backlog) + 1);
        let is_partial = process.cached
            && is_shared
            && process.offset <= theirs.offset
            && process.offset + 1 >= backlog_from;
        process.last_io = now;
        if !is_partial {
            process.cached = false;
            let link = Link::Syncing { until: now + sync_for, run, snapshot: theirs };
            process.role = Role::Replica { of, link };
            self.trace(|| format!("node {n} begins a full copy of node {of}: {theirs:?}"));
            return;
        }
        let is_renamed = process.history != theirs.history;
        if is_renamed {
            process.second = Some((process.history, process.offset + 1));
            process.history = theirs.history;
        }
        process.down_since = None;
        process.role = Role::Replica { of, link: Link::Up { run, sent: process.offset } };
        self.trace(|| format!("node {n} goes on from node {of}, which has {theirs:?}"));
        if is_renamed {
            self.kick_replicas(n);
        }
    }

    fn sync(&mut self, n: usize, of: usize, until: Us, run: u64, snapshot: Point) {
        let (now, load_for) = (self.now, self.rng.spread(self.swarm.load_for));
        let is_there = self.nodes[of].process.as_ref().is_some_and(|it| it.run == run);
        let reaches = self.reaches(n, of);
        let timeout = self.swarm.repl_timeout;
        let moves = reaches && self.nodes[of].stopped_until <= now;
        let Some(process) = &mut self.nodes[n].process else { return };
        if reaches && !is_there || !moves && now >= process.last_io + timeout {
            process.role = Role::Replica { of, link: Link::Down };
            process.down_since = Some(now);
            self.trace(|| format!("node {n}: the full copy of node {of} is cut short"));
            return;
        }
        if moves {
            process.last_io = now;
        }
        if moves && until <= now {
            self.check_rescued(n, of);
            let Some(process) = &mut self.nodes[n].process else { return };
            process.loading =
                Some(Loading { until: now + load_for, point: snapshot, from: Some(run) });
            self.copy_goes(n);
            self.trace(|| format!("node {n} throws its data away and loads {snapshot:?}"));
            self.kick_replicas(n);
        }
    }

    fn stream(&mut self, n: usize, of: usize, run: u64, sent: u64) {
        let (now, lag, timeout) = (self.now, self.swarm.apply_lag, self.swarm.repl_timeout);
        let source = self.nodes[of].process.as_ref().filter(|it| it.run == run);
        let offered = source.filter(|it| it.loading.is_none()).map(|it| it.offset);
        let is_open = self.nodes[of].host_up && self.network.passes(End::Node(of), End::Node(n));
        let is_awake = self.nodes[of].stopped_until <= now;
        let cron_at = self.nodes[n].cron_at;
        let Some(process) = &mut self.nodes[n].process else { return };
        while process.unapplied.front().is_some_and(|it| it.0 <= now) {
            process.offset = process.unapplied.pop_front().map_or(process.offset, |it| it.1);
        }
        let mut is_lost = false;
        match offered {
            Some(offered) if is_open && is_awake => {
                if sent > process.received {
                    process.received = sent;
                    process.last_io = now;
                    process.unapplied.push_back((now + lag, sent));
                }
                process.role = Role::Replica { of, link: Link::Up { run, sent: offered } };
            }
            // The process is gone; what it had sent is still applied.
            None if is_open && sent > process.received => {
                process.received = sent;
                process.unapplied.push_back((now + lag, sent));
            }
            None if is_open => is_lost = process.unapplied.is_empty(),
            Some(_) | None => is_lost = now >= process.last_io + timeout,
        }
        // Both are told that the connection is dead by the same time-out.
        if is_lost {
            process.unapplied.clear();
            process.received = process.offset;
            process.down_since = Some(now);
            process.retry_at = cron_at;
            process.role = Role::Replica { of, link: Link::Down };
            self.trace(|| format!("node {n} has lost its link to node {of}"));
        }
    }

    /// Node `n` closes the connections of its replicas.
    fn kick_replicas(&mut self, n: usize) {
        let now = self.now;
        for other in 0..self.nodes.len() {
            let cron_at = self.nodes[other].cron_at;
            let Some(process) = &mut self.nodes[other].process else { continue };
            let Role::Replica { of, link } = process.role else { continue };
            if of != n || matches!(link, Link::Down) || process.loading.is_some() {
                continue;
            }
            process.role = Role::Replica { of, link: Link::Down };
            process.unapplied.clear();
            process.received = process.offset;
            process.down_since = Some(now);
            process.retry_at = cron_at;
        }
    }
}
