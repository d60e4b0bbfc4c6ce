//! End-to-end tests: the real `segue` binary before real redis-server and valkey-server processes.
//!
//! Every test opens with its goal and its method, runs against both kinds of server, asserts at
//! the far end (the node, not the proxy's word) and waits by condition. Nothing is retried.
//!
//! `cargo test --test it NAME` runs the tests whose path holds `NAME`: `killed::valkey`, say.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the helpers of a test fail loudly, and clippy spares only the test functions"
)]

#[macro_use]
mod harness;

mod behind;
mod clients;
mod drain;
mod drill;
mod forced;
mod frozen;
mod guarded;
mod guards;
mod half_closed;
mod harness_test;
mod held;
mod idle;
mod killed;
mod large;
mod limits;
mod mixed;
mod none_left;
mod operating;
mod preflight;
mod protocol;
mod published;
mod selection;
mod sessions;
mod shared;
mod slow;
mod startup;
mod switchover;
mod transparency;
