//! Decides who is primary: discovery, suspicion, failover, rejoin. All deciding of the control
//! plane is in [`Brain`].
//!
//! ```text
//! Discovering --one primary, or lineage says which--> Steady
//!
//! Steady --signal, silence, refusal, loading--> Suspecting      gate held, same epoch
//!    ^                                            |    |
//!    +---------- the primary answers -------------+    | down, no witness, replicas drained
//!    |                                                 v
//!    |                                            Committing    epoch+1, gate held; every
//!    |                                                 |        worker must confirm it
//!    |                                                 v
//!    +------- it says role:master ----------------Promoting     REPLICAOF NO ONE, again and
//!                                                               again to the same node
//! ```
//!
//! A planned switchover goes from Steady by its own way to the same commit and promotion; see
//! `switchover`. An operator may say that the primary is lost; see `forced`.
//!
//! # Invariants (`assert!`, also in release)
//!
//! * The epoch never goes back; an epoch has at most one candidate and opens for at most one
//!   process of one node.
//! * Nobody is promoted before every worker confirmed that the old epoch is severed.
//! * The gate opens only for a node that said `role:master` when it was asked last.
//! * A promotion with no answer is *unknown*: the same node is asked again, never the next,
//!   unless its process is gone. `REPLICAOF NO ONE` is idempotent; two primaries are not.
//!
//! # Deliberately absent
//!
//! No sockets, no clock, no logging: `control::driver` feeds events and obeys the actions.
//! No consensus: with several deciders, each follows by lineage what another decided.

mod account;
mod adopt;
mod amnesia;
mod brain;
mod discover;
mod event;
mod fence;
mod forced;
mod gate;
mod guarded;
mod heir;
mod lost;
mod member;
mod params;
mod pause;
mod preflight;
mod probed;
mod reason;
pub mod record;
mod rejoin;
mod select;
mod serve;
mod several;
mod standstill;
mod switchover;
mod view;
mod witness;

pub use account::{Account, Millis, PhaseAccount, Progress, Stage, Verdict};
pub use adopt::{Adopt, Adopted, Adoption, Fate, Other};
pub use brain::Brain;
pub use event::{Action, Event, Note, Order, Outcome};
pub use fence::{Fence, Fenced, Fencing};
pub use guarded::Guarded;
pub use params::{Params, Rejoin, Witnessless};
pub use preflight::{Ask, Checked};
pub use probed::{Endpoint, Finding, NodeSpec, Probed};
pub use select::{Candidate, Limits, Lost, Ranked, Ranking, Reject, rank};

#[cfg(test)]
mod brain_test;
#[cfg(test)]
mod forced_test;
#[cfg(test)]
mod guard_test;
#[cfg(test)]
mod property_test;
#[cfg(test)]
mod story_test;
#[cfg(test)]
mod switchover_test;
#[cfg(test)]
mod world_test;
