//! Allocations of the session machine for each command in steady state. Ends with an error if a
//! command that should need none needs one.
//!
//! Steady state: the session has done the same a hundred times before. Each turn delivers
//! everything, so what is counted is also what an idle session pays to wake up.

use segue_bench::allocator::{Count, Counting};
use segue_bench::rig::{Rig, workloads};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP: u64 = 100;
const TURNS: u64 = 10_000;

fn main() -> ExitCode {
    println!("a session is {} bytes, besides what it points to", Rig::session_bytes());
    println!("{:<22} {:>12} {:>14}", "workload", "allocations", "bytes, each");
    let mut failed = false;
    for workload in workloads() {
        let mut rig = Rig::new();
        let mut turn = || {
            let got = rig.turn(&workload.requests, &workload.replies);
            assert_eq!(got, workload.replies.len(), "{}: wrong replies", workload.name);
        };
        (0..WARM_UP).for_each(|_| turn());
        let before = Count::now();
        (0..TURNS).for_each(|_| turn());
        let count = Count::now() - before;
        let commands = (TURNS * workload.commands) as f64;
        let each = |it: u64| it as f64 / commands;
        let too_many = count.calls > 0 && !workload.may_allocate;
        failed |= too_many;
        println!(
            "{:<22} {:>12.3} {:>14.1}{}",
            workload.name,
            each(count.calls),
            each(count.bytes),
            if too_many { "  <- should be none" } else { "" },
        );
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
