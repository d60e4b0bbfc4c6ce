//! The Redis protocol as the data path needs it: where frames end, and little more.
//!
//! * [`request`]: what clients send; finds frames and shows the arguments of one.
//! * [`reply`]: what nodes send, RESP2 and RESP3; finds frames and looks into one.
//! * [`mod@write`]: encodes the few frames that Segue itself sends.
//!
//! # Invariants
//!
//! * A scanner looks at each byte once, however the bytes arrive. It allocates nothing
//!   for a frame and does not recurse.
//! * A request frame that is accepted is split by redis-server 7.0 and valkey-server 9.1
//!   exactly as it is split here. Where the two disagree, the request is refused: a frame
//!   whose end is a matter of opinion could smuggle a command past the command table.
//!
//! # Deliberately absent
//!
//! No values: nothing is decoded until somebody asks for it, and then only as a slice of
//! the frame. No buffers: who owns the bytes is the business of `proxy`.

mod number;
pub mod reply;
pub mod request;
pub mod write;

use number::Number;

/// The longest header line, marker included, and the longest inline request without
/// its line end (`PROTO_INLINE_MAX_SIZE` of both servers). Inclusive.
pub const LINE_MAX: usize = 64 * 1024;
