//! `health:`, when a node counts as suspect, down and up again.

use super::{human, limits, problems::Findings, section::Section};
use serde::Serialize;
use std::time::Duration;

/// When a node counts as suspect, down and up again.
///
/// Checked: a probe ends before its node is down, a node is suspect before it is down, and one
/// lost probe alone never makes it so.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Health {
    #[serde(serialize_with = "human::write_duration")]
    interval: Duration,
    #[serde(serialize_with = "human::write_duration")]
    timeout: Duration,
    #[serde(serialize_with = "human::write_duration")]
    suspect_after: Duration,
    #[serde(serialize_with = "human::write_duration")]
    down_after: Duration,
    #[serde(serialize_with = "human::write_duration")]
    refused_after: Duration,
    rise: u32,
    #[serde(serialize_with = "human::write_duration")]
    loading_after: Duration,
}

impl Health {
    /// How often each node is probed.
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// How long one probe may take.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How long a probe of the primary may go unanswered, while requests wait for it, before
    /// new commands are held.
    pub const fn suspect_after(&self) -> Duration {
        self.suspect_after
    }

    /// How long a node may go without a good reply before it is down.
    pub const fn down_after(&self) -> Duration {
        self.down_after
    }

    /// How long a node may actively refuse connections before it is down.
    pub const fn refused_after(&self) -> Duration {
        self.refused_after
    }

    /// How many good probes in a row bring a node up again.
    pub const fn rise(&self) -> u32 {
        self.rise
    }

    /// How long a primary may answer `-LOADING` before it is down.
    pub const fn loading_after(&self) -> Duration {
        self.loading_after
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let shipped = Self::default();
        let health = Self {
            interval: section.or("interval", shipped.interval, human::duration),
            timeout: section.or("timeout", shipped.timeout, human::duration),
            suspect_after: section.or("suspect_after", shipped.suspect_after, human::duration),
            down_after: section.or("down_after", shipped.down_after, human::duration),
            refused_after: section.or("refused_after", shipped.refused_after, human::duration),
            rise: section.or("rise", shipped.rise, human::count),
            loading_after: section.or("loading_after", shipped.loading_after, human::duration),
        };
        health.check(section.problems());
        health
    }

    fn check(&self, problems: &mut Findings) {
        const TICK: Duration = Duration::from_millis(10);
        const HOUR: Duration = Duration::from_secs(3_600);
        let show = human::show_duration;
        let Self { interval, timeout, suspect_after, down_after, refused_after, rise, .. } = *self;

        limits::time(problems, "health.interval", interval, TICK, Duration::from_secs(60));
        limits::time(problems, "health.timeout", timeout, TICK, Duration::from_secs(60));
        limits::time(problems, "health.suspect_after", suspect_after, TICK, HOUR);
        limits::time(problems, "health.down_after", down_after, TICK, HOUR);
        limits::time(problems, "health.refused_after", refused_after, TICK, HOUR);
        limits::time(problems, "health.loading_after", self.loading_after, TICK, HOUR * 24);
        limits::number(problems, "health.rise", u64::from(rise), 1, 100);

        // One lost probe is an accident; a failover takes at least two.
        if down_after < interval.saturating_mul(2) {
            let (down, every) = (show(down_after), show(interval));
            problems.push_rule(
                "health.down_after",
                "health.interval",
                format!("is {down}, must be at least twice health.interval ({every})"),
            );
        }
        for (key, value) in [
            // Else a node would be down before its first probe had failed.
            ("health.timeout", timeout),
            ("health.suspect_after", suspect_after),
            ("health.refused_after", refused_after),
        ] {
            if value > down_after {
                let (value, down) = (show(value), show(down_after));
                problems.push_rule(
                    key,
                    "health.down_after",
                    format!("is {value}, must not exceed health.down_after ({down})"),
                );
            }
        }
        if self.loading_after < down_after {
            let (value, down) = (show(self.loading_after), show(down_after));
            problems.warn(
                "health.loading_after",
                &["health.down_after"],
                format!(
                    "is {value}, less than health.down_after ({down}): \
                     a primary that loads its data is given up sooner than one that is silent"
                ),
            );
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            timeout: Duration::from_millis(500),
            suspect_after: Duration::from_millis(200),
            down_after: Duration::from_secs(1),
            refused_after: Duration::from_millis(300),
            rise: 2,
            loading_after: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::test::{errors, warnings};

    #[test]
    fn a_node_is_suspect_before_it_is_down() {
        assert_eq!(
            errors("health: { suspect_after: 3s, refused_after: 4s, timeout: 5s, down_after: 2s }"),
            "1:11: health.suspect_after: is 3s, must not exceed health.down_after (2s)\n\
             1:30: health.refused_after: is 4s, must not exceed health.down_after (2s)\n\
             1:49: health.timeout: is 5s, must not exceed health.down_after (2s)",
        );
    }

    #[test]
    fn one_lost_probe_is_no_failover() {
        assert_eq!(
            errors("health: { interval: 600ms }"),
            "1:1: health.down_after: is 1s, must be at least twice health.interval (600ms)",
        );
        assert_eq!(errors("health: { interval: 500ms }"), "");
    }

    #[test]
    fn zero_and_excess_are_refused() {
        assert_eq!(
            errors("health: { interval: 0s, rise: 0, down_after: 2h }"),
            "1:11: health.interval: is 0s, must be at least 10ms\n\
             1:25: health.rise: is 0, must be at least 1\n\
             1:34: health.down_after: is 2h, must be at most 1h",
        );
        assert_eq!(
            errors("health: { rise: 101 }"),
            "1:11: health.rise: is 101, must be at most 100"
        );
    }

    #[test]
    fn a_broken_value_hides_the_rules_about_it() {
        let text = errors("health: { down_after: 100, timeout: 5s }");
        assert!(text.starts_with("1:11: health.down_after: `100` has no unit"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn loading_is_given_more_time_than_silence() {
        assert!(warnings("health: { loading_after: 500ms }").starts_with("1:11: health.loading"));
        assert_eq!(warnings("health: { loading_after: 1s }"), "");
    }
}
