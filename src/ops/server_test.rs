//! The server on real sockets: what peers of every kind get.

use super::*;
use crate::net::listen;
use crate::ops::client::{Address, Client, ClientError};
use crate::ops::control::{self, Control};
use crate::ops::http;
use crate::ops::status::Limits;
use crate::pure::topology::snapshot::Snapshot;
use crate::telemetry::logs::Dropped;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::recent::Recent;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// A state whose control plane lives as long as the sender.
fn state() -> (watch::Sender<Arc<Snapshot>>, Arc<State>) {
    let snapshot = watch::Sender::new(Arc::new(Snapshot {
        group: "main".to_owned(),
        gate_open: true,
        ..Snapshot::default()
    }));
    let state = State {
        snapshot: snapshot.subscribe(),
        metrics: Arc::new(Metrics::new(["a"], Dropped::default()).expect("registers")),
        draining: watch::Sender::new(false).subscribe(),
        limits: Limits { sessions_max: 10, hold_max_bytes: 1_000 },
        listeners: Vec::new(),
        started: Instant::now(),
        recent: Recent::default(),
    };
    (snapshot, Arc::new(state))
}

struct Running {
    addr: SocketAddr,
    shutdown: watch::Sender<bool>,
    served: JoinHandle<()>,
    _snapshot: watch::Sender<Arc<Snapshot>>,
}

async fn running() -> Running {
    let listener = listen::tcp(SocketAddr::from(LOOPBACK)).expect("listens");
    let addr = listener.local_addr().expect("has an address");
    let (snapshot, state) = state();
    let shutdown = watch::Sender::new(false);
    let served = tokio::spawn(http::serve(listener, state, shutdown.subscribe()));
    Running { addr, shutdown, served, _snapshot: snapshot }
}

/// Everything that is answered to `request` until the server closes.
async fn exchange(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    answer
}

#[tokio::test]
async fn a_request_is_answered_and_its_connection_closed() {
    let running = running().await;
    let answer = exchange(running.addr, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let running = running().await;
    let answer = exchange(running.addr, "HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.contains("content-length: 3\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn nonsense_and_excess_are_refused() {
    let running = running().await;
    let answer = exchange(running.addr, "*1\r\n$4\r\nPING\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 * HEAD_MAX_BYTES));
    let mut stream = TcpStream::connect(running.addr).await.expect("connects");
    // The server may close before it has read all of it.
    let _: io::Result<()> = stream.write_all(head.as_bytes()).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer comes first");
    assert_eq!(&answer, b"HTTP/1.1 431");
}

#[tokio::test]
async fn silent_peers_delay_others_and_cannot_lock_them_out() {
    let running = running().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(TcpStream::connect(running.addr).await.expect("connects"));
    }
    let began = Instant::now();
    let answer = exchange(running.addr, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(began.elapsed() < CONNECTION_MAX, "waited {:?}", began.elapsed());
    assert!(began.elapsed() >= HEAD_MAX / 2, "there was room: the limit does nothing");
}

#[tokio::test]
async fn shutdown_lets_an_answer_finish_and_nobody_in() {
    let running = running().await;
    // Accepted, and with half of a request sent.
    let mut stream = TcpStream::connect(running.addr).await.expect("connects");
    stream.write_all(b"GET /livez HTTP/1.1\r\n").await.expect("writes");
    exchange(running.addr, "GET /livez HTTP/1.1\r\n\r\n").await;
    running.shutdown.send_replace(true);
    while TcpStream::connect(running.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(b"\r\n").await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    running.served.await.expect("ends");
}

#[tokio::test]
async fn the_control_socket_answers_the_client_and_removes_its_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("segue.sock");
    let control = Control::unix(&path).await.expect("binds");
    let (_snapshot, state) = state();
    let shutdown = watch::Sender::new(false);
    let served =
        tokio::spawn(control::serve(control, state, mpsc::channel(1).0, shutdown.subscribe()));

    let client = Client::new(Address::Unix(path.clone()), None);
    let status = client.status().await.expect("answers");
    assert_eq!(status.snapshot.group, "main");
    shutdown.send_replace(true);
    served.await.expect("ends");
    assert!(!path.exists());
}

#[tokio::test]
async fn over_tcp_the_token_is_needed() {
    let listener = listen::tcp(SocketAddr::from(LOOPBACK)).expect("listens");
    let addr = listener.local_addr().expect("has an address");
    drop(listener);
    let control = Control::tcp(addr, SecretString::from("sesame")).expect("binds");
    let (_snapshot, state) = state();
    let shutdown = watch::Sender::new(false);
    tokio::spawn(control::serve(control, state, mpsc::channel(1).0, shutdown.subscribe()));

    let ask = async |token: Option<&str>| {
        let token = token.map(SecretString::from);
        Client::new(Address::Tcp(addr.to_string()), token).status().await
    };
    assert!(ask(Some("sesame")).await.is_ok());
    for wrong in [None, Some("sesam"), Some("sesame!")] {
        let error = ask(wrong).await.expect_err("is refused");
        assert!(matches!(error, ClientError::Unauthorized { .. }), "{error}");
    }
}

#[tokio::test]
async fn what_is_not_segue_is_recognized() {
    let listener = listen::tcp(SocketAddr::from(LOOPBACK)).expect("listens");
    let addr = listener.local_addr().expect("has an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        stream.write_all(b"-ERR unknown command 'GET'\r\n").await.expect("writes");
    });
    let client = Client::new(Address::Tcp(addr.to_string()), None);
    let error = client.status().await.expect_err("is not Segue");
    assert!(matches!(error, ClientError::Nonsense { .. }), "{error}");
}
