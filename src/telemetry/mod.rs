//! What Segue says about itself: logs for people, metrics for machines.
//!
//! # Deliberately absent
//!
//! No decision: nothing here is read back by a plane. No label and no log field carries a
//! key, a value or a password, and nothing here can block the caller.

pub mod logs;
pub mod metrics;
pub mod recent;
