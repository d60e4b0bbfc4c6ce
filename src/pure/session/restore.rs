//! Telling a new node who the session is, before anything else is sent to it.
//!
//! Everything goes out in one burst, and each reply is checked. What would make commands mean
//! something else (login, protocol, database) must be accepted; what only decorates (names) may be
//! refused.

use super::machine::{Link, Session};
use super::state::{Login, Rare, State};
use super::subscription::Kind;
use super::{Expect, Proof, World, plan};
use crate::pure::resp::reply;
use crate::pure::resp::write::{self, Proto};
use crate::pure::time::Time;
use bytes::{Buf, BytesMut};
use std::collections::VecDeque;

/// What one reply of the burst must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// Anything but an error.
    Must,
    /// Anything.
    May,
    /// The node's number for this connection.
    Id,
    /// `+QUEUED`, or the transaction is aborted.
    Queued,
    /// One confirmation of a subscription.
    Confirm,
}

/// A restoration on its way.
#[derive(Debug, Default)]
pub(super) struct Restoring {
    bytes: BytesMut,
    steps: VecDeque<Step>,
}

impl Restoring {
    /// What has to be told for `session`; `None` if it is like any new connection.
    pub(super) fn new(session: &Session, world: &mut World) -> Option<Self> {
        let mut it = Self::default();
        it.login(&session.state, session.login_to_try());
        if let Some(rare) = session.state.rare() {
            it.options(rare, world, session);
        }
        if session.identity.is_known() {
            it.ask(Step::Id, &[b"CLIENT", b"ID"]);
        }
        if let Some(rare) = session.state.rare() {
            it.listen(rare);
            it.transaction(rare, world);
        }
        (!it.steps.is_empty()).then_some(it)
    }

    /// The burst for `state` alone, and how many replies it gets.
    pub(super) fn of_state(state: &State) -> (Vec<u8>, usize) {
        let mut it = Self::default();
        it.login(state, state.login.as_ref());
        (it.bytes.to_vec(), it.steps.len())
    }

    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn sent(&mut self, n: usize) {
        self.bytes.advance(n);
    }

    fn ask(&mut self, step: Step, args: &[&[u8]]) {
        write::request(&mut self.bytes, args);
        self.steps.push_back(step);
    }

    /// Protocol, user, name, database.
    fn login(&mut self, state: &State, login: Option<&Login>) {
        let name = state.name.as_deref();
        if state.proto == Proto::Resp3 {
            let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
            if let Some(login) = login {
                hello.extend([
                    &b"AUTH"[..],
                    login.user.as_deref().unwrap_or(b"default"),
                    login.password(),
                ]);
            }
            self.ask(Step::Must, &hello);
        } else if let Some(login) = login {
            self.auth(login);
        }
        if let Some(name) = name {
            self.ask(Step::May, &[b"CLIENT", b"SETNAME", name]);
        }
        if let Some(db) = &state.db {
            self.ask(Step::Must, &[b"SELECT", db]);
        }
    }

    fn auth(&mut self, login: &Login) {
        match &login.user {
            Some(user) => self.ask(Step::Must, &[b"AUTH", user, login.password()]),
            None => self.ask(Step::Must, &[b"AUTH", login.password()]),
        }
    }

    fn options(&mut self, rare: &Rare, world: &World, session: &Session) {
        if let Some(it) = &rare.lib_name {
            self.ask(Step::May, &[b"CLIENT", b"SETINFO", b"LIB-NAME", it]);
        }
        if let Some(it) = &rare.lib_version {
            self.ask(Step::May, &[b"CLIENT", b"SETINFO", b"LIB-VER", it]);
        }
        for capa in &rare.capa {
            self.ask(Step::May, &[b"CLIENT", b"CAPA", capa]);
        }
        let flags: [(bool, &[&[u8]]); 4] = [
            (rare.readonly, &[b"READONLY"]),
            (rare.no_evict, &[b"CLIENT", b"NO-EVICT", b"ON"]),
            (rare.no_touch, &[b"CLIENT", b"NO-TOUCH", b"ON"]),
            (rare.import_source, &[b"CLIENT", b"IMPORT-SOURCE", b"ON"]),
        ];
        for (_, request) in flags.iter().filter(|it| it.0) {
            self.ask(Step::May, request);
        }
        if let Some(tracking) = &rare.tracking {
            let redirect = tracking.redirect.and_then(|id| world.directory.told(id, session.epoch));
            if tracking.redirect.is_some() && redirect.is_none() {
                return;
            }
            let request = tracking.request(redirect);
            let request: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
            self.ask(Step::Must, &request);
        }
    }

    fn listen(&mut self, rare: &Rare) {
        for kind in Kind::ALL {
            let names: Vec<&[u8]> = rare.subscriptions.of(kind).iter().map(AsRef::as_ref).collect();
            for names in names.chunks(NAMES_AT_ONCE) {
                let request: Vec<&[u8]> =
                    [kind.command()].into_iter().chain(names.iter().copied()).collect();
                write::request(&mut self.bytes, &request);
                self.steps.extend(std::iter::repeat_n(Step::Confirm, names.len()));
            }
        }
        if rare.monitor {
            self.ask(Step::Must, &[b"MONITOR"]);
        }
    }

    /// Reopens a transaction. One that was aborted needs no queue, only to be aborted again.
    fn transaction(&mut self, rare: &Rare, world: &mut World) {
        if let Some(yes) = rare.caching {
            let word: &[u8] = if yes { b"YES" } else { b"NO" };
            self.ask(Step::May, &[b"CLIENT", b"CACHING", word]);
        }
        if let Some(transaction) = &rare.transaction {
            self.ask(Step::Must, &[b"MULTI"]);
            if transaction.is_aborted() {
                self.ask(Step::May, &[b"ECHO"]);
            } else {
                for queued in transaction.queue() {
                    let request = plan::requeued(world, &queued.request);
                    self.bytes.extend_from_slice(request.as_deref().unwrap_or(&queued.request));
                    self.steps.push_back(Step::Queued);
                }
            }
        }
    }
}

impl Session {
    /// Who the session is; or, once a node has refused that, who the client says now that it is.
    fn login_to_try(&self) -> Option<&Login> {
        let said = match self.log.front().map(|it| &it.expect) {
            Some(Expect::Change(change) | Expect::Hello(change)) if self.login_refused => {
                change.login()
            }
            _ => None,
        };
        said.or(self.state.login.as_ref())
    }

    /// A reply to the burst.
    pub(super) fn on_restore_frame(&mut self, world: &mut World, now: Time, frame: &[u8]) {
        let Link::Restoring(restoring) = &mut self.link else { return };
        let Some(step) = restoring.steps.pop_front() else { return };
        let done = restoring.steps.is_empty();
        let error = reply::error_text(frame);
        match (step, error) {
            (Step::Must | Step::Confirm, Some(_)) => {
                return self.on_restore_refused(world, now, frame);
            }
            (Step::Queued, Some(_)) => {
                if Proof::of(frame.strip_suffix(b"\r\n").unwrap_or(frame)).is_some() {
                    return self.on_restore_refused(world, now, frame);
                }
                if let Some(transaction) = &mut self.state.rare_mut().transaction {
                    transaction.abort();
                }
            }
            (Step::Id, None) => {
                if let Some(id) = reply::int(frame).and_then(|it| u64::try_from(it).ok()) {
                    self.identity.told(world, self.epoch, id);
                }
            }
            (Step::Must | Step::May | Step::Queued | Step::Confirm, None)
            | (Step::May | Step::Id, Some(_)) => {}
        }
        if done {
            self.link = Link::Up;
            self.on_restored(world);
        }
    }

    /// The node does not take this session as it is.
    fn on_restore_refused(&mut self, world: &mut World, now: Time, frame: &[u8]) {
        self.drop_link = true;
        let line = frame.strip_suffix(b"\r\n").unwrap_or(frame);
        if let Some(proof) = Proof::of(line) {
            self.note_proof(world, now, proof);
            return;
        }
        self.retry_later(world, now);
        if line == b"-ERR max number of clients reached" {
            return;
        }
        world.tally.restore_failures += 1;
        self.login_refused = true;
        self.refuse_waiting(world, now, frame);
    }

    /// The new node knows everything that the old one knew; what it cannot know is told now.
    fn on_restored(&mut self, world: &mut World) {
        world.tally.restored += 1;
        self.login_refused = false;
        let in_transaction = self.state.is_in_transaction();
        world.tally.transactions_replayed += u64::from(in_transaction);
        self.break_redirect(world);
        self.invalidate_all(world);
        self.announce_gap(world);
    }

    /// Whatever a client has cached may have changed while nobody told it.
    fn invalidate_all(&mut self, world: &mut World) {
        let tracking = self.state.rare().and_then(|it| it.tracking.as_ref());
        let is_own = tracking.is_some_and(|it| it.redirect.is_none());
        let listens = self
            .state
            .rare()
            .is_some_and(|it| it.subscriptions.of(Kind::Channel).contains(INVALIDATE_CHANNEL));
        let message = match self.state.proto {
            Proto::Resp3 if is_own || self.identity.is_target(world) => INVALIDATE_ALL_PUSH,
            // Nobody else can have told it to listen here.
            Proto::Resp2 if listens => INVALIDATE_ALL_MESSAGE,
            Proto::Resp2 | Proto::Resp3 => return,
        };
        world.tally.invalidations += 1;
        self.out.extend_from_slice(message);
    }

    /// The session to which this one redirects its tracking is gone: it is told, as a node tells.
    fn break_redirect(&mut self, world: &World) {
        let target = self.state.rare().and_then(|it| it.tracking.as_ref()?.redirect);
        let Some(id) = target.filter(|&it| world.directory.told(it, self.epoch).is_none()) else {
            return;
        };
        self.state.rare_mut().tracking = None;
        if self.state.proto == Proto::Resp3 {
            self.out.append(|out| {
                write::push(out, Proto::Resp3, 2);
                write::bulk(out, b"tracking-redir-broken");
                out.extend_from_slice(format!(":{id}\r\n").as_bytes());
            });
        }
    }

    /// Sends a message on the channel that the operator has chosen for it.
    fn announce_gap(&mut self, world: &World) {
        let Some(channel) = &world.policy.gap_channel else { return };
        let listens = self
            .state
            .rare()
            .is_some_and(|it| it.subscriptions.of(Kind::Channel).contains(channel));
        if listens {
            self.out.append(|out| {
                write::push(out, self.state.proto, 3);
                [b"message", &**channel, b"gap"].iter().for_each(|it| write::bulk(out, it));
            });
        }
    }
}

/// Names in one `SUBSCRIBE`: a node that has to take very many serves others in between.
const NAMES_AT_ONCE: usize = 500;
/// Where a connection that others redirect their tracking to listens in RESP2.
const INVALIDATE_CHANNEL: &[u8] = b"__redis__:invalidate";
/// "Drop everything that you cached", as the servers say after `FLUSHALL`.
const INVALIDATE_ALL_PUSH: &[u8] = b">2\r\n$10\r\ninvalidate\r\n_\r\n";
/// The same as a RESP2 message.
const INVALIDATE_ALL_MESSAGE: &[u8] =
    b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n";
