//! What must always hold, one file each, and what the checks know.
//!
//! A check uses two kinds of knowledge: the truth of the simulated world, for what must hold
//! whatever a proxy knows; and what was *delivered* to a proxy (kept in [`Eyes`]), for what it
//! could have known. It never looks into the brain.

mod amnesia;
mod apart;
mod barrier;
mod best;
mod discovery;
mod durable;
mod eligible;
mod epoch;
mod evidence;
mod eyes;
mod flapping;
mod gate;
mod guarded;
mod heal;
mod kept;
mod late;
mod patience;
mod planned;
mod quorum;
mod ready;
mod rejoin;
mod replaced;
mod rescued;
mod robbed;
mod session;
mod split;
mod stale;
mod transaction;
mod unchanged;
mod unknown;
mod witness;

use crate::client::{Outcome, Transaction};
use crate::data::{Point, Write};
use crate::sim::Sim;
use crate::swarm::{Fault, Swarm, Us};
use segue::pure::failover::{Action, Note, Order, Outcome as Ended, Probed};
use segue::pure::topology::Gate;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) use eyes::Eyes;

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) at: Us,
}

/// What was counted, for the account of a sweep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) faults: u64,
    pub(crate) promotions: u64,
    pub(crate) follows: u64,
    pub(crate) amnesias: u64,
    /// Primaries without their data that nothing told from one that had it.
    pub(crate) hidden: u64,
    /// Pairs of primaries that both took acknowledged writes at a time, through different proxies;
    /// for how long at most; and for how long while everybody could see everybody.
    pub(crate) twofold: u64,
    pub(crate) twofold_us: Us,
    pub(crate) twofold_whole_us: Us,
    pub(crate) witnesses: u64,
    pub(crate) switchovers: u64,
    pub(crate) switchovers_undone: u64,
    pub(crate) recoveries: u64,
    pub(crate) acked: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    pub(crate) lost: u64,
    pub(crate) humans_needed: u64,
    pub(crate) heal_ms: u64,
}

/// Everything that the checks remember.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) violation: Option<Violation>,
    pub(crate) writes: Vec<Outcome>,
    /// Acknowledged, and legitimately gone: no replica that took over had them.
    lost: BTreeSet<Write>,
    /// By which process.
    executed_by: BTreeMap<Write, u64>,
    pub(super) reigns: split::Reigns,
    /// By the first write of each, with the client whose it is.
    pub(crate) transactions: BTreeMap<Write, (usize, Transaction)>,
    /// On which connections each `WATCH` ran, and whether its client has heard of it.
    pub(crate) watches: BTreeMap<u64, (BTreeSet<u64>, bool)>,
    pub(crate) eyes: Vec<Eyes>,
    pub(crate) stats: Stats,
    /// Of each acknowledged guarded write: which nodes had it when its client heard of it.
    copies: BTreeMap<Write, Vec<usize>>,
    /// When that was, where several proxies acknowledge.
    acked_at: BTreeMap<Write, Us>,
    /// When a node lost what it had, the last time.
    gone_at: BTreeMap<usize, Us>,
    errors_told: u64,
    meddled: bool,
    healed_from: Option<Us>,
}

impl Checker {
    pub(crate) fn new(swarm: &Swarm) -> Self {
        Self {
            violation: None,
            writes: Vec::new(),
            lost: BTreeSet::new(),
            executed_by: BTreeMap::new(),
            reigns: split::Reigns::default(),
            transactions: BTreeMap::new(),
            watches: BTreeMap::new(),
            eyes: (0..swarm.proxies).map(|_| Eyes::new(swarm.nodes, 0)).collect(),
            stats: Stats::default(),
            copies: BTreeMap::new(),
            acked_at: BTreeMap::new(),
            gone_at: BTreeMap::new(),
            errors_told: 0,
            meddled: false,
            healed_from: None,
        }
    }

    /// Proxy `p` begins a life, and knows nothing.
    pub(crate) fn reset_proxy(&mut self, p: usize, swarm: &Swarm, now: Us) {
        self.eyes[p] = Eyes::new(swarm.nodes, now);
    }

    pub(crate) fn struck(&mut self, fault: Fault) {
        self.stats.faults += 1;
        self.meddled |= fault == Fault::Human;
    }
}

impl Sim {
    /// An invariant does not hold. The first one counts.
    pub(crate) fn fail(&mut self, name: &'static str, text: String) {
        self.trace(|| format!("!! {name}: {text}"));
        let at = self.now;
        self.checker.violation.get_or_insert(Violation { name, text, at });
    }

    pub(crate) fn check(&mut self, holds: bool, name: &'static str, text: impl FnOnce() -> String) {
        if !holds {
            self.fail(name, text());
        }
    }

    /// The brain is about to be told something.
    pub(crate) fn check_step(&mut self, p: usize) {
        self.check_awake(p);
    }

    /// The brain has been told, and was obeyed. A primary that it lets serve on as another
    /// process is one that it opened for.
    pub(crate) fn check_stepped(&mut self, p: usize) {
        let Some(open) = self.proxies[p].route.primary() else { return };
        let node = usize::from(open.node.0);
        let eyes = &self.checker.eyes[p];
        let is_primary = eyes.known[node].report.as_ref().is_some_and(|it| it.is_primary());
        if is_primary && eyes.serving == Some(node) && self.is_amnesiac(p) {
            self.check_amnesia(p, node);
            self.check_apart(p, node);
            self.check_durable(p, node);
            self.checker.eyes[p].opened(node);
        }
    }

    /// A probe's outcome was delivered; `point` is what the node held in truth.
    pub(crate) fn check_probed(
        &mut self,
        p: usize,
        probed: &Probed,
        asked: Us,
        point: Option<Point>,
    ) {
        let (now, params) = (self.now, self.swarm.params.detect);
        self.check_awake(p);
        self.checker.eyes[p].see(now, params, probed, asked, point);
    }

    pub(crate) fn check_action(&mut self, p: usize, action: &Action) {
        match action {
            Action::Publish(route) => {
                self.check_epoch(p, *route);
                let now = self.now;
                self.checker.eyes[p].held_at.get_or_insert(now);
                if let Gate::Open(primary) = route.gate {
                    let node = usize::from(primary.node.0);
                    self.check_kept(p, *route, node);
                    self.check_opened(p, *route, node);
                    self.check_ready(p, node);
                    self.check_copies(p, *route, node);
                    // Whoever took over from a primary that was dead already was promoted, and judged then.
                    if self.checker.eyes[p].primary().is_none() {
                        self.check_discovered(p, node);
                    }
                    if !self.checker.eyes[p].candidates.contains_key(&route.epoch) {
                        self.check_amnesia(p, node);
                        self.check_apart(p, node);
                    }
                    self.check_durable(p, node);
                    self.checker.eyes[p].opened(node);
                }
            }
            Action::Order(Order::Promote { node, epoch, .. }) => {
                let node = usize::from(node.0);
                self.check_candidate(p, node, *epoch);
                self.check_barrier(p, *epoch);
                let is_first = self.checker.eyes[p].is_first_order(*epoch);
                if self.checker.eyes[p].is_planned(node) {
                    // Asked again, it may be another process, which nobody may follow.
                    if is_first {
                        self.check_planned(p, node);
                    }
                } else if is_first {
                    self.check_unknown(p, node);
                    self.check_evidence(p);
                    self.check_witness(p);
                    self.check_eligible(p, node);
                    self.check_best(p, node);
                    self.check_fresh(p, node);
                    self.check_late(p, node);
                    self.check_patience(p);
                    self.check_quorum(p, node);
                    self.check_beside(p, node);
                }
                let now = self.now;
                self.checker.eyes[p].ordered(now, *epoch, node);
            }
            Action::Order(Order::Follow { node, primary, .. }) => {
                let (node, primary) = (usize::from(node.0), usize::from(primary.0));
                self.check_rejoin(p, node, primary);
                self.check_turned(p, node, primary);
                if self.checker.eyes[p].switching == Some((node, primary)) {
                    self.check_planned(p, primary);
                }
            }
            Action::Order(
                Order::Pause { .. } | Order::Unpause { .. } | Order::Reconnect { .. },
            )
            | Action::Tell(_)
            | Action::Adopted(_)
            | Action::Fence { .. }
            | Action::Probe(_)
            | Action::Watch(_)
            | Action::Note(_) => {}
        }
    }

    pub(crate) fn check_note(&mut self, p: usize, note: &Note) {
        self.count_note(note);
        if let Note::Forgiven { primary } = note {
            self.check_durable(p, usize::from(primary.0));
            self.checker.eyes[p].forgave();
        }
        if let Note::Orphaned { primary } = note {
            self.check_orphans(p, usize::from(primary.0));
        }
        self.check_replaced(p, note);
        self.check_unchanged(p, note);
        self.note_switchover(p, note);
        self.check_flapping(p, note);
    }

    fn count_note(&mut self, note: &Note) {
        let stats = &mut self.checker.stats;
        if let Note::FailedOver { followed, .. } = note {
            if *followed {
                stats.follows += 1;
            } else {
                stats.promotions += 1;
            }
        }
        stats.amnesias += u64::from(matches!(note, Note::Amnesia { .. }));
        stats.witnesses += u64::from(matches!(note, Note::Witnessed { .. }));
        stats.recoveries += u64::from(matches!(note, Note::Released { was_lost: true, .. }));
    }

    /// An order's outcome is about to be told to the brain.
    pub(crate) fn check_ordered(
        &mut self,
        p: usize,
        order: &Order,
        run: Option<u64>,
        outcome: &Ended,
    ) {
        self.note_outcome(p, order, run, outcome);
        if matches!(outcome, Ended::Refused(_) | Ended::NotSent(_)) {
            let now = self.now;
            self.checker.eyes[p].known[usize::from(order.node().0)].refused_at = Some(now);
        }
    }

    pub(crate) fn check_end(&mut self) {
        if self.checker.violation.is_none() {
            self.check_durable_end();
            self.check_all_answered();
            self.check_calm();
        }
        let count = |sim: &Self, what| sim.checker.writes.iter().filter(|it| **it == what).count();
        self.checker.stats.acked = count(self, Outcome::Acked) as u64;
        self.checker.stats.refused = count(self, Outcome::Refused) as u64;
        self.checker.stats.unknown = count(self, Outcome::Unknown) as u64;
        self.checker.stats.lost = self.checker.lost.len() as u64;
    }
}
