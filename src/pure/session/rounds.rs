//! Rounds: one question to the primary that speaks for many replies. What a round is, who waits for
//! which, and what a listener promises; see `guard` for what waits.
//!
//! # Deliberately absent
//!
//! How a round is asked (`proxy::guard`), and the replies themselves.

use super::World;
use std::time::Duration;

/// Where a round is published, which moves the replication stream. Nobody listens there.
pub const GUARD_CHANNEL: &[u8] = b"__segue__:guard";

/// What a listener promises its clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Promise {
    /// How many replicas have a write before it is acknowledged; at least 1.
    pub replicas: u32,
    /// How long they may take.
    pub timeout: Duration,
    /// What is promised about reads.
    pub reads: GuardedReads,
}

/// What a guarded listener promises about reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GuardedReads {
    /// Answered at once: they may see what is not confirmed yet, and may be lost.
    Local,
    /// Withheld like writes: what was read is not lost afterwards.
    Confirmed,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Enough replicas have everything.
    Confirmed,
    /// Too few said so in time, or nobody could be asked.
    Short,
}

/// The rounds of one promise, of one worker.
#[derive(Debug)]
pub struct Rounds {
    promise: Promise,
    /// Number of the round that begins next.
    next: u64,
    flying: Option<u64>,
    /// Sessions that wait for the next one, each once.
    waiting: Vec<u64>,
    /// Sessions that wait for the one under way.
    aboard: Vec<u64>,
}

impl Rounds {
    /// None yet.
    pub const fn new(promise: Promise) -> Self {
        Self { promise, next: 1, flying: None, waiting: Vec::new(), aboard: Vec::new() }
    }

    /// What they are for.
    pub const fn promise(&self) -> Promise {
        self.promise
    }

    /// Whether a round should begin.
    pub const fn is_wanted(&self) -> bool {
        self.flying.is_none() && !self.waiting.is_empty()
    }

    /// Begins a round, which speaks for everything that has arrived by now; its number.
    pub fn begin(&mut self) -> u64 {
        debug_assert!(self.flying.is_none(), "one at a time");
        let round = self.next;
        self.next += 1;
        self.flying = Some(round);
        std::mem::swap(&mut self.waiting, &mut self.aboard);
        self.waiting.clear();
        round
    }

    /// Round `round` is over: the sessions to be told. None if it was severed meanwhile.
    pub fn end(&mut self, round: u64) -> Vec<u64> {
        if self.flying != Some(round) {
            return Vec::new();
        }
        self.flying = None;
        std::mem::take(&mut self.aboard)
    }

    /// Round `round` could not be asked to its end: whoever waits for it waits for the next one.
    pub fn again(&mut self, round: u64) {
        if self.flying == Some(round) {
            self.flying = None;
            // One that is in line already hears of it twice, the second time for nothing.
            self.waiting.append(&mut self.aboard);
        }
    }

    /// A new epoch: whatever is under way says nothing any more.
    pub(super) fn sever(&mut self) {
        // Nobody is in line for the next one, whatever he remembers.
        self.next += 1;
        self.flying = None;
        self.waiting.clear();
        self.aboard.clear();
    }

    /// Session `id` waits for the next round, for which it may be in line already.
    pub(super) fn join(&mut self, id: u64, joined: &mut u64) -> u64 {
        if *joined != self.next {
            *joined = self.next;
            self.waiting.push(id);
        }
        self.next
    }
}

impl World {
    /// Rounds of another epoch say nothing about this one.
    pub(super) fn sever_rounds(&mut self) {
        self.rounds.iter_mut().for_each(Rounds::sever);
    }
}

#[cfg(test)]
mod tests {
    use super::{GuardedReads, Promise, Rounds};
    use std::time::Duration;

    /// The first round was begun in an epoch that is over; its answer comes while the second is
    /// under way, and says nothing about that.
    #[test]
    fn a_late_answer_ends_no_other_round() {
        let timeout = Duration::from_millis(1);
        let mut rounds = Rounds::new(Promise { replicas: 1, timeout, reads: GuardedReads::Local });
        let mut joined = 0;
        rounds.join(7, &mut joined);
        let late = rounds.begin();
        rounds.sever();
        rounds.join(8, &mut joined);
        let current = rounds.begin();
        assert_eq!(rounds.end(late), Vec::<u64>::new());
        assert_eq!(rounds.end(current), [8]);
    }
}
