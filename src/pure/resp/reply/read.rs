//! Looks into one complete reply, or one element of it.
//!
//! Everything takes a frame as the scanner found it, or an element as [`items`] yields
//! it, and gives slices of it. An attribute in front is stepped over. What does not fit
//! gives `None`: a node that answers nonsense must not stop anybody.

use super::{Number, Scan, Scanner};

/// What a reply is, once an attribute in front is set aside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `+`
    Simple,
    /// `-` and `!`
    Error,
    /// `:`
    Integer,
    /// `$`
    Bulk,
    /// `*`
    Array,
    /// `_`, and `$-1` and `*-1` of RESP2
    Null,
    /// `#`
    Boolean,
    /// `,`
    Double,
    /// `(`
    BigNumber,
    /// `=`
    Verbatim,
    /// `%`
    Map,
    /// `~`
    Set,
    /// `>`
    Push,
}

/// The kind of `frame`, if it is a reply at all.
pub fn kind(frame: &[u8]) -> Option<Kind> {
    let frame = strip_attribute(frame)?;
    let (marker, _) = frame.split_first()?;
    Some(match marker {
        b'$' | b'*' if frame.get(1) == Some(&b'-') => Kind::Null,
        b'+' => Kind::Simple,
        b'-' | b'!' => Kind::Error,
        b':' => Kind::Integer,
        b'$' => Kind::Bulk,
        b'*' => Kind::Array,
        b'_' => Kind::Null,
        b'#' => Kind::Boolean,
        b',' => Kind::Double,
        b'(' => Kind::BigNumber,
        b'=' => Kind::Verbatim,
        b'%' => Kind::Map,
        b'~' => Kind::Set,
        b'>' => Kind::Push,
        _ => return None,
    })
}

/// The text of an error, code first, without marker and line end.
pub fn error_text(frame: &[u8]) -> Option<&[u8]> {
    let frame = strip_attribute(frame)?;
    match frame.split_first()? {
        (b'-', line) => line.strip_suffix(b"\r\n"),
        (b'!', _) => payload(frame),
        _ => None,
    }
}

/// The first element of a RESP3 push: what kind of message it is.
pub fn push_name(frame: &[u8]) -> Option<&[u8]> {
    if kind(frame)? == Kind::Push { text(items(frame).next()?) } else { None }
}

/// The text of a simple, bulk or verbatim string (without its format), a double or a big
/// number. Not of an error.
pub fn text(element: &[u8]) -> Option<&[u8]> {
    let element = strip_attribute(element)?;
    match element.split_first()? {
        (b'+' | b',' | b'(', line) => line.strip_suffix(b"\r\n"),
        (b'$', _) => payload(element),
        // Three bytes name the format, as in `txt:`.
        (b'=', _) => payload(element)?.get(4..),
        _ => None,
    }
}

/// The value of an integer, or of a string that spells one: some replies are one in RESP2
/// and the other in RESP3.
pub fn int(element: &[u8]) -> Option<i64> {
    let element = strip_attribute(element)?;
    match element.strip_prefix(b":") {
        Some(line) => Number::parse(line.strip_suffix(b"\r\n")?),
        None => Number::parse(text(element)?),
    }
}

/// Whether this is one of the three nulls.
pub fn is_null(element: &[u8]) -> bool {
    kind(element) == Some(Kind::Null)
}

/// The elements of an aggregate, each as a slice of its own; those of a map are key,
/// value, key, value. Nothing for anything else.
pub fn items(frame: &[u8]) -> Items<'_> {
    Items { rest: elements(frame).unwrap_or_default() }
}

fn elements(frame: &[u8]) -> Option<&[u8]> {
    let frame = strip_attribute(frame)?;
    match frame.first()? {
        b'*' | b'~' | b'%' | b'>' => Some(header(frame)?.1),
        _ => None,
    }
}

/// See [`items`].
#[derive(Clone, Debug)]
pub struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let Scan::Frame { len } = Scanner::new().scan(self.rest) else { return None };
        let (element, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(element)
    }
}

/// The number behind the marker and what follows its line.
fn header(frame: &[u8]) -> Option<(i64, &[u8])> {
    let end = frame.iter().position(|&byte| byte == b'\r')?;
    Some((Number::parse(frame.get(1..end)?)?, frame.get(end + 2..)?))
}

/// What stands between a header and the last line end.
fn payload(frame: &[u8]) -> Option<&[u8]> {
    let (len, rest) = header(frame)?;
    rest.get(..usize::try_from(len).ok()?)
}

/// Steps over the attributes in front, without recursion.
fn strip_attribute(mut frame: &[u8]) -> Option<&[u8]> {
    while frame.first() == Some(&b'|') {
        let (pairs, mut rest) = header(frame)?;
        for _ in 0..pairs.checked_mul(2)? {
            let Scan::Frame { len } = Scanner::new().scan(rest) else { return None };
            rest = rest.get(len..)?;
        }
        frame = rest;
    }
    Some(frame)
}
