//! One client: what it says, drawn from its seed, and what it must be told.
//!
//! Its keys are its own and it knows what is in them, so every reply is known to the byte before it
//! comes. What may or may not be done (commands of a connection that is cut) only reads, or writes to
//! a key that nobody reads.

use super::value;
use super::wire::{Batch, Manner, Reply, Wire, bulk};
use crate::harness::{Random, Value, eventually};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

const DATABASES: u64 = 3;
/// Keys of each kind of a client, in each database.
const KEYS: u64 = 4;

/// Requests that need no reader to be sent.
const SMALL_MAX: usize = 32 * 1024;

/// Large replies that a slow reader asks for at once: more than the kernel's buffers take.
const UNREAD: usize = 16;

type Told = Result<(), String>;

/// A client and all it knows.
pub(super) struct Talk {
    id: u64,
    addr: SocketAddr,
    pub(super) random: Random,
    wire: Wire,
    /// What the connection is set to.
    db: u64,
    resp3: bool,
    /// By database and number.
    values: BTreeMap<(u64, u64), Vec<u8>>,
    fields: BTreeMap<u64, Vec<u8>>,
    counts: BTreeMap<u64, u64>,
    /// How many values it has made.
    made: u64,
}

impl Talk {
    pub(super) fn new(addr: SocketAddr, id: u64, seed: u64) -> Self {
        Self {
            id,
            addr,
            random: Random(seed.wrapping_mul(0x1_0000).wrapping_add(id)),
            wire: Wire::connect(addr),
            db: 0,
            resp3: false,
            values: BTreeMap::new(),
            fields: BTreeMap::new(),
            counts: BTreeMap::new(),
            made: 0,
        }
    }

    /// Goes on with the conversation by one step; its name, and whether all was as it must be.
    pub(super) fn step(&mut self) -> (&'static str, Told) {
        match self.random.below(28) {
            0..10 => ("pipeline", self.pipeline()),
            10..13 => ("settings", self.settings()),
            13..15 => ("transaction", self.transaction()),
            15 => ("aborted transaction", self.aborted()),
            16..18 => ("large", self.large()),
            18..20 => ("pop", self.pop()),
            20..22 => ("messages", self.messages()),
            22 => ("script", self.script()),
            23 => ("silence", self.silence()),
            24 => ("unread", self.unread()),
            _ => ("end", self.end()),
        }
    }

    /// Ends the last session properly, after a look at what there is.
    pub(super) fn finish(mut self) -> Told {
        let mut batch = Batch::default();
        self.some(&mut batch, 20);
        batch.add(&[b"QUIT"], *b"+OK\r\n");
        self.wire.hold(&batch, Manner::PLAIN)?;
        self.wire.expect_end()
    }

    fn key(&self, n: u64) -> Vec<u8> {
        format!("k\r\n{}:{n}", self.id).into_bytes()
    }

    fn own(&self, what: &str) -> Vec<u8> {
        format!("{what}:{}", self.id).into_bytes()
    }

    /// A value that nobody else ever has, of about `length` bytes.
    fn value_of(&mut self, length: usize) -> Vec<u8> {
        self.made += 1;
        value::of(&mut self.random, &format!("{}.{}", self.id, self.made), length)
    }

    fn value(&mut self) -> Vec<u8> {
        let length = self.random.pick(&[0, 0, 1, 20, 20, 200, 3_000, 10_000]);
        self.value_of(length)
    }

    fn null(&self) -> &'static [u8] {
        if self.resp3 { b"_\r\n" } else { b"$-1\r\n" }
    }

    fn stored(&self, n: u64) -> Vec<u8> {
        self.values.get(&(self.db, n)).map_or_else(|| self.null().to_vec(), |it| bulk(it))
    }

    /// One command that a transaction may hold, too, and whose reply differs from anybody else's.
    fn plain(&mut self, batch: &mut Batch) {
        let n = self.random.below(KEYS);
        let key = self.key(n);
        match self.random.below(8) {
            0 | 1 => batch.add(&[b"GET", &key], self.stored(n)),
            2 => {
                let value = self.value();
                batch.add(&[b"SET", &key, &value], *b"+OK\r\n");
                self.values.insert((self.db, n), value);
            }
            3 => {
                let value = self.value();
                batch.add(&[b"SET", &key, &value, b"GET"], self.stored(n));
                self.values.insert((self.db, n), value);
            }
            4 => {
                let by = 1009 * (self.id + 1);
                let count = self.counts.entry(self.db).or_default();
                *count += by;
                let reply = format!(":{count}\r\n");
                let key = self.own("count");
                batch.add(&[b"INCRBY", &key, by.to_string().as_bytes()], reply);
            }
            5 => {
                let keys: Vec<_> = (0..KEYS).map(|it| self.key(it)).collect();
                let words: Vec<&[u8]> =
                    [&b"MGET"[..]].into_iter().chain(keys.iter().map(Vec::as_slice)).collect();
                let stored: Vec<_> = (0..KEYS).flat_map(|it| self.stored(it)).collect();
                batch.add(&words, [format!("*{KEYS}\r\n").as_bytes(), &stored].concat());
            }
            6 => {
                let (key, value) = (self.own("hash"), self.value());
                let known = self.fields.insert(self.db, value.clone()).is_some();
                batch.add(&[b"HSET", &key, b"f", &value], format!(":{}\r\n", u8::from(!known)));
                let head: &[u8] = if self.resp3 { b"%1\r\n" } else { b"*2\r\n" };
                batch.add(&[b"HGETALL", &key], [head, &bulk(b"f"), &bulk(&value)].concat());
            }
            _ => {
                let value = self.value();
                batch.add(&[b"ECHO", &value], bulk(&value));
            }
        }
    }

    /// So many commands in a row.
    fn some(&mut self, batch: &mut Batch, count: u64) {
        for _ in 0..count {
            self.plain(batch);
            if self.random.once_in(12) {
                let wrong = b"-ERR wrong number of arguments for 'get' command\r\n";
                batch.add(&[b"GET"], *wrong);
            }
        }
    }

    /// Sends in one manner or another, and compares.
    fn say(&mut self, batch: Batch) -> Told {
        if batch.0.len() <= 16 && self.random.once_in(4) {
            for one in batch.0 {
                self.wire.hold(&Batch(vec![one]), Manner::PLAIN)?;
            }
            return Ok(());
        }
        if self.random.once_in(4) {
            return self.say_in_two(batch);
        }
        let mut manner = Manner::PLAIN;
        if self.random.once_in(3) {
            let length = batch.0.iter().map(|it| it.0.len()).sum::<usize>();
            // Each write is a packet, of which there should not be too many.
            manner.piece = self.random.pick(&[1, 7, 100, 5_000]).max(length / 200).max(1);
        }
        if self.random.once_in(8) {
            manner.idle = Duration::from_millis(self.random.below(20));
        }
        self.wire.hold(&batch, manner)
    }

    /// The rest is sent while the first part may wait for a connection, or for the primary.
    fn say_in_two(&mut self, mut batch: Batch) -> Told {
        let rest = Batch(batch.0.split_off(self.random.below(batch.0.len() as u64) as usize));
        if batch.bytes().len() > SMALL_MAX {
            self.wire.hold(&batch, Manner::PLAIN)?;
            return self.wire.hold(&rest, Manner::PLAIN);
        }
        self.wire.send(&batch.bytes(), usize::MAX);
        thread::park_timeout(Duration::from_millis(self.random.below(6)));
        self.wire.hold_after(&batch, &rest)
    }

    fn pipeline(&mut self) -> Told {
        let mut batch = Batch::default();
        let depth = self.random.pick(&[1, 1, 2, 3, 8, 16, 64, 150]);
        self.some(&mut batch, depth);
        self.say(batch)
    }

    /// Changes what the session is, in the middle of a pipeline.
    fn settings(&mut self) -> Told {
        let mut batch = Batch::default();
        for _ in 0..=self.random.below(3) {
            let before = self.random.below(3);
            self.some(&mut batch, before);
            if self.random.once_in(2) {
                self.resp3 = !self.resp3;
                let proto = if self.resp3 { "3" } else { "2" };
                let hello = super::wire::encode(&[b"HELLO", proto.as_bytes()]);
                batch.0.push((hello, Reply::Hello(if self.resp3 { 3 } else { 2 })));
            } else {
                self.db = self.random.below(DATABASES);
                batch.add(&[b"SELECT", self.db.to_string().as_bytes()], *b"+OK\r\n");
            }
            self.some(&mut batch, 2);
        }
        self.say(batch)
    }

    fn transaction(&mut self) -> Told {
        let mut batch = Batch::default();
        let before = self.random.pick(&[0, 0, 1, 5]);
        self.some(&mut batch, before);
        batch.add(&[b"MULTI"], *b"+OK\r\n");
        let mut inside = Batch::default();
        for _ in 0..self.random.below(6) {
            self.plain(&mut inside);
        }
        let mut all = format!("*{}\r\n", inside.0.len()).into_bytes();
        for (command, reply) in inside.0 {
            let Reply::Exactly(bytes) = reply else { unreachable!("no HELLO inside") };
            all.extend_from_slice(&bytes);
            batch.0.push((command, Reply::Exactly(b"+QUEUED\r\n".to_vec())));
        }
        batch.add(&[b"EXEC"], all);
        let behind = self.random.below(4);
        self.some(&mut batch, behind);
        self.say(batch)
    }

    fn aborted(&mut self) -> Told {
        let key = self.key(0);
        let mut batch = Batch::default();
        batch.add(&[b"MULTI"], *b"+OK\r\n");
        batch.add(&[b"SET", &key, b"not done"], *b"+QUEUED\r\n");
        if self.random.once_in(2) {
            batch.add(&[b"DISCARD"], *b"+OK\r\n");
        } else {
            batch.add(&[b"GET"], *b"-ERR wrong number of arguments for 'get' command\r\n");
            let aborted = b"-EXECABORT Transaction discarded because of previous errors.\r\n";
            batch.add(&[b"EXEC"], *aborted);
        }
        batch.add(&[b"GET", &key], self.stored(0));
        self.say(batch)
    }

    /// A value for which the session leaves its shared connection.
    fn large(&mut self) -> Told {
        let mut batch = Batch::default();
        let n = self.random.below(KEYS);
        let (key, length) = (self.key(n), self.random.pick(&[60, 70, 130, 300]) * 1024);
        let value = self.value_of(length);
        let echo = self.value();
        batch.add(&[b"SET", &key, &value], *b"+OK\r\n");
        self.values.insert((self.db, n), value);
        for _ in 0..=self.random.below(2) {
            batch.add(&[b"GET", &key], self.stored(n));
            batch.add(&[b"ECHO", &echo], bulk(&echo));
        }
        // Small again, so that not every later read of it is large.
        batch.add(&[b"SET", &key, &echo], *b"+OK\r\n");
        self.values.insert((self.db, n), echo);
        self.say(batch)
    }

    /// Asks on a new session for much more than is read for a while, and reads it then, or never.
    fn unread(&mut self) -> Told {
        let key = self.key(0);
        let value = self.value_of(300 * 1024);
        let mut batch = Batch::default();
        batch.add(&[b"SELECT", b"0"], *b"+OK\r\n");
        batch.add(&[b"SET", &key, &value], *b"+OK\r\n");
        self.wire.hold(&batch, Manner::PLAIN)?;
        self.db = 0;
        let mut batch = Batch::default();
        for _ in 0..UNREAD {
            batch.add(&[b"GET", &key], bulk(&value));
        }
        let mut reader = Wire::connect(self.addr);
        let idle = Duration::from_millis(20);
        if self.random.once_in(2) {
            reader.send(&batch.bytes(), usize::MAX);
            thread::park_timeout(idle);
            reader.reset();
        } else {
            reader.hold(&batch, Manner { idle, ..Manner::PLAIN })?;
        }
        let mut batch = Batch::default();
        batch.add(&[b"SET", &key, b"small"], *b"+OK\r\n");
        self.values.insert((0, 0), b"small".to_vec());
        self.wire.hold(&batch, Manner::PLAIN)
    }

    /// Waits for what another connection gives, or for nothing.
    fn pop(&mut self) -> Told {
        let (queue, value, echo) = (self.own("queue"), self.value(), self.value());
        let mut batch = Batch::default();
        if self.random.once_in(3) {
            let none: &[u8] = if self.resp3 { b"_\r\n" } else { b"*-1\r\n" };
            batch.add(&[b"BLPOP", &queue, b"0.01"], none);
            self.plain(&mut batch);
            return self.say(batch);
        }
        let before = self.random.below(3);
        self.some(&mut batch, before);
        batch.add(&[b"BLPOP", &queue, b"0"], [b"*2\r\n", &*bulk(&queue), &bulk(&value)].concat());
        batch.add(&[b"ECHO", &echo], bulk(&echo));
        let mut giving = Batch::default();
        let db = self.db.to_string();
        giving.add(&[b"SELECT", db.as_bytes()], *b"+OK\r\n");
        giving.add(&[b"RPUSH", &queue, &value], *b":1\r\n");
        let mut giver = Wire::connect(self.addr);
        if self.random.once_in(3) {
            giver.hold(&giving, Manner::PLAIN)?;
            return self.wire.hold(&batch, Manner::PLAIN);
        }
        self.wire.send(&batch.bytes(), usize::MAX);
        giver.hold(&giving, Manner::PLAIN).map_err(|it| format!("the giver: {it}"))?;
        self.wire.expect_all(&batch)
    }

    /// A frame of the publishing side: a push where there are pushes.
    fn push(&self, items: &[&[u8]]) -> Vec<u8> {
        let mark = if self.resp3 { '>' } else { '*' };
        [format!("{mark}{}\r\n", items.len()).as_bytes(), &items.concat()].concat()
    }

    fn messages(&mut self) -> Told {
        let (channel, echo) = (self.own("channel\r\n>"), self.value());
        let name = bulk(&channel);
        let mut batch = Batch::default();
        let before = self.random.below(3);
        self.some(&mut batch, before);
        let subscribed = self.push(&[&bulk(b"subscribe"), &name, b":1\r\n"]);
        batch.add(&[b"SUBSCRIBE", &channel], subscribed);
        let pong: &[u8] = if self.resp3 { b"+PONG\r\n" } else { b"*2\r\n$4\r\npong\r\n$0\r\n\r\n" };
        batch.add(&[b"PING"], pong);
        self.wire.hold(&batch, Manner::PLAIN)?;
        let mut speaker = Wire::connect(self.addr);
        for _ in 0..=self.random.below(3) {
            let message = self.value();
            let publish = super::wire::encode(&[b"PUBLISH", &channel, &message]);
            // Nobody hears it while the subscription is being restored: then it is said again.
            let heard = eventually("somebody hears it", || {
                speaker.send(&publish, usize::MAX);
                let count = speaker.value();
                (count != Ok(Value::Integer(0))).then_some(count)
            });
            if heard != Ok(Value::Integer(1)) {
                return Err(format!("PUBLISH answers {heard:?}"));
            }
            let frame = self.push(&[&bulk(b"message"), &name, &bulk(&message)]);
            self.wire.expect(&frame).map_err(|it| format!("the message: {it}"))?;
        }
        let mut batch = Batch::default();
        let unsubscribed = self.push(&[&bulk(b"unsubscribe"), &name, b":0\r\n"]);
        batch.add(&[b"UNSUBSCRIBE", &channel], unsubscribed);
        batch.add(&[b"ECHO", &echo], bulk(&echo));
        self.wire.hold(&batch, Manner::PLAIN)
    }

    fn script(&mut self) -> Told {
        let (n, value) = (self.random.below(KEYS), self.value());
        let key = self.key(n);
        let mut batch = Batch::default();
        let before = self.random.below(3);
        self.some(&mut batch, before);
        let body = b"return {ARGV[1], redis.call('GET', KEYS[1])}";
        let reply = [b"*2\r\n", &*bulk(&value), &self.stored(n)].concat();
        batch.add(&[b"EVAL", body, b"1", &key, &value], reply);
        let body = b"return redis.call('SET', KEYS[1], ARGV[1])";
        batch.add(&[b"EVAL", body, b"1", &key, &value], *b"+OK\r\n");
        self.values.insert((self.db, n), value);
        self.some(&mut batch, 2);
        self.say(batch)
    }

    /// Commands without a reply.
    fn silence(&mut self) -> Told {
        let value = self.value();
        let mut batch = Batch::default();
        self.plain(&mut batch);
        batch.add(&[b"CLIENT", b"REPLY", b"SKIP"], *b"");
        batch.add(&[b"SET", &self.key(1), &value], *b"");
        self.values.insert((self.db, 1), value.clone());
        self.plain(&mut batch);
        batch.add(&[b"CLIENT", b"REPLY", b"OFF"], *b"");
        batch.add(&[b"ECHO", &value], *b"");
        batch.add(&[b"CLIENT", b"REPLY", b"ON"], *b"+OK\r\n");
        self.plain(&mut batch);
        self.say(batch)
    }

    /// Begins another session, and ends this one in one of the ways there are.
    fn end(&mut self) -> Told {
        let wire = std::mem::replace(&mut self.wire, Wire::connect(self.addr));
        let told = match self.random.below(6) {
            0 => self.quit(wire),
            1 => self.half_close(wire),
            _ => self.hang_up(wire),
        };
        (self.db, self.resp3) = (0, false);
        told
    }

    fn quit(&mut self, mut wire: Wire) -> Told {
        let mut batch = Batch::default();
        self.some(&mut batch, 2);
        batch.add(&[b"QUIT"], *b"+OK\r\n");
        wire.hold(&batch, Manner::PLAIN)?;
        wire.expect_end()
    }

    /// What was sent is answered, though nothing more is to come; what is held at that moment is not.
    fn half_close(&mut self, mut wire: Wire) -> Told {
        let mut batch = Batch::default();
        let depth = self.random.pick(&[1, 4, 30]);
        for _ in 0..depth {
            batch.add(&[b"ECHO", b"half"], bulk(b"half"));
            batch.add(&[b"GET", &self.key(2)], self.stored(2));
        }
        wire.send(&batch.bytes(), usize::MAX);
        wire.finish_sending();
        wire.expect_some(&batch)
    }

    /// In the middle of something, by a reset or not, some replies having been read.
    fn hang_up(&mut self, wire: Wire) -> Told {
        let mut batch = Batch::default();
        for _ in 0..self.random.pick(&[0, 1, 10, 50]) {
            let n = self.random.below(KEYS);
            batch.add(&[b"GET", &self.key(n)], self.stored(n));
        }
        let seen = self.random.below(batch.0.len() as u64 + 1) as usize;
        let junk = self.own("junk");
        let words: &[&[&[u8]]] = match self.random.below(5) {
            0 => &[&[b"MULTI"], &[b"SET", &junk, b"open"]],
            1 => &[&[b"BLPOP", b"nothing", b"0"]],
            2 => &[&[b"SUBSCRIBE", &junk], &[b"PING"]],
            3 => &[&[b"SET", &junk, &vec![b'>'; 300 * 1024]], &[b"GET", &junk], &[b"GET", &junk]],
            _ => &[&[b"SET", &junk, b"some"], &[b"GET", &junk]],
        };
        let mut last: Vec<u8> = words.iter().flat_map(|it| super::wire::encode(it)).collect();
        if self.random.once_in(2) {
            last.truncate(1 + self.random.below(last.len() as u64) as usize);
        }
        self.leave(wire, batch, seen, &last)
    }

    fn leave(&mut self, mut wire: Wire, mut batch: Batch, seen: usize, last: &[u8]) -> Told {
        wire.send(&batch.bytes(), usize::MAX);
        wire.send(last, usize::MAX);
        batch.0.truncate(seen);
        wire.expect_all(&batch)?;
        if self.random.once_in(2) {
            wire.reset();
        }
        Ok(())
    }
}
