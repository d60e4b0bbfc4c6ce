//! `drain:`, how Segue goes away.

use super::{human, limits, section::Section};
use serde::Serialize;
use std::time::Duration;

/// How Segue goes away after `SIGTERM`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Drain {
    #[serde(serialize_with = "human::write_duration")]
    timeout: Duration,
}

impl Drain {
    /// How long sessions may finish what is in flight; zero closes them at once.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let timeout = section.or("timeout", Self::default().timeout, human::duration);
        let hour = Duration::from_secs(3_600);
        limits::time(section.problems(), "drain.timeout", timeout, Duration::ZERO, hour);
        Self { timeout }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10) }
    }
}
