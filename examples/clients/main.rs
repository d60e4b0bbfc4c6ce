//! Clients that write down all they see: the load behind `make compare-failover`.
//!
//! ```text
//! stdin    stop              the clients end their last turn; answered by `stopped`
//!          search HOST:PORT  every acknowledged write is looked for there; answered by `searched`
//!          write FILE        the books, a line for each operation; answered by `written`
//! stdout   ready             once every client is connected
//! ```
//!
//! The end of the input ends the program. What happens to the nodes meanwhile, and what the numbers
//! mean, is the business of whoever started it: `benches/compare`.
//!
//! # Deliberately absent
//!
//! Judgement: what is written down here is the same for every system that is compared.

#![allow(clippy::print_stdout, reason = "it talks to the program that started it")]
#![allow(clippy::wildcard_enum_match_arm, reason = "an unexpected reply is one, whatever it is")]

mod book;
mod client;
#[cfg(test)]
mod clients_test;
mod mixed;
mod search;
mod wire;

use book::{Book, Known};
use clap::{Parser, ValueEnum};
use client::{Client, Shared};
use std::{
    error::Error,
    fs::File,
    io::{self, BufWriter, Write as _},
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long those that take may find what is left, once nobody gives any more.
const LEFTOVERS: Duration = Duration::from_millis(300);

/// Clients that write down all they see.
#[derive(Parser)]
struct Arguments {
    /// Where they connect.
    address: SocketAddr,
    #[arg(long, value_enum, default_value_t = Kind::Plain)]
    load: Kind,
    #[arg(long, default_value_t = 20)]
    clients: usize,
    /// Operations a second of all plain clients together; half of them write.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// One command at a time.
    Plain,
    /// Plain, pipelined, transactional, waiting and subscribed clients.
    Mixed,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("failed {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut load = Some(Load::start(arguments)?);
    let mut books = Vec::new();
    say("ready");
    for line in io::stdin().lines() {
        let line = line?;
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match word {
            "stop" => {
                books = load.take().ok_or("stopped already")?.stop()?;
                say("stopped");
            }
            "search" => {
                search::mark_lost(&mut books, rest.parse()?)?;
                say("searched");
            }
            "write" => {
                let mut file = BufWriter::new(File::create(rest)?);
                for book in &books {
                    book.write_to(&mut file)?;
                }
                file.flush()?;
                say("written");
            }
            _ => return Err(format!("what is {word:?}?").into()),
        }
    }
    Ok(())
}

fn say(line: &str) {
    println!("{line}");
    // Nobody is left to be told that nobody listens.
    let _ = io::stdout().flush();
}

struct Load {
    shared: Arc<Shared>,
    first: Vec<JoinHandle<Book>>,
    last: Vec<JoinHandle<Book>>,
}

impl Load {
    fn start(arguments: &Arguments) -> io::Result<Self> {
        let clients = arguments.clients.max(1);
        let shared = Arc::new(Shared {
            address: arguments.address,
            known: Known::of(clients),
            stop: AtomicBool::new(false),
            stop_takers: AtomicBool::new(false),
        });
        let (first, last) = match arguments.load {
            Kind::Mixed => mixed::start(clients, &shared)?,
            Kind::Plain => {
                let each = u32::try_from(clients).unwrap_or(u32::MAX);
                let every = Duration::from_secs(1) * each / arguments.rate.max(1);
                let clients: io::Result<Vec<_>> =
                    (0..clients).map(|id| Client::new(id, &shared)).collect();
                let work = |it: Client| thread::spawn(move || it.work(every, mixed::plain));
                (clients?.into_iter().map(work).collect(), Vec::new())
            }
        };
        Ok(Self { shared, first, last })
    }

    /// Ends those that give, then those that take.
    fn stop(self) -> Result<Vec<Book>, &'static str> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut books = joined(self.first)?;
        if !self.last.is_empty() {
            thread::sleep(LEFTOVERS);
        }
        self.shared.stop_takers.store(true, Ordering::Relaxed);
        books.extend(joined(self.last)?);
        books.sort_by_key(|it| it.client);
        Ok(books)
    }
}

fn joined(threads: Vec<JoinHandle<Book>>) -> Result<Vec<Book>, &'static str> {
    threads.into_iter().map(|it| it.join().map_err(|_| "a client panicked")).collect()
}
