//! A session machine without sockets: a turn is what the shell does from reading a client's
//! requests to having written the replies.

use segue::pure::command::Table;
use segue::pure::mux::{Mux, Run, Taker};
use segue::pure::resp::request;
use segue::pure::session::{Limits, NoReplicas, Policy, Session, UncertainWrites, World};
use segue::pure::time::Time;
use segue::pure::topology::{Epoch, Gate, NodeId, Primary, Route, RunId};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What a worker reads from a socket at once.
pub const READ_MAX: usize = 64 * 1024;

/// Which connection to the node the session uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Upstream {
    /// One of its own.
    Dedicated,
    /// One that other sessions use, too, though none does here.
    Shared,
}

impl Upstream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Dedicated, Self::Shared];

    /// As `sessions.upstream` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dedicated => "dedicated",
            Self::Shared => "shared",
        }
    }
}

/// A worker's world, and one session in it whose connection is up.
#[derive(Debug)]
pub struct Rig {
    world: World,
    session: Session,
    /// Of the shared connection, if that is what the session uses.
    mux: Option<Mux<u64>>,
    micros: u64,
}

impl Rig {
    /// A session that has sent nothing yet, before a primary that serves.
    ///
    /// # Panics
    ///
    /// If forty letters are no run id any more.
    pub fn new(upstream: Upstream) -> Self {
        let table = Arc::new(Table::builtin());
        let shares = upstream == Upstream::Shared;
        let mut world = World::new(table, policy(shares), limits(), 64 << 20);
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let process = RunId::parse(&"a".repeat(40)).expect("forty letters");
        let primary = Primary { node: NodeId(0), addr, process };
        world.set_route(Route {
            gate: Gate::Open(primary),
            version: 1,
            epoch: Epoch(1),
            ..Route::START
        });
        let mut session = Session::new(&world);
        if shares {
            session.on_shared_link(&mut world, Time::ZERO);
        } else {
            session.on_link(&mut world, Time::ZERO);
        }
        Self { world, session, mux: shares.then(Mux::default), micros: 0 }
    }

    /// The client sends `requests`, the node answers all of them with `replies`, both in reads of
    /// [`READ_MAX`]; returns how many bytes the client got.
    pub fn turn(&mut self, requests: &[u8], replies: &[u8]) -> usize {
        self.micros += 1;
        let now = Time::from_start(Duration::from_micros(self.micros));
        for read in requests.chunks(READ_MAX) {
            self.session.on_client(&mut self.world, now, read);
            self.send(now);
        }
        let mut delivered = 0;
        for read in replies.chunks(READ_MAX) {
            match &mut self.mux {
                None => self.session.on_node(&mut self.world, now, read),
                Some(mux) => deal(&mut self.session, mux, &mut self.world, now, read),
            }
            // The shell moves them into the metrics.
            self.world.timings.clear();
            let n = self.session.to_client().len();
            self.session.delivered(n);
            delivered += n;
        }
        delivered
    }

    /// The session has been idle for a while.
    pub fn rest(&mut self) {
        self.session.give_back();
        if self.mux.is_some() {
            // It belongs to all sessions of the connection.
            self.mux = Some(Mux::default());
        }
    }

    fn send(&mut self, now: Time) {
        loop {
            let bytes = self.session.to_node(&self.world);
            let n = bytes.len();
            if n == 0 {
                break;
            }
            if let Some(mux) = &mut self.mux {
                mux.push(&0, bytes, self.session.unsent_requests());
            }
            self.session.sent(&mut self.world, now, n);
        }
        if let Some(mux) = &mut self.mux {
            mux.sent(mux.to_node().len());
        }
    }

    /// What one session takes in the machine itself, without what it points to.
    pub const fn session_bytes() -> usize {
        size_of::<Session>()
    }
}

/// Deals out one read of a shared connection. Replies are cut only where they are too large to be
/// kept, so nothing has to be.
fn deal(session: &mut Session, mux: &mut Mux<u64>, world: &mut World, now: Time, read: &[u8]) {
    match mux.deal_run(read, &mut Taking { session, world, now }) {
        Run::Over(used) | Run::Hungry(used) => assert_eq!(used, read.len(), "a reply is kept"),
        Run::Nonsense => panic!("a reply to nothing"),
    }
    session.on_turn_end(world, now);
}

/// A session takes its replies.
struct Taking<'a> {
    session: &'a mut Session,
    world: &'a mut World,
    now: Time,
}

impl Taker for Taking<'_> {
    fn reply(&mut self, frame: &[u8]) {
        self.session.on_shared_reply(self.world, self.now, frame);
    }

    fn part(&mut self, start: &[u8], passable: usize, missing: usize) -> bool {
        assert!(self.session.takes_part(self.world, start, missing), "a reply is kept");
        if self.session.on_shared_part(self.world, &start[..passable]) {
            self.session.deliver_later(&start[..passable]);
        }
        true
    }
}

/// What the shipped configuration says.
fn policy(shares: bool) -> Policy {
    Policy {
        hold_timeout: Duration::from_secs(10),
        uncertain_writes: UncertainWrites::Refuse,
        shares,
        allow: Vec::new(),
        gap_channel: None,
        subscribers_first: Duration::from_millis(50),
        noreplicas: NoReplicas::Return,
    }
}

fn limits() -> Limits {
    Limits {
        in_flight_bytes_max: 1 << 20,
        in_flight_max: 16 << 10,
        query_buffer_max: 1 << 20,
        reply_whole_max: 64 << 10,
        out_max: 256 << 10,
        request: request::Limits::DEFAULT,
    }
}

/// What one turn carries.
#[derive(Clone, Debug)]
pub struct Workload {
    /// For people, and for the file of the baseline: no blanks.
    pub name: &'static str,
    /// How many commands `requests` has.
    pub commands: u64,
    /// One turn of the client.
    pub requests: Vec<u8>,
    /// What the node says to all of it.
    pub replies: Vec<u8>,
    /// Whether a command may allocate: it is kept, or larger than what idle sessions keep.
    pub may_allocate: bool,
    /// Whether it can go over a shared connection.
    pub can_share: bool,
}

/// The workloads that are measured in every way.
pub fn workloads() -> Vec<Workload> {
    let get = command(&[b"GET", b"bench:64:000000000001"]);
    let set = command(&[b"SET", b"bench:64:000000000001", &[b'x'; 64]]);
    let incr = command(&[b"INCR", b"counter"]);
    let hset = command(&[b"HSET", b"user:1", b"name", b"somebody", b"mail", b"a@b.c"]);
    let multi = [command(&[b"MULTI"]), set.clone(), incr.clone(), command(&[b"EXEC"])].concat();
    let multi_replies = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n".to_vec();
    let blpop = command(&[b"BLPOP", b"queue", b"5"]);
    let popped = b"*2\r\n$5\r\nqueue\r\n$3\r\njob\r\n".to_vec();
    let plain = |name, commands, requests, replies| Workload {
        name,
        commands,
        requests,
        replies,
        may_allocate: false,
        can_share: true,
    };
    let ok = b"+OK\r\n".to_vec();
    vec![
        plain("get_64", 1, get.clone(), value(64)),
        plain("set_64", 1, set.clone(), ok.clone()),
        plain("incr", 1, incr, b":1\r\n".to_vec()),
        plain("hset", 1, hset, b":2\r\n".to_vec()),
        plain("get_64_pipeline_16", 16, get.repeat(16), value(64).repeat(16)),
        plain("get_64_pipeline_64", 64, get.repeat(64), value(64).repeat(64)),
        plain("set_64_pipeline_64", 64, set.repeat(64), ok.repeat(64)),
        plain("get_16_kib", 1, get.clone(), value(16 << 10)),
        own(plain("get_256_kib", 1, get, value(256 << 10))),
        own(plain("multi_exec", 4, multi, multi_replies)),
        own(plain("blpop", 1, blpop, popped)),
    ]
}

/// It needs a connection of its own, if not the first time, and what it leaves behind is kept.
fn own(workload: Workload) -> Workload {
    Workload { may_allocate: true, can_share: false, ..workload }
}

/// Every workload with every connection that it can use.
pub fn cases() -> impl Iterator<Item = (Upstream, Workload)> {
    Upstream::ALL.into_iter().flat_map(|upstream| {
        let fits = move |it: &Workload| upstream == Upstream::Dedicated || it.can_share;
        workloads().into_iter().filter(fits).map(move |it| (upstream, it))
    })
}

/// A request as clients send it.
pub fn command(args: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// A bulk string of `len` bytes.
pub fn value(len: usize) -> Vec<u8> {
    let mut out = format!("${len}\r\n").into_bytes();
    out.resize(out.len() + len, b'x');
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_can_be_turned_again_and_again() {
        for (upstream, Workload { name, requests, replies, .. }) in cases() {
            let mut rig = Rig::new(upstream);
            for turn in 0..3 {
                let got = rig.turn(&requests, &replies);
                assert_eq!(got, replies.len(), "{}/{name}, turn {turn}", upstream.name());
            }
        }
    }
}
