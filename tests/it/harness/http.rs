//! One HTTP request, for the read-only pages.

use super::PATIENCE;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// Status code and body of `GET path`.
///
/// HTTP/1.0, so that the body ends with the connection and is never chunked.
pub(crate) fn get(addr: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: segue\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let parts = answer
        .split_once("\r\n\r\n")
        .and_then(|(head, body)| Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned())));
    parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, answer))
}
