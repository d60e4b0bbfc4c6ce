//! Every route, without a socket.

use super::*;
use crate::ops::status::{Limits, Status};
use crate::pure::topology::snapshot::Snapshot;
use crate::telemetry::logs::Dropped;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::recent::Recent;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// A state and the ends that change it.
struct World {
    state: State,
    snapshot: watch::Sender<Arc<Snapshot>>,
    draining: watch::Sender<bool>,
}

fn world() -> World {
    let snapshot = watch::Sender::new(Arc::new(Snapshot::default()));
    let draining = watch::Sender::new(false);
    let state = State {
        snapshot: snapshot.subscribe(),
        metrics: Arc::new(Metrics::new(["a"], Dropped::default()).expect("registers")),
        draining: draining.subscribe(),
        limits: Limits { sessions_max: 10, hold_max_bytes: 1_000 },
        listeners: Vec::new(),
        started: Instant::now(),
        recent: Recent::default(),
    };
    World { state, snapshot, draining }
}

fn steady() -> Arc<Snapshot> {
    Arc::new(Snapshot {
        group: "main".to_owned(),
        epoch: 3,
        gate_open: true,
        primary: Some("a".to_owned()),
        phase: "steady".to_owned(),
        ..Snapshot::default()
    })
}

async fn get(world: &World, path: &str) -> (u16, String) {
    let answer = answer(&world.state, &Method::GET, path);
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("a full body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn ready_means_that_commands_are_forwarded() {
    let world = world();
    assert_eq!(get(&world, "/readyz").await, (503, "starting\n".to_owned()));

    world.snapshot.send_replace(steady());
    assert_eq!(get(&world, "/readyz").await, (200, "ok\n".to_owned()));

    world.snapshot.send_replace(Arc::new(Snapshot {
        gate_open: false,
        reason: Some("a is down and no replica can take over".to_owned()),
        ..Snapshot::clone(&steady())
    }));
    let why = "a is down and no replica can take over\n".to_owned();
    assert_eq!(get(&world, "/readyz").await, (503, why));

    world.snapshot.send_replace(steady());
    world.draining.send_replace(true);
    assert_eq!(get(&world, "/readyz").await, (503, "draining\n".to_owned()));
}

#[tokio::test]
async fn alive_never_depends_on_nodes() {
    let world = world();
    assert_eq!(get(&world, "/livez").await.0, 200, "before anything is known");
    world.snapshot.send_replace(Arc::new(Snapshot {
        phase: "halted".to_owned(),
        ..Snapshot::clone(&steady())
    }));
    assert_eq!(get(&world, "/livez").await.0, 200, "with every node down");
}

#[tokio::test]
async fn without_a_control_plane_it_is_not_alive_unless_it_is_leaving() {
    let World { state, snapshot, draining } = world();
    drop(snapshot);
    assert_eq!(answer(&state, &Method::GET, "/livez").status(), 503);
    draining.send_replace(true);
    assert_eq!(answer(&state, &Method::GET, "/livez").status(), 200);
}

#[tokio::test]
async fn the_status_is_what_the_client_reads() {
    let world = world();
    world.snapshot.send_replace(steady());
    let worker = world.state.metrics.worker();
    worker.session_opened();
    worker.hold_commands.set(1);
    worker.hold_bytes.set(70);
    let (status, body) = get(&world, "/api/v1/status").await;
    assert_eq!(status, 200);
    let read: Status = serde_json::from_str(&body).expect("a status");
    assert_eq!(read.snapshot, *steady());
    assert_eq!((read.sessions.open, read.sessions.max), (1, 10));
    assert_eq!((read.held.commands, read.held.bytes, read.held.max_bytes), (1, 70, 1_000));
    assert!(read.ready && !read.draining);
    let fields: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(fields["gate_open"], true, "the snapshot's fields stand at the top");
}

#[tokio::test]
async fn metrics_agree_with_the_status() {
    let world = world();
    world.snapshot.send_replace(steady());
    let (status, body) = get(&world, "/metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains("\nsegue_topology_epoch 3\n"), "{body}");
    assert!(body.contains("\nsegue_gate_open 1\n"));
}

#[tokio::test]
async fn the_page_loads_nothing_and_trusts_nothing() {
    let world = world();
    let answer = answer(&world.state, &Method::GET, "/");
    let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
    assert!(policy.starts_with("default-src 'none'"));
    for outside in ["http://", "https://", "src=", "@import", "innerHTML"] {
        assert!(!PAGE.contains(outside), "{outside}");
    }
}

#[test]
fn what_is_not_there_and_what_is_not_read_is_told_apart() {
    let World { state, .. } = world();
    for path in ["/nowhere", "/metrics/", "/api/v1", ""] {
        assert_eq!(answer(&state, &Method::GET, path).status(), 404, "{path}");
    }
    for path in ["/", "/metrics", "/livez", "/readyz", "/api/v1/status", "/api/v1/events"] {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let answer = answer(&state, &method, path);
            assert_eq!(answer.status(), 405, "{method} {path}");
            assert_eq!(answer.headers()[header::ALLOW], "GET, HEAD");
        }
        assert_ne!(answer(&state, &Method::HEAD, path).status(), 405, "HEAD {path}");
    }
}

#[test]
fn only_the_whole_token_opens() {
    let check = |value: Option<&str>| {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(header::AUTHORIZATION, value.parse().expect("a header"));
        }
        is_authorized(&headers, "sesame")
    };
    assert!(check(Some("Bearer sesame")));
    assert!(check(Some("bearer sesame")));
    for wrong in ["Bearer sesamf", "Bearer sesam", "Bearer sesame1", "Bearer ", "Basic sesame"] {
        assert!(!check(Some(wrong)), "{wrong}");
    }
    assert!(!check(Some("x")), "shorter than the scheme");
    assert!(!check(None));
}
