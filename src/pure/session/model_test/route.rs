//! Small parts of the modelled world: the route of a moment, and how many requests some bytes are.

use crate::pure::resp::request;
use crate::pure::topology::{Epoch, Gate, NodeId, Primary, Route, RunId};
use std::net::{Ipv4Addr, SocketAddr};

pub(super) fn count_requests(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let request::Scan::Frame { len } =
        request::Scanner::new(request::Limits::DEFAULT).scan(bytes)
    {
        bytes = &bytes[len..];
        count += 1;
    }
    assert!(bytes.is_empty(), "half a request on a shared connection");
    count
}

pub(super) fn route(version: u64, epoch: u64, primary: Option<usize>) -> Route {
    let gate = primary.map_or(Gate::Held, |index| {
        let index = u16::try_from(index).unwrap();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 7_000 + index));
        let process = RunId::parse(&"a".repeat(40)).unwrap();
        Gate::Open(Primary { node: NodeId(index), addr, process })
    });
    Route { version, epoch: Epoch(epoch), gate, handed_over: false }
}
