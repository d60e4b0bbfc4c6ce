//! A port that stays ours for as long as the value lives.
//!
//! The socket is bound with `SO_REUSEADDR` and never listens: the kernel gives its port to nobody
//! who asks for *any* port, refuses connections to it, and still lets a server that sets
//! `SO_REUSEADDR` (all of ours do) listen there. So a dead node's address stays its own.

use super::Place;
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;

/// A reserved port.
#[derive(Debug)]
pub(crate) struct Port {
    addr: SocketAddr,
    _socket: Socket,
}

impl Port {
    /// Reserves a free port on loopback.
    pub(crate) fn reserve() -> Self {
        Self::reserve_at(&Place::loopback())
    }

    /// Reserves a free port there.
    pub(crate) fn reserve_at(place: &Place) -> Self {
        place.inside(|| Self::bind(place))
    }

    fn bind(place: &Place) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("SO_REUSEADDR");
        socket.bind(&SocketAddr::new(place.ip(), 0).into()).expect("a free port");
        let addr = socket.local_addr().expect("bound").as_socket().expect("IPv4");
        Self { addr, _socket: socket }
    }

    /// Where a server may listen.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }
}
