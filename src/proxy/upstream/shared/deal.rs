//! What the node answered, to each session its own.

use super::Inner;
use crate::proxy::gate::Gate;
use crate::proxy::session::Seat;
use crate::pure::mux::{Nobody, Run};
use crate::pure::time::Time;

/// Attempts to complete a reply that came in pieces by reading no further than needed: bulk strings
/// need one. Others are better collected with all that is there.
const COMPLETIONS_MAX: usize = 8;

impl Inner {
    /// Deals out `input`; false if the connection is of no use any more.
    pub(super) fn take(&mut self, gate: &Gate, now: Time, mut input: &[u8]) -> bool {
        let mut touched = std::mem::take(&mut self.touched);
        let mut is_sound = true;
        let mut completions = 0;
        // A reply that has begun is completed first, so that what follows need not be copied.
        while is_sound && !self.upbox.is_empty() && !input.is_empty() {
            let missing = self.mux.missing(self.upbox.len()).max(1);
            completions += 1;
            let taken = if completions > COMPLETIONS_MAX { usize::MAX } else { missing };
            let (more, rest) = input.split_at(taken.min(input.len()));
            input = rest;
            let mut upbox = std::mem::take(&mut self.upbox);
            upbox.extend_from_slice(more);
            match self.deal(gate, now, &upbox, &mut touched) {
                Some(done) => upbox.advance(done),
                None => is_sound = false,
            }
            self.upbox = upbox;
        }
        if is_sound && !input.is_empty() {
            match self.deal(gate, now, input, &mut touched) {
                Some(done) => {
                    self.upbox.extend_from_slice(input.get(done..).unwrap_or_default());
                }
                None => is_sound = false,
            }
        }
        for seat in touched.drain(..) {
            seat.with(|it| it.after_replies(now));
        }
        self.touched = touched;
        is_sound
    }

    /// Gives each reply in `input` to its session; how many bytes are done with, or nothing if
    /// they make no sense.
    fn deal(
        &mut self,
        gate: &Gate,
        now: Time,
        input: &[u8],
        touched: &mut Vec<Seat>,
    ) -> Option<usize> {
        let mut done = 0;
        while let Some(rest) = input.get(done..).filter(|it| !it.is_empty()) {
            let run = match self.mux.first().cloned() {
                None => self.mux.deal_run(rest, &mut Nobody),
                Some(seat) => {
                    let (run, is_first) =
                        seat.with(|it| it.take_run(gate, now, &mut self.mux, rest));
                    if is_first {
                        touched.push(seat);
                    }
                    run
                }
            };
            match run {
                Run::Over(used) => done += used,
                Run::Hungry(used) => return Some(done + used),
                Run::Nonsense => return None,
            }
        }
        Some(done)
    }
}
