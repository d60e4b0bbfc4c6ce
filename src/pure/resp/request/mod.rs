//! Finds where the requests of a client end.
//!
//! ```text
//! Start --'*'--> Count --n--> Marker --'$'--> Length --> [Name] --> Payload --CRLF--> next
//!   |              |            ^                                              argument
//!   |              +--n <= 0: ignored                                          or done
//!   +--other--> Inline --LF--> done, or ignored if it is blank
//! ```
//!
//! # Invariants
//!
//! * The result depends on the bytes, never on how they were cut into reads.
//! * A payload is skipped without looking at it (except the first bytes of the name), so
//!   the rest of a long one costs nothing.
//! * Every byte in front of [`Scanner::passable`] belongs to the frame for certain and
//!   may be sent on before the frame is complete.
//! * Line ends are checked everywhere. Redis 7.0 skips two bytes after a payload and one
//!   after a `\r` without looking; Valkey 9.1 refuses anything but CRLF; so do we.
//! * A NUL in an inline request is refused: for both servers it hides the line end, so
//!   that they wait for 64 KiB and then answer with the same error.
//! * Inline requests are limited to [`LINE_MAX`] however they arrive. The servers take a
//!   longer one when its line end comes with the same read: no frame may depend on that.
//!
//! # Deliberately absent
//!
//! No choice between Redis and Valkey: one primary may follow the other. And no
//! `client-query-buffer-limit`: that is for the owner of the buffer.

mod args;
#[cfg(test)]
mod args_test;
mod error;
mod inline;
mod quick;
#[cfg(test)]
mod scan_test;

pub use args::{Args, ArgsIter, Head, NAME_MAX, args, canonical, head};
pub use error::ProtocolError;

use super::{LINE_MAX, Number};

/// What a request may measure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The most arguments, inclusive. The servers' is `INT_MAX`.
    pub count_max: u32,
    /// The longest argument in bytes, inclusive: `proto-max-bulk-len`.
    pub bulk_max: u64,
    /// The client has not proved who it is: another error text for the same limits.
    pub unauthenticated: bool,
}

impl Limits {
    /// What the servers allow as shipped.
    pub const DEFAULT: Self =
        Self { count_max: i32::MAX.unsigned_abs(), bulk_max: 512 << 20, unauthenticated: false };

    /// What the servers allow to a client that must authenticate first.
    pub const UNAUTHENTICATED: Self =
        Self { count_max: 10, bulk_max: 16 << 10, unauthenticated: true };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What [`Scanner::scan`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scan {
    /// The first `len` bytes of the input end a request.
    Frame { len: usize },
    /// The request is not complete. Call again with more.
    Partial,
    /// The first `len` bytes are a request that servers do not answer: a blank line or an
    /// array of no elements. Drop them.
    Ignored { len: usize },
    /// Answer with [`ProtocolError::reply`] and close. Repeated if called again.
    Error(ProtocolError),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    Count,
    CountLf,
    Marker,
    Length,
    LengthLf,
    Name,
    PayloadCr,
    PayloadLf,
    Inline,
    Failed(ProtocolError),
}

/// How a frame ended.
enum End {
    Frame,
    Ignored,
}

/// Finds the ends of requests in what one client sends.
#[derive(Clone, Debug)]
pub struct Scanner {
    limits: Limits,
    state: State,
    /// The next byte to look at, counted from the start of the input. It lies behind the
    /// input while a payload that has not arrived is skipped.
    at: usize,
    number: Number,
    marker: u8,
    name_pending: bool,
    /// Arguments that are not complete, the one being scanned included.
    args_left: u32,
    /// Bytes looked at, to show in tests that the work is linear.
    #[cfg(test)]
    steps: usize,
}

impl Scanner {
    /// A scanner at the start of a request.
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Start,
            at: 0,
            number: Number::ZERO,
            marker: 0,
            name_pending: false,
            args_left: 0,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Changes the limits, from the next header on.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Looks for the end of the current request.
    ///
    /// `input` starts at the first byte of the request, or behind what was handed to
    /// [`consumed`](Self::consumed). Bytes seen by an earlier call must still be there;
    /// they are not looked at again. After [`Scan::Frame`] and [`Scan::Ignored`] the
    /// scanner expects the next request, which starts `len` bytes into the input.
    pub fn scan(&mut self, input: &[u8]) -> Scan {
        // With nothing of a request seen, `at` is 0.
        if matches!(self.state, State::Start)
            && let Some(len) = quick::whole(input, &self.limits)
        {
            #[cfg(test)]
            {
                self.steps += len;
            }
            return Scan::Frame { len };
        }
        match self.advance(input) {
            Ok(None) => Scan::Partial,
            Ok(Some(end)) => {
                let len = self.at;
                self.at = 0;
                self.state = State::Start;
                match end {
                    End::Frame => Scan::Frame { len },
                    End::Ignored => Scan::Ignored { len },
                }
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

    /// How many of `input_len` bytes may be sent on before the request is complete.
    ///
    /// None of an inline request, which is short and has to be rewritten by
    /// [`canonical`]. Nor of one that failed.
    pub const fn passable(&self, input_len: usize) -> usize {
        if matches!(self.state, State::Inline | State::Failed(_)) {
            0
        } else if self.at < input_len {
            self.at
        } else {
            input_len
        }
    }

    /// A lower bound, in bytes, of what is still to come behind `input_len` bytes of
    /// input. Exact to the last byte of the payload that is being skipped.
    pub fn remaining_min(&self, input_len: usize) -> u64 {
        let later = self.args_left.saturating_sub(1) as u64 * ARG_LEN_MIN;
        let from_at = match self.state {
            State::Failed(_) => 0,
            State::Start | State::Count | State::CountLf | State::Inline => 1,
            State::Marker => ARG_LEN_MIN + later,
            State::Length => 4 + later,
            State::LengthLf => 3 + later,
            State::Name => match self.number.value() {
                Some(len) => len.unsigned_abs() + 2 + later,
                None => 0,
            },
            State::PayloadCr => 2 + later,
            State::PayloadLf => 1 + later,
        };
        (self.at as u64).saturating_add(from_at).saturating_sub(input_len as u64)
    }

    /// Whether no byte of a request has been seen.
    pub const fn is_idle(&self) -> bool {
        matches!(self.state, State::Start)
    }

    fn advance(&mut self, input: &[u8]) -> Result<Option<End>, ProtocolError> {
        loop {
            match self.state {
                State::Start => match input.get(self.at) {
                    None => return Ok(None),
                    Some(b'*') => {
                        self.number = Number::ZERO;
                        self.step(State::Count);
                    }
                    Some(_) => self.state = State::Inline,
                },
                State::Count => {
                    if !self.read_number(input, ProtocolError::TooBigCount)? {
                        return Ok(None);
                    }
                    self.state = State::CountLf;
                }
                State::CountLf => {
                    if !self.read_lf(input)? {
                        return Ok(None);
                    }
                    if let Some(end) = self.take_count()? {
                        return Ok(Some(end));
                    }
                }
                State::Marker => {
                    if !self.read_marker(input)? {
                        return Ok(None);
                    }
                }
                State::Length => {
                    if !self.read_number(input, ProtocolError::TooBigLength)? {
                        return Ok(None);
                    }
                    self.state = State::LengthLf;
                }
                State::LengthLf => {
                    // Both servers judge the marker before the line end, but once that is there.
                    if self.marker != b'$' && self.at < input.len() {
                        return Err(ProtocolError::ExpectedDollar(self.marker));
                    }
                    if !self.read_lf(input)? {
                        return Ok(None);
                    }
                    self.take_length()?;
                }
                State::Name => {
                    if !self.check_name(input)? {
                        return Ok(None);
                    }
                }
                State::PayloadCr => match input.get(self.at) {
                    None => return Ok(None),
                    Some(b'\r') => self.step(State::PayloadLf),
                    Some(_) => return Err(ProtocolError::InvalidCrlf),
                },
                State::PayloadLf => {
                    if !self.read_lf(input)? {
                        return Ok(None);
                    }
                    self.args_left = self.args_left.saturating_sub(1);
                    if self.args_left == 0 {
                        return Ok(Some(End::Frame));
                    }
                    self.state = State::Marker;
                }
                State::Inline => return self.read_inline(input),
                State::Failed(error) => return Err(error),
            }
        }
    }

    const fn step(&mut self, state: State) {
        self.at += 1;
        self.state = state;
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }

    fn read_marker(&mut self, input: &[u8]) -> Result<bool, ProtocolError> {
        let Some(&marker) = input.get(self.at) else { return Ok(false) };
        self.marker = marker;
        self.number = Number::ZERO;
        self.step(if marker == b'\r' { State::LengthLf } else { State::Length });
        Ok(true)
    }

    /// Reads up to the `\r` of a header line; true if it was there.
    fn read_number(&mut self, input: &[u8], too_big: ProtocolError) -> Result<bool, ProtocolError> {
        let mut number = self.number;
        let rest = input.get(self.at..).unwrap_or_default();
        for (read, &byte) in (1..).zip(rest) {
            if byte == b'\r' {
                self.number = number;
                self.advance_by(read);
                return Ok(true);
            }
            number.push(byte);
            // The marker stands in front of the number.
            if number.len() >= LINE_MAX {
                return Err(too_big);
            }
        }
        self.number = number;
        self.advance_by(rest.len());
        Ok(false)
    }

    const fn advance_by(&mut self, n: usize) {
        self.at += n;
        #[cfg(test)]
        {
            self.steps += n;
        }
    }

    fn read_lf(&mut self, input: &[u8]) -> Result<bool, ProtocolError> {
        match input.get(self.at) {
            None => Ok(false),
            Some(b'\n') => {
                self.advance_by(1);
                Ok(true)
            }
            Some(_) => Err(ProtocolError::InvalidCrlf),
        }
    }

    fn take_count(&mut self) -> Result<Option<End>, ProtocolError> {
        let count = self.number.value().ok_or(ProtocolError::InvalidCount)?;
        if count <= 0 {
            return Ok(Some(End::Ignored));
        }
        let count = u32::try_from(count).map_err(|_| ProtocolError::InvalidCount)?;
        if count > Limits::DEFAULT.count_max {
            return Err(ProtocolError::InvalidCount);
        }
        if count > self.limits.count_max {
            return Err(self.limits.too_many());
        }
        self.args_left = count;
        self.name_pending = true;
        self.state = State::Marker;
        Ok(None)
    }

    fn take_length(&mut self) -> Result<(), ProtocolError> {
        let len = self.number.value().and_then(|it| u64::try_from(it).ok());
        let len = len.ok_or(ProtocolError::InvalidLength)?;
        if len > self.limits.bulk_max {
            return Err(self.limits.too_long());
        }
        if self.name_pending {
            self.name_pending = false;
            self.state = State::Name;
            return Ok(());
        }
        self.skip(len)
    }

    /// Steps over a payload of `len` bytes, here already or not.
    fn skip(&mut self, len: u64) -> Result<(), ProtocolError> {
        let len = usize::try_from(len).map_err(|_| ProtocolError::InvalidLength)?;
        self.at = self.at.checked_add(len).ok_or(ProtocolError::InvalidLength)?;
        self.state = State::PayloadCr;
        Ok(())
    }

    /// Looks at the first bytes of the command name; true if they were there.
    fn check_name(&mut self, input: &[u8]) -> Result<bool, ProtocolError> {
        let len = self.number.value().map_or(0, i64::unsigned_abs);
        let shown = usize::try_from(len.min(ATTACK_LEN_MAX)).unwrap_or_default();
        let rest = input.get(self.at..).unwrap_or_default();
        let Some(start) = rest.get(..shown) else { return Ok(false) };
        if is_attack(start) {
            return Err(ProtocolError::SecurityAttack);
        }
        self.skip(len)?;
        Ok(true)
    }

    fn read_inline(&mut self, input: &[u8]) -> Result<Option<End>, ProtocolError> {
        let rest = input.get(self.at..).unwrap_or_default();
        for (read, &byte) in (1..).zip(rest) {
            match byte {
                b'\n' => {
                    self.advance_by(read);
                    let line = input.get(..self.at - 1).unwrap_or_default();
                    return inline_end(line).map(Some);
                }
                0 => return Err(ProtocolError::TooBigInline),
                _ if self.at + read > LINE_MAX => return Err(ProtocolError::TooBigInline),
                _ => {}
            }
        }
        self.advance_by(rest.len());
        Ok(None)
    }
}

impl Limits {
    const fn too_many(&self) -> ProtocolError {
        if self.unauthenticated {
            ProtocolError::UnauthenticatedCount
        } else {
            ProtocolError::InvalidCount
        }
    }

    const fn too_long(&self) -> ProtocolError {
        if self.unauthenticated {
            ProtocolError::UnauthenticatedLength
        } else {
            ProtocolError::InvalidLength
        }
    }
}

/// `$0\r\n\r\n`
const ARG_LEN_MIN: u64 = 6;

/// `host:` and a NUL.
const ATTACK_LEN_MAX: u64 = 6;

/// Whether a command name is one that only a browser sends.
fn is_attack(name: &[u8]) -> bool {
    // The servers compare C strings: a NUL ends the name.
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

fn inline_end(line: &[u8]) -> Result<End, ProtocolError> {
    let mut words = inline::Words::new(line);
    let mut name = Vec::new();
    if !words.next_into(&mut name)? {
        return Ok(End::Ignored);
    }
    if is_attack(&name) {
        return Err(ProtocolError::SecurityAttack);
    }
    while words.next_into(&mut name)? {
        name.clear();
    }
    Ok(End::Frame)
}
