//! A TCP relay before a node: what cuts Segue off from it and nobody else, without any right of
//! an administrator.

use super::Port;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Every connection through it, so that it can be cut.
type Streams = Arc<Mutex<BTreeMap<u64, TcpStream>>>;

/// Whether it is stalled, and whom to wake when it no longer is.
type Stall = Arc<(Mutex<bool>, Condvar)>;

/// A relay. While it is cut, connections to it are refused.
#[derive(Debug)]
pub(crate) struct Relay {
    port: Port,
    to: Arc<Mutex<SocketAddr>>,
    streams: Streams,
    stall: Stall,
    listener: Option<TcpListener>,
}

impl Relay {
    pub(crate) fn to(to: SocketAddr) -> Self {
        let (port, streams, stall) = (Port::reserve(), Streams::default(), Stall::default());
        let to = Arc::new(Mutex::new(to));
        let mut relay = Self { port, to, streams, stall, listener: None };
        relay.heal();
        relay
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// New connections lead there; those that are there go on as they are.
    pub(crate) fn turn_to(&self, to: SocketAddr) {
        *self.to.lock().unwrap() = to;
    }

    /// Ends every connection, and refuses new ones.
    pub(crate) fn cut(&mut self) {
        let listener = self.listener.take().expect("it was whole");
        // Its thread waits in `accept`, and ends with an error.
        listener.set_nonblocking(true).expect("a socket");
        shut(&listener);
        for (_, stream) in std::mem::take(&mut *self.streams.lock().unwrap()) {
            // Fails if a peer ended it first.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Keeps every connection, and passes nothing on.
    pub(crate) fn stall(&self) {
        *self.stall.0.lock().unwrap() = true;
    }

    /// Passes on what has come since, and what comes.
    pub(crate) fn go_on(&self) {
        *self.stall.0.lock().unwrap() = false;
        self.stall.1.notify_all();
    }

    /// Takes connections again.
    pub(crate) fn heal(&mut self) {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.set_reuse_address(true).expect("SO_REUSEADDR");
        socket.bind(&self.addr().into()).expect("the port is ours");
        socket.listen(128).expect("a listener");
        let listener = TcpListener::from(socket);
        let accepting = listener.try_clone().expect("a descriptor");
        let (streams, stall) = (Arc::clone(&self.streams), Arc::clone(&self.stall));
        let to = Arc::clone(&self.to);
        thread::spawn(move || {
            let mut serial = 0;
            for client in accepting.incoming() {
                let Ok(client) = client else { return };
                let to = *to.lock().unwrap();
                let Ok(node) = TcpStream::connect(to) else { continue };
                for stream in [&client, &node] {
                    stream.set_nodelay(true).expect("a socket");
                    serial += 1;
                    let kept = stream.try_clone().expect("a descriptor");
                    streams.lock().unwrap().insert(serial, kept);
                }
                let both = (client.try_clone().expect("one"), node.try_clone().expect("one"));
                pump(both.0, both.1, Arc::clone(&stall));
                pump(node, client, Arc::clone(&stall));
            }
        });
        self.listener = Some(listener);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.go_on();
        if self.listener.is_some() {
            self.cut();
        }
    }
}

/// Wakes whoever waits in `accept`.
fn shut(listener: &TcpListener) {
    let socket = socket2::SockRef::from(listener);
    // On Linux this ends `accept` with EINVAL and makes the port refuse.
    let _ = socket.shutdown(Shutdown::Both);
}

fn pump(mut from: TcpStream, mut to: TcpStream, stall: Stall) {
    thread::spawn(move || {
        let mut bytes = [0; 16 * 1024];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            drop(stall.1.wait_while(stall.0.lock().unwrap(), |stalled| *stalled).unwrap());
            if to.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
        // Fails if the other side ended it first.
        let _ = to.shutdown(Shutdown::Both);
    });
}
