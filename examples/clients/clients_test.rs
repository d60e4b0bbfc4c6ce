//! What is lost is found, and what is not lost is not: against a real server.

use crate::{
    Arguments, Kind, Load,
    book::{self, Book, Outcome, key_of},
    search::mark_lost,
    wire::{Reply, Wire},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Rounds of the slowest kind of client.
const ROUNDS: u64 = 20;

#[test]
fn what_is_gone_is_found_and_nothing_else() {
    let server = Server::start();
    let mut books = server.load(Kind::Mixed);
    for kind in [
        book::Kind::Write,
        book::Kind::Read,
        book::Kind::Transaction,
        book::Kind::Push,
        book::Kind::Pop,
        book::Kind::Publish,
        book::Kind::Message,
    ] {
        let of = books.iter().flat_map(|it| &it.operations).filter(|it| it.kind == kind);
        let done = of.clone().filter(|it| it.outcome == Outcome::Done).count();
        assert!(done > 0 && done == of.count(), "{kind:?}");
    }
    mark_lost(&mut books, server.address).expect("it is searched");
    assert_eq!(lost(&books), []);

    // A key that is gone, one that holds something else, an element that nobody got.
    let mut wire = Wire::connect(server.address).expect("it listens");
    let mut call = |command: &[&str]| wire.call(command, PATIENCE).expect("an answer");
    assert_eq!(call(&["DEL", &key_of(0, 1)]), Reply::Integer(1));
    assert_eq!(call(&["SET", &key_of(2, 2), "other"]), Reply::SimpleString(b"OK".to_vec()));
    let taker = books.iter_mut().find(|it| it.operations.iter().any(|op| is_pop(op, 3)));
    let taker = taker.expect("somebody popped it");
    taker.operations.retain(|it| !is_pop(it, 3));
    mark_lost(&mut books, server.address).expect("it is searched");
    assert_eq!(
        lost(&books),
        [(book::Kind::Write, 1), (book::Kind::Transaction, 2), (book::Kind::Push, 3)]
    );
}

#[test]
fn on_an_empty_node_everything_is_lost() {
    let (server, empty) = (Server::start(), Server::start());
    let mut books = server.load(Kind::Plain);
    mark_lost(&mut books, empty.address).expect("it is searched");
    let writes = books.iter().flat_map(|it| &it.operations);
    let writes = writes.filter(|it| it.kind == book::Kind::Write).count();
    assert_eq!(lost(&books).len(), writes);
}

#[test]
fn a_read_that_misses_an_acknowledged_write_is_stale() {
    let server = Server::start();
    let arguments = server.arguments(Kind::Plain);
    let load = Load::start(&arguments).expect("it listens");
    server.wait_for_rounds(&load);
    let mut wire = Wire::connect(server.address).expect("it listens");
    wire.call(&["FLUSHALL"], PATIENCE).expect("an answer");
    let books = load.stop().expect("no client panics");
    let stale = |it: &Book| it.operations.iter().any(|op| op.outcome == Outcome::Stale);
    assert!(books.iter().any(stale));
}

const fn is_pop(operation: &book::Operation, number: u64) -> bool {
    matches!(operation.kind, book::Kind::Pop) && operation.number == number
}

/// Kind and number of everything that is marked, by client.
fn lost(books: &[Book]) -> Vec<(book::Kind, u64)> {
    let all = books.iter().flat_map(|it| &it.operations);
    all.filter(|it| it.is_lost).map(|it| (it.kind, it.number)).collect()
}

/// A server that ends with the test.
struct Server {
    address: SocketAddr,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        let folder = tempfile::tempdir().expect("a folder");
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let server = Self { address, process, _folder: folder };
        until(|| Wire::connect(address).and_then(|mut it| it.call(&["PING"], PATIENCE)).is_ok());
        server
    }

    const fn arguments(&self, load: Kind) -> Arguments {
        Arguments { address: self.address, load, clients: 10, rate: 1_000 }
    }

    /// What clients wrote down in some rounds.
    fn load(&self, kind: Kind) -> Vec<Book> {
        let load = Load::start(&self.arguments(kind)).expect("it listens");
        self.wait_for_rounds(&load);
        load.stop().expect("no client panics")
    }

    fn wait_for_rounds(&self, load: &Load) {
        let rounds = || load.shared.known.any(2).map_or(0, |(_, number)| number);
        until(|| rounds() >= ROUNDS);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _: io::Result<()> = self.process.kill();
        let _ = self.process.wait();
    }
}

fn until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain");
        thread::park_timeout(Duration::from_millis(10));
    }
}
