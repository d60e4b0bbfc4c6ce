//! Planned switchovers under load: nobody notices, nothing is lost.

use crate::harness::{Client, Group, Kind, Load, Proxy, Server, Traffic, eventually};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

on_both!(
    a_mixed_load_notices_nothing,
    what_speaks_against_it_is_named_and_nothing_is_touched,
    a_switchover_that_cannot_be_finished_is_taken_back,
);

/// Switchovers of one test; more with `SEGUE_SWITCHOVERS`.
const SWITCHOVERS: usize = 6;

const TRAFFIC: Traffic = Traffic { clients: 4, depth: 8 };

/// The first copies need not wait for company.
const QUIET: [&str; 2] = ["--repl-diskless-sync-delay", "0"];

/// Goal: under pipelined, transactional, blocking and subscribing clients, switchovers back and
/// forth cost no error, no uncertain answer, no write, no message and no full resynchronisation.
///
/// Method: run the command over and over under load; check each client's history against the
/// node that serves at the end, and the counters of every node and of Segue.
fn a_mixed_load_notices_nothing(kind: Kind) {
    let group = Group::start_with(kind, 2, &QUIET);
    let proxy = Proxy::over(&group.nodes())
        // However slow this machine is.
        .with(|it| it["sessions"]["subscribers_first"] = json!("10s"))
        .start();
    proxy.wait_ready();
    let begun = Instant::now();
    let fulls: Vec<_> = group.nodes().into_iter().map(full_resyncs).collect();
    let load = Load::start(proxy.addr(), TRAFFIC);
    let others = Others::start(proxy.addr());
    load.wait_rounds(20);

    let count = std::env::var("SEGUE_SWITCHOVERS").ok().and_then(|it| it.parse().ok());
    let mut held = Vec::new();
    for _ in 0..count.unwrap_or(SWITCHOVERS) {
        let (code, account) = proxy.order(&["switchover"]);
        assert_eq!(code, Some(0), "{account}");
        assert_eq!(account["outcome"], "done");
        held.push(account["held_ms"].as_f64().expect("a number"));
        let new = group.by_name(account["to"].as_str().expect("a name"));
        assert!(new.is_primary(), "{account}");
        group.wait_behind(new);
        proxy.wait_followed();
        load.wait_rounds(5);
    }
    load.wait_rounds(10);
    let mut longest = others.finish();
    let serving = group.nodes().into_iter().find(|it| it.is_primary()).expect("a primary");
    for history in load.finish() {
        history.check_replies(0);
        assert_eq!(history.uncertain(), 0);
        assert_eq!(history.check_data(serving, begun, 0), 0, "writes lost");
        longest.push(history.longest());
    }
    for (node, full) in group.nodes().into_iter().zip(fulls) {
        assert_eq!(full_resyncs(node), full, "a full resynchronisation");
    }
    let counted = proxy.metric("segue_switchovers_total{outcome=\"done\"}") as usize;
    assert_eq!(counted, held.len());
    assert_eq!(proxy.metric("segue_commands_uncertain_total"), 0.0);
    held.sort_by(f64::total_cmp);
    let at = |share: f64| held[((held.len() - 1) as f64 * share) as usize];
    eprintln!(
        "{kind:?}: {} switchovers; held p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; longest wait of \
         a client {:?}",
        held.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        longest.iter().max(),
    );
}

/// Goal: every reason is named at once, with the code of the command and of the API, and the
/// group stays as it is; the read-only port changes nothing.
///
/// Method: ask for what cannot be.
fn what_speaks_against_it_is_named_and_nothing_is_touched(kind: Kind) {
    let group = Group::start_with(kind, 2, &QUIET);
    let proxy = Proxy::start(&group.nodes());
    group.replicas[0].call(&["CONFIG", "SET", "replica-priority", "0"]);
    group.replicas[0].call(&["CONFIG", "SET", "maxmemory", "100mb"]);
    eventually("it is seen", || {
        let (_, account) = proxy.order(&["switchover", "--to", "b", "--dry-run"]);
        account["reasons"].to_string().contains("priority 0").then_some(())
    });
    let (code, account) = proxy.order(&["switchover", "--to", "b"]);
    let reasons = account["reasons"].to_string();
    assert_eq!(code, Some(75), "{account}");
    assert!(reasons.contains("maxmemory of 104857600"), "{account}");
    let (code, account) = proxy.order(&["switchover", "--to", "a"]);
    assert_eq!(code, Some(75));
    assert!(account["reasons"][0].as_str().is_some_and(|it| it.contains("already")), "{account}");
    for order in ["switchover", "failover"] {
        let (code, account) = proxy.order(&[order, "--to", "nobody", "--dry-run"]);
        assert_eq!(code, Some(64), "{account}");
        assert_eq!(account["reasons"][0], "no node is called nobody; there are a, b, c");
    }
    let (code, account) = proxy.order(&["switchover", "--dry-run"]);
    assert_eq!((code, account["to"].as_str()), (Some(0), Some("c")), "{account}");

    assert_eq!(proxy.get("/api/v1/switchover").0, 403);
    assert!(group.primary.is_primary());
    assert_eq!(proxy.status()["epoch"], 1);
}

/// Goal: what cannot be finished in time leaves the old primary as it was, writable and serving.
///
/// Method: the target stops in the middle: it is frozen, so that it can never say that it has all.
fn a_switchover_that_cannot_be_finished_is_taken_back(kind: Kind) {
    let group = Group::start_with(kind, 1, &QUIET);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    proxy.announce(&["\"The switchover did not succeed\"", "\"Node is suspect\""]);
    let mut client = proxy.client();
    group.replicas[0].freeze();
    let (code, account) = proxy.order(&["switchover", "--to", "b", "--timeout", "400ms"]);
    assert_eq!(code, Some(75), "{account}");
    assert_eq!(client.call(&["SET", "k", "v"]), "+OK");
    assert_eq!(group.primary.call(&["SET", "direct", "v"]), "+OK", "it is not paused");
    group.replicas[0].thaw();
    assert!(group.primary.is_primary());
    group.wait_in_sync();
}

fn full_resyncs(node: &Server) -> u64 {
    node.info("stats")["sync_full"].parse().expect("a number")
}

/// Clients of the kinds that a pipelined load does not have.
struct Others {
    stop: Arc<AtomicBool>,
    pairs: Vec<JoinHandle<Duration>>,
}

impl Others {
    fn start(addr: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let start = |act: fn(SocketAddr, &AtomicBool) -> Duration| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || act(addr, &stop))
        };
        let pairs = vec![start(transactions), start(queue), start(messages), start(plain)];
        Self { stop, pairs }
    }

    /// The longest that each of them waited.
    #[track_caller]
    fn finish(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.pairs.into_iter().map(|it| it.join().expect("a client must not panic")).collect()
    }
}

/// Calls `turn` until told to stop; the longest that one took.
fn turns(stop: &AtomicBool, mut turn: impl FnMut(u64)) -> Duration {
    let mut longest = Duration::ZERO;
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let start = Instant::now();
        turn(n);
        longest = longest.max(start.elapsed());
        thread::park_timeout(Duration::from_millis(1));
    }
    longest
}

/// Two counters that only ever change together.
fn transactions(addr: SocketAddr, stop: &AtomicBool) -> Duration {
    let mut client = Client::connect(addr).expect("segue accepts");
    turns(stop, |n| {
        assert_eq!(client.call(&["MULTI"]), "+OK");
        assert_eq!(client.call(&["INCR", "tx:a"]), "+QUEUED");
        assert_eq!(client.call(&["INCR", "tx:b"]), "+QUEUED");
        let counts = client.call(&["EXEC"]);
        assert_eq!(counts, format!("[:{n}, :{n}]").as_str());
    })
}

/// A queue: every element arrives once, in order, at somebody who waits for it.
fn queue(addr: SocketAddr, stop: &AtomicBool) -> Duration {
    let mut taker = Client::connect(addr).expect("segue accepts");
    let mut giver = Client::connect(addr).expect("segue accepts");
    turns(stop, |n| {
        taker.send_all(&[&["BLPOP", "queue", "0"]]);
        if n % 2 == 0 {
            thread::park_timeout(Duration::from_millis(3));
        }
        assert_eq!(giver.call(&["RPUSH", "queue", &n.to_string()]).error(), None);
        assert_eq!(taker.read(), format!("[queue, {n}]").as_str());
    })
}

/// A channel: what was published with a subscriber arrives.
fn messages(addr: SocketAddr, stop: &AtomicBool) -> Duration {
    let mut listener = Client::connect(addr).expect("segue accepts");
    let mut speaker = Client::connect(addr).expect("segue accepts");
    assert_eq!(listener.call(&["SUBSCRIBE", "news"]), "[subscribe, news, :1]");
    turns(stop, |n| {
        assert_eq!(speaker.call(&["PUBLISH", "news", &n.to_string()]), ":1", "nobody heard it");
        assert_eq!(listener.read(), format!("[message, news, {n}]").as_str());
    })
}

/// One command after the other.
fn plain(addr: SocketAddr, stop: &AtomicBool) -> Duration {
    let mut client = Client::connect(addr).expect("segue accepts");
    turns(stop, |n| assert_eq!(client.call(&["INCR", "plain"]), format!(":{n}").as_str()))
}
