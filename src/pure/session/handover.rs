//! A switchover, as one session goes through it: what is in flight is answered, and a command
//! that waits at the node by its nature outlives its primary.
//!
//! | it is | then |
//! |---|---|
//! | answered, or not wholly sent | drained |
//! | a large request, sent in part | sent to its end, and answered |
//! | waiting at the node by its nature | drained; its connection is read on |
//!
//! A waiting `BLPOP` may have been served in the very moment in which the gate closed, its answer
//! on its way. Dropping the connection would lose an element. So it is kept, unwritten, until the
//! old primary answers: a demoted server lets go of everybody who waits (`-UNBLOCKED`, and the
//! connection is closed). Only then is the command issued again, with the time that is left.

use super::machine::{Link, Session};
use super::{Expect, World};
use crate::pure::time::Time;
use std::time::Duration;

/// A demoted server answers within milliseconds. One that does not was not demoted.
const OUTWAIT_MAX: Duration = Duration::from_secs(2);

/// What a session remembers of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Draining {
    /// It is one of the worker's sessions.
    counted: bool,
    /// The version of the route for which it counts as drained.
    drained_at: Option<u64>,
    /// Until when the old primary may take to let go.
    until: Option<Time>,
}

impl Session {
    /// Whether the link, if there is one, is of the route's epoch.
    pub fn is_current(&self, world: &World) -> bool {
        self.epoch == world.route.epoch
    }

    /// Whether nothing is in flight that has to be answered before the primary may change.
    fn is_drained(&self) -> bool {
        if self.is_withheld() {
            return false;
        }
        match self.link {
            Link::Down | Link::Restoring(_) => true,
            Link::Doubting(_) => false,
            Link::Up | Link::Draining(_) => self.passing.is_none() && !self.log.is_owed(),
        }
    }

    /// Tells the worker whether anything is in flight.
    pub(super) fn count_drained(&mut self, world: &mut World) {
        if !self.draining.counted {
            self.draining.counted = true;
            world.drain.sessions += 1;
        }
        let version = world.route.version;
        let (was, is) = (self.draining.drained_at == Some(version), self.is_drained());
        match (was, is) {
            (false, true) => {
                world.drain.drained += 1;
                self.draining.drained_at = Some(version);
            }
            (true, false) => {
                world.drain.drained = world.drain.drained.saturating_sub(1);
                self.draining.drained_at = None;
            }
            (false, false) | (true, true) => {}
        }
    }

    /// The session is over.
    pub(super) fn uncount_drained(&mut self, world: &mut World) {
        let Draining { counted, drained_at, .. } = std::mem::take(&mut self.draining);
        world.drain.sessions = world.drain.sessions.saturating_sub(usize::from(counted));
        if drained_at == Some(world.route.version) {
            world.drain.drained = world.drain.drained.saturating_sub(1);
        }
    }

    /// The rest of a large request of which some was sent, while nothing new may be.
    pub(super) fn unfinished(&self) -> &[u8] {
        let is_begun = |it: &super::log::Entry| it.streamed.is_some_and(|it| it.gone);
        if self.log.front().is_some_and(is_begun) { self.log.unsent() } else { &[] }
    }

    /// Whether a command waits on the link of the epoch before, and its answer there is true.
    pub(super) fn outwaits(&self, world: &World) -> bool {
        let waits = matches!(self.log.front().map(|it| &it.expect), Some(Expect::Blocking(_)));
        world.route.handed_over
            && self.epoch.next() == world.route.epoch
            && matches!(self.link, Link::Up)
            && !self.drop_link
            && waits
            && self.log.is_front_sent()
    }

    pub(super) fn outwait(&mut self, now: Time) {
        self.draining.until.get_or_insert(now + OUTWAIT_MAX);
    }

    /// When the old primary has had time enough.
    pub(super) fn outwaited_at(&self) -> Option<Time> {
        self.draining.until
    }

    /// Gives up an old primary that does not let go.
    pub(super) fn outwaited(&mut self, world: &mut World, now: Time) {
        if self.draining.until.is_some_and(|it| it <= now) {
            self.lose_link(world);
        }
    }

    /// The link is gone; the next one is of the route's epoch.
    pub(super) fn catch_up(&mut self, world: &World) {
        self.draining.until = None;
        if !self.is_current(world) {
            self.epoch = world.route.epoch;
            self.retry = None;
        }
    }

    /// After an answer on an outwaited link: nothing more is to come there.
    pub(super) fn leave_outwaited(&mut self, world: &mut World) {
        if self.draining.until.is_some() && !self.log.has_sent() {
            self.lose_link(world);
        }
    }
}
