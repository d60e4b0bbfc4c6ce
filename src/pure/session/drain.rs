//! Replies on a link whose node has proved not to be a primary: what it did all the same is
//! answered in its place, the rest is taken back.

use super::log::{Entry, Taken};
use super::machine::{Link, Session};
use super::{Expect, Proof, World, texts};
use crate::pure::command::Effect;
use std::sync::Arc;

impl Session {
    /// A reply on a link whose node has proved not to be a primary. What it did all the same is
    /// answered in its place; the rest is taken back.
    pub(super) fn on_draining_frame(&mut self, world: &mut World, frame: &[u8]) {
        let line = frame.strip_suffix(b"\r\n").unwrap_or(frame);
        let proof = Proof::of(line);
        let table = Arc::clone(&world.table);
        let Link::Draining(recovery) = &mut self.link else { return };
        while matches!(self.log.front(), Some(Entry { expect: Expect::Local(_), .. })) {
            if let Some(Taken { entry: Entry { at, expect: Expect::Local(reply), .. }, .. }) =
                self.log.take()
            {
                recovery.answer(at, reply);
            }
        }
        if let Some(Entry { expect: Expect::Confirm(_, Some(left)), .. }) = self.log.front_mut()
            && frame.first() != Some(&b'-')
            && *left > 1
        {
            *left -= 1;
            return;
        }
        let Some(taken) = self.log.take() else { return };
        let Taken { entry: Entry { at, effect, .. }, .. } = &taken;
        let (at, effect) = (*at, *effect);
        let is_exec = matches!(taken.entry.expect, Expect::Exec);
        let is_script = matches!(taken.entry.expect, Expect::Script(_));
        // On a replica no write of a script is done.
        let never_ran = proof.is_some()
            || recovery.is_in_multi()
            || is_script && Proof::is_said_by_scripts(line);
        if taken.entry.streamed.is_some_and(|it| it.gone) {
            world.tally.refused_streamed += 1;
            recovery.answer(at, texts::STREAM_CUT);
        } else if is_exec {
            recovery.drain_exec(&table, taken, frame);
        } else if !never_ran && effect == Effect::Write && frame != texts::QUEUED {
            // Done, or refused for a reason of its own; never again.
            recovery.answer(at, frame);
        } else {
            world.tally.replayed_writes += u64::from(effect == Effect::Write);
            recovery.again(&table, taken);
        }
    }

    /// Ends the draining once everything that was sent has its answer.
    pub(super) fn finish_draining(&mut self, world: &mut World) {
        if matches!(self.link, Link::Draining(_)) && !self.log.has_sent() {
            self.lose_link(world);
        }
    }
}
