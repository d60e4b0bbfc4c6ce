//! The tests: many seeds, the same seed twice, and one seed told in full.

use crate::invariant::{Stats, Violation};
use crate::sim::{Digest, Sim};
use crate::swarm::MS;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Seeds of one ordinary test run.
const SEEDS: u64 = 256;

/// Failures after which a sweep gives up.
const FAILURES_MAX: u64 = 8;

/// Of how many runs, at most, one may end with "decide for me". More would mean that Segue has
/// stopped deciding.
const HUMANS_PER_RUNS: u64 = 25;

/// One seed in so many is run twice, and both runs must be the same, bit for bit.
const TWICE_EVERY: u64 = 100;

/// After so many seeds a sweep tells how far it is.
const PROGRESS_EVERY: usize = 5_000;

/// How one run ended.
struct Ran {
    seed: u64,
    violation: Option<Violation>,
    stats: Stats,
    micros: u64,
    events: u64,
    digest: Digest,
}

fn run(seed: u64, verbose: bool) -> Ran {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut sim = Sim::new(seed, verbose);
        sim.run();
        Ran {
            seed,
            violation: sim.checker.violation.clone(),
            stats: sim.checker.stats.clone(),
            micros: sim.now,
            events: sim.events,
            digest: sim.digest,
        }
    }));
    ran.unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|it| (*it).to_owned()))
            .unwrap_or_default();
        let violation = Some(Violation { name: "assertion", text, at: 0 });
        Ran {
            seed,
            violation,
            stats: Stats::default(),
            micros: 0,
            events: 0,
            digest: Digest::default(),
        }
    })
}

/// Runs a seed twice; any difference is a violation.
fn run_twice(seed: u64) -> Ran {
    let (mut one, other) = (run(seed, false), run(seed, false));
    if (one.digest, one.events) != (other.digest, other.events) {
        let text =
            format!("{} events, then {}; what was decided differs", one.events, other.events);
        one.violation.get_or_insert(Violation { name: "determinism", text, at: one.micros });
    }
    one
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|it| it.parse().expect("a number"))
}

#[test]
fn sweep() {
    let (first, count) =
        (number("SEGUE_FIRST").unwrap_or(0), number("SEGUE_SEEDS").unwrap_or(SEEDS));
    let failures_max = number("SEGUE_FAILURES").unwrap_or(FAILURES_MAX);
    let next = AtomicU64::new(first);
    let ran = Mutex::new(Vec::new());
    let failed = AtomicU64::new(0);
    let hook = take_hook();
    // An assertion of the code under test is a finding, told below with its seed.
    set_hook(Box::new(|_| {}));
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, |it| it.get().min(8));
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let enough = failed.load(Ordering::Relaxed) >= failures_max;
                    if seed >= first + count || enough {
                        break;
                    }
                    let it = if seed.is_multiple_of(TWICE_EVERY) {
                        run_twice(seed)
                    } else {
                        run(seed, false)
                    };
                    failed.fetch_add(u64::from(it.violation.is_some()), Ordering::Relaxed);
                    let mut ran = ran.lock().unwrap();
                    ran.push(it);
                    tell_progress(&ran);
                }
            });
        }
    });
    set_hook(hook);
    let mut ran = ran.into_inner().unwrap();
    ran.sort_by_key(|it| it.seed);
    account(&ran);
    let failures: Vec<String> = ran.iter().filter_map(describe).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    let humans: u64 = ran.iter().map(|it| it.stats.humans_needed).sum();
    assert!(humans <= count / HUMANS_PER_RUNS + 2, "a human is needed in {humans} runs");
}

/// A long sweep tells where it is, and at once what it has found.
fn tell_progress(ran: &[Ran]) {
    if let Some(failure) = ran.last().and_then(describe) {
        eprintln!("found: {failure}");
    }
    if ran.len().is_multiple_of(PROGRESS_EVERY) {
        let failures = ran.iter().filter(|it| it.violation.is_some()).count();
        eprintln!("so far {} seeds, {failures} violations", ran.len());
    }
}

fn describe(ran: &Ran) -> Option<String> {
    let Violation { name, text, at } = ran.violation.as_ref()?;
    let (seed, seconds) = (ran.seed, *at as f64 / 1e6);
    Some(format!(
        "seed {seed}: {name} at {seconds:.4} s: {text}\n  SEGUE_SEED={seed} cargo test --test sim \
         replay -- --nocapture"
    ))
}

/// What was run, in figures.
fn account(ran: &[Ran]) {
    let sum = |of: fn(&Ran) -> u64| ran.iter().map(of).sum::<u64>();
    let most = |of: fn(&Ran) -> u64| ran.iter().map(of).max().unwrap_or(0);
    eprintln!(
        "{} seeds, {:.2} simulated hours, {} events; {} faults, {} promotions, {} followed, {} \
         primaries without their data ({} hidden by new keys), {} times two primaries with writes (for {} \
         ms at most, {} ms where all was whole), {} spared for a witness, {} recovered, {} switchovers ({} \
         taken back); writes: {} \
         acknowledged ({} lost), {} refused, {} unknown; slowest to heal: {} ms; a human is \
         needed: {}",
        ran.len(),
        sum(|it| it.micros) as f64 / 3.6e9,
        sum(|it| it.events),
        sum(|it| it.stats.faults),
        sum(|it| it.stats.promotions),
        sum(|it| it.stats.follows),
        sum(|it| it.stats.amnesias),
        sum(|it| it.stats.hidden),
        sum(|it| it.stats.twofold),
        most(|it| it.stats.twofold_us) / MS,
        most(|it| it.stats.twofold_whole_us) / MS,
        sum(|it| it.stats.witnesses),
        sum(|it| it.stats.recoveries),
        sum(|it| it.stats.switchovers),
        sum(|it| it.stats.switchovers_undone),
        sum(|it| it.stats.acked),
        sum(|it| it.stats.lost),
        sum(|it| it.stats.refused),
        sum(|it| it.stats.unknown),
        most(|it| it.stats.heal_ms),
        sum(|it| it.stats.humans_needed),
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..8 {
        let (one, other) = (run(seed, false), run(seed, false));
        assert_eq!((one.digest, one.events), (other.digest, other.events), "seed {seed}");
    }
}

#[test]
fn replay() {
    let Some(seed) = number("SEGUE_SEED") else { return };
    let ran = run(seed, true);
    account(std::slice::from_ref(&ran));
    let failure = describe(&ran);
    assert!(failure.is_none(), "\n{}", failure.unwrap_or_default());
}
