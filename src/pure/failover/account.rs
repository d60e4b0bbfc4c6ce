//! How a switchover or a forced failover goes, told while it does: what the API streams, and what
//! `segue switchover` and `segue failover` print.
//!
//! Fields are only ever added: scripts read this.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// One line of the account.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Progress {
    /// Nothing speaks against it.
    Began {
        /// Who is primary.
        from: String,
        /// Who shall be.
        to: String,
        /// How far that one is behind, in bytes.
        lag_bytes: u64,
    },
    /// A phase is over.
    Phase(PhaseAccount),
    /// It is over; the last line.
    Ended(Account),
}

/// The phases, in their order.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The target comes close to the primary; commands flow.
    CatchUp,
    /// Nothing new goes out; what is in flight is answered.
    Drain,
    /// `CLIENT PAUSE WRITE`, for clients that bypass Segue.
    Pause,
    /// The target has applied every byte.
    Match,
    /// No worker can reach the old primary any more.
    Sever,
    /// `REPLICAOF NO ONE`, and the target says that it is primary.
    Promote,
    /// Commands flow; the others are told whom to follow.
    Repoint,
}

impl Stage {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::CatchUp => "catch-up",
            Self::Drain => "drain",
            Self::Pause => "pause",
            Self::Match => "match",
            Self::Sever => "sever",
            Self::Promote => "promote",
            Self::Repoint => "repoint",
        }
    }
}

/// One phase that is over.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PhaseAccount {
    /// Which.
    pub phase: Stage,
    /// How long it took.
    pub ms: Millis,
}

/// A time in milliseconds, with its fraction.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(into = "f64", from = "f64")]
pub struct Millis(pub Duration);

impl From<Millis> for f64 {
    fn from(it: Millis) -> Self {
        (it.0.as_secs_f64() * 1e6).round() / 1e3
    }
}

impl From<f64> for Millis {
    fn from(ms: f64) -> Self {
        // A peer's number: what is no duration is none.
        Self(Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default())
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", self.0.as_secs_f64() * 1e3)
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The target serves.
    Done,
    /// Nothing speaks against it; nothing was touched, as asked.
    DryRun,
    /// Something speaks against it; nothing was touched.
    Refused,
    /// No node of this name is known.
    NoSuchNode,
    /// It was begun and taken back; the old primary serves.
    RolledBack,
    /// The target was told, and has not confirmed in time; Segue goes on.
    Unfinished,
}

/// The whole account.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Account {
    /// How it ended.
    pub outcome: Verdict,
    /// Who was primary.
    pub from: Option<String>,
    /// Who is to be, or would have been.
    pub to: Option<String>,
    /// The epoch in force.
    pub epoch: u64,
    /// Why it was refused or taken back: sentences.
    pub reasons: Vec<String>,
    /// What went well, and not as it should.
    pub warnings: Vec<String>,
    /// Every phase that was gone through.
    pub phases: Vec<PhaseAccount>,
    /// How long commands were held.
    pub held_ms: Millis,
    /// How long it took in all.
    pub total_ms: Millis,
}
