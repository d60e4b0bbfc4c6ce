//! `CLIENT TRACKING`: the options in force, so that another primary can be told, and the wait for a
//! session to which invalidations are redirected.

use super::World;
use super::machine::{Link, Retry, Session};
use crate::pure::time::Time;
use std::time::Duration;

/// How often, and how many times, to look whether the target of a redirection has arrived.
const TARGET_POLL: Duration = Duration::from_millis(5);
const TARGET_POLLS_MAX: u32 = 200;

/// Options of `CLIENT TRACKING ON`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Tracking {
    /// Connection that gets the invalidations, by the id that the client knows.
    pub(super) redirect: Option<u64>,
    pub(super) broadcast: bool,
    pub(super) opt_in: bool,
    pub(super) opt_out: bool,
    pub(super) no_loop: bool,
    pub(super) prefixes: Vec<Box<[u8]>>,
}

impl Tracking {
    /// Parses the arguments after `ON`; `None` if the node will refuse them.
    pub(super) fn parse<'a>(mut options: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut it = Self::default();
        while let Some(option) = options.next() {
            match option.to_ascii_uppercase().as_slice() {
                b"REDIRECT" => {
                    it.redirect = Some(str::from_utf8(options.next()?).ok()?.parse().ok()?);
                }
                b"PREFIX" => it.prefixes.push(options.next()?.into()),
                b"BCAST" => it.broadcast = true,
                b"OPTIN" => it.opt_in = true,
                b"OPTOUT" => it.opt_out = true,
                b"NOLOOP" => it.no_loop = true,
                _ => return None,
            }
        }
        Some(it)
    }

    /// Puts `new` in force. Prefixes add up over repeated calls, the rest is replaced
    /// (`enableTracking` of the servers).
    pub(super) fn merge(current: &mut Option<Self>, mut new: Self) {
        if let Some(old) = current.take() {
            let added = std::mem::replace(&mut new.prefixes, old.prefixes);
            for prefix in added {
                if !new.prefixes.contains(&prefix) {
                    new.prefixes.push(prefix);
                }
            }
        }
        *current = Some(new);
    }

    /// The request that puts these options in force, with `redirect` as the target's id there.
    pub(super) fn request(&self, redirect: Option<u64>) -> Vec<Vec<u8>> {
        let mut args: Vec<Vec<u8>> =
            [b"CLIENT".as_slice(), b"TRACKING", b"ON"].map(<[u8]>::to_vec).to_vec();
        if let Some(id) = redirect {
            args.push(b"REDIRECT".to_vec());
            args.push(id.to_string().into_bytes());
        }
        for prefix in &self.prefixes {
            args.push(b"PREFIX".to_vec());
            args.push(prefix.to_vec());
        }
        let flags: [(bool, &[u8]); 4] = [
            (self.broadcast, b"BCAST"),
            (self.opt_in, b"OPTIN"),
            (self.opt_out, b"OPTOUT"),
            (self.no_loop, b"NOLOOP"),
        ];
        args.extend(flags.iter().filter(|it| it.0).map(|it| it.1.to_vec()));
        args
    }
}

impl Session {
    /// Whether another session, to which this one redirects its tracking, is still on its way to
    /// the node. Not for ever: it may never get there.
    pub(super) fn waits_for_target(&self, world: &World) -> bool {
        self.target_polls < TARGET_POLLS_MAX
            && self.redirects_to.is_some_and(|it| world.directory.is_moving(it, world.route.epoch))
    }

    /// Keeps the directory's view of this session's tracking.
    pub(super) fn note_redirect(&mut self, world: &mut World, now: Time) {
        let target = self.state.rare().and_then(|it| it.tracking.as_ref()?.redirect);
        if target != self.redirects_to {
            world.directory.redirect(self.redirects_to, target);
            self.redirects_to = target;
        }
        if matches!(self.link, Link::Up) {
            self.target_polls = 0;
        } else if target.is_some()
            && self.retry.is_none()
            && world.route.primary().is_some()
            && self.waits_for_target(world)
        {
            self.target_polls += 1;
            self.retry = Some(Retry { version: world.route.version, at: now + TARGET_POLL });
        }
    }
}
