//! Why a request is refused, in the words of the servers.
//!
//! The texts are those of redis-server 7.0.15 and valkey-server 9.1.2, seen on both. A
//! server sends the error after the replies of all earlier requests and then closes; so
//! must whoever meets one of these.

use std::borrow::Cow;
use thiserror::Error;

/// A request that no server would take.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ProtocolError {
    #[error("too big inline request")]
    TooBigInline,
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    #[error("too big mbulk count string")]
    TooBigCount,
    #[error("invalid multibulk length")]
    InvalidCount,
    #[error("too big bulk count string")]
    TooBigLength,
    #[error("expected '$', got '{}'", char::from(*.0))]
    ExpectedDollar(u8),
    #[error("invalid bulk length")]
    InvalidLength,
    /// Valkey 9.1 says so. Redis 7.0 does not look at the bytes and takes the request.
    #[error("invalid CRLF in request")]
    InvalidCrlf,
    #[error("unauthenticated multibulk length")]
    UnauthenticatedCount,
    #[error("unauthenticated bulk length")]
    UnauthenticatedLength,
    /// `POST` or `Host:` as a command: a browser that was tricked into talking to us.
    #[error("possible security attack")]
    SecurityAttack,
}

impl ProtocolError {
    /// Whether a client that the node knows may do this.
    pub const fn is_for_strangers(self) -> bool {
        matches!(self, Self::UnauthenticatedCount | Self::UnauthenticatedLength)
    }

    /// The reply to send before closing; empty where the servers close without a word.
    pub fn reply(self) -> Cow<'static, [u8]> {
        let fixed: &[u8] = match self {
            Self::TooBigInline => b"-ERR Protocol error: too big inline request\r\n",
            Self::UnbalancedQuotes => b"-ERR Protocol error: unbalanced quotes in request\r\n",
            Self::TooBigCount => b"-ERR Protocol error: too big mbulk count string\r\n",
            Self::InvalidCount => b"-ERR Protocol error: invalid multibulk length\r\n",
            Self::TooBigLength => b"-ERR Protocol error: too big bulk count string\r\n",
            Self::InvalidLength => b"-ERR Protocol error: invalid bulk length\r\n",
            Self::InvalidCrlf => b"-ERR Protocol error: invalid CRLF in request\r\n",
            Self::UnauthenticatedCount => {
                b"-ERR Protocol error: unauthenticated multibulk length\r\n"
            }
            Self::UnauthenticatedLength => b"-ERR Protocol error: unauthenticated bulk length\r\n",
            Self::SecurityAttack => b"",
            Self::ExpectedDollar(got) => {
                let mut text = b"-ERR Protocol error: expected '$', got '".to_vec();
                // The servers blank line ends in any error text, or it would end there.
                text.push(if matches!(got, b'\r' | b'\n') { b' ' } else { got });
                text.extend_from_slice(b"'\r\n");
                return text.into();
            }
        };
        fixed.into()
    }
}
