//! From the client's bytes to the log: where requests end, whether they may come in now, and
//! what becomes of those that are too large to be kept.

use super::log::{Entry, Streamed};
use super::machine::{End, Link, Session, Stream};
use super::plan::{self, Plan};
use super::recover::Item;
use super::share::SHARED_IN_FLIGHT_MAX;
use super::{Expect, World, texts};
use crate::pure::command::{Class, Effect, Special};
use crate::pure::resp::request::{self, Head, Scan};
use crate::pure::time::Time;

/// Bytes of a large request that wait for the socket.
const STREAM_CHUNK_MAX: usize = 256 * 1024;

/// How a request comes to be admitted.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    New,
    /// It was seen first at `at`, and taken back from a link; `ran` if it may have run there.
    Again {
        at: Time,
        ran: bool,
    },
}

impl Session {
    /// Admits what it can of `input` and returns how many bytes it took.
    pub(super) fn admit(&mut self, world: &mut World, now: Time, input: &[u8]) -> usize {
        let mut taken = 0;
        loop {
            let rest = input.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return taken;
            }
            if self.tunnel {
                self.log.extend_last(rest);
                return input.len();
            }
            if let Some(stream) = self.stream {
                let passed = self.pass_stream(rest, stream);
                taken += passed;
                if passed == 0 {
                    return taken;
                }
                continue;
            }
            if !self.may_admit(world) || !self.replay.is_empty() {
                return taken;
            }
            match self.requests.scan(rest) {
                Scan::Frame { len } => {
                    let frame = rest.get(..len).unwrap_or_default();
                    if !self.admit_frame(world, now, frame, Arrival::New) {
                        return taken;
                    }
                    taken += len;
                }
                Scan::Ignored { len } => taken += len,
                Scan::Partial => {
                    if !self.is_too_large(world, rest.len()) || !self.begin_stream(world, now, rest)
                    {
                        return taken;
                    }
                }
                Scan::Error(error) if error.is_for_strangers() && self.refusal.is_some() => {
                    // Nobody can say now who this is, and it is refused in either case.
                    self.requests = request::Scanner::new(world.limits.request);
                }
                Scan::Error(error) if error.is_for_strangers() && self.asks_who_it_is(now) => {
                    return taken;
                }
                Scan::Error(error) => {
                    self.push_here(now, Expect::Fatal(error.reply().into()));
                    self.answer_front();
                    return input.len();
                }
            }
        }
    }

    /// Admits what it can of what arrived earlier.
    pub(super) fn admit_inbox(&mut self, world: &mut World, now: Time) {
        if self.inbox.is_empty() {
            return;
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        let taken = self.admit(world, now, &inbox);
        inbox.advance(taken);
        self.inbox = inbox;
    }

    /// Admits again what was taken back from a lost link.
    pub(super) fn admit_replay(&mut self, world: &mut World, now: Time) {
        while self.may_admit(world) {
            match self.replay.pop_front() {
                None => return,
                Some(Item::Here { at, expect }) => {
                    self.push_here(at, expect);
                    self.answer_front();
                }
                Some(Item::Raw { at, request, ran }) => {
                    if !self.admit_frame(world, now, &request, Arrival::Again { at, ran }) {
                        self.replay.push_front(Item::Raw { at, request, ran });
                        return;
                    }
                }
                Some(Item::Kept { entry, request }) => {
                    self.tail_multi &= !matches!(entry.expect, Expect::DiscardAs(_));
                    self.log.push(*entry, &request);
                }
            }
        }
    }

    /// Whether another request may be admitted: there is room, and what came last lets anything
    /// be behind it.
    fn may_admit(&self, world: &World) -> bool {
        if self.end.is_some()
            || matches!(self.link, Link::Doubting(_))
            || self.log.bytes() >= world.limits.in_flight_bytes_max
            || self.log.count() >= world.limits.in_flight_max
        {
            return false;
        }
        if self.is_shared() && self.log.bytes() >= SHARED_IN_FLIGHT_MAX {
            return false;
        }
        // One at a time: what this request means depends on the answer of the one before.
        if self.state.is_watch_broken() && !self.log.is_empty() {
            return false;
        }
        match self.log.back() {
            None => true,
            Some(last) => match &last.expect {
                // Servers do not look at what stands behind a command that waits; if it is not
                // sent, its outcome cannot become uncertain.
                Expect::Blocking(_) | Expect::Quit | Expect::Fatal(_) | Expect::Tunnel => false,
                Expect::Forward
                | Expect::Local(_)
                | Expect::Replace(_)
                | Expect::Change(_)
                | Expect::Exec
                | Expect::ExecAsNull
                | Expect::DiscardAs(_)
                | Expect::Confirm(..)
                | Expect::Cursor
                | Expect::Script(_)
                | Expect::ScriptLoad(_)
                | Expect::ScriptFlush
                | Expect::Identity(_)
                | Expect::Acquaintance
                | Expect::Hello(_) => true,
            },
        }
    }

    /// Admits one complete request; false if it must wait for another link.
    fn admit_frame(
        &mut self,
        world: &mut World,
        now: Time,
        frame: &[u8],
        arrival: Arrival,
    ) -> bool {
        let (at, again, ran) = match arrival {
            Arrival::New => (now, false, false),
            Arrival::Again { at, ran } => (at, true, ran),
        };
        let canonical;
        let frame = if frame.starts_with(b"*") {
            frame
        } else {
            canonical = request::canonical(frame);
            &canonical
        };
        let class = world.recent.classify(&world.table, frame);
        if !self.fits_link(world, class) {
            return false;
        }
        if !again {
            count(world, class.effect);
            if self.refuses(world, class.special, frame.len()) {
                self.refuse(world, now, class.special, frame);
                return true;
            }
        }
        if class.special == Special::None {
            let entry = Entry { len: frame.len(), effect: class.effect, ran, ..Entry::forward(at) };
            self.log.push(entry, frame);
            return true;
        }
        let Plan { expect, instead } =
            plan::special(self, world, class.special, frame, at, again.then_some(now));
        let request = instead.as_deref().unwrap_or(frame);
        let len = if matches!(expect, Expect::Quit) { 0 } else { request.len() };
        // `QUIT` has no bytes in the log, but may have to be admitted again.
        let original = (instead.is_some() || len == 0).then(|| frame.into());
        let effect = class.effect;
        let entry = Entry { len, at, effect, expect, original, streamed: None, ran };
        self.log.push(entry, request.get(..len).unwrap_or_default());
        if len == 0 {
            self.answer_front();
        }
        true
    }

    /// Whether a new request must be turned away because the hold is full. Once one was, all that
    /// follow are, until those before are gone: there is never a hole inside a pipeline.
    fn refuses(&mut self, world: &mut World, special: Special, len: usize) -> bool {
        if self.refusal.is_some() {
            return special != Special::Quit;
        }
        // What was turned away may not have been answered yet, though there is a primary again.
        if self.can_send(world) && !self.refusing {
            return false;
        }
        world.tally.held += 1;
        if world.route.primary().is_none() {
            let others = world.budget.used.saturating_sub(self.charged);
            let own = self.log.bytes() + self.beside + len;
            self.refusing |= others.saturating_add(own) > world.budget.max;
        }
        // Small, and of no use if they are not obeyed in their place.
        let is_obeyed = matches!(special, Special::Quit | Special::Reset | Special::ClientReply);
        self.refusing && !is_obeyed
    }

    /// Answers a request with "try again" in its place.
    fn refuse(&mut self, world: &mut World, now: Time, special: Special, frame: &[u8]) {
        let reply: Box<[u8]> = match &mut self.refusal {
            Some(refusal) => {
                refusal.count += 1;
                refusal.reply.clone()
            }
            None => {
                world.tally.refused_full += 1;
                texts::HOLD_FULL.into()
            }
        };
        if self.log.is_empty() {
            self.refuse_now(special, frame, &reply);
        } else if self.tail_multi {
            let ends = matches!(special, Special::Exec | Special::Discard);
            self.tail_multi &= !ends;
            let refused = if ends { plan::refused_end } else { plan::refusal };
            let (entry, request) = refused(now, &reply);
            self.log.push(entry, &request);
        } else {
            self.push_here(now, Expect::Local(reply));
        }
    }

    fn push_here(&mut self, at: Time, expect: Expect) {
        self.log.push(Entry::without_request(at, expect), &[]);
    }

    /// A request is larger than the servers take from a stranger. Whether the client is one, only
    /// the node can say: by its answers to what is in flight, or else to a question of our own.
    /// False if it has said so.
    fn asks_who_it_is(&mut self, now: Time) -> bool {
        self.requests = request::Scanner::new(request::Limits::UNAUTHENTICATED);
        if !self.log.is_empty() {
            return true;
        }
        if self.is_stranger {
            return false;
        }
        let question = b"*1\r\n$4\r\nPING\r\n";
        let mut entry = Entry::without_request(now, Expect::Acquaintance);
        entry.len = question.len();
        self.log.push(entry, question);
        true
    }

    /// The node knows who this is: the limits for strangers do not hold any more.
    pub(super) fn is_known_now(&mut self, world: &World) {
        self.is_proven = true;
        self.is_stranger = false;
        self.requests.set_limits(world.limits.request);
    }

    /// Whether the unfinished request of which `seen` bytes are there must not be collected.
    fn is_too_large(&self, world: &World, seen: usize) -> bool {
        let total = self.requests.remaining_min(seen).saturating_add(seen as u64);
        total > world.limits.query_buffer_max as u64
    }

    /// Begins to pass on a large request; false if it must wait. It is alone in the log, so that
    /// what was sent of it can be dropped.
    fn begin_stream(&mut self, world: &mut World, now: Time, rest: &[u8]) -> bool {
        if !self.log.is_empty() {
            return false;
        }
        let Head::Ready { name, sub } = request::head(rest) else { return false };
        let class = world.table.lookup(name, sub);
        // Too large for a connection that others wait for.
        if !self.fits_link(world, Class::UNKNOWN) {
            return false;
        }
        count(world, class.effect);
        if let Special::Refused(allow) = class.special
            && !world.policy.allow.contains(&allow)
        {
            world.tally.refused_policy += 1;
            let (entry, request) = plan::refusal(now, &texts::not_allowed(name, allow.key()));
            self.log.push(entry, &request);
            self.stream = Some(Stream::Discard);
            return true;
        }
        if self.refuses(world, class.special, 0) {
            self.refuse(world, now, class.special, b"");
            self.stream = Some(Stream::Discard);
            return true;
        }
        let expect = plan::streamed(class.special, rest);
        let streamed = Some(Streamed::default());
        let entry = Entry { effect: class.effect, streamed, ..Entry::without_request(now, expect) };
        self.log.push(entry, &[]);
        self.stream = Some(Stream::Relay);
        true
    }

    /// Passes on what it can of a large request and returns how many bytes that were.
    fn pass_stream(&mut self, rest: &[u8], stream: Stream) -> usize {
        let relays = stream == Stream::Relay;
        if relays && self.log.unsent().len() >= STREAM_CHUNK_MAX {
            return 0;
        }
        let passed = match self.requests.scan(rest) {
            Scan::Frame { len } | Scan::Ignored { len } => {
                self.stream = None;
                len
            }
            Scan::Partial => {
                let passed = self.requests.passable(rest.len());
                self.requests.consumed(passed);
                passed
            }
            Scan::Error(error) => {
                // Half of it may be on its way; the node will see the connection close.
                self.finish(End::Protocol, &error.reply());
                return rest.len();
            }
        };
        if relays {
            self.log.extend_last(rest.get(..passed).unwrap_or_default());
            if self.stream.is_none() {
                self.log.complete_last();
            }
        }
        passed
    }

    /// What was sent of a large request is dropped; whether there was any.
    pub(super) fn stream_forgets(&mut self) -> bool {
        self.log.forget_sent() > 0
    }
}

fn count(world: &mut World, effect: Effect) {
    match effect {
        Effect::Read => world.tally.reads += 1,
        Effect::Write => world.tally.writes += 1,
        Effect::Connection => world.tally.connection += 1,
    }
}
