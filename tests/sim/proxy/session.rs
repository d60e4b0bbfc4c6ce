//! Sessions: the real session machine, moved by events as `proxy::session` moves it by sockets.
//!
//! What was written stays under way when its connection is closed, and is still executed if it
//! arrives: closing a socket takes nothing back.

use crate::network::End;
use crate::node::serve::Memory;
use crate::sim::{Event, Sim};
use crate::swarm::{MS, SECOND, Us};
use segue::pure::session::{Session, Verdict};
use segue::pure::topology::{Epoch, Signal, SignalKind};
use std::collections::{BTreeMap, VecDeque};

/// How long a connection may take to be made.
const DIAL_MAX: Us = SECOND;
/// How long sent bytes may stay unacknowledged (`TCP_USER_TIMEOUT`).
const UNACKED_MAX: Us = 3 * SECOND;
const RESEND_EVERY: Us = 200 * MS;
/// How soon a node that stood still is found to go on.
const STOPPED_LOOK_EVERY: Us = 50 * MS;
/// How soon a paused node is found to be paused no longer.
const PAUSED_LOOK_EVERY: Us = 5 * MS;

/// One client's session.
pub(crate) struct Sess {
    pub(crate) proxy: usize,
    pub(crate) worker: usize,
    pub(crate) client: usize,
    pub(crate) machine: Session,
    pub(crate) is_closed: bool,
    up: Option<u64>,
    dialing: Option<(u64, Epoch, usize)>,
    conns: BTreeMap<u64, Conn>,
    due: u64,
}

/// A TCP connection to a node, and what is under way on it.
#[derive(Debug)]
struct Conn {
    epoch: Epoch,
    node: usize,
    run: u64,
    /// What the node remembers of it.
    memory: Memory,
    to_node: VecDeque<Vec<u8>>,
    to_proxy: VecDeque<Vec<u8>>,
    node_at: Us,
    proxy_at: Us,
    blocked_from: Option<Us>,
    /// A pause holds up the first request: when to look again, and how many came behind it.
    paused: Option<(Us, u64)>,
}

impl Sim {
    /// A client connects; which worker it gets is the acceptor's choice.
    pub(crate) fn open_session(&mut self, client: usize, proxy: usize) -> usize {
        let worker = client % self.swarm.workers;
        let world = &self.proxies[proxy].workers[worker].world;
        let mut machine = Session::new(world);
        machine.guard(world, self.sessions.len() as u64, 0);
        self.sessions.push(Sess {
            proxy,
            worker,
            client,
            machine,
            is_closed: false,
            up: None,
            dialing: None,
            conns: BTreeMap::new(),
            due: 0,
        });
        self.sessions.len() - 1
    }

    pub(crate) fn session_hears(&mut self, s: usize, input: &[u8]) {
        let time = self.time();
        let Sess { proxy, worker, machine, .. } = &mut self.sessions[s];
        let (proxy, worker) = (*proxy, *worker);
        let world = &mut self.proxies[proxy].workers[worker].world;
        let before = world.budget.used;
        machine.on_client(world, time, input);
        self.check_held(proxy, worker, before, requests(input).len());
        self.move_session(s);
    }

    pub(crate) fn session_sees_route(&mut self, s: usize) {
        let time = self.time();
        let Sess { proxy, worker, machine, .. } = &mut self.sessions[s];
        machine.on_route(&mut self.proxies[*proxy].workers[*worker].world, time);
        self.move_session(s);
    }

    /// A round of guarded writes that speaks for this session is over.
    pub(crate) fn session_round(&mut self, s: usize, round: u64, verdict: Verdict) {
        let Sess { proxy, worker, machine, is_closed, .. } = &mut self.sessions[s];
        if *is_closed {
            return;
        }
        machine.on_round(&mut self.proxies[*proxy].workers[*worker].world, round, verdict);
        self.move_session(s);
    }

    pub(crate) fn session_due(&mut self, s: usize, serial: u64) {
        if self.sessions[s].due != serial || self.sessions[s].is_closed {
            return;
        }
        let time = self.time();
        let Sess { proxy, worker, machine, .. } = &mut self.sessions[s];
        machine.on_deadline(&mut self.proxies[*proxy].workers[*worker].world, time);
        self.move_session(s);
    }

    /// Does what the machine wants, until it wants nothing.
    fn move_session(&mut self, s: usize) {
        let time = self.time();
        if self.sessions[s].machine.take_proof() {
            self.signal(s, SignalKind::NotPrimary);
        }
        let (proxy, worker) = (self.sessions[s].proxy, self.sessions[s].worker);
        let world = &mut self.proxies[proxy].workers[worker].world;
        let it = &mut self.sessions[s];
        if it.machine.wants_drop() {
            it.up = None;
            it.machine.on_link_lost(world, time);
        }
        if !it.machine.has_link() {
            it.up = None;
        }
        if it.machine.wants_link(world, time) && it.up.is_none() && it.dialing.is_none() {
            self.dial(s);
        }
        self.write_node(s);
        let it = &mut self.sessions[s];
        let output = it.machine.to_client().to_vec();
        it.machine.delivered(output.len());
        let world = &mut self.proxies[proxy].workers[worker].world;
        let deadline = it.machine.deadline(world);
        if it.machine.end().is_some() && !it.is_closed {
            it.is_closed = true;
            it.machine.close(world);
        }
        if let Some(deadline) = deadline {
            let serial = self.serial();
            self.sessions[s].due = serial;
            let at = super::micros(deadline.since_start()) + 1;
            self.at(at, Event::SessionDue { session: s, serial });
        }
        if !output.is_empty() {
            self.client_hears(s, &output);
        }
        self.look_whether_drained(proxy, worker);
        self.keeper_moves(proxy, worker);
    }

    fn write_node(&mut self, s: usize) {
        let (proxy, worker) = (self.sessions[s].proxy, self.sessions[s].worker);
        let Some(serial) = self.sessions[s].up else { return };
        let world = &self.proxies[proxy].workers[worker].world;
        let bytes = self.sessions[s].machine.to_node(world).to_vec();
        if bytes.is_empty() {
            return;
        }
        let (time, wait) = (self.time(), self.delay());
        let world = &mut self.proxies[proxy].workers[worker].world;
        let it = &mut self.sessions[s];
        it.machine.sent(world, time, bytes.len());
        let Some(conn) = it.conns.get_mut(&serial) else { return };
        conn.node_at = conn.node_at.max(self.now + wait);
        let (at, epoch, node) = (conn.node_at, conn.epoch, conn.node);
        let requests = requests(&bytes);
        self.check_sent(proxy, worker, epoch, node);
        for request in requests {
            self.at(at, Event::FlowsToNode { session: s, serial });
            if let Some(conn) = self.sessions[s].conns.get_mut(&serial) {
                conn.to_node.push_back(request);
            }
        }
    }

    fn dial(&mut self, s: usize) {
        let (proxy, worker) = (self.sessions[s].proxy, self.sessions[s].worker);
        let route = self.proxies[proxy].workers[worker].world.route;
        let Some(primary) = route.primary() else { return };
        let node = usize::from(primary.node.0);
        let serial = self.serial();
        self.sessions[s].dialing = Some((serial, route.epoch, node));
        let wait = if self.is_in_reach(proxy, node) { self.delay() } else { DIAL_MAX };
        self.after(wait, Event::Dialed { session: s, serial });
    }

    pub(crate) fn is_in_reach(&self, proxy: usize, node: usize) -> bool {
        self.nodes[node].host_up
            && self.network.passes(End::Proxy(proxy), End::Node(node))
            && self.network.passes(End::Node(node), End::Proxy(proxy))
    }

    pub(crate) fn dialed(&mut self, s: usize, serial: u64) {
        let Some((wanted, epoch, node)) = self.sessions[s].dialing else { return };
        if wanted != serial || self.sessions[s].is_closed {
            return;
        }
        let (proxy, worker, time) = (self.sessions[s].proxy, self.sessions[s].worker, self.time());
        self.sessions[s].dialing = None;
        let run = self.nodes[node].process.as_ref().map(|it| it.run);
        let run = run.filter(|_| self.is_in_reach(proxy, node));
        let world = &mut self.proxies[proxy].workers[worker].world;
        let it = &mut self.sessions[s];
        match run {
            Some(run) if world.route.epoch == epoch => {
                it.up = Some(serial);
                it.conns.insert(
                    serial,
                    Conn {
                        epoch,
                        node,
                        run,
                        memory: Memory::new(serial),
                        to_node: VecDeque::new(),
                        to_proxy: VecDeque::new(),
                        node_at: 0,
                        proxy_at: 0,
                        blocked_from: None,
                        paused: None,
                    },
                );
                it.machine.on_link(world, time);
            }
            Some(_) | None => {
                it.machine.on_link_failed(world, time);
                self.signal(s, SignalKind::Unreachable);
            }
        }
        self.move_session(s);
    }

    pub(crate) fn flows_to_node(&mut self, s: usize, serial: u64) {
        let (now, proxy) = (self.now, self.sessions[s].proxy);
        let Some(conn) = self.sessions[s].conns.get(&serial) else { return };
        let (node, run) = (conn.node, conn.run);
        if self.waits_for_pause(s, serial) {
            return;
        }
        if !self.network.passes(End::Proxy(proxy), End::Node(node)) || !self.nodes[node].host_up {
            return self.flow_is_blocked(s, serial, Event::FlowsToNode { session: s, serial });
        }
        if self.nodes[node].process.as_ref().is_none_or(|it| it.run != run) {
            let wait = self.delay();
            return self.after(wait, Event::ConnectionEnds { session: s, serial });
        }
        if self.nodes[node].stopped_until > now {
            // It may go on sooner, when everything heals.
            let until = self.nodes[node].stopped_until.min(now + STOPPED_LOOK_EVERY);
            return self.at(until, Event::FlowsToNode { session: s, serial });
        }
        let Some(conn) = self.sessions[s].conns.get_mut(&serial) else { return };
        conn.blocked_from = None;
        let behind = conn.paused.take().map_or(0, |it| it.1);
        let Some(request) = conn.to_node.pop_front() else { return };
        let mut memory = std::mem::take(&mut conn.memory);
        let reply = self.serve(node, &request, &mut memory);
        let wait = self.delay();
        let Some(conn) = self.sessions[s].conns.get_mut(&serial) else { return };
        conn.memory = memory;
        let Some(reply) = reply.map(String::into_bytes) else {
            conn.to_node.push_front(request);
            conn.paused = Some((now + PAUSED_LOOK_EVERY, behind));
            return self.after(PAUSED_LOOK_EVERY, Event::FlowsToNode { session: s, serial });
        };
        for _ in 0..behind {
            self.after(1, Event::FlowsToNode { session: s, serial });
        }
        let Some(conn) = self.sessions[s].conns.get_mut(&serial) else { return };
        conn.proxy_at = conn.proxy_at.max(now + wait);
        conn.to_proxy.push_back(reply);
        let at = conn.proxy_at;
        self.at(at, Event::FlowsToProxy { session: s, serial });
    }

    /// Whether a paused node has the first request, so that the others wait behind it.
    fn waits_for_pause(&mut self, s: usize, serial: u64) -> bool {
        let now = self.now;
        let conn = self.sessions[s].conns.get_mut(&serial);
        let Some((look_at, behind)) = conn.and_then(|it| it.paused.as_mut()) else { return false };
        let waits = now < *look_at;
        *behind += u64::from(waits);
        waits
    }

    /// Bytes under way cannot pass; they are sent again until the connection is given up.
    fn flow_is_blocked(&mut self, s: usize, serial: u64, again: Event) {
        let now = self.now;
        let Some(conn) = self.sessions[s].conns.get_mut(&serial) else { return };
        let from = *conn.blocked_from.get_or_insert(now);
        if now < from + UNACKED_MAX {
            return self.after(RESEND_EVERY, again);
        }
        self.end_connection(s, serial);
    }

    pub(crate) fn flows_to_proxy(&mut self, s: usize, serial: u64) {
        let (time, proxy, worker) = (self.time(), self.sessions[s].proxy, self.sessions[s].worker);
        let Some(conn) = self.sessions[s].conns.get(&serial) else { return };
        let (node, epoch) = (conn.node, conn.epoch);
        if !self.network.passes(End::Node(node), End::Proxy(proxy)) {
            return self.flow_is_blocked(s, serial, Event::FlowsToProxy { session: s, serial });
        }
        let Some(conn) = self.sessions[s].conns.get_mut(&serial) else { return };
        let Some(reply) = conn.to_proxy.pop_front() else { return };
        if self.sessions[s].up != Some(serial) || self.sessions[s].is_closed {
            return;
        }
        self.check_heard(proxy, worker, epoch, node);
        let world = &mut self.proxies[proxy].workers[worker].world;
        self.sessions[s].machine.on_node(world, time, &reply);
        self.move_session(s);
    }

    /// A reset, or the time for acknowledgements is over.
    pub(crate) fn connection_ends(&mut self, s: usize, serial: u64) {
        let Some(conn) = self.sessions[s].conns.get(&serial) else { return };
        let (node, proxy) = (conn.node, self.sessions[s].proxy);
        if !self.network.passes(End::Node(node), End::Proxy(proxy)) {
            return self.after(RESEND_EVERY, Event::ConnectionEnds { session: s, serial });
        }
        self.end_connection(s, serial);
    }

    fn end_connection(&mut self, s: usize, serial: u64) {
        let (time, proxy, worker) = (self.time(), self.sessions[s].proxy, self.sessions[s].worker);
        self.sessions[s].conns.remove(&serial);
        if self.sessions[s].up != Some(serial) || self.sessions[s].is_closed {
            return;
        }
        if self.sessions[s].machine.is_in_flight() {
            self.signal(s, SignalKind::Lost);
        }
        self.sessions[s].up = None;
        let world = &mut self.proxies[proxy].workers[worker].world;
        self.sessions[s].machine.on_link_lost(world, time);
        self.move_session(s);
    }

    /// The process of node `n` is gone: the system resets its connections.
    pub(crate) fn reset_connections(&mut self, n: usize) {
        if !self.nodes[n].host_up {
            return;
        }
        for session in 0..self.sessions.len() {
            let conns = &self.sessions[session].conns;
            let lost: Vec<u64> =
                conns.iter().filter(|(_, it)| it.node == n).map(|(serial, _)| *serial).collect();
            for serial in lost {
                let wait = self.delay();
                self.after(wait, Event::ConnectionEnds { session, serial });
            }
        }
    }

    fn signal(&mut self, s: usize, kind: SignalKind) {
        let (proxy, worker) = (self.sessions[s].proxy, self.sessions[s].worker);
        let route = self.proxies[proxy].workers[worker].world.route;
        let serial = self.proxies[proxy].life;
        if let Some(primary) = route.primary() {
            let signal = Signal { epoch: route.epoch, node: primary.node, kind };
            self.after(20, Event::Signalled { proxy, serial, signal });
        }
    }

    /// The proxy's process is gone, and its sessions with it; bytes under way are not.
    pub(crate) fn close_sessions(&mut self, proxy: usize) {
        for it in self.sessions.iter_mut().filter(|it| it.proxy == proxy) {
            it.is_closed = true;
        }
    }
}

/// Cuts what was written into its requests.
fn requests(bytes: &[u8]) -> Vec<Vec<u8>> {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(after) = rest.strip_prefix('*') {
        let (count, mut tail) = after.split_once("\r\n").unwrap();
        for _ in 0..count.parse::<usize>().unwrap() {
            let (len, body) = tail.split_once("\r\n").unwrap();
            let len: usize = len.trim_start_matches('$').parse().unwrap();
            tail = &body[len + 2..];
        }
        found.push(rest.as_bytes()[..rest.len() - tail.len()].to_vec());
        rest = tail;
    }
    assert!(rest.is_empty(), "a request that is not one: {rest}");
    found
}
