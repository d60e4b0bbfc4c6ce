//! `segue adopt`.
//!
//! Exit codes: 0 when the node serves (or could, with `--dry-run`); 64 when no node has that
//! name, or nobody said yes; 75 (`EX_TEMPFAIL`) when it was refused, and nothing was touched; 76
//! (`EX_PROTOCOL`) when it began and the node does not serve in time; 69, 77 and 78 as
//! `segue status`.

use super::change::{self, TEMPORARY, UNFINISHED};
use super::status::{self, Target};
use super::{Failure, Outcome, USAGE};
use crate::ops::adopt::query;
use crate::ops::client::{Client, ClientError};
use crate::pure::failover::{self, Adopt, Adopted, Fate, Other};
use clap::Args;
use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the node may take to serve: a promotion and a severed epoch, many times over.
const SERVES_WITHIN: Duration = Duration::from_secs(15);

const ASK_EVERY: Duration = Duration::from_millis(50);

/// Say whose data wins, where Segue refuses to guess.
///
/// The named node serves, and the others are made its replicas: what only they have is
/// discarded. Says first what that is, and asks.
#[derive(Args, Debug)]
pub(super) struct Adoption {
    #[command(flatten)]
    target: Target,
    /// The node whose data wins.
    #[arg(value_name = "NODE")]
    node: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Only say what would be discarded, and what speaks against it.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Print the answer as JSON; wants --yes or --dry-run.
    #[arg(long)]
    json: bool,
}

impl Adoption {
    pub(super) fn run(self) -> Outcome {
        if self.json && !self.yes && !self.dry_run {
            let text = "--json does not ask: add --yes, or --dry-run".to_owned();
            return Err(Failure { code: USAGE, text });
        }
        let client = self.target.client()?;
        let runtime = status::runtime()?;
        let told = |error: ClientError| status::failure(&error);
        let ask = |dry_run, run_id| Adopt { node: self.node.clone(), run_id, dry_run };
        let looked = runtime.block_on(client.adopt(&query(&ask(true, None)))).map_err(told)?;
        if looked.outcome != Adopted::DryRun || self.dry_run {
            return self.conclude(&looked);
        }
        if !self.yes && !is_wanted(&looked, &mut io::stdin().lock(), &mut io::stderr())? {
            let text = "nothing was touched".to_owned();
            return Err(Failure { code: USAGE, text });
        }
        // The process that was looked at, and no other.
        let query = query(&ask(false, looked.run_id.clone()));
        let begun = runtime.block_on(client.adopt(&query)).map_err(told)?;
        if begun.outcome == Adopted::Begun && !runtime.block_on(self.serves(&client)) {
            let text = format!("{} does not serve yet; `segue status` says why", self.node);
            return Err(Failure { code: UNFINISHED, text });
        }
        self.conclude(&begun)
    }

    /// Waits until the node serves.
    async fn serves(&self, client: &Client) -> bool {
        let give_up = Instant::now() + SERVES_WITHIN;
        while Instant::now() < give_up {
            if let Ok(it) = client.status().await
                && it.snapshot.gate_open
                && it.snapshot.primary.as_ref() == Some(&self.node)
            {
                return true;
            }
            sleep(ASK_EVERY).await;
        }
        false
    }

    fn conclude(&self, account: &failover::Adoption) -> Outcome {
        let code = match account.outcome {
            Adopted::Begun | Adopted::DryRun => None,
            Adopted::NoSuchNode => Some(USAGE),
            Adopted::Refused => Some(TEMPORARY),
        };
        change::conclude(account, code, summary, self.json)
    }
}

/// Asks a human.
fn is_wanted(
    account: &failover::Adoption,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        let text = format!("{}\nnobody is there to ask: add --yes", summary(account));
        return Err(Failure { code: USAGE, text });
    }
    Ok(confirms(account, input, output).unwrap_or(false))
}

fn confirms(
    account: &failover::Adoption,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> io::Result<bool> {
    write!(output, "{}\nGo on? Type the node's name: ", summary(account))?;
    output.flush()?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(line.trim_end() == account.node)
}

fn summary(account: &failover::Adoption) -> String {
    let node = &account.node;
    let mut text = match account.outcome {
        Adopted::Begun => format!("{node} is primary, with {} keys", account.keys),
        Adopted::DryRun => format!("{node} would be primary, with {} keys", account.keys),
        Adopted::Refused => "refused; nothing was touched".to_owned(),
        Adopted::NoSuchNode => "nothing was touched".to_owned(),
    };
    for reason in &account.reasons {
        let _infallible = write!(text, "\n  reason: {reason}");
    }
    for other in &account.others {
        let _infallible = write!(text, "\n  {}", fate(other));
    }
    text
}

fn fate(other: &Other) -> String {
    let Other { node, fate, keys, own_bytes } = other;
    match (fate, own_bytes) {
        (Fate::Kept, _) => format!("{node} follows; it has nothing of its own"),
        (Fate::Discarded, None) => format!("{node} follows; ALL its {keys} keys are discarded"),
        (Fate::Discarded, Some(bytes)) => format!(
            "{node} follows; of its {keys} keys, what its last {bytes} bytes of history changed \
             is discarded"
        ),
        (Fate::Unheard, _) => {
            format!("{node} does not answer; it is judged by lineage when it returns")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(outcome: Adopted) -> failover::Adoption {
        let other = |fate, own_bytes| Other { node: "b".to_owned(), fate, keys: 7, own_bytes };
        failover::Adoption {
            outcome,
            node: "a".to_owned(),
            run_id: None,
            keys: 5,
            epoch: 1,
            reasons: vec!["it snows".to_owned()],
            others: vec![other(Fate::Discarded, None), other(Fate::Discarded, Some(9))],
        }
    }

    #[test]
    fn says_what_is_lost() {
        assert_eq!(
            summary(&account(Adopted::Refused)),
            "refused; nothing was touched\n  reason: it snows\n  \
             b follows; ALL its 7 keys are discarded\n  \
             b follows; of its 7 keys, what its last 9 bytes of history changed is discarded"
        );
    }

    #[test]
    fn only_the_name_is_a_yes() {
        for (typed, expected) in [("a\n", true), ("y\n", false), ("", false), ("yes\n", false)] {
            let mut output = Vec::new();
            let said = confirms(&account(Adopted::DryRun), &mut typed.as_bytes(), &mut output);
            assert_eq!(said.unwrap(), expected, "{typed}");
            assert!(String::from_utf8(output).unwrap().contains("with 5 keys"));
        }
    }
}
