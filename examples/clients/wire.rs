//! A plain client's connection: RESP2 over one socket, with no retry and no other help.
//!
//! A reply that is late leaves the connection as it is, so that a client can look now and then
//! whether it is to end while it waits.
//!
//! # Deliberately absent
//!
//! Anything that a client library does for its user: the comparison counts what the wire brings.

use redis_protocol::resp2::{decode::decode, types::OwnedFrame};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

const CHUNK: usize = 16 << 10;

/// A reply.
pub(crate) type Reply = OwnedFrame;

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    /// What was read and belongs to no reply yet, from `read` on.
    buffer: Vec<u8>,
    read: usize,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_WITHIN)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new(), read: 0 })
    }

    /// Sends commands as one pipeline.
    pub(crate) fn send(&mut self, commands: &[&[&str]]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for command in commands {
            write!(bytes, "*{}\r\n", command.len())?;
            for argument in *command {
                write!(bytes, "${}\r\n{argument}\r\n", argument.len())?;
            }
        }
        self.stream.write_all(&bytes)
    }

    /// The next reply; `TimedOut` if it does not come `within`, and then it may be asked for again.
    pub(crate) fn receive(&mut self, within: Duration) -> io::Result<Reply> {
        let deadline = Instant::now() + within;
        loop {
            let rest = self.buffer.get(self.read..).unwrap_or_default();
            let decoded = decode(rest).map_err(|error| {
                io::Error::new(ErrorKind::InvalidData, format!("not a reply: {error}"))
            })?;
            if let Some((reply, length)) = decoded {
                self.read += length;
                if self.read == self.buffer.len() {
                    self.buffer.clear();
                    self.read = 0;
                }
                return Ok(reply);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.fill(left)?;
        }
    }

    /// One command and its reply.
    pub(crate) fn call(&mut self, command: &[&str], within: Duration) -> io::Result<Reply> {
        self.send(&[command])?;
        self.receive(within)
    }

    fn fill(&mut self, within: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(within))?;
        let mut chunk = [0; CHUNK];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.buffer.extend(chunk.iter().take(length));
                Ok(())
            }
            // The kernel calls it either; `receive` looks at the clock.
            Err(it) if matches!(it.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Ok(())
            }
            Err(it) => Err(it),
        }
    }
}

/// The text of a bulk or simple string.
pub(crate) fn text(reply: &Reply) -> Option<String> {
    match reply {
        Reply::BulkString(it) | Reply::SimpleString(it) => {
            Some(String::from_utf8_lossy(it).into_owned())
        }
        Reply::Error(_) | Reply::Integer(_) | Reply::Array(_) | Reply::Null => None,
    }
}

/// The items of an array; none of anything else.
pub(crate) fn items(reply: &Reply) -> &[Reply] {
    match reply {
        Reply::Array(items) => items,
        _ => &[],
    }
}
