//! Decides what this process thinks of one node, from the answers to its probes.
//!
//! ```text
//! Unknown --alive--> Up --no answer, refused, loading--> Suspect --for too long--> Down
//!                    ^                                     |                        |
//!                    +-------------- alive ----------------+                        |
//!                    +---------------- alive, `rise` times in a row ----------------+
//! ```
//!
//! # Invariants
//!
//! * Any answer proves a live process. `-BUSY`, `-MISCONF`, `-NOPERM`, `-NOAUTH` are "up, and
//!   something is wrong", never "down": the server answers `-MISCONF` to `PING` itself.
//! * Only time makes a node worse, only an answer makes it better.
//! * One refusal is not a verdict: a listen queue may be full for a moment.
//! * Time in which this process stood still counts for nothing
//!   ([`shift`](Detector::shift)).
//!
//! # Deliberately absent
//!
//! Agreement with others, and what to do about a node that is down: that is `failover`.

use crate::pure::time::Time;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// When a node counts as suspect, down, and up again: `health:` of the configuration.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Params {
    /// How often each node is probed.
    pub interval: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// How long an expected answer may be missing before the node is suspect.
    pub suspect_after: Duration,
    /// How long a node may give no sign of life before it is down.
    pub down_after: Duration,
    /// The same when it actively refuses: the process is gone.
    pub refused_after: Duration,
    /// Signs of life in a row after which a node that was down is up again.
    pub rise: u32,
    /// How long a node may load its data set before it counts as down.
    pub loading_after: Duration,
}

/// What came of one probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// A good reply.
    Good,
    /// A reply that proves a live process with which something is wrong.
    Impaired,
    /// `-LOADING`.
    Loading,
    /// Connection refused or reset.
    Refused,
    /// No reply in time.
    Silent {
        /// Whether a new connection could be made all the same: the host is there and within
        /// reach, and the process hangs.
        connected: bool,
    },
}

/// What this process thinks of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Health {
    /// Not probed long enough to say.
    Unknown,
    /// It gives signs of life.
    Up,
    /// It stopped doing so a moment ago.
    Suspect(Cause),
    /// It failed for as long as [`Params`] say.
    Down(Cause),
}

/// Why a node is not up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// It does not answer.
    Silent,
    /// Its host answers that nobody listens.
    Refused,
    /// It loads its data set.
    Loading,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "gives no answer",
            Self::Refused => "refuses connections",
            Self::Loading => "is loading its data set",
        })
    }
}

impl Health {
    /// Whether the verdict is *down*.
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Down(_))
    }

    /// Whether it is simply up.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up)
    }
}

/// The detector of one node.
#[derive(Clone, Debug)]
pub struct Detector {
    params: Params,
    health: Health,
    /// Last sign of life, or the start.
    alive_at: Time,
    /// The same, but for one that only loads: it serves nobody.
    well_at: Time,
    /// When the present run of refusals began, and its length.
    refused: Option<(Time, u32)>,
    /// When it was first seen loading, if it was not seen well since.
    loading_from: Option<Time>,
    /// Signs of life in a row.
    streak: u32,
    /// Whether its host could be reached since it fell silent.
    reached: bool,
}

impl Detector {
    /// A node that nobody has asked anything yet.
    pub const fn new(params: Params, now: Time) -> Self {
        Self {
            params,
            health: Health::Unknown,
            alive_at: now,
            well_at: now,
            refused: None,
            loading_from: None,
            streak: 0,
            reached: false,
        }
    }

    /// What this process thinks of the node.
    pub const fn health(&self) -> Health {
        self.health
    }

    /// Whether its last probes were good, though it may still count as down.
    pub const fn is_recovering(&self) -> bool {
        self.streak > 0
    }

    /// Whether its host accepted a connection since the node fell silent, or refused one:
    /// then the network between us is whole, and the silence is the node's own.
    pub const fn is_reached(&self) -> bool {
        self.reached || self.refused.is_some()
    }

    /// When it gave its last sign of life; the start, if it never did.
    pub const fn alive_at(&self) -> Time {
        self.alive_at
    }

    /// When it last gave one that was not "I am loading"; the start, if it never did. A primary that
    /// loads sends its replicas nothing: what they said since then is their last word.
    pub const fn well_at(&self) -> Time {
        self.well_at
    }

    /// Takes the outcome of one probe.
    pub fn observe(&mut self, now: Time, answer: Answer) {
        match answer {
            Answer::Good | Answer::Impaired => {
                self.alive(now);
                self.well_at = now;
                self.loading_from = None;
                self.streak = self.streak.saturating_add(1);
                if !self.health.is_down() || self.streak >= self.params.rise {
                    self.health = Health::Up;
                }
            }
            Answer::Loading => {
                self.alive(now);
                self.streak = 0;
                self.loading_from.get_or_insert(now);
            }
            Answer::Refused => {
                self.streak = 0;
                let (since, count) = self.refused.unwrap_or((now, 0));
                self.refused = Some((since, count.saturating_add(1)));
            }
            Answer::Silent { connected } => {
                self.streak = 0;
                // Not a refusal, so the run of refusals is over.
                self.refused = None;
                self.reached = self.reached || connected;
            }
        }
        self.tick(now);
    }

    fn alive(&mut self, now: Time) {
        self.alive_at = now;
        self.refused = None;
        self.reached = false;
    }

    /// Lets time do its work.
    pub fn tick(&mut self, now: Time) {
        if self.health.is_down() {
            return;
        }
        match self.verdict(now) {
            Some(worse @ Health::Down(_)) => {
                self.health = worse;
                self.streak = 0;
            }
            // A node that never answered is not suspect: nothing was expected of it.
            Some(worse) if self.health != Health::Unknown || self.loading_from.is_some() => {
                self.health = worse;
            }
            Some(_) | None => {}
        }
    }

    fn verdict(&self, now: Time) -> Option<Health> {
        let Params { down_after, refused_after, loading_after, .. } = self.params;
        if let Some((since, count)) = self.refused
            && count >= 2
            && now.since(since) >= refused_after
        {
            return Some(Health::Down(Cause::Refused));
        }
        if now.since(self.alive_at) >= down_after {
            return Some(Health::Down(Cause::Silent));
        }
        if self.refused.is_some() {
            return Some(Health::Suspect(Cause::Refused));
        }
        if now.since(self.alive_at) >= self.suspect_wait() {
            return Some(Health::Suspect(Cause::Silent));
        }
        let loading_for = now.since(self.loading_from?);
        Some(if loading_for >= loading_after {
            Health::Down(Cause::Loading)
        } else {
            Health::Suspect(Cause::Loading)
        })
    }

    /// From the last sign of life: the next probe starts an interval later.
    fn suspect_wait(&self) -> Duration {
        self.params.interval.saturating_add(self.params.suspect_after)
    }

    /// When to call [`tick`](Self::tick): the next moment at which time alone makes it worse.
    pub fn deadline(&self) -> Option<Time> {
        match self.health {
            Health::Down(_) => return None,
            Health::Unknown | Health::Up | Health::Suspect(_) => {}
        }
        let silent = self.alive_at + self.params.down_after;
        let suspect = self.health.is_up().then(|| self.alive_at + self.suspect_wait());
        let refused = self
            .refused
            .and_then(|(since, count)| (count >= 2).then(|| since + self.params.refused_after));
        let loading = self.loading_from.map(|since| since + self.params.loading_after);
        [Some(silent), suspect, refused, loading].into_iter().flatten().min()
    }

    /// This process stood still for `stall`: moves every wait that is running by as much.
    pub fn shift(&mut self, stall: Duration) {
        self.alive_at = self.alive_at + stall;
        self.well_at = self.well_at + stall;
        self.refused = self.refused.map(|(since, count)| (since + stall, count));
        self.loading_from = self.loading_from.map(|since| since + stall);
    }
}

#[cfg(test)]
#[path = "detect_test.rs"]
mod tests;
