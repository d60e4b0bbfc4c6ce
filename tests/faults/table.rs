//! The account of all runs, as a table.

use crate::finish::Ended;
use crate::rows::Row;
use crate::stage::{Mode, Run};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// How one run ended.
#[derive(Clone, Debug)]
pub(crate) enum Result {
    Ended(Box<Ended>),
    /// The harness could not go on; what it said.
    Stuck(String),
    /// A lever is missing on this machine.
    NotRun(String),
}

/// All runs.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) results: Vec<(Run, Result)>,
}

impl Account {
    pub(crate) fn failed(&self) -> usize {
        self.results.iter().filter(|(_, it)| is_failed(it)).count()
    }

    pub(crate) fn passed(&self) -> usize {
        let passed = |it: &&(Run, Result)| matches!(&it.1, Result::Ended(_)) && !is_failed(&it.1);
        self.results.iter().filter(passed).count()
    }

    pub(crate) fn not_run(&self) -> usize {
        self.results.iter().filter(|(_, it)| matches!(it, Result::NotRun(_))).count()
    }

    /// A Markdown table with a line for each row and mode.
    pub(crate) fn table(&self, rows: &[Row]) -> String {
        let mut text =
            "| row | fault | mode | runs | longest wait p50 / p99 | disconnected | errors \
                        | uncertain | acknowledged | lost | verdict |\n\
                        |---|---|---|---|---|---|---|---|---|---|---|\n"
                .to_owned();
        let mut groups: BTreeMap<(usize, Mode), Vec<&Result>> = BTreeMap::new();
        for (run, result) in &self.results {
            let at = rows.iter().position(|it| it.id == run.row).unwrap_or(usize::MAX);
            groups.entry((at, run.mode)).or_default().push(result);
        }
        for ((at, mode), results) in groups {
            if let Some(row) = rows.get(at) {
                line(&mut text, row, mode, &results);
            }
        }
        text
    }
}

fn is_failed(result: &Result) -> bool {
    match result {
        Result::Ended(it) => !it.wrong.is_empty(),
        Result::Stuck(_) => true,
        Result::NotRun(_) => false,
    }
}

fn line(text: &mut String, row: &Row, mode: Mode, results: &[&Result]) {
    let ended: Vec<&Ended> = results
        .iter()
        .filter_map(|it| match it {
            Result::Ended(it) => Some(&**it),
            Result::Stuck(_) | Result::NotRun(_) => None,
        })
        .collect();
    let mut waits: Vec<_> = ended.iter().map(|it| it.longest).collect();
    waits.sort();
    let sum = |of: fn(&Ended) -> usize| ended.iter().map(|it| of(it)).sum::<usize>();
    let mut errors: BTreeMap<&str, usize> = BTreeMap::new();
    for (kind, count) in ended.iter().flat_map(|it| &it.errors) {
        if kind != "UNCERTAIN" {
            *errors.entry(kind).or_default() += count;
        }
    }
    let errors: Vec<_> = errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let uncertain = sum(|it| it.errors.get("UNCERTAIN").copied().unwrap_or(0));
    // A String takes everything.
    let _ = writeln!(
        text,
        "| {} | {} | {} | {} | {} / {} | {} | {} | {uncertain} | {} | {} | {} |",
        row.id,
        row.what,
        mode.label(),
        ended.len(),
        at(&waits, 50),
        at(&waits, 99),
        sum(|it| it.disconnections),
        if errors.is_empty() { "0".to_owned() } else { errors.join(", ") },
        sum(|it| it.acknowledged),
        sum(|it| it.lost),
        verdict(results),
    );
}

fn verdict(results: &[&Result]) -> String {
    let not_run = results.iter().find_map(|it| match it {
        Result::NotRun(why) => Some(why),
        Result::Ended(_) | Result::Stuck(_) => None,
    });
    let failed = results.iter().filter(|it| is_failed(it)).count();
    match (failed, not_run) {
        (0, None) => "held".to_owned(),
        (0, Some(why)) => format!("not run: {why}"),
        (failed, _) => format!("**{failed} of {} failed**", results.len()),
    }
}

/// A percentile, rounded up to the next that there is.
fn at(sorted: &[Duration], percent: usize) -> String {
    let index = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(index).map_or_else(|| "–".to_owned(), |it| format!("{} ms", it.as_millis()))
}
