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

    /// How long one failover may take before it is begun again.
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
        };
        failover.check(section.problems());
        failover
    }

    fn check(&self, problems: &mut Findings) {
        const SECOND: Duration = Duration::from_secs(1);
        let syncs = u64::try_from(self.parallel_syncs).unwrap_or(u64::MAX);
        limits::time(problems, "failover.timeout", self.timeout, SECOND, SECOND * 3_600);
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
