//! Allocations of the session machine for each command in steady state. Ends with an error if a
//! command that should need none needs one.
//!
//! Steady state: the session has done the same a hundred times before. Each turn delivers
//! everything, so what is counted is also what a busy session pays to go on. *kept* is what the
//! session has on the heap once it has been idle for a while.

use segue_bench::allocator::{Count, Counting};
use segue_bench::rig::{Rig, cases};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP: u64 = 100;
const TURNS: u64 = 10_000;
/// What an idle session may cost, besides itself and its task.
const KEPT_MAX: u64 = 3 * 1024;

fn main() -> ExitCode {
    println!("a session is {} bytes, besides what it points to", Rig::session_bytes());
    println!("{:<32} {:>11} {:>11} {:>8}", "for each command", "allocations", "bytes", "kept");
    let mut failed = false;
    for (upstream, workload) in cases() {
        let name = format!("{}/{}", upstream.name(), workload.name);
        let mut rig = Rig::new(upstream);
        let fresh = Count::now();
        let mut turn = || {
            let got = rig.turn(&workload.requests, &workload.replies);
            assert_eq!(got, workload.replies.len(), "{name}: wrong replies");
        };
        (0..WARM_UP).for_each(|_| turn());
        let before = Count::now();
        (0..TURNS).for_each(|_| turn());
        let count = Count::now() - before;
        let commands = (TURNS * workload.commands) as f64;
        let each = |it: u64| it as f64 / commands;
        rig.rest();
        let kept = Count::now().live.saturating_sub(fresh.live);
        let allocates = count.calls > 0 && !workload.may_allocate;
        let keeps = kept > KEPT_MAX;
        let note = match (allocates, keeps) {
            (false, false) => "",
            (true, false) => "  <- should allocate nothing",
            (false, true) => "  <- keeps too much",
            (true, true) => "  <- should allocate nothing, keeps too much",
        };
        failed |= !note.is_empty();
        println!(
            "{name:<32} {:>11.3} {:>11.1} {kept:>8}{note}",
            each(count.calls),
            each(count.bytes)
        );
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
