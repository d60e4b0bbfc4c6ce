//! A session machine without sockets: a turn is what the shell does from reading a client's
//! requests to having written the replies.

use segue::pure::command::Table;
use segue::pure::resp::request;
use segue::pure::session::{Limits, Policy, Session, UncertainWrites, World};
use segue::pure::time::Time;
use segue::pure::topology::{Epoch, Gate, NodeId, Primary, Route};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What a worker reads from a socket at once.
pub const READ_MAX: usize = 64 * 1024;

/// A worker's world, and one session in it whose connection is up.
#[derive(Debug)]
pub struct Rig {
    world: World,
    session: Session,
    micros: u64,
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Rig {
    /// A session that has sent nothing yet, before a primary that serves.
    pub fn new() -> Self {
        let table = Arc::new(Table::builtin());
        let mut world = World::new(table, policy(), limits(), 64 << 20);
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let primary = Primary { node: NodeId(0), addr };
        world.set_route(Route { version: 1, epoch: Epoch(1), gate: Gate::Open(primary) });
        let mut session = Session::new(&world);
        session.on_link(&mut world, Time::ZERO);
        Self { world, session, micros: 0 }
    }

    /// The client sends `requests`, the node answers all of them with `replies`, both in reads of
    /// [`READ_MAX`]; returns how many bytes the client got.
    pub fn turn(&mut self, requests: &[u8], replies: &[u8]) -> usize {
        self.micros += 1;
        let now = Time::from_start(Duration::from_micros(self.micros));
        for read in requests.chunks(READ_MAX) {
            self.session.on_client(&mut self.world, now, read);
            loop {
                let n = self.session.to_node(&self.world).len();
                if n == 0 {
                    break;
                }
                self.session.sent(&mut self.world, now, n);
            }
        }
        let mut delivered = 0;
        for read in replies.chunks(READ_MAX) {
            self.session.on_node(&mut self.world, now, read);
            let n = self.session.to_client().len();
            self.session.delivered(n);
            delivered += n;
        }
        delivered
    }

    /// What one session takes in the machine itself, without what it points to.
    pub const fn session_bytes() -> usize {
        size_of::<Session>()
    }
}

/// What the shipped configuration says.
fn policy() -> Policy {
    Policy {
        hold_timeout: Duration::from_secs(10),
        uncertain_writes: UncertainWrites::Refuse,
        allow: Vec::new(),
        gap_channel: None,
    }
}

fn limits() -> Limits {
    Limits {
        in_flight_bytes_max: 1 << 20,
        in_flight_max: 10_000,
        query_buffer_max: 1 << 20,
        reply_whole_max: 64 << 10,
        out_max: 1 << 20,
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
}

/// The workloads that are measured in every way.
pub fn workloads() -> Vec<Workload> {
    let get = command(&[b"GET", b"bench:64:000000000001"]);
    let set = command(&[b"SET", b"bench:64:000000000001", &[b'x'; 64]]);
    let incr = command(&[b"INCR", b"counter"]);
    let hset = command(&[b"HSET", b"user:1", b"name", b"somebody", b"mail", b"a@b.c"]);
    let multi =
        [command(&[b"MULTI"]), set.clone(), incr.clone(), command(&[b"EXEC"])].concat();
    let multi_replies = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n".to_vec();
    let blpop = command(&[b"BLPOP", b"queue", b"5"]);
    let popped = b"*2\r\n$5\r\nqueue\r\n$3\r\njob\r\n".to_vec();
    let workload = |name, commands, requests, replies, may_allocate| Workload {
        name,
        commands,
        requests,
        replies,
        may_allocate,
    };
    vec![
        workload("get_64", 1, get.clone(), value(64), false),
        workload("set_64", 1, set.clone(), b"+OK\r\n".to_vec(), false),
        workload("incr", 1, incr, b":1\r\n".to_vec(), false),
        workload("hset", 1, hset, b":2\r\n".to_vec(), false),
        workload("get_64_pipeline_16", 16, get.repeat(16), value(64).repeat(16), false),
        workload("get_64_pipeline_64", 64, get.repeat(64), value(64).repeat(64), false),
        workload("set_64_pipeline_64", 64, set.repeat(64), b"+OK\r\n".repeat(64), false),
        workload("get_16_kib", 1, get.clone(), value(16 << 10), false),
        workload("get_256_kib", 1, get, value(256 << 10), true),
        workload("multi_exec", 4, multi, multi_replies, true),
        workload("blpop", 1, blpop, popped, true),
    ]
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
