//! A connection whose every byte is known beforehand.
//!
//! Replies are compared as they arrive, not parsed: whatever is dealt to the wrong session differs at
//! its first byte, and the failure shows both.

use crate::harness::{PATIENCE, Value};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// Requests up to this size are in the kernel's buffers before a reply is read. Others are written by
/// a thread of their own: a peer may read no more of them before its replies are taken.
const ALONE_MAX: usize = 32 * 1024;

/// Bytes of a frame that a failure shows.
const SHOWN_MAX: usize = 80;

/// What a command is answered.
#[derive(Debug)]
pub(super) enum Reply {
    /// These bytes.
    Exactly(Vec<u8>),
    /// What `HELLO` says of a connection that speaks this protocol from now on.
    Hello(i64),
}

/// Commands that are sent together, each with its reply.
#[derive(Debug, Default)]
pub(super) struct Batch(pub(super) Vec<(Vec<u8>, Reply)>);

impl Batch {
    /// Adds a command that is answered with `reply`.
    pub(super) fn add(&mut self, words: &[&[u8]], reply: impl Into<Vec<u8>>) {
        self.0.push((encode(words), Reply::Exactly(reply.into())));
    }

    /// All commands.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(command, _)| command.iter().copied()).collect()
    }
}

/// How a batch is written, and when its replies are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Bytes of one write.
    pub(super) piece: usize,
    /// For how long nothing is read at first. It sets the pace of a load and decides nothing.
    pub(super) idle: Duration,
}

impl Manner {
    /// In one write, reading at once.
    pub(super) const PLAIN: Self = Self { piece: usize::MAX, idle: Duration::ZERO };
}

/// One connection.
#[derive(Debug)]
pub(super) struct Wire(BufReader<TcpStream>);

impl Wire {
    pub(super) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("segue accepts");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self(BufReader::new(stream))
    }

    /// Sends a batch and compares all its replies.
    ///
    /// # Errors
    ///
    /// Which command got what.
    pub(super) fn hold(&mut self, batch: &Batch, manner: Manner) -> Result<(), String> {
        let bytes = batch.bytes();
        let stream = self.0.get_ref().try_clone().expect("a descriptor");
        if bytes.len() <= ALONE_MAX {
            write(&stream, &bytes, manner.piece).map_err(|it| it.to_string())?;
            thread::park_timeout(manner.idle);
            return self.expect_all(batch);
        }
        thread::scope(|scope| {
            let writing = scope.spawn(|| write(&stream, &bytes, manner.piece));
            thread::park_timeout(manner.idle);
            let read = self.expect_all(batch);
            if read.is_err() {
                // The writer may wait for room. Fails if the peer closed first.
                let _ = self.0.get_ref().shutdown(Shutdown::Both);
            }
            let written = writing.join().expect("the writer does not panic");
            read.and(written.map_err(|it| it.to_string()))
        })
    }

    /// Sends `rest` behind a batch that was sent before, and compares the replies of both.
    ///
    /// # Errors
    ///
    /// Which command got what.
    pub(super) fn hold_after(&mut self, sent: &Batch, rest: &Batch) -> Result<(), String> {
        let bytes = rest.bytes();
        let stream = self.0.get_ref().try_clone().expect("a descriptor");
        thread::scope(|scope| {
            let writing = scope.spawn(|| write(&stream, &bytes, usize::MAX));
            let read = self.expect_all(sent).and_then(|()| self.expect_all(rest));
            if read.is_err() {
                // The writer may wait for room. Fails if the peer closed first.
                let _ = self.0.get_ref().shutdown(Shutdown::Both);
            }
            let written = writing.join().expect("the writer does not panic");
            read.and(written.map_err(|it| it.to_string()))
        })
    }

    /// Compares the replies of a batch that was sent.
    pub(super) fn expect_all(&mut self, batch: &Batch) -> Result<(), String> {
        for (n, (command, reply)) in batch.0.iter().enumerate() {
            let got = match reply {
                Reply::Exactly(bytes) => self.expect(bytes),
                Reply::Hello(proto) => self.expect_hello(*proto),
            };
            got.map_err(|it| format!("command {n} of {}, {}: {it}", batch.0.len(), show(command)))?;
        }
        Ok(())
    }

    /// Reads as many bytes as `expected` has, which must be the same.
    ///
    /// # Errors
    ///
    /// What came instead, from the first byte that differs.
    pub(super) fn expect(&mut self, expected: &[u8]) -> Result<(), String> {
        let mut at = 0;
        while at < expected.len() {
            let left = &expected[at..];
            let here = || format!("byte {at} of {} should begin {}", expected.len(), show(left));
            let got = self.0.fill_buf().map_err(|it| format!("{}, but {it}", here()))?;
            let count = got.len().min(left.len());
            if count == 0 {
                return Err(format!("{}, but the connection was closed", here()));
            }
            let same = got.iter().zip(left).take_while(|(a, b)| a == b).count();
            if got[..count] != left[..count] {
                let (wrong, right) = (show(&got[same..]), show(&left[same..]));
                let at = at + same;
                return Err(format!("byte {at} of {}: {wrong} instead of {right}", expected.len()));
            }
            self.0.consume(count);
            at += count;
        }
        Ok(())
    }

    /// Reads to the end, which may come after any whole reply but not inside of one.
    ///
    /// # Errors
    ///
    /// What came that is not the beginning of all replies.
    pub(super) fn expect_some(&mut self, batch: &Batch) -> Result<(), String> {
        for (n, one) in batch.0.iter().enumerate() {
            if self.0.fill_buf().map_err(|it| it.to_string())?.is_empty() {
                return Ok(());
            }
            let Reply::Exactly(bytes) = &one.1 else { unreachable!("no HELLO among them") };
            self.expect(bytes).map_err(|it| format!("reply {n}: {it}"))?;
        }
        self.expect_end()
    }

    fn expect_hello(&mut self, proto: i64) -> Result<(), String> {
        let items = match self.value()? {
            Value::Map(pairs) => pairs.into_iter().flat_map(|(key, it)| [key, it]).collect(),
            Value::Array(items) => items,
            other => return Err(format!("{other} instead of what HELLO says")),
        };
        let says_so = items.windows(2).any(|it| it[0] == "proto" && it[1] == Value::Integer(proto));
        says_so.then_some(()).ok_or_else(|| format!("{items:?} does not speak {proto}"))
    }

    /// The next frame, where its text is not known beforehand.
    pub(super) fn value(&mut self) -> Result<Value, String> {
        Value::read(&mut self.0).map_err(|it| it.to_string())
    }

    /// The connection ends here: no byte is left.
    pub(super) fn expect_end(&mut self) -> Result<(), String> {
        match self.0.fill_buf() {
            Ok([]) => Ok(()),
            Ok(more) => Err(format!("{} at the end", show(more))),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(format!("not closed: {error}")),
        }
    }

    /// Writes without reading.
    pub(super) fn send(&self, bytes: &[u8], piece: usize) {
        write(self.0.get_ref(), bytes, piece).expect("segue takes it");
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish_sending(&self) {
        self.0.get_ref().shutdown(Shutdown::Write).expect("it is open");
    }

    /// Ends the connection with a reset, whatever is on its way.
    pub(super) fn reset(self) {
        let socket = socket2::SockRef::from(self.0.get_ref());
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    }
}

fn write(mut stream: &TcpStream, bytes: &[u8], piece: usize) -> io::Result<()> {
    for piece in bytes.chunks(piece) {
        stream.write_all(piece)?;
    }
    Ok(())
}

/// A command as clients send it; its words are any bytes.
pub(super) fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(&bulk(word));
    }
    bytes
}

/// A bulk string.
pub(super) fn bulk(text: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

fn show(bytes: &[u8]) -> String {
    let more = if bytes.len() > SHOWN_MAX { "…" } else { "" };
    format!("\"{}\"{more}", bytes[..bytes.len().min(SHOWN_MAX)].escape_ascii())
}
