//! How the `segue` commands ask a running Segue: one request, one answer, one deadline.

use super::status::Status;
use super::{adopt, routes, switchover};
use crate::config::ControlAddress;
use crate::control::Kind;
use crate::pure::failover::{Account, Adoption, Ask, Progress};
use crate::telemetry::recent::Happening;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue, InvalidHeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use std::error::Error as StdError;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// From the first step to the last byte. Segue answers from memory: a second is an age.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What a change of primary may take beyond its own time-out: the nodes are asked first, and a
/// promotion that was ordered last is waited for.
const CHANGE_SLACK: Duration = Duration::from_secs(8);

/// Far above any status; what is larger does not come from Segue.
const ANSWER_MAX_BYTES: usize = 4 << 20;

/// Where a Segue is told what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// `unix:/path`
    Unix(PathBuf),
    /// `host:port`
    Tcp(String),
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("unix: wants a path")
            } else {
                Ok(Self::Unix(PathBuf::from(path)))
            };
        }
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_some() {
            Ok(Self::Tcp(text.to_owned()))
        } else {
            Err("must be unix:/path or host:port")
        }
    }
}

impl From<&ControlAddress> for Address {
    fn from(address: &ControlAddress) -> Self {
        match address {
            ControlAddress::Unix(path) => Self::Unix(path.clone()),
            ControlAddress::Tcp(addr) => Self::Tcp(addr.to_string()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody could be reached.
    #[error("cannot reach Segue at {address}")]
    Unreachable {
        /// Who was asked.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// Somebody is there and does not answer.
    #[error("no answer from Segue at {address} within {ANSWER_WITHIN:?}")]
    Timeout {
        /// Who was asked.
        address: Address,
    },
    /// The token is missing or wrong.
    #[error("Segue at {address} did not accept the token")]
    Unauthorized {
        /// Who was asked.
        address: Address,
    },
    /// An answer that is none.
    #[error("what answers at {address} is not Segue, or another version of it")]
    Nonsense {
        /// Who was asked.
        address: Address,
        /// What is wrong with the answer.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl ClientError {
    /// What to do about it: a sentence.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Unreachable { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                "Run this as the user that runs Segue, or as root."
            }
            Self::Unreachable { .. } => {
                "Is it running? Name its configuration with --config, or its control.address \
                 with --control."
            }
            Self::Timeout { .. } => {
                "It may be stopped, or starved of processor time; look at its process."
            }
            Self::Unauthorized { .. } => "Give the token of control.token_file with --token-file.",
            Self::Nonsense { .. } => {
                "Compare the address with control.address in its configuration."
            }
        }
    }
}

/// Asks one Segue.
#[derive(Clone, Debug)]
pub struct Client {
    address: Address,
    token: Option<SecretString>,
}

impl Client {
    /// A client of the Segue at `address`; over TCP it wants a token.
    pub const fn new(address: Address, token: Option<SecretString>) -> Self {
        Self { address, token }
    }

    /// Its status.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.read("/api/v1/status").await
    }

    /// The last transitions of its group, oldest first.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn events(&self) -> Result<Vec<Happening>, ClientError> {
        self.read(routes::EVENTS_PATH).await
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let body = match timeout(ANSWER_WITHIN, self.get(path)).await {
            Ok(answer) => answer?,
            Err(_elapsed) => return Err(ClientError::Timeout { address: self.address.clone() }),
        };
        serde_json::from_slice(&body).map_err(|error| self.nonsense(error))
    }

    /// Asks for a switchover, or orders a failover, and tells each line of its account.
    /// `ask.timeout` is how long it may take; the answer may take a little longer.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]. What became of it is then unknown; the status tells.
    pub async fn change(
        &self,
        kind: Kind,
        ask: &Ask,
        mut tell: impl FnMut(&Progress),
    ) -> Result<Account, ClientError> {
        let (path, query) = (switchover::path(kind), switchover::query(ask));
        let (path, within) = (format!("{path}?{query}"), ask.timeout);
        let told = async {
            let answer = self.send(Method::POST, &path).await?;
            if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                return Err(ClientError::Timeout { address: self.address.clone() });
            }
            if !matches!(
                answer.status(),
                StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::CONFLICT
            ) {
                return Err(self.nonsense(format!("status {}", answer.status())));
            }
            let mut body = answer.into_body();
            let mut input = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| self.nonsense(error))?;
                input.extend_from_slice(frame.data_ref().map_or(&[][..], |it| it));
                while let Some(end) = input.iter().position(|it| *it == b'\n') {
                    let line: Vec<u8> = input.drain(..=end).collect();
                    let progress: Progress =
                        serde_json::from_slice(&line).map_err(|error| self.nonsense(error))?;
                    tell(&progress);
                    if let Progress::Ended(account) = progress {
                        return Ok(account);
                    }
                }
                if input.len() > ANSWER_MAX_BYTES {
                    return Err(self.nonsense("a line without an end"));
                }
            }
            Err(self.nonsense("the account breaks off"))
        };
        let late = || ClientError::Timeout { address: self.address.clone() };
        timeout(within + CHANGE_SLACK, told).await.map_err(|_elapsed| late())?
    }

    /// Asks it to adopt a node; `query` is one of [`adopt::query`].
    ///
    /// # Errors
    ///
    /// See [`ClientError`]. Whether it has begun is then unknown; the status tells.
    pub async fn adopt(&self, query: &str) -> Result<Adoption, ClientError> {
        let path = format!("{}?{query}", adopt::PATH);
        let told = async {
            let answer = self.send(Method::POST, &path).await?;
            match answer.status() {
                StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::CONFLICT => {}
                StatusCode::SERVICE_UNAVAILABLE => {
                    return Err(ClientError::Timeout { address: self.address.clone() });
                }
                status => return Err(self.nonsense(format!("status {status}"))),
            }
            let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await;
            let bytes = body.map_err(|error| self.nonsense(error))?.to_bytes();
            serde_json::from_slice(&bytes).map_err(|error| self.nonsense(error))
        };
        let late = || ClientError::Timeout { address: self.address.clone() };
        timeout(ANSWER_WITHIN, told).await.map_err(|_elapsed| late())?
    }

    async fn get(&self, path: &str) -> Result<Bytes, ClientError> {
        let answer = self.send(Method::GET, path).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(self.nonsense(format!("status {status}")));
        }
        let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await;
        Ok(body.map_err(|error| self.nonsense(error))?.to_bytes())
    }

    async fn send(&self, method: Method, path: &str) -> Result<Response<Incoming>, ClientError> {
        match &self.address {
            Address::Unix(socket) => {
                let stream = UnixStream::connect(socket).await;
                self.send_over(stream.map_err(|error| self.unreachable(error))?, method, path).await
            }
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await;
                self.send_over(stream.map_err(|error| self.unreachable(error))?, method, path).await
            }
        }
    }

    async fn send_over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        method: Method,
        path: &str,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = self.request(method, path).map_err(|error| self.nonsense(error))?;
        let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| self.nonsense(error))?;
        // Ends with the connection, which ends with `sender` or the runtime; what it would
        // report, `sender` reports.
        tokio::spawn(async move { drop(connection.await) });
        let answer = sender.send_request(request).await.map_err(|error| self.nonsense(error))?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Err(ClientError::Unauthorized { address: self.address.clone() });
        }
        Ok(answer)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
    ) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "segue")
            .body(Empty::<Bytes>::new())?;
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {}", token.expose_secret());
            let value = HeaderValue::from_str(&bearer);
            let mut value =
                value.map_err(|error: InvalidHeaderValue| hyper::http::Error::from(error))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }

    fn unreachable(&self, source: io::Error) -> ClientError {
        ClientError::Unreachable { address: self.address.clone(), source }
    }

    fn nonsense(&self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> ClientError {
        ClientError::Nonsense { address: self.address.clone(), source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_or_a_port() {
        assert_eq!("unix:/run/s".parse(), Ok(Address::Unix(PathBuf::from("/run/s"))));
        assert_eq!("localhost:9181".parse(), Ok(Address::Tcp("localhost:9181".to_owned())));
        assert_eq!("[::1]:9181".parse(), Ok(Address::Tcp("[::1]:9181".to_owned())));
        for text in ["", "unix:", "localhost", "localhost:", "localhost:99999", "/run/s"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn says_what_to_do_when_nobody_is_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let client = Client::new(Address::Unix(dir.path().join("segue.sock")), None);
        let error = client.status().await.expect_err("nobody is there");
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
        assert!(error.advice().contains("--control"));
    }
}
