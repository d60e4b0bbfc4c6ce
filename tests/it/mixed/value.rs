//! Values that must pass as they are, and look like anything but a value.

use crate::harness::Random;

/// What values are made of: bytes that mean something where a reply is cut at the wrong place.
const PIECES: [&[u8]; 16] = [
    b"\r\n",
    b">",
    b">2\r\n",
    b">1\r\n+x\r\n",
    b"$-1\r\n",
    b"$5\r\n",
    b"*",
    b"*1\r\n",
    b"+OK\r\n",
    b"-ERR no\r\n",
    b"-READONLY You can't write against a read only replica.\r\n",
    b":1\r\n",
    b"_\r\n",
    b"%1\r\n",
    b"\0\xff",
    b"|1\r\n",
];

/// `name`, and then pieces, all alike or not, up to about `length` bytes.
pub(super) fn of(random: &mut Random, name: &str, length: usize) -> Vec<u8> {
    let mut value = name.as_bytes().to_vec();
    let only = random.pick(&PIECES);
    let mixed = random.once_in(2);
    while value.len() < length {
        value.extend_from_slice(if mixed { random.pick(&PIECES) } else { only });
    }
    value
}
