//! The fault matrix: the real `segue` binary between real servers and clients, each in a network
//! namespace of its own, while they are killed, stopped and cut off; and a check of everything that
//! the clients saw.
//!
//! `cargo test` runs a bounded part. `make faults` runs every row for as long as it is told to,
//! prints the table, and can write it to `docs/reliability.md`. One run is repeated with
//! `cargo test --test faults -- --rows F1 --seed N --times 1`.
//!
//! A program of its own and no `#[test]`s, because rows take parameters and end in one table.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the helpers of a test fail loudly, and clippy spares only the test functions"
)]

mod args;
mod finish;
#[path = "../it/harness/mod.rs"]
#[macro_use]
#[allow(dead_code, unused_imports, unused_macros, reason = "the end-to-end tests use the rest")]
mod harness;
mod history;
mod load;
mod net;
mod publish;
mod random;
mod relay;
mod rows;
mod shim;
mod stage;
mod table;

use args::Args;
use clap::Parser as _;
use net::Net;
use rows::Row;
use stage::{Run, Stage};
use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use table::{Account, Result};

/// Ends a run that this machine has no lever for, as the value of a panic.
struct Missing(String);

/// Of the part that belongs to `make test`.
const BOUNDED_SEED: u64 = 1;

fn main() -> ExitCode {
    let args = Args::parse();
    let all = rows::all();
    let rows = match args.rows(&all) {
        Ok(rows) => rows,
        Err(why) => {
            eprintln!("faults: {why}");
            return ExitCode::from(64);
        }
    };
    if args.list {
        for row in &rows {
            println!("{}: test  {}", row.id, row.what);
        }
        return ExitCode::SUCCESS;
    }
    net::remove_leftovers();
    // The bounded part is a test and does the same each time; `make faults` looks for more.
    let drawn = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let seed = args.seed.unwrap_or_else(|| if args.full { drawn() } else { BOUNDED_SEED });
    let begun = Instant::now();
    let mut account = Account::default();
    for round in 0.. {
        let runs = args.round(&rows, round, seed);
        let is_first = round == 0;
        play_all(&args, &all, runs, &mut account, |_| is_first || begun.elapsed() < args.time);
        if !args.full || begun.elapsed() >= args.time {
            break;
        }
    }
    if args.publish
        && let Err(why) = publish::publish(&account, &all, begun.elapsed())
    {
        eprintln!("faults: docs/reliability.md: {why}");
        return ExitCode::FAILURE;
    }
    conclude(&all, &account)
}

fn conclude(rows: &[Row], account: &Account) -> ExitCode {
    println!("\n{}", account.table(rows));
    let failed = account.failed();
    let word = if failed == 0 { "ok" } else { "FAILED" };
    // As every other test program says it, so that one sum has all.
    println!(
        "test result: {word}. {} passed; {failed} failed; {} ignored; 0 measured; 0 filtered out",
        account.passed(),
        account.not_run()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays `runs`, several at once if asked to, each lane in a network of its own.
fn play_all(
    args: &Args,
    rows: &[Row],
    runs: Vec<Run>,
    account: &mut Account,
    may_begin: impl Fn(&Run) -> bool + Sync,
) {
    if runs.is_empty() {
        return;
    }
    let queue = Mutex::new(VecDeque::from(runs));
    let results = Mutex::new(&mut account.results);
    thread::scope(|scope| {
        for lane in 0..args.lanes.max(1) {
            let (queue, results, may_begin) = (&queue, &results, &may_begin);
            scope.spawn(move || {
                let mut net = network(args.loopback, lane);
                net.hub().enter();
                loop {
                    let next = queue.lock().unwrap().pop_front();
                    let Some(run) = next.filter(may_begin) else { break };
                    let row = rows.iter().find(|it| it.id == run.row).expect("from the rows");
                    let result = play(*row, run, &mut net);
                    tell(run, &result);
                    results.lock().unwrap().push((run, result));
                }
            });
        }
    });
}

/// Namespaces if they are to be had.
fn network(loopback: bool, lane: usize) -> Net {
    if loopback {
        return Net::loopback();
    }
    Net::make(lane).unwrap_or_else(|why| {
        println!("no network namespaces ({why}): everything is on loopback, with relays");
        Net::loopback()
    })
}

/// One run. Whatever goes wrong in it is its own.
fn play(row: Row, run: Run, net: &mut Net) -> Result {
    if row.needs_namespaces && net.is_loopback() {
        return Result::NotRun("needs network namespaces".to_owned());
    }
    let (mode, seed) = (run.mode.label(), run.seed);
    let (kind, upstream) = (run.kind(), run.upstream());
    println!("{} {mode} seed {seed} on {kind:?}, {upstream}: {}", row.id, row.what);
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut stage = Stage::start(run, net, &(row.setup)());
        (row.play)(&mut stage);
        finish::finish(stage, row.promise, row.may_disconnect())
    }));
    match played {
        Ok(ended) => Result::Ended(Box::new(ended)),
        Err(panic) => match panic.downcast_ref::<Missing>() {
            Some(Missing(why)) => Result::NotRun(why.clone()),
            None => Result::Stuck(text_of(&*panic)),
        },
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

fn tell(run: Run, result: &Result) {
    match result {
        Result::Ended(it) if it.wrong.is_empty() => println!(
            "  held: {} operations, longest wait {:?}, {} changes, {:?}, {} lost",
            it.operations, it.longest, it.changes, it.errors, it.lost
        ),
        Result::Ended(it) => {
            println!("  FAILED:\n    {}", it.wrong.join("\n    "));
            println!("    steps:\n    {}", it.steps.join("\n    "));
            again(run);
        }
        Result::Stuck(why) => {
            println!("  STUCK: {why}");
            again(run);
        }
        Result::NotRun(why) => println!("  not run: {why}"),
    }
}

fn again(run: Run) {
    println!(
        "  again: cargo test --test faults -- --rows {} --mode {} --seed {} --times 1",
        run.row,
        run.mode.label(),
        run.seed
    );
}
