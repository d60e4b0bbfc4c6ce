//! `hold:`, how long and how much clients are held while nobody is primary.

use super::{human, limits, problems::Findings, section::Section};
use serde::Serialize;
use std::time::Duration;

/// How long and how much clients are held while nobody is primary.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Hold {
    #[serde(serialize_with = "human::write_duration")]
    timeout: Duration,
    #[serde(serialize_with = "human::write_memory")]
    max_bytes: usize,
}

impl Hold {
    /// How long one command is held before it is refused.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many bytes of requests may be kept, held or in flight, in the whole process.
    pub const fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let shipped = Self::default();
        let hold = Self {
            timeout: section.or("timeout", shipped.timeout, human::duration),
            max_bytes: section.or("max_bytes", shipped.max_bytes, human::memory),
        };
        hold.check(section.problems());
        hold
    }

    fn check(&self, problems: &mut Findings) {
        let (tick, hour) = (Duration::from_millis(10), Duration::from_secs(3_600));
        let bytes = u64::try_from(self.max_bytes).unwrap_or(u64::MAX);
        limits::time(problems, "hold.timeout", self.timeout, tick, hour);
        limits::bytes(problems, "hold.max_bytes", bytes, 64 << 10, 1 << 40);
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), max_bytes: 64 << 20 }
    }
}
