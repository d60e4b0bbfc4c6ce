//! Finds where the replies of a node end: RESP2, RESP3, attributes and pushes.
//!
//! ```text
//! Type --$ = !--> Number --> Payload --CRLF--+
//!   |  --* ~ % > |--> Number --> (opens n elements) --> Type
//!   +----+ - : , # _ ( --> Text --CRLF-------+--> the element is complete
//! ```
//!
//! An aggregate opens a level that counts the elements to come; the frame is complete
//! when no level is open. An attribute (`|`) is followed by the reply that it describes,
//! so it counts as an aggregate of its pairs and one element more: both are one frame.
//!
//! # Invariants
//!
//! * The result depends on the bytes, never on how they were cut into reads.
//! * No more than [`DEPTH_MAX`] levels are open; memory is bounded by that alone.
//! * Text and payloads may be of any length: a node is not refused for what it stores.
//!
//! # Deliberately absent
//!
//! Streamed strings and aggregates (`$?`, `*?`, `;`, `.` of the RESP3 text): no server
//! sends them, so they are an error, like any unknown type.

mod quick;
mod read;
#[cfg(test)]
mod read_test;
#[cfg(test)]
mod scan_test;

pub use read::{Items, Kind, error_text, int, is_null, items, kind, push_name, text};

use super::Number;
use thiserror::Error;

/// How deep replies may nest, inclusive. The deepest of the servers' own has 7 levels;
/// scripts and modules may build others.
pub const DEPTH_MAX: usize = 128;

/// No header of a node is longer: a sign and 19 digits, with room.
const NUMBER_MAX: usize = 32;

/// What [`Scanner::scan`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scan {
    /// The first `len` bytes of the input end a reply.
    Frame { len: usize },
    /// The reply is not complete. Call again with more.
    Partial,
    /// This is no reply: the connection is of no more use. Repeated if called again.
    Error(ReplyError),
}

/// What came is not a reply.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ReplyError {
    #[error("unknown reply type {0:#04x}")]
    UnknownType(u8),
    #[error("invalid length in a reply")]
    InvalidLength,
    #[error("invalid line end in a reply")]
    InvalidCrlf,
    #[error("reply nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Type,
    Number,
    NumberLf,
    Text,
    TextLf,
    PayloadCr,
    PayloadLf,
    Failed(ReplyError),
}

/// Finds the ends of replies in what one node sends.
#[derive(Clone, Debug)]
pub struct Scanner {
    state: State,
    /// The next byte to look at, counted from the start of the input. It lies behind the
    /// input while a payload that has not arrived is skipped.
    at: usize,
    number: Number,
    marker: u8,
    /// The type of the frame; 0 before its first byte.
    first: u8,
    open: Open,
    /// Bytes looked at, to show in tests that the work is linear.
    #[cfg(test)]
    steps: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the start of a reply.
    pub const fn new() -> Self {
        Self {
            state: State::Type,
            at: 0,
            number: Number::ZERO,
            marker: 0,
            first: 0,
            open: Open::new(),
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Looks for the end of the current reply.
    ///
    /// `input` starts at the first byte of the reply, or behind what was handed to
    /// [`consumed`](Self::consumed). Bytes seen by an earlier call must still be there;
    /// they are not looked at again. After [`Scan::Frame`] the scanner expects the next
    /// reply, which starts `len` bytes into the input.
    pub fn scan(&mut self, input: &[u8]) -> Scan {
        // With nothing of a reply seen, `at` is 0 and no level is open.
        if self.first == 0
            && matches!(self.state, State::Type)
            && let Some(len) = quick::whole(input)
        {
            #[cfg(test)]
            {
                self.steps += len;
            }
            return Scan::Frame { len };
        }
        match self.advance(input) {
            Ok(false) => Scan::Partial,
            Ok(true) => {
                let len = self.at;
                self.at = 0;
                self.first = 0;
                self.state = State::Type;
                Scan::Frame { len }
            }
            Err(error) => {
                self.state = State::Failed(error);
                Scan::Error(error)
            }
        }
    }

    /// The caller dropped the first `n` bytes of the input, at most
    /// [`passable`](Self::passable) of them, because it sent them on.
    pub const fn consumed(&mut self, n: usize) {
        debug_assert!(n <= self.at, "dropped bytes that were not scanned");
        self.at = self.at.saturating_sub(n);
    }

    /// How many of `input_len` bytes belong to the current reply for certain and may be
    /// sent on before it is complete.
    pub const fn passable(&self, input_len: usize) -> usize {
        if matches!(self.state, State::Failed(_)) {
            0
        } else if self.at < input_len {
            self.at
        } else {
            input_len
        }
    }

    /// A lower bound, in bytes, of what is still to come behind `input_len` bytes of
    /// input. Exact to the last byte of the payload that is being skipped, but it knows
    /// only of the innermost open aggregate.
    pub fn remaining_min(&self, input_len: usize) -> u64 {
        // The element being scanned is one of those that the level still waits for.
        let later = self.open.innermost().saturating_sub(1) as u64 * ELEMENT_LEN_MIN;
        let from_at = match self.state {
            State::Failed(_) => 0,
            State::Type => ELEMENT_LEN_MIN + later,
            State::Number | State::Text | State::PayloadCr => 2 + later,
            State::NumberLf | State::TextLf | State::PayloadLf => 1 + later,
        };
        (self.at as u64).saturating_add(from_at).saturating_sub(input_len as u64)
    }

    /// The first byte of the current reply, if it was seen.
    pub const fn first_byte(&self) -> Option<u8> {
        if self.first == 0 { None } else { Some(self.first) }
    }

    /// Whether the current frame is a push of RESP3, which answers no request.
    pub const fn is_push(&self) -> bool {
        self.first == b'>'
    }

    /// Whether no byte of a reply has been seen.
    pub const fn is_idle(&self) -> bool {
        self.first == 0
    }

    /// True when the frame is complete.
    fn advance(&mut self, input: &[u8]) -> Result<bool, ReplyError> {
        loop {
            let complete = match self.state {
                State::Failed(error) => return Err(error),
                State::Number => {
                    if !self.read_number(input)? {
                        return Ok(false);
                    }
                    false
                }
                State::Text => {
                    if !self.read_text(input) {
                        return Ok(false);
                    }
                    false
                }
                State::Type
                | State::NumberLf
                | State::TextLf
                | State::PayloadCr
                | State::PayloadLf => {
                    let Some(&byte) = input.get(self.at) else { return Ok(false) };
                    self.advance_by(1);
                    self.take(byte)?
                }
            };
            if complete && self.open.complete() {
                return Ok(true);
            }
        }
    }

    /// Takes one byte outside of numbers and text; true if it ended an element.
    fn take(&mut self, byte: u8) -> Result<bool, ReplyError> {
        match (self.state, byte) {
            (State::Type, _) => {
                self.take_type(byte)?;
                Ok(false)
            }
            (State::NumberLf, b'\n') => self.take_number(),
            (State::PayloadCr, b'\r') => {
                self.state = State::PayloadLf;
                Ok(false)
            }
            (State::TextLf | State::PayloadLf, b'\n') => {
                self.state = State::Type;
                Ok(true)
            }
            // A `\r` on its own is text: modules may send one, and clients look for the pair.
            (State::TextLf, b'\r') => Ok(false),
            (State::TextLf, _) => {
                self.state = State::Text;
                Ok(false)
            }
            _ => Err(ReplyError::InvalidCrlf),
        }
    }

    fn take_type(&mut self, byte: u8) -> Result<(), ReplyError> {
        self.state = match byte {
            b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => State::Text,
            b'$' | b'=' | b'!' | b'*' | b'~' | b'%' | b'>' | b'|' => State::Number,
            other => return Err(ReplyError::UnknownType(other)),
        };
        self.marker = byte;
        self.number = Number::ZERO;
        if self.first == 0 {
            self.first = byte;
        }
        Ok(())
    }

    /// Takes the number of a header; true if that is all of the element.
    fn take_number(&mut self) -> Result<bool, ReplyError> {
        let number = self.number.value().ok_or(ReplyError::InvalidLength)?;
        self.state = State::Type;
        // RESP2 has two nulls.
        if number == -1 && matches!(self.marker, b'$' | b'*') {
            return Ok(true);
        }
        let len = u64::try_from(number).map_err(|_| ReplyError::InvalidLength)?;
        let elements = match self.marker {
            b'%' => len.checked_mul(2),
            b'|' => len.checked_mul(2).and_then(|it| it.checked_add(1)),
            b'*' | b'~' | b'>' => Some(len),
            _ => return self.skip(len),
        };
        let elements = elements.and_then(|it| u32::try_from(it).ok());
        match elements.ok_or(ReplyError::InvalidLength)? {
            0 => Ok(true),
            elements => {
                self.open.push(elements)?;
                Ok(false)
            }
        }
    }

    /// Steps over a payload of `len` bytes, here already or not.
    fn skip(&mut self, len: u64) -> Result<bool, ReplyError> {
        let len = usize::try_from(len).map_err(|_| ReplyError::InvalidLength)?;
        self.at = self.at.checked_add(len).ok_or(ReplyError::InvalidLength)?;
        self.state = State::PayloadCr;
        Ok(false)
    }

    /// Reads up to the `\r` of a header; true if it was there.
    fn read_number(&mut self, input: &[u8]) -> Result<bool, ReplyError> {
        let rest = input.get(self.at..).unwrap_or_default();
        for (read, &byte) in (1..).zip(rest) {
            if byte == b'\r' {
                self.advance_by(read);
                self.state = State::NumberLf;
                return Ok(true);
            }
            self.number.push(byte);
            if self.number.len() > NUMBER_MAX {
                return Err(ReplyError::InvalidLength);
            }
        }
        self.advance_by(rest.len());
        Ok(false)
    }

    /// Reads up to a `\r`; true if it was there.
    fn read_text(&mut self, input: &[u8]) -> bool {
        let rest = input.get(self.at..).unwrap_or_default();
        match rest.iter().position(|&byte| byte == b'\r') {
            Some(before) => {
                self.advance_by(before + 1);
                self.state = State::TextLf;
                true
            }
            None => {
                self.advance_by(rest.len());
                false
            }
        }
    }

    const fn advance_by(&mut self, n: usize) {
        self.at += n;
        #[cfg(test)]
        {
            self.steps += n;
        }
    }
}

/// `_\r\n`
const ELEMENT_LEN_MIN: u64 = 3;

/// Levels that fit without allocating; more than any reply of the servers needs.
const INLINE_MAX: usize = 8;

/// The aggregates that are open, each with the elements that it still waits for.
#[derive(Clone, Debug)]
struct Open {
    depth: usize,
    outer: [u32; INLINE_MAX],
    /// Levels beyond [`INLINE_MAX`]. Keeps what it allocated, so a session that receives
    /// deep replies pays for it once.
    inner: Vec<u32>,
}

impl Open {
    const fn new() -> Self {
        Self { depth: 0, outer: [0; INLINE_MAX], inner: Vec::new() }
    }

    fn push(&mut self, elements: u32) -> Result<(), ReplyError> {
        if self.depth == DEPTH_MAX {
            return Err(ReplyError::TooDeep);
        }
        match self.outer.get_mut(self.depth) {
            Some(level) => *level = elements,
            None => self.inner.push(elements),
        }
        self.depth += 1;
        Ok(())
    }

    /// An element is complete, and with it every level that waited for nothing else.
    /// True if no level is open now.
    fn complete(&mut self) -> bool {
        while let Some(last) = self.depth.checked_sub(1) {
            let level = match self.outer.get_mut(last) {
                Some(level) => Some(level),
                None => self.inner.last_mut(),
            };
            if let Some(level) = level {
                *level = level.saturating_sub(1);
                if *level > 0 {
                    return false;
                }
            }
            self.inner.truncate(last.saturating_sub(INLINE_MAX));
            self.depth = last;
        }
        true
    }

    fn innermost(&self) -> u32 {
        let Some(last) = self.depth.checked_sub(1) else { return 0 };
        self.outer.get(last).or(self.inner.last()).copied().unwrap_or_default()
    }
}
