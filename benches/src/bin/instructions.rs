//! Turns the session machine a given number of times, for a tool that counts instructions.
//!
//! `instructions` lists the workloads and how many commands a turn of each has;
//! `instructions WORKLOAD TURNS` turns. The difference of two runs is what the turns cost.

use segue_bench::rig::{Rig, workloads};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(name) = args.first() else {
        for workload in workloads() {
            println!("{} {}", workload.name, workload.commands);
        }
        return ExitCode::SUCCESS;
    };
    let workload = workloads().into_iter().find(|it| it.name == name);
    let turns: Option<u64> = args.get(1).and_then(|it| it.parse().ok());
    let (Some(workload), Some(turns)) = (workload, turns) else {
        eprintln!("usage: instructions [WORKLOAD TURNS]");
        return ExitCode::FAILURE;
    };
    let mut rig = Rig::new();
    for _ in 0..turns {
        let got = rig.turn(&workload.requests, &workload.replies);
        assert_eq!(got, workload.replies.len(), "wrong replies");
    }
    ExitCode::SUCCESS
}
