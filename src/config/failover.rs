//! `failover:`, whether and how a replica takes over.

use super::{human, limits, problems::Findings, section::Section};
use serde::Serialize;
use std::time::Duration;

/// Whether and how a replica takes over.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Failover {
    enabled: bool,
    #[serde(serialize_with = "human::write_duration")]
    timeout: Duration,
    parallel_syncs: usize,
    #[serde(serialize_with = "human::write_size")]
    max_lag_bytes: u64,
    #[serde(serialize_with = "human::write_duration")]
    max_link_down: Duration,
    rejoin: Rejoin,
    quorum: Quorum,
    without_witness: Witnessless,
    #[serde(serialize_with = "human::write_duration")]
    jitter: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    fence: Option<Fence>,
}

/// What stops a primary that lost its replicas from taking writes of clients that bypass Segue.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Fence {
    min_replicas: u32,
    #[serde(serialize_with = "human::write_duration")]
    max_lag: Duration,
}

impl Fence {
    /// How many replicas must be in step for the primary to take writes.
    pub const fn min_replicas(&self) -> u32 {
        self.min_replicas
    }

    /// How long ago their last acknowledgement may be; whole seconds.
    pub const fn max_lag(&self) -> Duration {
        self.max_lag
    }

    fn read(section: &mut Section<'_>) -> Self {
        let fence = Self {
            min_replicas: section.or("min_replicas", 1, human::count),
            max_lag: section.or("max_lag", Duration::from_secs(10), human::duration),
        };
        const SECOND: Duration = Duration::from_secs(1);
        let problems = section.problems();
        let min = u64::from(fence.min_replicas);
        limits::number(problems, "failover.fence.min_replicas", min, 1, 100);
        limits::time(problems, "failover.fence.max_lag", fence.max_lag, SECOND, SECOND * 3_600);
        if fence.max_lag.subsec_nanos() != 0 {
            problems.push("failover.fence.max_lag", "must be whole seconds: servers count in them");
        }
        fence
    }
}

/// What is done when the primary is out of reach and no replica can say whether it lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Witnessless {
    /// Nobody is promoted.
    Wait,
    /// After twice `health.down_after` the best replica is.
    Promote,
}

/// What becomes of an old primary that returns.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rejoin {
    /// It is demoted and follows the new primary; what only it had is discarded.
    Auto,
    /// It is kept out until a person lets it back in.
    Quarantine,
    /// It is left alone, and never used while it claims to be primary.
    Off,
}

/// When replicas must be heard before one of them may take over from a primary with guarded writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Quorum {
    /// Only while this process does not know what it has acknowledged itself.
    Auto,
    /// Every time: other proxies acknowledge guarded writes of this group, too.
    Always,
}

impl Failover {
    /// Whether Segue promotes at all; if not, it only follows what others decide.
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// How long one failover may take before it is reported as overdue, and before a primary that came
    /// back without its data may serve if nobody else can.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many replicas are pointed to the new primary at the same time.
    pub const fn parallel_syncs(&self) -> usize {
        self.parallel_syncs
    }

    /// How far behind the old primary a candidate may be, in bytes.
    pub const fn max_lag_bytes(&self) -> u64 {
        self.max_lag_bytes
    }

    /// For how long a candidate may have been without its primary when that went down.
    pub const fn max_link_down(&self) -> Duration {
        self.max_link_down
    }

    /// What becomes of an old primary that returns.
    pub const fn rejoin(&self) -> Rejoin {
        self.rejoin
    }

    /// When replicas must be heard before one may take over from a primary with guarded writes.
    pub const fn quorum(&self) -> Quorum {
        self.quorum
    }

    /// What is done when no replica can say whether the primary lives.
    pub const fn without_witness(&self) -> Witnessless {
        self.without_witness
    }

    /// How long at most other proxies are let go first.
    pub const fn jitter(&self) -> Duration {
        self.jitter
    }

    /// The fence for clients that bypass Segue, if there is to be one.
    pub const fn fence(&self) -> Option<Fence> {
        self.fence
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let shipped = Self::default();
        let failover = Self {
            enabled: section.or("enabled", shipped.enabled, human::flag),
            timeout: section.or("timeout", shipped.timeout, human::duration),
            parallel_syncs: section.or("parallel_syncs", shipped.parallel_syncs, human::count),
            max_lag_bytes: section.or("max_lag_bytes", shipped.max_lag_bytes, human::size),
            max_link_down: section.or("max_link_down", shipped.max_link_down, human::duration),
            rejoin: section.or("rejoin", shipped.rejoin, Rejoin::read),
            quorum: section.or("quorum", shipped.quorum, |text| {
                human::choice(text, &[("auto", Quorum::Auto), ("always", Quorum::Always)])
            }),
            without_witness: section.or("without_witness", shipped.without_witness, |text| {
                human::choice(
                    text,
                    &[("wait", Witnessless::Wait), ("promote", Witnessless::Promote)],
                )
            }),
            jitter: section.or("jitter", shipped.jitter, human::duration),
            fence: section.optional("fence", Fence::read),
        };
        failover.check(section.problems());
        failover
    }

    fn check(&self, problems: &mut Findings) {
        const SECOND: Duration = Duration::from_secs(1);
        let syncs = u64::try_from(self.parallel_syncs).unwrap_or(u64::MAX);
        limits::time(problems, "failover.timeout", self.timeout, SECOND, SECOND * 3_600);
        limits::time(problems, "failover.jitter", self.jitter, Duration::ZERO, SECOND * 10);
        limits::number(problems, "failover.parallel_syncs", syncs, 1, 100);
        limits::bytes(problems, "failover.max_lag_bytes", self.max_lag_bytes, 0, 1 << 40);
        limits::time(
            problems,
            "failover.max_link_down",
            self.max_link_down,
            SECOND,
            SECOND * 86_400,
        );
    }
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            enabled: true,
            timeout: Duration::from_secs(10),
            parallel_syncs: 1,
            max_lag_bytes: 64 << 20,
            max_link_down: Duration::from_secs(10),
            rejoin: Rejoin::Auto,
            quorum: Quorum::Auto,
            without_witness: Witnessless::Wait,
            jitter: Duration::from_millis(50),
            fence: None,
        }
    }
}

impl Rejoin {
    /// `true` and `false` are the short forms of `auto` and `off`.
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(Self::Auto),
            "false" => Ok(Self::Off),
            _ => human::choice(
                text,
                &[("auto", Self::Auto), ("quarantine", Self::Quarantine), ("off", Self::Off)],
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test::errors;

    #[test]
    fn rejoin_has_short_forms() {
        for (text, expected) in [
            ("true", Ok(Rejoin::Auto)),
            ("auto", Ok(Rejoin::Auto)),
            ("quarantine", Ok(Rejoin::Quarantine)),
            ("off", Ok(Rejoin::Off)),
            ("false", Ok(Rejoin::Off)),
            ("no", Err("`no` is not one of `auto`, `quarantine`, `off`".to_owned())),
        ] {
            assert_eq!(Rejoin::read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_fence_is_off_unless_it_is_asked_for() {
        assert_eq!(errors("failover: { fence: { min_replicas: 1, max_lag: 10s } }"), "");
        assert_eq!(
            errors("failover: { fence: { min_replicas: 0, max_lag: 1500ms } }"),
            "1:22: failover.fence.min_replicas: is 0, must be at least 1\n\
             1:39: failover.fence.max_lag: must be whole seconds: servers count in them",
        );
    }

    #[test]
    fn limits_are_inclusive() {
        assert_eq!(errors("failover: { timeout: 1s, parallel_syncs: 100, max_lag_bytes: 0B }"), "");
        assert_eq!(
            errors("failover: { timeout: 999ms, parallel_syncs: 101, max_lag_bytes: 1025GiB }"),
            "1:13: failover.timeout: is 999ms, must be at least 1s\n\
             1:29: failover.parallel_syncs: is 101, must be at most 100\n\
             1:50: failover.max_lag_bytes: is 1025GiB, must be at most 1024GiB",
        );
    }
}
