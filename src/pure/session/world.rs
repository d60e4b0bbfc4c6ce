//! What the sessions of one worker share: route, command table, policy, limits, scripts, counts.

use super::guard::Withheld;
use super::identity::Directory;
use super::listeners::Listeners;
use super::rounds::Rounds;
use super::script::Scripts;
use super::{Tally, Timing};
use crate::pure::command::{Allow, Recent, Table};
use crate::pure::resp::request;
use crate::pure::topology::{Epoch, Gate, Route};
use std::sync::Arc;
use std::time::Duration;

/// What to do with a write whose outcome nobody knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UncertainWrites {
    /// Answer `-UNCERTAIN`, never send it again.
    Refuse,
    /// Send it again: at least once.
    Replay,
}

/// What to do with a write that a primary refused because too few replicas follow it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoReplicas {
    /// The client gets the server's own error.
    Return,
    /// It is tried again, for as long as a command may wait.
    Hold,
}

/// What the operator decided.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long a command may wait for a primary.
    pub hold_timeout: Duration,
    /// `sessions.uncertain_writes`.
    pub uncertain_writes: UncertainWrites,
    /// `sessions.upstream: shared`.
    pub shares: bool,
    /// `sessions.allow`.
    pub allow: Vec<Allow>,
    /// After a gap, subscribers get a message on this channel.
    pub gap_channel: Option<Box<[u8]>>,
    /// After a switchover, others wait for subscribers, but not longer.
    pub subscribers_first: Duration,
    /// `sessions.noreplicas`.
    pub noreplicas: NoReplicas,
}

/// Bounds of one session.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of requests sent or held, and not answered; reading stops there.
    pub in_flight_bytes_max: usize,
    /// Requests sent or held, and not answered; reading stops there.
    pub in_flight_max: usize,
    /// An unfinished request beyond this is streamed, not kept.
    pub query_buffer_max: usize,
    /// A reply up to this size reaches the client whole or not at all; a larger one as it comes.
    pub reply_whole_max: usize,
    /// Bytes on their way to a client that does not read; reading from the node stops there.
    pub out_max: usize,
    /// The server's limits on requests.
    pub request: request::Limits,
}

#[cfg(test)]
impl Policy {
    /// What tests begin with.
    pub(crate) const PLAIN: Self = Self {
        hold_timeout: Duration::from_secs(10),
        uncertain_writes: UncertainWrites::Refuse,
        shares: false,
        allow: Vec::new(),
        gap_channel: None,
        subscribers_first: Duration::from_millis(50),
        noreplicas: NoReplicas::Return,
    };
}

#[cfg(test)]
impl Limits {
    /// Likewise.
    pub(crate) const PLAIN: Self = Self {
        in_flight_bytes_max: 1 << 20,
        in_flight_max: 1_024,
        query_buffer_max: 1 << 20,
        reply_whole_max: 1 << 20,
        out_max: 1 << 20,
        request: request::Limits::DEFAULT,
    };
}

/// Bytes that all sessions of a worker keep, in flight and held (`hold.max_bytes`).
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Kept now.
    pub used: usize,
    /// Beyond this, new commands are refused while nobody is primary.
    pub max: usize,
}

/// Commands that wait, and their bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Held {
    /// How many.
    pub commands: usize,
    /// How many bytes.
    pub bytes: usize,
}

/// Sessions, and how many of them have nothing in flight in the route in force.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Drain {
    /// All that were ever asked and are not over.
    pub sessions: usize,
    /// Those that have nothing in flight.
    pub drained: usize,
}

/// Shared by the sessions of one worker.
#[derive(Debug)]
pub struct World {
    /// The route that this worker obeys.
    pub route: Route,
    /// The commands, builtin and learnt.
    pub(super) table: Arc<Table>,
    pub(super) recent: Recent,
    /// The operator's decisions.
    pub policy: Policy,
    /// Bounds of each session.
    pub limits: Limits,
    /// The worker's share of `hold.max_bytes`.
    pub budget: Budget,
    /// Counts, taken by the shell.
    pub tally: Tally,
    /// Requests that are on their way to the node or back.
    pub in_flight: usize,
    /// Commands that wait for a primary at this moment.
    pub held: Held,
    /// Who has nothing in flight.
    pub drain: Drain,
    pub(super) listeners: Listeners,
    /// A switchover has closed the gate for good, and its heir is not there yet: a moment.
    pub(super) awaits_heir: bool,
    /// What guarded listeners promise, each with its rounds.
    pub rounds: Vec<Rounds>,
    /// Replies that wait to be confirmed.
    pub withheld: Withheld,
    /// How long those waited that went on or were answered since this was last taken.
    pub hold_ended: Vec<Duration>,
    /// How long requests took that were answered since this was last taken.
    pub timings: Vec<Timing>,
    pub(super) scripts: Scripts,
    pub(super) directory: Directory,
    /// The first epoch that was ever open: cursors given out in it carry no tag.
    pub(super) first_epoch: Option<Epoch>,
}

impl World {
    /// A world in which nothing is known yet.
    pub fn new(table: Arc<Table>, policy: Policy, limits: Limits, budget_max: usize) -> Self {
        Self {
            route: Route::START,
            table,
            recent: Recent::default(),
            policy,
            limits,
            budget: Budget { used: 0, max: budget_max },
            tally: Tally::default(),
            in_flight: 0,
            held: Held::default(),
            drain: Drain::default(),
            listeners: Listeners::default(),
            awaits_heir: false,
            rounds: Vec::new(),
            withheld: Withheld::default(),
            hold_ended: Vec::new(),
            timings: Vec::new(),
            scripts: Scripts::default(),
            directory: Directory::default(),
            first_epoch: None,
        }
    }

    /// More commands are known from now on.
    pub fn set_table(&mut self, table: Arc<Table>) {
        self.table = table;
        self.recent = Recent::default();
    }

    /// Obeys a new route. The caller then tells every session.
    pub fn set_route(&mut self, route: Route) {
        if route.epoch != self.route.epoch {
            self.sever_rounds();
            self.listeners.begin(route.handed_over);
            self.awaits_heir = route.handed_over;
        }
        self.awaits_heir &= route.handed_over && route.primary().is_none();
        self.listeners.only_if(route.handed_over);
        self.route = route;
        // Each session says it again when it has seen this route.
        self.drain.drained = 0;
        if route.primary().is_some() && self.first_epoch.is_none() {
            self.first_epoch = Some(route.epoch);
        }
    }

    /// Whether a switchover waits for what is in flight, and there is nothing left.
    pub fn is_drained(&self) -> bool {
        self.route.gate == Gate::Draining && self.drain.drained == self.drain.sessions
    }
}
