//! Splits an inline request (what people type into telnet) into its arguments.
//!
//! The rules are those of `sdssplitargs` of redis-server 7.0: blanks separate, `"…"` knows
//! `\n \r \t \b \a \xHH` and takes any other escaped byte as it is, `'…'` knows `\'`, and
//! a closing quote must be followed by a blank. Valkey 9.1 lets text follow (`"a"b`),
//! which 7.0 refuses; so is it refused here.

use super::ProtocolError;

/// The words of one line, without its line feed.
#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    pub(super) const fn new(line: &'a [u8]) -> Self {
        Self { rest: line }
    }

    /// Appends the next word to `word`; false if there is none.
    pub(super) fn next_into(&mut self, word: &mut Vec<u8>) -> Result<bool, ProtocolError> {
        while let [blank, rest @ ..] = self.rest {
            if !is_space(*blank) {
                break;
            }
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return Ok(false);
        }
        while let [byte, rest @ ..] = self.rest {
            self.rest = rest;
            match byte {
                // Not every blank that separates words also ends one: `\v` and `\f` do not.
                b' ' | b'\n' | b'\r' | b'\t' => break,
                b'"' => {
                    self.double_quoted(word)?;
                    break;
                }
                b'\'' => {
                    self.single_quoted(word)?;
                    break;
                }
                byte => word.push(*byte),
            }
        }
        Ok(true)
    }

    fn double_quoted(&mut self, word: &mut Vec<u8>) -> Result<(), ProtocolError> {
        loop {
            match self.rest {
                [b'\\', b'x', high, low, rest @ ..]
                    if hex(*high).is_some() && hex(*low).is_some() =>
                {
                    let digit = |it: &u8| hex(*it).unwrap_or_default();
                    word.push(digit(high) << 4 | digit(low));
                    self.rest = rest;
                }
                [b'\\', escaped, rest @ ..] => {
                    word.push(match escaped {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'b' => 8,
                        b'a' => 7,
                        other => *other,
                    });
                    self.rest = rest;
                }
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return self.closed();
                }
                [byte, rest @ ..] => {
                    word.push(*byte);
                    self.rest = rest;
                }
                [] => return Err(ProtocolError::UnbalancedQuotes),
            }
        }
    }

    fn single_quoted(&mut self, word: &mut Vec<u8>) -> Result<(), ProtocolError> {
        loop {
            match self.rest {
                [b'\\', b'\'', rest @ ..] => {
                    word.push(b'\'');
                    self.rest = rest;
                }
                [b'\'', rest @ ..] => {
                    self.rest = rest;
                    return self.closed();
                }
                [byte, rest @ ..] => {
                    word.push(*byte);
                    self.rest = rest;
                }
                [] => return Err(ProtocolError::UnbalancedQuotes),
            }
        }
    }

    const fn closed(&self) -> Result<(), ProtocolError> {
        match self.rest {
            [next, ..] if !is_space(*next) => Err(ProtocolError::UnbalancedQuotes),
            _ => Ok(()),
        }
    }
}

/// `isspace` of C.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Result<&[&str], ProtocolError>) {
        let mut words = Words::new(line.as_bytes());
        let mut all = Vec::new();
        let outcome = loop {
            let mut word = Vec::new();
            match words.next_into(&mut word) {
                Ok(true) => all.push(word.iter().map(|&it| char::from(it)).collect::<String>()),
                Ok(false) => break Ok(all),
                Err(error) => break Err(error),
            }
        };
        let expected = expected.map(|it| it.iter().map(|&it| it.to_owned()).collect());
        assert_eq!(outcome, expected, "{line:?}");
    }

    #[test]
    fn splits_at_blanks() {
        check("", Ok(&[]));
        check(" \t\r", Ok(&[]));
        check("PING", Ok(&["PING"]));
        check("  SET\tk  v \r", Ok(&["SET", "k", "v"]));
        check("PING\rX", Ok(&["PING", "X"]));
        check("\x0bECHO \x0ba\x0cb\x0b", Ok(&["ECHO", "a\x0cb\x0b"]));
    }

    #[test]
    fn unquotes() {
        check(r#"ECHO """#, Ok(&["ECHO", ""]));
        check("ECHO ''", Ok(&["ECHO", ""]));
        check(r#"P"ING""#, Ok(&["PING"]));
        check("P'ING' x", Ok(&["PING", "x"]));
        check(r#""\x41\x4a\xFf\n\r\t\b\a\q\\\"""#, Ok(&["AJ\u{ff}\n\r\t\x08\x07q\\\""]));
        check(r#""\xg1\x1g""#, Ok(&["xg1x1g"]));
        check(r"'a\'b\n'", Ok(&["a'b\\n"]));
        check("\"a b\"\x0b'c'", Ok(&["a b", "c"]));
        check("\"a\r\"", Ok(&["a\r"]));
    }

    #[test]
    fn refuses_quotes_that_do_not_fit() {
        for line in
            [r#"a "b"#, "a 'b", r#""a"b"#, "'a'b", r#""a""b""#, r#""a\"#, r"'a\'", r#""\x4"#]
        {
            check(line, Err(ProtocolError::UnbalancedQuotes));
        }
    }
}
