//! `listen[].durability:`, what a listener promises about the writes of its clients.

use super::{human, problems::Findings, section::Section};
use crate::pure::session::{GuardedReads, Promise};
use serde::{Serialize, Serializer};
use std::time::Duration;

/// A write is acknowledged when so many replicas have it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Durability {
    replicas: u32,
    #[serde(serialize_with = "human::write_duration")]
    timeout: Duration,
    on_timeout: OnTimeout,
    #[serde(serialize_with = "write_reads")]
    reads: GuardedReads,
}

/// What becomes of a write that is not confirmed in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum OnTimeout {
    /// Its client is told `-UNCERTAIN`.
    Refuse,
}

fn write_reads<S: Serializer>(it: &GuardedReads, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match it {
        GuardedReads::Local => "local",
        GuardedReads::Confirmed => "confirmed",
    })
}

fn read_on_timeout(text: &str) -> Result<OnTimeout, String> {
    if matches!(text, "acknowledge" | "degrade" | "ok") {
        return Err(format!(
            "`{text}` would acknowledge writes that a failover loses; write `refuse`, or leave \
             `durability` out"
        ));
    }
    human::choice(text, &[("refuse", OnTimeout::Refuse)])
}

impl Durability {
    /// As the sessions are told.
    pub const fn promise(&self) -> Promise {
        Promise { replicas: self.replicas, timeout: self.timeout, reads: self.reads }
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let shipped = Self::shipped();
        let replicas = section.or("replicas", 1, human::count).try_into().unwrap_or(u32::MAX);
        let durability = Self {
            replicas,
            timeout: section.or("timeout", shipped.timeout, human::duration),
            on_timeout: section.or("on_timeout", shipped.on_timeout, read_on_timeout),
            reads: section.or("reads", shipped.reads, |text| {
                use GuardedReads::{Confirmed, Local};
                human::choice(text, &[("local", Local), ("confirmed", Confirmed)])
            }),
        };
        let path = section.path().to_owned();
        durability.check(&path, section.problems());
        durability
    }

    fn check(&self, path: &str, problems: &mut Findings) {
        let key = |leaf: &str| format!("{path}.{leaf}");
        if self.replicas == 0 {
            let text = "is 0: leave `durability` out where no replica is asked";
            problems.push(&key("replicas"), text);
        }
        if self.timeout < Duration::from_millis(1) {
            let text = "is below 1ms: the servers would wait for ever, or not at all";
            problems.push(&key("timeout"), text);
        }
    }

    const fn shipped() -> Self {
        Self {
            replicas: 1,
            timeout: Duration::from_millis(500),
            on_timeout: OnTimeout::Refuse,
            reads: GuardedReads::Local,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::test::{config, errors};
    use crate::pure::session::{GuardedReads, Promise};
    use std::time::Duration;

    #[test]
    fn a_listener_is_guarded_or_not() {
        let config = config(
            "listen: [{ address: 0.0.0.0:6380 }, { address: 0.0.0.0:6381, durability: {} }, \
             { address: 0.0.0.0:6382, durability: { timeout: 2s, reads: confirmed } }]",
        );
        let promises: Vec<_> =
            config.listen().iter().map(|it| it.durability().map(|it| it.promise())).collect();
        let shipped = Promise {
            replicas: 1,
            timeout: Duration::from_millis(500),
            reads: GuardedReads::Local,
        };
        let other =
            Promise { timeout: Duration::from_secs(2), reads: GuardedReads::Confirmed, ..shipped };
        assert_eq!(promises, [None, Some(shipped), Some(other)]);
        let again = crate::config::Config::parse(&config.to_yaml()).unwrap();
        assert_eq!(again.listen(), config.listen());
    }

    #[test]
    fn says_what_cannot_be_promised() {
        let listen = |durability: &str| {
            errors(&format!("listen: [{{ address: 0.0.0.0:6380, durability: {durability} }}]"))
        };
        assert_eq!(
            listen("{ replicas: 0, timeout: 0s }"),
            "1:49: listen[0].durability.replicas: is 0: leave `durability` out where no replica is \
             asked\n\
             1:62: listen[0].durability.timeout: is below 1ms: the servers would wait for ever, or \
             not at all",
        );
        assert_eq!(
            listen("{ replicas: 2 }"),
            "1:49: listen[0].durability.replicas: is 2, but the group has 2 nodes, so at most 1 \
             replica: no write would ever be acknowledged",
        );
        assert_eq!(
            listen("{ timeout: 11s }"),
            "1:49: listen[0].durability.timeout: is 11s, must not exceed hold.timeout (10s)",
        );
        assert_eq!(
            listen("{ on_timeout: acknowledge }"),
            "1:49: listen[0].durability.on_timeout: `acknowledge` would acknowledge writes that a \
             failover loses; write `refuse`, or leave `durability` out",
        );
    }
}
