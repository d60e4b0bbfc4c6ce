//! Everything that speaks against a switchover, before anything is touched.

use super::brain::{Brain, Phase};
use crate::pure::detect::Health;
use crate::pure::time::Time;
use crate::pure::topology::{LinkState, NodeId, Report};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::time::Duration;

/// What an operator asks for.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ask {
    /// Who shall be primary; the best one, if nobody is named.
    pub to: Option<String>,
    /// How long it may take until the target is promoted.
    pub timeout: Duration,
    /// Only look.
    pub dry_run: bool,
    /// What the nodes said when they were asked for this.
    pub findings: Vec<Checked>,
}

/// What a node said of what only matters to a switchover.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Checked {
    /// Who.
    pub node: NodeId,
    /// `maxmemory` in bytes; 0 is no limit.
    pub maxmemory: Option<u64>,
    /// Commands that Segue's user may not use there, as the node says it.
    pub denied: Vec<String>,
    /// Likewise, of those that pause it while it is given up.
    #[serde(default)]
    pub pause_denied: Vec<String>,
    /// Likewise, of those that confirm guarded writes.
    #[serde(default)]
    pub guard_denied: Vec<String>,
}

/// Why there is no target.
pub(super) enum NoTarget {
    Unknown(String),
    Refused { to: Option<NodeId>, reasons: Vec<String> },
}

impl Brain {
    /// Whom to promote, if nothing speaks against it.
    pub(super) fn preflight(&self, now: Time, ask: &Ask) -> Result<NodeId, NoTarget> {
        let named = self.named(ask)?;
        let general = self.against_any(now, ask);
        if let Some(to) = named {
            let mut reasons = general;
            reasons.extend(self.against(now, to, ask));
            return if reasons.is_empty() {
                Ok(to)
            } else {
                Err(NoTarget::Refused { to: Some(to), reasons })
            };
        }
        let serving = self.serving.as_ref().map(|it| it.node);
        let mut reasons = general;
        let is_fine = reasons.is_empty();
        let mut best: Option<(NodeId, (u32, Reverse<u64>))> = None;
        for (node, member) in self.nodes().filter(|it| Some(it.0) != serving) {
            let against = self.against(now, node, ask);
            let Some(report) = member.report().filter(|_| against.is_empty()) else {
                reasons.extend(against);
                continue;
            };
            let key = (self.priority(node), Reverse(report.offset));
            if best.as_ref().is_none_or(|it| key < it.1) {
                best = Some((node, key));
            }
        }
        match best {
            Some((node, _)) if is_fine => Ok(node),
            Some(_) | None => {
                if reasons.is_empty() {
                    reasons.push("no replica is known".to_owned());
                }
                Err(NoTarget::Refused { to: None, reasons })
            }
        }
    }

    /// What to answer to a name that nobody has.
    pub(super) fn unknown(&self, name: &str) -> String {
        let names: Vec<_> = self.nodes().map(|it| it.1.spec.name.as_str()).collect();
        format!("no node is called {name}; there are {}", names.join(", "))
    }

    /// Whom the operator named, if anybody.
    pub(super) fn named(&self, ask: &Ask) -> Result<Option<NodeId>, NoTarget> {
        let Some(name) = &ask.to else { return Ok(None) };
        let found = self.nodes().find(|(_, it)| it.spec.name == *name);
        found.map(|it| Some(it.0)).ok_or_else(|| NoTarget::Unknown(name.clone()))
    }

    fn priority(&self, node: NodeId) -> u32 {
        let Some(member) = self.member(node) else { return 0 };
        let own = member.report().and_then(Report::link).map_or(0, |it| it.priority);
        member.spec.priority.unwrap_or(own)
    }

    /// What speaks against any switchover now.
    fn against_any(&self, now: Time, ask: &Ask) -> Vec<String> {
        let mut reasons = Vec::new();
        if !matches!(self.phase, Phase::Steady) || !self.is_open() {
            let why = self.reason.as_deref().unwrap_or("a failover is under way");
            reasons.push(format!("commands are held: {why}"));
        }
        let Some(serving) = &self.serving else {
            reasons.push("no primary is known".to_owned());
            return reasons;
        };
        let Some(primary) = self.member(serving.node) else { return reasons };
        let name = &primary.spec.name;
        match primary.report_since(self.fresh_from(now)) {
            None => reasons.push(format!("{name} has not answered lately")),
            Some(report) if report.failing_over => {
                reasons.push(format!("{name} is carrying out a FAILOVER of its own"));
            }
            Some(_) => {}
        }
        // That the primary itself is impaired (a full disk) speaks for it, if anything.
        if let Some(found) = found(ask, serving.node) {
            let denied = found.denied.iter().chain(&found.pause_denied);
            reasons.extend(denied.map(|it| not_allowed(name, it)));
        }
        reasons
    }

    /// What speaks against any other target than `sibling`, because that one has to be turned, too.
    fn against_sibling(&self, sibling: NodeId, ask: &Ask) -> Vec<String> {
        let served = self.serving.as_ref().map(|it| it.anchor.replid);
        let Some(member) = self.member(sibling) else { return Vec::new() };
        let follows =
            member.report().is_some_and(|it| Some(it.replid) == served && !it.is_primary());
        let found = found(ask, sibling).filter(|_| follows && member.health().is_up());
        let denied = found.map(|it| it.denied.as_slice()).unwrap_or_default();
        denied.iter().map(|it| not_allowed(&member.spec.name, it)).collect()
    }

    /// What speaks against this target.
    fn against(&self, now: Time, to: NodeId, ask: &Ask) -> Vec<String> {
        let (Some(member), Some(serving)) = (self.member(to), &self.serving) else {
            return Vec::new();
        };
        let name = &member.spec.name;
        if to == serving.node {
            return vec![format!("{name} is the primary already")];
        }
        if let Health::Suspect(cause) | Health::Down(cause) = member.health() {
            return vec![format!("{name} {cause}")];
        }
        // What it said before its last order was answered is of another link.
        let Some(report) = member.report_since(self.fresh_from(now).max(member.answered_at)) else {
            return vec![format!("{name} has not answered lately")];
        };
        let mut reasons = self.against_report(to, report);
        let others = self.nodes().map(|it| it.0).filter(|it| *it != to && *it != serving.node);
        reasons.extend(others.flat_map(|it| self.against_sibling(it, ask)));
        if member.pending.is_some() {
            reasons.push(format!("{name} is being told something else at this moment"));
        }
        if let Some(error) = &member.impaired {
            reasons.push(format!("{name} answers {error}"));
        }
        let memory = |node: NodeId| found(ask, node)?.maxmemory;
        if let (Some(theirs), Some(ours)) = (memory(to), memory(serving.node))
            && theirs > 0
            && (ours == 0 || theirs < ours)
        {
            let primary = self.name(serving.node);
            reasons.push(format!(
                "{name} has a maxmemory of {theirs} bytes, {primary} of {ours} (0 is no limit)"
            ));
        }
        let Some(found) = found(ask, to) else { return reasons };
        reasons.extend(found.denied.iter().map(|it| not_allowed(name, it)));
        // All guarded writes would be uncertain.
        let guards = found.guard_denied.iter().filter(|_| self.params.guarded.is_some());
        reasons
            .extend(guards.map(|it| {
                format!("{name} does not let Segue's user confirm guarded writes: {it}")
            }));
        reasons
    }

    /// What speaks against a target by what it says of itself.
    pub(super) fn against_report(&self, to: NodeId, report: &Report) -> Vec<String> {
        let Some(serving) = &self.serving else { return Vec::new() };
        let (name, primary) = (self.name(to), self.name(serving.node));
        let mut reasons = Vec::new();
        if report.loading {
            reasons.push(format!("{name} is loading its data set"));
        }
        let Some(link) = report.link() else {
            reasons.push(format!("{name} is no replica"));
            return reasons;
        };
        match link.state {
            LinkState::Up { .. } => {}
            LinkState::Syncing => reasons.push(format!("{name} is in a full synchronisation")),
            LinkState::Down { secs } => {
                reasons.push(format!("{name} lost its link to {primary} {secs} s ago"));
            }
            LinkState::Never => reasons.push(format!("{name} was never in sync")),
        }
        if report.replid != serving.anchor.replid {
            reasons.push(format!("{name} has data of another lineage than {primary}"));
        } else {
            let lag = serving.anchor.offset.saturating_sub(report.offset);
            if lag > self.params.max_lag_bytes {
                let max = self.params.max_lag_bytes;
                reasons.push(format!(
                    "{name} is {lag} bytes behind, more than failover.max_lag_bytes ({max})"
                ));
            }
        }
        if self.priority(to) == 0 {
            reasons.push(format!("{name} has priority 0: never to be promoted"));
        }
        if version(&report.version) < version(&serving.anchor.version) {
            reasons.push(format!(
                "{name} runs version {}, older than {primary}'s {}: {primary} could not follow it",
                report.version, serving.anchor.version
            ));
        }
        reasons
    }
}

/// What `node` said when it was asked for this.
fn found(ask: &Ask, node: NodeId) -> Option<&Checked> {
    ask.findings.iter().find(|it| it.node == node)
}

fn not_allowed(name: &str, what: &str) -> String {
    format!("{name} does not let Segue's user do it: {what}")
}

/// The numbers of a version, to be compared.
fn version(text: &str) -> Vec<u64> {
    text.split('.').map_while(|it| it.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(version("7.0.9") < version("7.0.15"));
        assert!(version("9.1.2") > version("8.2"));
        assert_eq!(version("unknown"), Vec::<u64>::new());
    }
}
