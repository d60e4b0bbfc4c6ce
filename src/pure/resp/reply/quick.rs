//! The end of a reply that is here as a whole and of the commonest kinds: a bulk string, a number,
//! a short line. In one pass without a state.
//!
//! # Invariants
//!
//! * What is found here, the scanner proper finds, too, at the same place. Everything else it has
//!   to judge: what is cut, long, nested or wrong.

use crate::pure::resp::number::short;

/// Longer lines are the scanner's: what was looked at here in vain is looked at again, and that
/// must stay little.
const LINE_MAX: usize = 64;

/// The length of the reply at the start of `input`.
pub(super) fn whole(input: &[u8]) -> Option<usize> {
    match input {
        [b'$', b'-', b'1', b'\r', b'\n', ..] => Some(5),
        [b'$', rest @ ..] => {
            let (len, rest) = short(rest)?;
            let rest = rest.get(len..)?.strip_prefix(b"\r\n")?;
            Some(input.len() - rest.len())
        }
        [b'+' | b':' | b'-' | b'_' | b'#', rest @ ..] => {
            let before = rest.iter().take(LINE_MAX).position(|&byte| byte == b'\r')?;
            (rest.get(before + 1) == Some(&b'\n')).then_some(before + 3)
        }
        _ => None,
    }
}
