//! When a turn of a worker's loop begins: the clock is read once for all that happens in it.
//!
//! A turn is what the loop does between two questions to the kernel. The runtime tells of it by a
//! hook that knows nothing of the worker, so this is the thread's.

use std::cell::Cell;

/// Polls of one turn for which one reading of the clock will do: the runtime does not tell when it
/// asks the kernel in between without sleeping.
const POLLS_MAX: u32 = 64;

thread_local! {
    static POLLS_LEFT: Cell<u32> = const { Cell::new(0) };
}

/// The runtime has asked the kernel.
pub(super) fn begin() {
    POLLS_LEFT.set(0);
}

/// Whether the clock has to be read for the poll that begins.
pub(super) fn is_new() -> bool {
    let left = POLLS_LEFT.get();
    POLLS_LEFT.set(left.checked_sub(1).unwrap_or(POLLS_MAX - 1));
    left == 0
}
