//! What both floor programs need: waiting for sockets, and bytes that a socket did not take.

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

/// Events taken at once.
const EVENTS_MAX: usize = 1024;

/// Level-triggered epoll: one `read` an event, none in vain.
#[derive(Debug)]
pub struct Poller(OwnedFd);

impl Poller {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// If the kernel has none.
    pub fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Starts to report on `source` as `token`.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn add(&self, source: impl AsFd, token: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.0, source, EventData::new_u64(token), flags)?)
    }

    /// Reports on other events of `source` from now on.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn modify(&self, source: impl AsFd, token: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.0, source, EventData::new_u64(token), flags)?)
    }

    /// Waits; afterwards `events` is what happened.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn wait(&self, events: &mut Vec<Event>) -> io::Result<()> {
        events.clear();
        events.reserve(EVENTS_MAX);
        match epoll::wait(&self.0, spare_capacity(events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Bytes that a socket did not take yet.
#[derive(Debug, Default)]
pub struct Backlog {
    bytes: Vec<u8>,
    done: usize,
}

impl Backlog {
    /// Whether nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.done == self.bytes.len()
    }

    /// Puts bytes behind what waits.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes what waits, once.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    pub fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        if let Some(rest) = self.bytes.get(self.done..) {
            self.done += write_some(stream, rest)?;
        }
        if self.is_empty() {
            self.bytes.clear();
            self.done = 0;
        }
        Ok(())
    }

    /// Writes `bytes` at once if nothing waits, and keeps what the socket does not take.
    ///
    /// # Errors
    ///
    /// If the connection is gone.
    pub fn write(&mut self, stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        let written = if self.is_empty() { write_some(stream, bytes)? } else { 0 };
        self.push(bytes.get(written..).unwrap_or_default());
        Ok(())
    }
}

/// Writes once; 0 if the socket takes nothing now.
fn write_some(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

/// What a read brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Got {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// Nothing ever again.
    End,
}

impl From<io::Result<usize>> for Got {
    fn from(result: io::Result<usize>) -> Self {
        match result {
            Ok(n) if n > 0 => Self::Bytes(n),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Self::Nothing,
            Ok(_) | Err(_) => Self::End,
        }
    }
}

/// A listener on loopback.
///
/// # Errors
///
/// If the port is taken.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A connection to a port on loopback.
///
/// # Errors
///
/// If nobody listens there.
pub fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    prepare(stream)
}

/// Accepts a client, if one is there.
///
/// # Errors
///
/// If a socket option cannot be set.
pub fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => prepare(stream).map(Some),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
