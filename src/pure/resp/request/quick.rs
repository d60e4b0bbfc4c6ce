//! The end of a request that is here as a whole and written as clients write: the common case,
//! in one pass without a state.
//!
//! # Invariants
//!
//! * What is found here, the scanner proper finds, too, at the same place. Everything else it has
//!   to judge: what is cut, long, unusual or wrong.
//!
//! # Deliberately absent
//!
//! Errors: they have one source, the scanner.

use super::{Limits, is_attack};
use crate::pure::resp::number::short;

/// Requests of more arguments are the scanner's: what was looked at here in vain is looked at
/// again, and that must stay little.
const ARGS_MAX: usize = 32;

/// The length of the request at the start of `input`.
pub(super) fn whole(input: &[u8], limits: &Limits) -> Option<usize> {
    let (count, mut rest) = short(input.strip_prefix(b"*")?)?;
    if count == 0 || count > ARGS_MAX || count > limits.count_max as usize {
        return None;
    }
    for index in 0..count {
        let (len, after) = short(rest.strip_prefix(b"$")?)?;
        if len as u64 > limits.bulk_max {
            return None;
        }
        let (payload, after) = after.split_at_checked(len)?;
        if index == 0 && may_be_attack(payload) {
            return None;
        }
        rest = after.strip_prefix(b"\r\n")?;
    }
    Some(input.len() - rest.len())
}

fn may_be_attack(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'p' | b'P' | b'h' | b'H')) && is_attack(name)
}
