//! A client's conversation with a listener, over TCP or a Unix socket, in RESP2: how `segue drill`
//! talks to Segue. Requests go out in one piece, replies come back one by one.
//!
//! # Deliberately absent
//!
//! Log-in, retries, and any opinion about what is answered: whoever converses decides.

use super::Stream;
use crate::pure::resp::reply::{Scan, Scanner};
use crate::pure::resp::write;
use bytes::{Bytes, BytesMut};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Far above any answer to what is asked here.
const REPLY_MAX: usize = 16 * 1024 * 1024;

/// Where a client connects.
#[derive(Clone, Copy, Debug)]
pub enum Peer<'a> {
    /// `host:port`; a name is looked up.
    Tcp(&'a str),
    /// The path of a socket.
    Unix(&'a Path),
}

/// An open connection.
#[derive(Debug)]
pub struct Conversation {
    stream: Stream,
    input: BytesMut,
    scanner: Scanner,
}

impl Conversation {
    /// Connects within `limit`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// What the system says; `TimedOut` after `limit`.
    pub async fn open(peer: Peer<'_>, limit: Duration) -> io::Result<Self> {
        let opened = async {
            match peer {
                Peer::Tcp(address) => {
                    let stream = TcpStream::connect(address).await?;
                    // As every client library does.
                    stream.set_nodelay(true)?;
                    Ok(Stream::Tcp(stream))
                }
                Peer::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            }
        };
        let stream = timeout(limit, opened).await.map_err(|_elapsed| ErrorKind::TimedOut)??;
        Ok(Self { stream, input: BytesMut::new(), scanner: Scanner::new() })
    }

    /// Sends `requests` in one piece and waits for as many replies, all within `limit`.
    ///
    /// # Cancel safety
    ///
    /// None: a connection on which a call was abandoned must not be used again.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send) and [`receive`](Self::receive), and `TimedOut` after `limit`;
    /// after any, the connection must be dropped. An error *reply* is not an error here.
    pub async fn call(
        &mut self,
        requests: &[Vec<String>],
        limit: Duration,
    ) -> io::Result<Vec<Bytes>> {
        let conversation = async {
            self.send(requests).await?;
            let mut replies = Vec::with_capacity(requests.len());
            for _ in requests {
                replies.push(self.receive().await?);
            }
            Ok(replies)
        };
        timeout(limit, conversation).await.map_err(|_elapsed| ErrorKind::TimedOut)?
    }

    /// Sends `requests` in one piece.
    ///
    /// # Errors
    ///
    /// If the peer is gone.
    pub async fn send(&mut self, requests: &[Vec<String>]) -> io::Result<()> {
        let mut output = BytesMut::new();
        for request in requests {
            let words: Vec<&[u8]> = request.iter().map(String::as_bytes).collect();
            write::request(&mut output, &words);
        }
        self.stream.write_all(&output).await
    }

    /// Waits for the next reply, or message.
    ///
    /// # Cancel safety
    ///
    /// Nothing that has arrived is lost with the future.
    ///
    /// # Errors
    ///
    /// If the peer is gone (`UnexpectedEof` for an orderly close), or does not speak RESP
    /// (`InvalidData`).
    pub async fn receive(&mut self) -> io::Result<Bytes> {
        loop {
            match self.scanner.scan(&self.input) {
                Scan::Frame { len } => return Ok(self.input.split_to(len).freeze()),
                Scan::Error(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
                Scan::Partial if self.input.len() > REPLY_MAX => {
                    return Err(io::Error::new(ErrorKind::InvalidData, "an endless reply"));
                }
                Scan::Partial => {}
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn every_request_has_its_reply_however_they_arrive() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound").to_string();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("connects");
            let mut seen = [0; 64];
            let mut asked = Vec::new();
            while !asked.ends_with(b"b\r\n") {
                let read = stream.read(&mut seen).await.expect("reads");
                asked.extend_from_slice(&seen[..read]);
            }
            for piece in ["+O", "K\r\n$1\r\n", "v\r\n"] {
                stream.write_all(piece.as_bytes()).await.expect("writes");
            }
            asked
        });
        let limit = Duration::from_secs(20);
        let mut client = Conversation::open(Peer::Tcp(&address), limit).await.expect("opens");
        let requests = [vec!["PING".to_owned()], vec!["GET".to_owned(), "b".to_owned()]];
        let replies = client.call(&requests, limit).await.expect("answers");
        assert_eq!(replies, ["+OK\r\n", "$1\r\nv\r\n"]);
        let asked = server.await.expect("ends");
        assert_eq!(asked, b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n");
        let error = client.receive().await.expect_err("it is closed");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
