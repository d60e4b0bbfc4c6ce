//! What Segue knows about a command before it forwards it: may it be sent twice, and
//! does a session have to remember it.
//!
//! [`Table`] answers with a [`Class`] for a name and subcommand. It is built from
//! `commands.txt` (what redis-server 7.0 and valkey-server 9.1 say of themselves), from
//! the judgements in `classify`, and from what a primary says of its modules.
//!
//! # Invariants
//!
//! * Total: every name has a class. An unknown command is a write.
//! * Nothing that a node says makes a write of the built-in table a read.
//!
//! # Deliberately absent
//!
//! Keys, and arguments beyond the subcommand: Segue does not route by key, and a class
//! that depended on arguments would have to be computed where they may not have arrived.
//! So `ACL LOG`, which may also reset the log, is a write.

mod block;
mod classify;
mod learn;
mod recent;
mod table;
#[cfg(test)]
mod table_test;

pub use block::{BlockArg, Wait};
pub use learn::{Learnt, parse};
pub use recent::Recent;
pub use table::Table;

/// What happens if a command runs twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Nothing: it may be sent again.
    Read,
    /// It may have changed data or the server: never sent again once it might have run.
    Write,
    /// It changes the state of its own connection, which dies with that connection.
    Connection,
}

/// Commands that would turn the group against itself, by the word under
/// `sessions.allow` that lets them pass.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Allow {
    Replicaof,
    Failover,
    Shutdown,
    Sync,
    Debug,
    Cluster,
}

impl Allow {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Replicaof, Self::Failover, Self::Shutdown, Self::Sync, Self::Debug, Self::Cluster];

    /// The word under `sessions.allow`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Replicaof => "replicaof",
            Self::Failover => "failover",
            Self::Shutdown => "shutdown",
            Self::Sync => "sync",
            Self::Debug => "debug",
            Self::Cluster => "cluster",
        }
    }
}

/// Commands that a session treats in a way of their own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Special {
    None,
    Auth,
    Hello,
    Select,
    Reset,
    Quit,
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    Subscribe,
    Psubscribe,
    Ssubscribe,
    Unsubscribe,
    Punsubscribe,
    Sunsubscribe,
    Monitor,
    Asking,
    Readonly,
    Readwrite,
    ClientSetname,
    ClientSetinfo,
    ClientReply,
    ClientTracking,
    ClientCaching,
    ClientNoEvict,
    ClientNoTouch,
    ClientCapa,
    ClientImportSource,
    ClientId,
    ClientInfo,
    ClientList,
    ClientKill,
    ClientUnblock,
    ClientGetredir,
    ClientTrackinginfo,
    ClientPause,
    ClientUnpause,
    ClientGetname,
    /// `EVAL` and `EVAL_RO`, which is a read.
    Eval,
    /// `EVALSHA` and `EVALSHA_RO`, which is a read.
    EvalSha,
    ScriptLoad,
    ScriptFlush,
    ScriptExists,
    ScriptDebug,
    /// `FCALL` and `FCALL_RO`, which is a read.
    Fcall,
    Scan,
    Hscan,
    Sscan,
    Zscan,
    Wait,
    Waitaof,
    /// Waits for data; says where its timeout stands.
    Blocking(BlockArg),
    /// Refused unless the configuration allows it.
    Refused(Allow),
}

/// What is known about a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Class {
    /// What happens if it runs twice.
    pub effect: Effect,
    /// Whether a session treats it in a way of its own.
    pub special: Special,
    /// It may wait for a while before it answers. `XREAD` only does if an argument says so.
    pub is_blocking: bool,
    /// It may be sent before the client has authenticated.
    pub no_auth: bool,
    /// At least one of the servers refuses it inside `MULTI`.
    pub no_multi: bool,
    /// It stands in a table. Nobody knows what another one does to its connection.
    pub is_known: bool,
}

impl Class {
    /// What is assumed of a command that nobody knows.
    pub const UNKNOWN: Self = Self {
        effect: Effect::Write,
        special: Special::None,
        is_blocking: false,
        no_auth: false,
        no_multi: false,
        is_known: false,
    };

    /// Whether it leaves its connection as it was and answers at once with one reply, so that
    /// many sessions can use the connection. Not so scripts: what they raise may have to be asked
    /// about.
    pub const fn is_shareable(self) -> bool {
        self.is_known
            && !self.is_blocking
            && matches!(
                self.special,
                Special::None
                    | Special::ScriptLoad
                    | Special::ScriptExists
                    | Special::Scan
                    | Special::Hscan
                    | Special::Sscan
                    | Special::Zscan
            )
    }

    /// Whether it may be sent again although it may have run.
    pub const fn is_read(self) -> bool {
        matches!(self.effect, Effect::Read)
    }

    /// Where its timeout stands, if it waits.
    pub const fn block_arg(self) -> Option<BlockArg> {
        if let Special::Blocking(arg) = self.special {
            return Some(arg);
        }
        let is_wait = matches!(self.special, Special::Wait | Special::Waitaof);
        if is_wait { Some(BlockArg::LastMillis) } else { None }
    }
}
