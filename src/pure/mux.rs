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

use super::resp::reply::{Scan, Scanner};
use bytes::{Buf, BytesMut};
use std::collections::VecDeque;

/// What the next bytes of the node are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deal {
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

/// The order of one shared connection. `T` names a session.
#[derive(Debug)]
pub struct Mux<T> {
    out: BytesMut,
    /// Whose the bytes of `out` are, in order.
    unwritten: VecDeque<(T, usize)>,
    /// Who waits for how many replies, in order.
    fifo: VecDeque<(T, usize)>,
    scanner: Scanner,
}

impl<T> Default for Mux<T> {
    fn default() -> Self {
        Self {
            out: BytesMut::new(),
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

    /// Looks at what the node sent. After [`Deal::Reply`] the caller gives the reply to
    /// [`first`](Self::first) and calls [`answered`](Self::answered).
    pub fn deal(&mut self, input: &[u8]) -> Deal {
        match self.scanner.scan(input) {
            Scan::Frame { len } if input.first() == Some(&b'>') => Deal::Unasked { len },
            Scan::Frame { .. } if self.fifo.is_empty() => Deal::Nonsense,
            Scan::Frame { len } => Deal::Reply { len },
            Scan::Partial => Deal::Partial { passable: self.scanner.passable(input.len()) },
            Scan::Error(_) => Deal::Nonsense,
        }
    }

    /// The caller has passed on the first `n` bytes of an unfinished reply.
    pub fn passed(&mut self, n: usize) {
        self.scanner.consumed(n);
    }

    /// Who waits for the next reply.
    pub fn first(&self) -> Option<&T> {
        self.fifo.front().map(|it| &it.0)
    }

    /// The oldest request has its reply.
    pub fn answered(&mut self) {
        if let Some((_, count)) = self.fifo.front_mut() {
            *count -= 1;
            if *count == 0 {
                self.fifo.pop_front();
            }
        }
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

    #[test]
    fn replies_go_to_whoever_asked_in_order() {
        let mut mux = Mux::default();
        mux.push(&'a', b"xx", 2);
        mux.push(&'b', b"y", 1);
        mux.push(&'a', b"z", 1);
        assert_eq!(mux.to_node(), b"xxyz");
        let mut dealt = Vec::new();
        let mut input: &[u8] = b"+1\r\n+2\r\n$1\r\n3\r\n:4\r\n";
        while let Deal::Reply { len } = mux.deal(input) {
            dealt.push(*mux.first().expect("somebody waits"));
            mux.answered();
            input = &input[len..];
            if input.is_empty() {
                break;
            }
        }
        assert_eq!(dealt, ['a', 'a', 'b', 'a']);
        assert!(mux.is_idle());
    }

    #[test]
    fn what_nobody_asked_for_is_told_apart() {
        let mut mux = Mux::<char>::default();
        assert_eq!(mux.deal(b"+1\r\n"), Deal::Nonsense, "a reply to nothing");
        let push = b">1\r\n+x\r\n";
        assert_eq!(Mux::<char>::default().deal(push), Deal::Unasked { len: push.len() });
        mux.push(&'a', b"x", 1);
        assert_eq!(mux.deal(b"?"), Deal::Nonsense);
    }

    proptest! {
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
