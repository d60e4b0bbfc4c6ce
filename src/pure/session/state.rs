//! What a node remembers about a connection, kept so that another node can be told.
//!
//! It is *state*, never a log of commands: whatever a session did, restoring it costs one
//! short burst. A change counts when the node has confirmed it, in the order of replies.
//!
//! Source: `struct client` and `clearClientConnectionState` of the servers.

use super::subscription::Subscriptions;
use super::tracking::Tracking;
use super::transaction::Transaction;
use crate::pure::resp::write::Proto;
use secrecy::{ExposeSecret, SecretSlice};

/// What `CLIENT REPLY` has set. Segue swallows replies itself: the node always answers, so
/// that the framing cannot slip and a lost write is known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum ReplyMode {
    #[default]
    On,
    Off,
    /// The reply of the next command is left out.
    SkipNext,
}

/// Who the session is; the password only to be told to the next primary.
#[derive(Clone, Debug)]
pub(super) struct Login {
    /// `None` for the one-argument `AUTH`.
    pub(super) user: Option<Box<[u8]>>,
    password: SecretSlice<u8>,
}

impl Login {
    pub(super) fn new(user: Option<&[u8]>, password: &[u8]) -> Self {
        Self { user: user.map(Into::into), password: password.to_vec().into() }
    }

    pub(super) fn password(&self) -> &[u8] {
        self.password.expose_secret()
    }
}

/// A change of state, applied when the node confirms it.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Auth(Login),
    Hello {
        proto: Option<Proto>,
        login: Option<Login>,
        name: Option<Box<[u8]>>,
    },
    Select(Box<[u8]>),
    Reset,
    SetName(Box<[u8]>),
    LibName(Box<[u8]>),
    LibVersion(Box<[u8]>),
    NoEvict(bool),
    NoTouch(bool),
    Capa(Box<[u8]>),
    ImportSource(bool),
    /// `READONLY` (true) or `READWRITE`.
    Readonly(bool),
    Tracking(Tracking),
    TrackingOff,
    Reply(ReplyMode),
    Monitor,
    Caching(bool),
    Watch,
    Unwatch,
    Multi,
    Discard,
}

impl Change {
    /// Who the session says that it is.
    #[allow(clippy::wildcard_enum_match_arm, reason = "only these two name a user")]
    pub(super) const fn login(&self) -> Option<&Login> {
        match self {
            Self::Auth(login) => Some(login),
            Self::Hello { login, .. } => login.as_ref(),
            _ => None,
        }
    }
}

/// What most sessions never use, on the heap so that it costs them one pointer.
#[derive(Debug, Default)]
pub(super) struct Rare {
    pub(super) lib_name: Option<Box<[u8]>>,
    pub(super) lib_version: Option<Box<[u8]>>,
    pub(super) no_evict: bool,
    pub(super) no_touch: bool,
    pub(super) import_source: bool,
    pub(super) readonly: bool,
    pub(super) capa: Vec<Box<[u8]>>,
    pub(super) tracking: Option<Tracking>,
    pub(super) subscriptions: Subscriptions,
    pub(super) monitor: bool,
    /// `CLIENT CACHING`, which speaks of the next command only.
    pub(super) caching: Option<bool>,
    /// Keys are watched on the connection that is up.
    pub(super) watching: bool,
    /// Keys were watched on a connection that was lost: the next `EXEC` answers null.
    pub(super) watch_broken: bool,
    pub(super) transaction: Option<Transaction>,
}

/// The state of one session.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) proto: Proto,
    pub(super) reply: ReplyMode,
    pub(super) login: Option<Login>,
    pub(super) name: Option<Box<[u8]>>,
    /// Decimal digits, as the client wrote them.
    pub(super) db: Option<Box<[u8]>>,
    rare: Option<Box<Rare>>,
}

impl State {
    /// The state of a connection that is nothing but this.
    pub(super) fn of(proto: Proto, login: Option<Login>, db: Option<Box<[u8]>>) -> Self {
        Self { proto, login, db, ..Self::default() }
    }

    pub(super) fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// What is rare, for changing, if there is any.
    pub(super) fn rare_if_any(&mut self) -> Option<&mut Rare> {
        self.rare.as_deref_mut()
    }

    /// The open transaction.
    pub(super) fn transaction(&self) -> Option<&Transaction> {
        self.rare()?.transaction.as_ref()
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.transaction().is_some()
    }

    pub(super) fn is_watch_broken(&self) -> bool {
        self.rare().is_some_and(|it| it.watch_broken)
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.rare().is_some_and(|it| !it.subscriptions.is_empty())
    }

    pub(super) fn is_monitor(&self) -> bool {
        self.rare().is_some_and(|it| it.monitor)
    }

    pub(super) fn is_tracking(&self) -> bool {
        self.rare().is_some_and(|it| it.tracking.is_some())
    }

    /// Whether the node sends something that was not asked for, or needs the connection to be
    /// there: then it is restored at once, not with the next command.
    pub(super) fn is_listening(&self) -> bool {
        self.is_subscribed() || self.is_monitor() || self.is_tracking()
    }

    /// Whether every reply goes to the client as it is, whatever it says: nothing is queued,
    /// left out, or mixed with messages.
    pub(super) fn is_plain(&self) -> bool {
        self.reply == ReplyMode::On
            && self.rare().is_none_or(|it| {
                it.transaction.is_none()
                    && !it.monitor
                    && it.subscriptions.is_empty()
                    && it.caching.is_none()
            })
    }

    /// Applies what the node has confirmed.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Auth(login) => self.login = Some(login),
            Change::Hello { proto, login, name } => {
                self.proto = proto.unwrap_or(self.proto);
                self.login = login.or(self.login.take());
                if let Some(name) = name {
                    self.apply(Change::SetName(name));
                }
            }
            Change::Select(db) => self.db = (*db != *b"0").then_some(db),
            Change::Reset => self.reset(),
            Change::SetName(name) => self.name = (!name.is_empty()).then_some(name),
            Change::LibName(it) => self.rare_mut().lib_name = Some(it),
            Change::LibVersion(it) => self.rare_mut().lib_version = Some(it),
            Change::NoEvict(on) => self.rare_mut().no_evict = on,
            Change::NoTouch(on) => self.rare_mut().no_touch = on,
            Change::ImportSource(on) => self.rare_mut().import_source = on,
            Change::Readonly(on) => self.rare_mut().readonly = on,
            Change::Capa(capa) => {
                let all = &mut self.rare_mut().capa;
                if !all.contains(&capa) {
                    all.push(capa);
                }
            }
            Change::Tracking(it) => Tracking::merge(&mut self.rare_mut().tracking, it),
            Change::TrackingOff => self.rare_mut().tracking = None,
            // While replies are off, leaving one out changes nothing.
            Change::Reply(ReplyMode::SkipNext) if self.reply == ReplyMode::Off => {}
            Change::Reply(mode) => self.reply = mode,
            Change::Monitor => self.rare_mut().monitor = true,
            Change::Caching(yes) => self.rare_mut().caching = Some(yes),
            Change::Watch => self.rare_mut().watching = true,
            Change::Unwatch => self.forget_watch(),
            Change::Multi => self.rare_mut().transaction = Some(Transaction::default()),
            Change::Discard => {
                self.rare_mut().transaction = None;
                self.rare_mut().caching = None;
                self.forget_watch();
            }
        }
    }

    /// `UNWATCH`, and what `EXEC` and `DISCARD` do by the way.
    pub(super) fn forget_watch(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.watching = false;
            rare.watch_broken = false;
        }
    }

    /// The connection is gone, and with it everything that it watched.
    pub(super) fn break_watch(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.watch_broken |= rare.watching;
            rare.watching = false;
        }
    }

    /// `RESET`: everything but the library's name and version. `NO-EVICT` survives on Redis 7.0
    /// and does not on later servers; forgetting it is the later behaviour.
    fn reset(&mut self) {
        let kept = self.rare.take().map(|it| {
            let Rare { lib_name, lib_version, capa, .. } = *it;
            Box::new(Rare { lib_name, lib_version, capa, ..Rare::default() })
        });
        *self = Self { rare: kept, ..Self::default() };
    }
}
