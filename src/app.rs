//! Joins the planes: threads, channels, and the order in which the process ends.
//!
//! ```text
//! main thread      listeners, HTTP, control socket, signals
//! control thread   probes, decisions, promotions
//! worker threads   sessions
//! ```
//!
//! The planes never name each other: what they exchange is made here, and consists of values of
//! `pure`.

use crate::config::{Config, ListenAddress, Upstream};
use crate::control::{self, Request};
use crate::net::listen::{self, ListenError};
use crate::ops::{self, drain::Drained, signals::Signals};
use crate::proxy::{self, Accepting, Listener};
use crate::pure::command::Table;
use crate::pure::resp::{LINE_MAX, request};
use crate::pure::session::{Limits, Policy, Promise};
use crate::pure::topology::{Acknowledged, Route, Signal};
use crate::telemetry::logs;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::recent::Recent;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tracing::{info, warn};

/// Hints of the data plane that wait for the control plane. More say nothing new.
const SIGNALS_MAX: usize = 64;

/// What operators ask of the control plane and it has not taken up.
const REQUESTS_MAX: usize = 4;

/// Requests of one session that may be in flight; the bound in bytes is `sessions.max_in_flight`,
/// this one bounds what is kept *about* them.
const IN_FLIGHT_MAX: usize = 16 * 1024;

/// A reply up to this size reaches its client whole or not at all.
const REPLY_WHOLE_MAX: usize = 64 * 1024;

/// Bytes on their way to a client that does not read, before its node is not read either.
const OUT_MAX: usize = 256 * 1024;

/// How long HTTP may take to finish what it is answering.
const OPS_GRACE: Duration = Duration::from_secs(1);

/// Why the process ended before it was told to.
#[derive(Debug, Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system refused something that nothing can be done without.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Logging or metrics cannot be set up: a bug.
    #[error("cannot set up {what}: {why}")]
    Telemetry {
        /// Which part.
        what: &'static str,
        /// Why.
        why: String,
    },
}

impl Error {
    /// The exit code of sysexits(3): `EX_OSERR`, `EX_SOFTWARE`, `EX_UNAVAILABLE`.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Listen(_) => 69,
            Self::System { .. } => 71,
            Self::Telemetry { .. } => 70,
        }
    }
}

impl Error {
    /// What to do about it: a sentence, if there is one.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Listen(error) => error.advice(),
            Self::System { .. } | Self::Telemetry { .. } => None,
        }
    }
}

fn system(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::System { what, source }
}

/// Runs the proxy until it is told to stop; how the stop went.
///
/// # Errors
///
/// If something that it cannot do without is missing.
pub fn run(config: &Config) -> Result<Drained, Error> {
    let logs = logs::init(config.log())
        .map_err(|error| Error::Telemetry { what: "logs", why: error.to_string() })?;
    let nodes = config.group().nodes().iter().map(|it| it.name());
    let metrics = Metrics::new(nodes, logs.dropped())
        .map_err(|error| Error::Telemetry { what: "metrics", why: error.to_string() })?;
    for problem in config.warnings() {
        warn!(%problem, "The configuration is questionable");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start a runtime"))?;
    LocalSet::new().block_on(&runtime, serve(config, Arc::new(metrics), logs.recent()))
}

async fn serve(config: &Config, metrics: Arc<Metrics>, recent: Recent) -> Result<Drained, Error> {
    let started = Instant::now();
    let mut signals = Signals::listen().map_err(system("listen for signals"))?;
    let sessions_max = sessions_max(config);
    metrics.limits.show(config, sessions_max as u64);
    // Everything that can be refused is asked for before the first thread starts.
    let sockets = Sockets::bind(config).await?;

    let channels = Channels::new();
    let (workers, confirmations) = start_workers(config, &metrics, &channels)?;
    let loads: Vec<_> = workers.iter().map(|it| Arc::clone(&it.load)).collect();
    let snapshot = channels.snapshot.subscribe();
    let draining = channels.draining.clone();
    let stopping = channels.stopping.clone();
    let requests = channels.requests.0.clone();
    let control = start_control(config, &metrics, channels, confirmations)?;

    let state = Arc::new(ops::State {
        snapshot,
        metrics: Arc::clone(&metrics),
        draining: draining.subscribe(),
        limits: ops::status::Limits {
            sessions_max: sessions_max as u64,
            hold_max_bytes: config.hold().max_bytes() as u64,
        },
        listeners: ops::status::Listener::all(config),
        started,
        recent,
    });
    let accepting = Rc::new(Accepting {
        workers,
        sessions_max,
        cells: metrics.worker(),
        last_id: Cell::new(0),
    });
    let ops = sockets.serve(&accepting, &state, requests, &draining, &stopping);
    info!(version = env!("CARGO_PKG_VERSION"), group = config.group().name(), "Started");

    signals.stop().await;
    let closed = async {
        for load in &loads {
            load.drained().await;
        }
    };
    let drained =
        ops::drain::drain(&draining, closed, config.drain().timeout(), &mut signals).await;
    stopping.send_replace(true);
    let _late = tokio::time::timeout(OPS_GRACE, ops).await;
    if let Ok(accepting) = Rc::try_unwrap(accepting) {
        accepting.workers.into_iter().for_each(proxy::Worker::stop);
    }
    join(control);
    info!("Stopped");
    Ok(drained)
}

/// Every socket that others find us at.
struct Sockets {
    /// Each with the promise that holds for its clients.
    listeners: Vec<(Listener, Option<usize>)>,
    http: Option<TcpListener>,
    control: ops::control::Control,
}

impl Sockets {
    async fn bind(config: &Config) -> Result<Self, Error> {
        let mut listeners = Vec::new();
        let promises = promises(config);
        for it in config.listen() {
            let promise = it.durability().map(|it| it.promise());
            let promise = promises.iter().position(|other| promise == Some(*other));
            let listener = match it.address() {
                ListenAddress::Tcp(addr) => {
                    info!(%addr, "Listening");
                    Listener::Tcp(listen::tcp(*addr)?)
                }
                ListenAddress::Unix(path) => {
                    info!(path = %path.display(), "Listening");
                    Listener::from(listen::unix(path, CLIENT_SOCKET_MODE).await?)
                }
            };
            listeners.push((listener, promise));
        }
        let http = config.http().map(listen::tcp).transpose()?;
        let control = ops::control::Control::bind(config.control()).await?;
        Ok(Self { listeners, http, control })
    }

    /// Starts to serve; the returned future ends when the HTTP servers have.
    fn serve(
        self,
        accepting: &Rc<Accepting>,
        state: &Arc<ops::State>,
        requests: mpsc::Sender<Request>,
        draining: &watch::Sender<bool>,
        stopping: &watch::Sender<bool>,
    ) -> impl Future<Output = ()> + use<> {
        for (listener, promise) in self.listeners {
            let accepting = Rc::clone(accepting);
            let accept = proxy::accept(listener, promise, accepting, draining.subscribe());
            tokio::task::spawn_local(accept);
        }
        let http = self.http.map(|listener| {
            tokio::task::spawn_local(ops::http::serve(
                listener,
                Arc::clone(state),
                stopping.subscribe(),
            ))
        });
        let control = tokio::task::spawn_local(ops::control::serve(
            self.control,
            Arc::clone(state),
            requests,
            stopping.subscribe(),
        ));
        async move {
            if let Some(http) = http {
                let _ended = http.await;
            }
            let _ended = control.await;
        }
    }
}

/// Who may connect to a Unix socket for clients: everybody, as to a port; the node asks for
/// passwords.
const CLIENT_SOCKET_MODE: u32 = 0o777;

/// The process' own ends of all channels.
struct Channels {
    route: watch::Sender<Route>,
    signals: (mpsc::Sender<Signal>, mpsc::Receiver<Signal>),
    requests: (mpsc::Sender<Request>, mpsc::Receiver<Request>),
    table: watch::Sender<Arc<Table>>,
    snapshot: watch::Sender<Arc<crate::pure::topology::snapshot::Snapshot>>,
    /// No new clients; sessions end when nothing is in flight.
    draining: watch::Sender<bool>,
    /// Everything ends.
    stopping: watch::Sender<bool>,
}

impl Channels {
    fn new() -> Self {
        Self {
            route: watch::Sender::new(Route::START),
            signals: mpsc::channel(SIGNALS_MAX),
            requests: mpsc::channel(REQUESTS_MAX),
            table: watch::Sender::new(Arc::new(Table::builtin())),
            snapshot: watch::Sender::default(),
            draining: watch::Sender::new(false),
            stopping: watch::Sender::new(false),
        }
    }
}

/// What each worker tells of the routes that it was handed.
#[derive(Default)]
struct Confirmations {
    confirmed: Vec<watch::Receiver<u64>>,
    drained: Vec<watch::Receiver<u64>>,
    /// And of what it has acknowledged.
    acknowledged: Vec<watch::Receiver<Option<Acknowledged>>>,
}

fn start_workers(
    config: &Config,
    metrics: &Metrics,
    channels: &Channels,
) -> Result<(Vec<proxy::Worker>, Confirmations), Error> {
    let settings = worker_settings(config);
    let mut workers = Vec::new();
    let mut confirmations = Confirmations::default();
    for index in 0..config.workers() {
        let (confirmed, drained) = (watch::Sender::new(0), watch::Sender::new(0));
        confirmations.confirmed.push(confirmed.subscribe());
        confirmations.drained.push(drained.subscribe());
        let acknowledged = watch::Sender::default();
        confirmations.acknowledged.push(acknowledged.subscribe());
        let ends = proxy::Ends {
            route: channels.route.subscribe(),
            confirmed,
            drained,
            acknowledged,
            signals: channels.signals.0.clone(),
            table: channels.table.subscribe(),
            draining: channels.draining.subscribe(),
            cells: metrics.worker(),
        };
        let worker = proxy::start(index, settings.clone(), ends);
        workers.push(worker.map_err(system("start a worker"))?);
    }
    Ok((workers, confirmations))
}

/// Starts the control plane on a thread and runtime of its own: a stalled worker cannot delay a
/// probe, and a probe cannot delay a client.
fn start_control(
    config: &Config,
    metrics: &Metrics,
    channels: Channels,
    confirmations: Confirmations,
) -> Result<thread::JoinHandle<()>, Error> {
    let settings = control::Settings::from_config(config);
    let ends = control::Ends {
        route: channels.route,
        confirmed: confirmations.confirmed,
        drained: confirmations.drained,
        acknowledged: confirmations.acknowledged,
        requests: channels.requests.1,
        signals: channels.signals.1,
        snapshot: channels.snapshot,
        table: channels.table,
        metrics: metrics.control.clone(),
        shutdown: channels.stopping.subscribe(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start the control plane's runtime"))?;
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || LocalSet::new().block_on(&runtime, control::run(settings, ends)))
        .map_err(system("start the control plane"))
}

fn join(control: thread::JoinHandle<()>) {
    if control.join().is_err() {
        warn!("The control plane had panicked");
    }
}

fn worker_settings(config: &Config) -> proxy::Settings {
    let sessions = config.sessions();
    let query_buffer_max = sessions.max_query_buffer_bytes();
    proxy::Settings {
        policy: Policy {
            hold_timeout: config.hold().timeout(),
            uncertain_writes: sessions.uncertain_writes(),
            shares: sessions.upstream() == Upstream::Shared,
            allow: sessions.allow().commands().to_vec(),
            gap_channel: sessions.gap_channel().map(|it| it.as_bytes().into()),
            subscribers_first: sessions.subscribers_first(),
            noreplicas: sessions.noreplicas(),
        },
        limits: Limits {
            in_flight_bytes_max: sessions.max_in_flight_bytes(),
            in_flight_max: IN_FLIGHT_MAX,
            // An inline request is not streamed, so there must be room for the longest.
            query_buffer_max: query_buffer_max.max(2 * LINE_MAX),
            reply_whole_max: REPLY_WHOLE_MAX,
            out_max: OUT_MAX,
            request: request::Limits::DEFAULT,
        },
        hold_bytes_max: config.hold().max_bytes() / config.workers(),
        dial_limit: config.health().timeout(),
        promises: promises(config),
        credentials: config.group().credentials().cloned(),
        // As long as the control plane may stand still before it asks, too.
        stall_min: config.health().down_after(),
    }
}

/// What guarded listeners promise, each different one once.
fn promises(config: &Config) -> Vec<Promise> {
    let mut promises = Vec::new();
    for promise in config.listen().iter().filter_map(|it| Some(it.durability()?.promise())) {
        if !promises.contains(&promise) {
            promises.push(promise);
        }
    }
    promises
}

/// `sessions.max`, or as many as the limit of open files lets in.
fn sessions_max(config: &Config) -> usize {
    let open_files = ops::limits::raise_open_files();
    let workers = config.workers() as u64 * proxy::descriptors(promises(config).len());
    let sessions = config.sessions().max() as u64;
    let allowed = ops::limits::sessions_allowed(sessions, workers, open_files);
    usize::try_from(allowed).unwrap_or(usize::MAX)
}
