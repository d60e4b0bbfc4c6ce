//! How long requests took that a node answered: until they were sent, and until the answer.
//!
//! # Invariants
//!
//! * One note for all requests of one kind that came, left and were answered in the same turns: a
//!   pipeline costs as much as a single command.

use super::Expect;
use crate::pure::command::Effect;
use crate::pure::time::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// Kinds of commands that take their time for different reasons.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// Changes nothing.
    Read,
    /// May change data; also what nobody knows.
    Write,
    /// `EVAL`, `EVALSHA`, `SCRIPT LOAD`.
    Script,
    /// Waits at the node for data or replicas.
    Blocking,
    /// `EXEC`.
    Transaction,
    /// Changes its own connection.
    Connection,
}

impl Family {
    pub(super) const fn of(expect: &Expect, effect: Effect) -> Self {
        match (expect, effect) {
            (Expect::Blocking(_), _) => Self::Blocking,
            (Expect::Script(_) | Expect::ScriptLoad(_), _) => Self::Script,
            (Expect::Exec | Expect::ExecAsNull, _) => Self::Transaction,
            (_, Effect::Read) => Self::Read,
            (_, Effect::Write) => Self::Write,
            (_, Effect::Connection) => Self::Connection,
        }
    }
}

/// What some requests took.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// Their kind.
    pub family: Family,
    /// When the first byte of each was seen.
    pub seen: Time,
    /// When the last byte of each was sent.
    pub sent: Time,
    /// When they were answered.
    pub answered: Time,
    /// How many.
    pub count: u64,
}

impl Timing {
    /// From the first look at one to its sending: Segue's part, holding included.
    pub const fn proxy(&self) -> Duration {
        self.sent.since(self.seen)
    }

    /// From its sending to its answer: the node's part, and the network's.
    pub const fn upstream(&self) -> Duration {
        self.answered.since(self.sent)
    }
}

/// Adds one more to the last note if it is like it.
pub(super) fn note(timings: &mut Vec<Timing>, one: Timing) {
    match timings.last_mut() {
        Some(last) if *last == (Timing { count: last.count, ..one }) => last.count += 1,
        _ => timings.push(one),
    }
}

/// When the bytes of a log were sent, in order: a run for each turn.
#[derive(Debug, Default)]
pub(super) struct Sent(VecDeque<(usize, Time)>);

impl Sent {
    /// `n` bytes more are sent.
    pub(super) fn add(&mut self, n: usize, now: Time) {
        match self.0.back_mut() {
            _ if n == 0 => {}
            Some((run, at)) if *at == now => *run += n,
            _ => self.0.push_back((n, now)),
        }
    }

    /// The first `n` bytes are done with: when the last of them was sent.
    pub(super) fn take(&mut self, n: usize) -> Option<Time> {
        if let Some((run, at)) = self.0.front_mut()
            && *run > n
            && n > 0
        {
            *run -= n;
            return Some(*at);
        }
        let (mut left, mut last) = (n, None);
        while left > 0 {
            let (run, at) = self.0.front_mut()?;
            last = Some(*at);
            let taken = left.min(*run);
            left -= taken;
            *run -= taken;
            if *run == 0 {
                self.0.pop_front();
            }
        }
        last
    }

    /// The last `n` bytes were not sent after all.
    pub(super) fn take_back(&mut self, n: usize) {
        let mut left = n;
        while left > 0 {
            let Some((run, _)) = self.0.back_mut() else { return };
            let taken = left.min(*run);
            left -= taken;
            *run -= taken;
            if *run == 0 {
                self.0.pop_back();
            }
        }
    }

    /// Nothing is sent any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_pipeline_is_one_note() {
        let mut timings = Vec::new();
        let family = Family::of(&Expect::Forward, Effect::Write);
        let one = Timing { family, seen: at(1), sent: at(3), answered: at(7), count: 1 };
        for _ in 0..5 {
            note(&mut timings, one);
        }
        let read = Timing { family: Family::Read, ..one };
        note(&mut timings, read);
        assert_eq!(timings, [Timing { count: 5, ..one }, read]);
        let millis = Duration::from_millis;
        assert_eq!(
            (one.family, one.proxy(), one.upstream()),
            (Family::Write, millis(2), millis(4))
        );
    }

    proptest! {
        /// Each byte keeps the time at which it was sent.
        #[test]
        fn every_byte_has_its_time(
            steps in proptest::collection::vec((0_u8..3, 1_usize..9), 1..60),
        ) {
            let (mut sent, mut model) = (Sent::default(), VecDeque::new());
            for (now, (kind, n)) in (0..).zip(steps) {
                match kind {
                    0 => {
                        sent.add(n, at(now));
                        model.extend(std::iter::repeat_n(at(now), n));
                    }
                    1 => {
                        let n = n.min(model.len());
                        let last = n.checked_sub(1).and_then(|it| model.get(it).copied());
                        model.drain(..n);
                        prop_assert_eq!(sent.take(n), last);
                    }
                    _ => {
                        let n = n.min(model.len());
                        model.truncate(model.len() - n);
                        sent.take_back(n);
                    }
                }
            }
            let rest = model.len();
            prop_assert_eq!(sent.take(rest), model.back().copied());
        }
    }
}
