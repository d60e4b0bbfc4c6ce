//! `segue failover`.
//!
//! Exit codes: 0 when another node serves (or would, with `--dry-run`); 64 when no node has that
//! name, or nobody can be asked; 75 (`EX_TEMPFAIL`) when it was refused, declined or taken back,
//! and the old primary serves; 76 (`EX_PROTOCOL`) when the candidate has not confirmed in time;
//! 69, 77 and 78 as `segue status`.

use super::confirm::{confirm, expect_somebody};
use super::status::{self, Target};
use super::{Outcome, switchover};
use crate::control::Kind;
use crate::ops::client::{Client, ClientError};
use crate::pure::failover::{Account, Ask, Progress, Verdict};
use clap::Args;
use std::io::{self, Write};
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
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = switchover::duration)]
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
        let order = |is_dry, output: &mut io::Stdout| {
            let account = runtime.block_on(self.order(&client, is_dry, output));
            account.map_err(|error| status::failure(&error))
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

    /// Orders it, and tells each phase to `output` as it ends.
    async fn order(
        &self,
        client: &Client,
        dry_run: bool,
        output: &mut (impl Write + Send),
    ) -> Result<Account, ClientError> {
        let ask = Ask { to: self.to.clone(), timeout: self.timeout, dry_run, findings: Vec::new() };
        let tell = |progress: &Progress| {
            let text = match progress {
                Progress::Began { from, to, .. } => format!("giving up {from}, promoting {to}"),
                Progress::Phase(it) => switchover::phase(it),
                Progress::Ended(_) => return,
            };
            if !self.json {
                // Nobody reads any more; it goes on all the same.
                let _closed = writeln!(output, "{text}").and_then(|()| output.flush());
            }
        };
        client.change(Kind::Failover, &ask, tell).await
    }

    fn conclude(&self, account: &Account) -> Outcome {
        let text = if self.json {
            serde_json::to_string_pretty(account).expect("an account has no map")
        } else {
            summary(account)
        };
        switchover::conclude(account.outcome, text, self.json)
    }
}

fn names(account: &Account) -> (&str, &str) {
    (account.from.as_deref().unwrap_or("nobody"), account.to.as_deref().unwrap_or("nobody"))
}

fn question(account: &Account) -> String {
    let (from, to) = names(account);
    let remarks = switchover::remarks(account);
    format!("{from} would be given up, and {to} promoted.{remarks}\nGive {from} up?")
}

fn summary(account: &Account) -> String {
    let (from, to) = names(account);
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
    text + &switchover::remarks(account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::failover::Millis;

    fn account(outcome: Verdict) -> Account {
        Account {
            outcome,
            from: Some("a".to_owned()),
            to: Some("b".to_owned()),
            epoch: 4,
            reasons: Vec::new(),
            warnings: vec!["something is lost".to_owned()],
            phases: Vec::new(),
            held_ms: Millis(Duration::from_micros(3_456)),
            total_ms: Millis::default(),
        }
    }

    #[test]
    fn the_question_says_what_may_be_lost() {
        let text = question(&account(Verdict::DryRun));
        let expected = "a would be given up, and b promoted.\n  warning: something is lost\n\
                        Give a up?";
        assert_eq!(text, expected);
    }

    #[test]
    fn says_who_serves() {
        let text = summary(&account(Verdict::Done));
        assert!(text.starts_with("b is primary (epoch 4), a was given up"), "{text}");
        let text = summary(&account(Verdict::RolledBack));
        assert!(text.starts_with("taken back; a was not replaced"), "{text}");
    }
}
