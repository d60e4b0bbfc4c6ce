//! Waiting by condition: for whatever a test waits, this is how, and nothing else sleeps.

use std::thread;
use std::time::{Duration, Instant};

/// No step of any test may take longer. Generous, because two cores carry everything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `probe` gives a value. The only place that sleeps.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// As [`eventually`], for what must not take as long as [`PATIENCE`].
#[track_caller]
pub(crate) fn within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + limit;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < give_up, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
