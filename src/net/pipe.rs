//! Bytes from one socket to another inside the kernel, through a pipe: what is only passed through
//! is never copied to this process and back (`splice(2)`).
//!
//! # Invariants
//!
//! * It is filled only while it is empty, so "would block" always speaks of a socket.
//! * Bytes that are inside come before whatever else is written to the sink.

use super::Stream;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes that a pipe holds, if the user's share of such memory allows it; 64 KiB otherwise.
const PIPE_BYTES: usize = 256 * 1024;

/// A pipe between two sockets.
#[derive(Debug)]
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    inside: usize,
}

impl Pipe {
    /// An empty one; takes two file descriptors.
    ///
    /// # Errors
    ///
    /// If there are none left.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Only speed is lost if there is no room for it.
        let _size = fcntl_setpipe_size(&writer, PIPE_BYTES);
        Ok(Self { reader, writer, inside: 0 })
    }

    /// Bytes that were taken in and not let out.
    pub const fn inside(&self) -> usize {
        self.inside
    }

    /// Takes in up to `max` bytes of what `source` has; 0 if it is at its end.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing now; anything else if the peer is gone.
    pub fn fill(&mut self, source: &TcpStream, max: usize) -> io::Result<usize> {
        debug_assert_eq!(self.inside, 0, "filled before it was empty");
        let max = max.min(PIPE_BYTES);
        let taken = source.try_io(Interest::READABLE, || shift(source, &self.writer, max))?;
        self.inside += taken;
        Ok(taken)
    }

    /// Lets out what `sink` takes.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it takes nothing now; anything else if the peer is gone.
    pub fn drain(&mut self, sink: &Stream) -> io::Result<usize> {
        let given = match sink {
            Stream::Tcp(it) => {
                it.try_io(Interest::WRITABLE, || shift(&self.reader, it, self.inside))
            }
            Stream::Unix(it) => {
                it.try_io(Interest::WRITABLE, || shift(&self.reader, it, self.inside))
            }
        }?;
        self.inside = self.inside.saturating_sub(given);
        Ok(given)
    }
}

fn shift(from: impl AsFd, to: impl AsFd, max: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(splice(from, None, to, None, max, flags)?)
}
