//! What nodes have still said when an epoch ends: it is read at once, from every connection, in one turn
//! of the loop, and what comes later does not count.
//!
//! # Invariants
//!
//! * Of each connection only so much is read, whether its node goes on sending or not: the connections of
//!   a worker are many, and the new epoch waits for all of them.
//!
//! # Deliberately absent
//!
//! What becomes of the rest. It is lost with the connection, like what came a moment later: a reply is
//! uncertain or asked for again, a message is missed.

use std::io;

/// Bytes that are read of a session's own connection. One that kept up has less there, and replies to
/// writes are short; a reply that is longer than this is rarely there as a whole.
pub(super) const OWN_MAX: usize = 64 * 1024;

/// Bytes that are read of a shared connection. There are few of them, and on each are the replies of many.
pub(super) const SHARED_MAX: usize = 1024 * 1024;

/// Takes in what `read` finds, until there is nothing more, `take` wants no more, or it was `max` bytes.
/// An error is seen again later, by whoever uses the connection; 0 bytes are its end.
pub(super) fn take_in(
    max: usize,
    scratch: &mut [u8],
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    mut take: impl FnMut(&[u8]) -> bool,
) {
    let mut left = max;
    while left > 0 {
        let room = scratch.len().min(left);
        let Some(buf) = scratch.get_mut(..room) else { return };
        let Ok(n @ 1..) = read(buf) else { return };
        left = left.saturating_sub(n);
        if !take(buf.get(..n).unwrap_or_default()) {
            return;
        }
    }
}
