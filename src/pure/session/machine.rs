//! The session itself: its parts, and the events that its shell tells it.

use super::doubt::Doubt;
use super::guard::Guard;
use super::hold::Refusal;
use super::identity::Identity;
use super::listeners::Listening;
use super::log::Log;
use super::recover::{Item, Recovery};
use super::restore::Restoring;
use super::share::Sharing;
use super::state::State;
use super::{Held, World, texts};
use crate::pure::backlog::Backlog;
use crate::pure::resp::{LINE_MAX, reply, request};
use crate::pure::time::Time;
use crate::pure::topology::{Epoch, Gate};
use std::collections::VecDeque;
use std::time::Duration;

/// Why a session is over. What is still in [`Session::to_client`] is delivered first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The client said `QUIT`, or hung up.
    Client,
    /// The client broke the protocol and was told.
    Protocol,
    /// A reply was cut in the middle of a frame; nothing that follows could be understood.
    ReplyCut,
    /// The client did not read its replies, and others must not wait for it.
    SlowReader,
    /// A replication stream cannot move to another node.
    Tunnel,
}

/// The upstream connection, as far as the session knows it.
#[derive(Debug)]
pub(super) enum Link {
    Down,
    /// The node is being told who this is; nothing else is sent before it has agreed.
    Restoring(Box<Restoring>),
    Up,
    /// The node is asked whether it is a primary, because a script's error says otherwise.
    Doubting(Box<Doubt>),
    /// The node has proved not to be primary; what was sent is still answered, nothing is sent.
    Draining(Box<Recovery>),
}

/// A request that is too large to be kept and passes through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stream {
    /// To the node.
    Relay,
    /// To nowhere: it was answered already.
    Discard,
}

/// A reply that is too large to be kept and passes through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing {
    /// The client does not want it.
    pub(super) hidden: bool,
    /// It answers no request: a push or a message.
    pub(super) unasked: bool,
}

/// When to look for a primary again after a node refused or a connection failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    /// A route newer than this is worth a try at once.
    pub(super) version: u64,
    pub(super) at: Time,
}

/// After a node proved not to be primary, or was not reached: how long until it is tried again
/// although the control plane has said nothing. It normally speaks within a millisecond; this is
/// for what it cannot see.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// One client's conversation.
#[derive(Debug)]
pub struct Session {
    /// What the client sent and was not admitted.
    pub(super) inbox: Backlog,
    pub(super) requests: request::Scanner,
    /// The node has taken a command of this session that it takes from nobody unknown. Until
    /// then the servers' limits for strangers hold.
    pub(super) is_proven: bool,
    /// The node has said that it does not know the client.
    pub(super) is_stranger: bool,
    pub(super) stream: Option<Stream>,
    /// What was taken back and is to be admitted again, before the inbox.
    pub(super) replay: VecDeque<Item>,
    pub(super) log: Log,
    pub(super) state: State,
    pub(super) identity: Identity,
    pub(super) link: Link,
    pub(super) sharing: Sharing,
    /// Epoch in which the log was admitted, and of the link if there is one.
    pub(super) epoch: Epoch,
    /// The part of a reply that has arrived.
    pub(super) upbox: Backlog,
    pub(super) replies: reply::Scanner,
    /// The dedicated link has brought nothing yet.
    pub(super) is_fresh: bool,
    pub(super) passing: Option<Passing>,
    pub(super) out: Backlog,
    /// What may be delivered of that, if a promise about writes holds for this session.
    pub(super) guard: Option<Box<Guard>>,
    /// A `MULTI` was admitted, and no end of it.
    pub(super) tail_multi: bool,
    /// New commands are refused until those that were held before are gone.
    pub(super) refusing: bool,
    /// While what has arrived is refused together with what was held too long.
    pub(super) refusal: Option<Refusal>,
    /// The link has failed and no reply has come since: who waits has waited all the time.
    pub(super) suspect: bool,
    /// The client will send no more, and no more answers will come.
    pub(super) closing: bool,
    pub(super) stuck_since: Option<Time>,
    pub(super) retry: Option<Retry>,
    pub(super) drop_link: bool,
    pub(super) proof_seen: bool,
    pub(super) tunnel: bool,
    pub(super) end: Option<End>,
    /// The client hung up, or its half of the connection.
    pub(super) eof: bool,
    /// What this session has of the worker's budget.
    pub(super) charged: usize,
    /// How much of it is neither in the log nor in the inbox.
    pub(super) beside: usize,
    /// What this session has of the worker's held commands.
    pub(super) held: Held,
    /// What this session has of the worker's requests in flight.
    pub(super) in_flight: usize,
    pub(super) draining: super::handover::Draining,
    pub(super) listening: Listening,
    /// Whom the directory has as the target of this session's tracking.
    pub(super) redirects_to: Option<u64>,
    /// How often it was asked where that target stands now.
    pub(super) target_polls: u32,
    /// The last node did not take this session's login.
    pub(super) login_refused: bool,
    /// What is being dealt with now was doubted, and that is settled.
    pub(super) is_settled: bool,
}

impl Session {
    /// A session that has just begun.
    pub fn new(world: &World) -> Self {
        Self {
            inbox: Backlog::new(),
            requests: request::Scanner::new(request::Limits::UNAUTHENTICATED),
            is_proven: false,
            is_stranger: false,
            stream: None,
            replay: VecDeque::new(),
            log: Log::default(),
            state: State::default(),
            identity: Identity::default(),
            link: Link::Down,
            sharing: Sharing::default(),
            epoch: world.route.epoch,
            upbox: Backlog::new(),
            replies: reply::Scanner::new(),
            is_fresh: false,
            passing: None,
            out: Backlog::new(),
            guard: None,
            tail_multi: false,
            refusing: false,
            refusal: None,
            suspect: false,
            closing: false,
            stuck_since: None,
            retry: None,
            drop_link: false,
            proof_seen: false,
            tunnel: false,
            end: None,
            eof: false,
            charged: 0,
            beside: 0,
            held: Held::default(),
            in_flight: 0,
            draining: super::handover::Draining::default(),
            listening: Listening::default(),
            redirects_to: None,
            target_polls: 0,
            login_refused: false,
            is_settled: false,
        }
    }

    /// The client sent `input`.
    pub fn on_client(&mut self, world: &mut World, now: Time, input: &[u8]) {
        if self.end.is_some() {
            return;
        }
        if self.inbox.is_empty() {
            let taken = self.admit(world, now, input);
            self.inbox.extend_from_slice(input.get(taken..).unwrap_or_default());
        } else {
            self.inbox.extend_from_slice(input);
            self.admit_inbox(world, now);
        }
        self.settle(world, now);
    }

    /// The client will send no more. What is on its way is still answered, and so is what a
    /// switchover holds up; what waits for a failover, or at the node, is not worth it any more: its
    /// client has most likely given up, and may have sent it again.
    pub fn on_client_eof(&mut self, world: &mut World, now: Time) {
        self.eof = true;
        self.settle(world, now);
    }

    /// Whether the session has a link, or thinks so: if not, the shell closes what it has.
    pub const fn has_link(&self) -> bool {
        !matches!(self.link, Link::Down)
    }

    /// The route changed. Afterwards [`wants_drop`](Self::wants_drop) says whether the link is
    /// of another epoch and must go.
    pub fn on_route(&mut self, world: &mut World, now: Time) {
        self.guard_route(world);
        Self::limit_listeners(world, now);
        if world.route.epoch != self.epoch {
            // The control plane has seen that the node is not a primary any more.
            self.settle_doubt(world, now, true);
            if self.outwaits(world) {
                self.outwait(now);
            } else {
                self.lose_link(world);
                self.epoch = world.route.epoch;
            }
        }
        self.pump(world, now);
        self.settle(world, now);
    }

    /// Whether a connection to the primary is wanted now.
    pub fn wants_link(&self, world: &World, now: Time) -> bool {
        matches!(self.link, Link::Down)
            && self.end.is_none()
            && world.route.primary().is_some()
            && (self.has_work() || self.is_listening(world))
            && !self.waits_for_target(world)
            && !self.waits_for_listeners(world, now)
            && self.retry.is_none_or(|it| it.version < world.route.version || it.at <= now)
    }

    /// A connection to the primary of the route in force was made.
    pub fn on_link(&mut self, world: &mut World, now: Time) {
        self.retry = None;
        self.sharing.on_shared = false;
        self.replies = reply::Scanner::new();
        self.is_fresh = true;
        self.upbox.clear();
        self.link = Restoring::new(self, world)
            .map_or(Link::Up, |restoring| Link::Restoring(Box::new(restoring)));
        self.pump(world, now);
        self.settle(world, now);
    }

    /// No connection could be made.
    pub fn on_link_failed(&mut self, world: &mut World, now: Time) {
        self.retry_later(world, now);
        self.settle(world, now);
    }

    /// The connection was lost, or dropped because [`wants_drop`](Self::wants_drop) said so.
    pub fn on_link_lost(&mut self, world: &mut World, now: Time) {
        let was_wanted = !self.drop_link && self.is_current(world);
        self.lose_link(world);
        if was_wanted {
            self.retry_later(world, now);
        }
        self.pump(world, now);
        self.settle(world, now);
    }

    /// Whether the link must be closed; the shell then says
    /// [`on_link_lost`](Self::on_link_lost).
    pub fn wants_drop(&self) -> bool {
        self.drop_link && !matches!(self.link, Link::Down)
    }

    /// Whether the node has proved, since this was last asked, that it is not a primary.
    pub fn take_proof(&mut self) -> bool {
        std::mem::take(&mut self.proof_seen)
    }

    /// Whether something was sent and is not answered: losing the link is news.
    pub fn is_in_flight(&self) -> bool {
        !matches!(self.link, Link::Down) && self.log.has_sent()
    }

    /// Whether the client waits for an answer.
    pub fn is_busy(&self) -> bool {
        self.has_work() || !self.out.is_empty()
    }

    /// What is to be written to the node now.
    pub fn to_node(&self, world: &World) -> &[u8] {
        if !world.route.lets_finish() || world.route.epoch != self.epoch || self.drop_link {
            return &[];
        }
        match &self.link {
            Link::Down | Link::Draining(_) => &[],
            Link::Up if world.route.gate == Gate::Draining => self.unfinished(),
            Link::Restoring(_) if world.route.gate == Gate::Draining => &[],
            Link::Restoring(restoring) => restoring.unsent(),
            Link::Up if world.listeners.are_first() => &[],
            Link::Up => self.log.unsent(),
            Link::Doubting(doubt) => match self.log.unsent() {
                [] => doubt.unsent(),
                rest => rest,
            },
        }
    }

    /// The first `n` bytes of [`to_node`](Self::to_node) were written.
    pub fn sent(&mut self, world: &mut World, now: Time, n: usize) {
        if let Link::Restoring(restoring) = &mut self.link {
            restoring.sent(n);
            return;
        }
        if let Link::Doubting(doubt) = &mut self.link
            && self.log.unsent().is_empty()
        {
            doubt.sent(n);
            return;
        }
        self.log.mark_sent(n, now);
        if self.stream_forgets() {
            self.pump(world, now);
            self.settle(world, now);
        }
    }

    /// What is to be written to the client.
    pub fn to_client(&self) -> &[u8] {
        match &self.guard {
            None => &self.out,
            Some(guard) => self.out.get(..guard.open(self.out.len())).unwrap_or_default(),
        }
    }

    /// The first `n` bytes of [`to_client`](Self::to_client) were written.
    pub fn delivered(&mut self, n: usize) {
        self.out.advance(n);
        if let Some(guard) = &mut self.guard {
            guard.delivered(n);
        }
        self.close_if_done();
    }

    /// Whether to read from the client: there is room for what it may send.
    pub fn wants_client(&self, world: &World) -> bool {
        self.end.is_none()
            && self.out.len() < world.limits.out_max
            // A line is never streamed.
            && self.inbox.len() < world.limits.query_buffer_max.max(LINE_MAX + 2)
            && self.log.bytes() < world.limits.in_flight_bytes_max
            && self.log.count() < world.limits.in_flight_max
            && self.guard.as_ref().is_none_or(|it| it.count() < world.limits.in_flight_max)
    }

    /// Whether to read from the node: the client takes what it gets.
    pub fn wants_node(&self, world: &World) -> bool {
        !matches!(self.link, Link::Down) && self.out.len() < world.limits.out_max
    }

    /// Whether the session is over, and why.
    pub const fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether the connection is needed although the client asks for nothing.
    pub(super) fn is_listening(&self, world: &World) -> bool {
        self.state.is_listening() || self.identity.is_target(world)
    }

    /// When to call [`on_deadline`](Self::on_deadline), if at all.
    pub fn deadline(&self, world: &World) -> Option<Time> {
        let retry = self.retry.filter(|_| {
            matches!(self.link, Link::Down)
                && world.route.primary().is_some()
                && (self.has_work() || self.is_listening(world))
        });
        let (held, blocked) = (self.hold_deadline(world), self.blocked_deadline());
        let others = [self.outwaited_at(), self.listeners_until(world)];
        [retry.map(|it| it.at), held, blocked].into_iter().chain(others).flatten().min()
    }

    /// A deadline has come. Harmless if called too early.
    pub fn on_deadline(&mut self, world: &mut World, now: Time) {
        if self.retry.is_some_and(|it| it.at <= now) {
            self.retry = None;
        }
        self.outwaited(world, now);
        Self::expire_listeners(world, now);
        self.expire(world, now);
        self.pump(world, now);
        self.settle(world, now);
    }

    /// Whether anything waits for an answer that needs a node.
    pub(super) fn has_work(&self) -> bool {
        !self.log.is_empty() || !self.replay.is_empty()
    }

    pub(super) fn retry_later(&mut self, world: &World, now: Time) {
        self.retry = Some(Retry { version: world.route.version, at: now + RETRY_AFTER });
    }

    /// Whether what is admitted now goes out at once.
    pub(super) fn can_send(&self, world: &World) -> bool {
        matches!(self.link, Link::Up)
            && world.route.primary().is_some()
            && !self.drop_link
            && self.is_current(world)
    }

    /// Moves on whatever can move: answers that are due, requests that wait to be admitted.
    pub(super) fn pump(&mut self, world: &mut World, now: Time) {
        self.answer_front();
        self.admit_replay(world, now);
        self.admit_inbox(world, now);
    }

    /// Gives back memory that is not in use; for a session that has been idle for a while.
    pub fn give_back(&mut self) {
        [&mut self.inbox, &mut self.upbox, &mut self.out].into_iter().for_each(Backlog::give_back);
        self.log.give_back();
        if self.replay.is_empty() {
            self.replay = VecDeque::new();
        }
    }

    /// The client is gone: nothing can be delivered any more.
    pub fn abandon(&mut self) {
        self.clear_out();
        self.end = Some(End::Client);
    }

    /// Whether the shell has something to do for the session: after a turn in which somebody
    /// else gave it its replies.
    pub fn needs_shell(&self, world: &World) -> bool {
        self.end.is_some()
            || self.proof_seen
            || self.drop_link
            || !self.to_client().is_empty()
            || matches!(self.link, Link::Down)
            || !self.to_node(world).is_empty()
    }

    /// The protocol cannot go on. `reply` is the last word.
    pub(super) fn finish(&mut self, end: End, reply: &[u8]) {
        self.out.extend_from_slice(reply);
        self.end = Some(end);
    }

    /// A reply was cut while it passed through.
    pub(super) fn cut(&mut self) {
        self.end.get_or_insert(End::ReplyCut);
    }

    /// Answers `+OK` to `QUIT` and ends.
    pub(super) fn quit(&mut self) {
        self.emit(texts::OK);
        self.end.get_or_insert(End::Client);
    }
}
