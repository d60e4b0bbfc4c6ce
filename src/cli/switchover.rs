//! `segue switchover`.
//!
//! Exit codes: 0 when the target serves (or would, with `--dry-run`); 64 when no node has that
//! name; 75 (`EX_TEMPFAIL`) when it was refused or taken back, and the old primary serves; 76
//! (`EX_PROTOCOL`) when the target has not confirmed in time; 69, 77 and 78 as `segue status`.

use super::status::{self, Target};
use super::{Outcome, change};
use crate::control::Kind;
use crate::pure::failover::{Account, Ask, Verdict};
use clap::Args;
use std::io;
use std::time::Duration;

/// Make another node the primary, without an error and without a loss.
///
/// Everything that speaks against it is named before anything is touched; whatever goes wrong
/// before the target is promoted is taken back. Tells each phase as it ends.
#[derive(Args, Debug)]
pub(super) struct Switchover {
    #[command(flatten)]
    target: Target,
    /// The node that shall be primary; the best replica, if none is named.
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    /// How long it may take until the target is promoted.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = change::duration)]
    timeout: Duration,
    /// Only say what speaks against it.
    #[arg(long)]
    dry_run: bool,
    /// Print the whole account as JSON, once it is over.
    #[arg(long)]
    json: bool,
}

impl Switchover {
    pub(super) fn run(self) -> Outcome {
        let client = self.target.client()?;
        let runtime = status::runtime()?;
        let ask =
            Ask { to: self.to, timeout: self.timeout, dry_run: self.dry_run, findings: Vec::new() };
        let mut output = io::stdout();
        let order = change::order(&client, Kind::Switchover, &ask, self.json, began, &mut output);
        let account = runtime.block_on(order).map_err(|error| status::failure(&error))?;
        change::conclude(&account, change::code(account.outcome), summary, self.json)
    }
}

fn began(from: &str, to: &str, lag_bytes: u64) -> String {
    format!("switching over from {from} to {to}, which is {lag_bytes} bytes behind")
}

fn summary(account: &Account) -> String {
    let (from, to) = change::names(account);
    let text = match account.outcome {
        Verdict::Done => format!(
            "{to} is primary (epoch {}); commands were held for {}",
            account.epoch, account.held_ms
        ),
        Verdict::DryRun => format!("nothing speaks against a switchover from {from} to {to}"),
        Verdict::NoSuchNode => "nothing was touched".to_owned(),
        Verdict::Refused => "refused; nothing was touched".to_owned(),
        Verdict::RolledBack => {
            format!("taken back; {from} serves on. Commands were held for {}", account.held_ms)
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
    fn says_who_serves_and_why() {
        let text = summary(&account(Verdict::Done));
        assert!(
            text.starts_with("b is primary (epoch 4); commands were held for 3.5 ms"),
            "{text}"
        );
        let text = summary(&account(Verdict::Refused));
        assert!(text.starts_with("refused; nothing was touched\n  reason: "), "{text}");
        let text = summary(&account(Verdict::RolledBack));
        assert!(text.starts_with("taken back; a serves on"), "{text}");
    }
}
