//! Several proxies before one group, and nobody who coordinates them.

use crate::harness::{Client, Group, Kind, Proxy, Server, eventually};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

on_both!(
    two_and_a_killed_primary,
    three_and_a_killed_primary,
    two_and_a_frozen_primary,
    three_and_a_frozen_primary,
);

/// The promise is one probe interval, 50 ms here; the rest is for a machine that is busy with
/// other tests, and for the watcher's own turns.
const TWO_PRIMARIES_MAX: Duration = Duration::from_millis(500);

fn two_and_a_killed_primary(kind: Kind) {
    settle_on_one(kind, 2, |group| group.primary.kill());
}

fn three_and_a_killed_primary(kind: Kind) {
    settle_on_one(kind, 3, |group| group.primary.kill());
}

fn two_and_a_frozen_primary(kind: Kind) {
    settle_on_one(kind, 2, |group| group.primary.freeze());
}

fn three_and_a_frozen_primary(kind: Kind) {
    settle_on_one(kind, 3, |group| group.primary.freeze());
}

/// Goal: proxies that see the same death at the same moment never have two primaries written to
/// for longer than a probe interval, and settle on one; no client sees more than uncertainty.
///
/// Method: a writer through each proxy; a watcher that asks the replicas for their role and for
/// how many writes they ran. Afterwards every proxy names the same node, and that one has what
/// each writer was told last.
fn settle_on_one(kind: Kind, count: usize, fault: fn(&mut Group)) {
    let mut group = Group::start(kind, 2);
    let proxies: Vec<_> = (0..count).map(|_| Proxy::start(&group.nodes())).collect();
    for proxy in &proxies {
        proxy.announce_failover();
    }
    let writers: Vec<_> =
        proxies.iter().enumerate().map(|(n, it)| Writer::start(it.addr(), n)).collect();
    for writer in &writers {
        writer.wait(20);
    }
    let watcher = Watcher::start(&group.replicas);
    fault(&mut group);
    let promoted = group.promoted();
    for writer in &writers {
        writer.wait(20);
    }
    let named = eventually("all name the same primary", || {
        let names: Vec<_> = proxies.iter().map(|it| it.status()["primary"].clone()).collect();
        let is_open = proxies.iter().all(|it| it.status()["gate_open"] == true);
        (is_open && names[0] != "a" && names.iter().all(|it| *it == names[0]))
            .then(|| names[0].clone())
    });
    let primary = &group.replicas[if named == "b" { 0 } else { 1 }];
    let sibling = &group.replicas[if named == "b" { 1 } else { 0 }];
    eventually("the sibling follows", || sibling.follows(primary).then_some(()));
    for writer in &writers {
        writer.wait(20);
    }
    let longest = watcher.finish();
    assert!(longest < TWO_PRIMARIES_MAX, "two primaries took writes for {longest:?}");
    for (n, writer) in writers.into_iter().enumerate() {
        let last = writer.finish();
        let there: i64 = primary.call(&["GET", &format!("n:{n}")]).text().parse().unwrap();
        assert!(there >= last, "writer {n} was told {last}, the primary has {there}");
    }
    let promotions: f64 = proxies.iter().map(Proxy::promotions).sum();
    assert!(promotions >= 1.0);
    eprintln!(
        "{kind:?}, {count} proxies: {promotions} say that they promoted, first {}, {longest:?} \
         of two primaries with writes",
        promoted.addr()
    );
}

/// Counts up through one proxy.
struct Writer {
    stop: Arc<AtomicBool>,
    done: Arc<std::sync::atomic::AtomicUsize>,
    thread: JoinHandle<i64>,
}

impl Writer {
    fn start(addr: SocketAddr, n: usize) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (stopped, turns) =
            (Arc::clone(&stop), Arc::<std::sync::atomic::AtomicUsize>::clone(&done));
        let thread = thread::spawn(move || {
            let mut client = Client::connect(addr).expect("segue accepts");
            let (key, mut last) = (format!("n:{n}"), 0);
            while !stopped.load(Ordering::Relaxed) {
                let value = (last + 1).to_string();
                let reply = client.call(&["SET", &key, &value]);
                // Uncertain is the one thing that may be said to a write in flight.
                match reply.error() {
                    None => last += 1,
                    Some(text) => assert!(text.starts_with("UNCERTAIN"), "{text}"),
                }
                turns.fetch_add(1, Ordering::Relaxed);
                thread::park_timeout(Duration::from_millis(1));
            }
            last
        });
        Self { stop, done, thread }
    }

    /// Until so many more have been answered.
    #[track_caller]
    fn wait(&self, more: usize) {
        let from = self.done.load(Ordering::Relaxed);
        eventually("the writer goes on", || {
            (self.done.load(Ordering::Relaxed) >= from + more).then_some(())
        });
    }

    #[track_caller]
    fn finish(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the writer must not panic")
    }
}

/// For how long two nodes said that they are primaries while both ran writes.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Watcher {
    fn start(nodes: &[Server]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut clients: Vec<_> = nodes.iter().map(Server::client).collect();
        let thread = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            let mut both: Option<(Instant, BTreeMap<usize, u64>)> = None;
            while !stopped.load(Ordering::Relaxed) {
                let seen: BTreeMap<usize, u64> = clients
                    .iter_mut()
                    .enumerate()
                    .filter_map(|(n, it)| Some((n, writes_as_primary(it)?)))
                    .collect();
                if seen.len() < 2 {
                    both = None;
                } else {
                    let (since, first) = both.get_or_insert_with(|| (Instant::now(), seen.clone()));
                    if seen.iter().all(|(n, writes)| *writes > first[n]) {
                        longest = longest.max(since.elapsed());
                    }
                }
                thread::park_timeout(Duration::from_millis(2));
            }
            longest
        });
        Self { stop, thread }
    }

    #[track_caller]
    fn finish(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watcher must not panic")
    }
}

/// How many `SET` a node ran, if it says that it is a primary.
fn writes_as_primary(client: &mut Client) -> Option<u64> {
    let info = client.call(&["INFO", "replication", "commandstats"]).text().clone();
    if !info.contains("role:master") {
        return None;
    }
    let line = info.lines().find_map(|it| it.strip_prefix("cmdstat_set:calls="));
    Some(line.and_then(|it| it.split(',').next()?.parse().ok()).unwrap_or(0))
}
