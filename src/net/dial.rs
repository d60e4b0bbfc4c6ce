//! Opens one TCP connection to a node, under a deadline.
//!
//! What went wrong is told in three ways, because the callers act differently: *refused*
//! means that the host answers and nobody listens (the process is gone, there is nothing to
//! wait for); *timeout* means that nothing is known; *other* is the rest.
//!
//! Every socket gets `TCP_NODELAY` (a proxy that waits to fill a segment adds 40 ms to a
//! pipeline), keep-alive (an idle upstream connection must not outlive its host for hours)
//! and `TCP_USER_TIMEOUT` (a host that vanished with our bytes unacknowledged is noticed
//! after [`UNACKNOWLEDGED_MAX`], not after the kernel's fifteen minutes).

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long bytes that we sent may stay unacknowledged before the kernel gives the
/// connection up. Above the longest stall of a healthy network, below any patience.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(3);

/// When the kernel starts to ask an idle peer whether it is alive, how often it repeats the
/// question, and after how many unanswered ones it gives up: 16 s in all.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);
const KEEPALIVE_TRIES: u32 = 3;

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum DialError {
    /// The host answers, and says that nobody listens there.
    #[error("connection to {addr} refused")]
    Refused {
        /// Who was called.
        addr: SocketAddr,
    },
    /// No answer within the limit: nothing is known about the node.
    #[error("no connection to {addr} within {limit:?}")]
    Timeout {
        /// Who was called.
        addr: SocketAddr,
        /// How long was waited.
        limit: Duration,
    },
    /// Anything else: no route, no file descriptor.
    #[error("cannot connect to {addr}")]
    Other {
        /// Who was called.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl DialError {
    /// Whether the peer's host actively said no.
    pub const fn is_refused(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::Timeout { .. } | Self::Other { .. } => false,
        }
    }

    /// Whether the failure is this machine's own (out of file descriptors, out of memory):
    /// it says nothing at all about the peer.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Timeout { .. } => false,
            // EMFILE 24, ENFILE 23, ENOBUFS 105, ENOMEM 12, EADDRNOTAVAIL 99 (errno(3)).
            Self::Other { source, .. } => {
                matches!(source.raw_os_error(), Some(12 | 23 | 24 | 99 | 105))
            }
        }
    }
}

/// Connects to `addr` within `limit`.
///
/// # Cancel safety
///
/// Dropping the future closes the half-open socket and leaves nothing behind.
///
/// # Errors
///
/// See [`DialError`]. Socket options that the system refuses are not an error: the
/// connection works without them.
pub async fn dial(addr: SocketAddr, limit: Duration) -> Result<TcpStream, DialError> {
    let stream = match timeout(limit, TcpStream::connect(addr)).await {
        Err(_elapsed) => return Err(DialError::Timeout { addr, limit }),
        Ok(Err(source)) => return Err(explain(addr, limit, source)),
        Ok(Ok(stream)) => stream,
    };
    tune(&stream);
    Ok(stream)
}

fn explain(addr: SocketAddr, limit: Duration, source: io::Error) -> DialError {
    // Whatever else the system says proves nothing about the process.
    let kind = source.kind();
    if matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) {
        DialError::Refused { addr }
    } else if kind == io::ErrorKind::TimedOut {
        DialError::Timeout { addr, limit }
    } else {
        DialError::Other { addr, source }
    }
}

/// Sets the options of the header. Each is a help, none a condition.
fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_TRIES);
    let _unsupported = socket.set_tcp_nodelay(true);
    let _unsupported = socket.set_tcp_keepalive(&keepalive);
    #[cfg(target_os = "linux")]
    let _unsupported = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    #[test]
    fn sets_its_options() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let addr = listener.local_addr().expect("has an address");
        let stream =
            block_on(async { dial(addr, Duration::from_secs(5)).await.expect("connects") });
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().expect("readable"));
        assert!(socket.keepalive().expect("readable"));
        assert_eq!(socket.tcp_user_timeout().expect("readable"), Some(UNACKNOWLEDGED_MAX));
    }

    #[test]
    fn tells_a_refusal_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let addr = listener.local_addr().expect("has an address");
        drop(listener);
        let error = block_on(dial(addr, Duration::from_secs(5))).expect_err("nobody listens");
        assert!(error.is_refused(), "{error}");
        assert!(!error.is_ours());
    }

    #[test]
    fn gives_up_at_its_limit() {
        // A listener whose backlog is full drops what arrives, as a vanished host does.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        socket.bind(&any.into()).expect("binds");
        socket.listen(0).expect("listens");
        let addr = socket.local_addr().expect("bound").as_socket().expect("an address");
        let mut kept = Vec::new();
        let error = block_on(async {
            loop {
                match dial(addr, Duration::from_millis(100)).await {
                    Ok(stream) => kept.push(stream),
                    Err(error) => break error,
                }
            }
        });
        assert!(matches!(error, DialError::Timeout { .. }), "{error}");
        assert!(!error.is_refused());
    }
}
