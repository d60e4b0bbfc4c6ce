//! Logs and counts each note of the brain, once.
//!
//! ERROR: a person must act. WARN: degraded, being handled. INFO: what an operator looks for
//! afterwards.

use crate::pure::detect::Health;
use crate::pure::failover::{Brain, Note, Verdict};
use crate::pure::topology::NodeId;
use crate::telemetry::metrics::{ControlMetrics, FailoverOutcome, Repointed, SwitchoverOutcome};
use std::time::Duration;
use tracing::{error, info, warn};

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Up => "up",
        Health::Suspect(_) => "suspect",
        Health::Down(_) => "down",
    }
}

/// How a switchover is counted; one that was only looked at is not.
pub(super) const fn outcome(verdict: Verdict) -> Option<SwitchoverOutcome> {
    match verdict {
        Verdict::Done => Some(SwitchoverOutcome::Done),
        Verdict::DryRun => None,
        Verdict::Refused | Verdict::NoSuchNode => Some(SwitchoverOutcome::Refused),
        Verdict::RolledBack => Some(SwitchoverOutcome::RolledBack),
        Verdict::Unfinished => Some(SwitchoverOutcome::Unfinished),
    }
}

/// Counts what has a metric.
pub(super) fn count(metrics: &ControlMetrics, note: &Note) {
    match note {
        Note::FailedOver { held, planned: true, .. } => {
            metrics.switchover_hold.observe(held.as_secs_f64());
        }
        Note::FailedOver { held, followed, planned: false, .. } => {
            metrics.failover_hold.observe(held.as_secs_f64());
            metrics.failover_ended(if *followed {
                FailoverOutcome::Followed
            } else {
                FailoverOutcome::Promoted
            });
        }
        Note::Released { held, was_lost: true, .. } => {
            metrics.failover_hold.observe(held.as_secs_f64());
            metrics.failover_ended(FailoverOutcome::Recovered);
        }
        Note::Overdue { .. } => metrics.failover_ended(FailoverOutcome::Halted),
        Note::PromotionUnknown { .. } => metrics.promotions_unknown.inc(),
        Note::Witnessed { .. } => metrics.witness_vetoes.inc(),
        Note::Amnesia { .. } => metrics.amnesia_guards.inc(),
        Note::Stalled { .. } => metrics.stalls.inc(),
        Note::OrderFailed { is_unknown: true, .. } => metrics.repointed(Repointed::Unknown),
        Note::OrderFailed { is_unknown: false, .. } => metrics.repointed(Repointed::Refused),
        Note::Rejoined { .. } => metrics.repointed(Repointed::Done),
        Note::Demoting { node, diverged_bytes, .. }
        | Note::LeftAlone { node, diverged_bytes, .. } => {
            if let (Some(metrics), Some(bytes)) = (metrics.node(*node), diverged_bytes) {
                metrics.diverged(*bytes);
            }
        }
        Note::Fenced { node } => metrics.fenced(*node, true),
        Note::Unfenced { node } => metrics.fenced(*node, false),
        Note::Released { was_lost: false, .. }
        | Note::Discovered { .. }
        | Note::Waiting { .. }
        | Note::HealthChanged { .. }
        | Note::Restarted { .. }
        | Note::Impaired { .. }
        | Note::Held { .. }
        | Note::PrimaryLost { .. }
        | Note::Rejected { .. }
        | Note::Forgiven { .. }
        | Note::Committed { .. }
        | Note::Promoting { .. }
        | Note::PromotionFailed { .. }
        | Note::Switching { .. }
        | Note::Switched { .. }
        | Note::Adopting { .. }
        | Note::Conflict { .. }
        | Note::Orphaned { .. }
        | Note::FenceFailed { .. }
        | Note::Repointing { .. }
        | Note::Stranger { .. } => {}
    }
}

/// Logs `note`.
pub(super) fn record(brain: &Brain, note: &Note) {
    let name = |node: &NodeId| brain.spec(*node).map_or("?", |it| it.name.as_str());
    match note {
        Note::HealthChanged { node, from, to } => {
            let (from, to, node) = (word(*from), *to, name(node));
            match to {
                Health::Up => info!(node, from, "Node is up"),
                Health::Unknown => {}
                Health::Suspect(cause) => info!(node, reason = %cause, "Node is suspect"),
                Health::Down(cause) => warn!(node, reason = %cause, "Node is down"),
            }
        }
        Note::Restarted { node } => warn!(node = name(node), "Node runs as another process now"),
        Note::Impaired { node, error } => {
            warn!(node = name(node), reason = %error, "Node answers, and something is wrong with it");
        }
        Note::LeftAlone { node, reason, diverged_bytes } => {
            error!(node = name(node), %reason, diverged_bytes, "Node is left alone");
        }
        Note::OrderFailed { node, reason, .. } => {
            warn!(node = name(node), %reason, "Node was not turned; trying again");
        }
        Note::Demoting { node, primary, diverged_bytes, keys } => {
            let (node, primary) = (name(node), name(primary));
            warn!(node, primary, diverged_bytes, keys, "Demoting a second primary");
        }
        Note::Fenced { node } => info!(node = name(node), "The fence of the primary is set"),
        Note::Unfenced { node } => info!(node = name(node), "A node's fence is as it was before"),
        Note::FenceFailed { node, reason } => {
            warn!(node = name(node), %reason, "A node's fence was not changed; trying again");
        }
        Note::Repointing { node, primary } => {
            info!(node = name(node), primary = name(primary), "Pointing a replica to the primary");
        }
        Note::Rejoined { node } => info!(node = name(node), "Replica is in step"),
        Note::Adopting { node, keys, losers, lost_keys } => {
            let node = name(node);
            warn!(node, keys, losers, lost_keys, "An operator chose whose data wins");
        }
        Note::Conflict { nodes } => {
            let nodes = nodes.iter().map(name).collect::<Vec<_>>().join(", ");
            error!(%nodes, "Primaries of unrelated histories; choose with segue adopt NODE");
        }
        Note::Stranger { address } => {
            info!(addr = %address, "The primary has a replica that is not configured");
        }
        Note::Stalled { stall } => {
            warn!(
                elapsed_ms = millis(*stall),
                "Segue itself stood still; what it missed counts for nothing"
            );
        }
        Note::Discovered { .. }
        | Note::Waiting { .. }
        | Note::Held { .. }
        | Note::Released { .. }
        | Note::PrimaryLost { .. }
        | Note::Amnesia { .. }
        | Note::Orphaned { .. }
        | Note::Witnessed { .. }
        | Note::Rejected { .. }
        | Note::Forgiven { .. }
        | Note::Committed { .. }
        | Note::Promoting { .. }
        | Note::PromotionUnknown { .. }
        | Note::PromotionFailed { .. }
        | Note::Overdue { .. }
        | Note::Switching { .. }
        | Note::Switched { .. }
        | Note::FailedOver { .. } => record_transition(brain, note),
    }
}

/// The steps of a failover.
fn record_transition(brain: &Brain, note: &Note) {
    let name = |node: &NodeId| brain.spec(*node).map_or("?", |it| it.name.as_str());
    match note {
        Note::Discovered { primary, epoch } => {
            info!(primary = name(primary), epoch = epoch.0, "Found the primary");
        }
        Note::Waiting { reason } => warn!(%reason, "Commands are held"),
        Note::Held { primary, reason } => {
            warn!(primary = name(primary), %reason, "Holding commands");
        }
        Note::Released { primary, epoch, held, .. } => {
            let elapsed_ms = millis(*held);
            info!(
                primary = name(primary),
                epoch = epoch.0,
                elapsed_ms,
                "Releasing commands to the same primary"
            );
        }
        Note::PrimaryLost { primary, reason } => {
            warn!(old_primary = name(primary), %reason, "The primary is lost");
        }
        Note::Orphaned { .. } | Note::Amnesia { .. } => record_loss(brain, note),
        Note::Forgiven { primary } => {
            error!(
                primary = name(primary),
                "Nobody who held more data came back; serving what is left"
            );
        }
        Note::Witnessed { primary, witness } => {
            warn!(
                primary = name(primary),
                node = name(witness),
                "A replica still hears the primary; not promoting"
            );
        }
        Note::Rejected { node, why } => {
            warn!(node = name(node), reason = %why, "Replica cannot take over");
        }
        Note::HealthChanged { .. }
        | Note::Restarted { .. }
        | Note::Impaired { .. }
        | Note::Demoting { .. }
        | Note::Repointing { .. }
        | Note::LeftAlone { .. }
        | Note::Rejoined { .. }
        | Note::OrderFailed { .. }
        | Note::Adopting { .. }
        | Note::Conflict { .. }
        | Note::Fenced { .. }
        | Note::Unfenced { .. }
        | Note::FenceFailed { .. }
        | Note::Stranger { .. }
        | Note::Stalled { .. } => {}
        Note::Committed { .. }
        | Note::Promoting { .. }
        | Note::PromotionUnknown { .. }
        | Note::PromotionFailed { .. }
        | Note::Overdue { .. }
        | Note::Switching { .. }
        | Note::Switched { .. }
        | Note::FailedOver { .. } => record_promotion(brain, note),
    }
}

/// The steps of a promotion.
fn record_promotion(brain: &Brain, note: &Note) {
    let name = |node: &NodeId| brain.spec(*node).map_or("?", |it| it.name.as_str());
    match note {
        Note::Committed { epoch } => info!(epoch = epoch.0, "Severing the old epoch"),
        Note::Promoting { node, epoch, offset, lag_bytes } => {
            info!(
                candidate = name(node),
                epoch = epoch.0,
                offset,
                lag_bytes,
                "Promoting a replica"
            );
        }
        Note::PromotionUnknown { node, attempts } => {
            warn!(
                candidate = name(node),
                attempts, "No answer to the promotion; asking the same node again"
            );
        }
        Note::PromotionFailed { node, reason } => {
            warn!(candidate = name(node), %reason, "The promotion did not happen");
        }
        Note::Overdue { reason } => {
            error!(%reason, "The failover takes longer than failover.timeout");
        }
        Note::FailedOver { from, to, epoch, held, followed, planned } => {
            let elapsed_ms = millis(*held);
            let (old_primary, primary) = (name(from), name(to));
            if *followed {
                warn!(
                    old_primary,
                    primary,
                    epoch = epoch.0,
                    elapsed_ms,
                    "Followed a promotion by somebody else"
                );
            } else if *planned {
                info!(old_primary, primary, epoch = epoch.0, elapsed_ms, "Switched over");
            } else {
                warn!(old_primary, primary, epoch = epoch.0, elapsed_ms, "Failed over");
            }
        }
        Note::Switching { .. } | Note::Switched { .. } => record_switchover(brain, note),
        Note::HealthChanged { .. }
        | Note::Discovered { .. }
        | Note::Waiting { .. }
        | Note::Held { .. }
        | Note::Released { .. }
        | Note::PrimaryLost { .. }
        | Note::Amnesia { .. }
        | Note::Witnessed { .. }
        | Note::Rejected { .. }
        | Note::Forgiven { .. }
        | Note::Restarted { .. }
        | Note::Impaired { .. }
        | Note::Demoting { .. }
        | Note::Repointing { .. }
        | Note::LeftAlone { .. }
        | Note::Rejoined { .. }
        | Note::OrderFailed { .. }
        | Note::Adopting { .. }
        | Note::Conflict { .. }
        | Note::Orphaned { .. }
        | Note::Fenced { .. }
        | Note::Unfenced { .. }
        | Note::FenceFailed { .. }
        | Note::Stranger { .. }
        | Note::Stalled { .. } => {}
    }
}

/// The beginning and the end of a switchover.
fn record_switchover(brain: &Brain, note: &Note) {
    let name = |node: &NodeId| brain.spec(*node).map_or("?", |it| it.name.as_str());
    if let Note::Switching { from, to } = note {
        info!(old_primary = name(from), candidate = name(to), "A switchover begins");
    }
    if let Note::Switched { from, to, outcome, reason } = note {
        let (old_primary, candidate) = (name(from), name(to));
        if let Some(reason) = reason {
            warn!(old_primary, candidate, ?outcome, %reason, "The switchover did not succeed");
        } else {
            info!(old_primary, candidate, "The switchover is complete");
        }
    }
}

/// What was lost before Segue could do anything about it.
fn record_loss(brain: &Brain, note: &Note) {
    let name = |node: &NodeId| brain.spec(*node).map_or("?", |it| it.name.as_str());
    if let Note::Orphaned { primary } = note {
        let old_primary = name(primary);
        warn!(old_primary, "The primary was dead before Segue came; its replicas agree on it");
    }
    if let Note::Amnesia { primary, keys, replica, saved_keys, lost_bytes } = note {
        let (old_primary, node) = (name(primary), name(replica));
        error!(
            old_primary,
            keys,
            node,
            saved_keys,
            lost_bytes,
            "The primary came back without its data; saving a replica's"
        );
    }
}
