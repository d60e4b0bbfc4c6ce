//! The only place that opens a socket: towards a node, or one that waits for clients.
//!
//! * [`dial`]: one connection, under a deadline, with the socket options that let a dead
//!   peer be noticed.
//! * [`resolve`]: a host name to addresses, off the loop and under a deadline.
//! * [`call`]: one request, one reply, one deadline; what the control plane speaks.
//! * [`converse`]: a client's conversation with a listener, for `segue drill`.
//! * [`listen`]: sockets that wait for peers.
//! * [`Pipe`]: from one socket to another without a copy.
//! * [`Stream`]: a peer's connection, TCP or Unix.
//!
//! Deliberately absent: pools, retries and policy. Whoever dials decides what a failure
//! means.

pub mod call;
pub mod converse;
mod dial;
pub mod listen;
mod pipe;
mod resolve;
mod stream;

pub use dial::{DialError, dial};
pub use pipe::Pipe;
pub use resolve::{ResolveError, resolve};
pub use stream::{Detached, Stream, read_now};
