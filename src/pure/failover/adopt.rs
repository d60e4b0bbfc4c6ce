//! A human decides whose data wins: `segue adopt NODE`.
//!
//! For what lineage cannot decide: several primaries of unrelated histories, an old primary in
//! quarantine, a primary without its data that is to serve all the same, replicas whose primary
//! is gone for good. The named node serves; everybody who answers now, and whose data differs,
//! is made its replica, whatever `failover.rejoin` says: that is what was asked for.
//!
//! # Invariants
//!
//! * What will be discarded is told first: keys, and bytes of history where both belong to one.
//! * It goes the way of every change: a new epoch, severed in every worker, before a client's
//!   byte reaches the node; and a replica is promoted by the same order as in a failover.
//! * The node that was looked at is the node that is adopted: with a run id, another process
//!   under the same name is refused.
//! * Only data sets that were looked at are given up: what a node has that was down, or
//!   restarted since, is judged by lineage as ever.
//!
//! # Deliberately absent
//!
//! A way round `loading` and an unfinished copy: such a node has nothing to win with. Agreement
//! with other proxies: they follow when the losers say whom they follow.

use super::brain::{Brain, Goal, Phase, Serving};
use super::event::{Action, Note};
use super::select::Ranked;
use crate::pure::detect::Health;
use crate::pure::time::Time;
use crate::pure::topology::{Gate, Kinship, LinkState, NodeId, ReplId, Report};
use serde::{Deserialize, Serialize};

/// What an operator asks for.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Adopt {
    /// The node whose data wins.
    pub node: String,
    /// The process that was looked at; any, if not given.
    pub run_id: Option<String>,
    /// Only look.
    pub dry_run: bool,
}

/// What became of it. Fields are only ever added: scripts read this.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Adoption {
    /// How it ended.
    pub outcome: Adopted,
    /// The node that was named.
    pub node: String,
    /// Its process.
    pub run_id: Option<String>,
    /// Keys that it has.
    pub keys: u64,
    /// The epoch in force when this was said.
    pub epoch: u64,
    /// Why not: sentences.
    pub reasons: Vec<String>,
    /// Every other node.
    pub others: Vec<Other>,
}

/// What an adoption comes to.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adopted {
    /// It is under way; the status tells when the node serves.
    Begun,
    /// Nothing speaks against it; nothing was touched, as asked.
    DryRun,
    /// Something speaks against it; nothing was touched.
    Refused,
    /// No node of this name is known.
    NoSuchNode,
}

/// What an adoption means for another node.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Other {
    /// Its name.
    pub node: String,
    /// What becomes of its data.
    pub fate: Fate,
    /// Keys that it has; 0 if it was not heard.
    pub keys: u64,
    /// Bytes of history that only it has, where the two histories are related.
    pub own_bytes: Option<u64>,
}

/// What becomes of a node's data.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It has nothing that the winner lacks, and follows.
    Kept,
    /// It is discarded: all of it, or [`Other::own_bytes`].
    Discarded,
    /// It does not answer; judged by lineage when it returns.
    Unheard,
}

impl Brain {
    /// An operator names the node whose data wins.
    pub(super) fn asked_to_adopt(&mut self, now: Time, ask: &Adopt) {
        let Some(node) = self.nodes().find(|(_, it)| it.spec.name == ask.node).map(|it| it.0)
        else {
            let reason = self.unknown(&ask.node);
            let account = self.account_of(now, None, ask, Adopted::NoSuchNode, vec![reason]);
            return self.act(Action::Adopted(account));
        };
        let reasons = self.against_adoption(now, node, ask);
        let outcome = match (reasons.is_empty(), ask.dry_run) {
            (false, _) => Adopted::Refused,
            (true, true) => Adopted::DryRun,
            (true, false) => Adopted::Begun,
        };
        let account = self.account_of(now, Some(node), ask, outcome, reasons);
        if outcome == Adopted::Begun {
            self.begin_adoption(now, node, &account);
        }
        self.act(Action::Adopted(account));
    }

    /// What speaks against it now.
    fn against_adoption(&self, now: Time, node: NodeId, ask: &Adopt) -> Vec<String> {
        let Some(member) = self.member(node) else { return Vec::new() };
        let name = &member.spec.name;
        let mut reasons = Vec::new();
        if self.switch.is_some() {
            reasons.push("a switchover is under way".to_owned());
        }
        if self.standstill.is_some() {
            reasons.push("an operator holds commands; release them first".to_owned());
        }
        if self.is_forcing() || matches!(self.phase, Phase::Promoting(_) | Phase::Committing { .. })
        {
            reasons.push("a failover is under way; wait for its end".to_owned());
        }
        if member.pending.is_some() {
            reasons.push(format!("{name} is being told something else at this moment"));
        }
        if let Health::Suspect(cause) | Health::Down(cause) = member.health() {
            reasons.push(format!("{name} {cause}"));
        }
        let Some(report) = member.report_since(self.fresh_from(now)) else {
            reasons.push(format!("{name} has not answered lately"));
            return reasons;
        };
        if ask.run_id.as_ref().is_some_and(|it| *it != report.run_id.to_string()) {
            reasons.push(format!("{name} was restarted since it was looked at; look again"));
        }
        if report.loading {
            reasons.push(format!("{name} is loading its data set"));
        }
        if report.failing_over {
            reasons.push(format!("a FAILOVER command is running on {name}"));
        }
        reasons.extend(self.against_replica(now, name, report));
        let is_serving = self.serving.as_ref().is_some_and(|it| it.node == node);
        if is_serving && self.is_open() && self.losers(now, node).is_empty() {
            reasons.push(format!("{name} is the primary already, and nobody else claims to be"));
        }
        reasons
    }

    fn against_replica(&self, now: Time, name: &str, report: &Report) -> Option<String> {
        let link = report.link()?;
        match link.state {
            LinkState::Syncing => {
                return Some(format!("{name} is in a full synchronisation: its data is not whole"));
            }
            LinkState::Never if report.keys == 0 => {
                return Some(format!("{name} never finished a synchronisation, and is empty"));
            }
            LinkState::Up { .. } | LinkState::Down { .. } | LinkState::Never => {}
        }
        let fresh = self.fresh_from(now);
        let primary = self.nodes().find(|(_, it)| {
            it.is_at(&link.host, link.port)
                && it.report_since(fresh).is_some_and(Report::is_primary)
        })?;
        let primary = self.name(primary.0);
        Some(format!(
            "{name} is a replica of {primary}, which is primary: adopt {primary}, or switch over"
        ))
    }

    /// Nodes whose data is to give way: second primaries, and replicas of another history.
    fn losers(&self, now: Time, winner: NodeId) -> Vec<(NodeId, ReplId)> {
        let fresh = self.fresh_from(now);
        let Some(wins) = self.member(winner).and_then(|it| it.report()) else { return Vec::new() };
        self.nodes()
            .filter(|(node, _)| *node != winner)
            .filter_map(|(node, it)| Some((node, it.answer_since(fresh)?)))
            .filter(|(_, report)| report.is_primary() || report.replid != wins.replid)
            .map(|(node, report)| (node, report.replid))
            .collect()
    }

    fn account_of(
        &self,
        now: Time,
        node: Option<NodeId>,
        ask: &Adopt,
        outcome: Adopted,
        reasons: Vec<String>,
    ) -> Adoption {
        let report = node.and_then(|it| self.member(it)).and_then(|it| it.report());
        let others = node.map_or_else(Vec::new, |node| self.fates(now, node));
        Adoption {
            outcome,
            node: ask.node.clone(),
            run_id: report.map(|it| it.run_id.to_string()),
            keys: report.map_or(0, |it| it.keys),
            epoch: self.route.epoch.0,
            reasons,
            others,
        }
    }

    fn fates(&self, now: Time, winner: NodeId) -> Vec<Other> {
        let fresh = self.fresh_from(now);
        let Some(wins) = self.member(winner).and_then(|it| it.report()) else { return Vec::new() };
        let others = self.nodes().filter(|(node, _)| *node != winner);
        others
            .map(|(_, member)| {
                let node = member.spec.name.clone();
                let Some(report) = member.answer_since(fresh) else {
                    return Other { node, fate: Fate::Unheard, keys: 0, own_bytes: None };
                };
                let own_bytes = self.own_bytes(report, wins);
                let is_kept = own_bytes == Some(0) || report.keys == 0;
                let fate = if is_kept { Fate::Kept } else { Fate::Discarded };
                Other { node, fate, keys: report.keys, own_bytes }
            })
            .collect()
    }

    /// Bytes of history that `report`'s node has and `other`'s lacks; `None` if they are not
    /// related.
    pub(super) fn own_bytes(&self, report: &Report, other: &Report) -> Option<u64> {
        match self.lineage.kinship(report, other) {
            Kinship::Same => Some(report.offset.saturating_sub(other.offset)),
            Kinship::Prefix => Some(0),
            Kinship::Diverged => {
                let fork = self.lineage.fork(other, report.replid)?;
                Some(report.offset.saturating_sub(fork.saturating_sub(1)))
            }
            Kinship::Successor => {
                let fork = self.lineage.fork(report, other.replid)?;
                // What it has of the common history, and all that came after.
                let common = fork.saturating_sub(1).min(other.offset);
                Some(report.offset.saturating_sub(common))
            }
            Kinship::Unrelated => None,
        }
    }

    fn begin_adoption(&mut self, now: Time, node: NodeId, account: &Adoption) {
        for (loser, replid) in self.losers(now, node) {
            if let Some(member) = self.member_mut(loser) {
                member.forsaken = Some(replid);
                member.quiet_until = now;
            }
        }
        let discarded = |it: &&Other| it.fate == Fate::Discarded;
        let keys = account.others.iter().filter(discarded).map(|it| it.keys).sum();
        let losers = account.others.iter().filter(discarded).count();
        self.note(Note::Adopting { node, keys: account.keys, losers, lost_keys: keys });
        let Some(report) = self.member(node).and_then(|it| it.report().cloned()) else { return };
        let serving = self.serving.as_ref().map(|it| it.node);
        if !report.is_primary() {
            self.held_from.get_or_insert(now);
            return self.sever(Goal::Adopt(node));
        }
        match serving {
            None => self.enthrone(node, report),
            // It serves, or would but for its missing data: that is what it is to serve with.
            Some(it) if it == node => {
                self.serving = Some(Serving { node, anchor: report, amnesia: None });
            }
            Some(_) => {
                self.held_from.get_or_insert(now);
                self.sever(Goal::Obey(node));
            }
        }
    }

    /// The first primary that is known serves from now on.
    pub(super) fn enthrone(&mut self, node: NodeId, anchor: Report) {
        self.serving = Some(Serving { node, anchor, amnesia: None });
        self.claim_everybody();
        let epoch = self.route.epoch.next();
        self.open(node, epoch);
        if self.phase == Phase::Steady {
            self.note(Note::Discovered { primary: node, epoch });
        }
    }

    /// Every worker has confirmed: the replica that an operator named is promoted, as it is.
    pub(super) fn commit_adoption(&mut self, now: Time, node: NodeId) {
        let fresh = self.fresh_from(now);
        let Some(report) = self.member(node).and_then(|it| it.report_since(fresh)) else {
            return self.give_up_adoption(node, "it does not answer any more".to_owned());
        };
        if report.loading {
            return self.give_up_adoption(node, "it is loading its data set".to_owned());
        }
        let (offset, lag_bytes) = (report.offset, 0);
        self.begin_promotion(now, Ranked { node, offset, lag_bytes });
    }

    fn give_up_adoption(&mut self, node: NodeId, reason: String) {
        self.note(Note::PromotionFailed { node, reason });
        self.phase = self.looking_again();
    }

    /// What there is to do when a promotion came to nothing.
    pub(super) const fn looking_again(&self) -> Phase {
        if self.serving.is_some() { Phase::Suspecting } else { Phase::Discovering }
    }

    /// Whether an operator has decided against what this node has.
    pub(super) fn is_forsaken(&self, node: NodeId, report: &Report) -> bool {
        self.member(node).is_some_and(|it| it.forsaken == Some(report.replid))
    }

    /// Nodes that claim to be primary beside ours, or instead of it, and wait for a decision.
    pub(super) fn claimants(&self) -> Vec<NodeId> {
        let serving = self.serving.as_ref().map(|it| it.node);
        let is_open = matches!(self.route.gate, Gate::Open(_));
        self.nodes()
            .filter(|(node, _)| Some(*node) != serving)
            .filter(|(_, it)| it.report().is_some_and(Report::is_primary) && it.is_heard())
            .filter(|(node, it)| (is_open && it.remark.is_some()) || self.conflict.contains(node))
            .map(|it| it.0)
            .collect()
    }
}

#[cfg(test)]
#[path = "adopt_test.rs"]
mod tests;
