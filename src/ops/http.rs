//! The read-only HTTP server on `http.address`.
//!
//! Open to whoever reaches it, so it changes nothing and shows nothing but what operators
//! may know: names, addresses and numbers of nodes; never a key, a value or a password.

use super::State;
use super::server::{self, Service};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Serves until `shutdown` turns true, then lets what is being answered finish.
///
/// Ends within ten seconds of `shutdown`, and usually at once. Run it until *after* the
/// drain: `/readyz` says 503 meanwhile, which is what takes Segue out of a load balancer.
pub async fn serve(listener: TcpListener, state: Arc<State>, shutdown: watch::Receiver<bool>) {
    server::serve(listener, Service { state, token: None, requests: None }, shutdown).await;
}
