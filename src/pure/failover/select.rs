//! Ranks the replicas of a lost primary, and says why each other one is out of the question.
//!
//! Order: the lost primary's own history before a prefix of it; then the priority class
//! (lower first, as in `replica-priority`); then the highest offset; then the lower run id,
//! so that two deciders who see the same choose the same.
//!
//! Never: what [`Reject`] names. Sentinel promotes a replica that never finished its first
//! synchronisation, which is empty; here, that is [`Reject::NeverSynced`].

use crate::pure::detect::Cause;
use crate::pure::topology::{Kinship, Lineage, LinkState, NodeId, Report};
use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

/// What is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How far behind the lost primary a replica may be, in bytes; inclusive.
    pub max_lag_bytes: u64,
    /// How long before the primary was lost a replica may have lost its link; inclusive.
    pub max_link_down: Duration,
}

/// What was lost.
#[derive(Clone, Copy, Debug)]
pub struct Lost<'a> {
    /// The last thing that the primary said of itself.
    pub report: &'a Report,
    /// How long ago that was.
    pub ago: Duration,
    /// It is back with less data than replicas hold: those that began to copy it are still
    /// candidates, as long as they have not thrown their own data away.
    pub amnesia: bool,
}

/// One replica.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Who.
    pub node: NodeId,
    /// What it says of itself, if it said so since the primary was lost; or why not.
    pub report: Result<&'a Report, Reject>,
    /// `group.nodes[].priority`; overrides what the server says.
    pub priority: Option<u32>,
}

/// Why a replica must not be promoted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reject {
    /// It is not in order itself.
    NotUp(Cause),
    /// It has not said anything since the primary was lost.
    Unheard,
    /// It refused to be promoted a moment ago.
    RefusedBefore,
    /// It says that it is a primary, of another history.
    IsPrimary,
    /// Its priority is 0.
    PriorityZero,
    /// It loads a data set.
    Loading,
    /// It is in a full synchronisation.
    Syncing,
    /// It has never been in step with a primary.
    NeverSynced,
    /// Its data does not descend from the lost primary's.
    OtherLineage,
    /// It lost its link long before.
    LinkDown {
        /// So many seconds before the primary was lost.
        secs: u64,
    },
    /// It lacks too much.
    Lagging {
        /// So many bytes.
        lag_bytes: u64,
    },
    /// Somebody runs `FAILOVER` on it.
    FailingOver,
    /// It lacks writes that clients were told are safe.
    LacksAcknowledged {
        /// So many bytes.
        bytes: u64,
    },
    /// It is not known what clients were told is safe, and too few replicas have said what they
    /// have to find it out.
    NoQuorum {
        /// So many have.
        heard: usize,
        /// So many must.
        needed: usize,
    },
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUp(cause) => write!(f, "it {cause}"),
            Self::Unheard => f.write_str("it has not reported since the primary was lost"),
            Self::RefusedBefore => f.write_str("it refused to be promoted a moment ago"),
            Self::IsPrimary => f.write_str("it is a primary of another history"),
            Self::PriorityZero => f.write_str("its priority is 0"),
            Self::Loading => f.write_str("it is loading its data set"),
            Self::Syncing => f.write_str("it is in the middle of a full synchronisation"),
            Self::NeverSynced => f.write_str("it has never finished a synchronisation"),
            Self::OtherLineage => f.write_str("its data does not descend from the lost primary's"),
            Self::LinkDown { secs } => {
                write!(
                    f,
                    "it lost its link {secs} s before the primary was lost, more than failover.max_link_down"
                )
            }
            Self::Lagging { lag_bytes } => {
                write!(f, "it is {lag_bytes} bytes behind, more than failover.max_lag_bytes")
            }
            Self::FailingOver => f.write_str("a FAILOVER command is running on it"),
            Self::LacksAcknowledged { bytes } => {
                write!(f, "it lacks {bytes} bytes of writes that were acknowledged as guarded")
            }
            Self::NoQuorum { heard, needed } => write!(
                f,
                "it may lack writes that were acknowledged as guarded: only {heard} of {needed} \
                 replicas that must be heard have reported"
            ),
        }
    }
}

/// A replica that may be promoted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ranked {
    /// Who.
    pub node: NodeId,
    /// What it has, in bytes of history.
    pub offset: u64,
    /// What it lacks, in bytes.
    pub lag_bytes: u64,
}

/// Everybody, judged.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ranking {
    /// Best first.
    pub ranked: Vec<Ranked>,
    /// The others.
    pub rejected: Vec<(NodeId, Reject)>,
}

/// Judges every candidate.
pub fn rank(
    limits: Limits,
    lost: Lost<'_>,
    lineage: &Lineage,
    candidates: &[Candidate<'_>],
) -> Ranking {
    let mut ranking = Ranking::default();
    let mut keyed = Vec::new();
    for candidate in candidates {
        match judge(limits, lost, lineage, candidate) {
            Ok((key, ranked)) => keyed.push((key, ranked)),
            Err(why) => ranking.rejected.push((candidate.node, why)),
        }
    }
    keyed.sort_by_key(|it| it.0);
    ranking.ranked = keyed.into_iter().map(|it| it.1).collect();
    ranking
}

type Key = (bool, u32, Reverse<u64>, crate::pure::topology::RunId, NodeId);

fn judge(
    limits: Limits,
    lost: Lost<'_>,
    lineage: &Lineage,
    candidate: &Candidate<'_>,
) -> Result<(Key, Ranked), Reject> {
    let report = candidate.report?;
    let link = report.link().ok_or(Reject::IsPrimary)?;
    let priority = candidate.priority.unwrap_or(link.priority);
    if priority == 0 {
        return Err(Reject::PriorityZero);
    }
    if report.loading {
        return Err(Reject::Loading);
    }
    if report.failing_over {
        return Err(Reject::FailingOver);
    }
    // With amnesia, a copy of the empty primary may have begun without harm so far: the data
    // is thrown away only when loading starts.
    if link.state == LinkState::Syncing && !lost.amnesia {
        return Err(Reject::Syncing);
    }
    let is_salvage = lost.amnesia && link.state == LinkState::Syncing && report.keys > 0;
    let kinship = lineage.kinship(report, lost.report);
    // Servers say 0 or 1 for "nothing yet". It is no lack where the primary's history, whose id a
    // replica takes over when its first copy is complete, has not begun either.
    // But a copy of nothing is nothing, once the primary had something.
    let has_copy = kinship == Kinship::Same
        && link.state != LinkState::Syncing
        && (report.keys > 0 || lost.report.keys == 0);
    if report.offset <= 1 && !is_salvage && !has_copy {
        return Err(Reject::NeverSynced);
    }
    let is_same = match kinship {
        Kinship::Same => true,
        Kinship::Prefix => false,
        Kinship::Successor | Kinship::Diverged | Kinship::Unrelated => {
            // Never up and of another history: it holds what it was started with.
            return Err(if link.state == LinkState::Never {
                Reject::NeverSynced
            } else {
                Reject::OtherLineage
            });
        }
    };
    if let LinkState::Down { secs } = link.state {
        // The server rounds down, and so do we: half a second is no reason to refuse.
        let before = Duration::from_secs(secs).saturating_sub(lost.ago);
        if before > limits.max_link_down {
            return Err(Reject::LinkDown { secs: before.as_secs() });
        }
    }
    let lag_bytes = lost.report.offset.saturating_sub(report.offset);
    if lag_bytes > limits.max_lag_bytes && !is_salvage {
        return Err(Reject::Lagging { lag_bytes });
    }
    let key = (!is_same, priority, Reverse(report.offset), report.run_id, candidate.node);
    Ok((key, Ranked { node: candidate.node, offset: report.offset, lag_bytes }))
}

#[cfg(test)]
#[path = "select_test.rs"]
mod tests;
