//! Addresses as the file writes them: where we listen, and where nodes are.

use serde::{Serialize, Serializer};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// `sun_path` of unix(7) has 108 bytes, and the last one is a zero.
const UNIX_PATH_MAX: usize = 107;

/// Longest name of DNS (RFC 1035, 2.3.4) as text.
const HOST_MAX: usize = 253;

/// A host, by name or address, and a port. IPv6 addresses stand without brackets in `host`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostPort {
    /// A host name or an IP address.
    pub host: String,
    /// Never zero when it comes from the file.
    pub port: u16,
}

impl HostPort {
    /// The address without a look-up, if `host` is an IP address.
    pub fn literal(&self) -> Option<SocketAddr> {
        self.host.parse().ok().map(|ip| SocketAddr::new(ip, self.port))
    }

    /// Reads `host:port` or `[::1]:port`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        const HOW: &str = "write it as `host:port`, such as `10.0.0.1:6379` or `[::1]:6379`";
        let wrong = || format!("`{}` is not an address; {HOW}", text.escape_debug());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = read_port(port).ok_or_else(wrong)?;
        let host = if let Some(inner) = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            inner.parse::<Ipv6Addr>().map_err(|_| wrong())?.to_string()
        } else if is_host(host) {
            host.to_ascii_lowercase()
        } else {
            return Err(wrong());
        };
        if port == 0 {
            return Err(format!("`{text}` has port 0, where nothing can be reached"));
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Where something listens.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ListenAddress {
    /// An IP address and a port; port 0 leaves the choice to the system.
    Tcp(SocketAddr),
    /// A Unix socket; the path is absolute.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Reads `0.0.0.0:6380`, `[::]:6380` or `unix:/path`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix("unix:") else {
            return read_socket(text, " or `unix:/run/segue.sock`").map(Self::Tcp);
        };
        if !Path::new(path).is_absolute() || path.ends_with('/') || path.contains('\0') {
            return Err(format!(
                "`{}` does not name a socket; write an absolute path, such as `unix:/run/segue.sock`",
                text.escape_debug()
            ));
        }
        if path.len() > UNIX_PATH_MAX {
            let length = path.len();
            return Err(format!(
                "is a path of {length} bytes; the system takes at most {UNIX_PATH_MAX} for a socket"
            ));
        }
        Ok(Self::Unix(PathBuf::from(path)))
    }

    /// Whether both cannot be listened on at the same time.
    pub(super) fn collides(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(one), Self::Unix(two)) => one == two,
            (Self::Tcp(one), Self::Tcp(two)) => {
                one.port() == two.port()
                    && one.port() != 0
                    && (one.ip() == two.ip()
                        || (one.is_ipv4() == two.is_ipv4()
                            && (one.ip().is_unspecified() || two.ip().is_unspecified())))
            }
            (Self::Unix(_), Self::Tcp(_)) | (Self::Tcp(_), Self::Unix(_)) => false,
        }
    }

    /// Whether connecting to `node` would certainly lead back here.
    ///
    /// Names other than `localhost` are not looked up: a check must give the same answer
    /// wherever it runs.
    pub(super) fn is_reached_by(&self, node: &HostPort) -> bool {
        let Self::Tcp(here) = self else { return false };
        if here.port() != node.port {
            return false;
        }
        let there: Vec<IpAddr> = match node.host.as_str() {
            "localhost" => vec![[127, 0, 0, 1].into(), Ipv6Addr::LOCALHOST.into()],
            host => host.parse().into_iter().collect(),
        };
        there.into_iter().any(|there| {
            let own = there.is_loopback() || there.is_unspecified();
            // `[::]` takes IPv4 too, `0.0.0.0` only IPv4.
            let taken = here.ip().is_unspecified() && (here.is_ipv6() || there.is_ipv4());
            here.ip() == there || (own && taken)
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Serialize for ListenAddress {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Reads an IP address with a port.
pub(super) fn socket(text: &str) -> Result<SocketAddr, String> {
    read_socket(text, "")
}

fn read_socket(text: &str, or: &str) -> Result<SocketAddr, String> {
    const HOW: &str = "write an IP address and a port, such as `0.0.0.0:6380`";
    text.parse().map_err(|_| {
        let text = text.escape_debug();
        format!("`{text}` is not an address to listen on; {HOW}{or}")
    })
}

fn read_port(text: &str) -> Option<u16> {
    // `parse` alone would take `+6379`.
    if text.chars().all(|it| it.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Underscores are not of DNS, but container networks resolve them.
fn is_host(host: &str) -> bool {
    let fits = |it: char| it.is_ascii_alphanumeric() || "-._".contains(it);
    let labels = host.strip_suffix('.').unwrap_or(host);
    host.len() <= HOST_MAX
        && labels.split('.').all(|it| !it.is_empty() && it.len() <= 63)
        && host.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_node_addresses() {
        for (text, host, port) in [
            ("127.0.0.1:7001", "127.0.0.1", 7001),
            ("redis-0.redis.svc:6379", "redis-0.redis.svc", 6379),
            ("Redis_A:6379", "redis_a", 6379),
            ("[::1]:6379", "::1", 6379),
            ("[0:0:0:0:0:0:0:1]:6379", "::1", 6379),
            ("redis.:1", "redis.", 1),
        ] {
            let read = HostPort::read(text).unwrap();
            assert_eq!((read.host.as_str(), read.port), (host, port), "{text}");
            assert_eq!(HostPort::read(&read.to_string()), Ok(read));
        }
        for text in [
            "",
            ":",
            "a",
            "a:",
            ":1",
            "a:0",
            "a:65536",
            "a:-1",
            "a:+1",
            "::1:6379",
            "[::1]",
            "[a]:1",
            "a b:1",
            "redis://a:1",
            "a..b:1",
            "a,b:1",
            "unix:/a",
        ] {
            assert!(HostPort::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_listen_addresses() {
        for text in ["0.0.0.0:6380", "[::]:6380", "127.0.0.1:0", "unix:/run/a.sock"] {
            assert_eq!(ListenAddress::read(text).unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "a".repeat(UNIX_PATH_MAX));
        for text in ["", "6380", ":6380", "localhost:6380", "unix:", "unix:a", "unix:/a/", &long] {
            assert!(ListenAddress::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn knows_what_collides_and_what_loops() {
        let listen = |text| ListenAddress::read(text).unwrap();
        for (one, two, expected) in [
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("127.0.0.2:1", "127.0.0.1:1", false),
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("0.0.0.0:0", "0.0.0.0:0", false),
            ("[::]:1", "0.0.0.0:1", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("unix:/a", "0.0.0.0:1", false),
        ] {
            assert_eq!(listen(one).collides(&listen(two)), expected, "{one} {two}");
            assert_eq!(listen(two).collides(&listen(one)), expected, "{two} {one}");
        }
        for (here, node, expected) in [
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "localhost:1", true),
            ("[::]:1", "[::1]:1", true),
            ("[::]:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("10.0.0.1:1", "10.0.0.1:1", true),
            ("0.0.0.0:1", "10.0.0.1:1", false),
            ("0.0.0.0:1", "127.0.0.1:2", false),
            ("10.0.0.1:1", "127.0.0.1:1", false),
            ("0.0.0.0:1", "redis:1", false),
            ("unix:/a", "127.0.0.1:1", false),
        ] {
            let node = HostPort::read(node).unwrap();
            assert_eq!(listen(here).is_reached_by(&node), expected, "{here} {node}");
        }
    }
}
