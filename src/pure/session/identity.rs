//! `CLIENT ID`: what a session is called, before and after it moved.
//!
//! The number that a client has learnt goes on meaning its session. A node numbers its own
//! connections, so after a move the two differ: replies are rewritten to the number that was
//! learnt, and requests that name one (`CLIENT KILL ID`, `CLIENT UNBLOCK`, `CLIENT TRACKING …
//! REDIRECT`) are rewritten to the node's. `CLIENT LIST` is the node's view and stays so.

use super::World;
use crate::pure::resp::request::Args;
use crate::pure::resp::{reply, write};
use crate::pure::topology::Epoch;
use std::collections::BTreeMap;

/// What a client asked that has its id in the reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ask {
    /// `CLIENT ID`: the reply is the id.
    Id,
    /// `CLIENT INFO`: the reply starts with `id=`.
    Info,
}

/// The numbers of one session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Identity {
    /// What the client calls it, once it has asked.
    known_as: Option<u64>,
    /// What the node of the link calls it, once that was told.
    at_node: Option<u64>,
}

/// Where the sessions of a worker stand at the nodes: by the id that clients know.
#[derive(Debug, Default)]
pub(super) struct Directory(BTreeMap<u64, (Epoch, u64)>);

impl Directory {
    /// What the node calls the session that clients know as `id`; `None` if that session has not
    /// told yet since it moved. A number that nobody learnt here is the node's own.
    pub(super) fn at_node(&self, id: u64, epoch: Epoch) -> Option<u64> {
        match self.0.get(&id) {
            None => Some(id),
            Some(&(told, at_node)) => (told == epoch).then_some(at_node),
        }
    }
}

impl Directory {
    /// `at_node`, or if another session is known by that, a number that no node gives out.
    fn unused(&self, at_node: u64) -> u64 {
        (0..)
            .map(|it| at_node | it << FOREIGN_SHIFT)
            .find(|it| !self.0.contains_key(it))
            .unwrap_or(at_node)
    }
}

/// A node that counts to 2^40 has served a thousand connections a second for thirty years.
const FOREIGN_SHIFT: u32 = 40;

impl Identity {
    /// Whether the client knows a number, so that the next node must be asked for its own.
    pub(super) const fn is_known(&self) -> bool {
        self.known_as.is_some()
    }

    /// The node told its number for this session. Returns what the client is to see.
    pub(super) fn told(&mut self, world: &mut World, epoch: Epoch, at_node: u64) -> u64 {
        let known_as = *self.known_as.get_or_insert_with(|| world.directory.unused(at_node));
        self.at_node = Some(at_node);
        world.directory.0.insert(known_as, (epoch, at_node));
        known_as
    }

    /// The link is gone.
    pub(super) fn lose(&mut self) {
        self.at_node = None;
    }

    /// The session is over.
    pub(super) fn forget(&mut self, world: &mut World) {
        if let Some(id) = self.known_as.take() {
            world.directory.0.remove(&id);
        }
    }
}

/// The reply to `ask` as the client is to see it; `None` if it can go as it is.
pub(super) fn shown(
    identity: &mut Identity,
    world: &mut World,
    epoch: Epoch,
    ask: Ask,
    frame: &[u8],
) -> Option<Vec<u8>> {
    match ask {
        Ask::Id => {
            let at_node = u64::try_from(reply::int(frame)?).ok()?;
            let shown = identity.told(world, epoch, at_node);
            (shown != at_node).then(|| format!(":{shown}\r\n").into_bytes())
        }
        Ask::Info => {
            let known_as = identity.known_as?;
            let text = str::from_utf8(reply::text(frame)?).ok()?;
            let rest = text.strip_prefix("id=")?;
            let (_, rest) = rest.split_once(' ')?;
            let text = format!("id={known_as} {rest}");
            let mut out = Vec::with_capacity(frame.len() + 8);
            if frame.starts_with(b"=") {
                out.extend_from_slice(format!("={}\r\ntxt:{text}\r\n", text.len() + 4).as_bytes());
            } else {
                write::bulk(&mut out, text.as_bytes());
            }
            Some(out)
        }
    }
}

/// The `HELLO` reply `frame` with the id that the client knows; `None` if it can go as it is.
pub(super) fn hello(
    identity: &mut Identity,
    world: &mut World,
    epoch: Epoch,
    frame: &[u8],
) -> Option<Vec<u8>> {
    let mut items = reply::items(frame);
    while let Some(key) = items.next() {
        let value = items.next()?;
        if reply::text(key) != Some(b"id") {
            continue;
        }
        let at_node = u64::try_from(reply::int(value)?).ok()?;
        let shown = identity.told(world, epoch, at_node);
        if shown == at_node {
            return None;
        }
        let start = value.as_ptr().addr().checked_sub(frame.as_ptr().addr())?;
        let mut out = frame.get(..start)?.to_vec();
        out.extend_from_slice(format!(":{shown}\r\n").as_bytes());
        out.extend_from_slice(frame.get(start + value.len()..)?);
        return Some(out);
    }
    None
}

/// A number that no connection has: that of a session which has not told its new one yet.
const NOBODY: u64 = i64::MAX.unsigned_abs();

/// Whether the argument behind this option is the id of a connection.
fn is_id(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"ID") || option.eq_ignore_ascii_case(b"REDIRECT")
}

/// `CLIENT KILL … ID n`, `CLIENT TRACKING … REDIRECT n` or `CLIENT UNBLOCK n …` with the node's number; `None` if it can go as it
/// is.
pub(super) fn translate(world: &World, args: &Args<'_>) -> Option<Vec<u8>> {
    let epoch = world.route.epoch;
    let unblock = args.get(1)?.eq_ignore_ascii_case(b"UNBLOCK");
    let mut changed = false;
    let mut previous: &[u8] = b"";
    let mut translated = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        let names_id = if unblock { index == 2 } else { is_id(previous) };
        previous = arg;
        let id =
            if names_id { str::from_utf8(arg).ok().and_then(|it| it.parse().ok()) } else { None };
        match id.map(|id: u64| (id, world.directory.at_node(id, epoch))) {
            Some((id, Some(at_node))) if at_node == id => translated.push(arg.to_vec()),
            Some((_, at_node)) => {
                changed = true;
                translated.push(at_node.unwrap_or(NOBODY).to_string().into_bytes());
            }
            None => translated.push(arg.to_vec()),
        }
    }
    changed.then(|| {
        let args: Vec<&[u8]> = translated.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        write::request(&mut out, &args);
        out
    })
}
