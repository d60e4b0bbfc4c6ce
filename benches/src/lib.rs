//! What the benchmarks of Segue share: a rig that turns the session machine without sockets, an
//! allocator that counts, and the parts of the floor programs.
//!
//! | program | measures |
//! |---|---|
//! | `driver/` (Python), by `scripts/bench` | Segue beside other proxies, on real sockets |
//! | `relay`, `mux` (`src/bin`) | the floor: the same job without any feature |
//! | `benches/pure.rs` | nanoseconds of scanner, classification and session machine |
//! | `allocations` | allocations of the session machine for each command |
//! | `instructions`, by `scripts/bench-instructions` | instructions of the session machine for each command |

pub mod allocator;
pub mod floor;
pub mod rig;
