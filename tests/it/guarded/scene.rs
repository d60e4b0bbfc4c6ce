//! Two listeners over one group, and clients that write keys which nobody else writes.

use crate::harness::{Client, Group, Kind, Port, Proxy, Server, Value, encode};
use serde_json::{Value as Json, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// How sessions reach the primary.
pub(super) const MODES: [&str; 2] = ["dedicated", "shared"];

/// Longer than any test takes: a write that waits stays withheld until the test lets it go.
pub(super) const ENDLESS: &str = "14s";

/// A group behind a guarded and a plain listener.
pub(super) struct Scene {
    /// Ends before its nodes do.
    pub(super) proxy: Proxy,
    pub(super) group: Group,
    guarded: Port,
}

impl Scene {
    /// `durability` is what the guarded listener promises; `change` changes the rest.
    pub(super) fn with(
        group: Group,
        mode: &str,
        durability: &Json,
        change: impl FnOnce(&mut Json),
    ) -> Self {
        let guarded = Port::reserve();
        let address = guarded.addr().to_string();
        let proxy = Proxy::over(&group.nodes())
            .with(|it| {
                let listen = it["listen"].as_array_mut().expect("a list");
                listen.push(json!({ "address": address, "durability": durability }));
                it["sessions"]["upstream"] = json!(mode);
                change(it);
            })
            .start();
        proxy.wait_ready();
        proxy.announce_failover();
        Self { proxy, group, guarded }
    }

    pub(super) fn start(kind: Kind, replicas: usize, mode: &str, durability: &Json) -> Self {
        Self::with(Group::start(kind, replicas), mode, durability, |_| {})
    }

    pub(super) const fn guarded_addr(&self) -> SocketAddr {
        self.guarded.addr()
    }

    /// A guarded session.
    #[track_caller]
    pub(super) fn guarded(&self) -> Client {
        Client::connect(self.guarded_addr()).expect("segue accepts")
    }

    /// One that speaks RESP3 if `resp3`.
    #[track_caller]
    pub(super) fn guarded_as(&self, resp3: bool) -> Client {
        let mut client = self.guarded();
        if resp3 {
            client.call(&["HELLO", "3"]);
        }
        client
    }

    pub(super) fn replica(&self) -> &Server {
        &self.group.replicas[0]
    }
}

/// Whether this is what a guarded write is told that was not confirmed.
pub(super) fn is_uncertain(reply: &Value) -> bool {
    reply.error().is_some_and(|it| it.starts_with("UNCERTAIN Segue: executed on "))
}

/// Clients that pipeline `SET` of keys of their own, and remember what they were told.
pub(super) struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Told>>,
}

/// What clients were told about their keys.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) acknowledged: Vec<String>,
    pub(super) uncertain: Vec<String>,
}

impl Writers {
    pub(super) fn start(addr: SocketAddr, clients: usize, depth: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let threads = (0..clients)
            .map(|id| {
                let (stop, count) = (Arc::clone(&stop), Arc::clone(&acknowledged));
                thread::spawn(move || write(addr, id, depth, &stop, &count))
            })
            .collect();
        Self { stop, acknowledged, threads }
    }

    /// How many writes were acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many more were.
    #[track_caller]
    pub(super) fn wait(&self, more: usize) {
        let goal = self.acknowledged() + more;
        crate::harness::eventually("guarded writes are acknowledged", || {
            let broken = self.threads.iter().any(JoinHandle::is_finished);
            (broken || self.acknowledged() >= goal).then_some(())
        });
    }

    #[track_caller]
    pub(super) fn finish(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Told::default();
        for thread in self.threads {
            let told = thread.join().expect("a client must not panic");
            all.acknowledged.extend(told.acknowledged);
            all.uncertain.extend(told.uncertain);
        }
        all
    }
}

fn write(
    addr: SocketAddr,
    id: usize,
    depth: usize,
    stop: &AtomicBool,
    count: &AtomicUsize,
) -> Told {
    let mut client = Client::connect(addr).expect("segue accepts");
    let mut told = Told::default();
    let mut next = 0;
    while !stop.load(Ordering::Relaxed) {
        let keys: Vec<_> = (next..next + depth).map(|it| format!("guarded:{id}:{it}")).collect();
        next += depth;
        client.send(&keys.iter().flat_map(|it| encode(&["SET", it, it])).collect::<Vec<_>>());
        for key in keys {
            let reply = client.read();
            if reply == "+OK" {
                told.acknowledged.push(key);
                count.fetch_add(1, Ordering::Relaxed);
            } else {
                let is_known = reply.error().is_some_and(|it| it.starts_with("UNCERTAIN "));
                assert!(is_known, "client {id}: {key} got {reply}");
                told.uncertain.push(key);
            }
        }
    }
    told
}

impl Told {
    /// Every acknowledged key is on `node`, with its value.
    #[track_caller]
    pub(super) fn check(&self, node: &Server) {
        let mut client = node.client();
        for keys in self.acknowledged.chunks(500) {
            let command: Vec<&str> =
                ["MGET"].into_iter().chain(keys.iter().map(String::as_str)).collect();
            let there = client.call(&command);
            for (key, value) in keys.iter().zip(there.items()) {
                assert_eq!(*value, key.as_str(), "acknowledged, and lost");
            }
        }
    }
}
