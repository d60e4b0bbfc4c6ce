//! What was delivered to one proxy, put down independently of its brain.

use crate::data::Point;
use crate::proxy::micros;
use crate::swarm::Us;
use segue::pure::detect;
use segue::pure::failover::{Finding, Probed};
use segue::pure::topology::{Epoch, LinkState, ReplId, Report, RunId};
use std::collections::{BTreeMap, BTreeSet};

/// A primary that was dead before this proxy came. What is known of its data is what its best
/// replica had then.
#[derive(Clone, Debug)]
pub(crate) struct Orphaned {
    pub(crate) primary: usize,
    pub(crate) best: Report,
    pub(crate) point: Point,
}

/// What one proxy has heard of one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The last report, when it was asked for, and the truth behind it.
    pub(crate) report: Option<Report>,
    pub(crate) asked: Us,
    pub(crate) point: Option<Point>,
    /// When the last question was asked that was answered or timed out.
    pub(crate) tried: Us,
    /// Good answers in a row; and how many there were before the newest silence.
    pub(crate) streak: u32,
    pub(crate) streak_before: u32,
    /// When the question was asked that got the last good answer.
    pub(crate) tried_well: Us,
    /// Since when every answer was good.
    pub(crate) well_from: Us,
    /// Its host was reached since: it took or refused a connection, or loads.
    pub(crate) is_reached: bool,
    /// It was seen with the data that is served.
    pub(crate) is_family: bool,
    /// The process that was last seen as a replica.
    pub(crate) replica_run: Option<RunId>,
    /// The process that was last seen to receive, or to have received: not all it has is of a file.
    pub(crate) step_run: Option<RunId>,
    /// The newest question was not answered in time; it was not refused.
    pub(crate) is_late: bool,
    /// When a good answer came last.
    pub(crate) good_at: Us,
    /// When it was last known to be well beyond doubt, in waking time.
    pub(crate) well_at: Us,
    /// An order to it failed for certain.
    pub(crate) refused_at: Option<Us>,
}

/// What one proxy has heard, and what it has published.
#[derive(Clone, Debug)]
pub(crate) struct Eyes {
    /// When this life of the proxy began.
    pub(crate) born_at: Us,
    pub(crate) known: Vec<Known>,
    pub(crate) version: u64,
    pub(crate) epoch: Epoch,
    pub(crate) opened: BTreeMap<Epoch, usize>,
    pub(crate) candidates: BTreeMap<Epoch, usize>,
    /// Who was opened for last, and the process that it was then.
    pub(crate) serving: Option<usize>,
    pub(crate) served: Option<Report>,
    pub(crate) served_point: Option<Point>,
    /// The histories of all that were opened for, and which history goes on from which, as told.
    lines: BTreeSet<ReplId>,
    /// All histories that somebody was heard to have.
    pub(crate) heard: BTreeSet<ReplId>,
    parents: BTreeMap<ReplId, ReplId>,
    /// How long it stood still, in all.
    pub(crate) slept: Us,
    pub(crate) woke_at: Us,
    pub(crate) stepped_at: Us,
    /// Promotions ordered since commands were held.
    pub(crate) orders_while_held: u32,
    pub(crate) switches: u64,
    /// When commands were held, if they are.
    pub(crate) held_at: Option<Us>,
    /// Nobody who held more could be had for long: the primary may serve as it is.
    pub(crate) forgiven: bool,
    /// Who said that it became primary, and in which epoch.
    pub(crate) promoted: Option<(Epoch, usize)>,
    /// A switchover is under way: from whom to whom.
    pub(crate) switching: Option<(usize, usize)>,
    /// A primary that never served was given up: all its replicas said that they lost it.
    pub(crate) orphaned: Option<Orphaned>,
    /// A promotion of this process had no answer.
    pub(crate) uncertain: Option<(usize, RunId, Us)>,
    /// Who was chosen last, in which epoch, what it had, and when that was.
    pub(crate) chosen: Option<(Epoch, usize, Point)>,
    pub(crate) chosen_at: Us,
    /// Whom it chose, and gave up because he did not have that any more.
    pub(crate) given_up: Option<usize>,
    /// Up to where workers said that writes of a history are safe.
    pub(crate) told: BTreeMap<ReplId, u64>,
    /// Since when the primary is known to be another process, which has loaded what it has.
    pub(crate) back_since: Option<Us>,
    /// Which process was opened for last, which one before, and how often each was.
    open_for: Option<(usize, RunId)>,
    pub(crate) left: Option<(usize, RunId)>,
    pub(crate) reigns: BTreeMap<(usize, RunId), u32>,
}

impl Eyes {
    pub(crate) fn new(nodes: usize, now: Us) -> Self {
        Self {
            born_at: now,
            known: vec![Known::default(); nodes],
            version: 0,
            epoch: Epoch(0),
            opened: BTreeMap::new(),
            candidates: BTreeMap::new(),
            serving: None,
            served: None,
            served_point: None,
            lines: BTreeSet::new(),
            heard: BTreeSet::new(),
            parents: BTreeMap::new(),
            slept: 0,
            woke_at: 0,
            stepped_at: now,
            orders_while_held: 0,
            switches: 0,
            // A life begins with commands held.
            held_at: Some(now),
            forgiven: false,
            promoted: None,
            switching: None,
            orphaned: None,
            uncertain: None,
            chosen: None,
            chosen_at: 0,
            given_up: None,
            told: BTreeMap::new(),
            back_since: None,
            open_for: None,
            left: None,
            reigns: BTreeMap::new(),
        }
    }

    /// Time that it was awake.
    pub(crate) const fn awake(&self, now: Us) -> Us {
        now.saturating_sub(self.slept)
    }

    pub(crate) fn see(
        &mut self,
        now: Us,
        params: detect::Params,
        probed: &Probed,
        asked: Us,
        point: Option<Point>,
    ) {
        let awake = self.awake(now);
        let node = usize::from(probed.node.0);
        let known = &mut self.known[node];
        known.tried = asked;
        known.is_late = matches!(probed.finding, Finding::Silent { .. });
        known.is_reached |= match &probed.finding {
            Finding::Silent { connected } => *connected,
            Finding::Good(_) | Finding::Loading | Finding::Refused => true,
            Finding::Impaired { .. } | Finding::NotAsked => false,
        };
        let streak_before = if known.streak > 0 { known.streak } else { known.streak_before };
        known.streak_before = if known.is_late { streak_before } else { 0 };
        let (is_good, report) = match &probed.finding {
            Finding::Good(report) => (!report.loading, Some(report)),
            Finding::Impaired { report, .. } => (true, report.as_ref()),
            Finding::Loading | Finding::Refused | Finding::Silent { .. } | Finding::NotAsked => {
                (false, None)
            }
        };
        if let Some(report) = report {
            self.read(node, report, asked, point);
        }
        let known = &mut self.known[node];
        if is_good {
            // Silent for so long, it may have been given up in between.
            if known.good_at + micros(least(params)) <= now {
                known.streak = 0;
            }
            known.streak += 1;
            if known.streak == 1 {
                known.well_from = now;
            }
            // A single answer after a verdict of *down* is no recovery: `health.rise`.
            let is_early = now < self.born_at + micros(least(params));
            let is_first = known.good_at == 0 && is_early;
            let is_lately = awake < known.well_at + micros(least(params));
            if known.streak >= params.rise || is_lately || is_first {
                known.well_at = awake;
            }
            known.good_at = now;
            known.tried_well = asked;
            known.is_reached = false;
        } else {
            known.streak = 0;
        }
        let is_served = self.serving == Some(node);
        if is_served && let Some(report) = &known.report {
            let is_same = self.served.as_ref().map(|it| it.run_id) == Some(report.run_id);
            let is_back = !is_same && report.is_primary() && !report.loading && is_good;
            self.back_since = self.back_since.filter(|_| is_back).or(is_back.then_some(now));
        }
        if is_served && is_good && known.report.as_ref().is_some_and(Report::is_primary) {
            let is_same = self.served.as_ref().map(|it| it.run_id)
                == known.report.as_ref().map(|it| it.run_id);
            if is_same {
                self.served.clone_from(&known.report);
                self.served_point = known.point;
            }
        }
    }

    /// What `node` says of itself.
    fn read(&mut self, node: usize, report: &Report, asked: Us, point: Option<Point>) {
        self.parents.extend(report.descends.map(|it| (report.replid, it.0)));
        if !report.loading {
            self.heard.insert(report.replid);
        }
        let served = self.served.as_ref().map(|it| it.replid);
        let known = &mut self.known[node];
        known.report = Some(report.clone());
        known.is_family |= served == Some(report.replid);
        if !report.is_primary() {
            known.replica_run = Some(report.run_id);
        }
        let link = report.link().map(|it| it.state);
        if !matches!(link, Some(LinkState::Never | LinkState::Syncing)) && report.offset > 1 {
            known.step_run = Some(report.run_id);
        }
        known.asked = asked;
        known.point = point;
    }

    /// The gate opens for `node`.
    pub(crate) fn opened(&mut self, node: usize) {
        let known = &self.known[node];
        // While it loads, it says nothing about what it has.
        let has_loaded = known.report.as_ref().is_some_and(|it| !it.loading);
        if has_loaded || self.serving != Some(node) {
            self.served.clone_from(&known.report);
            self.served_point = known.point;
        }
        self.lines.extend(known.report.as_ref().map(|it| it.replid));
        if let Some(run) = known.report.as_ref().map(|it| it.run_id)
            && self.open_for != Some((node, run))
        {
            self.left = self.open_for.replace((node, run));
            *self.reigns.entry((node, run)).or_default() += 1;
        }
        self.serving = Some(node);
        self.switching.take_if(|it| it.1 == node);
        self.orders_while_held = 0;
        self.held_at = None;
        self.back_since = None;
        self.forgiven = false;
        self.uncertain = None;
    }

    /// The primary may serve with what it has.
    pub(crate) fn forgave(&mut self) {
        // Nothing flows yet: it may have to be promoted first.
        let held_at = self.held_at;
        if let Some(serving) = self.serving {
            self.opened(serving);
        }
        self.held_at = held_at;
        self.forgiven = true;
    }

    pub(crate) fn ordered(&mut self, now: Us, epoch: Epoch, node: usize) {
        if self.is_first_order(epoch) {
            self.chosen = self.known[node].point.map(|it| (epoch, node, it));
            self.chosen_at = now;
        }
        self.candidates.insert(epoch, node);
        self.orders_while_held += 1;
    }

    /// Who is the primary that others may take over from: it served, or its replicas said so.
    pub(crate) fn primary(&self) -> Option<usize> {
        self.serving.or_else(|| self.orphaned.as_ref().map(|it| it.primary))
    }

    /// What is known of that primary's data, and the truth behind it.
    pub(crate) fn data(&self) -> Option<(Report, Point)> {
        if self.serving.is_some() {
            return self.served.clone().zip(self.served_point);
        }
        self.orphaned.as_ref().map(|it| (it.best.clone(), it.point))
    }

    /// `history` and all that it goes back to, as far as anything that was told says.
    pub(crate) fn line(&self, history: ReplId) -> Vec<ReplId> {
        // One more than there are steps: so a circle of claims ends too.
        std::iter::successors(Some(history), |it| self.parents.get(it).copied())
            .take(self.parents.len() + 1)
            .collect()
    }

    /// Whether `history` is `ancestor`, or goes back to it.
    pub(crate) fn goes_back_to(&self, history: ReplId, ancestor: ReplId) -> bool {
        self.line(history).contains(&ancestor)
    }

    /// Whether anything that was told says that what was opened for goes back to `history`.
    pub(crate) fn is_known_line(&self, history: ReplId) -> bool {
        self.lines.iter().any(|it| self.goes_back_to(*it, history))
    }

    /// Whether promoting `node` is what a switchover wants.
    pub(crate) fn is_planned(&self, node: usize) -> bool {
        self.switching.is_some_and(|it| it.1 == node)
    }

    pub(crate) fn is_first_order(&self, epoch: Epoch) -> bool {
        !self.candidates.contains_key(&epoch)
    }
}

/// The shortest time after which a primary may be given up, whatever the reason.
pub(crate) fn least(params: detect::Params) -> std::time::Duration {
    params.down_after.min(params.refused_after).min(params.loading_after)
}
