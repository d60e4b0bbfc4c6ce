//! The modelled world around one session: the bytes between it, a client and three servers, the
//! clock, and everything that may go wrong. It obeys the session as the real shell does.

use super::client::Client;
use super::guard::{Confirmed, Round};
use super::node::{Node, Role};
use super::route::{count_requests, route};
use super::store::Store;
use crate::pure::command::Table;
use crate::pure::resp::reply;
use crate::pure::session::{
    End, GuardedReads, Key, Limits, Policy, Session, UncertainWrites, Wish, World,
};
use crate::pure::time::Time;
use crate::pure::topology::{Epoch, Route};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

static TABLE: LazyLock<Arc<Table>> = LazyLock::new(|| Arc::new(Table::builtin()));

/// How one run is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) limits: Limits,
    pub(super) budget_max: usize,
    pub(super) hold_timeout_ms: u64,
    pub(super) uncertain_writes: UncertainWrites,
    pub(super) shares: bool,
    /// Writes are guarded, and reads promised so much.
    pub(super) guarded: Option<GuardedReads>,
}

impl Setup {
    pub(super) const DEFAULT: Self = Self {
        limits: Limits::PLAIN,
        budget_max: 1 << 30,
        hold_timeout_ms: 1_000,
        uncertain_writes: UncertainWrites::Refuse,
        shares: false,
        guarded: None,
    };
}

/// The connection between the session and a node.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) node: usize,
    pub(super) conn: u64,
    pub(super) epoch: Epoch,
    /// Written by the session, not yet read by the node.
    pub(super) up: Vec<u8>,
    /// All that was ever written.
    pub(super) written: Vec<u8>,
    /// It is one that others share: whole requests and whole replies pass.
    pub(super) shared: bool,
    /// On a shared connection, the part of a reply that has arrived.
    pub(super) down: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Sim {
    pub(super) world: World,
    pub(super) session: Session,
    pub(super) now: Time,
    pub(super) nodes: Vec<Node>,
    pub(super) store: Store,
    pub(super) wire: Option<Wire>,
    pub(super) client: Client,
    /// Composed by the client, not yet read by the session.
    pub(super) composed: Vec<u8>,
    /// Which node is primary in truth.
    pub(super) primary: usize,
    /// Everything written on connections that are gone.
    pub(super) lost: Vec<Vec<u8>>,
    pub(super) proofs: usize,
    /// Which node the route of this epoch leads to.
    pub(super) routed: usize,
    /// Requests composed so far.
    pub(super) asked: usize,
    /// Whether, if all goes well, a transaction is open where the next request is composed.
    pub(super) plans_multi: bool,
    /// Likewise, whether only a few commands are allowed.
    pub(super) plans_subscribed: bool,
    /// Likewise, which mode `CLIENT REPLY` has set: 0 on, 1 off, 2 skip.
    pub(super) plans_silence: usize,
    pub(super) confirmed: Confirmed,
}

impl Sim {
    pub(super) fn new(setup: Setup) -> Self {
        let policy = Policy {
            hold_timeout: Duration::from_millis(setup.hold_timeout_ms),
            uncertain_writes: setup.uncertain_writes,
            shares: setup.shares,
            ..Policy::PLAIN
        };
        let mut world = World::new(Arc::clone(&TABLE), policy, setup.limits, setup.budget_max);
        let nodes = vec![
            Node::new(0, Role::Primary),
            Node::new(1, Role::Replica),
            Node::new(2, Role::Replica),
        ];
        world.set_route(route(1, 1, Some(0)));
        let session = Session::new(&world);
        let mut client = Client::default();
        client.told.user = "default".to_owned();
        client.cursor = "0".to_owned();
        let mut sim = Self {
            world,
            session,
            now: Time::from_millis(1_000),
            nodes,
            store: Store::default(),
            wire: None,
            client,
            composed: Vec::new(),
            primary: 0,
            lost: Vec::new(),
            proofs: 0,
            routed: 0,
            asked: 0,
            plans_multi: false,
            plans_subscribed: false,
            plans_silence: 0,
            confirmed: Confirmed::default(),
        };
        if let Some(reads) = setup.guarded {
            sim.guard(reads);
        }
        sim
    }

    /// The client asks for `args`; what names the request stands last, or second to last.
    pub(super) fn ask(&mut self, args: &[&str], token: &str) {
        let bytes = self.client.ask(args, token);
        self.composed.extend_from_slice(&bytes);
    }

    // What the shell does.

    pub(super) fn client_writes(&mut self, max: usize) -> bool {
        let n = self.composed.len().min(max);
        if n == 0 || self.session.end().is_some() || !self.session.wants_client(&self.world) {
            return false;
        }
        let bytes: Vec<u8> = self.composed.drain(..n).collect();
        self.session.on_client(&mut self.world, self.now, &bytes);
        self.reconcile();
        true
    }

    pub(super) fn client_reads(&mut self, max: usize) -> bool {
        let n = self.session.to_client().len().min(max);
        if n == 0 {
            return false;
        }
        let bytes = self.session.to_client()[..n].to_vec();
        self.session.delivered(n);
        self.client.hear(&bytes, self.lost.len());
        self.check_confirmed();
        true
    }

    pub(super) fn session_writes(&mut self, max: usize) -> bool {
        let all = self.session.to_node(&self.world);
        let Some(wire) = &mut self.wire else {
            assert!(all.is_empty(), "bytes for a link that is not there");
            return false;
        };
        let n = if wire.shared { all.len() } else { all.len().min(max) };
        if wire.shared && n > 0 {
            assert_eq!(count_requests(all), self.session.unsent_requests(), "whole requests");
        }
        if n == 0 {
            return false;
        }
        let primary = self.world.route.primary().expect("nothing is sent while the gate is held");
        assert_eq!(wire.epoch, self.world.route.epoch, "sent on a link of another epoch");
        assert_eq!(usize::from(primary.node.0), wire.node, "sent to another node");
        let bytes = self.session.to_node(&self.world)[..n].to_vec();
        wire.up.extend_from_slice(&bytes);
        wire.written.extend_from_slice(&bytes);
        self.session.sent(&mut self.world, self.now, n);
        self.reconcile();
        true
    }

    pub(super) fn node_reads(&mut self, max: usize) -> bool {
        let Some(wire) = &mut self.wire else { return false };
        let n = wire.up.len().min(max);
        if n == 0 {
            return false;
        }
        let bytes: Vec<u8> = wire.up.drain(..n).collect();
        let (node, conn) = (wire.node, wire.conn);
        self.nodes[node].hear(&mut self.store, self.now, conn, &bytes);
        true
    }

    pub(super) fn session_reads(&mut self, max: usize) -> bool {
        let Some(wire) = &self.wire else { return false };
        if !self.session.wants_node(&self.world) {
            return false;
        }
        let conn = self.nodes[wire.node].conns.get_mut(&wire.conn).expect("a connection");
        let n = conn.output.len().min(max);
        if n == 0 {
            let closed = conn.closed;
            if closed {
                self.lose(0);
            }
            return closed;
        }
        let bytes: Vec<u8> = conn.output.drain(..n).collect();
        if self.session.is_shared() {
            self.deal(&bytes);
        } else {
            self.session.on_node(&mut self.world, self.now, &bytes);
        }
        self.reconcile();
        true
    }

    /// Gives the session the replies of a shared connection that are whole.
    fn deal(&mut self, bytes: &[u8]) {
        let Some(wire) = &mut self.wire else { return };
        wire.down.extend_from_slice(bytes);
        while let Some(wire) = &mut self.wire
            && let reply::Scan::Frame { len } = reply::Scanner::new().scan(&wire.down)
        {
            let frame: Vec<u8> = wire.down.drain(..len).collect();
            if self.session.wants_drop() || !self.session.has_link() {
                break;
            }
            self.session.on_shared_reply(&mut self.world, self.now, &frame);
        }
        self.session.on_turn_end(&mut self.world, self.now);
    }

    pub(super) fn connect(&mut self, succeeds: bool) -> bool {
        if self.wire.is_some() || !self.session.wants_link(&self.world, self.now) {
            return false;
        }
        let wish = self.session.wish(&self.world, self.now);
        let primary = self.world.route.primary().expect("a primary to connect to");
        if succeeds {
            let node = usize::from(primary.node.0);
            let conn = self.nodes[node].connect();
            let wire = Wire {
                node,
                conn,
                epoch: self.world.route.epoch,
                up: Vec::new(),
                written: Vec::new(),
                shared: matches!(wish, Wish::Shared(_)),
                down: Vec::new(),
            };
            match wish {
                Wish::Nothing => panic!("wants a link, and wishes for none"),
                Wish::Own => {
                    self.wire = Some(wire);
                    self.session.on_link(&mut self.world, self.now);
                }
                Wish::Shared(key) if self.greet(&wire, &key) => {
                    self.wire = Some(wire);
                    self.session.on_shared_link(&mut self.world, self.now);
                }
                Wish::Shared(_) => self.session.on_shared_refused(&mut self.world, self.now),
            }
        } else {
            self.session.on_link_failed(&mut self.world, self.now);
        }
        self.reconcile();
        true
    }

    /// Makes a new connection one of `key`; whether the node agrees.
    fn greet(&mut self, wire: &Wire, key: &Key) -> bool {
        let (bytes, mut replies) = key.handshake();
        let node = &mut self.nodes[wire.node];
        node.hear(&mut self.store, self.now, wire.conn, &bytes);
        let conn = node.conns.get_mut(&wire.conn).expect("a connection");
        conn.heard.clear();
        let output = std::mem::take(&mut conn.output);
        let mut rest = output.as_slice();
        while let reply::Scan::Frame { len } = reply::Scanner::new().scan(rest) {
            if reply::error_text(&rest[..len]).is_some() {
                return false;
            }
            rest = &rest[len..];
            replies -= 1;
        }
        assert_eq!(replies, 0, "as many replies as were announced");
        true
    }

    /// The link is lost; the node still reads `ran` of the bytes on their way to it.
    pub(super) fn lose(&mut self, ran: usize) {
        if self.wire.is_none() {
            return;
        }
        self.cut(ran);
        self.session.on_link_lost(&mut self.world, self.now);
        self.reconcile();
    }

    fn cut(&mut self, ran: usize) {
        self.node_reads(ran);
        let Some(mut wire) = self.wire.take() else { return };
        self.nodes[wire.node].conns.remove(&wire.conn);
        if wire.shared && self.session.is_shared() {
            // The keeper of the connection knows what it did not write.
            let unwritten = wire.up.len();
            self.session.unsend(unwritten);
            wire.written.truncate(wire.written.len() - unwritten);
        }
        self.lost.push(wire.written);
    }

    /// Makes the socket follow the machine.
    pub(super) fn reconcile(&mut self) {
        self.proofs += usize::from(self.session.take_proof());
        if self.session.wants_drop() {
            assert!(self.wire.is_some(), "wants to drop what is not there");
            self.cut(usize::MAX);
            self.session.on_link_lost(&mut self.world, self.now);
        }
        if !self.session.has_link() && self.wire.is_some() {
            self.cut(usize::MAX);
        }
        assert_eq!(self.session.has_link(), self.wire.is_some(), "link and socket agree");
        self.assert_alive();
    }

    /// Whenever there is work, somebody will do something about it.
    fn assert_alive(&self) {
        if self.session.end().is_some() || !self.session.is_busy() {
            return;
        }
        let waits_at_node = self.wire.as_ref().is_some_and(|wire| {
            let conn = &self.nodes[wire.node].conns[&wire.conn];
            !wire.up.is_empty() || !conn.output.is_empty() || conn.blocked.is_some() || conn.closed
        });
        let alive = waits_at_node
            || self.awaits_round()
            || !self.session.to_node(&self.world).is_empty()
            || !self.session.to_client().is_empty()
            || self.session.wants_link(&self.world, self.now)
            || self.session.deadline(&self.world).is_some()
            || self.world.route.primary().is_none()
            || self.wire.is_some() && !self.composed.is_empty();
        assert!(alive, "work that nobody will do: {:#?}", self.session);
    }

    // What happens around it.

    pub(super) fn set_route(&mut self, primary: Option<usize>, next_epoch: bool) {
        let Route { version, epoch, .. } = self.world.route;
        let epoch = if next_epoch { epoch.0 + 1 } else { epoch.0 };
        self.routed = primary.unwrap_or(self.routed);
        if next_epoch {
            self.sever_round();
        }
        self.world.set_route(route(version + 1, epoch, primary));
        self.session.on_route(&mut self.world, self.now);
        self.reconcile();
    }

    /// Which node the route led to last.
    pub(super) fn hold(&mut self) {
        self.set_route(None, false);
    }

    /// Another node takes over. `late`: what is on its way still runs on the old one.
    pub(super) fn fail_over(&mut self, to: usize, late: bool) {
        if late {
            self.node_reads(usize::MAX);
        }
        self.swap(to);
        self.set_route(Some(to), true);
    }

    /// Roles change and nobody tells Segue.
    pub(super) fn swap(&mut self, to: usize) {
        self.primary = to;
        for node in &mut self.nodes {
            let role = if node.index == to { Role::Primary } else { Role::Replica };
            node.become_role(role);
        }
    }

    pub(super) fn wait(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        for node in &mut self.nodes {
            node.wake(&mut self.store, self.now);
        }
        for round in 0.. {
            assert!(round < 8, "a deadline that does not go away: {:#?}", self.session);
            match self.session.deadline(&self.world) {
                Some(at) if at <= self.now && self.session.end().is_none() => {
                    self.session.on_deadline(&mut self.world, self.now);
                    self.reconcile();
                    if self.session.wants_link(&self.world, self.now) {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// Somebody else pushes to a list.
    pub(super) fn push(&mut self, key: &str) {
        let value = format!("pushed{}", self.store.tick());
        let list = self.store.lists.entry(key.into()).or_default();
        list.push_back(value.into());
        self.store.touch(key.as_bytes());
        let primary = &mut self.nodes[self.primary];
        primary.serve_blocked(&mut self.store, key.as_bytes());
        primary.wake(&mut self.store, self.now);
    }

    /// One round in which everything moves that can.
    pub(super) fn turn(&mut self) -> bool {
        let all = usize::MAX;
        self.client_writes(all)
            | self.connect(true)
            | self.session_writes(all)
            | self.node_reads(all)
            | self.session_reads(all)
            | self.round(Round::Confirms)
            | self.round(Round::Begins)
            | self.client_reads(all)
    }

    /// Runs until nothing moves.
    pub(super) fn run(&mut self) {
        for _ in 0..10_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("never settles: {:#?}", self.session);
    }

    /// Lets what was asked for last be answered.
    pub(super) fn heal_quietly(&mut self) {
        for _ in 0..50 {
            self.run();
            if self.client.waiting.is_empty() {
                return;
            }
            self.wait(50);
        }
        panic!("not answered: {:?} {:#?}", self.client.waiting, self.session);
    }

    /// Lets everything heal, and requires that every request is answered.
    pub(super) fn heal(&mut self) {
        for node in &mut self.nodes {
            node.locked = false;
        }
        let primary = self.primary;
        self.swap(primary);
        self.set_route(Some(primary), true);
        for _ in 0..200 {
            self.run();
            self.client.skip_silent();
            let done = self.client.waiting.is_empty() && self.composed.is_empty();
            if self.session.end().is_some() || done && !self.session.is_busy() {
                return;
            }
            for key in ["l0", "l1"] {
                self.push(key);
            }
            self.wait(50);
        }
        panic!("not everything was answered: {:?} {:#?}", self.client.waiting, self.session);
    }

    pub(super) const fn end(&self) -> Option<End> {
        self.session.end()
    }

    /// The session's connection, as its node sees it.
    pub(super) fn conn(&self) -> &super::node::Conn {
        let wire = self.wire.as_ref().expect("a link");
        &self.nodes[wire.node].conns[&wire.conn]
    }
}
