//! From the node's bytes to the client: whose reply a frame is, what it changes, and whether the
//! client sees it.

use super::log::Entry;
use super::machine::{End, Link, Passing, Session};
use super::state::{Change, ReplyMode};
use super::subscription::Kind;
use super::{Expect, Family, NoReplicas, Proof, Timing, World, identity, scan, timing};
use crate::pure::resp::reply::{self, Scan};
use crate::pure::resp::write::Proto;
use crate::pure::time::Time;

impl Session {
    /// The node sent `input`, raw bytes of a dedicated connection.
    pub fn on_node(&mut self, world: &mut World, now: Time, input: &[u8]) {
        if self.tunnel {
            self.out.extend_from_slice(input);
            return;
        }
        if self.upbox.is_empty() {
            let taken = self.deal(world, now, input);
            self.keep(input.get(taken..).unwrap_or_default());
        } else {
            let mut upbox = std::mem::take(&mut self.upbox);
            upbox.extend_from_slice(input);
            let taken = self.deal(world, now, &upbox);
            upbox.advance(taken);
            self.upbox = upbox;
        }
        self.finish_draining(world);
        self.leave_outwaited(world);
        self.pump(world, now);
        self.settle(world, now);
    }

    fn keep(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.upbox.extend_from_slice(rest);
        }
    }

    /// Deals with every whole frame of `input`; returns the bytes that are done with.
    fn deal(&mut self, world: &mut World, now: Time, input: &[u8]) -> usize {
        let mut done = 0;
        while !self.drop_link && !matches!(self.link, Link::Down) {
            let rest = input.get(done..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            if self.tunnel {
                self.out.extend_from_slice(rest);
                return input.len();
            }
            match self.replies.scan(rest) {
                Scan::Frame { len } => {
                    let frame = rest.get(..len).unwrap_or_default();
                    if self.is_turned_away(world, now, frame) {
                        return input.len();
                    }
                    match self.passing.take() {
                        Some(passing) => self.pass_end(world, now, passing, frame),
                        None => self.on_frame(world, now, frame),
                    }
                    done += len;
                }
                Scan::Partial => {
                    let passed = self.pass_part(world, rest);
                    done += passed;
                    break;
                }
                Scan::Error(_) => {
                    // Whatever this is, it is not a server: nothing that follows can be trusted.
                    self.drop_link = true;
                    break;
                }
            }
        }
        done
    }

    /// Passes on the beginning of a reply that is too large to be collected.
    fn pass_part(&mut self, world: &mut World, rest: &[u8]) -> usize {
        let passing = match self.passing {
            Some(passing) => passing,
            None => {
                let total = self.replies.remaining_min(rest.len()) + rest.len() as u64;
                let is_large = total >= world.limits.reply_whole_max as u64;
                match self.passing_of(rest).filter(|_| is_large) {
                    Some(passing) => passing,
                    None => return 0,
                }
            }
        };
        if self.passing.is_none() {
            self.begin_passing(world, passing, rest);
        }
        let part = self.replies.passable(rest.len());
        self.replies.consumed(part);
        if !passing.hidden {
            self.out.extend_from_slice(rest.get(..part).unwrap_or_default());
        }
        part
    }

    /// The reply that starts with `start` passes as it comes.
    pub(super) fn begin_passing(&mut self, world: &mut World, passing: Passing, start: &[u8]) {
        self.passing = Some(passing);
        if self.guard.is_some() && !passing.hidden && !passing.unasked {
            self.withhold_open(world, start);
        }
    }

    /// How many of the next `len` bytes of the node can go to the client without a look at them:
    /// they are the inside of a large reply, and nothing is before them.
    pub fn passes(&self, len: usize) -> usize {
        match self.passing {
            Some(Passing { hidden: false, .. })
                if self.guard.is_none()
                    && self.out.is_empty()
                    && self.upbox.is_empty()
                    && !self.drop_link =>
            {
                self.replies.passable(len)
            }
            Some(_) | None => 0,
        }
    }

    /// The first `n` bytes, of as many as [`passes`](Self::passes) allowed, went to the client.
    pub fn passed(&mut self, n: usize) {
        self.replies.consumed(n);
    }

    /// Whether, and how, the reply that starts with `rest` can pass before it is complete. One
    /// that must be looked into is collected whatever its size.
    pub(super) fn passing_of(&self, rest: &[u8]) -> Option<Passing> {
        if !matches!(self.link, Link::Up) || rest.first() == Some(&b'-') {
            return None;
        }
        if self.is_unasked(rest) {
            return Some(Passing { hidden: false, unasked: true });
        }
        let first = self.log.front()?;
        let plain =
            matches!(first.expect, Expect::Forward | Expect::Script(_) | Expect::Blocking(_));
        (plain && !self.state.is_in_transaction())
            .then_some(Passing { hidden: self.state.reply != ReplyMode::On, unasked: false })
    }

    pub(super) fn pass_end(
        &mut self,
        world: &mut World,
        now: Time,
        passing: Passing,
        frame: &[u8],
    ) {
        if !passing.hidden {
            self.out.extend_from_slice(frame);
        }
        if passing.unasked {
            return;
        }
        self.close_mark();
        self.spend();
        self.suspect = false;
        if let Some(Entry { expect: Expect::Script(body), .. }) = self.pop_answered(world, now) {
            self.note_script(world, &body);
        }
    }

    /// One whole frame.
    pub(super) fn on_frame(&mut self, world: &mut World, now: Time, frame: &[u8]) {
        if self.forwards(frame) {
            return self.forward(world, now, frame);
        }
        if matches!(self.link, Link::Doubting(_)) {
            return self.on_doubt_frame(world, now, frame);
        }
        if self.on_unasked(frame) {
            return;
        }
        match &mut self.link {
            Link::Restoring(_) => return self.on_restore_frame(world, now, frame),
            Link::Draining(_) => return self.on_draining_frame(world, frame),
            Link::Down | Link::Up | Link::Doubting(_) => {}
        }
        if !self.log.is_front_sent() && !self.may_answer_early() {
            // An answer to nothing: `max number of clients reached`, or a server on its way out.
            self.drop_link = true;
            self.retry_later(world, now);
            return;
        }
        if let Some(proof) = self.proof_in(world, now, frame) {
            self.note_proof(world, now, proof);
            self.start_draining();
            // The primary itself, which answers: how long that may go on, `proof_in` says.
            self.suspect = proof != Proof::NoReplicas;
            return self.on_draining_frame(world, frame);
        }
        let is_script = self.log.front().is_some_and(|it| matches!(it.expect, Expect::Script(_)));
        if is_script && !self.state.is_in_transaction() && self.is_doubtful(frame) {
            return self.begin_doubt(frame);
        }
        self.suspect = false;
        self.answer(world, now, frame);
        self.answer_front();
    }

    /// Takes the first request, which the node has answered, off the log.
    fn pop_answered(&mut self, world: &mut World, now: Time) -> Option<Entry> {
        let (entry, sent) = self.log.pop_sent()?;
        if let Some(sent) = sent {
            let (family, seen) = (Family::of(&entry.expect, entry.effect), entry.at);
            timing::note(
                &mut world.timings,
                Timing { family, seen, sent, answered: now, count: 1 },
            );
        }
        Some(entry)
    }

    /// Whether the reply `frame` goes to the client as it is and says nothing else. Of a guarded
    /// session none does: it may have to wait.
    pub fn forwards(&self, frame: &[u8]) -> bool {
        !matches!(frame.first(), Some(b'-' | b'>'))
            && matches!(self.link, Link::Up)
            && self.passing.is_none()
            && self.guard.is_none()
            && self.state.is_plain()
            && self.log.front().is_some_and(|it| matches!(it.expect, Expect::Forward))
    }

    /// Takes a reply for which [`forwards`](Self::forwards) is true; `rest` is what the caller has
    /// not given to the client itself.
    pub fn forward(&mut self, world: &mut World, now: Time, rest: &[u8]) {
        self.out.extend_from_slice(rest);
        if let Some(&Entry { at: seen, effect, ref expect, .. }) = self.log.front() {
            let family = Family::of(expect, effect);
            // Dropped where it is: moving it would cost more.
            if let Some(sent) = self.log.drop_sent() {
                timing::note(
                    &mut world.timings,
                    Timing { family, seen, sent, answered: now, count: 1 },
                );
            }
        }
        self.suspect = false;
        if !self.is_proven {
            self.is_known_now(world);
        }
        self.answer_front();
    }

    /// A large request may be refused before its last byte was sent.
    fn may_answer_early(&self) -> bool {
        self.log.front().is_some_and(|it| it.streamed.is_some())
    }

    /// Whether `frame` proves that the first request did not run.
    fn proof_in(&self, world: &World, now: Time, frame: &[u8]) -> Option<Proof> {
        let line = frame.strip_prefix(b"-").and(frame.strip_suffix(b"\r\n"))?;
        let first = self.log.front()?;
        // A script can raise any error by itself; but not when it is only queued.
        if matches!(first.expect, Expect::Script(_)) && !self.state.is_in_transaction() {
            return None;
        }
        Proof::of(line).filter(|&it| {
            // The primary itself, and for good: then the client is told after a while.
            it != Proof::NoReplicas
                || (world.policy.noreplicas == NoReplicas::Hold
                    && now < first.at + world.policy.hold_timeout)
        })
    }

    /// Whether the frame that starts with `start` answers no request.
    fn is_unasked(&self, start: &[u8]) -> bool {
        match start.first() {
            Some(b'>') => !self.is_confirmation(start),
            Some(b'*') if self.state.proto == Proto::Resp2 && self.state.is_subscribed() => {
                reply::items(start).next().and_then(reply::text).is_some_and(Kind::is_message)
            }
            Some(b'+') => self.state.is_monitor() && start.get(1).is_some_and(u8::is_ascii_digit),
            _ => false,
        }
    }

    fn is_confirmation(&self, frame: &[u8]) -> bool {
        let confirms =
            || self.log.front().is_some_and(|it| matches!(it.expect, Expect::Confirm(..)));
        (matches!(self.link, Link::Restoring(_)) || confirms())
            && reply::items(frame)
                .next()
                .and_then(reply::text)
                .is_some_and(|name| Kind::of_confirmation(name).is_some())
    }

    /// Passes on a push, a message or a line of `MONITOR`; false if `frame` is none.
    fn on_unasked(&mut self, frame: &[u8]) -> bool {
        if !self.is_unasked(frame) {
            return false;
        }
        // A node may end a subscription by itself, when an ACL changes.
        self.follow_subscription(frame);
        self.out.extend_from_slice(frame);
        true
    }

    /// Takes note of what a confirmation says; false if `frame` is none.
    fn follow_subscription(&mut self, frame: &[u8]) -> bool {
        let mut items = reply::items(frame);
        let kind = items.next().and_then(reply::text).and_then(Kind::of_confirmation);
        let Some((kind, adds)) = kind else { return false };
        if let Some(name) = items.next().and_then(reply::text) {
            self.state.rare_mut().subscriptions.confirm(kind, adds, name);
        }
        true
    }

    /// The reply to the first request.
    fn answer(&mut self, world: &mut World, now: Time, frame: &[u8]) {
        if self.state.is_in_transaction() && self.answer_queued(frame) {
            return;
        }
        let is_error = matches!(frame.first(), Some(b'-' | b'!'));
        if let Some(Entry { expect: Expect::Confirm(kind, left), .. }) = self.log.front_mut()
            && !is_error
        {
            let kind = *kind;
            let left = *left.get_or_insert_with(|| {
                self.state.rare().map_or(0, |it| it.subscriptions.of(kind).len()).max(1)
            });
            return self.confirm(kind, left, frame);
        }
        self.note_acquaintance(world, frame, is_error);
        let Some(entry) = self.pop_answered(world, now) else { return };
        let (withheld, before) = (self.kind_of(&entry, frame), self.out.len());
        match entry.expect {
            Expect::Acquaintance => {}
            Expect::Change(change) => self.answer_change(*change, frame, is_error),
            Expect::Replace(reply) => self.emit(&reply),
            Expect::Exec => self.answer_exec(world, frame),
            Expect::ExecAsNull => self.answer_broken_watch(),
            Expect::DiscardAs(reply) => self.discard_as(&reply),
            Expect::Cursor => self.answer_cursor(world, frame),
            Expect::Script(body) => {
                self.note_script(world, &body);
                self.emit(frame);
            }
            Expect::ScriptLoad(body) => {
                if !is_error {
                    self.note_script(world, &body);
                }
                self.emit(frame);
            }
            Expect::ScriptFlush => {
                if !is_error {
                    world.scripts.flush();
                }
                self.emit(frame);
            }
            Expect::Identity(ask) => {
                let shown = identity::shown(&mut self.identity, world, self.epoch, ask, frame);
                self.emit(shown.as_deref().unwrap_or(frame));
            }
            Expect::Hello(change) => {
                let shown = identity::hello(&mut self.identity, world, self.epoch, frame);
                self.answer_change(*change, shown.as_deref().unwrap_or(frame), is_error);
            }
            Expect::Tunnel => {
                self.out.extend_from_slice(frame);
                if !is_error {
                    self.tunnel = true;
                    self.log.push_tunnel(entry.at);
                }
            }
            Expect::Forward
            | Expect::Blocking(_)
            | Expect::Confirm(..)
            | Expect::Local(_)
            | Expect::Quit
            | Expect::Fatal(_) => self.emit(frame),
        }
        if let Some(kind) = withheld {
            self.withhold(world, kind, before);
        }
        if frame.starts_with(PROTOCOL_ERROR) {
            // The node closes after this, and so would it have with the client.
            self.end.get_or_insert(End::Protocol);
        }
    }

    fn answer_cursor(&mut self, world: &World, frame: &[u8]) {
        let first = world.first_epoch.unwrap_or(self.epoch);
        let tagged = scan::incoming(frame, first, self.epoch);
        self.emit(tagged.as_deref().unwrap_or(frame));
    }

    /// Learns from a reply whether the node knows the client.
    fn note_acquaintance(&mut self, world: &World, frame: &[u8], is_error: bool) {
        if frame.starts_with(b"-NOAUTH ") {
            self.is_stranger = true;
        } else if !is_error && !self.is_proven {
            self.is_known_now(world);
        }
    }

    pub(super) fn answer_change(&mut self, change: Change, frame: &[u8], is_error: bool) {
        if is_error {
            if matches!(change, Change::Multi) {
                self.tail_multi = self.log.ends_in_multi(self.state.is_in_transaction());
            }
            return self.emit(frame);
        }
        // `CLIENT REPLY OFF` and `SKIP` are not answered; `ON` is, and `RESET` always.
        let hides = matches!(change, Change::Reply(ReplyMode::Off | ReplyMode::SkipNext));
        let shows = matches!(change, Change::Reply(ReplyMode::On) | Change::Reset);
        if shows {
            self.state.reply = ReplyMode::On;
        }
        // `MULTI` does not spend it.
        let caching = self.state.rare().and_then(|it| it.caching);
        let opens = matches!(change, Change::Multi);
        if !hides {
            self.emit(frame);
        }
        self.state.apply(change);
        if opens && caching.is_some() {
            self.state.rare_mut().caching = caching;
        }
    }

    /// A frame for a `SUBSCRIBE` or its kin, of which `left` are to come.
    fn confirm(&mut self, kind: Kind, left: usize, frame: &[u8]) {
        self.follow_subscription(frame);
        // Confirmations are pushes: they come even when replies are off, or the next is left out.
        self.out.extend_from_slice(frame);
        if left > 1 {
            if let Some(entry) = self.log.front_mut() {
                entry.expect = Expect::Confirm(kind, Some(left - 1));
            }
        } else {
            self.log.pop();
            self.spend();
        }
    }

    pub(super) fn note_script(&mut self, world: &mut World, body: &[u8]) {
        if !body.is_empty() {
            world.scripts.loaded(self.epoch, body);
        }
    }

    /// Answers every request at the front that needs no node.
    pub(super) fn answer_front(&mut self) {
        // What was taken back comes before what is in the log.
        while self.log.front().is_some_and(|it| it.expect.is_here())
            && self.end.is_none()
            && !matches!(self.link, Link::Draining(_))
        {
            let Some(entry) = self.log.pop() else { return };
            self.answer_here(entry.expect);
        }
    }

    /// Answers what needs no node, now that it is its turn.
    pub(super) fn answer_here(&mut self, expect: Expect) {
        if let Expect::Local(reply) = expect {
            self.emit(&reply);
        } else if let Expect::Fatal(reply) = expect {
            self.finish(End::Protocol, &reply);
        } else if matches!(expect, Expect::Quit) {
            self.quit();
        }
    }

    /// Gives the client a reply, if it wants one.
    pub(super) fn emit(&mut self, reply: &[u8]) {
        if self.state.reply == ReplyMode::On {
            self.out.extend_from_slice(reply);
        }
        self.spend();
    }

    /// A command has its answer: what spoke of that command only is over.
    fn spend(&mut self) {
        if self.state.reply == ReplyMode::SkipNext {
            self.state.reply = ReplyMode::On;
        }
        // In front of `MULTI` it speaks of the whole transaction.
        if let Some(rare) = self.state.rare_if_any()
            && rare.transaction.is_none()
        {
            rare.caching = None;
        }
    }
}

/// How every protocol error of the servers starts; they close the connection behind it.
const PROTOCOL_ERROR: &[u8] = b"-ERR Protocol error";
