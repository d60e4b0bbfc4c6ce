//! Everybody else, while a primary serves: the old primary that comes back, replicas that
//! follow the wrong node, replicas that nobody configured.
//!
//! A node that says that it is a primary beside ours is demoted before anything else is sent
//! to it, at once and out of turn: each moment it stays writable is data thrown away. Replicas
//! are repointed a few at a time, because each may need a full copy.

use super::brain::{Brain, node_at};
use super::event::{Action, Note, Order, Outcome};
use super::member::Member;
use super::params::Rejoin;
use super::probed::{Endpoint, NodeSpec};
use crate::pure::time::Time;
use crate::pure::topology::{Follower, Kinship, Link, LinkState, NodeId, Report};
use std::time::Duration;

/// Between two orders to the same node.
const ORDER_PAUSE: Duration = Duration::from_secs(1);

/// A replica that is not in step after this no longer keeps the next one waiting.
const JOIN_MAX: Duration = Duration::from_secs(10);

/// Nodes known at most, discovered ones included.
const NODES_MAX: usize = 64;

/// What is to be done about one node.
enum Finding {
    InOrder,
    Demote { diverged_bytes: Option<u64>, keys: u64 },
    Repoint,
    LeaveAlone(String, Option<u64>),
}

impl Brain {
    /// Whoever has data of the group's history belongs to it, whatever it says later.
    pub(super) fn claim_family(&mut self, node: NodeId, report: &Report) {
        let Some(serving) = &self.serving else { return };
        let is_kin = node == serving.node || self.lineage.is_family(report, &serving.anchor);
        if is_kin && let Some(member) = self.member_mut(node) {
            member.is_family = true;
        }
    }

    pub(super) fn claim_everybody(&mut self) {
        for index in 0..self.members.len() {
            let node = node_at(index);
            if let Some(report) = self.member(node).and_then(|it| it.report().cloned()) {
                self.claim_family(node, &report);
            }
        }
    }

    /// Brings everybody behind the primary, as far as configuration allows.
    pub(super) fn reconcile(&mut self, now: Time) {
        let Some(serving) = self.serving.as_ref().map(|it| it.node) else { return };
        if !self.is_open() {
            return;
        }
        self.meet_strangers(now, serving);
        let mut joining = self.count_joining(now, serving);
        for index in 0..self.members.len() {
            let node = node_at(index);
            let Some(finding) = self.examine(now, serving, node) else { continue };
            match finding {
                Finding::InOrder => self.remark(node, None, None),
                Finding::LeaveAlone(reason, own_bytes) => {
                    self.remark(node, Some(reason), own_bytes);
                }
                Finding::Demote { diverged_bytes, keys } => {
                    self.note(Note::Demoting { node, primary: serving, diverged_bytes, keys });
                    self.order_to_follow(node, serving);
                    joining = joining.saturating_add(1);
                }
                Finding::Repoint if joining < self.params.parallel_syncs.max(1) => {
                    self.note(Note::Repointing { node, primary: serving });
                    self.order_to_follow(node, serving);
                    joining = joining.saturating_add(1);
                }
                // Its turn comes.
                Finding::Repoint => {}
            }
        }
    }

    /// What is wrong with `node`, if it can be told and may be acted on now.
    fn examine(&self, now: Time, serving: NodeId, node: NodeId) -> Option<Finding> {
        let (primary, member) = (self.member(serving)?, self.member(node)?);
        if node == serving || member.pending.is_some() || now < member.quiet_until {
            return None;
        }
        let report = member.answer_since(self.fresh_from(now).max(member.answered_at))?;
        if report.loading {
            return None;
        }
        let is_forsaken = self.is_forsaken(node, report);
        let rejoin = if is_forsaken { Rejoin::Auto } else { self.params.rejoin };
        let Some(link) = report.link() else {
            let is_ours = !self.is_replacing(node, report);
            return is_ours.then(|| self.examine_primary(report, primary, member, rejoin));
        };
        // A switchover chose this one as it is: in step, if only through another replica.
        if self.follows_a_successor(now, member, report, link) || self.is_switch_to(node) {
            return None;
        }
        Some(if self.is_behind(serving, report, link) {
            Finding::InOrder
        } else if rejoin == Rejoin::Off {
            let reason =
                format!("it follows {}:{}, and failover.rejoin is off", link.host, link.port);
            Finding::LeaveAlone(reason, None)
        } else {
            Finding::Repoint
        })
    }

    /// Whether a replica has a history that replaces ours, of a node from which it receives though we
    /// do not reach it, or which is back and not trusted yet, or which has not been asked since: what it
    /// has would be thrown away.
    fn follows_a_successor(
        &self,
        now: Time,
        member: &Member,
        report: &Report,
        link: &Link,
    ) -> bool {
        let Some(anchor) = self.serving.as_ref().map(|it| &it.anchor) else { return false };
        let fresh = self.fresh_from(now);
        let is_led = matches!(link.state, LinkState::Up { .. });
        let leads = |(node, it): (NodeId, &Member)| {
            it.is_at(&link.host, link.port)
                && if it.health().is_up() {
                    // He was not asked since his replica said so: he may be primary by now.
                    is_led && it.seen.as_ref().is_none_or(|it| it.asked < member.turned_at)
                } else {
                    is_led || it.answer_since(fresh).is_some_and(|it| self.is_replacing(node, it))
                }
        };
        self.lineage.kinship(report, anchor) == Kinship::Successor && self.nodes().any(leads)
    }

    /// What is to be done about a second primary.
    fn examine_primary(
        &self,
        report: &Report,
        primary: &Member,
        member: &Member,
        rejoin: Rejoin,
    ) -> Finding {
        let own_bytes = self.diverged_bytes(report, primary);
        let name = &primary.spec.name;
        let is_forsaken = member.forsaken == Some(report.replid);
        let reason = match rejoin {
            Rejoin::Off => "it is a second primary, and failover.rejoin is off".to_owned(),
            Rejoin::Quarantine => format!(
                "it is a second primary, in quarantine; `segue adopt {name}` discards what it has"
            ),
            Rejoin::Auto if !is_forsaken && !member.is_family && !report.is_blank() => format!(
                "it is a primary with data of its own that never belonged to this group; \
                 `segue adopt {name}` discards that"
            ),
            Rejoin::Auto => {
                return Finding::Demote { diverged_bytes: own_bytes, keys: report.keys };
            }
        };
        Finding::LeaveAlone(reason, own_bytes)
    }

    /// Whether a replica follows the primary: by name; or it is in step under a name that we do
    /// not know. Not through another node of the group: that would be lost with that one.
    fn is_behind(&self, serving: NodeId, report: &Report, link: &Link) -> bool {
        let Some(primary) = self.member(serving) else { return false };
        primary.is_at(&link.host, link.port)
            || primary.is_in_step(report, link)
                && !self.members.iter().any(|it| it.is_at(&link.host, link.port))
    }

    /// What a second primary has beyond the point at which its history went on elsewhere.
    fn diverged_bytes(&self, report: &Report, primary: &Member) -> Option<u64> {
        self.own_bytes(report, primary.report()?)
    }

    fn remark(&mut self, node: NodeId, reason: Option<String>, diverged_bytes: Option<u64>) {
        let Some(member) = self.member_mut(node) else { return };
        if member.remark == reason {
            return;
        }
        member.remark.clone_from(&reason);
        if let Some(reason) = reason {
            self.note(Note::LeftAlone { node, reason, diverged_bytes });
        }
    }

    pub(super) fn order_to_follow(&mut self, node: NodeId, primary: NodeId) {
        let Some(target) = self.spec(primary).map(|it| it.replication.clone()) else { return };
        self.order(Order::Follow { node, primary, target });
    }

    pub(super) fn follow_answered(&mut self, now: Time, node: NodeId, outcome: Outcome) {
        let Some(member) = self.member_mut(node) else { return };
        member.answered_at = now;
        member.quiet_until = now + ORDER_PAUSE;
        let is_unknown = outcome == Outcome::Unknown;
        let reason = match outcome {
            Outcome::Done => {
                member.joining_from = Some(now);
                return;
            }
            Outcome::Unknown => "it gave no answer".to_owned(),
            Outcome::Refused(reason) | Outcome::NotSent(reason) => reason,
        };
        self.note(Note::OrderFailed { node, reason, is_unknown });
    }

    /// How many are resynchronising because of us, after letting go of those that are done.
    fn count_joining(&mut self, now: Time, serving: NodeId) -> usize {
        let Some(replid) = self.member(serving).and_then(|it| it.report()).map(|it| it.replid)
        else {
            return 0;
        };
        let mut joined = Vec::new();
        let mut count = 0_usize;
        for (index, member) in self.members.iter_mut().enumerate() {
            if member.pending.is_some() {
                count = count.saturating_add(1);
                continue;
            }
            let Some(from) = member.joining_from else { continue };
            let in_step = member.report_since(from).is_some_and(|report| {
                report.replid == replid
                    && report.link().is_some_and(|it| matches!(it.state, LinkState::Up { .. }))
            });
            if in_step {
                joined.push(node_at(index));
                member.joining_from = None;
            } else if member.health().is_down() || now.since(from) >= JOIN_MAX {
                member.joining_from = None;
            } else {
                count = count.saturating_add(1);
            }
        }
        for node in joined {
            self.note(Note::Rejoined { node });
        }
        count
    }

    /// Replicas that the primary reports and nobody configured.
    fn meet_strangers(&mut self, now: Time, serving: NodeId) {
        let Some(report) = self.member(serving).and_then(Member::report) else { return };
        let unknown: Vec<Follower> = report
            .followers
            .iter()
            .filter(|it| !self.members.iter().any(|member| member.is_at(&it.host, it.port)))
            .cloned()
            .collect();
        let mut strangers = Vec::new();
        for Follower { host, port, .. } in unknown {
            let address = Endpoint { host, port };
            let name = address.to_string();
            if self.params.discover && self.members.len() < NODES_MAX {
                let spec = NodeSpec {
                    name: name.clone(),
                    replication: address.clone(),
                    address,
                    priority: None,
                    configured: false,
                };
                let node = node_at(self.members.len());
                self.members.push(Member::new(spec, self.params.detect, now));
                self.act(Action::Watch(node));
                self.note(Note::Stranger { address: name });
                continue;
            }
            if !self.strangers.contains(&name) {
                self.note(Note::Stranger { address: name.clone() });
            }
            strangers.push(name);
        }
        self.strangers = strangers;
    }
}
