//! Many clients that do everything at once over shared connections, while the primary changes as
//! planned. Each knows every byte that it must get.
//!
//! `SEGUE_SEED` begins with another seed, `SEGUE_SWITCHOVERS` changes more often. What fails says its
//! seed: it decides what each client says, not how their words cross.

mod talk;
mod value;
mod wire;

use crate::harness::{Group, Kind, Proxy, Server, eventually};
use serde_json::json;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use talk::Talk;

on_both!(each_of_many_clients_gets_its_own_replies);

const CLIENTS: u64 = 24;
const SWITCHOVERS: usize = 5;

/// Steps that each client does between two switchovers.
const STEPS: usize = 12;

/// A sibling that lags for a moment need not copy everything anew.
const BACKLOG: [&str; 2] = ["--repl-backlog-size", "64mb"];

/// What must be as if nothing had been, once all clients are gone.
const LEFT: [&str; 7] = [
    "segue_sessions_open",
    "segue_in_flight_requests",
    "segue_in_flight_bytes",
    "segue_hold_commands",
    "segue_hold_bytes",
    "segue_withheld_replies",
    "segue_withheld_bytes",
];

/// What no client has caused.
const NEVER: [&str; 8] = [
    "segue_commands_uncertain_total",
    "segue_commands_refused_total{reason=\"timeout\"}",
    "segue_commands_refused_total{reason=\"full\"}",
    "segue_commands_refused_total{reason=\"streamed\"}",
    "segue_sessions_closed_total{reason=\"protocol_error\"}",
    "segue_sessions_closed_total{reason=\"unrestorable\"}",
    "segue_sessions_closed_total{reason=\"slow_reader\"}",
    "segue_session_restore_failures_total",
];

/// Goal: whatever sessions of shared connections do, read, leave unread or leave unfinished, each gets
/// its own replies, all of them and no error, none waits for ever, and nothing is left of them; also
/// while the primary changes as planned.
///
/// Method: clients draw their conversations from a seed and compare every byte; switchovers go on
/// meanwhile. At the end the primary changes once more, which closes what nobody uses: then no node
/// may have a connection that is not of the control plane.
fn each_of_many_clients_gets_its_own_replies(kind: Kind) {
    let number = |name: &str| env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let seed = number("SEGUE_SEED").unwrap_or(1);
    let switchovers = number("SEGUE_SWITCHOVERS").map_or(SWITCHOVERS, |it| it as usize);
    eprintln!("{kind:?}: seed {seed}");
    let group = Group::start_with(kind, 2, &BACKLOG);
    let proxy = start(&group);
    let crowd = Crowd::start(&proxy, seed);
    for _ in 0..switchovers {
        crowd.wait_steps(STEPS);
        switch_over(&group, &proxy);
    }
    crowd.wait_steps(STEPS);
    let steps = crowd.finish();

    for series in LEFT {
        eventually(&format!("{series} is 0"), || proxy.metric(series).eq(&0.0).then_some(()));
    }
    for series in NEVER {
        assert_eq!(proxy.metric(series), 0.0, "{series}, seed {seed}");
    }
    switch_over(&group, &proxy);
    eventually("no upstream connection is left", || {
        proxy.metric("segue_upstream_connections").eq(&0.0).then_some(())
    });
    for node in group.nodes() {
        eventually("no session has a connection to the node", || {
            sessions_at(node).is_empty().then_some(())
        });
    }
    assert_eq!(proxy.client().call(&["PING"]), "+PONG");
    eprintln!(
        "{steps} steps, {} sessions, {} connections to nodes",
        proxy.metric("segue_sessions_accepted_total"),
        proxy.metric("segue_upstream_opened_total"),
    );
}

fn start(group: &Group) -> Proxy {
    let setup = Proxy::over(&group.nodes()).with(|it| {
        it["workers"] = json!(2);
        it["sessions"]["upstream"] = json!("shared");
        // A node that is only busy is not lost: every change is a planned one.
        for (key, value) in [("timeout", "9s"), ("suspect_after", "10s"), ("down_after", "12s")] {
            it["health"][key] = json!(value);
        }
    });
    let proxy = setup.start();
    proxy.wait_ready();
    proxy
}

#[track_caller]
fn switch_over(group: &Group, proxy: &Proxy) {
    let (code, account) = proxy.order(&["switchover"]);
    assert_eq!(code, Some(0), "{account}");
    group.wait_behind(group.by_name(account["to"].as_str().expect("a name")));
    proxy.wait_followed();
}

/// Lines of `CLIENT LIST` at `node` that are neither Segue's control plane, nor replication, nor the
/// one that asks.
fn sessions_at(node: &Server) -> Vec<String> {
    const OTHERS: [&str; 4] = ["name=segue", "cmd=client", "flags=S", "flags=M"];
    let list = node.call(&["CLIENT", "LIST"]).text();
    let lines = list.lines().filter(|line| !OTHERS.iter().any(|it| line.contains(it)));
    lines.map(ToOwned::to_owned).collect()
}

/// All clients, each with a thread of its own.
struct Crowd {
    seed: u64,
    stop: Arc<AtomicBool>,
    steps: Arc<Vec<AtomicUsize>>,
    clients: Vec<JoinHandle<Result<(), String>>>,
}

impl Crowd {
    fn start(proxy: &Proxy, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let steps: Arc<Vec<_>> = Arc::new((0..CLIENTS).map(|_| AtomicUsize::new(0)).collect());
        let clients = (0..CLIENTS).map(|id| {
            let (stop, steps) = (Arc::clone(&stop), Arc::clone(&steps));
            let addr = proxy.addr();
            thread::spawn(move || converse(Talk::new(addr, id, seed), &stop, &steps[id as usize]))
        });
        let clients = clients.collect();
        Self { seed, stop, steps, clients }
    }

    /// Waits until every client has done `count` more steps, or one has failed.
    #[track_caller]
    fn wait_steps(&self, count: usize) {
        let now = || self.steps.iter().map(|it| it.load(Ordering::Relaxed));
        let goal: Vec<_> = now().map(|it| it + count).collect();
        eventually(&format!("every client of seed {} goes on", self.seed), || {
            let failed = self.clients.iter().any(JoinHandle::is_finished);
            (failed || now().zip(&goal).all(|(it, goal)| it >= *goal)).then_some(())
        });
    }

    /// Lets every client come to its end; how many steps they did.
    #[track_caller]
    fn finish(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        eventually(&format!("every client of seed {} comes to its end", self.seed), || {
            self.clients.iter().all(JoinHandle::is_finished).then_some(())
        });
        let ends = std::mem::take(&mut self.clients).into_iter().enumerate();
        let ends = ends.map(|(id, it)| (id, it.join().expect("a client does not panic")));
        let failed: Vec<_> =
            ends.filter_map(|(id, it)| Some(format!("client {id}, {}", it.err()?))).collect();
        assert!(failed.is_empty(), "seed {}:\n{}", self.seed, failed.join("\n"));
        self.steps.iter().map(|it| it.load(Ordering::Relaxed)).sum()
    }
}

impl Drop for Crowd {
    /// Also of a test that failed.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Steps until told to stop.
fn converse(mut talk: Talk, stop: &AtomicBool, steps: &AtomicUsize) -> Result<(), String> {
    while !stop.load(Ordering::Relaxed) {
        let (name, told) = talk.step();
        let done = steps.fetch_add(1, Ordering::Relaxed);
        if let Err(told) = told {
            let failed = format!("step {done} ({name}): {told}");
            // At once: what it leads to elsewhere may end the test before it is asked for.
            eprintln!("{failed}");
            return Err(failed);
        }
    }
    talk.finish().map_err(|it| format!("at the end: {it}"))
}
