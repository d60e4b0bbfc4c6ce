//! One client: what it has in common with the others, and the pace at which it works.
//!
//! A client whose connection is lost makes a new one at its next turn: the plainest of all ways to
//! reconnect, and the quickest that does not spin.

use crate::{
    book::{Book, Kind, Known, Outcome, key_of, now, value_of},
    wire::{Reply, Wire, text},
};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Longer than Segue holds anything by default: who waits longer was forgotten.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long an answer that is still out may take once the load is to end.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How often a client that waits looks whether it is to end.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What all clients share.
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    pub(crate) known: Known,
    /// Whoever reads, writes, pushes and publishes is to end.
    pub(crate) stop: AtomicBool,
    /// Whoever takes and listens is to end, too.
    pub(crate) stop_takers: AtomicBool,
}

impl Shared {
    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A client at work.
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) book: Book,
    wire: Option<Wire>,
    /// Number of its last write.
    written: u64,
    is_writer: bool,
    reads: usize,
}

impl Client {
    /// Connects.
    pub(crate) fn new(id: usize, shared: &Arc<Shared>) -> io::Result<Self> {
        let wire = Some(Wire::connect(shared.address)?);
        let book = Book { client: id, ..Book::default() };
        // At any moment half of them write: else there were moments without a write, fault or none.
        let is_writer = id % 2 == 1;
        Ok(Self { shared: Arc::clone(shared), book, wire, written: 0, is_writer, reads: id })
    }

    pub(crate) const fn id(&self) -> usize {
        self.book.client
    }

    pub(crate) const fn next_number(&mut self) -> u64 {
        self.written += 1;
        self.written
    }

    /// Takes turns at a steady pace until the load is to end.
    pub(crate) fn work(mut self, every: Duration, mut turn: impl FnMut(&mut Self)) -> Book {
        // Not all at the same moment.
        let share = u32::try_from(self.id() % 20).unwrap_or(0);
        let mut next = Instant::now() + every * share / 20;
        while !self.shared.is_over() {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            turn(&mut self);
            next = (next + every).max(Instant::now());
        }
        self.book
    }

    /// In turn a write and a read.
    pub(crate) const fn next_is_write(&mut self) -> bool {
        self.is_writer = !self.is_writer;
        self.is_writer
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.wire.is_some()
    }

    /// The connection, made again if it was lost.
    pub(crate) fn wire(&mut self) -> Result<&mut Wire, Outcome> {
        if self.wire.is_none() {
            let wire = Wire::connect(self.shared.address);
            self.wire = Some(wire.map_err(|_| Outcome::Broken("no-connection"))?);
        }
        self.wire.as_mut().ok_or(Outcome::Broken("no-connection"))
    }

    /// Sends a pipeline, over a new connection if the old one was lost.
    pub(crate) fn send(&mut self, commands: &[&[&str]]) -> Result<(), Outcome> {
        let sent = self.wire()?.send(commands);
        sent.map_err(|error| self.lose(&error))
    }

    /// The next reply to it. Without one the connection is given up.
    pub(crate) fn receive(&mut self) -> Result<Reply, Outcome> {
        let begun = Instant::now();
        let mut over: Option<Instant> = None;
        loop {
            match self.wire()?.receive(LOOK_EVERY) {
                Ok(reply) => return Ok(reply),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    if self.shared.is_over() && over.is_none() {
                        over = Some(Instant::now());
                    }
                    let is_last = over.is_some_and(|it| it.elapsed() >= LAST_ANSWER_WITHIN);
                    if is_last || begun.elapsed() >= ANSWER_WITHIN {
                        return Err(self.lose(&error));
                    }
                }
                Err(error) => return Err(self.lose(&error)),
            }
        }
    }

    pub(crate) fn call(&mut self, command: &[&str]) -> Result<Reply, Outcome> {
        self.send(&[command])?;
        self.receive()
    }

    /// Gives the connection up.
    pub(crate) fn lose(&mut self, error: &io::Error) -> Outcome {
        self.wire = None;
        Outcome::broken(error)
    }

    /// So many writes and so many reads in one pipeline, each written down.
    pub(crate) fn turn(&mut self, writes: usize, reads: usize) {
        let writes: Vec<_> = (0..writes).map(|_| self.next_number()).collect();
        let reads: Vec<_> = (0..reads)
            .filter_map(|_| {
                self.reads += 1;
                self.shared.known.any(self.reads)
            })
            .collect();
        let keys: Vec<_> = writes.iter().map(|it| key_of(self.id(), *it)).collect();
        let values: Vec<_> = keys.iter().map(|it| value_of(it)).collect();
        let read_keys: Vec<_> = reads.iter().map(|(who, it)| key_of(*who, *it)).collect();
        let sets = keys.iter().zip(&values).map(|(key, value)| vec!["SET", key, value]);
        let commands: Vec<_> = sets.chain(read_keys.iter().map(|it| vec!["GET", it])).collect();
        let commands: Vec<_> = commands.iter().map(Vec::as_slice).collect();

        let sent = now();
        let mut failed = self.send(&commands).err();
        for number in writes {
            let outcome = self.answer(&mut failed, |reply| match reply {
                Reply::SimpleString(it) if it == b"OK" => Outcome::Done,
                Reply::Error(it) => Outcome::refused(it),
                _ => Outcome::Wrong,
            });
            if outcome == Outcome::Done {
                self.shared.known.set(self.id(), number);
            }
            self.book.note(Kind::Write, number, sent, outcome);
        }
        for ((_, number), key) in reads.into_iter().zip(read_keys) {
            let outcome = self.answer(&mut failed, |reply| match reply {
                Reply::Null => Outcome::Stale,
                Reply::Error(it) => Outcome::refused(it),
                it if text(it) == Some(value_of(&key)) => Outcome::Done,
                _ => Outcome::Wrong,
            });
            self.book.note(Kind::Read, number, sent, outcome);
        }
    }

    /// What became of the next command of a pipeline; with the connection, all that follow fail.
    fn answer(
        &mut self,
        failed: &mut Option<Outcome>,
        judge: impl FnOnce(&Reply) -> Outcome,
    ) -> Outcome {
        if let Some(outcome) = failed {
            return outcome.clone();
        }
        match self.receive() {
            Ok(reply) => judge(&reply),
            Err(outcome) => failed.insert(outcome).clone(),
        }
    }
}
