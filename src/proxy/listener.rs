//! Accepts clients and hands each to the worker with the fewest sessions.

use super::Worker;
use super::worker::Client;
use crate::net::Stream;
use crate::net::listen::{SocketFile, UnixSocket};
use crate::telemetry::metrics::{Rejected, WorkerCells};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

/// Accepting fails mostly for want of file descriptors. Trying again at once would spin a core
/// and fill the log; a client can wait this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the servers themselves say (`networking.c`, `acceptCommonHandler`).
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// Where clients arrive.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket, with its file.
    Unix(UnixListener, SocketFile),
}

impl From<UnixSocket> for Listener {
    fn from(socket: UnixSocket) -> Self {
        Self::Unix(socket.listener, socket.file)
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // A reply must not wait for the next one; clients that vanish must be noticed.
                stream.set_nodelay(true)?;
                socket2::SockRef::from(&stream).set_keepalive(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(listener, _) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

/// What all listeners share.
#[derive(Debug)]
pub struct Accepting {
    /// Who serves.
    pub workers: Vec<Worker>,
    /// `sessions.max`, or fewer if the process may not open so many files.
    pub sessions_max: usize,
    /// Counts those who were turned away; written by this thread only.
    pub cells: Arc<WorkerCells>,
    /// Number of the last session.
    pub last_id: std::cell::Cell<u64>,
}

/// Accepts clients until `draining` turns true. `promise` is which of the workers' promises
/// holds for them.
///
/// # Cancel safety
///
/// Dropping the future stops accepting; sessions already accepted live on.
pub async fn accept(
    listener: Listener,
    promise: Option<usize>,
    accepting: Rc<Accepting>,
    mut draining: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            // Draining first: a busy listener must not put off a shutdown.
            biased;
            _ = draining.wait_for(|it| *it) => break,
            accepted = listener.accept() => match accepted {
                Ok(client) => accepting.let_in(client, promise).await,
                Err(error) => {
                    warn!(%error, "Could not accept a client");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    info!("Stopped accepting clients");
}

impl Accepting {
    async fn let_in(&self, client: Stream, promise: Option<usize>) {
        let open: usize = self.workers.iter().map(|it| it.load.sessions()).sum();
        if open >= self.sessions_max {
            self.cells.sessions_rejected.inc(Rejected::Max);
            tokio::task::spawn_local(turn_away(client));
            return;
        }
        let Some(worker) = self.workers.iter().min_by_key(|it| it.load.sessions()) else { return };
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        match client.detach() {
            Ok(socket) => {
                if !worker.hand_over(Client { id, socket, promise }).await {
                    warn!(session = id, "A worker has ended and takes no client");
                }
            }
            Err(error) => warn!(%error, "Could not hand over a client"),
        }
    }
}

/// Says why, as a server does. Whoever does not read it has closed already.
async fn turn_away(mut client: Stream) {
    let _gone = client.write_all(TOO_MANY).await;
    let _gone = client.shutdown().await;
}
