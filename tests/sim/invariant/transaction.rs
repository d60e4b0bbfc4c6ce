//! A transaction runs whole or not at all, on one connection; and with a `WATCH` only on the
//! connection on which the client's `WATCH` was answered.

use crate::client::{Outcome, Transaction};
use crate::data::Write;
use crate::invariant::Checker;
use crate::sim::Sim;

impl Checker {
    /// A `WATCH` runs. Once its client has heard of it, another copy of it changes nothing.
    pub(crate) fn watch_runs(&mut self, watch: u64, serial: u64) {
        let (on, is_heard) = self.watches.entry(watch).or_default();
        if !*is_heard {
            on.insert(serial);
        }
    }

    /// A client has heard that its `WATCH` was executed.
    pub(crate) fn watch_heard(&mut self, watch: u64) {
        self.watches.entry(watch).or_default().1 = true;
    }
}

impl Sim {
    /// A node runs `writes` as one transaction on the connection `serial`.
    pub(crate) fn check_transaction(&mut self, writes: &[Write], serial: u64) {
        let Some(first) = writes.first() else { return };
        let Some((client, meant)) = self.checker.transactions.get(first).cloned() else {
            return self.fail("transaction", format!("a transaction begins with write {first}"));
        };
        let (all, watch) = (meant.writes, meant.watch);
        self.check(writes == all, "transaction", || {
            format!("{writes:?} run together, client {client} said {all:?}")
        });
        if let Some(watch) = watch {
            let on = self.checker.watches.get(&watch).map(|it| it.0.clone()).unwrap_or_default();
            self.check(on.contains(&serial), "transaction", || {
                format!("{writes:?} run on connection {serial}, what they watch was on {on:?}")
            });
        }
    }

    pub(super) fn check_queued(&mut self, client: usize, write: Write, line: &str) {
        // Its `MULTI` was refused, so it stands for itself.
        if self.clients[client].unopened {
            return self.check_written(client, write, line);
        }
        self.check(line == "+QUEUED" || self.is_refusal(line), "transaction", || {
            format!("client {client}: SET {write} in a transaction got {line}")
        });
    }

    pub(super) fn check_ran(
        &mut self,
        client: usize,
        transaction: &Transaction,
        line: &str,
        rest: &[&str],
    ) {
        if self.clients[client].unopened {
            let is_told = line == "-ERR EXEC without MULTI"
                || line.starts_with("-EXECABORT")
                || line.starts_with("-UNCERTAIN")
                || self.is_refusal(line);
            return self.check(is_told, "transaction", || format!("client {client} got {line}"));
        }
        let writes = &transaction.writes;
        let is_null = line == "*-1" && transaction.watch.is_some();
        let outcome = match line {
            _ if line == format!("*{}", writes.len()) && rest.iter().all(|it| *it == "+OK") => {
                Outcome::Acked
            }
            _ if is_null || self.is_refusal(line) || line.starts_with("-EXECABORT") => {
                Outcome::Refused
            }
            _ if line.starts_with("-UNCERTAIN") => Outcome::Unknown,
            _ => {
                let told = format!("client {client}: EXEC of {writes:?} got {line} {rest:?}");
                return self.fail("transaction", told);
            }
        };
        for write in writes {
            self.decided(client, *write, outcome, line);
        }
    }
}
