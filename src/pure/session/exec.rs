//! Replies while a transaction is open, and what follows when it has run.

use super::log::{Entry, Taken};
use super::machine::Session;
use super::state::Change;
use super::transaction::{Queued, Shows, Transaction};
use super::{Expect, World, identity, scan, script, texts};
use crate::pure::command::Effect;
use crate::pure::resp::reply;

/// What an entry that was answered `+QUEUED` will mean when it has run.
fn queued(entry: Entry, bytes: Box<[u8]>) -> Queued {
    let writes = entry.effect == Effect::Write;
    let request = entry.original.unwrap_or(bytes);
    let shows = Shows::of(&entry.expect);
    let change = if let Expect::Change(change) | Expect::Hello(change) = entry.expect {
        Some(*change)
    } else {
        None
    };
    Queued { request, change, shows, writes }
}

impl Session {
    /// `EXEC` of a transaction whose watch was lost.
    pub(super) fn answer_broken_watch(&mut self) {
        let reply = match self.state.transaction() {
            Some(it) if it.is_aborted() => texts::EXECABORT,
            _ => texts::null_array(self.state.proto),
        };
        self.state.apply(Change::Discard);
        self.emit(reply);
    }

    /// A refused `EXEC` or `DISCARD`.
    pub(super) fn discard_as(&mut self, reply: &[u8]) {
        self.state.apply(Change::Discard);
        self.emit(reply);
    }

    /// A reply while a transaction is open: `+QUEUED`, or an error that aborts it. False if it is
    /// none of these.
    pub(super) fn answer_queued(&mut self, frame: &[u8]) -> bool {
        let Some(first) = self.log.front() else { return false };
        if matches!(first.expect, Expect::Exec | Expect::ExecAsNull | Expect::DiscardAs(_)) {
            return false;
        }
        if frame == texts::QUEUED {
            let Some(Taken { entry, bytes, .. }) = self.log.take() else { return false };
            let gone = entry.streamed.is_some();
            let queued = queued(entry, bytes);
            if let Some(transaction) = &mut self.state.rare_mut().transaction {
                transaction.queued(queued, gone);
            }
            self.emit(frame);
            return true;
        }
        let discards =
            matches!(&first.expect, Expect::Change(it) if matches!(**it, Change::Discard));
        if frame.first() == Some(&b'-')
            && !discards
            && let Some(transaction) = &mut self.state.rare_mut().transaction
        {
            transaction.abort();
        }
        false
    }

    pub(super) fn answer_exec(&mut self, world: &mut World, frame: &[u8]) {
        let Some(transaction) = self.state.rare_mut().transaction.take() else {
            // Without `MULTI`: an error, which changes nothing.
            return self.emit(frame);
        };
        let error = reply::error_text(frame);
        if error.is_some_and(|it| !it.starts_with(b"EXECABORT ")) {
            // Not even looked at (no permission): the transaction stays open.
            self.state.rare_mut().transaction = Some(transaction);
            return self.emit(frame);
        }
        self.state.forget_watch();
        if error.is_some() || reply::is_null(frame) {
            return self.emit(frame);
        }
        let looks = transaction.queue().iter().any(|it| it.shows != Shows::AsIs);
        let shown = looks.then(|| self.shown_exec(world, &transaction, frame)).flatten();
        self.emit(shown.as_deref().unwrap_or(frame));
        if transaction.queue().iter().any(|it| it.change.is_some()) {
            let changes = transaction.into_queue().into_iter().map(|it| it.change);
            self.apply_all(changes, frame);
        }
    }

    /// The reply of an `EXEC` as the client is to see it, element by element.
    fn shown_exec(
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

    /// A transaction ran on a node that is drained: what it changed counts. `queued` speaks of
    /// the requests that were taken back, `began_before` says that others were queued before.
    pub(super) fn apply_executed(
        &mut self,
        queued: Vec<Option<Change>>,
        began_before: bool,
        frame: &[u8],
    ) {
        let before = if began_before {
            let transaction = self.state.rare_if_any().and_then(|it| it.transaction.take());
            transaction.map(Transaction::into_queue).unwrap_or_default()
        } else {
            Vec::new()
        };
        self.apply_all(before.into_iter().map(|it| it.change).chain(queued), frame);
    }

    /// Applies the changes of what a transaction has run, one each, unless its reply in `frame`
    /// says that it did nothing.
    fn apply_all(&mut self, changes: impl Iterator<Item = Option<Change>>, frame: &[u8]) {
        for (change, item) in changes.zip(reply::items(frame)) {
            if let Some(change) = change
                && reply::error_text(item).is_none()
            {
                self.state.apply(change);
            }
        }
    }
}
