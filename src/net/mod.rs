//! The only place that opens a socket towards a node, or one that waits for clients.
pub mod listen;
