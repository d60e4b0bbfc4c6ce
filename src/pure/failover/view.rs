//! The brain as people see it: one snapshot value. Nothing decides by it.

use super::brain::{Brain, Phase};
use super::member::Member;
use crate::pure::detect;
use crate::pure::time::Time;
use crate::pure::topology::snapshot::{Health, NodeStatus, Role, Snapshot};
use crate::pure::topology::{Gate, LinkState, NodeId};
use std::time::Duration;

impl Brain {
    /// What `segue status` shows.
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let serving = self.serving.as_ref().map(|it| it.node);
        Snapshot {
            group: self.group.clone(),
            epoch: self.route.epoch.0,
            gate_open: matches!(self.route.gate, Gate::Open(_)),
            primary: serving.map(|it| self.name(it).to_owned()),
            phase: self.phase_word().to_owned(),
            reason: self.reason.clone(),
            nodes: self.nodes().map(|(node, member)| self.status(now, node, member)).collect(),
            strangers: self.strangers.clone(),
            conflicts: self.claimants().into_iter().map(|it| self.name(it).to_owned()).collect(),
            last_failover: self.last_failover.clone(),
        }
    }

    const fn phase_word(&self) -> &'static str {
        match &self.phase {
            Phase::Discovering => "discovering",
            Phase::Steady => "steady",
            Phase::Suspecting if self.forced.is_some() => "failing-over",
            Phase::Suspecting if self.lost_from.is_some() => "halted",
            Phase::Suspecting if self.standstill.is_some() => "held",
            Phase::Suspecting => "suspecting",
            Phase::Switching(_) => "switching-over",
            Phase::Committing { .. } | Phase::Promoting(_) if self.switch.is_some() => {
                "switching-over"
            }
            Phase::Committing { .. } | Phase::Promoting(_) => "failing-over",
        }
    }

    fn status(&self, now: Time, node: NodeId, member: &Member) -> NodeStatus {
        let report = member.report();
        let link = report.and_then(|it| it.link());
        let primary_offset = self.serving.as_ref().map(|it| it.anchor.offset);
        NodeStatus {
            name: member.spec.name.clone(),
            address: member.spec.address.to_string(),
            resolved: member.addr,
            configured: member.spec.configured,
            role: match report {
                None => Role::Unknown,
                Some(it) if it.is_primary() => Role::Primary,
                Some(_) => Role::Replica,
            },
            health: match member.health() {
                detect::Health::Unknown => Health::Unknown,
                detect::Health::Up => Health::Up,
                detect::Health::Suspect(_) => Health::Suspect,
                detect::Health::Down(_) => Health::Down,
            },
            reason: self.why(node, member),
            run_id: report.map(|it| it.run_id.to_string()),
            replid: report.map(|it| it.replid.to_string()),
            offset: report.map(|it| it.offset),
            lag_bytes: link
                .and(report)
                .zip(primary_offset)
                .map(|(report, offset)| offset.saturating_sub(report.offset)),
            link_up: link.map(|it| matches!(it.state, LinkState::Up { .. })),
            silent_ms: report.map(|_| millis(now.since(member.detector.alive_at()))),
        }
    }

    fn why(&self, node: NodeId, member: &Member) -> Option<String> {
        match member.health() {
            detect::Health::Suspect(cause) | detect::Health::Down(cause) => {
                return Some(format!("it {cause}"));
            }
            detect::Health::Unknown => return Some("it has not answered yet".to_owned()),
            detect::Health::Up => {}
        }
        let rejected = self.rejected.iter().find(|it| it.0 == node).map(|it| it.1.to_string());
        let impaired = member.impaired.as_ref().map(|error| format!("it answers {error}"));
        rejected.or_else(|| member.remark.clone()).or(impaired)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
