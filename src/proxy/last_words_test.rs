//! What a node has said before its epoch ends reaches the client, whether or not anybody has been
//! told that it is there; but a node that goes on holds nobody up.

use super::gate::Gate as WorkerGate;
use super::last_words::{OWN_MAX, SHARED_MAX, take_in};
use super::session;
use super::upstream::shared::stage_test::{STALL_MIN, gate, pair, route};
use crate::net::Stream;
use crate::pure::topology::{Epoch, Gate, Route};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

const SUBSCRIBE: &[u8] = b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n";
const CONFIRMED: &[u8] = b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";
const MESSAGE: &[u8] = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n";
const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\nn\r\n";
const INCR: &[u8] = b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";

async fn is_read(stream: &mut TcpStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, expected);
}

/// A session on the stage: its client and its node.
struct Scene {
    gate: Rc<WorkerGate>,
    client: TcpStream,
    node: TcpStream,
}

impl Scene {
    /// The client asks `request`, and the node answers `first`.
    async fn set(request: &[u8], first: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = gate(listener.local_addr().unwrap(), STALL_MIN);
        let (mut client, near) = pair().await;
        spawn_local(session::serve(Rc::clone(&gate), 1, Stream::Tcp(near), None));
        client.write_all(request).await.unwrap();
        let (mut node, _) = listener.accept().await.unwrap();
        is_read(&mut node, request).await;
        node.write_all(first).await.unwrap();
        is_read(&mut client, first).await;
        node.writable().await.unwrap();
        Self { gate, client, node }
    }

    /// The epoch ends, without a turn of the loop.
    fn end_epoch(&self) {
        let addr = self.node.local_addr().unwrap();
        self.gate.set_route(Route { version: 2, epoch: Epoch(2), gate: Gate::Held, ..route(addr) });
    }
}

/// What the node says in the very moment in which the epoch ends is heard.
async fn last_words(request: &[u8], first: &[u8], words: &[u8]) {
    let test = async {
        let mut scene = Scene::set(request, first).await;
        assert_eq!(scene.node.try_write(words).unwrap(), words.len());
        scene.end_epoch();
        is_read(&mut scene.client, words).await;
    };
    LocalSet::new().run_until(timeout(PATIENCE, test)).await.expect("it was not heard");
}

#[tokio::test]
async fn the_last_message_of_a_subscriber_is_heard() {
    last_words(SUBSCRIBE, CONFIRMED, MESSAGE).await;
}

#[tokio::test]
async fn the_last_answer_on_a_shared_connection_is_heard() {
    last_words(INCR, b"", b":7\r\n").await;
}

/// A node that never ends, read in pieces that do not add up to the limit.
#[test]
fn so_much_is_taken_in_and_no_more() {
    let mut scratch = [0; 300];
    for (max, wants) in [(1_000, usize::MAX), (1_000, 2), (299, usize::MAX), (0, usize::MAX)] {
        let (mut pieces, mut bytes) = (0, 0);
        take_in(
            max,
            &mut scratch,
            |buf| Ok(buf.len().min(290)),
            |piece| {
                (pieces, bytes) = (pieces + 1, bytes + piece.len());
                pieces < wants
            },
        );
        assert_eq!(bytes, max.min(wants.saturating_mul(290)));
    }
}

/// Writes `words` again and again until the sockets take no more; how often.
fn fill(node: &TcpStream, words: &[u8]) -> usize {
    let mut times = 0;
    loop {
        match node.try_write(words) {
            Ok(n) if n == words.len() => times += 1,
            Ok(_) => return times,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return times;
            }
        }
    }
}

/// A client asks `request`; its node answers `first`, and then `words`, for as long as there is room,
/// when its epoch ends. What `count` says of the session then.
async fn flooded(
    request: &[u8],
    first: &[u8],
    words: &[u8],
    min: usize,
    count: impl Fn(&WorkerGate) -> usize,
) -> usize {
    let test = async {
        let scene = Scene::set(request, first).await;
        let times = fill(&scene.node, words);
        assert!(times * words.len() > 2 * min, "{times} times is not enough to tell");
        scene.end_epoch();
        count(&scene.gate)
    };
    LocalSet::new().run_until(timeout(PATIENCE, test)).await.expect("it takes too long")
}

#[tokio::test]
async fn a_busy_subscriber_does_not_hold_the_others() {
    let waits = |gate: &WorkerGate| gate.seat(1).unwrap().with(|it| it.machine.to_client().len());
    let heard = flooded(SUBSCRIBE, CONFIRMED, MESSAGE, OWN_MAX, waits).await;
    assert!(heard > OWN_MAX / 2 && heard <= OWN_MAX, "{heard} bytes");
}

#[tokio::test]
async fn a_busy_shared_connection_does_not_hold_the_others() {
    let count = 200;
    let reply = format!("$16384\r\n{}\r\n", "x".repeat(16_384)).into_bytes();
    let answered = |gate: &WorkerGate| count - gate.world.borrow().in_flight;
    let heard = flooded(&GET.repeat(count), b"", &reply, SHARED_MAX, answered).await;
    let bytes = heard * reply.len();
    assert!(bytes > SHARED_MAX / 2 && bytes <= SHARED_MAX, "{bytes} bytes");
}
