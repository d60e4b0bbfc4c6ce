//! Floor program: pipelines the requests of all clients over one connection to the node.
//!
//! `mux LISTEN_PORT NODE_PORT`
//!
//! ```text
//! clients --read--> whole frames --> outgoing --one write a turn--> node
//! clients <--write-- the queue says whose each reply is <--read---- node
//! ```
//!
//! One thread. A turn of the loop reads each client that has something once, writes to the node
//! once, and gives neighbouring replies for one client to it in one write. Replies are passed on as
//! they come, whole or not.
//!
//! Deliberately absent: inline requests, commands that bind a session to its connection, limits,
//! time-outs, logs, and any check of what clients send.

use rustix::event::epoll::{Event, EventFlags};
use segue_bench::floor::{Backlog, Got, Poller, accept, connect, listen};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};

const LISTENER: u64 = u64::MAX;
const NODE: u64 = u64::MAX - 1;
const READ_MAX: usize = 256 * 1024;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let port = |index: usize| args.get(index).and_then(|it| it.parse().ok());
    let (Some(own), Some(node)) = (port(0), port(1)) else {
        return Err(io::Error::other("usage: mux LISTEN_PORT NODE_PORT"));
    };
    Mux::new(connect(node)?)?.run(&listen(own)?)
}

struct Mux {
    poller: Poller,
    /// By number; numbers are not used again, so a late reply finds nobody.
    clients: Vec<Option<Client>>,
    node: TcpStream,
    outgoing: Backlog,
    node_is_stuck: bool,
    /// Whose replies come next, and how many of them in a row.
    queue: VecDeque<(usize, u64)>,
    replies: Frames,
}

struct Client {
    stream: TcpStream,
    /// The beginning of a request.
    partial: Vec<u8>,
    requests: Frames,
    backlog: Backlog,
    is_stuck: bool,
}

impl Mux {
    fn new(node: TcpStream) -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            clients: Vec::new(),
            node,
            outgoing: Backlog::default(),
            node_is_stuck: false,
            queue: VecDeque::new(),
            replies: Frames::default(),
        })
    }

    fn run(mut self, listener: &TcpListener) -> io::Result<()> {
        self.poller.add(listener, LISTENER, EventFlags::IN)?;
        self.poller.add(&self.node, NODE, EventFlags::IN)?;
        let mut events: Vec<Event> = Vec::new();
        let mut scratch = vec![0; READ_MAX];
        loop {
            self.poller.wait(&mut events)?;
            for event in &events {
                let (token, flags) = (event.data.u64(), event.flags);
                match token {
                    LISTENER => self.accept_all(listener)?,
                    NODE if flags.contains(EventFlags::IN) => self.read_node(&mut scratch)?,
                    NODE => {}
                    _ => self.on_client(token as usize, flags, &mut scratch),
                }
            }
            self.write_node()?;
        }
    }

    fn accept_all(&mut self, listener: &TcpListener) -> io::Result<()> {
        while let Some(stream) = accept(listener)? {
            self.poller.add(&stream, self.clients.len() as u64, EventFlags::IN)?;
            self.clients.push(Some(Client::new(stream)));
        }
        Ok(())
    }

    fn on_client(&mut self, id: usize, flags: EventFlags, scratch: &mut [u8]) {
        let Some(client) = &mut self.clients[id] else { return };
        let went_well = if flags.contains(EventFlags::OUT) {
            client.flush(&self.poller, id).is_ok()
        } else {
            match client.read(scratch, &mut self.outgoing) {
                Some(0) => true,
                Some(requests) => {
                    match self.queue.back_mut() {
                        Some((last, replies)) if *last == id => *replies += requests,
                        _ => self.queue.push_back((id, requests)),
                    }
                    true
                }
                None => false,
            }
        };
        if !went_well {
            self.clients[id] = None;
        }
    }

    fn read_node(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        let n = match Got::from((&self.node).read(scratch)) {
            Got::Bytes(n) => n,
            Got::Nothing => return Ok(()),
            Got::End => return Err(io::ErrorKind::ConnectionReset.into()),
        };
        let input = &scratch[..n];
        let (mut start, mut at) = (0, 0);
        while at < n {
            let (used, complete) = self.replies.scan(&input[at..]);
            at += used;
            let Some((id, left)) = self.queue.front_mut() else { return Ok(()) };
            let id = *id;
            if complete {
                *left -= 1;
                if *left > 0 && at < n {
                    continue;
                }
                if *left == 0 {
                    self.queue.pop_front();
                }
            }
            self.deliver(id, &input[start..at]);
            start = at;
        }
        Ok(())
    }

    fn deliver(&mut self, id: usize, replies: &[u8]) {
        let Some(client) = &mut self.clients[id] else { return };
        if client.deliver(&self.poller, id, replies).is_err() {
            self.clients[id] = None;
        }
    }

    fn write_node(&mut self) -> io::Result<()> {
        if !self.outgoing.is_empty() {
            self.outgoing.flush(&self.node)?;
        }
        let is_stuck = !self.outgoing.is_empty();
        if is_stuck != self.node_is_stuck {
            self.node_is_stuck = is_stuck;
            self.poller.modify(&self.node, NODE, interest(is_stuck) | EventFlags::IN)?;
        }
        Ok(())
    }
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        let (requests, backlog) = (Frames::default(), Backlog::default());
        Self { stream, partial: Vec::new(), requests, backlog, is_stuck: false }
    }

    /// Reads once and passes whole requests on; how many these were, or `None` at the end.
    fn read(&mut self, scratch: &mut [u8], outgoing: &mut Backlog) -> Option<u64> {
        let n = match Got::from((&self.stream).read(scratch)) {
            Got::Bytes(n) => n,
            Got::Nothing => return Some(0),
            Got::End => return None,
        };
        let input = &scratch[..n];
        let (mut at, mut whole, mut requests) = (0, 0, 0);
        while at < n {
            let (used, complete) = self.requests.scan(&input[at..]);
            at += used;
            if complete {
                whole = at;
                requests += 1;
            }
        }
        if requests > 0 {
            outgoing.push(&self.partial);
            outgoing.push(&input[..whole]);
            self.partial.clear();
        }
        self.partial.extend_from_slice(&input[whole..]);
        Some(requests)
    }

    fn deliver(&mut self, poller: &Poller, id: usize, replies: &[u8]) -> io::Result<()> {
        self.backlog.write(&self.stream, replies)?;
        self.watch(poller, id)
    }

    fn flush(&mut self, poller: &Poller, id: usize) -> io::Result<()> {
        self.backlog.flush(&self.stream)?;
        self.watch(poller, id)
    }

    /// A client that does not read is not read either.
    fn watch(&mut self, poller: &Poller, id: usize) -> io::Result<()> {
        let is_stuck = !self.backlog.is_empty();
        if is_stuck != self.is_stuck {
            self.is_stuck = is_stuck;
            poller.modify(&self.stream, id as u64, interest(is_stuck))?;
        }
        Ok(())
    }
}

const fn interest(is_stuck: bool) -> EventFlags {
    if is_stuck { EventFlags::OUT } else { EventFlags::IN }
}

/// Finds the ends of frames, RESP2 requests and replies alike, and resumes at any byte.
#[derive(Default)]
struct Frames {
    /// Elements of the frame that are not complete; 0 between frames.
    left: u64,
    /// Bytes of a payload and its line end that are still to come.
    skip: usize,
    /// The type of the header being read; 0 between headers.
    marker: u8,
    number: i64,
    negative: bool,
}

impl Frames {
    /// How many bytes belong to the frame, and whether it is complete with them.
    fn scan(&mut self, input: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < input.len() {
            if self.skip > 0 {
                let step = self.skip.min(input.len() - at);
                self.skip -= step;
                at += step;
                if self.skip > 0 {
                    break;
                }
                self.left -= 1;
            } else {
                let byte = input[at];
                at += 1;
                if self.header(byte) && self.skip > 0 {
                    continue;
                }
            }
            if self.left == 0 && self.marker == 0 {
                return (at, true);
            }
        }
        (at, false)
    }

    /// Takes one byte of a header; whether that was its last.
    fn header(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.marker == 0 => {
                self.left += u64::from(self.left == 0);
                (self.marker, self.number, self.negative) = (byte, 0, false);
            }
            b'\n' => {
                match (self.marker, self.negative) {
                    (b'$', false) => self.skip = self.number as usize + 2,
                    (b'*', false) => self.left = self.left - 1 + self.number as u64,
                    _ => self.left -= 1,
                }
                self.marker = 0;
                return true;
            }
            b'-' => self.negative = true,
            b'0'..=b'9' => self.number = self.number.wrapping_mul(10) + i64::from(byte - b'0'),
            _ => {}
        }
        false
    }
}
