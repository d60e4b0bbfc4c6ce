//! The command line of the matrix, and the runs that it asks for.

use crate::rows::Row;
use crate::stage::{Mode, Run};
use clap::Parser;
use std::time::Duration;

/// Real servers, real faults, and a check of everything that clients saw.
#[derive(Clone, Debug, Parser)]
#[command(name = "faults")]
pub(crate) struct Args {
    /// Every row, as often as there is time for, instead of the bounded part.
    #[arg(long)]
    pub(crate) full: bool,
    /// With --full: no run is begun after so long, but each row runs once at least.
    #[arg(long, default_value = "12m", value_parser = humantime::parse_duration)]
    pub(crate) time: Duration,
    /// Only these rows: F1,F2a. F2 is F2a and F2b.
    #[arg(long, value_delimiter = ',')]
    pub(crate) rows: Vec<String>,
    /// Each row so often.
    #[arg(long)]
    pub(crate) times: Option<usize>,
    /// The seed of the first run of each row; those after it count up. Even: Redis, odd: Valkey.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Only this mode.
    #[arg(long, value_enum)]
    pub(crate) mode: Option<Mode>,
    /// Runs at once.
    #[arg(long, default_value_t = 1)]
    pub(crate) lanes: usize,
    /// Without network namespaces, as where they are not permitted.
    #[arg(long)]
    pub(crate) loopback: bool,
    /// Write the table to docs/reliability.md.
    #[arg(long)]
    pub(crate) publish: bool,
    /// Name the rows and end.
    #[arg(long)]
    pub(crate) list: bool,
    /// As `cargo test NAME`: only rows whose number or description holds it.
    filter: Option<String>,
    // What `cargo test -- …` hands to every test program; it changes nothing here.
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true)]
    skip: Vec<String>,
}

impl Args {
    /// Rows that were asked for.
    ///
    /// # Errors
    ///
    /// Names what is no row.
    pub(crate) fn rows(&self, all: &[Row]) -> Result<Vec<Row>, String> {
        for asked in &self.rows {
            if !all.iter().any(|it| it.is_named(asked)) {
                return Err(format!("no row {asked}; --list names them"));
            }
        }
        let named =
            |it: &Row| self.rows.is_empty() || self.rows.iter().any(|asked| it.is_named(asked));
        let holds = |it: &Row, text: &str| it.id == text || it.what.contains(text);
        let chosen = all.iter().filter(|it| named(it));
        let chosen = chosen.filter(|it| self.filter.as_deref().is_none_or(|text| holds(it, text)));
        let chosen = chosen.filter(|it| !self.skip.iter().any(|text| holds(it, text)));
        Ok(chosen.copied().collect())
    }

    /// The runs of one round through `rows`; without `--full` there is one.
    pub(crate) fn round(&self, rows: &[Row], round: u64, seed: u64) -> Vec<Run> {
        let is_picked = self.full || !self.rows.is_empty() || self.times.is_some();
        let mut runs = Vec::new();
        for row in rows {
            let times = self.times.unwrap_or(if is_picked { 1 } else { row.bounded });
            for mode in self.modes(*row) {
                let first = seed + round * times as u64;
                let seeds = (0..times as u64).map(|it| first + it);
                runs.extend(seeds.map(|seed| Run { row: row.id, mode, seed }));
            }
        }
        runs
    }

    fn modes(&self, row: Row) -> Vec<Mode> {
        let modes = [Mode::Plain, Mode::Guarded].into_iter().filter(|it| match it {
            Mode::Plain => true,
            Mode::Guarded => row.guarded && (is_guarding() || self.mode == Some(Mode::Guarded)),
        });
        modes.filter(|it| self.mode.is_none_or(|asked| asked == *it)).collect()
    }
}

/// Whether this Segue knows guarded writes.
fn is_guarding() -> bool {
    include_str!("../../proxy.yaml").contains("durability")
}
