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
pub(super) struct Directory {
    sessions: BTreeMap<u64, (Epoch, u64)>,
    /// How many sessions redirect their tracking to this one.
    redirects: BTreeMap<u64, usize>,
    /// Numbers that Segue itself has given out.
    own: u64,
}

impl Directory {
    /// What the node calls the session that clients know as `id`; `None` if that session has not
    /// told yet since it moved. A number that nobody learnt here is the node's own.
    pub(super) fn at_node(&self, id: u64, epoch: Epoch) -> Option<u64> {
        match self.sessions.get(&id) {
            None => Some(id),
            Some(&(told, at_node)) => (told == epoch).then_some(at_node),
        }
    }
}

impl Directory {
    /// What the node calls the session that clients know as `id`, if that has told.
    pub(super) fn told(&self, id: u64, epoch: Epoch) -> Option<u64> {
        let &(told, at_node) = self.sessions.get(&id)?;
        (told == epoch).then_some(at_node)
    }

    /// Whether the session that clients know as `id` is there, but has not told yet.
    pub(super) fn is_moving(&self, id: u64, epoch: Epoch) -> bool {
        self.sessions.get(&id).is_some_and(|it| it.0 != epoch)
    }

    /// A session redirects its tracking to `to`, and no longer to `from`.
    pub(super) fn redirect(&mut self, from: Option<u64>, to: Option<u64>) {
        if let Some(count) = from.and_then(|it| self.redirects.get_mut(&it)) {
            *count = count.saturating_sub(1);
        }
        self.redirects.retain(|_, count| *count > 0);
        if let Some(to) = to {
            *self.redirects.entry(to).or_default() += 1;
        }
    }

    /// The number by which clients will know a session that its node calls `at_node`: that one,
    /// unless another session is known by it since before it moved.
    fn name(&mut self, at_node: u64) -> u64 {
        let mut id = at_node;
        while self.sessions.contains_key(&id) {
            self.own += 1;
            id = OWN_IDS + self.own;
        }
        id
    }
}

/// Numbers above this were never given out by a server.
const OWN_IDS: u64 = 1 << 40;

/// A number that no connection has.
const NOBODY: u64 = i64::MAX as u64;

impl Identity {
    /// Whether another session redirects its tracking to this one.
    pub(super) fn is_target(&self, world: &World) -> bool {
        self.known_as.is_some_and(|it| world.directory.redirects.contains_key(&it))
    }

    /// Whether the client knows a number, so that the next node must be asked for its own.
    pub(super) const fn is_known(&self) -> bool {
        self.known_as.is_some()
    }

    /// The node told its number for this session. Returns what the client is to see.
    pub(super) fn told(&mut self, world: &mut World, epoch: Epoch, at_node: u64) -> u64 {
        let known_as = match self.known_as {
            Some(it) => it,
            None => world.directory.name(at_node),
        };
        self.known_as = Some(known_as);
        self.at_node = Some(at_node);
        world.directory.sessions.insert(known_as, (epoch, at_node));
        known_as
    }

    /// The link is gone.
    pub(super) fn lose(&mut self) {
        self.at_node = None;
    }

    /// The session is over.
    pub(super) fn forget(&mut self, world: &mut World) {
        if let Some(id) = self.known_as.take() {
            world.directory.sessions.remove(&id);
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

/// `CLIENT KILL … ID n`, `CLIENT UNBLOCK n …` or `CLIENT TRACKING … REDIRECT n` with the node's
/// number; `None` if it can go as it is.
pub(super) fn translate(world: &World, args: &Args<'_>) -> Option<Vec<u8>> {
    let epoch = world.route.epoch;
    let unblock = args.get(1)?.eq_ignore_ascii_case(b"UNBLOCK");
    let mut changed = false;
    let mut previous: &[u8] = b"";
    let mut translated = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        let names_id = if unblock {
            index == 2
        } else {
            previous.eq_ignore_ascii_case(b"ID") || previous.eq_ignore_ascii_case(b"REDIRECT")
        };
        previous = arg;
        let id =
            if names_id { str::from_utf8(arg).ok().and_then(|it| it.parse().ok()) } else { None };
        match id.map(|id: u64| (id, world.directory.at_node(id, epoch))) {
            Some((id, at_node)) if at_node != Some(id) => {
                changed = true;
                translated.push(at_node.unwrap_or(NOBODY).to_string().into_bytes());
            }
            _ => translated.push(arg.to_vec()),
        }
    }
    changed.then(|| {
        let args: Vec<&[u8]> = translated.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        write::request(&mut out, &args);
        out
    })
}
