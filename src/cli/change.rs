//! What the commands that change who is primary have in common: how they order it and tell what
//! happens, their exit codes, and what they say at the end.

use super::{Failure, Outcome, USAGE};
use crate::control::Kind;
use crate::ops::client::{Client, ClientError};
use crate::ops::switchover::TIMEOUT_MAX;
use crate::pure::failover::{Account, Ask, PhaseAccount, Progress, Verdict};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

/// `EX_TEMPFAIL`: all is as it was.
pub(super) const TEMPORARY: u8 = 75;

/// `EX_PROTOCOL`: the other side did not do its part.
pub(super) const UNFINISHED: u8 = 76;

/// A time-out as a flag.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let range = Duration::from_millis(100)..=TIMEOUT_MAX;
    if range.contains(&span) { Ok(span) } else { Err("must be between 100ms and 60s".to_owned()) }
}

/// Orders it. Tells `output` how it begins, in the words of `began`, and each phase as it ends;
/// nothing if the account will be JSON.
pub(super) async fn order(
    client: &Client,
    kind: Kind,
    ask: &Ask,
    is_json: bool,
    began: impl Fn(&str, &str, u64) -> String,
    output: &mut (impl Write + Send),
) -> Result<Account, ClientError> {
    let tell = |progress: &Progress| {
        if let Some(text) = line(progress, &began).filter(|_| !is_json) {
            // Nobody reads any more; it goes on all the same.
            let _closed = writeln!(output, "{text}").and_then(|()| output.flush());
        }
    };
    client.change(kind, ask, tell).await
}

fn line(progress: &Progress, began: impl Fn(&str, &str, u64) -> String) -> Option<String> {
    match progress {
        Progress::Began { from, to, lag_bytes } => Some(began(from, to, *lag_bytes)),
        Progress::Phase(it) => Some(phase(it)),
        Progress::Ended(_) => None,
    }
}

/// One phase that is over.
fn phase(it: &PhaseAccount) -> String {
    format!("  {:<10}{:>10}", it.phase.word(), it.ms.to_string())
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

/// What is said at the end, and where: the whole account if it shall be JSON, else its summary;
/// `None` is success.
pub(super) fn conclude<T: Serialize>(
    account: &T,
    code: Option<u8>,
    summary: impl Fn(&T) -> String,
    is_json: bool,
) -> Outcome {
    let text = if is_json {
        serde_json::to_string_pretty(account).expect("an account has no map")
    } else {
        summary(account)
    };
    let Some(code) = code else { return Ok(text) };
    if is_json {
        // The account is the answer, whatever it says; only the code tells failures apart.
        let mut output = io::stdout();
        let _closed = writeln!(output, "{text}").and_then(|()| output.flush());
        return Err(Failure { code, text: String::new() });
    }
    Err(Failure { code, text })
}

/// From whom to whom.
pub(super) fn names(account: &Account) -> (&str, &str) {
    (account.from.as_deref().unwrap_or("nobody"), account.to.as_deref().unwrap_or("nobody"))
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pure::failover::{Millis, Stage};

    /// An account with one remark of either kind.
    pub(in super::super) fn account(outcome: Verdict) -> Account {
        Account {
            outcome,
            from: Some("a".to_owned()),
            to: Some("b".to_owned()),
            epoch: 4,
            reasons: vec!["b was never in sync".to_owned()],
            warnings: vec!["something is lost".to_owned()],
            phases: Vec::new(),
            held_ms: Millis(Duration::from_micros(3_456)),
            total_ms: Millis::default(),
        }
    }

    #[test]
    fn tells_each_phase_with_its_milliseconds() {
        let phase = PhaseAccount { phase: Stage::Drain, ms: Millis(Duration::from_micros(1_240)) };
        let line = line(&Progress::Phase(phase), |_, _, _| String::new());
        assert_eq!(line.as_deref(), Some("  drain         1.2 ms"));
    }

    #[test]
    fn a_timeout_is_neither_nothing_nor_for_ever() {
        assert_eq!(duration("2s500ms"), Ok(Duration::from_millis(2_500)));
        for text in ["", "5", "1ms", "2m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_outcome_but_success_has_a_code() {
        let summary = |it: &Account| format!("it is over{}", remarks(it));
        let failed = |outcome| {
            let it = account(outcome);
            conclude(&it, code(outcome), summary, false).map_err(|it| (it.code, it.text))
        };
        let said = "it is over\n  reason: b was never in sync\n  warning: something is lost";
        assert_eq!(failed(Verdict::Done), Ok(said.to_owned()));
        assert_eq!(failed(Verdict::Refused), Err((75, said.to_owned())));
        assert_eq!(failed(Verdict::Unfinished), Err((76, said.to_owned())));
        assert_eq!(failed(Verdict::NoSuchNode), Err((64, said.to_owned())));
    }
}
