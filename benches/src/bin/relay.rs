//! Floor program: copies bytes between each client and a connection of its own to the node.
//!
//! `relay LISTEN_PORT NODE_PORT [--splice]`
//!
//! One thread, one `read` and one `write` an event. With `--splice` the node's bytes stay in the
//! kernel; what clients send is small and is copied all the same.
//!
//! Deliberately absent: half-closed connections, time-outs, limits, logs.

use rustix::event::epoll::{Event, EventFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use segue_bench::floor::{Backlog, Got, Poller, accept, connect, listen};
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

const LISTENER: u64 = u64::MAX;
const READ_MAX: usize = 64 * 1024;
/// What Linux lets everybody have.
const PIPE_BYTES: usize = 1024 * 1024;
const CLIENT: usize = 0;
const NODE: usize = 1;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let port = |index: usize| args.get(index).and_then(|it| it.parse().ok());
    let (Some(own), Some(node)) = (port(0), port(1)) else {
        return Err(io::Error::other("usage: relay LISTEN_PORT NODE_PORT [--splice]"));
    };
    let splices = args.get(2).is_some_and(|it| it == "--splice");
    Relay { poller: Poller::new()?, node, splices, pairs: Vec::new(), free: Vec::new() }
        .run(&listen(own)?)
}

struct Relay {
    poller: Poller,
    node: u16,
    splices: bool,
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
}

struct Pair {
    /// Client, node.
    streams: [TcpStream; 2],
    /// What each of them did not take yet.
    backlogs: [Backlog; 2],
    /// For bytes from the node to the client.
    pipe: Option<Pipe>,
}

struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    filled: usize,
}

impl Relay {
    fn run(mut self, listener: &TcpListener) -> io::Result<()> {
        self.poller.add(listener, LISTENER, EventFlags::IN)?;
        let mut events: Vec<Event> = Vec::new();
        let mut scratch = vec![0; READ_MAX];
        loop {
            self.poller.wait(&mut events)?;
            for event in &events {
                let (token, flags) = (event.data.u64(), event.flags);
                if token == LISTENER {
                    while let Some(client) = accept(listener)? {
                        self.open(client)?;
                    }
                } else if self.on_event(token, flags, &mut scratch).is_err() {
                    self.close(token);
                }
            }
        }
    }

    fn open(&mut self, client: TcpStream) -> io::Result<()> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.pairs.push(None);
            self.pairs.len() - 1
        });
        let streams = [client, connect(self.node)?];
        for (side, stream) in streams.iter().enumerate() {
            self.poller.add(stream, token_of(index, side), EventFlags::IN)?;
        }
        let pipe = if self.splices { Some(Pipe::new()?) } else { None };
        self.pairs[index] = Some(Pair { streams, backlogs: Default::default(), pipe });
        Ok(())
    }

    fn close(&mut self, token: u64) {
        let index = (token / 2) as usize;
        if self.pairs[index].take().is_some() {
            self.free.push(index);
        }
    }

    /// Moves bytes; an error ends the pair.
    fn on_event(&mut self, token: u64, flags: EventFlags, scratch: &mut [u8]) -> io::Result<()> {
        let (index, side) = ((token / 2) as usize, (token % 2) as usize);
        // An event of a pair that ended in this very turn.
        let Some(pair) = &mut self.pairs[index] else { return Ok(()) };
        let writes = flags.contains(EventFlags::OUT);
        let (from, to) = if writes { (1 - side, side) } else { (side, 1 - side) };
        let is_stuck = if pair.pipe.is_some() && from == NODE {
            pair.splice(!writes)?
        } else {
            pair.copy(from, !writes, scratch)?
        };
        // Only a sink that was stuck is waited for.
        if writes != is_stuck {
            // Who cannot be written to is waited for; who fills it is not read meanwhile.
            let (source, sink) = if is_stuck {
                (EventFlags::empty(), EventFlags::OUT)
            } else {
                (EventFlags::IN, EventFlags::IN)
            };
            self.poller.modify(&pair.streams[from], token_of(index, from), source)?;
            self.poller.modify(&pair.streams[to], token_of(index, to), sink)?;
        }
        Ok(())
    }
}

impl Pair {
    /// Copies from one side to the other; whether the other is stuck now.
    fn copy(&mut self, from: usize, reads: bool, scratch: &mut [u8]) -> io::Result<bool> {
        let to = 1 - from;
        let backlog = &mut self.backlogs[to];
        if reads {
            match Got::from((&self.streams[from]).read(scratch)) {
                Got::Bytes(n) => backlog.write(&self.streams[to], &scratch[..n])?,
                Got::Nothing => {}
                Got::End => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        } else {
            backlog.flush(&self.streams[to])?;
        }
        Ok(!backlog.is_empty())
    }

    /// Moves from the node to the client inside the kernel; whether the client is stuck now.
    fn splice(&mut self, reads: bool) -> io::Result<bool> {
        let Some(pipe) = &mut self.pipe else { return Ok(false) };
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        if reads {
            match splice(&self.streams[NODE], None, &pipe.writer, None, PIPE_BYTES, flags) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => pipe.filled += n,
                Err(Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        while pipe.filled > 0 {
            match splice(&pipe.reader, None, &self.streams[CLIENT], None, pipe.filled, flags) {
                Ok(n) => pipe.filled -= n,
                Err(Errno::AGAIN) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Only speed is lost if the user has no room for it.
        let _size = fcntl_setpipe_size(&writer, PIPE_BYTES);
        Ok(Self { reader, writer, filled: 0 })
    }
}

const fn token_of(index: usize, side: usize) -> u64 {
    (index * 2 + side) as u64
}
