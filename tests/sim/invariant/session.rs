//! Every request gets one answer, in order, by its deadline; the answer is true; nothing is
//! executed twice.

use crate::client::{Asked, Outcome, What};
use crate::data::Write;
use crate::sim::Sim;
use crate::swarm::{SECOND, Us};

/// After the hold: connecting once more, or an answer that does not come before the connection
/// is given up.
const GRACE: Us = 8 * SECOND;

impl Sim {
    /// A node executes a write.
    pub(crate) fn check_executed(&mut self, write: Write, run: u64, is_first: bool) {
        self.checker.executed_by.insert(write, run);
        self.check(is_first, "session", || format!("write {write} is executed twice"));
        let outcome = self.checker.writes[write];
        self.check(outcome != Outcome::Refused, "session", || {
            format!("write {write} was refused as not executed, and is executed")
        });
    }

    /// A client reads an answer.
    pub(crate) fn check_answer(
        &mut self,
        client: usize,
        asked: Asked,
        line: &str,
        value: Option<&str>,
    ) {
        match asked.what {
            What::Get(write) => self.check_read(client, write, line, value),
            What::Set(write) => self.check_written(client, write, line),
        }
        let waited = self.now - asked.at;
        let limit = self.swarm.hold_timeout + GRACE;
        let has_slept = self.checker.eyes.iter().any(|it| it.slept > 0);
        let stands_still = has_slept || self.swarm.faults.iter().any(|it| it.stops_things());
        self.check(waited <= limit || stands_still, "session", || {
            format!("client {client} waited {waited} us for an answer")
        });
    }

    fn check_read(&mut self, client: usize, write: Write, line: &str, value: Option<&str>) {
        let is_value = value == Some(&format!("v:{write}")) || line == "$-1";
        let is_error = line.starts_with("-TRYAGAIN") || self.is_impairment(line);
        self.check(is_value || is_error, "session", || {
            format!("client {client} asked for {write} and got {line} {value:?}")
        });
    }

    fn check_written(&mut self, client: usize, write: Write, line: &str) {
        let was_executed = self.data.was_executed(write);
        let outcome = match line {
            "+OK" => Outcome::Acked,
            _ if line.starts_with("-UNCERTAIN") => Outcome::Unknown,
            _ if line.starts_with("-TRYAGAIN") || self.is_impairment(line) => Outcome::Refused,
            _ => return self.fail("session", format!("client {client}: SET {write} got {line}")),
        };
        self.checker.writes[write] = outcome;
        let is_true = match outcome {
            Outcome::Acked => was_executed,
            Outcome::Refused => !was_executed,
            Outcome::Unknown => true,
        };
        self.check(is_true, "session", || format!("write {write}: {line} is not true"));
        if outcome == Outcome::Acked {
            self.note_late_ack(write);
        }
    }

    fn is_impairment(&self, line: &str) -> bool {
        line.starts_with("-BUSY") || line.starts_with("-MISCONF")
    }
}
