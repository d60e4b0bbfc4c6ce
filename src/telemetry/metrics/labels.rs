//! The closed sets of label values. A value that is not here cannot be exported, so the
//! number of series is known when the program is compiled.

use super::cell::{Counter, Histogram};
use crate::pure::session;
use crate::pure::topology::SignalKind;

/// A closed set of values of one label.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value's text, in the order of [`Label::index`].
    const VALUES: &'static [&'static str];
    /// One counter for each value.
    type Counters: AsRef<[Counter]> + Default + std::fmt::Debug;
    /// One distribution for each value.
    type Histograms: AsRef<[Histogram]> + Default + std::fmt::Debug;

    /// Position in [`Label::VALUES`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[$meta:meta])* $name:ident($label:literal) {
        $($(#[$why:meta])* $variant:ident = $value:literal,)+
    })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum $name { $($(#[$why])* $variant,)+ }

        impl $name {
            /// Every value.
            pub const ALL: [Self; [$($value),+].len()] = [$(Self::$variant),+];

            /// Its text, as in metrics and logs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $value,)+
                }
            }
        }

        impl Label for $name {
            const NAME: &'static str = $label;
            const VALUES: &'static [&'static str] = &[$($value),+];
            type Counters = [Counter; [$($value),+].len()];
            type Histograms = [Histogram; [$($value),+].len()];

            fn index(self) -> usize {
                self as usize
            }
        }
    )+};
}

labels! {
    /// Why a client was not let in.
    Rejected("reason") {
        /// `sessions.max` are open.
        Max = "max",
    }

    /// Why a session ended.
    Closed("reason") {
        /// The client hung up or said `QUIT`.
        Client = "client",
        /// The client sent nothing for as long as it may.
        Idle = "idle",
        /// The client broke the protocol.
        ProtocolError = "protocol_error",
        /// The session had a state that could not be rebuilt on the new primary.
        Unrestorable = "unrestorable",
        /// The client did not read its replies.
        SlowReader = "slow_reader",
        /// Segue is shutting down.
        Drain = "drain",
        /// Anything else: a bug or a broken node.
        Error = "error",
    }

    /// What kind of request, as far as replaying it goes.
    RequestClass("class") {
        /// Free of side effects.
        Read = "read",
        /// May change data; every unknown command too.
        Write = "write",
        /// About the connection: `AUTH`, `HELLO`, `SELECT`, …
        Connection = "connection",
    }

    /// Which way bytes went, seen from Segue.
    Direction("direction") {
        /// From a client.
        ClientIn = "client_in",
        /// To a client.
        ClientOut = "client_out",
        /// From a node.
        NodeIn = "node_in",
        /// To a node.
        NodeOut = "node_out",
    }

    /// Kinds of commands that take their time for different reasons.
    Family("family") {
        /// Changes nothing.
        Read = "read",
        /// May change data; also what nobody knows.
        Write = "write",
        /// A script.
        Script = "script",
        /// Waits at the node.
        Blocking = "blocking",
        /// `EXEC`.
        Transaction = "transaction",
        /// Changes its own connection.
        Connection = "connection",
    }

    /// Why a command was answered with an error of Segue's own.
    Refused("reason") {
        /// Held for `hold.timeout`.
        Timeout = "timeout",
        /// `hold.max_bytes` are held.
        Full = "full",
        /// `sessions.allow` does not name it.
        Policy = "policy",
        /// Too large to be kept, and partly sent when the primary went away.
        Streamed = "streamed",
    }

    /// What became of a reply that was withheld.
    Guarded("outcome") {
        /// Enough replicas have it; the client got it.
        Confirmed = "confirmed",
        /// They did not say so in time; the client got `-UNCERTAIN`.
        Uncertain = "uncertain",
    }

    /// The reply that proved that a command was not executed.
    Proof("kind") {
        /// `-READONLY`
        ReadOnly = "readonly",
        /// `-MASTERDOWN`
        MasterDown = "masterdown",
        /// `-LOADING`
        Loading = "loading",
        /// `-REDIRECT`
        Redirect = "redirect",
        /// `-UNBLOCKED`
        Unblocked = "unblocked",
        NoReplicas = "noreplicas",
    }

    /// How one probe of a node ended.
    ProbeResult("result") {
        /// A good answer.
        Ok = "ok",
        /// An error reply, or a connection that broke.
        Error = "error",
        /// The connection was refused or reset: no process there.
        Refused = "refused",
        /// No answer in time.
        Timeout = "timeout",
        /// `-LOADING`
        Loading = "loading",
    }

    /// How one failover ended.
    FailoverOutcome("outcome") {
        /// A replica took over.
        Promoted = "promoted",
        /// The primary came back before anything was changed.
        Recovered = "recovered",
        /// Nobody could take over.
        Halted = "halted",
        /// Somebody else promoted a node, and Segue follows.
        Followed = "followed",
    }

    /// How a switchover ended.
    SwitchoverOutcome("outcome") {
        /// The target serves.
        Done = "done",
        /// Something spoke against it; nothing was touched.
        Refused = "refused",
        /// It was begun and taken back.
        RolledBack = "rolled_back",
        /// The target was told, and did not confirm in time.
        Unfinished = "unfinished",
    }

    /// A step of a failover, in order.
    FailoverPhase("phase") {
        /// From the first hard signal to the verdict.
        Detect = "detect",
        /// Until every worker has confirmed the closed gate.
        Commit = "commit",
        /// Ranking the replicas by what they have.
        Select = "select",
        /// `REPLICAOF NO ONE`, until the candidate says that it is primary.
        Promote = "promote",
        /// Publishing the new route.
        Publish = "publish",
        /// Pointing the other nodes at the new primary.
        Repoint = "repoint",
    }

    /// How one `REPLICAOF host port` ended.
    Repointed("outcome") {
        /// The node took it.
        Done = "done",
        /// The node answered an error.
        Refused = "refused",
        /// No answer in time.
        Unknown = "unknown",
    }

    /// The kinds of hint that the data path gives the control plane.
    SignalLabel("kind") {
        /// A connection was lost.
        Lost = "lost",
        /// A connection could not be made.
        Unreachable = "unreachable",
        /// A node proved that it is not serving as primary.
        NotPrimary = "not_primary",
    }
}

impl From<SignalKind> for SignalLabel {
    fn from(kind: SignalKind) -> Self {
        match kind {
            SignalKind::Lost => Self::Lost,
            SignalKind::Unreachable => Self::Unreachable,
            SignalKind::NotPrimary => Self::NotPrimary,
        }
    }
}

impl From<session::Proof> for Proof {
    fn from(proof: session::Proof) -> Self {
        match proof {
            session::Proof::Readonly => Self::ReadOnly,
            session::Proof::MasterDown => Self::MasterDown,
            session::Proof::Loading => Self::Loading,
            session::Proof::Redirect => Self::Redirect,
            session::Proof::Unblocked => Self::Unblocked,
            session::Proof::NoReplicas => Self::NoReplicas,
        }
    }
}

impl From<session::End> for Closed {
    fn from(end: session::End) -> Self {
        match end {
            session::End::Client => Self::Client,
            session::End::Protocol => Self::ProtocolError,
            session::End::SlowReader => Self::SlowReader,
            session::End::ReplyCut | session::End::Tunnel => Self::Unrestorable,
        }
    }
}

impl From<session::Family> for Family {
    fn from(family: session::Family) -> Self {
        match family {
            session::Family::Read => Self::Read,
            session::Family::Write => Self::Write,
            session::Family::Script => Self::Script,
            session::Family::Blocking => Self::Blocking,
            session::Family::Transaction => Self::Transaction,
            session::Family::Connection => Self::Connection,
        }
    }
}
