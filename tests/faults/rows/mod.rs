//! The fault matrix: each row a small value that says what is started, what is done to it, and
//! what clients may notice.

mod access;
mod bytes;
mod crash;
mod cut;
mod freeze;
mod planned;
mod proxies;
mod refuse;
mod shimmed;
mod slow;
mod sync;

use crate::finish::Promise;
use crate::stage::{Setup, Stage};

/// One row. Rows with one number and several letters are variants of one fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) setup: fn() -> Setup,
    pub(crate) play: fn(&mut Stage<'_>),
    pub(crate) promise: Promise,
    /// Whether the row says something about guarded writes that plain ones do not.
    pub(crate) guarded: bool,
    /// Whether relays on loopback cannot stand in for namespaces.
    pub(crate) needs_namespaces: bool,
    /// Runs of it in `make test`.
    pub(crate) bounded: usize,
}

impl Row {
    /// A row with the usual group that promises what an unplanned failover promises.
    const fn new(id: &'static str, what: &'static str, play: fn(&mut Stage<'_>)) -> Self {
        Self {
            id,
            what,
            setup: Setup::default,
            play,
            promise: Promise::Uncertain,
            guarded: true,
            needs_namespaces: false,
            bounded: 0,
        }
    }

    const fn bounded(mut self, runs: usize) -> Self {
        self.bounded = runs;
        self
    }

    const fn setup(mut self, setup: fn() -> Setup) -> Self {
        self.setup = setup;
        self
    }

    const fn promise(mut self, promise: Promise) -> Self {
        self.promise = promise;
        self
    }

    const fn needs_namespaces(mut self) -> Self {
        self.needs_namespaces = true;
        self
    }

    const fn plain_only(mut self) -> Self {
        self.guarded = false;
        self
    }

    /// Whether `asked` names it: `F2` names `F2a` and `F2b`, and not `F24`.
    pub(crate) fn is_named(&self, asked: &str) -> bool {
        self.id == asked
            || self.id.strip_prefix(asked).is_some_and(|it| {
                it.chars().all(|it| it.is_ascii_lowercase()) && asked.ends_with(char::is_numeric)
            })
    }

    pub(crate) fn may_disconnect(&self) -> bool {
        (self.setup)().reconnect
    }
}

/// All of them, in order.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = [
        crash::ROWS,
        freeze::ROWS,
        cut::ROWS,
        sync::ROWS,
        refuse::ROWS,
        shimmed::ROWS,
        slow::ROWS,
        proxies::ROWS,
        planned::ROWS,
        bytes::ROWS,
        access::ROWS,
    ]
    .concat();
    // By number, then letter.
    rows.sort_by_key(|it| {
        let number = it.id.trim_matches(|it: char| !it.is_ascii_digit());
        (number.parse::<u32>().unwrap_or(0), it.id)
    });
    rows
}
