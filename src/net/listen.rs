//! Sockets that wait for peers: TCP, and Unix sockets with their file.
//!
//! # Invariants
//!
//! * A Unix socket's file never stands there with wider permissions than asked for: it gets
//!   its name only after its mode.
//! * The file of a process that is gone is replaced; one that somebody listens on, or that
//!   is no socket at all, is left alone and reported.
//! * On the way out a file is removed only if it is still ours.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};

/// Clients that may wait to be accepted. The kernel caps it (`net.core.somaxconn`, 4096).
const BACKLOG_MAX: u32 = 4_096;

/// Why nobody can be waited for at an address.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The kernel refused a TCP address.
    #[error("cannot listen on {addr}")]
    Tcp {
        /// The address asked for.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A Unix socket, or its file, could not be made.
    #[error("cannot listen on unix:{}", path.display())]
    Unix {
        /// The path asked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process listens there.
    #[error("another process listens on unix:{}; is Segue running already?", path.display())]
    Taken {
        /// The path asked for.
        path: PathBuf,
    },
    /// The path names something that is not ours to replace.
    #[error("unix:{} exists and is not a socket; it is left alone", path.display())]
    NotASocket {
        /// The path asked for.
        path: PathBuf,
    },
}

impl ListenError {
    /// What to do about it: a sentence, if there is one.
    pub fn advice(&self) -> Option<&'static str> {
        let Self::Tcp { source, .. } = self else { return None };
        let advice = [
            (
                ErrorKind::AddrInUse,
                "Another process has it; is Segue running already? `ss -ltnp` shows who it is.",
            ),
            (
                ErrorKind::AddrNotAvailable,
                "It is no address of this machine; 0.0.0.0 stands for all that it has.",
            ),
            (ErrorKind::PermissionDenied, "Ports below 1024 need the right to bind them."),
        ];
        advice.into_iter().find(|it| it.0 == source.kind()).map(|it| it.1)
    }
}

/// Listens on a TCP address.
///
/// # Errors
///
/// If the address is taken or not this host's.
pub fn tcp(addr: SocketAddr) -> Result<TcpListener, ListenError> {
    let listen = || {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Sockets of the last run may linger in TIME_WAIT; a restart must not wait for them.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG_MAX)
    };
    listen().map_err(|source| ListenError::Tcp { addr, source })
}

/// A Unix socket and its file, which goes when this goes.
#[derive(Debug)]
pub struct UnixSocket {
    /// Where peers arrive.
    pub listener: UnixListener,
    /// The file; keep it as long as the listener.
    pub file: SocketFile,
}

/// The file of a Unix socket; removed on drop.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: tells our file from that of whoever replaced it.
    identity: Option<(u64, u64)>,
}

/// Listens on a Unix socket whose file has the permissions `mode`.
///
/// Two processes that start at the same moment on the same path may both succeed; the last
/// one owns the path. Nothing is lost but the reach of the other.
///
/// # Errors
///
/// If somebody listens there, something else stands there, or the file cannot be made.
pub async fn unix(path: &Path, mode: u32) -> Result<UnixSocket, ListenError> {
    let failed = |source| ListenError::Unix { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => refuse_if_served(path).await?,
        Ok(_) => return Err(ListenError::NotASocket { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut unnamed = path.as_os_str().to_owned();
    unnamed.push(format!(".{}", process::id()));
    let unnamed = PathBuf::from(unnamed);
    let bind = || {
        remove(&unnamed)?;
        let listener = UnixListener::bind(&unnamed)?;
        fs::set_permissions(&unnamed, Permissions::from_mode(mode))?;
        fs::rename(&unnamed, path)?;
        Ok(listener)
    };
    let listener = bind().map_err(failed)?;
    let file = SocketFile { path: path.to_owned(), identity: identity(path) };
    Ok(UnixSocket { listener, file })
}

async fn refuse_if_served(path: &Path) -> Result<(), ListenError> {
    match UnixStream::connect(path).await {
        // Refused: the file outlived its process.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // A full backlog is somebody too.
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(ListenError::Taken { path: path.to_owned() })
        }
        Err(source) => Err(ListenError::Unix { path: path.to_owned(), source }),
        Ok(_) => Err(ListenError::Taken { path: path.to_owned() }),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // Best effort: what is left behind is replaced by the next start.
            let _: io::Result<()> = remove(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|it| (it.dev(), it.ino()))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("exists").permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_and_its_file_goes_with_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("segue.sock");
        let socket = unix(&path, 0o600).await.expect("listens");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("reads").count(), 1, "no other file");
        UnixStream::connect(&path).await.expect("somebody listens");
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_file_is_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("segue.sock");
        drop(UnixListener::bind(&path).expect("binds"));
        assert!(path.exists(), "the file outlives its listener");
        let _socket = unix(&path, 0o600).await.expect("listens");
        UnixStream::connect(&path).await.expect("somebody listens");
    }

    #[tokio::test]
    async fn a_served_file_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("segue.sock");
        let first = unix(&path, 0o600).await.expect("listens");
        let error = unix(&path, 0o600).await.expect_err("is taken");
        assert!(matches!(error, ListenError::Taken { .. }), "{error}");
        UnixStream::connect(&path).await.expect("the first one still listens");
        drop(first);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notes.txt");
        fs::write(&path, "precious").expect("writes");
        let error = unix(&path, 0o600).await.expect_err("is no socket");
        assert!(matches!(error, ListenError::NotASocket { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("is there"), "precious");
    }

    #[tokio::test]
    async fn a_file_that_somebody_replaced_is_not_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("segue.sock");
        let socket = unix(&path, 0o600).await.expect("listens");
        fs::remove_file(&path).expect("removes");
        let _other = UnixListener::bind(&path).expect("binds");
        drop(socket);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_taken_port_says_which_one() {
        let first = tcp(SocketAddr::from(([127, 0, 0, 1], 0))).expect("listens");
        let addr = first.local_addr().expect("has an address");
        let error = tcp(addr).expect_err("is taken");
        assert_eq!(error.to_string(), format!("cannot listen on {addr}"));
        assert!(error.source().is_some(), "the cause is kept");
    }
}
