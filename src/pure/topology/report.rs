//! What a node says of itself: the text of `INFO server replication persistence keyspace`,
//! typed.
//!
//! All of it comes from *one* `INFO` call, so role, offset and identity belong together.
//! Offsets are never read from `ROLE`: a replica whose link is down answers -1 there.
//!
//! Deliberately absent: opinions. A report is a statement of one node at one moment;
//! `detect` judges the node, [`Lineage`](super::Lineage) its data, `failover` what to do.

use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Length of run ids and replication ids: `CONFIG_RUN_ID_SIZE` of the servers.
const ID_LEN: usize = 40;

/// Replication id of a history (`master_replid`).
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(into = "String", try_from = "String")]
pub struct ReplId([u8; ID_LEN]);

/// Identity of a process (`run_id`); a change is a restart.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(into = "String", try_from = "String")]
pub struct RunId([u8; ID_LEN]);

impl ReplId {
    /// Reads 40 printable characters; `None` for anything else, and for the forty zeros with
    /// which servers say "none".
    pub fn parse(text: &str) -> Option<Self> {
        let id = parse_id(text)?;
        id.iter().any(|it| *it != b'0').then_some(Self(id))
    }
}

impl RunId {
    /// Reads 40 printable characters; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        parse_id(text).map(Self)
    }
}

impl From<ReplId> for String {
    fn from(id: ReplId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ReplId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a replication id")
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for RunId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a run id")
    }
}

fn parse_id(text: &str) -> Option<[u8; ID_LEN]> {
    let id: [u8; ID_LEN] = text.as_bytes().try_into().ok()?;
    id.iter().all(u8::is_ascii_alphanumeric).then_some(id)
}

impl fmt::Display for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One node's account of itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Report {
    /// `redis_version`, or `valkey_version` where there is one.
    pub version: String,
    /// Which process answered.
    pub run_id: RunId,
    /// Primary, or replica of somebody.
    pub role: Role,
    /// The history that its data belongs to.
    pub replid: ReplId,
    /// The history that this one continues, with the first offset that it does *not* share
    /// with it (`second_repl_offset`).
    pub descends: Option<(ReplId, u64)>,
    /// Bytes of history that it has *applied*: `master_repl_offset` of a primary,
    /// `slave_repl_offset` of a replica.
    pub offset: u64,
    /// It is loading a data set from disk or from its primary.
    pub loading: bool,
    /// `master_failover_state` is not `no-failover`: somebody runs `FAILOVER` on it.
    pub failing_over: bool,
    /// Replicas that it says are connected to it.
    pub followers: Vec<Follower>,
    /// Keys of all databases.
    pub keys: u64,
    /// Those of [`keys`](Self::keys) that have a time to live.
    pub expiring_keys: u64,
}

/// What a node says it is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Role {
    /// `role:master`.
    Primary,
    /// `role:slave`.
    Replica(Link),
}

/// A replica's link to its primary.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Link {
    /// `master_host`, as the replica was told.
    pub host: String,
    /// `master_port`.
    pub port: u16,
    /// Whether data flows.
    pub state: LinkState,
    /// Bytes received, applied or not (`slave_read_repl_offset`).
    pub received: u64,
    /// `slave_priority`; 0 means "never promote me".
    pub priority: u32,
}

/// States of a replica's link.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum LinkState {
    /// Streaming; the last byte arrived so many whole seconds ago.
    Up {
        /// `master_last_io_seconds_ago`.
        idle_secs: u64,
    },
    /// A full synchronisation is under way.
    Syncing,
    /// Lost so many seconds ago.
    Down {
        /// `master_link_down_since_seconds`.
        secs: u64,
    },
    /// Not up since this process started. Servers print -1, which Sentinel takes for a
    /// fresh link, and promotes an empty node.
    Never,
}

/// A replica as its primary reports it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Follower {
    /// `ip=`: an address, or whatever `replica-announce-ip` says.
    pub host: String,
    /// `port=`.
    pub port: u16,
    /// `state=online`.
    pub online: bool,
    /// The last offset that it acknowledged.
    pub offset: u64,
}

/// Why an answer to `INFO` is not a report.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ReportError {
    /// A field that every supported server sends is not there.
    #[error("INFO has no usable {field}")]
    Missing {
        /// Its name.
        field: &'static str,
    },
}

impl Report {
    /// Whether it says `role:master`.
    pub const fn is_primary(&self) -> bool {
        matches!(self.role, Role::Primary)
    }

    /// Its link, if it is a replica.
    pub const fn link(&self) -> Option<&Link> {
        match &self.role {
            Role::Primary => None,
            Role::Replica(link) => Some(link),
        }
    }

    /// Keys that only a command removes; the others may expire by themselves.
    pub const fn lasting_keys(&self) -> u64 {
        self.keys.saturating_sub(self.expiring_keys)
    }

    /// Whether it holds nothing, continues nothing and nobody follows it: a server that was
    /// started empty. There is nothing in it to lose.
    pub const fn is_blank(&self) -> bool {
        self.is_primary()
            && self.keys == 0
            && self.descends.is_none()
            && self.followers.is_empty()
            && !self.loading
    }

    /// Reads the text of `INFO`.
    ///
    /// Unknown lines are skipped, order does not matter.
    ///
    /// # Errors
    ///
    /// If a field without which no decision is possible is absent or malformed.
    pub fn parse(info: &str) -> Result<Self, ReportError> {
        let fields = Fields(info);
        let is_primary = match fields.text("role") {
            Some("master") => true,
            Some("slave") => false,
            Some(_) | None => return Err(ReportError::Missing { field: "role" }),
        };
        let version = fields.text("valkey_version").or_else(|| fields.text("redis_version"));
        let applied = if is_primary { "master_repl_offset" } else { "slave_repl_offset" };
        let second = fields.number("second_repl_offset");
        let (keys, expiring_keys) = fields.keyspace();
        Ok(Self {
            version: version.unwrap_or("unknown").to_owned(),
            run_id: fields
                .text("run_id")
                .and_then(RunId::parse)
                .ok_or(ReportError::Missing { field: "run_id" })?,
            role: if is_primary { Role::Primary } else { Role::Replica(fields.link()?) },
            replid: fields
                .text("master_replid")
                .and_then(ReplId::parse)
                .ok_or(ReportError::Missing { field: "master_replid" })?,
            descends: fields.text("master_replid2").and_then(ReplId::parse).zip(second),
            offset: fields.number(applied).ok_or(ReportError::Missing { field: applied })?,
            loading: fields.flag("loading") || fields.flag("async_loading"),
            failing_over: fields
                .text("master_failover_state")
                .is_some_and(|state| state != "no-failover"),
            followers: fields.followers(),
            keys,
            expiring_keys,
        })
    }
}

/// The lines of an `INFO` answer.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn lines(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.0.lines().filter_map(|line| line.trim_end().split_once(':'))
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.lines().find_map(|(key, value)| (key == name).then_some(value))
    }

    /// `None` for negative numbers: servers say -1 for "none".
    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("1")
    }

    fn link(&self) -> Result<Link, ReportError> {
        let port = self.text("master_port").and_then(|it| it.parse().ok());
        let state = if self.flag("master_sync_in_progress") {
            LinkState::Syncing
        } else if self.text("master_link_status") == Some("up") {
            LinkState::Up { idle_secs: self.number("master_last_io_seconds_ago").unwrap_or(0) }
        } else {
            self.number("master_link_down_since_seconds")
                .map_or(LinkState::Never, |secs| LinkState::Down { secs })
        };
        Ok(Link {
            host: self
                .text("master_host")
                .ok_or(ReportError::Missing { field: "master_host" })?
                .to_owned(),
            port: port.ok_or(ReportError::Missing { field: "master_port" })?,
            state,
            received: self.number("slave_read_repl_offset").unwrap_or(0),
            // 100 is the default of `replica-priority`.
            priority: self.text("slave_priority").and_then(|it| it.parse().ok()).unwrap_or(100),
        })
    }

    /// `slave0:ip=10.0.0.2,port=7002,state=online,offset=42,lag=0` (Valkey 9 adds `type=`; its
    /// `rdb-channel` is a second connection of a replica that is listed already).
    fn followers(&self) -> Vec<Follower> {
        let is_replica = |key: &str| {
            key.strip_prefix("slave")
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|it| it.is_ascii_digit()))
        };
        let mut found: Vec<Follower> = Vec::new();
        for (_, value) in self.lines().filter(|(key, _)| is_replica(key)) {
            let part = |name: &str| {
                value
                    .split(',')
                    .find_map(|it| it.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')))
            };
            let (Some(host), Some(port)) =
                (part("ip"), part("port").and_then(|it| it.parse::<u16>().ok()))
            else {
                continue;
            };
            if part("type") == Some("rdb-channel") {
                continue;
            }
            found.push(Follower {
                host: host.to_owned(),
                port,
                online: part("state") == Some("online"),
                offset: part("offset").and_then(|it| it.parse().ok()).unwrap_or(0),
            });
        }
        found
    }

    /// Sums `db0:keys=12,expires=3,avg_ttl=0` over all databases.
    fn keyspace(&self) -> (u64, u64) {
        let mut sums = (0_u64, 0_u64);
        for (key, value) in self.lines() {
            let is_db = key
                .strip_prefix("db")
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|it| it.is_ascii_digit()));
            if !is_db {
                continue;
            }
            let part = |name: &str| {
                value
                    .split(',')
                    .find_map(|it| it.strip_prefix(name))
                    .and_then(|it| it.parse::<u64>().ok())
                    .unwrap_or(0)
            };
            sums.0 = sums.0.saturating_add(part("keys="));
            sums.1 = sums.1.saturating_add(part("expires="));
        }
        sums
    }
}

#[cfg(test)]
#[path = "report_test.rs"]
mod tests;
