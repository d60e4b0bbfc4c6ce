//! What counts as an answer of a round, and who may give one.

use super::super::session::Seat;
use super::super::upstream::shared::stage_test::{STALL_MIN, gate_with, pair, process};
use super::{Failure, Gate, Keeper, answer, field};
use crate::net::Stream;
use crate::pure::session::{GuardedReads, Promise};
use crate::pure::topology::Gate::Open;
use crate::pure::topology::{Epoch, NodeId, Primary, Route, Signal, SignalKind};
use bytes::Bytes;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::timeout;

#[test]
fn only_a_primary_confirms() {
    let wait = Bytes::from_static(b":2\r\n");
    let publish = Bytes::from_static(b":0\r\n");
    let primary = Bytes::from_static(b"*3\r\n$6\r\nmaster\r\n:1234\r\n*0\r\n");
    let sound = answer(&[primary.clone(), publish.clone(), wait.clone()]);
    let sound = sound.unwrap_or_else(|why| panic!("{why:?}"));
    assert_eq!((sound.offset, sound.replicas), (1234, 2));
    let replica =
        Bytes::from_static(b"*5\r\n$5\r\nslave\r\n$1\r\na\r\n:1\r\n$9\r\nconnected\r\n:9\r\n");
    let refused = Bytes::from_static(b"-NOPERM no WAIT for you\r\n");
    let unblocked = Bytes::from_static(b"-UNBLOCKED force unblock from blocking\r\n");
    for (role, wait) in [(&replica, wait), (&replica, refused.clone()), (&primary, unblocked)] {
        let found = answer(&[role.clone(), publish.clone(), wait]);
        assert!(matches!(found, Err(Failure::Demoted)));
    }
    assert!(matches!(answer(&[primary, publish, refused]), Err(Failure::Denied(_))));
}

#[test]
fn finds_the_history() {
    let info = "# Replication\r\nrole:master\r\nmaster_replid:0123456789012345678901234567890123456789\r\nmaster_replid2:x\r\n";
    let frame = Bytes::from(format!("${}\r\n{info}\r\n", info.len()));
    assert_eq!(field(&frame, "role:"), Some("master"));
    assert_eq!(field(&frame, "master_replid:").map(str::len), Some(40));
    assert_eq!(field(&Bytes::from_static(b"$0\r\n\r\n"), "role:"), None);
}

/// What a primary says whose process is `run`, to everything that is asked before the first round.
fn greeting(run: char) -> String {
    let id: String = std::iter::repeat_n(run, 40).collect();
    let bulk = |text: String| format!("${}\r\n{text}\r\n", text.len());
    let server = bulk(format!("run_id:{id}\r\n"));
    let replication = bulk(format!("role:master\r\nmaster_replid:{id}\r\n"));
    format!("{server}{replication}*3\r\n$6\r\nmaster\r\n:7\r\n*0\r\n:0\r\n:0\r\n")
}

/// Takes one connection and answers as that process; the connection stays open.
async fn answer_as(run: char, listener: &TcpListener) -> TcpStream {
    let (mut node, _) = listener.accept().await.unwrap();
    let mut seen = Vec::new();
    let name = b"SETNAME";
    while !seen.windows(name.len()).any(|it| it == name) || !seen.ends_with(b"\r\n") {
        assert!(node.read_buf(&mut seen).await.unwrap() > 0, "closed");
    }
    node.write_all(b"+OK\r\n").await.unwrap();
    let last = b"$4\r\nWAIT\r\n$1\r\n0\r\n$1\r\n1\r\n";
    while !seen.ends_with(last) {
        assert!(node.read_buf(&mut seen).await.unwrap() > 0, "closed");
    }
    node.write_all(greeting(run).as_bytes()).await.unwrap();
    node
}

const PROMISE: Promise =
    Promise { replicas: 1, timeout: Duration::from_secs(20), reads: GuardedReads::Local };

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

const WRITE: &[u8] = b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";
const UNCERTAIN: &[u8] =
    b"-UNCERTAIN Segue: executed on the primary, not confirmed by 1 replica within 20000ms\r\n";

fn keeper(addr: SocketAddr) -> (Keeper, mpsc::Receiver<Signal>) {
    let (gate, signals) = gate_with(addr, STALL_MIN, Some(PROMISE));
    let keeper = Keeper {
        gate,
        index: 0,
        promise: PROMISE,
        credentials: None,
        acknowledged: watch::Sender::new(None),
        // Longer than any test takes.
        retry_after: Duration::from_secs(3_600),
        link: None,
        refused: None,
        complaint: None,
    };
    (keeper, signals)
}

/// The route of `epoch`, which was opened for the process `run`.
fn opened(addr: SocketAddr, epoch: u64, run: char) -> Route {
    let primary = Primary { node: NodeId(0), addr, process: process(run) };
    Route { version: epoch, epoch: Epoch(epoch), gate: Open(primary), handed_over: false }
}

/// A session whose write was answered, and waits to be confirmed; its client.
async fn withheld(gate: &Rc<Gate>) -> TcpStream {
    let (near, client) = pair().await;
    let seat = Seat::new(gate, 7, Stream::Tcp(near));
    gate.register(seat.clone());
    let now = gate.now();
    seat.with(|it| {
        let world = &mut gate.world.borrow_mut();
        it.machine.guard(world, 7, 0);
        it.machine.on_link(world, now);
        it.machine.on_client(world, now, WRITE);
        it.machine.sent(world, now, WRITE.len());
        it.machine.on_node(world, now, b":1\r\n");
    });
    assert!(gate.world.borrow().rounds[0].is_wanted(), "it waits");
    client
}

/// The primary crashes and is back before the control plane has noticed: it may lack what a replica
/// has, which then takes over without what this process would have confirmed. It makes no difference
/// whether the process before it was ever asked.
#[tokio::test]
async fn only_the_process_of_the_epoch_is_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (mut keeper, mut signals) = keeper(addr);
    for (epoch, of, run, is_asked) in
        [(1, 'a', 'b', false), (1, 'a', 'a', true), (2, 'a', 'c', false), (3, 'b', 'b', true)]
    {
        let route = opened(addr, epoch, of);
        keeper.gate.world.borrow_mut().set_route(route);
        keeper.link = None;
        let connecting = keeper.connect(route.primary().unwrap(), route.epoch);
        let (_node, ()) = tokio::join!(answer_as(run, &listener), connecting);
        assert_eq!(keeper.link.is_some(), is_asked, "process {run} in epoch {epoch}");
        let told = signals.try_recv().ok().map(|it| (it.epoch, it.kind));
        let expected = (!is_asked).then_some((Epoch(epoch), SignalKind::Lost));
        assert_eq!(told, expected, "process {run} in epoch {epoch}");
    }
}

/// The control plane is told once; what waits is given up each time.
#[tokio::test]
async fn what_another_process_would_have_to_confirm_is_uncertain() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (mut keeper, mut signals) = keeper(addr);
    let primary = opened(addr, 1, 'a').primary().unwrap();
    for (run, is_first) in [('b', true), ('c', false), ('b', false)] {
        let mut client = withheld(&keeper.gate).await;
        let connecting = keeper.connect(primary, Epoch(1));
        let (_node, ()) = tokio::join!(answer_as(run, &listener), connecting);
        let mut told = vec![0; UNCERTAIN.len()];
        timeout(PATIENCE, client.read_exact(&mut told)).await.expect("it is told").unwrap();
        assert_eq!(told, UNCERTAIN);
        assert_eq!(signals.try_recv().is_ok(), is_first);
        assert_eq!(keeper.complaint.is_some(), !is_first, "an operator hears of what lasts");
    }
}

#[tokio::test]
async fn a_node_that_says_no_is_not_asked_at_every_request() {
    let test = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (keeper, mut signals) = keeper(addr);
        let gate = Rc::clone(&keeper.gate);
        spawn_local(keeper.keep());
        let _refused = answer_as('b', &listener).await;
        signals.recv().await.expect("it was refused");
        for _ in 0..20 {
            gate.guards[0].notify_one();
            yield_now().await;
        }
        // Another epoch is another matter. Had it connected before, that would be here first, closed.
        gate.set_route(opened(addr, 2, 'b'));
        let mut node = answer_as('b', &listener).await;
        let _client = withheld(&gate).await;
        gate.guards[0].notify_one();
        let mut asked = [0; 14];
        node.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, *b"*1\r\n$4\r\nROLE\r\n");
    };
    LocalSet::new().run_until(timeout(PATIENCE, test)).await.expect("it is asked");
}
