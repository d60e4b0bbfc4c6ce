//! The control socket on `control.address`: what the `segue` commands talk to.
//!
//! The same routes as [`super::http`], [`super::switchover`] and [`super::adopt`]. What changes state belongs here
//! and nowhere else, so nobody gets in who was not let in: a Unix socket has mode 0600, a TCP address
//! answers nothing without the token.

use super::State;
use super::server::{self, Service};
use crate::config::{self, ControlAddress};
use crate::control::Request;
use crate::net::listen::{self, ListenError, UnixSocket};
use secrecy::SecretString;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// Only the user that runs Segue (and root) may talk to it.
const MODE: u32 = 0o600;

/// The control socket, bound and not yet served.
#[derive(Debug)]
pub struct Control(Bound);

#[derive(Debug)]
enum Bound {
    Unix(UnixSocket),
    Tcp(TcpListener, Arc<SecretString>),
}

impl Control {
    /// Binds what `control.address` names.
    ///
    /// # Errors
    ///
    /// See [`Control::unix`] and [`Control::tcp`].
    pub async fn bind(config: &config::Control) -> Result<Self, ListenError> {
        match (config.address(), config.token()) {
            (ControlAddress::Unix(path), _) => Self::unix(path).await,
            (ControlAddress::Tcp(addr), Some(token)) => Self::tcp(*addr, token.clone()),
            // The configuration's check has refused this already; open to all it shall not be.
            (ControlAddress::Tcp(addr), None) => Err(ListenError::Tcp {
                addr: *addr,
                source: io::Error::new(io::ErrorKind::InvalidInput, "a token is needed"),
            }),
        }
    }

    /// Binds a Unix socket.
    ///
    /// # Errors
    ///
    /// If another Segue listens there, or the file cannot be made.
    pub async fn unix(path: &Path) -> Result<Self, ListenError> {
        Ok(Self(Bound::Unix(listen::unix(path, MODE).await?)))
    }

    /// Binds a TCP address that answers whoever has `token`.
    ///
    /// # Errors
    ///
    /// If the address is taken or not this host's.
    pub fn tcp(addr: SocketAddr, token: SecretString) -> Result<Self, ListenError> {
        Ok(Self(Bound::Tcp(listen::tcp(addr)?, Arc::new(token))))
    }
}

/// Serves until `shutdown` turns true, then lets what is being answered finish and removes
/// the socket's file.
pub async fn serve(
    control: Control,
    state: Arc<State>,
    requests: mpsc::Sender<Request>,
    shutdown: watch::Receiver<bool>,
) {
    let requests = Some(requests);
    match control.0 {
        Bound::Unix(UnixSocket { listener, file }) => {
            server::serve(listener, Service { state, token: None, requests }, shutdown).await;
            drop(file);
        }
        Bound::Tcp(listener, token) => {
            server::serve(listener, Service { state, token: Some(token), requests }, shutdown)
                .await;
        }
    }
}
