//! Turns the session machine a given number of times, for a tool that counts instructions.
//!
//! `instructions` lists the workloads and how many commands a turn of each has;
//! `instructions WORKLOAD TURNS` turns. The difference of two runs is what the turns cost.

use segue_bench::rig::{Rig, Upstream, Workload, cases};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(name) = args.first() else {
        for (upstream, workload) in cases() {
            println!("{} {}", name_of(upstream, &workload), workload.commands);
        }
        return ExitCode::SUCCESS;
    };
    let case = cases().find(|(upstream, workload)| name_of(*upstream, workload) == *name);
    let turns: Option<u64> = args.get(1).and_then(|it| it.parse().ok());
    let (Some((upstream, workload)), Some(turns)) = (case, turns) else {
        eprintln!("usage: instructions [WORKLOAD TURNS]");
        return ExitCode::FAILURE;
    };
    let mut rig = Rig::new(upstream);
    for _ in 0..turns {
        let got = rig.turn(&workload.requests, &workload.replies);
        assert_eq!(got, workload.replies.len(), "wrong replies");
    }
    ExitCode::SUCCESS
}

fn name_of(upstream: Upstream, workload: &Workload) -> String {
    format!("{}/{}", upstream.name(), workload.name)
}
