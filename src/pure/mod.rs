//! The pure half of the proxy: no sockets, no clock, no tasks, no randomness.
//!
//! Everything here is a value or a function from values to values. Time comes in as
//! an argument, effects go out as a returned list of actions, and the shells (`proxy`,
//! `control`, `ops`) are the only code that touches the world. That is what lets
//! `tests/sim` replay a failover bit for bit from a seed.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod backlog;
pub mod command;
pub mod detect;
pub mod failover;
pub mod mux;
pub mod resp;
pub mod session;
pub mod time;
pub mod topology;
