//! The reply of an `EXEC`, element by element.

use super::machine::Session;
use super::transaction::{Shows, Transaction};
use super::{World, identity, scan, script};
use crate::pure::resp::reply;

impl Session {
    /// The reply of an `EXEC` as the client is to see it, element by element.
    pub(super) fn shown_exec(
        &mut self,
        world: &mut World,
        run: &Transaction,
        frame: &[u8],
    ) -> Option<Vec<u8>> {
        let header = frame.iter().position(|&it| it == b'\n')? + 1;
        let mut out = frame.get(..header)?.to_vec();
        let (first, epoch) = (world.first_epoch.unwrap_or(self.epoch), self.epoch);
        for (item, queued) in reply::items(frame).zip(run.queue()) {
            let shown = match queued.shows {
                Shows::AsIs => None,
                Shows::Cursor => scan::incoming(item, first, epoch),
                Shows::Identity(ask) => {
                    identity::shown(&mut self.identity, world, epoch, ask, item)
                }
                Shows::Hello => identity::hello(&mut self.identity, world, epoch, item),
                Shows::Script => {
                    if reply::error_text(item).is_none() {
                        script::note_queued(world, epoch, &queued.request);
                    }
                    None
                }
            };
            out.extend_from_slice(shown.as_deref().unwrap_or(item));
        }
        Some(out)
    }
}
