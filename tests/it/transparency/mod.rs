//! Every kind of session survives a change of primary: the rows of `docs/transparency.md`.
//!
//! A test prepares sessions, changes the primary in all three ways one after the other
//! ([`Change::ALL`]), and says after each what the sessions must see. So each test also proves
//! that a session survives several changes.

mod scene;

mod blocking;
mod bounds;
mod credentials;
mod identity;
mod invisible;
mod modes;
mod proofs;
mod random;
mod scans;
mod scripts;
mod subscriptions;
mod tracking;
mod transactions;

use scene::{Change, Scene, null, patient, resp3};
