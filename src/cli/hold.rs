//! `segue hold` and `segue release`.
//!
//! Exit codes: 0 when commands are held, or let go; 64 without a terminal to ask on and without
//! `--yes`; 75 (`EX_TEMPFAIL`) when it was refused or declined; 69, 77 and 78 as `segue status`.

use super::confirm::{confirm, expect_somebody};
use super::status::{self, Target};
use super::{Outcome, change};
use crate::control::Kind;
use crate::pure::failover::{Account, Ask, Verdict};
use clap::Args;
use std::time::Duration;

/// Hold every command for a while: clients wait, and see no error.
///
/// It ends by itself. Commands that wait longer than `hold.timeout` are refused with -TRYAGAIN, as
/// in any hold; failovers go on meanwhile.
#[derive(Args, Debug)]
pub(super) struct Hold {
    #[command(flatten)]
    target: Target,
    /// For how long at most, up to 60s; once more while it lasts is its new end.
    #[arg(long = "for", value_name = "DURATION", default_value = "5s",
          value_parser = change::duration)]
    span: Duration,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

/// Let go of what `segue hold` holds.
#[derive(Args, Debug)]
pub(super) struct Release {
    #[command(flatten)]
    target: Target,
}

impl Hold {
    pub(super) fn run(self) -> Outcome {
        expect_somebody(self.yes)?;
        let span = humantime::format_duration(self.span);
        confirm(&format!("Every client of this Segue waits, for up to {span}. Hold?"), self.yes)?;
        let account = ask(&self.target, Kind::Hold, self.span)?;
        let done = format!("commands are held for up to {span}; `segue release` ends it");
        conclude(&account, &done)
    }
}

impl Release {
    pub(super) fn run(self) -> Outcome {
        // Its time-out means nothing.
        let account = ask(&self.target, Kind::Release, Duration::from_secs(1))?;
        conclude(&account, "commands flow, if nothing else holds them")
    }
}

fn ask(target: &Target, kind: Kind, timeout: Duration) -> Result<Account, super::Failure> {
    let client = target.client()?;
    let ask = Ask { timeout, ..Ask::default() };
    let answered = status::runtime()?.block_on(client.change(kind, &ask, |_| {}));
    answered.map_err(|error| status::failure(&error))
}

fn conclude(account: &Account, done: &str) -> Outcome {
    let summary = |it: &Account| {
        let text = if it.outcome == Verdict::Done { done } else { "refused" };
        text.to_owned() + &change::remarks(it)
    };
    change::conclude(account, change::code(account.outcome), summary, false)
}
