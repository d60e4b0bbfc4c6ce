//! `segue failover`.
//!
//! Exit codes: 0 when another node serves (or would, with `--dry-run`); 64 when no node has that
//! name, or nobody can be asked; 75 (`EX_TEMPFAIL`) when it was refused, declined or taken back,
//! and the old primary serves; 76 (`EX_PROTOCOL`) when the candidate has not confirmed in time;
//! 69, 77 and 78 as `segue status`.

use super::confirm::{confirm, expect_somebody};
use super::status::{self, Target};
use super::{Outcome, change};
use crate::control::Kind;
use crate::pure::failover::{Account, Ask, Verdict};
use clap::Args;
use std::io;
use std::time::Duration;

/// Give the primary up though it answers, and promote a replica.
///
/// For a primary that is sick in a way that Segue does not see. Writes in flight become
/// uncertain, and what no replica has received is lost: for a primary that is well,
/// `segue switchover` is the right command. Who may take over is judged as in any failover.
#[derive(Args, Debug)]
pub(super) struct Failover {
    #[command(flatten)]
    target: Target,
    /// The replica that shall be primary; the best one, if none is named.
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    /// How long it may take until the replica is promoted.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = change::duration)]
    timeout: Duration,
    /// Only say who would take over and what would be lost.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Print the whole account as JSON, once it is over.
    #[arg(long)]
    json: bool,
}

impl Failover {
    pub(super) fn run(self) -> Outcome {
        if !self.dry_run {
            expect_somebody(self.yes)?;
        }
        let client = self.target.client()?;
        let runtime = status::runtime()?;
        let order = |dry_run, output: &mut io::Stdout| {
            let (to, timeout) = (self.to.clone(), self.timeout);
            let ask = Ask { to, timeout, dry_run, findings: Vec::new() };
            let order = change::order(&client, Kind::Failover, &ask, self.json, began, output);
            runtime.block_on(order).map_err(|error| status::failure(&error))
        };
        let mut output = io::stdout();
        if self.dry_run || !self.yes {
            let account = order(true, &mut output)?;
            if self.dry_run || account.outcome != Verdict::DryRun {
                return self.conclude(&account);
            }
            confirm(&question(&account), false)?;
        }
        let account = order(false, &mut output)?;
        self.conclude(&account)
    }

    fn conclude(&self, account: &Account) -> Outcome {
        change::conclude(account, change::code(account.outcome), summary, self.json)
    }
}

fn began(from: &str, to: &str, _lag_bytes: u64) -> String {
    format!("giving up {from}, promoting {to}")
}

fn question(account: &Account) -> String {
    let (from, to) = change::names(account);
    let remarks = change::remarks(account);
    format!("{from} would be given up, and {to} promoted.{remarks}\nGive {from} up?")
}

fn summary(account: &Account) -> String {
    let (from, to) = change::names(account);
    let text = match account.outcome {
        Verdict::Done => format!(
            "{to} is primary (epoch {}), {from} was given up; commands were held for {}",
            account.epoch, account.held_ms
        ),
        Verdict::DryRun => format!("{from} would be given up, and {to} promoted"),
        Verdict::NoSuchNode => "nothing was touched".to_owned(),
        Verdict::Refused => "refused; nothing was touched".to_owned(),
        Verdict::RolledBack => {
            format!(
                "taken back; {from} was not replaced. Commands were held for {}",
                account.held_ms
            )
        }
        Verdict::Unfinished => format!("{to} was told to be primary and has not confirmed"),
    };
    text + &change::remarks(account)
}

#[cfg(test)]
mod tests {
    use super::super::change::tests::account;
    use super::*;

    #[test]
    fn the_question_says_what_may_be_lost() {
        let text = question(&account(Verdict::DryRun));
        assert!(text.starts_with("a would be given up, and b promoted.\n  reason: "), "{text}");
        assert!(text.ends_with("\n  warning: something is lost\nGive a up?"), "{text}");
    }

    #[test]
    fn says_who_serves() {
        let text = summary(&account(Verdict::Done));
        assert!(text.starts_with("b is primary (epoch 4), a was given up"), "{text}");
        let text = summary(&account(Verdict::RolledBack));
        assert!(text.starts_with("taken back; a was not replaced"), "{text}");
    }
}
