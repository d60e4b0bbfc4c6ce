//! Adds up what the clients saw, compares it with what the nodes hold, and judges.
//!
//! Replication is asynchronous: the primary acknowledges a write before any replica has it, and what
//! dies with it then is lost with or without a proxy. Such writes are counted and shown. A write that
//! the promoted node had received and that is gone afterwards is a broken promise.

use crate::{
    group::Contents,
    load::{Outcome, Session, Write, value_of},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, Instant},
};

/// A write sent this long after the kill was still in flight "at that moment": the kernel needs a
/// moment to close the sockets of a killed process, and Segue to be told.
const GRACE: Duration = Duration::from_millis(50);

/// The least load that the demonstration stands for.
const CLIENTS_MIN: usize = 20;
const OPERATIONS_A_SECOND_MIN: f64 = 1_000.0;

/// What was seen at the nodes, by asking them directly.
pub(crate) struct Witness {
    /// Just before SIGKILL was sent.
    pub(crate) killed_at: Instant,
    /// Just after the process was gone.
    pub(crate) dead_at: Instant,
    /// What each replica had received when the primary died.
    pub(crate) received: BTreeMap<String, BTreeSet<String>>,
    /// The node that was promoted.
    pub(crate) promoted: String,
    /// What that node holds in the end.
    pub(crate) kept: Contents,
}

/// The account of one demonstration.
pub(crate) struct Account {
    lines: Vec<(String, String)>,
    broken: Vec<String>,
}

impl Account {
    pub(crate) fn of(sessions: &[Session], witness: &Witness) -> Self {
        let mut account = Self { lines: Vec::new(), broken: Vec::new() };
        account.traffic(sessions);
        account.errors(sessions, witness);
        account.writes(sessions, witness);
        account.waits(sessions, witness);
        account
    }

    /// Adds a broken promise.
    pub(crate) fn broken(&mut self, what: String) {
        self.broken.push(what);
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.broken.is_empty()
    }

    pub(crate) fn verdict(&self) -> String {
        if self.is_kept() {
            return "Every promise was kept.".to_owned();
        }
        let list: String = self.broken.iter().map(|it| format!("\n  * {it}")).collect();
        format!("BROKEN:{list}")
    }

    fn line(&mut self, label: &str, text: impl Into<String>) {
        self.lines.push((label.to_owned(), text.into()));
    }

    fn traffic(&mut self, sessions: &[Session]) {
        let writes: usize = sessions.iter().map(|it| it.writes.len()).sum();
        let reads: u64 = sessions.iter().map(|it| it.reads).sum();
        let turns = || sessions.iter().flat_map(|it| &it.turns);
        let first = turns().map(|(at, _)| *at).min();
        let last = turns().map(|(at, took)| *at + *took).max();
        let seconds = first.zip(last).map_or(0.0, |(a, b)| (b - a).as_secs_f64());
        let operations = writes as f64 + reads as f64;
        let rate = operations / seconds.max(f64::EPSILON);
        self.line(
            "clients",
            format!("{}: half plain, half pipelined; half RESP2, half RESP3", sessions.len()),
        );
        self.line(
            "operations",
            format!("{writes} writes and {reads} reads in {seconds:.1} s: {rate:.0} a second"),
        );
        if sessions.len() < CLIENTS_MIN || rate < OPERATIONS_A_SECOND_MIN {
            self.broken(format!(
                "too little load to show anything: {CLIENTS_MIN} clients and \
                 {OPERATIONS_A_SECOND_MIN} operations a second are the least"
            ));
        }
    }

    fn errors(&mut self, sessions: &[Session], witness: &Witness) {
        let disconnections: u64 = sessions.iter().map(|it| it.disconnections).sum();
        self.line("disconnections", disconnections.to_string());
        if disconnections > 0 {
            self.broken(format!("{disconnections} disconnections"));
        }
        let mut errors = BTreeMap::<(&str, &str), u64>::new();
        for ((command, code), count) in sessions.iter().flat_map(|it| &it.errors) {
            *errors.entry((command, code)).or_default() += count;
        }
        if errors.is_empty() {
            self.line("errors", "0");
        }
        for ((command, code), count) in errors {
            self.line("errors", format!("{count} x {code} to a {command}"));
            // Lost connections are counted already.
            if command != "connection" && (command, code) != ("write", "UNCERTAIN") {
                self.broken(format!(
                    "{count} errors other than UNCERTAIN to a write: {code} to a {command}"
                ));
            }
        }
        let uncertain = || writes_of(sessions, Outcome::Uncertain);
        let late = uncertain().filter(|it| it.sent > witness.dead_at + GRACE).count();
        if late > 0 {
            self.broken(format!("{late} uncertain writes that were not in flight at the kill"));
        }
        let ran = uncertain().filter(|it| witness.kept.contains_key(&it.key)).count();
        self.line(
            "uncertain writes",
            format!("{} in flight at the kill, of which {ran} had run", uncertain().count()),
        );
        let wrong: u64 = sessions.iter().map(|it| it.wrong).sum();
        if wrong > 0 {
            self.broken(format!("{wrong} reads returned a value that was never written there"));
        }
    }

    fn writes(&mut self, sessions: &[Session], witness: &Witness) {
        let none = BTreeSet::new();
        let at_promoted = witness.received.get(&witness.promoted).unwrap_or(&none);
        let at_any = |key: &str| witness.received.values().any(|it| it.contains(key));
        let readable = |write: &Write| witness.kept.get(&write.key) == Some(&value_of(&write.key));
        let acknowledged = || writes_of(sessions, Outcome::Acknowledged);
        let lost: Vec<_> = acknowledged().filter(|it| !readable(it)).collect();

        self.line("acknowledged writes", acknowledged().count().to_string());
        let (received, others): (Vec<_>, Vec<_>) =
            acknowledged().partition(|it| at_promoted.contains(&it.key));
        let (since, meanwhile): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|it| it.sent > witness.dead_at);
        let (meanwhile, nowhere): (Vec<_>, Vec<_>) =
            meanwhile.into_iter().partition(|it| readable(it));
        for (label, part) in [("  had reached it", received), ("  since the kill", since)] {
            let gone = part.iter().filter(|it| !readable(it)).count();
            self.line(
                label,
                format!("{}, of which {} are readable", part.len(), part.len() - gone),
            );
            if gone > 0 {
                self.broken(format!("{gone} acknowledged writes are gone:{label}"));
            }
        }
        self.line("  in between", format!("{}, held and then run there", meanwhile.len()));
        let elsewhere = nowhere.iter().filter(|it| at_any(&it.key)).count();
        self.line(
            "  on no replica",
            format!(
                "{}, gone with the old primary before any replica had them",
                nowhere.len() - elsewhere
            ),
        );
        if elsewhere > 0 {
            self.broken(format!("{elsewhere} lost writes were on a replica that was not promoted"));
        }
        let lost_keys: BTreeSet<_> = lost.iter().map(|it| it.key.as_str()).collect();
        let missed = sessions.iter().flat_map(|it| &it.missed);
        let stale = missed.filter(|it| !lost_keys.contains(it.as_str())).count();
        if stale > 0 {
            self.broken(format!("{stale} reads did not see a write that is there"));
        }
    }

    fn waits(&mut self, sessions: &[Session], witness: &Witness) {
        let served = writes_of(sessions, Outcome::Acknowledged)
            .filter(|it| it.sent > witness.dead_at)
            .map(|it| it.answered)
            .min();
        self.line("promoted", witness.promoted.clone());
        match served {
            Some(at) => {
                let gap = at.duration_since(witness.killed_at);
                self.line("kill to first write", format!("{} ms", gap.as_millis()));
            }
            None => self.broken("no write was served after the kill".to_owned()),
        }
        let turns = || sessions.iter().flat_map(|it| &it.turns);
        let longest = turns().map(|(_, took)| *took).max().unwrap_or_default();
        let mut before: Vec<_> = turns()
            .filter(|(at, took)| *at + *took < witness.killed_at)
            .map(|(_, took)| *took)
            .collect();
        before.sort_unstable();
        let usual = before.get(before.len() / 2).copied().unwrap_or_default();
        self.line(
            "longest wait",
            format!(
                "{} ms of any client, for one answer; {:.1} ms is usual (median before the kill)",
                longest.as_millis(),
                usual.as_secs_f64() * 1_000.0
            ),
        );
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The account")?;
        for (label, text) in &self.lines {
            writeln!(f, "    {label:<20} {text}")?;
        }
        Ok(())
    }
}

fn writes_of(sessions: &[Session], outcome: Outcome) -> impl Iterator<Item = &Write> {
    sessions.iter().flat_map(|it| &it.writes).filter(move |it| it.outcome == outcome)
}
