//! From a command's name to its class: an open-addressed table with a fixed hash.
//!
//! A lookup folds the case while it hashes, compares once and allocates nothing. The hash
//! has no seed: the names come from the servers, not from clients, and a client that
//! picks names that collide can at worst walk a run of a half-empty table.

use super::learn::Learnt;
use super::{Class, Effect, classify::classify};
use crate::pure::resp::request::NAME_MAX;

/// What redis-server and valkey-server say of their commands.
pub(super) const BUILTIN: &str = include_str!("commands.txt");

/// How many commands may be learnt from a node. Redis with every module of Redis Stack
/// has about 500.
const LEARNT_MAX: usize = 4_096;

/// An empty slot.
const EMPTY: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Entry {
    /// Lower case; `parent|sub` for a subcommand.
    name: Box<str>,
    /// Where the name of the command itself ends: at the `|`, if there is one.
    parent_len: usize,
    class: Class,
    has_subcommands: bool,
}

/// The classes of all commands.
#[derive(Clone, Debug)]
pub struct Table {
    entries: Vec<Entry>,
    /// Indices into `entries`; a power of two, at least twice as many.
    slots: Vec<u32>,
    learnt: usize,
}

impl Table {
    /// The commands of redis-server 7.0 and valkey-server 9.1.
    pub fn builtin() -> Self {
        let mut table = Self { entries: Vec::new(), slots: vec![EMPTY; 1_024], learnt: 0 };
        for line in BUILTIN.lines().filter(|it| !it.starts_with('#')) {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            let words: Vec<&str> = words.skip(1).collect();
            table.insert(name, classify(name, &words), words.contains(&"container"));
        }
        table
    }

    /// The class of a command. `sub` is its first argument; it matters only for commands
    /// that have subcommands, so any first argument may be handed in.
    pub fn lookup(&self, name: &[u8], sub: &[u8]) -> Class {
        let Some(entry) = self.find(name, None) else { return Class::UNKNOWN };
        if entry.has_subcommands && !sub.is_empty() {
            self.find(name, Some(sub)).map_or_else(|| entry.without_subcommand(), |it| it.class)
        } else {
            entry.class
        }
    }

    /// Whether the class of a command depends on its first argument.
    pub(super) fn has_subcommands(&self, name: &[u8]) -> bool {
        self.find(name, None).is_some_and(|it| it.has_subcommands)
    }

    /// Takes in what a primary says of its commands.
    ///
    /// A name that is built in keeps its class, but a read that the primary flags as a
    /// write becomes one. Of a new name the flags are believed. At most
    /// a few thousand names are taken, and none longer than a command name can be.
    pub fn learn(&mut self, entries: impl IntoIterator<Item = Learnt>) {
        for learnt in entries {
            let (parent, sub) = match learnt.name.split_once('|') {
                Some((parent, sub)) => (parent, Some(sub)),
                None => (learnt.name.as_str(), None),
            };
            let sub_bytes = sub.map(str::as_bytes);
            if let Some(index) = self.find_index(parent.as_bytes(), sub_bytes) {
                if let Some(known) = self.entries.get_mut(index)
                    && learnt.write
                    && known.class.effect == Effect::Read
                {
                    known.class.effect = Effect::Write;
                }
                continue;
            }
            let fits = |it: &str| !it.is_empty() && it.len() <= NAME_MAX;
            if self.learnt >= LEARNT_MAX || !fits(parent) || !sub.is_none_or(fits) {
                continue;
            }
            if sub.is_some() {
                match self
                    .find_index(parent.as_bytes(), None)
                    .and_then(|it| self.entries.get_mut(it))
                {
                    Some(parent) => parent.has_subcommands = true,
                    // A subcommand of nothing: no lookup would get to it.
                    None => continue,
                }
            }
            self.insert(&learnt.name.to_ascii_lowercase(), learnt.class(), false);
            self.learnt += 1;
        }
    }

    fn find(&self, name: &[u8], sub: Option<&[u8]>) -> Option<&Entry> {
        self.entries.get(self.find_index(name, sub)?)
    }

    fn find_index(&self, name: &[u8], sub: Option<&[u8]>) -> Option<usize> {
        // No command is longer, so a long name needs no hashing.
        if name.len() > NAME_MAX || sub.is_some_and(|it| it.len() > NAME_MAX) {
            return None;
        }
        let mut slot = self.slot(hash(name, sub));
        loop {
            let index = *self.slots.get(slot).filter(|&&it| it != EMPTY)? as usize;
            if self.entries.get(index)?.is(name, sub) {
                return Some(index);
            }
            slot = self.slot(slot + 1);
        }
    }

    const fn slot(&self, at: usize) -> usize {
        at & (self.slots.len() - 1)
    }

    fn insert(&mut self, name: &str, class: Class, has_subcommands: bool) {
        let parent_len = name.find('|').unwrap_or(name.len());
        self.entries.push(Entry { name: name.into(), parent_len, class, has_subcommands });
        if self.entries.len() * 2 > self.slots.len() {
            self.slots = vec![EMPTY; self.slots.len() * 2];
            for index in 0..self.entries.len() {
                self.place(index);
            }
        } else {
            self.place(self.entries.len() - 1);
        }
    }

    fn place(&mut self, index: usize) {
        let Some(entry) = self.entries.get(index) else { return };
        let (name, sub) = entry.parts();
        let mut slot = self.slot(hash(name, sub));
        // Ends: at least half of the slots are empty.
        while self.slots.get(slot).is_some_and(|&it| it != EMPTY) {
            slot = self.slot(slot + 1);
        }
        if let Some(free) = self.slots.get_mut(slot) {
            *free = u32::try_from(index).unwrap_or(EMPTY);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Entry {
    fn parts(&self) -> (&[u8], Option<&[u8]>) {
        let name = self.name.as_bytes();
        match name.split_at_checked(self.parent_len) {
            Some((parent, [_, sub @ ..])) => (parent, Some(sub)),
            Some((_, [])) | None => (name, None),
        }
    }

    /// Whether this is `name`, with this very subcommand. A client that writes the `|`
    /// itself (`CLIENT|KILL` as one word) names a command that no server has.
    fn is(&self, name: &[u8], sub: Option<&[u8]>) -> bool {
        let (own_name, own_sub) = self.parts();
        own_name.eq_ignore_ascii_case(name)
            && match (own_sub, sub) {
                (None, None) => true,
                (Some(own), Some(sub)) => own.eq_ignore_ascii_case(sub),
                (None, Some(_)) | (Some(_), None) => false,
            }
    }

    /// The class of a subcommand that is not in the table.
    fn without_subcommand(&self) -> Class {
        Class { effect: Effect::Write, is_known: false, ..self.class }
    }
}

/// Eight bytes at a time, with the bit set that tells small letters from capitals: names that
/// differ in case alone get the same hash. Good enough for four hundred short words, and quicker
/// than anything that has to be set up.
fn hash(name: &[u8], sub: Option<&[u8]>) -> usize {
    let hash = words(name).fold(name.len() as u64, mix);
    let hash = sub.map_or(hash, |sub| words(sub).fold(mix(hash, u64::from(b'|')), mix));
    // The upper bits depend on all of the input.
    (hash >> 40) as usize
}

const fn mix(hash: u64, word: u64) -> u64 {
    // An odd number near 2^64 divided by the golden ratio: Fibonacci hashing.
    (hash.rotate_left(5) ^ (word | 0x2020_2020_2020_2020)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// `text` in words of eight bytes, the last one filled up with zeros.
fn words(text: &[u8]) -> impl Iterator<Item = u64> {
    let (whole, rest) = text.as_chunks::<8>();
    let rest =
        (!rest.is_empty()).then(|| rest.iter().fold(0, |word, &it| word << 8 | u64::from(it)));
    whole.iter().map(|it| u64::from_be_bytes(*it)).chain(rest)
}
