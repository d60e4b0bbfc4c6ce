//! A blocking client over one TCP connection. A hang is a failed read.

use super::{PATIENCE, Value};
use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// One connection; nothing reconnects it.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    /// RESP3 pushes that came before a reply that was waited for.
    pub(crate) pushes: Vec<Value>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> io::Result<Self> {
        Self::connect_within(addr, PATIENCE)
    }

    /// Writes more than the kernel's buffers of a connection take, so that it stays with a primary
    /// whose replica does not read.
    #[track_caller]
    #[allow(dead_code, reason = "the fault matrix does without")]
    pub(crate) fn overfill(&mut self) {
        let value = "x".repeat(1024 * 1024);
        for n in 0..24 {
            assert_eq!(self.call(&["SET", &format!("big:{n}"), &value]), "+OK");
        }
    }

    /// Every later read and write is bounded by `limit` too.
    pub(crate) fn connect_within(addr: SocketAddr, limit: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Self { stream: BufReader::new(stream), pushes: Vec::new() })
    }

    /// Sends one command and gives its reply.
    #[track_caller]
    pub(crate) fn call(&mut self, command: &[&str]) -> Value {
        match self.try_call(command) {
            Ok(reply) => reply,
            Err(error) => panic!("{command:.60?}: {error}"),
        }
    }

    pub(crate) fn try_call(&mut self, command: &[&str]) -> io::Result<Value> {
        self.try_send(&encode(command))?;
        self.try_read()
    }

    /// Sends commands in one write, without reading.
    #[track_caller]
    pub(crate) fn send_all(&mut self, commands: &[&[&str]]) {
        self.send(&commands.iter().flat_map(|it| encode(it)).collect::<Vec<_>>());
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the peer takes it");
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next reply; pushes on the way are kept aside.
    #[track_caller]
    pub(crate) fn read(&mut self) -> Value {
        self.try_read().expect("a reply")
    }

    pub(crate) fn try_read(&mut self) -> io::Result<Value> {
        loop {
            match Value::read(&mut self.stream)? {
                push @ Value::Push(_) => self.pushes.push(push),
                reply => return Ok(reply),
            }
        }
    }

    #[track_caller]
    pub(crate) fn read_n(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.read()).collect()
    }

    /// Another handle of the connection, for a thread that only writes.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("a descriptor")
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish_sending(&self) {
        // Fails if the peer closed first, which the reading side sees better.
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }

    /// Everything up to the end of the connection. A reset is an end too: a server that closes
    /// with unread input causes one, after what it sent.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.stream.read_to_end(&mut all) {
            Ok(_) => all,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => all,
            Err(error) => panic!("not closed ({error}) after {:?}", String::from_utf8_lossy(&all)),
        }
    }

    /// The next frame, whatever it is.
    #[track_caller]
    pub(crate) fn read_any(&mut self) -> Value {
        Value::read(&mut self.stream).expect("a frame")
    }

    /// The next `count` bytes, as text.
    #[track_caller]
    pub(crate) fn read_raw(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("so many bytes");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// All bytes up to `end`, which is taken too.
    #[track_caller]
    pub(crate) fn read_raw_until(&mut self, end: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("more bytes");
            bytes.extend_from_slice(&byte);
        }
        bytes.truncate(bytes.len() - end.len());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether no byte and no end has arrived by now.
    pub(crate) fn is_silent(&self) -> bool {
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).expect("a socket");
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("a socket");
        self.stream.buffer().is_empty()
            && peeked.is_err_and(|it| it.kind() == io::ErrorKind::WouldBlock)
    }
}

/// A command as clients send it: an array of bulk strings.
pub(crate) fn encode(command: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}
