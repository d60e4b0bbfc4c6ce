//! `sessions:`, what one client may have and do.

use super::{human, limits, problems::Findings, section::Section};
use crate::pure::command::Allow;
use crate::pure::session::{NoReplicas, UncertainWrites};
use serde::{Serialize, Serializer};
use std::time::Duration;

/// What one client may have and do.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Sessions {
    max: usize,
    upstream: Upstream,
    #[serde(serialize_with = "write_uncertain")]
    uncertain_writes: UncertainWrites,
    #[serde(rename = "max_in_flight", serialize_with = "human::write_memory")]
    max_in_flight_bytes: usize,
    #[serde(rename = "max_query_buffer", serialize_with = "human::write_memory")]
    max_query_buffer_bytes: usize,
    allow: Allowed,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap_channel: Option<String>,
    #[serde(serialize_with = "human::write_duration")]
    subscribers_first: Duration,
    #[serde(serialize_with = "write_no_replicas")]
    noreplicas: NoReplicas,
}

/// How sessions reach the primary.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Upstream {
    /// Each session has an upstream connection of its own.
    Dedicated,
    /// Sessions share a few, and get their own when they need one.
    Shared,
}

fn read_allow(text: &str) -> Result<Allow, String> {
    human::choice(&text.to_ascii_lowercase(), &Allow::ALL.map(|it| (it.key(), it)))
}

fn write_uncertain<S: Serializer>(it: &UncertainWrites, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match it {
        UncertainWrites::Refuse => "refuse",
        UncertainWrites::Replay => "replay",
    })
}

fn write_no_replicas<S: Serializer>(it: &NoReplicas, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match it {
        NoReplicas::Return => "return",
        NoReplicas::Hold => "hold",
    })
}

fn read_channel(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > CHANNEL_BYTES_MAX {
        return Err(format!("must be 1 to {CHANNEL_BYTES_MAX} bytes long"));
    }
    Ok(text.to_owned())
}

/// A channel's name is repeated in every message on it.
const CHANNEL_BYTES_MAX: usize = 256;

/// As long as a client would notice.
const SUBSCRIBERS_FIRST_MAX: Duration = Duration::from_secs(10);

/// The dangerous commands that clients may send after all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Allowed(Vec<Allow>);

impl Allowed {
    /// Which.
    pub fn commands(&self) -> &[Allow] {
        &self.0
    }

    /// Whether nothing is allowed, as shipped.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn read(section: &mut Section<'_>) -> Self {
        let mut allowed = Vec::new();
        for (path, command) in section.words("allow", read_allow).unwrap_or_default() {
            if allowed.contains(&command) {
                section.problems().push(&path, format!("`{}` stands here twice", command.key()));
            } else {
                allowed.push(command);
            }
        }
        Self(allowed)
    }
}

impl Serialize for Allowed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|it| it.key()))
    }
}

impl Sessions {
    /// How many clients may be connected at the same time.
    pub const fn max(&self) -> usize {
        self.max
    }

    /// How sessions reach the primary.
    pub const fn upstream(&self) -> Upstream {
        self.upstream
    }

    /// What becomes of a write whose primary was lost before it answered.
    pub const fn uncertain_writes(&self) -> UncertainWrites {
        self.uncertain_writes
    }

    /// How many bytes of requests of one session may be sent and not answered.
    pub const fn max_in_flight_bytes(&self) -> usize {
        self.max_in_flight_bytes
    }

    /// How many bytes of one session may be read and not yet sent.
    pub const fn max_query_buffer_bytes(&self) -> usize {
        self.max_query_buffer_bytes
    }

    /// The dangerous commands that clients may send after all.
    pub const fn allow(&self) -> &Allowed {
        &self.allow
    }

    /// Where subscribers are told that they may have missed messages.
    pub fn gap_channel(&self) -> Option<&str> {
        self.gap_channel.as_deref()
    }

    /// How long others wait at most, after a switchover, for subscribers to be subscribed again.
    pub const fn subscribers_first(&self) -> Duration {
        self.subscribers_first
    }

    /// What becomes of a write that the primary refused for want of replicas.
    pub const fn noreplicas(&self) -> NoReplicas {
        self.noreplicas
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let shipped = Self::default();
        let (in_flight, buffer) = (shipped.max_in_flight_bytes, shipped.max_query_buffer_bytes);
        let first = shipped.subscribers_first;
        let sessions = Self {
            max: section.or("max", shipped.max, human::count),
            upstream: section.or("upstream", shipped.upstream, Upstream::read),
            uncertain_writes: section.or("uncertain_writes", shipped.uncertain_writes, |text| {
                use UncertainWrites::{Refuse, Replay};
                human::choice(text, &[("refuse", Refuse), ("replay", Replay)])
            }),
            max_in_flight_bytes: section.or("max_in_flight", in_flight, human::memory),
            max_query_buffer_bytes: section.or("max_query_buffer", buffer, human::memory),
            allow: Allowed::read(section),
            gap_channel: section.take("gap_channel", read_channel),
            subscribers_first: section.or("subscribers_first", first, human::duration),
            noreplicas: section.or("noreplicas", shipped.noreplicas, |text| {
                human::choice(text, &[("return", NoReplicas::Return), ("hold", NoReplicas::Hold)])
            }),
        };
        sessions.check(section.problems());
        sessions
    }

    fn check(&self, problems: &mut Findings) {
        let wide = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
        limits::number(problems, "sessions.max", wide(self.max), 1, 1_000_000);
        let in_flight = wide(self.max_in_flight_bytes);
        limits::bytes(problems, "sessions.max_in_flight", in_flight, 16 << 10, 1 << 30);
        // The server takes inline commands of up to 64 KiB (PROTO_INLINE_MAX_SIZE); one of
        // them must fit as a whole.
        let buffer = wide(self.max_query_buffer_bytes);
        limits::bytes(problems, "sessions.max_query_buffer", buffer, 64 << 10, 1 << 30);
        let (key, first) = ("sessions.subscribers_first", self.subscribers_first);
        limits::time(problems, key, first, Duration::ZERO, SUBSCRIBERS_FIRST_MAX);
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            max: 10_000,
            upstream: Upstream::Shared,
            uncertain_writes: UncertainWrites::Refuse,
            max_in_flight_bytes: 1 << 20,
            max_query_buffer_bytes: 1 << 20,
            allow: Allowed::default(),
            gap_channel: None,
            subscribers_first: Duration::from_millis(50),
            noreplicas: NoReplicas::Return,
        }
    }
}

impl Upstream {
    fn read(text: &str) -> Result<Self, String> {
        human::choice(text, &[("dedicated", Self::Dedicated), ("shared", Self::Shared)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test::{config, errors};

    #[test]
    fn allows_only_what_is_named() {
        let config = config("sessions: { allow: [debug, FAILOVER] }");
        for command in Allow::ALL {
            let expected = matches!(command, Allow::Debug | Allow::Failover);
            assert_eq!(
                config.sessions().allow().commands().contains(&command),
                expected,
                "{command:?}"
            );
        }
        assert_eq!(
            errors("sessions:\n  allow: [debug, debug, flushall]"),
            "2:18: sessions.allow[1]: `debug` stands here twice\n\
             2:25: sessions.allow[2]: `flushall` is not one of \
             `replicaof`, `failover`, `shutdown`, `sync`, `debug`, `cluster`",
        );
    }

    #[test]
    fn connections_are_shared_or_not() {
        let upstream = |text: &str| config(text).sessions().upstream();
        assert_eq!(upstream("sessions: { upstream: shared }"), Upstream::Shared);
        assert_eq!(upstream("sessions: { upstream: dedicated }"), Upstream::Dedicated);
    }

    #[test]
    fn limits_hold() {
        assert_eq!(
            errors("sessions: { max: 0, max_in_flight: 1KiB, max_query_buffer: 2GiB }"),
            "1:13: sessions.max: is 0, must be at least 1\n\
             1:21: sessions.max_in_flight: is 1KiB, must be at least 16KiB\n\
             1:42: sessions.max_query_buffer: is 2GiB, must be at most 1GiB",
        );
    }
}
