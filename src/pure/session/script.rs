//! Scripts seen by a worker's sessions. The script cache is not replicated, so after a failover a
//! script that is called by its SHA is sent once by its body instead: `EVALSHA sha …` and
//! `EVAL body …` mean the same everywhere, also inside `MULTI`.
//!
//! Bounded in bytes; the least recently used body goes first.

use super::{World, plan};
use crate::pure::command::Special;
use crate::pure::resp::request;
use crate::pure::topology::Epoch;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes of bodies that one worker keeps.
pub(super) const BODIES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A SHA1 in lower-case hexadecimal digits.
pub(super) type Sha = [u8; 40];

#[derive(Debug)]
struct Body {
    text: Arc<[u8]>,
    used: u64,
}

/// The bodies that one worker has seen.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    bodies: BTreeMap<Sha, Body>,
    shas: BTreeMap<Arc<[u8]>, Sha>,
    /// Known to the primary of `epoch`.
    loaded: BTreeSet<Sha>,
    epoch: Epoch,
    bytes: usize,
    clock: u64,
}

impl Scripts {
    /// Remembers a body that the primary of `epoch` has accepted.
    pub(super) fn loaded(&mut self, epoch: Epoch, body: &[u8]) {
        if body.len() > BODIES_BYTES_MAX / 4 {
            return;
        }
        self.enter(epoch);
        self.clock += 1;
        let sha = match self.shas.get(body) {
            Some(&sha) => sha,
            None => self.insert(body),
        };
        if let Some(kept) = self.bodies.get_mut(&sha) {
            kept.used = self.clock;
        }
        self.loaded.insert(sha);
    }

    /// The body to send in place of `sha`, if the primary of `epoch` may not know it.
    pub(super) fn missing(&mut self, epoch: Epoch, sha: &[u8]) -> Option<Arc<[u8]>> {
        self.enter(epoch);
        let sha = Self::sha(sha)?;
        if self.loaded.contains(&sha) {
            return None;
        }
        self.body(&sha)
    }

    /// `SCRIPT FLUSH`: nothing that a client loaded before is owed to it.
    pub(super) fn flush(&mut self) {
        *self = Self { epoch: self.epoch, clock: self.clock, ..Self::default() };
    }

    fn enter(&mut self, epoch: Epoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.loaded.clear();
        }
    }

    fn body(&mut self, sha: &Sha) -> Option<Arc<[u8]>> {
        self.clock += 1;
        let kept = self.bodies.get_mut(sha)?;
        kept.used = self.clock;
        Some(Arc::clone(&kept.text))
    }

    fn insert(&mut self, body: &[u8]) -> Sha {
        let sha = sha1(body);
        let text: Arc<[u8]> = body.into();
        self.bytes += body.len();
        self.shas.insert(Arc::clone(&text), sha);
        self.bodies.insert(sha, Body { text, used: self.clock });
        while self.bytes > BODIES_BYTES_MAX {
            let Some(oldest) = self.bodies.iter().min_by_key(|it| it.1.used).map(|it| *it.0) else {
                break;
            };
            if let Some(body) = self.bodies.remove(&oldest) {
                self.bytes -= body.text.len();
                self.shas.remove(&body.text);
            }
        }
        sha
    }

    /// `text` as a SHA, in either case of letters.
    fn sha(text: &[u8]) -> Option<Sha> {
        Sha::try_from(text.to_ascii_lowercase()).ok()
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "only these touch the script cache")]
/// Takes note of what `request`, which `EXEC` has run, did to the script cache.
pub(super) fn note_queued(world: &mut World, epoch: Epoch, request: &[u8]) {
    let args = request::args(request);
    let special = plan::classify(&world.table, request).special;
    let body = match special {
        Special::Eval => args.get(1),
        Special::ScriptLoad => args.get(2),
        _ => None,
    };
    if special == Special::ScriptFlush {
        world.scripts.flush();
    } else if let Some(body) = body {
        world.scripts.loaded(epoch, body);
    }
}

/// The name by which `EVALSHA` knows `body`.
fn sha1(body: &[u8]) -> Sha {
    let mut sha = [b'0'; 40];
    let digits = sha1_smol::Sha1::from(body).digest().to_string();
    sha.copy_from_slice(digits.as_bytes());
    sha
}
