//! One request, one reply, one deadline: a plain RESP2 conversation with a node, for the
//! control plane. The data path has connections of its own.
//!
//! Replies are handed out as whole frames and read with [`crate::pure::resp::reply`]. A
//! connection on which anything went wrong is of no more use: what arrives on it later would
//! be the answer to another question.

use super::{DialError, dial};
use crate::config::Credentials;
use crate::pure::resp::reply::{ReplyError, Scan, Scanner, error_text};
use crate::pure::resp::write;
use bytes::{Buf, Bytes, BytesMut};
use secrecy::ExposeSecret;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// What the servers' `CLIENT LIST` shows for Segue's own connections.
const CLIENT_NAME: &[u8] = b"segue";

/// The longest reply that is read: `COMMAND` of a server with many modules is 300 KB.
const REPLY_MAX: usize = 16 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The peer closed or reset the connection.
    #[error("connection to {addr} lost")]
    Lost {
        /// Who.
        addr: SocketAddr,
        /// How; an orderly close is `UnexpectedEof`.
        source: io::Error,
    },
    /// No answer in time: it may have been carried out.
    #[error("no answer from {addr} within {limit:?}")]
    Timeout {
        /// Who.
        addr: SocketAddr,
        /// How long was waited.
        limit: Duration,
    },
    /// It answered the log-in with an error.
    #[error("{addr} refuses Segue: {text}")]
    Denied {
        /// Who.
        addr: SocketAddr,
        /// Its words.
        text: String,
    },
    /// What came is not the protocol.
    #[error("{addr} does not speak RESP")]
    Protocol {
        /// Who.
        addr: SocketAddr,
        /// What was wrong.
        source: ReplyError,
    },
    /// The answer is longer than any answer should be.
    #[error("the answer of {addr} is longer than {REPLY_MAX} bytes")]
    TooLong {
        /// Who.
        addr: SocketAddr,
    },
}

/// A connection for calls, logged in.
#[derive(Debug)]
pub struct Connection {
    addr: SocketAddr,
    stream: TcpStream,
    input: BytesMut,
}

impl Connection {
    /// Connects and logs in, all within `limit`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn open(
        addr: SocketAddr,
        credentials: Option<&Credentials>,
        limit: Duration,
    ) -> Result<Self, CallError> {
        let start = Instant::now();
        let stream = dial(addr, limit).await?;
        let mut connection = Self { addr, stream, input: BytesMut::new() };
        let left = limit.saturating_sub(start.elapsed());
        connection.log_in(credentials, left).await?;
        Ok(connection)
    }

    async fn log_in(
        &mut self,
        credentials: Option<&Credentials>,
        limit: Duration,
    ) -> Result<(), CallError> {
        let name: &[&[u8]] = &[b"CLIENT", b"SETNAME", CLIENT_NAME];
        let Some(credentials) = credentials else {
            // Whether the name is taken does not matter; an ACL may forbid it.
            return self.call(&[name], limit).await.map(drop);
        };
        let password = credentials.password().expose_secret().as_bytes();
        let with_user;
        let without_user;
        let auth: &[&[u8]] = if let Some(user) = credentials.username() {
            with_user = [b"AUTH".as_slice(), user.as_bytes(), password];
            &with_user
        } else {
            without_user = [b"AUTH".as_slice(), password];
            &without_user
        };
        let replies = self.call(&[auth, name], limit).await?;
        match replies.first().and_then(|it| error_text(it)) {
            None => Ok(()),
            Some(text) => Err(CallError::Denied {
                addr: self.addr,
                text: String::from_utf8_lossy(text).into_owned(),
            }),
        }
    }

    /// Where the connection leads.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sends `requests` in one piece and waits for as many replies.
    ///
    /// # Cancel safety
    ///
    /// None: a connection on which a call was abandoned must not be used again.
    ///
    /// # Errors
    ///
    /// See [`CallError`]; after any, the connection must be dropped. An error *reply* is not
    /// an error here.
    pub async fn call(
        &mut self,
        requests: &[&[&[u8]]],
        limit: Duration,
    ) -> Result<Vec<Bytes>, CallError> {
        let mut output = BytesMut::new();
        for request in requests {
            write::request(&mut output, request);
        }
        let addr = self.addr;
        let conversation = self.converse(output, requests.len());
        match timeout_at(Instant::now() + limit, conversation).await {
            Err(_elapsed) => Err(CallError::Timeout { addr, limit }),
            Ok(outcome) => outcome,
        }
    }

    async fn converse(
        &mut self,
        output: BytesMut,
        expected: usize,
    ) -> Result<Vec<Bytes>, CallError> {
        let addr = self.addr;
        let lost = |source: io::Error| CallError::Lost { addr, source };
        self.stream.write_all(&output).await.map_err(lost)?;
        let mut replies = Vec::with_capacity(expected);
        let mut scanner = Scanner::new();
        while replies.len() < expected {
            match scanner.scan(&self.input) {
                Scan::Frame { len } => replies.push(self.input.split_to(len).freeze()),
                Scan::Error(source) => return Err(CallError::Protocol { addr, source }),
                Scan::Partial if self.input.remaining() > REPLY_MAX => {
                    return Err(CallError::TooLong { addr });
                }
                Scan::Partial => {
                    self.input.reserve(4096);
                    if self.stream.read_buf(&mut self.input).await.map_err(lost)? == 0 {
                        // `maxclients` is said with an error, and then the server hangs up.
                        return match replies.first().and_then(|it| error_text(it)) {
                            Some(text) => Err(CallError::Denied {
                                addr,
                                text: String::from_utf8_lossy(text).into_owned(),
                            }),
                            None => Err(lost(io::ErrorKind::UnexpectedEof.into())),
                        };
                    }
                }
            }
        }
        Ok(replies)
    }
}
