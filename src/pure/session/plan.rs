//! What one request becomes: what is sent for it, and what its reply will mean.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "most commands are forwarded as they are; only those that are not are named"
)]

use super::blocking::Blocking;
use super::identity::{self, Ask};
use super::log::Entry;
use super::machine::Session;
use super::scan::{self, Cursor};
use super::state::{Change, Login, ReplyMode};
use super::subscription::Kind;
use super::tracking::Tracking;
use super::{Expect, World, texts};
use crate::pure::command::{Allow, BlockArg, Class, Special, Table};
use crate::pure::resp::request::{self, Args, Head};
use crate::pure::resp::write::{self, Proto};
use crate::pure::time::Time;

/// What is done with one request.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) expect: Expect,
    /// Sent instead of what the client wrote.
    pub(super) instead: Option<Vec<u8>>,
}

impl Plan {
    /// Sent as it is, answered as it is.
    pub(super) const fn forward() -> Self {
        Self { expect: Expect::Forward, instead: None }
    }

    fn expect(expect: Expect) -> Self {
        Self { expect, instead: None }
    }

    fn change(change: Change) -> Self {
        Self::expect(Expect::Change(Box::new(change)))
    }

    /// Answered with `reply`, whatever the node says. A command without its argument is sent, so
    /// that an open transaction is aborted as if the node itself had refused.
    fn replace(reply: impl Into<Box<[u8]>>) -> Self {
        Self { expect: Expect::Replace(reply.into()), instead: Some(INCOMPLETE.to_vec()) }
    }
}

/// A request that every server refuses, and whose refusal aborts an open transaction.
const INCOMPLETE: &[u8] = b"*1\r\n$4\r\nECHO\r\n";
const DISCARD: &[u8] = b"*1\r\n$7\r\nDISCARD\r\n";

/// What is sent for a request that is refused inside a transaction: it must not run without it.
pub(super) fn refusal(at: Time, reply: &[u8]) -> (Entry, Box<[u8]>) {
    (Entry::sent_as(at, INCOMPLETE, Expect::Replace(reply.into())), INCOMPLETE.into())
}

/// What is sent for an `EXEC` or `DISCARD` that is refused: for its client the transaction is over.
pub(super) fn refused_end(at: Time, reply: &[u8]) -> (Entry, Box<[u8]>) {
    (Entry::sent_as(at, DISCARD, Expect::DiscardAs(reply.into())), DISCARD.into())
}

/// The class of a complete request.
pub(super) fn classify(table: &Table, frame: &[u8]) -> Class {
    match request::head(frame) {
        Head::Ready { name, sub } => table.lookup(name, sub),
        Head::NeedMore | Head::Inline => table.lookup(b"", b""),
    }
}

/// What is sent for `frame`, which was queued at another node, when its transaction is reopened;
/// `None` if it can go as it is.
pub(super) fn requeued(world: &mut World, frame: &[u8]) -> Option<Vec<u8>> {
    let args = request::args(frame);
    let plan = match classify(&world.table, frame).special {
        Special::Scan => cursor(world, frame, 1),
        Special::Hscan | Special::Sscan | Special::Zscan => cursor(world, frame, 2),
        Special::EvalSha => evalsha(world, &args),
        Special::ClientKill | Special::ClientUnblock | Special::ClientTracking => {
            return identity::translate(world, &args);
        }
        Special::ClientReply => client_reply(frame),
        _ => return None,
    };
    plan.instead
}

/// What the reply to a request that is too large to be kept will mean; `start` is what is there
/// of it.
pub(super) fn streamed(special: Special, start: &[u8]) -> Expect {
    let kind = match special {
        Special::Subscribe => Kind::Channel,
        Special::Psubscribe => Kind::Pattern,
        Special::Ssubscribe => Kind::Shard,
        _ => return Expect::Forward,
    };
    Expect::Confirm(kind, Some(request::args(start).len().saturating_sub(1)))
}

/// The plan for a command that sessions treat specially. `again` is the time at which it is
/// admitted once more after a link was lost.
pub(super) fn special(
    session: &mut Session,
    world: &mut World,
    special: Special,
    frame: &[u8],
    at: Time,
    again: Option<Time>,
) -> Plan {
    let args = request::args(frame);
    if args.len() > 1 && is_bare(special) {
        // The node refuses it, and nothing changes but that a transaction is aborted.
        return Plan::forward();
    }
    match special {
        Special::Refused(allow) => refused(session, world, allow, &args),
        Special::Quit => Plan::expect(Expect::Quit),
        Special::Multi => {
            session.tail_multi = true;
            Plan::change(Change::Multi)
        }
        Special::Exec => exec(session, world),
        Special::Discard => {
            session.tail_multi = false;
            Plan::change(Change::Discard)
        }
        Special::Reset => {
            session.tail_multi = false;
            Plan::change(Change::Reset)
        }
        Special::Subscribe | Special::Psubscribe | Special::Ssubscribe if session.tail_multi => {
            Plan::replace(texts::SUBSCRIBE_IN_MULTI)
        }
        Special::Subscribe => subscribe(Kind::Channel, &args),
        Special::Psubscribe => subscribe(Kind::Pattern, &args),
        Special::Ssubscribe => subscribe(Kind::Shard, &args),
        Special::Unsubscribe => unsubscribe(Kind::Channel, &args),
        Special::Punsubscribe => unsubscribe(Kind::Pattern, &args),
        Special::Sunsubscribe => unsubscribe(Kind::Shard, &args),
        Special::Wait | Special::Waitaof if !session.tail_multi => {
            blocking(world, BlockArg::LastMillis, frame, &args, at, again)
        }
        Special::Blocking(arg) if !session.tail_multi => {
            blocking(world, arg, frame, &args, at, again)
        }
        Special::Scan => cursor(world, frame, 1),
        Special::Hscan | Special::Sscan | Special::Zscan => cursor(world, frame, 2),
        Special::EvalSha => evalsha(world, &args),
        Special::Fcall => Plan::expect(Expect::Script(Box::default())),
        Special::Eval | Special::ScriptLoad | Special::ScriptFlush => script(special, &args),
        Special::ClientId | Special::ClientInfo => {
            Plan::expect(Expect::Identity(if special == Special::ClientId {
                Ask::Id
            } else {
                Ask::Info
            }))
        }
        Special::ClientKill | Special::ClientUnblock => {
            Plan { expect: Expect::Forward, instead: identity::translate(world, &args) }
        }
        Special::ClientReply => client_reply(frame),
        Special::ClientTracking => Plan {
            instead: identity::translate(world, &args),
            ..tracking(&args).map_or_else(Plan::forward, Plan::change)
        },
        _ => state(special, &args),
    }
}

/// Whether the servers refuse any argument of this.
const fn is_bare(special: Special) -> bool {
    use Special as S;
    matches!(special, S::Multi | S::Exec | S::Discard | S::Reset | S::Unwatch)
}

/// Commands that only change the state of their connection.
fn state(special: Special, args: &Args<'_>) -> Plan {
    let arg = |index| args.get(index);
    let change = match special {
        Special::Auth => auth(args),
        Special::Hello => return hello(args),
        Special::Select => arg(1).map(|it| Change::Select(it.into())),
        Special::Watch => Some(Change::Watch),
        Special::Unwatch => Some(Change::Unwatch),
        Special::Monitor => Some(Change::Monitor),
        Special::Readonly => Some(Change::Readonly(true)),
        Special::Readwrite => Some(Change::Readonly(false)),
        Special::ClientSetname => arg(2).map(|it| Change::SetName(it.into())),
        Special::ClientSetinfo => set_info(args),
        Special::ClientNoEvict => arg(2).and_then(on_off).map(Change::NoEvict),
        Special::ClientNoTouch => arg(2).and_then(on_off).map(Change::NoTouch),
        Special::ClientImportSource => arg(2).and_then(on_off).map(Change::ImportSource),
        Special::ClientCapa => arg(2).map(|it| Change::Capa(it.into())),
        Special::ClientCaching => {
            arg(2).and_then(|it| Some(Change::Caching(one_of(it, &[b"YES", b"NO"])? == 0)))
        }
        _ => None,
    };
    change.map_or_else(Plan::forward, Plan::change)
}

fn refused(session: &mut Session, world: &mut World, allow: Allow, args: &Args<'_>) -> Plan {
    if !world.policy.allow.contains(&allow) {
        world.tally.refused_policy += 1;
        return Plan::replace(texts::not_allowed(args.name(), allow.key()));
    }
    if allow == Allow::Sync && !session.tail_multi && !args.name().eq_ignore_ascii_case(b"REPLCONF")
    {
        return Plan::expect(Expect::Tunnel);
    }
    Plan::forward()
}

/// `EXEC`. If what it watches was lost with a link, it must not run: the transaction is discarded
/// and the answer is null, the protocol's own "try again".
fn exec(session: &mut Session, world: &mut World) -> Plan {
    session.tail_multi = false;
    if session.state.is_watch_broken() && session.state.is_in_transaction() {
        world.tally.watches_broken += 1;
        return Plan { expect: Expect::ExecAsNull, instead: Some(DISCARD.to_vec()) };
    }
    Plan::expect(Expect::Exec)
}

fn subscribe(kind: Kind, args: &Args<'_>) -> Plan {
    Plan::expect(Expect::Confirm(kind, Some(args.len().saturating_sub(1).max(1))))
}

fn unsubscribe(kind: Kind, args: &Args<'_>) -> Plan {
    // Without names: one frame for each subscription, or one that says there was none.
    let names = args.len().saturating_sub(1);
    Plan::expect(Expect::Confirm(kind, (names > 0).then_some(names)))
}

fn blocking(
    world: &mut World,
    arg: BlockArg,
    frame: &[u8],
    args: &Args<'_>,
    at: Time,
    again: Option<Time>,
) -> Plan {
    let Some(blocking) = Blocking::parse(arg, args, at) else { return Plan::forward() };
    let instead = again.map(|now| {
        world.tally.blocking_reissued += 1;
        blocking.reissue(frame, now)
    });
    Plan { expect: Expect::Blocking(Box::new(blocking)), instead }
}

fn cursor(world: &mut World, frame: &[u8], index: usize) -> Plan {
    let first = world.first_epoch.unwrap_or(world.route.epoch);
    match scan::outgoing(frame, index, first, world.route.epoch) {
        Cursor::Plain => Plan::expect(Expect::Cursor),
        Cursor::Rewritten { request, restarted } => {
            world.tally.scans_restarted += u64::from(restarted);
            Plan { expect: Expect::Cursor, instead: Some(request) }
        }
    }
}

fn evalsha(world: &mut World, args: &Args<'_>) -> Plan {
    let body = args.get(1).and_then(|sha| world.scripts.missing(world.route.epoch, sha));
    let Some(body) = body else { return Plan::expect(Expect::Script(Box::default())) };
    world.tally.scripts_reloaded += 1;
    let read_only = args.name().eq_ignore_ascii_case(b"EVALSHA_RO");
    let name: &[u8] = if read_only { b"EVAL_RO" } else { b"EVAL" };
    let by_body: Vec<&[u8]> = [name, &body].into_iter().chain(args.iter().skip(2)).collect();
    let mut request = Vec::new();
    write::request(&mut request, &by_body);
    Plan { expect: Expect::Script((*body).into()), instead: Some(request) }
}

fn script(special: Special, args: &Args<'_>) -> Plan {
    Plan::expect(match special {
        Special::Eval => Expect::Script(args.get(1).unwrap_or_default().into()),
        Special::ScriptLoad => Expect::ScriptLoad(args.get(2).unwrap_or_default().into()),
        _ => Expect::ScriptFlush,
    })
}

/// What a `CLIENT REPLY` asks for; `None` if the servers refuse it.
pub(super) fn reply_mode(frame: &[u8]) -> Option<ReplyMode> {
    let args = request::args(frame);
    let word = (args.len() == 3).then(|| args.get(2)).flatten()?;
    let mode = one_of(word, &[b"ON", b"OFF", b"SKIP"])?;
    [ReplyMode::On, ReplyMode::Off, ReplyMode::SkipNext].get(mode).copied()
}

/// `CLIENT REPLY`. The node is asked to keep answering, whatever the client wants: that tells
/// whether it would have obeyed, and keeps the framing.
fn client_reply(frame: &[u8]) -> Plan {
    let Some(mode) = reply_mode(frame) else { return Plan::forward() };
    let change = Change::Reply(mode);
    let instead = b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n".to_vec();
    Plan { expect: Expect::Change(Box::new(change)), instead: Some(instead) }
}

fn auth(args: &Args<'_>) -> Option<Change> {
    match args.len() {
        2 => Some(Change::Auth(Login::new(None, args.get(1)?))),
        3 => Some(Change::Auth(Login::new(args.get(1), args.get(2)?))),
        _ => None,
    }
}

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`.
fn hello(args: &Args<'_>) -> Plan {
    let proto = match args.get(1) {
        Some(b"2") => Some(Proto::Resp2),
        Some(b"3") => Some(Proto::Resp3),
        _ => None,
    };
    let (mut login, mut name) = (None, None);
    let mut options = args.iter().skip(2);
    while let Some(option) = options.next() {
        match one_of(option, &[b"AUTH", b"SETNAME"]) {
            Some(0) => {
                let user = options.next();
                login = Some(Login::new(user, options.next().unwrap_or_default()));
            }
            Some(_) => name = options.next().map(Into::into),
            None => {}
        }
    }
    Plan::expect(Expect::Hello(Box::new(Change::Hello { proto, login, name })))
}

fn set_info(args: &Args<'_>) -> Option<Change> {
    let value = args.get(3)?.into();
    Some(match one_of(args.get(2)?, &[b"LIB-NAME", b"LIB-VER"])? {
        0 => Change::LibName(value),
        _ => Change::LibVersion(value),
    })
}

fn tracking(args: &Args<'_>) -> Option<Change> {
    if on_off(args.get(2)?)? {
        Tracking::parse(args.iter().skip(3)).map(Change::Tracking)
    } else {
        Some(Change::TrackingOff)
    }
}

fn on_off(word: &[u8]) -> Option<bool> {
    one_of(word, &[b"ON", b"OFF"]).map(|it| it == 0)
}

/// Which of `words` this is, in either case of letters.
fn one_of(word: &[u8], words: &[&[u8]]) -> Option<usize> {
    words.iter().position(|it| it.eq_ignore_ascii_case(word))
}
