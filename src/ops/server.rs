//! HTTP/1.1 over any kind of connection, bounded on every side.
//!
//! A connection serves one request and lives for [`CONNECTION_MAX`] at most; there are
//! [`CONNECTIONS_MAX`] at once, and the next one waits in the kernel's queue. So a peer that
//! opens many connections, or sends slowly, or does not read, delays others by seconds and
//! can do no more. A scrape or a probe is rare: keeping connections would gain nothing.

use super::routes::{self, Answer};
use super::{State, adopt, switchover};
use crate::control::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// Connections at once.
const CONNECTIONS_MAX: usize = 64;

/// Life of one connection: a scrape over a slow network takes a second or two.
const CONNECTION_MAX: Duration = Duration::from_secs(10);

/// Where a switchover is told while it goes on, for as long as one may take.
const CONTROL_MAX: Duration = switchover::TIMEOUT_MAX.saturating_add(CONNECTION_MAX);

/// The head of a request comes in one packet, or from somebody who means no good.
const HEAD_MAX: Duration = Duration::from_secs(2);

/// Bytes of a request's head; more is answered with 431. hyper takes no less.
const HEAD_MAX_BYTES: usize = 8_192;

/// Accepting fails mostly for want of file descriptors. Trying again at once would spin a
/// core and fill the log.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Something that connections arrive at.
pub(super) trait Accept {
    /// A connection, in both directions.
    type Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next one.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has accepted nobody.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

impl Accept for TcpListener {
    type Connection = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<Self::Connection> {
        Self::accept(self).await.map(|(stream, _)| stream)
    }
}

impl Accept for UnixListener {
    type Connection = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<Self::Connection> {
        Self::accept(self).await.map(|(stream, _)| stream)
    }
}

/// What a request needs beside its own bytes.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) state: Arc<State>,
    /// Without it nobody is answered; `None` where the socket itself keeps strangers out.
    pub(super) token: Option<Arc<SecretString>>,
    /// To the control plane; `None` where nothing may be changed.
    pub(super) requests: Option<mpsc::Sender<Request>>,
}

impl Service {
    async fn answer(self, request: hyper::Request<Incoming>) -> Answer {
        let expected = self.token.as_ref().map(|it| it.expose_secret());
        if expected.is_some_and(|it| !routes::is_authorized(request.headers(), it)) {
            return routes::unauthorized();
        }
        let (method, uri) = (request.method(), request.uri());
        match (self.requests, switchover::kind(uri.path())) {
            (Some(requests), Some(kind)) => {
                let query = uri.query().unwrap_or_default();
                switchover::answer(&requests, kind, method, query).await
            }
            (Some(requests), None) if uri.path() == adopt::PATH => {
                adopt::answer(&requests, method, uri.query().unwrap_or_default()).await
            }
            (Some(_), None) | (None, _) => routes::answer(&self.state, method, uri.path()),
        }
    }
}

/// Serves until `shutdown` turns true (or its sender is gone), then lets what is being
/// answered finish.
pub(super) async fn serve<L: Accept>(
    listener: L,
    service: Service,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let has_room = connections.len() < CONNECTIONS_MAX;
        tokio::select! {
            // Shutdown first: a busy listener must not put it off.
            biased;
            () = asked(&mut shutdown) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if has_room => match accepted {
                Ok(stream) => {
                    connections.spawn(connection(stream, service.clone()));
                }
                Err(error) => {
                    warn!(%error, "Could not accept an HTTP connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    // Each one ends by itself within `CONNECTION_MAX`.
    while connections.join_next().await.is_some() {}
}

/// Waits until `shutdown` is true, or nobody is left who could turn it.
async fn asked(shutdown: &mut watch::Receiver<bool>) {
    // The guard that this returns would keep the caller's future on one thread.
    drop(shutdown.wait_for(|it| *it).await);
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, service: Service) {
    let limit = if service.requests.is_some() { CONTROL_MAX } else { CONNECTION_MAX };
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let serving = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    match timeout(limit, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "HTTP connection ended early"),
        Err(_) => debug!("HTTP connection took too long"),
    }
}

#[cfg(test)]
#[path = "server_test.rs"]
mod tests;
