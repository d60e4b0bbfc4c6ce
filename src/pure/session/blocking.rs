//! Commands that wait at the node: until when, and how they are issued again after a failover.

use crate::pure::command::{BlockArg, Wait};
use crate::pure::resp::{request, write};
use crate::pure::time::Time;

/// A command that may wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Blocking {
    wait: Wait,
    /// When it is over; `None` waits for ever.
    pub(super) until: Option<Time>,
    /// The answer to a timeout is a count that only the node knows.
    counts: bool,
}

impl Blocking {
    /// What `args`, seen at `at`, asks for; `None` if it does not wait, or the node will refuse it.
    pub(super) fn parse(arg: BlockArg, args: &request::Args<'_>, at: Time) -> Option<Self> {
        let wait = arg.wait(args)?;
        let counts = matches!(arg, BlockArg::LastMillis);
        Some(Self { wait, until: wait.limit.map(|it| at + it), counts })
    }

    /// Whether it may wait longer than other commands are held: it asked for that, and it can be
    /// answered when its time is over.
    pub(super) const fn may_outwait(&self) -> bool {
        !self.counts || self.until.is_none()
    }

    /// Whether a timeout can be answered without the node.
    pub(super) const fn is_answerable(&self) -> bool {
        !self.counts
    }

    /// `WAIT` and `WAITAOF`: it tells how many replicas have what was written, and writes nothing.
    pub(super) const fn is_count(&self) -> bool {
        self.counts
    }

    /// The request `frame` again, with what is left of its time at `now`.
    pub(super) fn reissue(&self, frame: &[u8], now: Time) -> Vec<u8> {
        let args = request::args(frame);
        let left = self.wait.argument(self.until.map(|it| it.since(now)));
        let args: Vec<&[u8]> = args
            .iter()
            .enumerate()
            .map(|(index, arg)| if index == self.wait.index { left.as_bytes() } else { arg })
            .collect();
        let mut out = Vec::with_capacity(frame.len() + left.len());
        write::request(&mut out, &args);
        out
    }
}
