//! Which connection a session wants: one that it shares with others, or one of its own.
//!
//! ```text
//!          first request can be shared             needs its own, nothing in flight
//!   Down --------------------------------> Shared ---------------------------------> Own
//!     \------- needs its own ------> Own <-------- plain again, nothing in flight ---/
//! ```
//!
//! # Invariants
//!
//! * A session changes its connection only with nothing in flight, so its order is kept.
//! * On a shared connection a session is like a new one: same user, database and protocol as the
//!   connection, and nothing else that a node remembers.
//! * A session that goes back and forth stays on its own connection after [`MOVES_MAX`] times: a
//!   connection for each `MULTI` would cost more than it saves.

use super::World;
use super::log::Log;
use super::machine::{End, Link, Passing, Session};
use super::restore::Restoring;
use super::state::{Login, ReplyMode, State};
use crate::pure::command::Class;
use crate::pure::resp::write::Proto;
use crate::pure::time::Time;

/// How often a session may go back to sharing.
const MOVES_MAX: u8 = 4;

/// Bytes in flight of one session on a shared connection: its share of a turn.
pub(super) const SHARED_IN_FLIGHT_MAX: usize = 64 * 1024;

/// Replies that wait for a client on a shared connection. The connection cannot be kept waiting
/// for one reader, so beyond this the session ends.
const SHARED_OUT_MAX: usize = 64 * 1024 * 1024;

/// Which connection a session wants now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wish {
    /// None, or the one it has.
    Nothing,
    /// Any of those of this kind.
    Shared(Key),
    /// Its own.
    Own,
}

/// What all sessions of one shared connection have in common.
#[derive(Clone, Debug, Default)]
pub struct Key {
    proto: Proto,
    login: Option<Login>,
    db: Option<Box<[u8]>>,
}

impl Key {
    /// Everything that tells one kind from another.
    fn parts(&self) -> [Option<&[u8]>; 4] {
        let login = self.login.as_ref();
        [
            (self.proto == Proto::Resp3).then_some(b"3"),
            login.and_then(|it| it.user.as_deref()),
            login.map(Login::password),
            self.db.as_deref(),
        ]
    }

    /// The bytes that make a new connection one of this kind, and how many replies they get;
    /// every one must be good.
    pub fn handshake(&self) -> (Vec<u8>, usize) {
        Restoring::of_state(&State::of(self.proto, self.login.clone(), self.db.clone()))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.parts().cmp(&other.parts())
    }
}

/// What a session remembers about sharing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sharing {
    /// The link that is up is shared.
    pub(super) on_shared: bool,
    /// Something that was admitted needs a connection of its own.
    pub(super) needs_own: bool,
    /// It got a large reply on a shared connection: the next ones are not for others to wait for.
    large: bool,
    moves: u8,
}

impl Session {
    /// Which connection is wanted now.
    pub fn wish(&self, world: &World, now: Time) -> Wish {
        if !self.wants_link(world, now) {
            return Wish::Nothing;
        }
        if !world.policy.shares || self.sharing.needs_own || !self.can_share() {
            return Wish::Own;
        }
        let State { proto, login, db, .. } = &self.state;
        Wish::Shared(Key { proto: *proto, login: login.clone(), db: db.clone() })
    }

    /// A shared connection of the kind that is wished for, still, is there.
    pub fn on_shared_link(&mut self, world: &mut World, now: Time) {
        debug_assert!(!self.sharing.needs_own, "others would share what is this session's");
        self.retry = None;
        self.link = Link::Up;
        self.sharing.on_shared = true;
        self.pump(world, now);
        self.settle(world, now);
    }

    /// The node does not take a shared connection of this kind. One of its own will hear why.
    pub fn on_shared_refused(&mut self, world: &mut World, now: Time) {
        self.sharing.needs_own = true;
        self.settle(world, now);
    }

    /// Whether the link that is up is shared.
    pub const fn is_shared(&self) -> bool {
        self.sharing.on_shared && !matches!(self.link, Link::Down)
    }

    /// How many requests the bytes of [`to_node`](Session::to_node) are.
    pub fn unsent_requests(&self) -> usize {
        self.log.unsent_requests()
    }

    /// The last `n` bytes that were marked as sent were not.
    pub fn unsend(&mut self, n: usize) {
        self.log.unmark_sent(n);
    }

    /// A whole reply, or the end of one, from a shared connection. Call
    /// [`on_turn_end`](Self::on_turn_end) after the last one of a turn.
    pub fn on_shared_reply(&mut self, world: &mut World, now: Time, frame: &[u8]) {
        match self.passing.take() {
            Some(passing) => self.pass_end(world, now, passing, frame),
            None => self.on_frame(world, now, frame),
        }
    }

    /// Whether the unfinished reply that starts with `start`, and lacks `missing` bytes, can pass
    /// as it comes.
    pub fn takes_part(&self, world: &World, start: &[u8], missing: usize) -> bool {
        let is_large = start.len().saturating_add(missing) >= world.limits.reply_whole_max;
        self.passing.is_some() || is_large && self.passing_of(start).is_some()
    }

    /// A part of an unfinished reply, for which [`takes_part`](Self::takes_part) was true.
    /// Whether it is for the client: then the caller gives it to the client, and what is left of
    /// it to [`deliver_later`](Self::deliver_later).
    #[must_use]
    pub fn on_shared_part(&mut self, world: &mut World, part: &[u8]) -> bool {
        if self.passing.is_none() {
            if let Some(passing) = self.passing_of(part) {
                self.begin_passing(world, passing, part);
            }
            self.sharing.large = true;
        }
        matches!(self.passing, Some(Passing { hidden: false, .. }))
    }

    /// Bytes for the client that it could not take at once.
    pub fn deliver_later(&mut self, rest: &[u8]) {
        self.out.extend_from_slice(rest);
    }

    /// Every reply of this turn was given.
    pub fn on_turn_end(&mut self, world: &mut World, now: Time) {
        if self.out.len() > SHARED_OUT_MAX {
            self.give_up_withheld(world);
        }
        // What comes for a reader that was given up is for nobody.
        if self.out.len() > SHARED_OUT_MAX || self.end == Some(End::SlowReader) {
            self.give_up_reader();
        }
        self.finish_draining(world);
        self.pump(world, now);
        self.settle(world, now);
    }

    /// Whether a request of `class` can be admitted to the link that there is. If it needs
    /// another one and nothing is in flight, the link is given up for it.
    pub(super) fn fits_link(&mut self, world: &World, class: Class) -> bool {
        if !world.policy.shares {
            return true;
        }
        let shareable = class.is_shareable() && !self.tail_multi;
        match self.link {
            Link::Down => self.sharing.needs_own |= !shareable,
            Link::Up if self.sharing.on_shared && (!shareable || self.sharing.large) => {
                if !self.log.is_empty() {
                    return false;
                }
                self.leave_link();
                self.sharing.needs_own = true;
            }
            Link::Up if !self.sharing.on_shared && shareable => {
                if self.log.is_empty() && self.replay.is_empty() && self.can_share() {
                    self.leave_link();
                    self.sharing.needs_own = false;
                    self.sharing.moves += 1;
                }
            }
            Link::Up | Link::Restoring(_) | Link::Draining(_) | Link::Doubting(_) => {}
        }
        true
    }

    /// Another session holds the shared connection up: what has not been sent on it can go over
    /// another one.
    pub fn leave_shared(&mut self) {
        if self.is_shared() && self.has_work() && !self.log.has_sent() {
            self.leave_link();
        }
    }

    /// Whether a large reply is on its way through, from whatever connection.
    pub const fn is_passing(&self) -> bool {
        self.passing.is_some()
    }

    /// The client has not read its replies for so long that others must not wait any more.
    pub fn give_up_reader(&mut self) {
        self.clear_out();
        self.end.get_or_insert(End::SlowReader);
    }

    /// Gives up a link with nothing in flight; nothing is lost by it.
    fn leave_link(&mut self) {
        debug_assert!(!self.log.has_sent(), "left with requests in flight");
        self.link = Link::Down;
        self.sharing.on_shared = false;
        self.identity.lose();
        self.retry = None;
    }

    /// Whether a shared connection would do for what this session is.
    fn can_share(&self) -> bool {
        self.sharing.moves < MOVES_MAX
            && !self.sharing.large
            && self.state.is_shareable()
            && !self.identity.is_known()
            && self.stream.is_none()
    }
}

impl State {
    /// Whether a node remembers nothing of the session but user, database, protocol and names.
    fn is_shareable(&self) -> bool {
        self.reply == ReplyMode::On
            && self.rare().is_none_or(|it| {
                it.transaction.is_none()
                    && it.tracking.is_none()
                    && it.caching.is_none()
                    && it.capa.is_empty()
                    && it.subscriptions.is_empty()
                    && ![
                        it.monitor,
                        it.watching,
                        it.watch_broken,
                        it.no_evict,
                        it.no_touch,
                        it.import_source,
                        it.readonly,
                    ]
                    .contains(&true)
            })
    }
}

impl Log {
    /// Requests that were not sent, not even in part.
    pub(super) fn unsent_requests(&self) -> usize {
        let mut left = self.unsent().len();
        self.entries_back()
            .take_while(|it| {
                let unsent = it.len <= left && left > 0;
                left = left.saturating_sub(it.len);
                unsent
            })
            .filter(|it| !it.expect.is_here())
            .count()
    }
}
