//! Guarded writes: nothing is acknowledged that a failover can lose.
//!
//! Every scene has two listeners over the same group, one guarded and one not, so that what a
//! guarded session waits for can be told from what the group does. It is run with both kinds of
//! upstream connection.

mod acknowledged;
mod ordered;
mod process;
mod scene;
mod several;
mod uncertain;
