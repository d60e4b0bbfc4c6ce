//! Drives the session machine with a modelled client, modelled servers and everything that can
//! happen between them, and holds the outcome against the promise.
//!
//! Run more cases with `SEGUE_CASES=100000 cargo test --lib model_test`.

#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a model names what it is about, and a test may fail"
)]

mod check;
mod client;
mod command;
mod guard;
mod node;
mod op;
mod route;
mod sim;
mod store;

use op::{Op, any_op, any_setup, apply};
use proptest::collection::vec;
use proptest::prelude::*;
use sim::{Setup, Sim};

#[allow(clippy::disallowed_methods, reason = "how much to test is up to who runs the tests")]
fn cases() -> u32 {
    std::env::var("SEGUE_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(512)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever happens, in whatever order, the promise holds; and when everything has healed,
    /// every request is answered.
    #[test]
    fn keeps_the_promise(setup in any_setup(), ops in vec(any_op(), 0..80)) {
        run(setup, &ops);
    }
}

fn run(setup: Setup, ops: &[Op]) {
    let mut sim = Sim::new(setup);
    sim.client.may_be_refused = true;
    for op in ops {
        apply(&mut sim, op);
        if sim.end().is_some() {
            break;
        }
    }
    sim.heal();
    check::promise(&mut sim, setup);
}
