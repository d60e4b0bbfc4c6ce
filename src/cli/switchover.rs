//! `segue switchover`.
//!
//! Exit codes: 0 when the target serves (or would, with `--dry-run`); 64 when no node has that
//! name; 75 (`EX_TEMPFAIL`) when it was refused or taken back, and the old primary serves; 76
//! (`EX_PROTOCOL`) when the target has not confirmed in time; 69, 77 and 78 as `segue status`.

use super::status::{self, Target};
use super::{Failure, Outcome, USAGE};
use crate::control::Kind;
use crate::ops::client::{Client, ClientError};
use crate::ops::switchover::TIMEOUT_MAX;
use crate::pure::failover::{Account, Ask, PhaseAccount, Progress, Verdict};
use clap::Args;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

/// `EX_TEMPFAIL`: all is as it was.
pub(super) const TEMPORARY: u8 = 75;

/// `EX_PROTOCOL`: the other side did not do its part.
pub(super) const UNFINISHED: u8 = 76;

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
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    timeout: Duration,
    /// Only say what speaks against it.
    #[arg(long)]
    dry_run: bool,
    /// Print the whole account as JSON, once it is over.
    #[arg(long)]
    json: bool,
}

/// A time-out as a flag.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let range = Duration::from_millis(100)..=TIMEOUT_MAX;
    if range.contains(&span) { Ok(span) } else { Err("must be between 100ms and 60s".to_owned()) }
}

impl Switchover {
    pub(super) fn run(self) -> Outcome {
        let client = self.target.client()?;
        let runtime = status::runtime()?;
        let account = runtime
            .block_on(self.ask(&client, &mut io::stdout()))
            .map_err(|error| status::failure(&error))?;
        self.conclude(&account)
    }

    /// Asks, and tells each phase to `output` as it ends.
    async fn ask(
        &self,
        client: &Client,
        output: &mut (impl Write + Send),
    ) -> Result<Account, ClientError> {
        let ask = Ask {
            to: self.to.clone(),
            timeout: self.timeout,
            dry_run: self.dry_run,
            findings: Vec::new(),
        };
        let tell = |progress: &Progress| {
            if let Some(text) = line(progress).filter(|_| !self.json) {
                // Nobody reads any more; it goes on all the same.
                let _closed = writeln!(output, "{text}").and_then(|()| output.flush());
            }
        };
        client.change(Kind::Switchover, &ask, tell).await
    }

    fn conclude(&self, account: &Account) -> Outcome {
        let text = if self.json {
            serde_json::to_string_pretty(account).expect("an account has no map")
        } else {
            summary(account)
        };
        conclude(account.outcome, text, self.json)
    }
}

/// The exit code of an outcome; `None` is success.
pub(super) const fn code(outcome: Verdict) -> Option<u8> {
    match outcome {
        Verdict::Done | Verdict::DryRun => None,
        Verdict::NoSuchNode => Some(USAGE),
        Verdict::Refused | Verdict::RolledBack => Some(TEMPORARY),
        Verdict::Unfinished => Some(UNFINISHED),
    }
}

/// What is said at the end, and where.
pub(super) fn conclude(outcome: Verdict, text: String, is_json: bool) -> Outcome {
    let Some(code) = code(outcome) else { return Ok(text) };
    if is_json {
        // The account is the answer, whatever it says; only the code tells failures apart.
        let mut output = io::stdout();
        let _closed = writeln!(output, "{text}").and_then(|()| output.flush());
        return Err(Failure { code, text: String::new() });
    }
    Err(Failure { code, text })
}

/// Why, and what else is to be known: a line each.
pub(super) fn remarks(account: &Account) -> String {
    let mut text = String::new();
    for reason in &account.reasons {
        let _infallible = write!(text, "\n  reason: {reason}");
    }
    for warning in &account.warnings {
        let _infallible = write!(text, "\n  warning: {warning}");
    }
    text
}

/// One phase that is over.
pub(super) fn phase(it: &PhaseAccount) -> String {
    format!("  {:<10}{:>10}", it.phase.word(), it.ms.to_string())
}

fn line(progress: &Progress) -> Option<String> {
    Some(match progress {
        Progress::Began { from, to, lag_bytes } => {
            format!("switching over from {from} to {to}, which is {lag_bytes} bytes behind")
        }
        Progress::Phase(it) => phase(it),
        Progress::Ended(_) => return None,
    })
}

fn summary(account: &Account) -> String {
    let from = account.from.as_deref().unwrap_or("nobody");
    let to = account.to.as_deref().unwrap_or("nobody");
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
    text + &remarks(account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::failover::{Millis, Stage};

    fn account(outcome: Verdict) -> Account {
        Account {
            outcome,
            from: Some("a".to_owned()),
            to: Some("b".to_owned()),
            epoch: 4,
            reasons: vec!["b was never in sync".to_owned()],
            warnings: Vec::new(),
            phases: Vec::new(),
            held_ms: Millis(Duration::from_micros(3_456)),
            total_ms: Millis::default(),
        }
    }

    #[test]
    fn says_who_serves_and_why() {
        let text = summary(&account(Verdict::Done));
        assert!(
            text.starts_with("b is primary (epoch 4); commands were held for 3.5 ms"),
            "{text}"
        );
        let text = summary(&account(Verdict::Refused));
        assert_eq!(text, "refused; nothing was touched\n  reason: b was never in sync");
        let text = summary(&account(Verdict::RolledBack));
        assert!(text.starts_with("taken back; a serves on"), "{text}");
    }

    #[test]
    fn tells_each_phase_with_its_milliseconds() {
        let phase = PhaseAccount { phase: Stage::Drain, ms: Millis(Duration::from_micros(1_240)) };
        assert_eq!(line(&Progress::Phase(phase)).as_deref(), Some("  drain         1.2 ms"));
    }

    #[test]
    fn a_timeout_is_neither_nothing_nor_for_ever() {
        assert_eq!(duration("2s500ms"), Ok(Duration::from_millis(2_500)));
        for text in ["", "5", "1ms", "2m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
