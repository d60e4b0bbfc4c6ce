//! The number of a header line, read one byte at a time.
//!
//! Accepts what `string2ll` of the servers accepts and nothing else: an optional minus,
//! no leading zero, no plus, no space. A byte that does not fit spoils the number but
//! does not end it: the servers judge a line when all of it has arrived.

/// A number that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    value: u64,
    len: u32,
    negative: bool,
    bad: bool,
}

impl Number {
    /// Nothing read.
    pub(super) const ZERO: Self = Self { value: 0, len: 0, negative: false, bad: false };

    /// Takes the next byte.
    pub(super) const fn push(&mut self, byte: u8) {
        let first = self.len == self.negative as u32;
        self.len = self.len.saturating_add(1);
        match byte {
            b'-' if self.len == 1 => self.negative = true,
            b'0'..=b'9' => {
                let digit = (byte - b'0') as u64;
                let after_zero = !first && self.value == 0;
                let minus_zero = first && self.negative && digit == 0;
                self.bad = self.bad || after_zero || minus_zero;
                match self.value.checked_mul(10) {
                    Some(tens) => match tens.checked_add(digit) {
                        Some(value) => self.value = value,
                        None => self.bad = true,
                    },
                    None => self.bad = true,
                }
            }
            _ => self.bad = true,
        }
    }

    /// How many bytes were taken.
    pub(super) const fn len(self) -> usize {
        self.len as usize
    }

    /// The value, if the bytes were a number that fits.
    pub(super) fn value(self) -> Option<i64> {
        if self.bad || self.len == u32::from(self.negative) {
            return None;
        }
        if self.negative {
            0_i64.checked_sub_unsigned(self.value)
        } else {
            self.value.try_into().ok()
        }
    }

    /// The value of a whole text.
    pub(super) fn parse(text: &[u8]) -> Option<i64> {
        let mut number = Self::ZERO;
        for &byte in text {
            number.push(byte);
        }
        number.value()
    }
}

/// The header line at the start of `input`, as nearly every one is written: up to five digits,
/// no sign, no leading zero. The number and what follows its line end; nothing for any other line,
/// right or wrong, which is for [`Number`] to judge.
pub(super) fn short(input: &[u8]) -> Option<(usize, &[u8])> {
    fn join<const N: usize>(digits: [&u8; N]) -> usize {
        digits.iter().fold(0, |value, digit| value * 10 + usize::from(*digit - b'0'))
    }
    match input {
        [a @ b'0'..=b'9', b'\r', b'\n', rest @ ..] => Some((join([a]), rest)),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', rest @ ..] => Some((join([a, b]), rest)),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b'\r', b'\n', rest @ ..] => {
            Some((join([a, b, c]), rest))
        }
        [
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            d @ b'0'..=b'9',
            b'\r',
            b'\n',
            rest @ ..,
        ] => Some((join([a, b, c, d]), rest)),
        [
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            d @ b'0'..=b'9',
            e @ b'0'..=b'9',
            b'\r',
            b'\n',
            rest @ ..,
        ] => Some((join([a, b, c, d, e]), rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(Number::parse(text.as_bytes()), expected, "{text:?}");
    }

    #[test]
    fn reads_what_the_servers_read() {
        check("0", Some(0));
        check("7", Some(7));
        check("-1", Some(-1));
        check("100", Some(100));
        check("-10", Some(-10));
        check("9223372036854775807", Some(i64::MAX));
        check("-9223372036854775808", Some(i64::MIN));
    }

    #[test]
    fn refuses_what_the_servers_refuse() {
        for text in ["", "-", "-0", "00", "01", "-01", "+1", " 1", "1 ", "1-", "--1", "a", "1\0"] {
            check(text, None);
        }
        check("9223372036854775808", None);
        check("-9223372036854775809", None);
        check("99999999999999999999", None);
        check("18446744073709551617", None);
    }

    #[test]
    fn a_short_line_says_what_the_long_way_says() {
        for number in (0..1_200).chain(9_990..10_010).chain(99_990..100_010) {
            let text = number.to_string();
            let line = format!("{text}\r\nrest");
            let expected = (number <= 99_999).then_some((number, &b"rest"[..]));
            assert_eq!(short(line.as_bytes()), expected, "{line:?}");
            assert_eq!(Number::parse(text.as_bytes()), i64::try_from(number).ok());
        }
        for odd in
            ["", "1", "1\r", "1\n", "01\r\n", "-1\r\n", "+1\r\n", "1a\r\n", "1\r\r\n", "\r\n"]
        {
            assert_eq!(short(odd.as_bytes()), None, "{odd:?}");
        }
    }

    #[test]
    fn counts_every_byte() {
        let mut number = Number::ZERO;
        for &byte in b"-x9" {
            number.push(byte);
        }
        assert_eq!(number.len(), 3);
    }
}
