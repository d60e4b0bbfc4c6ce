//! Several proxies and no coordinator: two primaries do not both take acknowledged writes, through
//! different proxies, for longer than one probe interval.
//!
//! What is measured is the truth: a history has one writer, so two histories that both took writes
//! between the same two moments were two primaries. It is always counted. It must hold under the
//! conditions of the runbook ("Several Segues, no coordinator"): every proxy reaches every node,
//! and nobody stands still, is slow or answers an error in place of what he is; not now, and not
//! lately: every proxy must have had the time to ask everybody anew. A process that is killed and
//! one that is started are no exception, nor is a human who turns roles.
//!
//! Nor must it hold between two data sets of which neither says that it comes from the other, nor both
//! that they come from the same one: each proxy stays with the one that it knows, and a human decides.
//! What they say is one step; a proxy may have seen more of them, but one that was killed has not.

use crate::data::{History, Write};
use crate::proxy::micros;
use crate::sim::Sim;
use crate::swarm::{MS, Us};
use std::collections::BTreeMap;

/// Beside the interval: the question that is asked at its end, its answer, and what was on its way to
/// the primary that is given up then.
const MESSAGES: u64 = 3;

/// `Rng::spread` goes up to five times its mean.
const LONGEST: u64 = 5;

/// Between a proxy's timers, its threads and its workers.
const WITHIN_PROXY: Us = 2 * MS;

/// Who took acknowledged writes when: the times at which the first and the last of them ran, for
/// each history and proxy.
#[derive(Debug, Default)]
pub(crate) struct Reigns {
    ran: BTreeMap<Write, (History, Us)>,
    of: BTreeMap<(History, usize), (Us, Us)>,
    /// For how long two histories both took writes.
    twofold: BTreeMap<(History, History), Us>,
    /// When something was last in the way of seeing one another.
    rough_at: Us,
}

impl Sim {
    /// A node ran `write` now.
    pub(super) fn note_ran(&mut self, write: Write, history: History) {
        if self.swarm.proxies > 1 {
            self.checker.reigns.ran.insert(write, (history, self.now));
        }
    }

    /// Something is in the way from now on, or is still.
    pub(crate) fn note_roughness(&mut self) {
        let now = self.now;
        let nodes = self
            .nodes
            .iter()
            .any(|it| !it.host_up || it.stopped_until > now || it.impairment(now).is_some());
        let proxies = self
            .proxies
            .iter()
            .any(|it| it.asleep_until > now || it.workers.iter().any(|it| it.stuck_until > now));
        if nodes || proxies || self.network.is_rough() {
            self.checker.reigns.rough_at = now;
        }
    }

    /// The client of proxy `p` has heard that `write` was done.
    pub(super) fn check_split(&mut self, p: usize, write: Write) {
        let reigns = &mut self.checker.reigns;
        let Some((history, at)) = reigns.ran.remove(&write) else { return };
        let own = reigns.of.entry((history, p)).or_insert((at, at));
        *own = (own.0.min(at), own.1.max(at));
        let own = *own;
        let others: Vec<_> = reigns
            .of
            .iter()
            .filter(|((other, q), span)| *other != history && *q != p && span.1 > own.0)
            .map(|((other, _), span)| (*other, own.0.max(span.0), own.1.min(span.1)))
            .filter(|(_, from, to)| to > from)
            .collect();
        for (other, from, to) in others {
            self.note_split(history.min(other), history.max(other), from, to);
        }
    }

    /// Two histories both took writes from `from` to `to`.
    fn note_split(&mut self, one: History, other: History, from: Us, to: Us) {
        let reigns = &mut self.checker.reigns;
        let longest = reigns.twofold.entry((one, other)).or_default();
        *longest = (*longest).max(to - from);
        let longest = *longest;
        let params = self.swarm.params.detect;
        let message = LONGEST * self.swarm.latency;
        // What is in the way is looked for once a turn of the nodes.
        let settled =
            micros(params.timeout + params.interval) + MESSAGES * message + self.swarm.pump_every;
        let whole_from = reigns.rough_at + settled;
        let twofold = reigns.twofold.len() as u64;
        let stats = &mut self.checker.stats;
        stats.twofold = twofold;
        stats.twofold_us = stats.twofold_us.max(longest);
        let lasted = to.saturating_sub(from.max(whole_from));
        if lasted == 0 || !self.data.is_told(one, other) {
            return;
        }
        stats.twofold_whole_us = stats.twofold_whole_us.max(lasted);
        let limit = micros(params.interval) + MESSAGES * message + WITHIN_PROXY;
        self.check(lasted <= limit, "split", || {
            format!("histories {one} and {other} both took writes for {lasted} us, limit {limit}")
        });
    }
}
