//! Turns a configured host name into addresses, off the loop and under a deadline.
//!
//! Names are looked up again for every new connection: a pod that comes back under the same
//! name with another address is the same node.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use thiserror::Error;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// Why a name has no address.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// The resolver did not answer in time.
    #[error("{host} not resolved within {limit:?}")]
    Timeout {
        /// The name.
        host: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The resolver knows no address.
    #[error("{host} has no address")]
    Empty {
        /// The name.
        host: String,
    },
    /// The resolver failed.
    #[error("{host} cannot be resolved")]
    Failed {
        /// The name.
        host: String,
        /// What it said.
        source: io::Error,
    },
}

/// Every address of `host`, in the resolver's order; never empty.
///
/// An IP literal is answered without asking anybody.
///
/// # Cancel safety
///
/// Dropping the future abandons the look-up; its thread ends by itself.
///
/// # Errors
///
/// See [`ResolveError`].
pub async fn resolve(
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Vec<SocketAddr>, ResolveError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    match timeout(limit, lookup_host((host, port))).await {
        Err(_elapsed) => Err(ResolveError::Timeout { host: host.to_owned(), limit }),
        Ok(Err(source)) => Err(ResolveError::Failed { host: host.to_owned(), source }),
        Ok(Ok(found)) => {
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() {
                return Err(ResolveError::Empty { host: host.to_owned() });
            }
            Ok(found)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn a_literal_is_its_own_address() {
        let found = block_on(resolve("::1", 7001, LIMIT)).expect("a literal");
        assert_eq!(found, ["[::1]:7001".parse::<SocketAddr>().expect("an address")]);
    }

    #[test]
    fn a_name_is_looked_up() {
        let found = block_on(resolve("localhost", 7001, LIMIT)).expect("everybody has it");
        assert!(found.iter().all(|it| it.ip().is_loopback() && it.port() == 7001), "{found:?}");
    }

    #[test]
    fn a_name_without_address_is_an_error() {
        // `.invalid` never exists (RFC 6761).
        assert!(block_on(resolve("nobody.invalid", 7001, LIMIT)).is_err());
    }
}
