//! What is still answered by a node that has proved not to be a primary.
//!
//! It was sent before the proof came, so it may have run: a pipeline that holds a `PUBLISH` or a
//! script behind a refused write, for example. What ran is answered in its place and never sent
//! again; everything else is taken back, in order.

use super::Expect;
use super::guard::doubted;
use super::log::{Entry, Taken};
use super::machine::{Link, Session};
use super::recover::Recovery;
use super::{Proof, World, texts};
use crate::pure::command::Effect;
use crate::pure::resp::reply;

impl Session {
    /// The node has proved not to be a primary: nothing is sent to it any more.
    pub(super) fn start_draining(&mut self) {
        self.suspect = true;
        let recovery = Recovery::new(self.state.transaction());
        self.link = Link::Draining(Box::new(recovery));
    }

    /// A reply on a link whose node has proved not to be a primary.
    pub(super) fn on_draining_frame(&mut self, world: &mut World, frame: &[u8]) {
        let Link::Draining(recovery) = &mut self.link else { return };
        if !self.log.is_front_sent() {
            self.drop_link = true;
            return;
        }
        let is_error = reply::error_text(frame).is_some();
        if let Some(Entry { expect: Expect::Confirm(_, left), .. }) = self.log.front()
            && !is_error
        {
            match left {
                Some(left) if !recovery.confirm(*left) => return,
                Some(_) => {}
                // How many there will be cannot be told: what is behind it counts as lost.
                None => {
                    self.drop_link = true;
                    return;
                }
            }
        }
        let Some(taken) = self.log.take() else { return };
        let Taken { entry: Entry { at, effect, streamed, ref expect, .. }, .. } = taken;
        let line = frame.strip_suffix(b"\r\n").unwrap_or(frame);
        let proof = Proof::of(line);
        let is_exec = matches!(expect, Expect::Exec);
        // An `EXEC` that answers with an error has run nothing.
        // On a replica no write of a script is done. And a script that is not known may be the
        // one in front of it, which was refused here and is sent again.
        let is_refused = matches!(expect, Expect::Script(_))
            && (Proof::is_said_by_scripts(line) || NOSCRIPT.contains(&line));
        let ran = !is_exec
            && !is_refused
            && proof.is_none()
            && effect == Effect::Write
            && frame != texts::QUEUED;
        let before = self.state.transaction();
        let wrote = recovery.writes(before.is_some_and(|it| it.queue().iter().any(|it| it.writes)));
        if is_exec && !is_error && wrote {
            let (queued, began_before) = recovery.take_queued();
            let reply = doubted(self.guard.as_deref(), world, &taken.entry, frame);
            recovery.answer_exec(at, &*reply);
            recovery.take_here(&mut self.log);
            self.apply_executed(queued, began_before, frame);
        } else if streamed.is_some_and(|it| it.gone) && !ran {
            world.tally.refused_streamed += 1;
            recovery.refuse(at, texts::STREAM_CUT);
            recovery.take_here(&mut self.log);
        } else if ran && !recovery.is_in_multi() {
            // Done, or refused for a reason of its own; never again.
            let reply = doubted(self.guard.as_deref(), world, &taken.entry, frame);
            recovery.answer(at, &*reply);
            recovery.take_here(&mut self.log);
        } else {
            world.tally.replayed_writes += u64::from(effect == Effect::Write);
            recovery.again(taken);
            recovery.take_here(&mut self.log);
        }
    }

    /// Ends the draining once everything that was wholly sent has its answer; what was sent in part
    /// will never have one.
    pub(super) fn finish_draining(&mut self, world: &mut World) {
        if matches!(self.link, Link::Draining(_)) && !self.log.is_front_whole() {
            self.lose_link(world);
        }
    }
}

/// What Redis and Valkey say of a script that they have not seen.
const NOSCRIPT: [&[u8]; 2] =
    [b"-NOSCRIPT No matching script. Please use EVAL.", b"-NOSCRIPT No matching script."];
