//! A script answered what a node says that is not a primary. Scripts can make up any error, so the
//! node itself is asked: `ROLE`, on the same connection, behind everything that was sent.
//!
//! ```text
//! Up --the error--> Doubting --a replica--> Draining (what was sent is taken back)
//!                      \------a primary---> Up (everything is passed on as it came)
//! ```
//!
//! On a replica no write of a script is done, whatever the script makes of the refusal, so a
//! script that was answered by a replica may run again. Frames wait for the verdict, for one round
//! trip.
//!
//! On a connection that others share nothing is asked: there the error is passed on.
//!
//! # What is left
//!
//! A node that was a primary when the script ran, and a replica when it was asked a fraction of a
//! millisecond later, would have a script run twice if that script wrote *and* made up the
//! server's text, to the letter.

use super::World;
use super::machine::{Link, Session};
use super::proof::Proof;
use crate::pure::resp::reply;
use crate::pure::resp::write;
use crate::pure::time::Time;
use bytes::{Buf, BytesMut};

/// Marks the place of the question among the replies: every server answers it with an error that
/// repeats the name, whatever the user may do.
const MARK: &[u8] = b"segue:which-role";

/// A question on its way.
#[derive(Debug)]
pub(super) struct Doubt {
    question: BytesMut,
    frames: Vec<Box<[u8]>>,
    /// The reply to the mark has come: the next frame is the answer.
    marked: bool,
}

impl Doubt {
    fn new(first: &[u8]) -> Self {
        let mut question = BytesMut::new();
        write::request(&mut question, &[MARK]);
        write::request(&mut question, &[b"ROLE"]);
        Self { question, frames: vec![first.into()], marked: false }
    }

    pub(super) fn unsent(&self) -> &[u8] {
        &self.question
    }

    pub(super) fn sent(&mut self, n: usize) {
        self.question.advance(n);
    }

    /// What came in the meantime.
    pub(super) fn into_frames(self) -> Vec<Box<[u8]>> {
        self.frames
    }
}

impl Session {
    /// Whether `frame`, the reply to a script, must not be believed as it stands.
    pub(super) fn is_doubtful(&self, frame: &[u8]) -> bool {
        let line = frame.strip_suffix(b"\r\n").unwrap_or(frame);
        !self.is_settled
            && self.stream.is_none()
            && !self.tail_multi
            && !self.sharing.on_shared
            && matches!(self.link, Link::Up)
            && Proof::is_said_by_scripts(line)
    }

    pub(super) fn begin_doubt(&mut self, frame: &[u8]) {
        self.link = Link::Doubting(Box::new(Doubt::new(frame)));
    }

    /// A frame while the question is on its way.
    pub(super) fn on_doubt_frame(&mut self, world: &mut World, now: Time, frame: &[u8]) {
        let Link::Doubting(doubt) = &mut self.link else { return };
        if !doubt.marked {
            let is_mark = reply::error_text(frame)
                .is_some_and(|it| it.windows(MARK.len()).any(|part| part == MARK));
            doubt.marked = is_mark;
            if !is_mark {
                doubt.frames.push(frame.into());
            }
            return;
        }
        let role = reply::items(frame).next().and_then(reply::text);
        let is_replica = role.is_some_and(|it| it == b"slave");
        self.settle_doubt(world, now, is_replica);
    }

    /// The node has answered what it is, or is known not to be a primary any more.
    pub(super) fn settle_doubt(&mut self, world: &mut World, now: Time, is_replica: bool) {
        if !matches!(self.link, Link::Doubting(_)) {
            return;
        }
        let Link::Doubting(doubt) = std::mem::replace(&mut self.link, Link::Up) else { return };
        if is_replica {
            self.note_proof(world, now, Proof::Readonly);
            self.start_draining();
        }
        self.is_settled = true;
        for frame in doubt.into_frames() {
            if self.drop_link {
                // What follows cannot be told apart any more; it is lost with the link.
                break;
            }
            self.on_frame(world, now, &frame);
        }
        self.is_settled = false;
    }
}
