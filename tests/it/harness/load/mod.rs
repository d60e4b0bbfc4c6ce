//! Pipelined mixed traffic of several clients, whose replies show whose they are.
//!
//! Every value names the client, the key and the attempt that wrote it, so a reply that slipped
//! by one place is seen at once. Each client owns its keys: what it wrote is what is there.

mod history;

pub(crate) use history::{Command, History, Op};

use super::{Client, eventually};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between two pipelines of a client: leaves the two cores some air for the nodes.
const PAUSE: Duration = Duration::from_millis(2);

/// How much traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// Connections, each with a thread of its own.
    pub(crate) clients: usize,
    /// Commands that a client sends at once before it reads the replies.
    pub(crate) depth: usize,
}

/// Running traffic.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    rounds: Arc<Vec<AtomicUsize>>,
    clients: Vec<JoinHandle<History>>,
}

impl Load {
    pub(crate) fn start(addr: SocketAddr, traffic: Traffic) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds: Arc<Vec<AtomicUsize>> =
            Arc::new((0..traffic.clients).map(|_| AtomicUsize::new(0)).collect());
        let clients = (0..traffic.clients)
            .map(|id| {
                let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
                thread::spawn(move || run(addr, id, traffic.depth, &stop, &rounds[id]))
            })
            .collect();
        Self { stop, rounds, clients }
    }

    /// Waits until every client has had the replies of `count` more pipelines.
    #[track_caller]
    pub(crate) fn wait_rounds(&self, count: usize) {
        let now = || self.rounds.iter().map(|it| it.load(Ordering::Relaxed));
        let goal: Vec<_> = now().map(|it| it + count).collect();
        eventually("every client goes on", || {
            let broken = self.clients.iter().any(JoinHandle::is_finished);
            (broken || now().zip(&goal).all(|(it, goal)| it >= *goal)).then_some(())
        });
    }

    /// Stops the clients and gives what each has seen.
    #[track_caller]
    pub(crate) fn finish(self) -> Vec<History> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|it| it.join().expect("a client must not panic")).collect()
    }
}

fn run(
    addr: SocketAddr,
    id: usize,
    depth: usize,
    stop: &AtomicBool,
    rounds: &AtomicUsize,
) -> History {
    let mut history = History::new(id);
    let mut client = match Client::connect(addr) {
        Ok(client) => client,
        Err(error) => return history.broken(format!("could not connect: {error}")),
    };
    let mut attempt = 0;
    while !stop.load(Ordering::Relaxed) {
        let commands: Vec<_> = (0..depth)
            .map(|_| {
                attempt += 1;
                Command::mixed(attempt)
            })
            .collect();
        let bytes: Vec<_> = commands.iter().flat_map(|it| it.encode(id)).collect();
        let invoked = Instant::now();
        if let Err(error) = client.try_send(&bytes) {
            return history.broken(format!("attempt {attempt}: {error}"));
        }
        for command in commands {
            match client.try_read() {
                Ok(reply) => history.ops.push(Op { command, invoked, done: Instant::now(), reply }),
                Err(error) => return history.broken(format!("{command:?}: {error}")),
            }
        }
        rounds.fetch_add(1, Ordering::Relaxed);
        thread::park_timeout(PAUSE);
    }
    history
}
