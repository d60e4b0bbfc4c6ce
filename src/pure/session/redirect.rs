//! A session that redirects its tracking to another one follows it to the next node: it waits,
//! for a while, until that one has arrived and is known by its new number.

use super::World;
use super::machine::{Link, Retry, Session};
use crate::pure::time::Time;
use std::time::Duration;

/// How often, and how many times, to look whether the target of a redirection has arrived.
const TARGET_POLL: Duration = Duration::from_millis(5);
const TARGET_POLLS_MAX: u32 = 200;

impl Session {
    /// Whether the connection is needed although the client asks for nothing.
    pub(super) fn is_listening(&self, world: &World) -> bool {
        self.state.is_listening() || self.identity.is_target(world)
    }

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
