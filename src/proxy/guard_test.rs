//! What counts as an answer of a round, and who may give one.

use super::super::upstream::shared::stage_test::{STALL_MIN, gate, route};
use super::{Failure, Keeper, Seen, answer, field};
use crate::pure::session::{GuardedReads, Promise};
use crate::pure::topology::{Epoch, Primary};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

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
    let server = bulk(format!("run_id:{id}\r\nuptime_in_seconds:9\r\n"));
    let replication = bulk(format!("role:master\r\nmaster_replid:{id}\r\n"));
    format!("{server}{replication}*3\r\n$6\r\nmaster\r\n:7\r\n*0\r\n:0\r\n:0\r\n")
}

/// Takes one connection and answers as that process; the connection stays open.
async fn answer_as(run: char, listener: &TcpListener) -> tokio::net::TcpStream {
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

fn keeper(addr: SocketAddr) -> Keeper {
    let reads = GuardedReads::Local;
    Keeper {
        gate: gate(addr, STALL_MIN),
        index: 0,
        promise: Promise { replicas: 1, timeout: Duration::from_secs(20), reads },
        credentials: None,
        acknowledged: watch::Sender::new(None),
        link: None,
        seen: Seen::default(),
        complaint: None,
    }
}

/// The primary crashes and is back before the control plane has noticed: it may lack what a replica
/// has, which then takes over without what this process would have confirmed.
#[tokio::test]
async fn in_one_epoch_only_one_process_is_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut keeper = keeper(addr);
    let primary = Primary { node: crate::pure::topology::NodeId(0), addr };
    for (epoch, run, is_asked) in [(1, 'a', true), (1, 'b', false), (1, 'a', true), (2, 'b', true)]
    {
        if Epoch(epoch) != keeper.gate.world.borrow().route.epoch {
            let next = route(addr);
            let next = crate::pure::topology::Route { version: 2, epoch: Epoch(epoch), ..next };
            keeper.gate.world.borrow_mut().set_route(next);
        }
        keeper.link = None;
        let (_node, ()) =
            tokio::join!(answer_as(run, &listener), keeper.connect(primary, Epoch(epoch)));
        assert_eq!(keeper.link.is_some(), is_asked, "process {run} in epoch {epoch}");
    }
}
