//! The data plane: clients in, the primary out.
//!
//! ```text
//! listener --least loaded--> worker thread: session, session, …
//!                                  |           \-- dedicated upstream --> primary
//!                                 gate (route, wakers)
//! ```
//!
//! # Invariants
//!
//! * Everything of a session happens on one thread; workers share nothing but counters that
//!   anybody may read.
//! * A worker confirms a route only after its gate has taken it, and nothing is written to a node
//!   without asking the gate in the same turn.
//!
//! # Deliberately absent
//!
//! Decisions. What is sent, held, replayed or refused is `pure::session`'s; who is primary is
//! the control plane's, which this layer never names.

mod beat;
mod gate;
mod guard;
mod last_words;
#[cfg(test)]
mod last_words_test;
mod listener;
mod session;
mod turn;
mod upstream;
mod worker;

pub use listener::{Accepting, Listener, accept};
pub use worker::{Ends, Load, Settings, THREAD_DESCRIPTORS, Worker, descriptors, start};
