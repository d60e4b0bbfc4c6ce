//! One connection to a node, shared by many sessions: whose bytes are next, and whose reply.
//!
//! ```text
//!  session a --push--\                       /--reply--> a
//!  session b --push---> out ==> node ==> in ----reply--> b
//!                        \__ fifo: a a b a __/
//! ```
//!
//! # Invariants
//!
//! * Replies are dealt in the order in which requests were pushed: a node answers one connection in
//!   order.
//! * What was pushed and not written is known to the byte, so that a lost connection never makes a
//!   request uncertain that nobody has seen.
//!
//! # Deliberately absent
//!
//! What requests mean. Only those whose reply is exactly one frame may be pushed.

use super::backlog::Backlog;
use super::resp::reply::{Scan, Scanner};
use std::collections::VecDeque;

/// What the next bytes of the node are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Deal {
    /// The first `len` bytes are, or end, the reply to the oldest request.
    Reply {
        /// Bytes.
        len: usize,
    },
    /// The first `len` bytes were not asked for; nobody gets them.
    Unasked {
        /// Bytes.
        len: usize,
    },
    /// More is needed. `passable` bytes certainly belong to the oldest reply.
    Partial {
        /// Bytes.
        passable: usize,
    },
    /// Not the protocol, or a reply to nothing: the connection is of no use.
    Nonsense,
}

/// Who takes the replies of one session.
pub trait Taker {
    /// A whole reply, or the end of one.
    fn reply(&mut self, frame: &[u8]);

    /// The next reply begins with `start`, or goes on with it, and lacks at least `missing` bytes;
    /// the first `passable` bytes belong to it for certain. Whether these were taken.
    fn part(&mut self, start: &[u8], passable: usize, missing: usize) -> bool;
}

/// Takes the replies of a session that is gone.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Taker for Nobody {
    fn reply(&mut self, _frame: &[u8]) {}

    fn part(&mut self, _start: &[u8], _passable: usize, _missing: usize) -> bool {
        true
    }
}

/// How far the replies in a row for one session went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Run {
    /// The next reply is for somebody else, or nobody waits; that many bytes are done with.
    Over(usize),
    /// The input is used up but for the beginning of a reply; likewise.
    Hungry(usize),
    /// Not the protocol, or a reply to nothing: the connection is of no use.
    Nonsense,
}

/// The order of one shared connection. `T` names a session.
#[derive(Debug)]
pub struct Mux<T> {
    out: Backlog,
    /// Whose the bytes of `out` are, in order.
    unwritten: VecDeque<(T, usize)>,
    /// Who waits for how many replies, in order.
    fifo: VecDeque<(T, usize)>,
    scanner: Scanner,
}

impl<T> Default for Mux<T> {
    fn default() -> Self {
        Self {
            out: Backlog::new(),
            unwritten: VecDeque::new(),
            fifo: VecDeque::new(),
            scanner: Scanner::new(),
        }
    }
}

impl<T: Clone + PartialEq> Mux<T> {
    /// Appends `requests` requests of `who`, whole ones, as `bytes`.
    pub fn push(&mut self, who: &T, bytes: &[u8], requests: usize) {
        self.out.extend_from_slice(bytes);
        add(&mut self.unwritten, who, bytes.len());
        add(&mut self.fifo, who, requests);
    }

    /// What is to be written to the node.
    pub fn to_node(&self) -> &[u8] {
        &self.out
    }

    /// The first `n` bytes of [`to_node`](Self::to_node) were written.
    pub fn sent(&mut self, n: usize) {
        self.out.advance(n);
        let mut left = n;
        while left > 0 {
            let Some((_, len)) = self.unwritten.front_mut() else { return };
            let taken = left.min(*len);
            *len -= taken;
            left -= taken;
            if *len == 0 {
                self.unwritten.pop_front();
            }
        }
    }

    /// Looks at what the node sent. After [`Deal::Reply`] the reply goes to the first who waits,
    /// and is [`answered`](Self::answered).
    fn deal(&mut self, input: &[u8]) -> Deal {
        // Of a frame that has begun, `input` may be the inside: any byte.
        let first = self.scanner.first_byte().or(input.first().copied());
        match self.scanner.scan(input) {
            Scan::Frame { len } if first == Some(b'>') => Deal::Unasked { len },
            Scan::Frame { .. } if self.fifo.is_empty() => Deal::Nonsense,
            Scan::Frame { len } => Deal::Reply { len },
            Scan::Partial => Deal::Partial { passable: self.scanner.passable(input.len()) },
            Scan::Error(_) => Deal::Nonsense,
        }
    }

    /// Gives the replies at the start of `input` to `taker`, who takes those of
    /// [`first`](Self::first), until somebody else's turn comes.
    pub fn deal_run(&mut self, input: &[u8], taker: &mut impl Taker) -> Run {
        let mut done = 0;
        while let Some(rest) = input.get(done..).filter(|it| !it.is_empty()) {
            match self.deal(rest) {
                Deal::Nonsense => return Run::Nonsense,
                Deal::Unasked { len } => done += len,
                Deal::Reply { len } => {
                    taker.reply(rest.get(..len).unwrap_or_default());
                    done += len;
                    if !self.answered() {
                        return Run::Over(done);
                    }
                }
                Deal::Partial { passable } => {
                    if self.is_idle() || self.scanner.is_push() {
                        return Run::Hungry(done);
                    }
                    if taker.part(rest, passable, self.missing(rest.len())) {
                        self.scanner.consumed(passable);
                        done += passable;
                    }
                    return Run::Hungry(done);
                }
            }
        }
        Run::Hungry(done)
    }

    /// Who waits for the next reply.
    pub fn first(&self) -> Option<&T> {
        self.fifo.front().map(|it| &it.0)
    }

    /// The oldest request has its reply. Whether the next reply is for the same session.
    fn answered(&mut self) -> bool {
        let Some((_, count)) = self.fifo.front_mut() else { return false };
        *count -= 1;
        let goes_on = *count > 0;
        if !goes_on {
            self.fifo.pop_front();
        }
        goes_on
    }

    /// Bytes that are missing behind `seen` bytes of the reply that has begun: at least that many.
    pub fn missing(&self, seen: usize) -> usize {
        usize::try_from(self.scanner.remaining_min(seen)).unwrap_or(usize::MAX)
    }

    /// Whether nobody waits for a reply.
    pub fn is_idle(&self) -> bool {
        self.fifo.is_empty()
    }

    /// The connection is gone: whose last bytes were not written, and how many.
    pub fn lose(&mut self) -> Vec<(T, usize)> {
        let lost = std::mem::take(self);
        lost.unwritten.into()
    }
}

/// Adds to the last run if it is of the same session, or starts one.
fn add<T: Clone + PartialEq>(runs: &mut VecDeque<(T, usize)>, who: &T, amount: usize) {
    if amount == 0 {
        return;
    }
    match runs.back_mut() {
        Some((last, run)) if last == who => *run += amount,
        _ => runs.push_back((who.clone(), amount)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes down what it gets, and takes parts from `part_min` bytes on.
    struct Reader {
        got: Vec<u8>,
        part_min: usize,
    }

    impl Taker for Reader {
        fn reply(&mut self, frame: &[u8]) {
            self.got.extend_from_slice(frame);
        }

        fn part(&mut self, start: &[u8], passable: usize, missing: usize) -> bool {
            let takes = start.len() + missing >= self.part_min;
            if takes {
                self.got.extend_from_slice(&start[..passable]);
            }
            takes
        }
    }

    fn reader() -> Reader {
        Reader { got: Vec::new(), part_min: usize::MAX }
    }

    #[test]
    fn replies_go_to_whoever_asked_in_order() {
        let mut mux = Mux::default();
        mux.push(&'a', b"xx", 2);
        mux.push(&'b', b"y", 1);
        mux.push(&'a', b"z", 1);
        assert_eq!(mux.to_node(), b"xxyz");
        let mut input: &[u8] = b"+1\r\n+2\r\n$1\r\n3\r\n:4\r\n";
        let mut dealt = Vec::new();
        while let Some(&who) = mux.first() {
            let mut reader = reader();
            let Run::Over(used) = mux.deal_run(input, &mut reader) else { panic!("hungry") };
            assert_eq!(reader.got, input[..used]);
            dealt.push((who, String::from_utf8(reader.got).unwrap()));
            input = &input[used..];
        }
        let dealt: Vec<_> = dealt.iter().map(|(who, got)| (*who, got.as_str())).collect();
        assert_eq!(dealt, [('a', "+1\r\n+2\r\n"), ('b', "$1\r\n3\r\n"), ('a', ":4\r\n")]);
        assert!(input.is_empty());
    }

    #[test]
    fn what_nobody_asked_for_is_told_apart() {
        let mut mux = Mux::<char>::default();
        assert_eq!(mux.deal_run(b"+1\r\n", &mut Nobody), Run::Nonsense, "a reply to nothing");
        let push = b">1\r\n+x\r\n";
        let mut mux = Mux::<char>::default();
        assert_eq!(mux.deal_run(push, &mut Nobody), Run::Hungry(push.len()));
        mux.push(&'a', b"x", 1);
        let mut taker = reader();
        assert_eq!(mux.deal_run(b">1\r\n+x\r\n+1\r\n", &mut taker), Run::Over(push.len() + 4));
        assert_eq!(taker.got, b"+1\r\n");
        mux.push(&'a', b"x", 1);
        assert_eq!(mux.deal_run(b"?", &mut Nobody), Run::Nonsense);
    }

    #[test]
    fn a_large_reply_passes_in_parts_if_its_session_takes_them() {
        let mut mux = Mux::default();
        mux.push(&'a', b"x", 1);
        assert_eq!(mux.deal_run(b"$4\r\nd", &mut reader()), Run::Hungry(0), "too small to pass");
        assert_eq!(mux.missing(5), 5);
        let mut taker = Reader { part_min: 10, ..reader() };
        assert_eq!(mux.deal_run(b"$4\r\nda", &mut taker), Run::Hungry(6));
        assert_eq!(mux.deal_run(b"ta\r\n", &mut taker), Run::Over(4));
        assert_eq!(taker.got, b"$4\r\ndata\r\n");
    }

    proptest! {
        /// Wherever a reply is cut, whatever is in it, and whether or not its parts are taken, the
        /// next one goes to whoever asked next.
        #[test]
        fn a_reply_that_comes_in_pieces_is_one_reply(
            body in proptest::collection::vec(proptest::sample::select(&b">$*-+:_1\r\n"[..]), 0..40),
            part_min in 0_usize..60,
            piece in 1_usize..20,
            push in proptest::bool::ANY,
        ) {
            let mut mux = Mux::default();
            mux.push(&'a', b"x", 1);
            mux.push(&'b', b"y", 1);
            let reply = [format!("${}\r\n", body.len()).as_bytes(), &body, b"\r\n"].concat();
            let unasked: &[u8] = if push { b">2\r\n+invalidate\r\n$3\r\nkey\r\n" } else { b"" };
            let all = [unasked, &reply, unasked, b"+next\r\n"].concat();
            let (mut a, mut b) = (Reader { part_min, ..reader() }, reader());
            let mut input = Vec::new();
            for piece in all.chunks(piece) {
                input.extend_from_slice(piece);
                while !input.is_empty() {
                    let taker = if mux.first() == Some(&'a') { &mut a } else { &mut b };
                    let (used, goes_on) = match mux.deal_run(&input, taker) {
                        Run::Over(used) => (used, true),
                        Run::Hungry(used) => (used, false),
                        Run::Nonsense => panic!("nonsense"),
                    };
                    input.drain(..used);
                    if !goes_on {
                        break;
                    }
                }
            }
            prop_assert_eq!(a.got, reply);
            prop_assert_eq!(b.got, b"+next\r\n");
            prop_assert!(mux.is_idle() && input.is_empty());
        }

        /// Whatever was written of what was pushed, the rest is known to the byte, per session.
        #[test]
        fn the_unwritten_rest_is_exact(
            pushes in proptest::collection::vec((0_u8..4, 1_usize..9), 1..30),
            written in 0_usize..300,
        ) {
            let mut mux = Mux::default();
            let mut all = Vec::new();
            for &(who, len) in &pushes {
                mux.push(&who, &vec![who; len], 1);
                all.extend(vec![who; len]);
            }
            let written = written.min(all.len());
            mux.sent(written);
            prop_assert_eq!(mux.to_node(), &all[written..]);
            let rest: Vec<u8> =
                mux.lose().into_iter().flat_map(|(who, len)| vec![who; len]).collect();
            prop_assert_eq!(rest, &all[written..]);
            prop_assert!(mux.is_idle() && mux.to_node().is_empty(), "starts afresh");
        }
    }
}
