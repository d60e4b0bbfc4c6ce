//! Deterministic simulation: the real deciding code in a modelled world, from one seed.
//!
//! Under test are [`segue::pure::failover::Brain`] and [`segue::pure::session::Session`]. Nodes,
//! network, time, clients and mishaps are models (see each module). Chaos comes first; then every
//! fault ends, and the group must heal.
//!
//! * `cargo test --test sim` sweeps some hundred seeds.
//! * `SEGUE_SEEDS=100000 cargo test --release --test sim sweep -- --nocapture` sweeps more;
//!   `SEGUE_FIRST` is where it begins.
//! * `SEGUE_SEED=42 cargo test --test sim replay -- --nocapture` tells one run, line by line.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a simulation fails loudly, and clippy spares only the test functions"
)]

mod client;
mod data;
mod invariant;
mod nemesis;
mod network;
mod node;
mod proxy;
mod recorded;
mod regime;
mod rng;
mod sim;
mod swarm;
mod sweep;
