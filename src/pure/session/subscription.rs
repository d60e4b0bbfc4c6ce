//! Which channels, patterns and shard channels a session listens to.
//!
//! The sets follow the node's confirmations, one frame a channel, so that they are right even
//! when a request was refused in part.

use std::collections::BTreeSet;

/// The three kinds of subscription, each with its own count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Channel,
    Pattern,
    Shard,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Channel, Self::Pattern, Self::Shard];

    /// The command that adds one.
    pub(super) const fn command(self) -> &'static [u8] {
        match self {
            Self::Channel => b"SUBSCRIBE",
            Self::Pattern => b"PSUBSCRIBE",
            Self::Shard => b"SSUBSCRIBE",
        }
    }

    /// What a confirmation frame starts with, and whether it adds (or removes).
    pub(super) fn of_confirmation(name: &[u8]) -> Option<(Self, bool)> {
        match name {
            b"subscribe" => Some((Self::Channel, true)),
            b"unsubscribe" => Some((Self::Channel, false)),
            b"psubscribe" => Some((Self::Pattern, true)),
            b"punsubscribe" => Some((Self::Pattern, false)),
            b"ssubscribe" => Some((Self::Shard, true)),
            b"sunsubscribe" => Some((Self::Shard, false)),
            _ => None,
        }
    }

    /// Whether a frame that starts with `name` is a message, which nobody asked for.
    pub(super) fn is_message(name: &[u8]) -> bool {
        matches!(name, b"message" | b"pmessage" | b"smessage")
    }
}

/// What one session listens to.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    channels: BTreeSet<Box<[u8]>>,
    patterns: BTreeSet<Box<[u8]>>,
    shards: BTreeSet<Box<[u8]>>,
    bytes: usize,
}

impl Subscriptions {
    pub(super) fn is_empty(&self) -> bool {
        Kind::ALL.iter().all(|&kind| self.of(kind).is_empty())
    }

    /// The names of one kind.
    pub(super) const fn of(&self, kind: Kind) -> &BTreeSet<Box<[u8]>> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shards,
        }
    }

    /// A confirmation arrived.
    pub(super) fn confirm(&mut self, kind: Kind, adds: bool, name: &[u8]) {
        let names = match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shards,
        };
        if adds {
            if names.insert(name.into()) {
                self.bytes += name.len() + NAME_OVERHEAD_BYTES;
            }
        } else if names.remove(name) {
            self.bytes = self.bytes.saturating_sub(name.len() + NAME_OVERHEAD_BYTES);
        }
    }

    /// Bytes kept for replay.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a name costs beyond its bytes: pointer, length, and its share of a tree node.
const NAME_OVERHEAD_BYTES: usize = 32;
