//! What clients read from Segue itself. Fixed texts: no addresses, no causes.

use super::Proto;
use std::time::Duration;

/// A write was sent and never answered. The prefix is ours alone, so that a client library
/// cannot take it for an error that is safe to retry.
pub(super) const UNCERTAIN: &[u8] =
    b"-UNCERTAIN Segue: the primary was lost before it replied; the command may or may not have \
run\r\n";

/// A guarded command ran, and too few replicas said so in time, or could.
pub(super) fn unconfirmed(verb: &str, replicas: u32, timeout: Duration, is_lost: bool) -> Vec<u8> {
    let plural = if replicas == 1 { "" } else { "s" };
    if is_lost {
        return format!(
            "-UNCERTAIN Segue: {verb} on a primary that was lost before {replicas} \
             replica{plural} had confirmed it\r\n"
        )
        .into_bytes();
    }
    format!(
        "-UNCERTAIN Segue: {verb} on the primary, not confirmed by {replicas} replica{plural} \
         within {}ms\r\n",
        timeout.as_millis()
    )
    .into_bytes()
}

pub(super) const OK: &[u8] = b"+OK\r\n";
pub(super) const RESET: &[u8] = b"+RESET\r\n";
pub(super) const QUEUED: &[u8] = b"+QUEUED\r\n";

/// What the servers answer to an aborted transaction (`shared.execaborterr`).
pub(super) const EXECABORT: &[u8] =
    b"-EXECABORT Transaction discarded because of previous errors.\r\n";

/// `hold.timeout` is over.
pub(super) fn no_primary(timeout: Duration) -> Vec<u8> {
    format!(
        "-TRYAGAIN Segue: no primary for {:.1}s; the command was not executed\r\n",
        timeout.as_secs_f64()
    )
    .into_bytes()
}

/// `hold.max_bytes` is used up.
pub(super) const HOLD_FULL: &[u8] =
    b"-TRYAGAIN Segue: no primary, and the hold is full; the command was not executed\r\n";

/// A request too large to be kept was cut short.
pub(super) const STREAM_CUT: &[u8] =
    b"-TRYAGAIN Segue: the primary was lost while the request was being sent; the command was not \
executed\r\n";

/// A command that `sessions.allow` does not name.
pub(super) fn not_allowed(command: &[u8], key: &str) -> Vec<u8> {
    format!(
        "-ERR Segue: '{}' is not allowed through the proxy; name '{key}' in sessions.allow to \
permit it\r\n",
        printable(command)
    )
    .into_bytes()
}

/// The servers break their own framing here (a RESP2 `EXEC` answers more frames than it says).
pub(super) const SUBSCRIBE_IN_MULTI: &[u8] =
    b"-ERR Segue: subscribing inside MULTI is not supported\r\n";

/// The null array of `EXEC` and of blocking commands that timed out.
pub(super) const fn null_array(proto: Proto) -> &'static [u8] {
    match proto {
        Proto::Resp2 => b"*-1\r\n",
        Proto::Resp3 => b"_\r\n",
    }
}

fn printable(name: &[u8]) -> String {
    name.iter()
        .take(NAME_SHOWN_MAX)
        .map(|&it| if it.is_ascii_graphic() { it as char } else { '?' })
        .collect()
}

/// Bytes of a command's name that an error repeats, as the servers do.
const NAME_SHOWN_MAX: usize = 128;
