//! A reader that takes nothing, and those who wait behind it: how long, and what ends it.
//!
//! Sessions and connection run as they do in a worker; the node is the test, so that it gives
//! exactly the replies that are wanted. Time is what the test says to [`Shared::tick`].

use super::super::stage_test::{STALL_MIN, gate, pair, route};
use super::*;
use crate::net::Stream;
use crate::proxy::session;
use crate::pure::session::Key;
use crate::telemetry::metrics::Closed;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};
use tokio::time::timeout;

/// Beyond what the sockets of two connections take, whatever they grow to.
const LARGE: usize = 64 << 20;

const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";

/// Beyond a limit.
const A_BIT: Duration = Duration::from_nanos(1);

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `test` as a worker runs its sessions.
async fn within(test: impl Future<Output = ()>) {
    let done = LocalSet::new().run_until(timeout(PATIENCE, test)).await;
    done.expect("it waits for ever");
}

/// A session behind which another one waits.
struct Scene {
    gate: Rc<Gate>,
    shared: Rc<Shared>,
    /// Reads nothing; it is there as long as the scene.
    _slow: TcpStream,
    slow_ends: JoinHandle<()>,
    other: TcpStream,
}

/// One asks for a large value and reads nothing, then another one asks for a small one. Ready when
/// the connection is stalled.
async fn stalled() -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let gate = gate(addr, STALL_MIN);
    gate.set_route(route(addr));
    let (mut slow, near) = pair().await;
    let slow_ends = spawn_local(session::serve(Rc::clone(&gate), 1, Stream::Tcp(near), None));
    slow.write_all(GET).await.unwrap();
    let (mut node, _) = listener.accept().await.unwrap();
    wait_asked(&mut node).await;
    let (mut other, near) = pair().await;
    spawn_local(session::serve(Rc::clone(&gate), 2, Stream::Tcp(near), None));
    other.write_all(GET).await.unwrap();
    wait_asked(&mut node).await;
    spawn_local(async move {
        let head = format!("${LARGE}\r\n");
        for part in [head.as_bytes(), &vec![b'v'; LARGE], b"\r\n+small\r\n"] {
            // It ends early if the test has seen enough.
            if node.write_all(part).await.is_err() {
                return;
            }
        }
        // The connection stays open.
        std::future::pending::<()>().await;
    });
    let shared = Rc::clone(gate.shared.borrow().get(&Key::default()).unwrap());
    while !shared.is_stalled() {
        yield_now().await;
    }
    Scene { gate, shared, _slow: slow, slow_ends, other }
}

async fn wait_asked(node: &mut TcpStream) {
    let mut request = vec![0; GET.len()];
    node.read_exact(&mut request).await.unwrap();
    assert_eq!(request, GET);
}

impl Scene {
    fn stall(&self) -> Stall {
        self.shared.inner.borrow().stalled.unwrap()
    }

    /// Lets everybody run who can.
    async fn settle(&self) {
        for _ in 0..1_000 {
            yield_now().await;
        }
    }

    fn is_served(&self) -> bool {
        let mut byte = [0];
        self.other.try_read(&mut byte).is_ok()
    }
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_given_up_and_who_waits_is_served() {
    within(async {
        let mut scene = stalled().await;
        scene.shared.tick(scene.stall().since + STALL_MAX);
        scene.settle().await;
        assert!(!scene.slow_ends.is_finished(), "given up too early");
        assert!(!scene.is_served(), "not in its turn");

        scene.shared.tick(scene.stall().since + STALL_MAX + A_BIT);
        scene.slow_ends.await.unwrap();
        assert_eq!(scene.gate.cells.sessions_closed.read(Closed::SlowReader), 1);
        let mut reply = [0; 8];
        scene.other.read_exact(&mut reply).await.unwrap();
        assert_eq!(&reply, b"+small\r\n");
        assert!(!scene.shared.is_stalled());
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_takes_something_has_time_again() {
    within(async {
        let scene = stalled().await;
        let later = scene.stall().since + STALL_MAX;
        // A socket takes much at once, after which there is no stall; this one takes a byte.
        scene.gate.seat(1).unwrap().with(|it| it.machine.delivered(1));
        assert!(scene.shared.inner.borrow_mut().is_stalled(&scene.gate, later));
        assert_eq!(scene.stall().since, later);
        assert!(scene.shared.inner.borrow_mut().is_stalled(&scene.gate, later + A_BIT));
        assert_eq!(scene.stall().since, later, "it has taken nothing since");
        scene.shared.tick(later + STALL_MAX);
        scene.settle().await;
        assert!(!scene.slow_ends.is_finished(), "given up though it reads");
        scene.shared.tick(later + STALL_MAX + A_BIT);
        scene.slow_ends.await.unwrap();
    })
    .await;
}
