//! THE loop of the control plane: one event in, actions out, each carried out before the next
//! event is looked at. It owns the brain; nothing else touches it.
//!
//! It never waits for a node: probes and orders are tasks that report back as events.

use super::examine::examine;
use super::phases::Phases;
use super::prober::Prober;
use super::publisher::Publisher;
use super::request::{Change, Kind, Request, busy};
use super::{Clock, Settings, executor, fence, journal, learner, recorder};
use crate::pure::command::Table;
use crate::pure::failover::{Action, Adoption, Brain, Event, Fencing, NodeSpec, Order, Progress};
use crate::pure::time::Time;
use crate::pure::topology::snapshot::Snapshot;
use crate::pure::topology::{Acknowledged, NodeId, Primary, Route, Signal};
use crate::telemetry::metrics::ControlMetrics;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep_until, timeout};
use tracing::{info, warn};

/// Probe results, order outcomes and confirmations that wait for their turn. Each sender has
/// at most a few under way, so this is never full while the loop runs.
const EVENTS_MAX: usize = 1024;

/// How long the fences of all nodes may take on the way out.
const FENCES_MAX: Duration = Duration::from_secs(2);

/// How old the published snapshot may be while nothing happens.
const SNAPSHOT_AGE_MAX: Duration = Duration::from_millis(100);

/// The ends of the channels that join the control plane with everybody else.
#[derive(Debug)]
pub struct Ends {
    /// To every worker.
    pub route: watch::Sender<Route>,
    /// From each worker: the version that it has confirmed.
    pub confirmed: Vec<watch::Receiver<u64>>,
    /// From each worker: the version that drains for which it has nothing in flight.
    pub drained: Vec<watch::Receiver<u64>>,
    /// From each worker: what it has told guarded clients is safe.
    pub acknowledged: Vec<watch::Receiver<Option<Acknowledged>>>,
    /// From operators, by way of `ops`.
    pub requests: mpsc::Receiver<Request>,
    /// From the workers: hints of trouble.
    pub signals: mpsc::Receiver<Signal>,
    /// To `ops`.
    pub snapshot: watch::Sender<Arc<Snapshot>>,
    /// To every worker: commands learnt from the primary.
    pub table: watch::Sender<Arc<Table>>,
    /// What is counted.
    pub metrics: ControlMetrics,
    /// Turns true when the process is about to end.
    pub shutdown: watch::Receiver<bool>,
}

/// Runs the control plane until `ends.shutdown` turns true. Needs a single-threaded runtime of
/// its own, so that nothing else delays a probe.
///
/// # Panics
///
/// If an invariant of the brain is broken; see [`Brain::step`].
pub async fn run(settings: Settings, ends: Ends) {
    let clock = Clock::start();
    let (events_in, mut events) = mpsc::channel(EVENTS_MAX);
    let Ends { route, confirmed, drained, acknowledged, snapshot, table, metrics, .. } = ends;
    let Ends { mut requests, mut signals, mut shutdown, .. } = ends;
    let publisher = Publisher::new(route, confirmed, drained, &events_in);
    let began = clock.now();
    recorder::begin(began, &settings);
    let brain =
        Brain::new(settings.params.clone(), settings.group.clone(), settings.nodes.clone(), began);
    let mut driver = Driver {
        clock,
        brain,
        publisher,
        snapshot,
        snapshot_at: None,
        table,
        learning: None,
        learnt_from: None,
        acknowledged,
        metrics,
        nudges: BTreeMap::new(),
        asker: None,
        adopter: None,
        phases: Phases::default(),
        events: events_in,
        settings,
    };
    for (index, spec) in driver.settings.nodes.clone().into_iter().enumerate() {
        let node = NodeId(u16::try_from(index).unwrap_or(u16::MAX));
        driver.watch(node, spec);
    }
    driver.take(Event::Confirmed { version: driver.publisher.confirmed() });
    let mut has_signals = true;
    loop {
        let deadline = clock.instant(driver.brain.deadline());
        tokio::select! {
            // Shutdown first, so that nothing is promoted on the way out. Then what nodes and
            // workers said, in the order in which they said it: a verdict of the timer must
            // not overtake an answer that is here already.
            biased;
            _ = shutdown.wait_for(|it| *it) => break,
            Some(event) = events.recv() => driver.take(event),
            signal = signals.recv(), if has_signals => match signal {
                Some(signal) => {
                    driver.metrics.signalled(signal.kind);
                    driver.take(Event::Signalled(signal));
                }
                None => has_signals = false,
            },
            Some(request) = requests.recv() => driver.asked(request),
            () = sleep_until(deadline) => driver.take(Event::Tick),
        }
    }
    driver.put_fences_back().await;
    info!("The control plane has stopped");
}

struct Driver {
    clock: Clock,
    brain: Brain,
    publisher: Publisher,
    snapshot: watch::Sender<Arc<Snapshot>>,
    snapshot_at: Option<Time>,
    table: watch::Sender<Arc<Table>>,
    learning: Option<AbortHandle>,
    learnt_from: Option<Primary>,
    acknowledged: Vec<watch::Receiver<Option<Acknowledged>>>,
    metrics: ControlMetrics,
    nudges: BTreeMap<NodeId, Arc<Notify>>,
    /// Who hears how the change goes that is under way, and of which kind it is.
    asker: Option<(Kind, mpsc::Sender<Progress>)>,
    /// Who hears what comes of the adoption that the brain is looking at.
    adopter: Option<oneshot::Sender<Adoption>>,
    phases: Phases,
    events: mpsc::Sender<Event>,
    settings: Settings,
}

impl Driver {
    /// Hands one event to the brain and obeys.
    fn take(&mut self, event: Event) {
        let now = self.clock.now();
        self.take_acknowledged();
        let recorded = recorder::is_on().then(|| event.clone());
        let actions = self.brain.step(now, event);
        if let Some(event) = recorded {
            recorder::record(now, event, &actions);
        }
        let is_quiet = actions.is_empty();
        for action in actions {
            match action {
                Action::Publish(route) => self.publish(route),
                Action::Probe(node) => self.nudge(node),
                Action::Watch(node) => {
                    if let Some(spec) = self.brain.spec(node).cloned() {
                        self.watch(node, spec);
                    }
                }
                Action::Order(order) => self.order(order),
                Action::Fence { node, fencing } => self.fence(node, fencing),
                Action::Note(note) => {
                    journal::record(&self.brain, &note);
                    journal::count(&self.metrics, &note);
                    if let Some((phase, took)) = self.phases.note(now, &note) {
                        self.metrics.phase_ended(phase, took);
                    }
                }
                Action::Tell(progress) => self.tell(progress),
                Action::Adopted(account) => {
                    if let Some(answer) = self.adopter.take() {
                        // Whoever asked may be gone; what was begun is finished all the same.
                        let _not_listening = answer.send(account);
                    }
                }
            }
        }
        self.publisher.complain();
        if self.publisher.confirmed() >= self.brain.route().version
            && let Some((phase, took)) = self.phases.published(now)
        {
            self.metrics.phase_ended(phase, took);
        }
        if !is_quiet || self.snapshot_at.is_none_or(|it| now.since(it) >= SNAPSHOT_AGE_MAX) {
            self.snapshot_at = Some(now);
            self.snapshot.send_replace(Arc::new(self.brain.snapshot(now)));
        }
    }

    /// What workers have acknowledged by now. Looked at after the event arrived: a worker that has
    /// confirmed a severed epoch had told this before.
    fn take_acknowledged(&mut self) {
        for receiver in &mut self.acknowledged {
            // A worker that is gone has told its last.
            if receiver.has_changed().unwrap_or(true)
                && let Some(acknowledged) = *receiver.borrow_and_update()
            {
                self.brain.acknowledged(acknowledged);
            }
        }
    }

    fn asked(&mut self, request: Request) {
        match request {
            Request::Change(change) => self.asked_to_change(change),
            Request::Adopt { ask, answer } => {
                // The brain answers within the step.
                self.adopter = Some(answer);
                self.take(Event::AskedToAdopt(ask));
            }
        }
    }

    /// An operator wants another primary. For a switchover, the nodes are asked what only it wants
    /// to know; a primary that is given up is not waited for.
    fn asked_to_change(&mut self, change: Change) {
        let Change { kind, mut ask, tell } = change;
        if self.asker.is_some() || self.brain.is_switching() {
            let _not_listening = tell.try_send(busy(self.brain.route().epoch.0));
            return;
        }
        self.asker = Some((kind, tell));
        // It shall be judged by how the nodes are now, not by how they were an interval ago.
        for nudge in self.nudges.values() {
            nudge.notify_one();
        }
        match kind {
            Kind::Switchover => {}
            Kind::Failover => return self.take(Event::Forced(ask)),
            Kind::Hold => return self.take(Event::Hold(ask.timeout)),
            Kind::Release => return self.take(Event::Release),
        }
        let ids = (0..=u16::MAX).map(NodeId);
        let nodes = ids.map_while(|it| Some((it, self.brain.spec(it)?.clone()))).collect();
        let examined = examine(nodes, self.settings.credentials.clone());
        let events = self.events.clone();
        tokio::spawn(async move {
            ask.findings = examined.await;
            // Nobody listens only when the process ends.
            let _gone = events.send(Event::Asked(ask)).await;
        });
    }

    fn tell(&mut self, progress: Progress) {
        let is_last = matches!(progress, Progress::Ended(_));
        let is_switchover = self.asker.as_ref().is_none_or(|it| it.0 == Kind::Switchover);
        if let Progress::Ended(account) = &progress
            && is_switchover
            && let Some(outcome) = journal::outcome(account.outcome)
        {
            self.metrics.switchover_ended(outcome);
        }
        if let Some((_, asker)) = &self.asker {
            // Whoever asked may be gone; what was begun is finished all the same.
            let _not_listening = asker.try_send(progress);
        }
        if is_last {
            self.asker = None;
        }
    }

    fn publish(&mut self, route: Route) {
        self.publisher.publish(route);
        if let Some(primary) = route.primary()
            && self.learnt_from != Some(primary)
        {
            self.learnt_from = Some(primary);
            if let Some(earlier) = self.learning.take() {
                earlier.abort();
            }
            let credentials = self.settings.credentials.clone();
            let task = learner::learn(primary.addr, credentials, self.table.clone());
            self.learning = Some(tokio::spawn(task).abort_handle());
        }
    }

    fn nudge(&self, node: NodeId) {
        if let Some(nudge) = self.nudges.get(&node) {
            nudge.notify_one();
        }
    }

    fn watch(&mut self, node: NodeId, spec: NodeSpec) {
        let nudge = Arc::new(Notify::new());
        self.nudges.insert(node, Arc::clone(&nudge));
        let prober = Prober {
            node,
            metrics: self.metrics.node(node).cloned(),
            spec,
            credentials: self.settings.credentials.clone(),
            interval: self.settings.params.detect.interval,
            timeout: self.settings.params.detect.timeout,
            clock: self.clock,
            nudge,
        };
        tokio::spawn(prober.run(self.events.clone()));
    }

    fn fence(&self, node: NodeId, fencing: Fencing) {
        let Some(address) = self.brain.spec(node).map(|it| it.address.clone()) else { return };
        let (events, credentials) = (self.events.clone(), self.settings.credentials.clone());
        tokio::spawn(async move {
            let outcome = fence::carry_out(fencing, &address, credentials.as_ref()).await;
            // Nobody listens only when the process ends.
            let _gone = events.send(Event::Fenced { node, fencing, outcome }).await;
        });
    }

    /// On the way out: what was set on nodes stands there no longer than this process.
    async fn put_fences_back(&mut self) {
        let mut under_way = JoinSet::new();
        for (node, fencing) in self.brain.fences() {
            let Some(address) = self.brain.spec(node).map(|it| it.address.clone()) else {
                continue;
            };
            let credentials = self.settings.credentials.clone();
            under_way.spawn(async move {
                (node, fencing, fence::carry_out(fencing, &address, credentials.as_ref()).await)
            });
        }
        let all = async {
            while let Some(ended) = under_way.join_next().await {
                if let Ok((node, fencing, outcome)) = ended {
                    self.take(Event::Fenced { node, fencing, outcome });
                }
            }
        };
        if timeout(FENCES_MAX, all).await.is_err() {
            warn!("A node's fence was not put back: it does not answer");
        }
    }

    fn order(&self, order: Order) {
        let Some(address) = self.brain.spec(order.node()).map(|it| it.address.clone()) else {
            return;
        };
        let (events, credentials) = (self.events.clone(), self.settings.credentials.clone());
        tokio::spawn(async move {
            let outcome = executor::execute(&order, &address, credentials.as_ref()).await;
            // Nobody listens only when the process ends.
            let _gone = events.send(Event::Ordered { order, outcome }).await;
        });
    }
}
