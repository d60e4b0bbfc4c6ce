//! Looks at the arguments of a request whose end the scanner has found.

use super::inline;
use crate::pure::resp::number::short;
use crate::pure::resp::write;

/// Longer names and subcommands exist in no server: [`head`] shows them as empty.
pub const NAME_MAX: usize = 64;

/// What the beginning of a request says about its command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Head<'a> {
    /// The name, and the argument behind it. Either is empty if it is longer than
    /// [`NAME_MAX`]; `sub` also if the request has no argument.
    Ready { name: &'a [u8], sub: &'a [u8] },
    /// Not enough has arrived.
    NeedMore,
    /// The request is inline: wait until it is complete and rewrite it by [`canonical`].
    Inline,
}

/// The command of a request of which at least the beginning is there.
///
/// `prefix` must start with the request's first byte and have passed the scanner.
pub fn head(prefix: &[u8]) -> Head<'_> {
    let Some(count_line) = prefix.strip_prefix(b"*") else {
        return if prefix.is_empty() { Head::NeedMore } else { Head::Inline };
    };
    let Some((count, rest)) = number_line(count_line) else { return Head::NeedMore };
    let Some((name, rest)) = short_arg(rest) else { return Head::NeedMore };
    if count < 2 {
        return Head::Ready { name, sub: b"" };
    }
    let Some(rest) = rest else {
        // So long a name is no command: nobody will ask for a subcommand.
        return Head::Ready { name, sub: b"" };
    };
    match short_arg(rest) {
        Some((sub, _)) => Head::Ready { name, sub },
        None => Head::NeedMore,
    }
}

/// The argument at the start of `input` and what follows; of a long one neither. None if
/// more input is needed to say.
fn short_arg(input: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (len, rest) = number_line(input.strip_prefix(b"$")?)?;
    let len = usize::try_from(len).ok()?;
    if len > NAME_MAX {
        return Some((b"", None));
    }
    let (text, rest) = rest.split_at_checked(len)?;
    Some((text, Some(rest.get(2..)?)))
}

/// The number at the start of `input` and what follows its line end.
fn number_line(input: &[u8]) -> Option<(i64, &[u8])> {
    if let Some((value, rest)) = short(input) {
        return Some((i64::try_from(value).unwrap_or(i64::MAX), rest));
    }
    let mut value = 0_i64;
    for (at, &byte) in input.iter().enumerate() {
        match byte {
            // The scanner has checked the digits and the line end.
            b'0'..=b'9' => value = value.saturating_mul(10).saturating_add(i64::from(byte - b'0')),
            _ => return Some((value, input.get(at + 2..)?)),
        }
    }
    None
}

/// The arguments of one complete request.
#[derive(Clone, Debug)]
pub struct Args<'a>(Form<'a>);

#[derive(Clone, Debug)]
enum Form<'a> {
    Multibulk {
        count: usize,
        first: &'a [u8],
    },
    /// Unquoted, so they had to be copied.
    Inline(Vec<Vec<u8>>),
}

/// The arguments of `frame`, one that the scanner has found. Allocates only for an
/// inline request. Of anything else than a complete request there are no arguments.
pub fn args(frame: &[u8]) -> Args<'_> {
    match frame.strip_prefix(b"*") {
        Some(rest) => {
            let (count, first) = number_line(rest).unwrap_or_default();
            Args(Form::Multibulk { count: usize::try_from(count).unwrap_or_default(), first })
        }
        None => Args(Form::Inline(words(frame))),
    }
}

fn words(frame: &[u8]) -> Vec<Vec<u8>> {
    let mut words = inline::Words::new(frame.strip_suffix(b"\n").unwrap_or(frame));
    let mut all = Vec::new();
    loop {
        let mut word = Vec::new();
        match words.next_into(&mut word) {
            Ok(true) => all.push(word),
            Ok(false) | Err(_) => return all,
        }
    }
}

/// An inline request as the array of bulk strings that means the same.
///
/// Servers differ in how they split a line into arguments, so a line is never forwarded
/// as it is. A frame that is an array already is returned as it is.
pub fn canonical(frame: &[u8]) -> Vec<u8> {
    if frame.starts_with(b"*") {
        return frame.to_vec();
    }
    let words = words(frame);
    let mut out = Vec::with_capacity(frame.len() + 16 * words.len());
    write::array(&mut out, words.len());
    for word in &words {
        write::bulk(&mut out, word);
    }
    out
}

impl<'a> Args<'a> {
    /// How many there are, the name included.
    pub const fn len(&self) -> usize {
        match &self.0 {
            Form::Multibulk { count, .. } => *count,
            Form::Inline(words) => words.len(),
        }
    }

    /// Whether there is not even a name; never so for a frame of the scanner.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The command name as the client wrote it.
    pub fn name(&self) -> &[u8] {
        self.get(0).unwrap_or_default()
    }

    /// Argument `index`; the name is argument 0. Walks from the start.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.iter().nth(index)
    }

    /// All of them in order.
    pub fn iter(&self) -> ArgsIter<'_> {
        match &self.0 {
            Form::Multibulk { first, .. } => ArgsIter(Rest::Multibulk(first)),
            Form::Inline(words) => ArgsIter(Rest::Inline(words.iter())),
        }
    }
}

impl<'b> IntoIterator for &'b Args<'_> {
    type Item = &'b [u8];
    type IntoIter = ArgsIter<'b>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// See [`Args::iter`].
#[derive(Clone, Debug)]
pub struct ArgsIter<'a>(Rest<'a>);

#[derive(Clone, Debug)]
enum Rest<'a> {
    Multibulk(&'a [u8]),
    Inline(std::slice::Iter<'a, Vec<u8>>),
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match &mut self.0 {
            Rest::Multibulk(input) => {
                let (len, rest) = number_line(input.strip_prefix(b"$")?)?;
                let (arg, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
                *input = rest.get(2..)?;
                Some(arg)
            }
            Rest::Inline(words) => words.next().map(Vec::as_slice),
        }
    }
}
