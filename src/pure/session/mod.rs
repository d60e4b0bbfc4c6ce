//! One client's conversation: what is sent, held, replayed, refused, or called uncertain.
//!
//! ```text
//!  client --> inbox --admit--> log --(gate open, link up)--> node
//!                 ^             |
//!              replay <-recover-+ (link lost, or a proof that nothing ran)
//!  client <------ out <--frames-+-------------------------- node
//! ```
//!
//! [`Session`] is a value: bytes and events go in, bytes and wishes come out. The shell
//! (`proxy::session`) moves them and knows the clock.
//!
//! # Invariants
//!
//! * Every request gets exactly one answer in its place (or as many frames as the protocol says),
//!   and answers keep the order of the requests.
//! * What was wholly sent and might have been executed is never sent again, unless running it
//!   twice is harmless by the command table, or the operator opted in.
//! * Nothing is sent unless the route is open, and then only on a link of the route's epoch.
//! * State is what the node has confirmed, in the order of its replies.
//! * All that is kept is bounded: see [`Limits`] and [`Budget`].
//!
//! # Deliberately absent
//!
//! Sockets, tasks, the clock, logs, metrics. Counting happens in [`Tally`]; the shell collects it.

mod admit;
mod blocking;
#[cfg(test)]
mod change_test;
mod doubt;
mod drain;
mod exec;
mod guard;
mod handover;
mod hold;
mod identity;
mod listeners;
mod log;
mod machine;
#[cfg(test)]
mod model_test;
mod plan;
mod proof;
mod recover;
mod reply;
mod restore;
mod rounds;
mod scan;
mod script;
mod settle;
mod share;
mod state;
mod subscription;
mod tally;
mod texts;
mod timing;
mod tracking;
mod transaction;
mod turned_away;
mod world;

pub use crate::pure::resp::write::Proto;
pub use guard::Withheld;
pub use machine::{End, Session};
pub use proof::Proof;
pub use rounds::{GUARD_CHANNEL, GuardedReads, Promise, Rounds, Verdict};
pub use share::{Key, Wish};
pub use tally::Tally;
pub use timing::{Family, Timing};
pub use world::{Budget, Drain, Held, Limits, NoReplicas, Policy, UncertainWrites, World};

use blocking::Blocking;
use state::Change;

/// What a reply means, and what the client sees of it.
#[derive(Debug)]
enum Expect {
    /// One reply, passed on.
    Forward,
    /// Nothing is sent; this is the answer.
    Local(Box<[u8]>),
    /// Something harmless is sent that the node refuses; this is the answer. It makes an open
    /// transaction fail as the refused command would have.
    Replace(Box<[u8]>),
    /// One reply, passed on; if it is not an error, this changes.
    Change(Box<Change>),
    /// `EXEC`.
    Exec,
    /// `DISCARD`, sent in place of an `EXEC` whose watch was lost: the answer is null.
    ExecAsNull,
    /// `DISCARD`, sent in place of a refused `EXEC` or `DISCARD`; this is the answer.
    DiscardAs(Box<[u8]>),
    /// Our own question whether the node knows the client; the client does not see the answer.
    Acquaintance,
    /// `QUIT`: answered here, then the end.
    Quit,
    /// A protocol error: this is the last word.
    Fatal(Box<[u8]>),
    /// Confirmations of a subscription, a frame each; `None` until the first has told how many.
    Confirm(subscription::Kind, Option<usize>),
    /// A command that may wait at the node.
    Blocking(Box<Blocking>),
    /// `SCAN` and its kin: the reply starts with a cursor.
    Cursor,
    /// A script by its SHA.
    Script(Box<[u8]>),
    /// `SCRIPT LOAD` of this body.
    ScriptLoad(Box<[u8]>),
    /// `SCRIPT FLUSH`.
    ScriptFlush,
    /// The reply tells by which id the session is known.
    Identity(identity::Ask),
    /// `HELLO`, whose reply carries the id.
    Hello(Box<Change>),
    /// A replication stream (allowed by the operator): from here on bytes are only relayed.
    Tunnel,
}

impl Expect {
    /// Whether it is answered here, when its turn comes: nothing is sent for it.
    const fn is_here(&self) -> bool {
        matches!(self, Self::Local(_) | Self::Quit | Self::Fatal(_))
    }
}
