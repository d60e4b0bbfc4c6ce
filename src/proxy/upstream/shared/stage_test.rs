//! What the tests of shared connections stand on: a gate, a connection over real sockets, sessions
//! with clients of their own. The node is the test itself, so that it says what it wants when it
//! wants; nothing but the test polls the connection's task.

use super::{Inner, Link, Shared};
use crate::net::Stream;
use crate::proxy::gate::Gate;
use crate::proxy::session::Seat;
use crate::pure::command::Table;
use crate::pure::session::{Key, Limits, Policy, Promise, Rounds, World};
use crate::pure::topology::{self, Epoch, NodeId, Primary, Route, RunId, Signal};
use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// Longer than any test takes, so that the stall guard sleeps.
pub(in crate::proxy) const STALL_MIN: Duration = Duration::from_secs(3_600);

/// Bytes that wait for a client before the node is not read.
pub(super) const OUT_MAX: usize = 256 * 1024;

/// How often the connection's task was woken.
#[derive(Debug, Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A shared connection that is up.
pub(super) struct Stage {
    pub(super) gate: Rc<Gate>,
    pub(super) shared: Rc<Shared>,
    /// The node's end.
    pub(super) node: TcpStream,
    wakes: Arc<Wakes>,
}

/// Both ends of a connection.
pub(in crate::proxy) async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// A gate that is open for a node at `addr`.
pub(in crate::proxy) fn gate(addr: SocketAddr, stall_min: Duration) -> Rc<Gate> {
    gate_with(addr, stall_min, None).0
}

/// Likewise, with what a guarded listener promises; and what the control plane is told.
pub(in crate::proxy) fn gate_with(
    addr: SocketAddr,
    stall_min: Duration,
    promise: Option<Promise>,
) -> (Rc<Gate>, mpsc::Receiver<Signal>) {
    // Whose replies wait is told by hand, on a connection of his own.
    let policy = Policy { shares: promise.is_none(), ..Policy::PLAIN };
    let limits = Limits { reply_whole_max: 64 * 1024, out_max: OUT_MAX, ..Limits::PLAIN };
    let mut world = World::new(Arc::new(Table::builtin()), policy, limits, 1 << 30);
    world.rounds.extend(promise.map(Rounds::new));
    world.set_route(route(addr));
    let (signals, heard) = mpsc::channel(8);
    let dial_limit = Duration::from_secs(20);
    let drained = watch::Sender::new(0);
    let gate = Gate::new(world, Arc::default(), signals, drained, dial_limit, stall_min);
    (Rc::new(gate), heard)
}

/// The process that says so of itself.
pub(in crate::proxy) fn process(run: char) -> RunId {
    RunId::parse(&run.to_string().repeat(40)).unwrap()
}

/// The first route that leads to a node at `addr`.
pub(in crate::proxy) fn route(addr: SocketAddr) -> Route {
    let gate = topology::Gate::Open(Primary { node: NodeId(0), addr, process: process('a') });
    Route { version: 1, epoch: Epoch(1), gate, handed_over: false }
}

impl Stage {
    pub(super) async fn set(stall_min: Duration) -> Self {
        let (near, node) = pair().await;
        near.writable().await.unwrap();
        let gate = gate(node.local_addr().unwrap(), stall_min);
        let wakes = Arc::<Wakes>::default();
        let task = Some(Waker::from(Arc::clone(&wakes)));
        let inner = Inner { link: Link::Up(near), epoch: Epoch(1), task, ..Inner::new() };
        let shared = Rc::new(Shared { key: Key::default(), inner: RefCell::new(inner) });
        Self { gate, shared, node, wakes }
    }

    /// A session that uses the connection.
    pub(super) async fn join(&self, id: u64) -> (Seat, TcpStream) {
        let (near, client) = pair().await;
        let seat = Seat::new(&self.gate, id, Stream::Tcp(near));
        self.shared.attach(&seat);
        (seat, client)
    }

    /// Whether the connection's task was woken since this was last asked.
    pub(super) fn is_woken(&self) -> bool {
        self.wakes.0.swap(0, Ordering::Relaxed) > 0
    }

    /// Runs the connection's task once.
    pub(super) fn poll(&self) {
        let waker = Waker::from(Arc::clone(&self.wakes));
        assert!(self.shared.poll(&self.gate, &mut Context::from_waker(&waker)).is_pending());
    }

    /// Bytes that were pushed and not written.
    pub(super) fn unwritten(&self) -> usize {
        self.shared.inner.borrow().mux.to_node().len()
    }

    /// Waits until what the node did can be seen at the connection.
    pub(super) async fn wait_readable(&self) {
        poll_fn(|cx| match &self.shared.inner.borrow().link {
            Link::Up(stream) => stream.poll_read_ready(cx),
            Link::Down | Link::Dialing(_) | Link::Greeting { .. } => panic!("not up"),
        })
        .await
        .unwrap();
    }

    /// What has arrived at the node: nothing is under way, these are the two ends of one machine.
    pub(super) async fn arrived(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut done = 0;
        while done < len {
            self.node.readable().await.unwrap();
            match self.node.try_read(&mut bytes[done..]) {
                Ok(0) => panic!("closed after {done} bytes"),
                Ok(n) => done += n,
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
        bytes
    }
}
