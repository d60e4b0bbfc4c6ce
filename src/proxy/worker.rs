//! One thread of the data plane: its runtime, its sessions, and its obedience to the route.

use super::beat::Beat;
use super::gate::{Gate, PIPES_MAX};
use super::{guard, session, turn};
use crate::config::Credentials;
use crate::net::{Detached, Stream};
use crate::pure::command::Table;
use crate::pure::session::{Limits, Policy, Promise, Rounds, World};
use crate::pure::topology::{Acknowledged, Route, Signal};
use crate::telemetry::metrics::WorkerCells;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::LocalOptions;
use tokio::sync::{Notify, mpsc, watch};
use tracing::{debug, warn};

/// Tasks that run before the runtime asks the kernel for events again. Every session that became
/// readable in one turn gets its say before the shared connection's task writes for all of them.
const EVENT_INTERVAL: u32 = 256;

/// How long a session is idle before it gives memory back, at least; at most twice as long.
const COOL_AFTER: Duration = Duration::from_secs(1);

/// A worker's beat is not faster than this, however short a stall is to be noticed.
const BEAT_MIN: Duration = Duration::from_millis(1);

/// File descriptors that the thread of a worker takes from its start: its runtime has the kernel's
/// event queue twice, a counter to be woken by, and its end of the pipe for signals; the beat is a
/// timer.
pub const THREAD_DESCRIPTORS: u64 = 5;

/// Those of one round of guarded writes: its connection, and the next one while that one is closed.
const PER_PROMISE: u64 = 2;

/// File descriptors that one worker takes beside those of its sessions, at most, where guarded
/// listeners promise `promises` different things.
pub const fn descriptors(promises: usize) -> u64 {
    // The two ends of each pipe.
    THREAD_DESCRIPTORS + 2 * PIPES_MAX as u64 + PER_PROMISE * promises as u64
}

/// How often a worker without any traffic says that it runs, and how many times until sessions may
/// have memory to give back.
fn beats(stall_min: Duration) -> (Duration, u32) {
    let longest = (stall_min / 3).clamp(BEAT_MIN, COOL_AFTER);
    let strikes = COOL_AFTER.as_millis().div_ceil(longest.as_millis());
    let strikes = u32::try_from(strikes).unwrap_or(1);
    (COOL_AFTER / strikes, strikes)
}

/// Clients handed over and not yet taken by a worker. When it is full, accepting pauses: the rest
/// waits in the kernel's queue.
const HANDOVER_MAX: usize = 256;

/// What a worker is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's decisions about sessions.
    pub policy: Policy,
    /// Bounds of each session.
    pub limits: Limits,
    /// This worker's share of `hold.max_bytes`.
    pub hold_bytes_max: usize,
    /// How long a connection to a node may take to be made.
    pub dial_limit: Duration,
    /// What guarded listeners promise, each different one once.
    pub promises: Vec<Promise>,
    /// Segue's own, for the connections that ask replicas to confirm.
    pub credentials: Option<Credentials>,
    /// Having stood still for so long, a worker asks before it writes to a node again.
    pub stall_min: Duration,
}

/// The channels of one worker to the rest of the process.
#[derive(Debug)]
pub struct Ends {
    /// What to obey.
    pub route: watch::Receiver<Route>,
    /// Up to which version it is obeyed.
    pub confirmed: watch::Sender<u64>,
    /// The last version that drains and for which nothing is in flight.
    pub drained: watch::Sender<u64>,
    /// What is seen of the primary.
    pub signals: mpsc::Sender<Signal>,
    /// The commands that are known.
    pub table: watch::Receiver<Arc<Table>>,
    /// True from the moment that the process is to end.
    pub draining: watch::Receiver<bool>,
    /// What guarded clients were told is safe; told before they are.
    pub acknowledged: watch::Sender<Option<Acknowledged>>,
    /// What is counted.
    pub cells: Arc<WorkerCells>,
}

/// Sessions that a worker has, or is about to have. Read by anybody.
#[derive(Debug, Default)]
pub struct Load {
    sessions: AtomicUsize,
    fewer: Notify,
}

impl Load {
    /// How many.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Acquire)
    }

    /// Waits until there is none.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping this.
    pub async fn drained(&self) {
        loop {
            let fewer = self.fewer.notified();
            if self.sessions() == 0 {
                return;
            }
            fewer.await;
        }
    }

    fn one_more(&self) {
        self.sessions.fetch_add(1, Ordering::AcqRel);
    }

    fn one_less(&self) {
        self.sessions.fetch_sub(1, Ordering::AcqRel);
        self.fewer.notify_waiters();
        self.fewer.notify_one();
    }
}

/// A client on its way to a worker.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) socket: Detached,
    /// Which of the promises holds for it.
    pub(super) promise: Option<usize>,
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    /// How many sessions it has.
    pub load: Arc<Load>,
    clients: mpsc::Sender<Client>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Hands a client to this worker, when it has room; false if it has ended.
    pub(super) async fn hand_over(&self, client: Client) -> bool {
        self.load.one_more();
        let taken = self.clients.send(client).await.is_ok();
        if !taken {
            self.load.one_less();
        }
        taken
    }

    /// Ends the thread, cutting whatever sessions are left.
    pub fn stop(self) {
        drop(self.clients);
        if self.thread.join().is_err() {
            warn!("A worker had panicked");
        }
    }
}

/// Starts a worker on a thread of its own.
///
/// # Errors
///
/// If there is no thread to be had.
pub fn start(index: usize, settings: Settings, ends: Ends) -> io::Result<Worker> {
    let (sender, clients) = mpsc::channel(HANDOVER_MAX);
    let load = Arc::new(Load::default());
    let own_load = Arc::clone(&load);
    // The runtime belongs to its thread, so whether it could be made has to be told from there.
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(EVENT_INTERVAL)
            .on_thread_unpark(turn::begin)
            .build_local(LocalOptions::default());
        let (period, strikes) = beats(settings.stall_min);
        let made = runtime.and_then(|it| {
            let within = it.enter();
            let beat = Beat::every(period)?;
            drop(within);
            Ok((it, beat))
        });
        match made {
            Ok((runtime, beat)) => {
                let _starter_is_gone = tell.send(Ok(()));
                runtime.block_on(run(settings, ends, clients, own_load, (beat, strikes)));
            }
            Err(error) => {
                let _starter_is_gone = tell.send(Err(error));
            }
        }
    })?;
    told.recv().map_err(io::Error::other)??;
    Ok(Worker { load, clients: sender, thread })
}

/// Runs until nobody can hand over clients any more; dropping the runtime then cuts what is left.
async fn run(
    settings: Settings,
    ends: Ends,
    mut clients: mpsc::Receiver<Client>,
    load: Arc<Load>,
    (beat, strikes): (Beat, u32),
) {
    let Settings { policy, limits, hold_bytes_max, dial_limit, promises, credentials, stall_min } =
        settings;
    let Ends { mut route, confirmed, drained, signals, mut table, mut draining, .. } = ends;
    let Ends { acknowledged, cells, .. } = ends;
    let mut world = World::new(table.borrow_and_update().clone(), policy, limits, hold_bytes_max);
    world.rounds = promises.into_iter().map(Rounds::new).collect();
    let gate = Rc::new(Gate::new(world, cells, signals, drained, dial_limit, stall_min));
    guard::start(&gate, credentials.as_ref(), &acknowledged);
    obey(&gate, &mut route, &confirmed);
    let mut until_cooling = strikes;
    loop {
        tokio::select! {
            // The route before clients: a failover must not wait behind a connection storm.
            biased;
            Ok(()) = route.changed() => obey(&gate, &mut route, &confirmed),
            Ok(()) = table.changed() => {
                gate.world.borrow_mut().set_table(table.borrow_and_update().clone());
            }
            Ok(_) = draining.wait_for(|it| *it), if !gate.is_draining() => gate.drain(),
            Ok(()) = beat.strike() => {
                gate.turn(gate.now());
                until_cooling -= 1;
                if until_cooling == 0 {
                    until_cooling = strikes;
                    gate.cool();
                }
            }
            () = gate.released.notified() => gate.wake_all(),
            client = clients.recv() => match client {
                Some(client) => start_session(&gate, &load, client),
                None => return,
            },
        }
    }
}

fn obey(gate: &Gate, route: &mut watch::Receiver<Route>, confirmed: &watch::Sender<u64>) {
    let route = *route.borrow_and_update();
    gate.set_route(route);
    confirmed.send_replace(route.version);
    // Without sessions nobody else would say that nothing is in flight.
    gate.collect();
}

fn start_session(gate: &Rc<Gate>, load: &Arc<Load>, client: Client) {
    let leaving = Leaving(Arc::clone(load));
    let Client { id, socket, promise } = client;
    let client = match Stream::attach(socket) {
        Ok(client) => client,
        Err(error) => {
            debug!(%error, "A client was gone before it was served");
            return;
        }
    };
    let gate = Rc::clone(gate);
    // No span: entering one at every turn would cost more than the turn's own work.
    tokio::task::spawn_local(async move {
        let _leaving = leaving;
        session::serve(gate, id, client, promise).await;
    });
}

/// Counts a session out, however it ends.
struct Leaving(Arc<Load>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.one_less();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_is_in_time_for_the_stall_guard_and_for_cooling() {
        for millis in [20, 200, 1_000, 1_001, 5_000, 86_400_000] {
            let stall_min = Duration::from_millis(millis);
            let (period, strikes) = beats(stall_min);
            assert!(period > Duration::ZERO && period <= stall_min / 3, "{period:?} of {millis}");
            let all = period * strikes;
            assert!(all <= COOL_AFTER && all > COOL_AFTER / 2, "cools after {all:?} of {millis}");
        }
    }
}
