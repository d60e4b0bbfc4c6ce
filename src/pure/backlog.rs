//! Bytes that wait for a socket or for the rest of a frame: in at the back, out at the front.
//!
//! # Invariants
//!
//! * An empty one starts at the beginning of its memory again, so that who fills and drains it by
//!   turns never allocates.
//! * What was taken from the front is made room of before anything is allocated.
//!
//! # Deliberately absent
//!
//! Giving memory back after each use: the next one would allocate again. An owner that has been
//! idle for a while calls [`Backlog::give_back`].

use std::ops::Deref;

/// A burst may leave this much behind, in bytes; more goes back at once.
const KEPT_MAX: usize = 128 * 1024;

/// A queue of bytes.
#[derive(Debug, Default)]
pub struct Backlog {
    bytes: Vec<u8>,
    /// Taken from the front already.
    start: usize,
}

impl Backlog {
    /// An empty one, which has no memory yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), start: 0 }
    }

    /// Appends `more`.
    pub fn extend_from_slice(&mut self, more: &[u8]) {
        if self.start > 0 && self.bytes.len() + more.len() > self.bytes.capacity() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(more);
    }

    /// Appends what `write` writes.
    pub fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
    }

    /// Drops the first `n` bytes, or all if there are fewer.
    pub fn advance(&mut self, n: usize) {
        self.start += n;
        if self.start >= self.bytes.len() {
            self.clear();
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.start = 0;
        if self.bytes.capacity() > KEPT_MAX {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
    }

    /// Takes the first `n` bytes, or all if there are fewer.
    pub fn take_front(&mut self, n: usize) -> Box<[u8]> {
        let taken = self.get(..n).unwrap_or(self).into();
        self.advance(n);
        taken
    }

    /// Takes everything from byte `at` on.
    pub fn take_back(&mut self, at: usize) -> Box<[u8]> {
        let taken = self.get(at..).unwrap_or_default().into();
        self.bytes.truncate(self.start + at);
        if self.is_empty() {
            self.clear();
        }
        taken
    }

    /// An empty one gives its memory back.
    pub fn give_back(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }

    /// Bytes of memory that it has.
    pub const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Deref for Backlog {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[derive(Clone, Debug)]
    enum Act {
        Extend(Vec<u8>),
        Advance(usize),
        TakeFront(usize),
        TakeBack(usize),
        Clear,
        GiveBack,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Act::Extend),
            3 => (0_usize..50).prop_map(Act::Advance),
            1 => (0_usize..50).prop_map(Act::TakeFront),
            1 => (0_usize..50).prop_map(Act::TakeBack),
            1 => Just(Act::Clear),
            1 => Just(Act::GiveBack),
        ]
    }

    proptest! {
        /// Whatever is done, it holds what a plain queue holds.
        #[test]
        fn is_a_queue(acts in proptest::collection::vec(act(), 0..60)) {
            let (mut backlog, mut model) = (Backlog::new(), VecDeque::<u8>::new());
            for act in acts {
                match act {
                    Act::Extend(more) => {
                        backlog.extend_from_slice(&more);
                        model.extend(more);
                    }
                    Act::Advance(n) => {
                        backlog.advance(n);
                        model.drain(..n.min(model.len()));
                    }
                    Act::TakeFront(n) => {
                        let taken: Vec<u8> = model.drain(..n.min(model.len())).collect();
                        prop_assert_eq!(&*backlog.take_front(n), &*taken);
                    }
                    Act::TakeBack(at) => {
                        let at = at.min(model.len());
                        let taken: Vec<u8> = model.drain(at..).collect();
                        prop_assert_eq!(&*backlog.take_back(at), &*taken);
                    }
                    Act::Clear => {
                        backlog.clear();
                        model.clear();
                    }
                    Act::GiveBack => backlog.give_back(),
                }
                prop_assert_eq!(&*backlog, &*model.make_contiguous());
            }
        }
    }

    #[test]
    fn filling_and_draining_by_turns_needs_no_more_memory() {
        let mut backlog = Backlog::new();
        backlog.extend_from_slice(&[0; 100]);
        backlog.advance(100);
        let capacity = backlog.capacity();
        for _ in 0..50 {
            backlog.extend_from_slice(&[1; 60]);
            backlog.advance(20);
            backlog.extend_from_slice(&[2; 60]);
            backlog.advance(100);
        }
        assert_eq!(backlog.capacity(), capacity);
        backlog.give_back();
        assert_eq!(backlog.capacity(), 0);
    }

    #[test]
    fn a_burst_goes_back_at_once() {
        let mut backlog = Backlog::new();
        backlog.extend_from_slice(&vec![0; KEPT_MAX + 1]);
        backlog.advance(usize::MAX / 2);
        assert_eq!(backlog.capacity(), 0);
    }
}
