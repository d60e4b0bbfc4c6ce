//! Encodes the frames that Segue sends of its own: requests to nodes, replies to clients.

use bytes::BufMut;

/// Which protocol a session speaks; decides what a null and a push look like.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Proto {
    /// RESP2, what a connection starts with.
    #[default]
    Resp2,
    /// RESP3, after `HELLO 3`.
    Resp3,
}

/// A request: the array of bulk strings that both servers read the same way.
pub fn request(out: &mut impl BufMut, args: &[&[u8]]) {
    array(out, args.len());
    for arg in args {
        bulk(out, arg);
    }
}

/// A bulk string.
pub fn bulk(out: &mut impl BufMut, payload: &[u8]) {
    header(out, b'$', payload.len());
    out.put_slice(payload);
    out.put_slice(b"\r\n");
}

/// The header of an array; `len` elements follow.
pub fn array(out: &mut impl BufMut, len: usize) {
    header(out, b'*', len);
}

/// The header of a map of `pairs`. RESP2 has none: its clients expect a flat array.
pub fn map(out: &mut impl BufMut, proto: Proto, pairs: usize) {
    match proto {
        Proto::Resp2 => header(out, b'*', pairs.saturating_mul(2)),
        Proto::Resp3 => header(out, b'%', pairs),
    }
}

/// The header of a push; `len` elements follow. An array in RESP2.
pub fn push(out: &mut impl BufMut, proto: Proto, len: usize) {
    match proto {
        Proto::Resp2 => header(out, b'*', len),
        Proto::Resp3 => header(out, b'>', len),
    }
}

/// A simple string. Line ends in `text` become blanks, as in the servers.
pub fn simple(out: &mut impl BufMut, text: &[u8]) {
    line(out, b'+', text);
}

/// An error; `text` starts with its code, without the minus.
pub fn error(out: &mut impl BufMut, text: &[u8]) {
    line(out, b'-', text);
}

/// An integer.
pub fn int(out: &mut impl BufMut, value: i64) {
    out.put_u8(b':');
    if value < 0 {
        out.put_u8(b'-');
    }
    decimal(out, value.unsigned_abs());
    out.put_slice(b"\r\n");
}

/// "No value" where a string is expected.
pub fn null(out: &mut impl BufMut, proto: Proto) {
    out.put_slice(match proto {
        Proto::Resp2 => b"$-1\r\n",
        Proto::Resp3 => b"_\r\n",
    });
}

/// "No value" where an array is expected: the answer of an `EXEC` that did not run.
pub fn null_array(out: &mut impl BufMut, proto: Proto) {
    out.put_slice(match proto {
        Proto::Resp2 => b"*-1\r\n",
        Proto::Resp3 => b"_\r\n",
    });
}

fn header(out: &mut impl BufMut, marker: u8, len: usize) {
    out.put_u8(marker);
    decimal(out, len as u64);
    out.put_slice(b"\r\n");
}

fn line(out: &mut impl BufMut, marker: u8, text: &[u8]) {
    out.put_u8(marker);
    for &byte in text {
        out.put_u8(if matches!(byte, b'\r' | b'\n') { b' ' } else { byte });
    }
    out.put_slice(b"\r\n");
}

fn decimal(out: &mut impl BufMut, mut value: u64) {
    // u64::MAX has 20 digits.
    let mut digits = [0; 20];
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    out.put_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(write: impl FnOnce(&mut Vec<u8>), expected: &str) {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn encodes_requests() {
        check(|out| request(out, &[b"PING"]), "*1\r\n$4\r\nPING\r\n");
        check(|out| request(out, &[b"SET", b"k", b""]), "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
        check(|out| bulk(out, &[b'x'; 10]), "$10\r\nxxxxxxxxxx\r\n");
    }

    #[test]
    fn encodes_replies() {
        check(|out| simple(out, b"OK"), "+OK\r\n");
        check(|out| error(out, b"ERR two\r\nlines"), "-ERR two  lines\r\n");
        check(|out| int(out, 0), ":0\r\n");
        check(|out| int(out, 1_203), ":1203\r\n");
        check(|out| int(out, i64::MAX), ":9223372036854775807\r\n");
        check(|out| int(out, i64::MIN), ":-9223372036854775808\r\n");
    }

    #[test]
    fn speaks_both_protocols() {
        check(|out| null(out, Proto::Resp2), "$-1\r\n");
        check(|out| null(out, Proto::Resp3), "_\r\n");
        check(|out| null_array(out, Proto::Resp2), "*-1\r\n");
        check(|out| null_array(out, Proto::Resp3), "_\r\n");
        check(|out| map(out, Proto::Resp2, 2), "*4\r\n");
        check(|out| map(out, Proto::Resp3, 2), "%2\r\n");
        check(|out| push(out, Proto::Resp2, 3), "*3\r\n");
        check(|out| push(out, Proto::Resp3, 3), ">3\r\n");
    }
}
