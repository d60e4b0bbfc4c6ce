//! `SCAN` cursors across a change of primary.
//!
//! Hash seeds differ between servers, so a cursor of one means nothing to another. Cursors that
//! are given out after the first change carry the epoch in bits that servers do not use (a
//! cursor is smaller than the hash table, and a table of 2^41 slots does not fit in memory); one
//! that comes back in another epoch starts its iteration again from 0, which `SCAN`'s contract
//! allows: elements may come twice, none is missed.
//!
//! The tag stays below 2^53, because some client libraries keep cursors in a double.

use crate::pure::resp::{reply, request, write};
use crate::pure::topology::Epoch;

const TAG_SHIFT: u32 = 41;
const TAG_MASK: u64 = 0xFFF;
const CURSOR_MASK: u64 = (1 << TAG_SHIFT) - 1;

/// The tag of `epoch`: 0 in the first, so that nothing is rewritten before a change.
const fn tag(first: Epoch, epoch: Epoch) -> u64 {
    epoch.0.saturating_sub(first.0) & TAG_MASK
}

/// What became of a request's cursor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Cursor {
    /// Goes to the node as it is.
    Plain,
    /// Goes without its tag, or from 0 because its node is gone.
    Rewritten { request: Vec<u8>, restarted: bool },
}

/// Looks at the cursor of a request at argument `index`.
pub(super) fn outgoing(frame: &[u8], index: usize, first: Epoch, epoch: Epoch) -> Cursor {
    let args = request::args(frame);
    let Some(cursor) = args.get(index).and_then(|it| str::from_utf8(it).ok()?.parse::<u64>().ok())
    else {
        return Cursor::Plain;
    };
    // A larger number was never given out by a server of ours; the node may judge it.
    if cursor == 0 || cursor >> TAG_SHIFT > TAG_MASK {
        return Cursor::Plain;
    }
    let theirs = cursor >> TAG_SHIFT;
    let restarted = theirs != tag(first, epoch);
    if theirs == 0 && !restarted {
        return Cursor::Plain;
    }
    let bare = if restarted { 0 } else { cursor & CURSOR_MASK };
    let bare = bare.to_string();
    let args: Vec<&[u8]> = args
        .iter()
        .enumerate()
        .map(|(it, arg)| if it == index { bare.as_bytes() } else { arg })
        .collect();
    let mut request = Vec::with_capacity(frame.len());
    write::request(&mut request, &args);
    Cursor::Rewritten { request, restarted }
}

/// The reply `frame` with its cursor tagged; `None` if it can go as it is.
pub(super) fn incoming(frame: &[u8], first: Epoch, epoch: Epoch) -> Option<Vec<u8>> {
    let tag = tag(first, epoch);
    if tag == 0 {
        return None;
    }
    let item = reply::items(frame).next()?;
    // The cursor is the first element, right behind the header of the array.
    let at = frame.iter().position(|&it| it == b'\n')? + 1;
    let cursor: u64 = str::from_utf8(reply::text(item)?).ok()?.parse().ok()?;
    if cursor == 0 || cursor > CURSOR_MASK {
        return None;
    }
    let mut tagged = frame.get(..at)?.to_vec();
    write::bulk(&mut tagged, (cursor | tag << TAG_SHIFT).to_string().as_bytes());
    tagged.extend_from_slice(frame.get(at + item.len()..)?);
    Some(tagged)
}
