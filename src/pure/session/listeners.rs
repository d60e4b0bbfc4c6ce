//! Subscribers first: after a switchover, sessions with subscriptions are told to the new primary
//! before anybody else sends it anything, so that what is published then finds its listeners.
//!
//! ```text
//! Held(e+1, handed over) --Open(e+1)--> subscribers restore, others wait --all are there--> flow
//!                                                  \--------- the limit is over ---------/
//! ```
//!
//! # Invariants
//!
//! * Nobody waits longer than [`Policy::subscribers_first`](super::Policy) from the moment that the
//!   first session has seen the gate open.
//! * A subscriber that was tried in vain, or that still waits at the old primary, is not waited for.
//!
//! # Deliberately absent
//!
//! Other workers, other Segues, and clients that bypass them: nobody here can hold those back. And
//! failovers: there messages are missing anyway, and each millisecond counts.

use super::World;
use super::machine::{Link, Session};
use crate::pure::time::Time;
use crate::pure::topology::Epoch;
use std::time::Duration;

/// The subscribers of one worker.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// Sessions that have subscriptions.
    sessions: usize,
    /// Those that the primary of the epoch in force knows, or that are not waited for.
    there: usize,
    /// The epoch was handed over, and others wait.
    first: bool,
    /// Not longer than this.
    until: Option<Time>,
    /// Nobody has to wait any more, and those who have are still to be woken.
    released: bool,
}

/// How one session counts among them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listening {
    counted: bool,
    there: Option<Epoch>,
}

impl Listeners {
    /// An epoch begins.
    pub(super) const fn begin(&mut self, handed_over: bool) {
        self.there = 0;
        self.first = handed_over && self.sessions > 0;
        self.until = None;
    }

    /// The switchover may have failed meanwhile; then nobody waits.
    pub(super) const fn only_if(&mut self, handed_over: bool) {
        self.first &= handed_over;
    }

    /// The gate is open: from now on there is a limit.
    fn limit(&mut self, now: Time, limit: Duration) {
        if self.first && self.until.is_none() {
            self.until = Some(now + limit);
        }
    }

    /// Whether others wait.
    pub(super) const fn are_first(&self) -> bool {
        self.first
    }

    /// Until when.
    pub(super) fn until(&self) -> Option<Time> {
        self.until.filter(|_| self.first)
    }

    /// They may go on, without `late` subscribers.
    fn expire(&mut self, now: Time) -> usize {
        if self.until().is_none_or(|it| now < it) {
            return 0;
        }
        self.release();
        self.sessions.saturating_sub(self.there)
    }

    const fn release(&mut self) {
        self.first = false;
        self.released = true;
    }
}

impl World {
    /// Whether sessions that waited for subscribers have to be woken, since this was last asked.
    pub const fn take_released(&mut self) -> bool {
        std::mem::replace(&mut self.listeners.released, false)
    }
}

impl Session {
    /// Whether it has to wait until those are there who listen.
    pub(super) fn waits_for_listeners(&self, world: &World, now: Time) -> bool {
        world.listeners.first
            && !self.state.is_subscribed()
            && world.listeners.until.is_none_or(|it| now < it)
    }

    /// Whether what the node has said up to now is still heard when its epoch ends: answers, and
    /// messages that the client has room for.
    pub fn hears_on(&self, world: &World) -> bool {
        self.is_in_flight() || self.state.is_subscribed() && self.wants_node(world)
    }

    /// Until when it may have to wait for them, if anything waits.
    pub(super) fn listeners_until(&self, world: &World) -> Option<Time> {
        let waits = self.has_work() || self.is_listening(world);
        world.listeners.until().filter(|_| waits)
    }

    /// A route was seen.
    pub(super) fn limit_listeners(world: &mut World, now: Time) {
        if world.route.primary().is_some() {
            // What is held meanwhile must not be refused for it.
            let limit = world.policy.subscribers_first.min(world.policy.hold_timeout / 2);
            world.listeners.limit(now, limit);
        }
    }

    /// A deadline has come.
    pub(super) fn expire_listeners(world: &mut World, now: Time) {
        world.tally.subscribers_late += world.listeners.expire(now) as u64;
    }

    /// Tells the worker whether it listens, and whether the primary knows.
    pub(super) fn count_listening(&mut self, world: &mut World) {
        let listens = self.end().is_none() && self.state.is_subscribed();
        if !listens && !self.listening.counted {
            return;
        }
        let is_tried = match self.link {
            Link::Up | Link::Doubting(_) | Link::Draining(_) => {
                self.is_current(world) || self.outwaited_at().is_some()
            }
            Link::Down => self.retry.is_some(),
            Link::Restoring(_) => false,
        };
        let epoch = world.route.epoch;
        let is_there = listens && is_tried && world.route.primary().is_some();
        let was_there = self.listening.there == Some(epoch);
        let all = &mut world.listeners;
        all.sessions = (all.sessions + usize::from(listens))
            .saturating_sub(usize::from(self.listening.counted));
        all.there = (all.there + usize::from(is_there)).saturating_sub(usize::from(was_there));
        self.listening = Listening { counted: listens, there: is_there.then_some(epoch) };
        if all.first && all.there >= all.sessions {
            all.release();
        }
    }

    /// The session is over.
    pub(super) fn uncount_listening(&mut self, world: &mut World) {
        let Listening { counted, there } = std::mem::take(&mut self.listening);
        let all = &mut world.listeners;
        all.sessions = all.sessions.saturating_sub(usize::from(counted));
        let was_there = there == Some(world.route.epoch);
        all.there = all.there.saturating_sub(usize::from(was_there));
        if all.first && all.there >= all.sessions {
            all.release();
        }
    }
}
