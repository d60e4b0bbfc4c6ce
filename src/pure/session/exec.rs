//! Replies while a transaction is open, and what follows when it has run.

use super::log::{Entry, Taken};
use super::machine::Session;
use super::state::Change;
use super::transaction::{Carries, Queued, Transaction};
use super::{Expect, World, identity, scan, texts};
use crate::pure::command::Effect;
use crate::pure::resp::reply;

/// What an entry that was answered `+QUEUED` will mean when it has run.
fn queued(entry: Entry, bytes: Box<[u8]>) -> Queued {
    let writes = entry.effect == Effect::Write;
    let request = entry.original.unwrap_or(bytes);
    let mut it = Queued { request, change: None, script: None, writes, carries: Carries::Nothing };
    if let Expect::Hello(change) = entry.expect {
        it.carries = Carries::Hello;
        it.change = Some(*change);
    } else if let Expect::Change(change) = entry.expect {
        it.change = Some(*change);
    } else if let Expect::Script(body) | Expect::ScriptLoad(body) = entry.expect {
        it.script = Some(body);
    } else if let Expect::Identity(ask) = entry.expect {
        it.carries = Carries::Identity(ask);
    } else if matches!(entry.expect, Expect::Cursor) {
        it.carries = Carries::Cursor;
    }
    it
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
        let shown = self.shown_exec(world, transaction.queue(), frame);
        self.emit(shown.as_deref().unwrap_or(frame));
        if transaction.queue().iter().any(Queued::matters) {
            for (queued, item) in transaction.into_queue().into_iter().zip(reply::items(frame)) {
                self.executed(world, queued, item);
            }
        }
    }

    /// The reply of an `EXEC` as the client is to see it; `None` if it can go as it is.
    fn shown_exec(&mut self, world: &mut World, queue: &[Queued], frame: &[u8]) -> Option<Vec<u8>> {
        if queue.iter().all(|it| it.carries == Carries::Nothing) {
            return None;
        }
        let epoch = self.epoch;
        let first = world.first_epoch.unwrap_or(epoch);
        let header = frame.iter().position(|&it| it == b'\n')? + 1;
        let mut out = frame.get(..header)?.to_vec();
        for (item, queued) in reply::items(frame).zip(queue) {
            let shown = match queued.carries {
                Carries::Nothing => None,
                Carries::Cursor => scan::incoming(item, first, epoch),
                Carries::Identity(ask) => {
                    identity::shown(&mut self.identity, world, epoch, ask, item)
                }
                Carries::Hello => identity::hello(&mut self.identity, world, epoch, item),
            };
            out.extend_from_slice(shown.as_deref().unwrap_or(item));
        }
        Some(out)
    }

    /// One request of a transaction ran, with the reply `item`.
    fn executed(&mut self, world: &mut World, queued: Queued, item: &[u8]) {
        let is_error = reply::error_text(item).is_some();
        if let Some(body) = queued.script {
            self.note_script(world, &body);
        }
        if let Some(change) = queued.change
            && !is_error
        {
            self.state.apply(change);
        }
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
        let changes = before.into_iter().map(|it| it.change).chain(queued);
        for (change, item) in changes.zip(reply::items(frame)) {
            if let Some(change) = change
                && reply::error_text(item).is_none()
            {
                self.state.apply(change);
            }
        }
    }
}
