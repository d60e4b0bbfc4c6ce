//! A peer's connection, over TCP or a Unix socket: read and written the same way.

use socket2::SockRef;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connection of either kind.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// A connection that belongs to no runtime: how it moves from one thread to another.
#[derive(Debug)]
pub enum Detached {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Stream {
    /// Writes what the socket takes without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it takes nothing now; anything else if the peer is gone.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(it) => it.try_write(bytes),
            Self::Unix(it) => it.try_write(bytes),
        }
    }

    /// Ready when it may take bytes again.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(it) => it.poll_write_ready(cx),
            Self::Unix(it) => it.poll_write_ready(cx),
        }
    }

    /// Takes the connection off its runtime.
    ///
    /// # Errors
    ///
    /// If the runtime does not let go of it.
    pub fn detach(self) -> io::Result<Detached> {
        Ok(match self {
            Self::Tcp(it) => Detached::Tcp(it.into_std()?),
            Self::Unix(it) => Detached::Unix(it.into_std()?),
        })
    }

    /// Puts a connection on the runtime of this thread.
    ///
    /// # Errors
    ///
    /// If the runtime cannot take it.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn attach(detached: Detached) -> io::Result<Self> {
        Ok(match detached {
            Detached::Tcp(it) => Self::Tcp(TcpStream::from_std(it)?),
            Detached::Unix(it) => Self::Unix(UnixStream::from_std(it)?),
        })
    }
}

/// Reads what is there at this moment, whether or not the runtime has heard of it yet: for last
/// words, after which nobody will ask again.
///
/// # Errors
///
/// `WouldBlock` if there is nothing; anything else if the peer is gone.
pub fn read_now(stream: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    (&*SockRef::from(stream)).read(buf)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(it) => Pin::new(it).poll_read(cx, buf),
            Self::Unix(it) => Pin::new(it).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(it) => Pin::new(it).poll_write(cx, buf),
            Self::Unix(it) => Pin::new(it).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(it) => Pin::new(it).poll_flush(cx),
            Self::Unix(it) => Pin::new(it).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(it) => Pin::new(it).poll_shutdown(cx),
            Self::Unix(it) => Pin::new(it).poll_shutdown(cx),
        }
    }
}
