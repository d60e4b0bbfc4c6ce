//! Every request gets one answer, in order, by its deadline; the answer is true; nothing is
//! executed twice; what waits is bounded.

use crate::client::{Asked, Outcome, What};
use crate::data::{History, Write};
use crate::sim::Sim;
use crate::swarm::{Fault, SECOND, Us};

/// After the hold: connecting once more, or an answer that does not come before the connection
/// is given up.
const GRACE: Us = 8 * SECOND;

/// What a session keeps beside the log that the hold's limit looks at: a transaction.
const KEPT_BESIDE: usize = 1024;

/// After so much time in which all is well, no client feels what was before.
const SETTLED: Us = SECOND / 2;

/// What is sent in place of a request that is refused inside a transaction.
const REFUSAL: usize = 20;

/// The refusal itself, where it stands behind a reply that is withheld.
const REFUSAL_WITHHELD: usize = 100;

impl Sim {
    /// A node executes a write.
    pub(crate) fn check_executed(&mut self, write: Write, run: u64, is_first: bool, on: History) {
        self.checker.executed_by.insert(write, run);
        self.note_ran(write, on);
        self.check(is_first, "session", || format!("write {write} is executed twice"));
        let outcome = self.checker.writes[write];
        self.check(outcome != Outcome::Refused, "session", || {
            format!("write {write} was refused as not executed, and is executed")
        });
    }

    /// A client reads an answer.
    pub(crate) fn check_answer(&mut self, client: usize, asked: &Asked, line: &str, rest: &[&str]) {
        if line.starts_with('-') {
            // Before there was a primary, nothing was calm: nodes were loading.
            let has_served = self.checker.eyes.iter().all(|it| it.serving.is_some());
            let counts = has_served && !self.clients[client].unopened;
            self.checker.errors_told += u64::from(counts);
            self.trace(|| format!("client {client} asked {:?} and hears {line}", asked.what));
        }
        match &asked.what {
            What::Get(write) => self.check_read(client, *write, line, rest),
            What::Set(write) => self.check_written(client, *write, line),
            What::Select(_) | What::Watch(_) | What::Multi => self.check_changed(client, line),
            What::Queue(write) => self.check_queued(client, *write, line),
            What::Exec(transaction) => self.check_ran(client, transaction, line, rest),
        }
        self.check_waited(client, asked.at);
        self.check_hole(client, &asked.what, line);
        self.check_served(client, asked, line);
    }

    /// Behind a request that was turned away nothing is written that was asked already.
    fn check_hole(&mut self, client: usize, what: &What, line: &str) {
        let it = &mut self.clients[client];
        let is_behind = it.behind > 0;
        it.behind = it.behind.saturating_sub(1);
        if line.starts_with("-TRYAGAIN") {
            it.behind = it.waiting.len();
        }
        let wrote = match what {
            What::Set(_) | What::Queue(_) => line == "+OK",
            What::Exec(_) => line.starts_with('*') && line != "*-1",
            What::Get(_) | What::Select(_) | What::Watch(_) | What::Multi => false,
        };
        self.check(!is_behind || !wrote, "hole", || {
            format!("client {client} hears {line} behind a request that was turned away")
        });
    }

    /// Where everything has healed, clients are served.
    fn check_served(&mut self, client: usize, asked: &Asked, line: &str) {
        let stands_still = self.swarm.faults.iter().any(|it| it.stops_things());
        // Replies that are withheld count as held, and refusals stand behind them.
        let waits = stands_still || self.swarm.guarded.is_some();
        let well_from = self.checker.healed_from.filter(|_| !waits);
        // Behind one that was sent before, over a network that was slow, it is refused with all that
        // were: there is no hole inside a pipeline.
        let is_well = well_from.is_some_and(|it| asked.behind_from > it + SETTLED);
        self.check(!is_well || !line.starts_with("-TRYAGAIN"), "served", || {
            format!("all is well, client {client} asks {:?} and hears {line}", asked.what)
        });
    }

    fn check_waited(&mut self, client: usize, from: Us) {
        let waited = self.now - from;
        let limit = self.swarm.hold_timeout + GRACE;
        let has_slept = self.checker.eyes.iter().any(|it| it.slept > 0);
        let stands_still = has_slept || self.swarm.faults.iter().any(|it| it.stops_things());
        self.check(waited <= limit || stands_still, "session", || {
            format!("client {client} waited {waited} us for an answer")
        });
    }

    /// Whatever was asked is answered, or did not wait for long yet.
    pub(super) fn check_all_answered(&mut self) {
        for client in 0..self.clients.len() {
            let from = self.clients[client].waiting.front().map(|it| it.at);
            let is_open =
                self.clients[client].session.is_some_and(|it| !self.sessions[it].is_closed);
            if let Some(from) = from.filter(|_| is_open) {
                self.check_waited(client, from);
                let stands_still = self.swarm.faults.iter().any(|it| it.stops_things());
                // A proxy that dies in the middle of a switchover leaves a pause behind, until it
                // lapses.
                let is_paused = self.nodes.iter().any(|it| it.paused_until + SETTLED > self.now);
                // Guarded writes wait for replicas, which may be too few.
                let waits = stands_still || is_paused || self.swarm.guarded.is_some();
                // What went out while everything was slow may still be under way.
                let waits = waits || self.swarm.faults.contains(&Fault::Slow);
                let well_from = self.checker.healed_from.filter(|_| !waits);
                let is_late = well_from.is_some_and(|it| from.max(it) + 2 * SETTLED < self.now);
                self.check(!is_late, "served", || {
                    format!("all is well, and client {client} waits since {from}")
                });
            }
        }
    }

    fn check_read(&mut self, client: usize, write: Write, line: &str, rest: &[&str]) {
        let is_value = rest == [format!("v:{write}")] || line == "$-1";
        let is_doubt = self.swarm.guarded.is_some() && line.starts_with("-UNCERTAIN");
        self.check(is_value || is_doubt || self.is_refusal(line), "session", || {
            format!("client {client} asked for {write} and got {line} {rest:?}")
        });
    }

    fn check_changed(&mut self, client: usize, line: &str) {
        self.check(line == "+OK" || self.is_refusal(line), "session", || {
            format!("client {client} changed its connection and got {line}")
        });
    }

    pub(super) fn check_written(&mut self, client: usize, write: Write, line: &str) {
        let outcome = match line {
            "+OK" => Outcome::Acked,
            _ if line.starts_with("-UNCERTAIN") => Outcome::Unknown,
            _ if self.is_refusal(line) => Outcome::Refused,
            _ => return self.fail("session", format!("client {client}: SET {write} got {line}")),
        };
        self.decided(client, write, outcome, line);
    }

    /// A client knows of a write.
    pub(super) fn decided(&mut self, client: usize, write: Write, outcome: Outcome, line: &str) {
        let was_executed = self.data.was_executed(write);
        self.checker.writes[write] = outcome;
        let is_true = match outcome {
            Outcome::Acked => was_executed,
            Outcome::Refused => !was_executed,
            Outcome::Unknown => true,
        };
        self.check(is_true, "session", || format!("write {write}: {line} is not true"));
        if outcome == Outcome::Acked {
            self.note_late_ack(write);
            self.note_copies(write);
            self.note_acked_at(write);
            self.check_split(self.clients[client].proxy, write);
        }
    }

    /// An error that promises that nothing was done.
    pub(super) fn is_refusal(&self, line: &str) -> bool {
        ["-TRYAGAIN", "-BUSY", "-MISCONF"].iter().any(|it| line.starts_with(it))
    }

    /// What a worker kept grew by what a client said, with nobody to send it to.
    pub(crate) fn check_held(&mut self, p: usize, worker: usize, before: usize, asked: usize) {
        let world = &self.proxies[p].workers[worker].world;
        let (used, max) = (world.budget.used, world.budget.max);
        let is_held = world.route.primary().is_none();
        let each = if self.swarm.guarded.is_some() { REFUSAL_WITHHELD } else { REFUSAL };
        self.check(
            !is_held || used <= (before + asked * each).max(max + KEPT_BESIDE),
            "held",
            || format!("worker {worker} holds {used} bytes, limit {max}"),
        );
    }
}
