//! Puts the table of a full run into `docs/reliability.md`, between two marks.

use crate::harness::Kind;
use crate::rows::Row;
use crate::table::{Account, Result};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use std::{env, fs, io};

const BEGIN: &str = "<!-- made by `make faults`: begin -->";
const END: &str = "<!-- made by `make faults`: end -->";

/// Replaces what stands between the marks.
///
/// # Errors
///
/// The page cannot be read or written, or lacks the marks.
pub(crate) fn publish(account: &Account, rows: &[Row], took: Duration) -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
    let page = fs::read_to_string(&path)?;
    let parts = page
        .split_once(BEGIN)
        .and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)))
        .ok_or_else(|| io::Error::other(format!("no {BEGIN} … {END}")))?;
    let (head, tail) = parts;
    let section = section(account, rows, took);
    fs::write(&path, format!("{head}{BEGIN}\n{section}{END}{tail}"))
}

fn section(account: &Account, rows: &[Row], took: Duration) -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let mut text = String::new();
    let seeds: Vec<_> = account.results.iter().map(|(run, _)| run.seed).collect();
    let sum = |of: fn(&crate::finish::Ended) -> usize| -> usize {
        account
            .results
            .iter()
            .map(|(_, it)| match it {
                Result::Ended(it) => of(it),
                Result::Stuck(_) | Result::NotRun(_) => 0,
            })
            .sum()
    };
    // A String takes everything.
    let _ = writeln!(
        text,
        "\n{}, `{}`: {} runs in {} min, seeds {} to {}; {} operations checked, {} changes \
         of primary; {} runs failed, {} were not possible.\n{}; {}; {}; Linux {}.\n",
        now.split('T').next().unwrap_or_default(),
        command(),
        account.results.len(),
        took.as_secs().div_ceil(60),
        seeds.iter().min().copied().unwrap_or_default(),
        seeds.iter().max().copied().unwrap_or_default(),
        sum(|it| it.operations),
        sum(|it| it.changes),
        account.failed(),
        account.not_run(),
        version(Path::new(env!("CARGO_BIN_EXE_segue"))),
        version(&Kind::Redis.binary()),
        version(&Kind::Valkey.binary()),
        fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
    );
    text.push_str(&account.table(rows));
    text.push('\n');
    text
}

/// What runs this again.
fn command() -> String {
    let args: Vec<_> = env::args().skip(1).collect();
    format!("cargo test --test faults -- {}", args.join(" "))
}

/// The first two words that matter of `--version`.
fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let said = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    let said = said.unwrap_or_else(|error| error.to_string());
    let line = said.lines().next().unwrap_or_default();
    // `Redis server v=7.0.15 sha=…` and its like.
    line.split(" sha=").next().unwrap_or_default().trim().to_owned()
}
