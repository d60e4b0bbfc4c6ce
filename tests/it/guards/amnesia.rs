//! A primary that comes back without its data must not wipe its replicas.

use super::pass;
use crate::harness::{Group, Kind, Proxy, Server, Value, eventually};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

on_both!(
    nothing_left_at_once,
    nothing_left_after_a_second,
    an_old_snapshot_after_a_moment,
    all_of_it_from_the_log_is_no_failover,
    the_whole_grid,
);

const KEYS: i64 = 100_000;

/// Keys of an old snapshot.
const OLD_KEYS: i64 = 60_000;

const GUARDED: &str = "\"The primary came back without its data; saving a replica's\"";

/// What the primary finds when it comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Disk {
    Nothing,
    OldSnapshot,
    Log,
}

fn nothing_left_at_once(kind: Kind) {
    comes_back(kind, Disk::Nothing, Duration::ZERO, true);
}

fn nothing_left_after_a_second(kind: Kind) {
    comes_back(kind, Disk::Nothing, Duration::from_secs(1), true);
}

fn an_old_snapshot_after_a_moment(kind: Kind) {
    comes_back(kind, Disk::OldSnapshot, Duration::from_millis(200), true);
}

fn all_of_it_from_the_log_is_no_failover(kind: Kind) {
    comes_back(kind, Disk::Log, Duration::from_millis(200), true);
}

/// By hand, with `SEGUE_AMNESIA=1`: every disk, every time, with thresholds that leave it all to
/// the guard and with those of the harness, under which a failover may be faster.
fn the_whole_grid(kind: Kind) {
    if std::env::var_os("SEGUE_AMNESIA").is_none() {
        return;
    }
    for is_patient in [true, false] {
        for disk in [Disk::Nothing, Disk::OldSnapshot, Disk::Log] {
            for ms in [0, 200, 1_000, 2_000, 5_000] {
                let from = Instant::now();
                comes_back(kind, disk, Duration::from_millis(ms), is_patient);
                let took = from.elapsed();
                eprintln!("{kind:?} {disk:?} back after {ms} ms, patient {is_patient}: {took:.1?}");
            }
        }
    }
}

/// A primary with keys, in memory and on its disk as the case wants it.
fn primary(kind: Kind, disk: Disk) -> Server {
    let extra: &[&str] = if disk == Disk::Log { &["--appendonly", "yes"] } else { &[] };
    let primary = Server::primary_with(kind, extra);
    if disk == Disk::OldSnapshot {
        assert_eq!(primary.call(&["DEBUG", "POPULATE", &OLD_KEYS.to_string()]), "+OK");
        assert_eq!(primary.call(&["SAVE"]), "+OK");
    }
    assert_eq!(primary.call(&["DEBUG", "POPULATE", &KEYS.to_string()]), "+OK");
    if disk == Disk::Log {
        // What was populated is not in the log by itself.
        assert_eq!(primary.call(&["BGREWRITEAOF"]).error(), None);
        eventually("the log is whole", || {
            let info = primary.try_info("persistence")?;
            let is_over = ["aof_rewrite_in_progress", "aof_rewrite_scheduled"]
                .iter()
                .all(|it| info.get(*it).is_some_and(|it| it == "0"));
            (is_over && info["aof_last_bgrewrite_status"] == "ok").then_some(())
        });
    }
    primary
}

/// Goal: at every moment one replica has all keys; in the end the group has all keys, and what
/// was last written. With its data back, the primary serves on.
///
/// Method: kill, let the time pass, start it again; a watcher asks the replicas all the while how
/// many keys they have.
fn comes_back(kind: Kind, disk: Disk, after: Duration, is_patient: bool) {
    let mut group = Group::around(primary(kind, disk), 2, &[]);
    let proxy = Proxy::over(&group.nodes()).with(|it| {
        if is_patient {
            // Longer than it stays away: nobody but the guard has a reason to act.
            it["health"]["refused_after"] = json!("12s");
            it["health"]["down_after"] = json!("12s");
        }
        it["health"]["loading_after"] = json!("30s");
        it["hold"]["timeout"] = json!("30s");
    });
    let proxy = proxy.start();
    proxy.wait_ready();
    proxy.announce_failover();
    // It may die before it has told its commands.
    proxy.announce(&[GUARDED, "\"The primary does not tell its commands; "]);
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "last", "word"]), "+OK");
    group.wait_in_sync();
    let watcher = Watcher::start(&group.replicas);

    group.primary.kill();
    proxy.wait_gate(false);
    pass(after);
    group.primary.restart();
    let context = format!("{kind:?} {disk:?} {after:?} patient {is_patient}");
    assert_eq!(client.call(&["GET", "last"]), "word", "{context}");
    assert_eq!(client.call(&["DBSIZE"]), format!(":{}", KEYS + 1).as_str(), "{context}");
    assert_eq!(client.call(&["SET", "last", "words"]), "+OK");

    if disk == Disk::Log && is_patient {
        assert!(proxy.promotions() == 0.0 && group.primary.is_primary(), "{context}");
        assert_eq!(proxy.logged(GUARDED), 0, "{context}");
    } else if is_patient {
        proxy.wait_promotions(1);
        assert_eq!(proxy.metric("segue_amnesia_guards_total"), 1.0, "{context}");
        let left = if disk == Disk::OldSnapshot { OLD_KEYS } else { 0 };
        eventually("it is logged", || (proxy.logged(GUARDED) > 0).then_some(()));
        let log = proxy.log();
        let told: Vec<_> = log.lines().filter(|it| it.contains(GUARDED)).collect();
        let expected = [format!("\"keys\":{left},"), format!("\"saved_keys\":{}", KEYS + 1)];
        assert_eq!(told.len(), 1, "{context}");
        assert!(expected.iter().all(|it| told[0].contains(it)), "{context}: {}", told[0]);
    }
    for node in group.nodes() {
        eventually("every node has everything", || {
            let has = node.client().try_call(&["DBSIZE"]).ok()?;
            (has == format!(":{}", KEYS + 1).as_str()).then_some(())
        });
    }
    let fewest = watcher.finish();
    assert!(fewest > KEYS, "{context}: no replica had more than {fewest} keys at one moment");
}

/// Asks replicas how many keys they have, all the time.
struct Watcher {
    stop: Arc<AtomicBool>,
    fewest: Arc<AtomicI64>,
    thread: thread::JoinHandle<()>,
}

impl Watcher {
    fn start(replicas: &[Server]) -> Self {
        let (stop, fewest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(i64::MAX)));
        let mut clients: Vec<_> = replicas.iter().map(Server::client).collect();
        let (stopped, least) = (Arc::clone(&stop), Arc::clone(&fewest));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // One that loads another copy, or ended with a failed test, has none.
                let sizes = clients.iter_mut().filter_map(|it| {
                    let reply = it.try_call(&["DBSIZE"]).ok()?;
                    matches!(reply, Value::Integer(_)).then(|| reply.integer())
                });
                let most = sizes.max().unwrap_or(0);
                least.fetch_min(most, Ordering::Relaxed);
                thread::park_timeout(Duration::from_millis(2));
            }
        });
        Self { stop, fewest, thread }
    }

    /// The fewest keys that the fullest replica had at any moment.
    #[track_caller]
    fn finish(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watcher must not panic");
        self.fewest.load(Ordering::Relaxed)
    }
}
