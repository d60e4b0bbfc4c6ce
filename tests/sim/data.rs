//! What data sets hold: histories that branch, and points on them.
//!
//! A history has one writer, so a point on it says exactly which writes it contains. A promotion
//! and a restart begin a new history upon a point of an old one. Nodes tell only replication ids;
//! what descends from what *in truth* is known here alone.

use segue::pure::topology::ReplId;

/// A history, by its number.
pub(crate) type History = usize;

/// A write, by its number; its key and value carry the same number.
pub(crate) type Write = usize;

/// A data set: everything on `history` up to `offset`, and what that history began with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Point {
    pub(crate) history: History,
    pub(crate) offset: u64,
}

#[derive(Debug)]
struct Branch {
    base: Option<Point>,
    /// Offsets go on from the base; otherwise they start anew, and the base is in it whole.
    goes_on: bool,
    log: Vec<u64>,
}

impl Branch {
    /// What of the base is in the data set at `offset`.
    fn base_at(&self, offset: u64) -> Option<Point> {
        let Point { history, offset: fork } = self.base?;
        Some(Point { history, offset: if self.goes_on { fork.min(offset) } else { fork } })
    }
}

/// All histories of one run.
#[derive(Debug, Default)]
pub(crate) struct Data {
    branches: Vec<Branch>,
    places: Vec<Option<Point>>,
}

impl Data {
    /// Begins a history that contains nothing.
    pub(crate) fn begin(&mut self) -> History {
        self.branch(None, false)
    }

    /// Begins a history after `base` whose offsets go on: a promotion, a restart from a snapshot.
    pub(crate) fn go_on(&mut self, base: Point) -> History {
        self.branch(Some(base), true)
    }

    /// Begins a history with the data of `base` and offsets from 0: a restart from a log.
    pub(crate) fn rebase(&mut self, base: Point) -> History {
        self.branch(Some(base), false)
    }

    fn branch(&mut self, base: Option<Point>, goes_on: bool) -> History {
        self.branches.push(Branch { base, goes_on, log: Vec::new() });
        self.branches.len() - 1
    }

    /// `write` was executed, and ends at `at`. False if it was executed before.
    pub(crate) fn append(&mut self, at: Point, write: Write) -> bool {
        if self.places.len() <= write {
            self.places.resize(write + 1, None);
        }
        self.branches[at.history].log.push(at.offset);
        self.places[write].replace(at).is_none()
    }

    pub(crate) fn was_executed(&self, write: Write) -> bool {
        self.places.get(write).is_some_and(Option::is_some)
    }

    /// Whether `point` contains `write`.
    pub(crate) fn contains(&self, point: Point, write: Write) -> bool {
        let Some(place) = self.places.get(write).copied().flatten() else { return false };
        let mut at = Some(point);
        while let Some(point) = at {
            if point.history == place.history {
                return place.offset <= point.offset;
            }
            at = self.branches[point.history].base_at(point.offset);
        }
        false
    }

    /// Whether `point` contains `write`, and replication ids tell so.
    pub(crate) fn tells(&self, point: Point, write: Write) -> bool {
        let place = self.places.get(write).copied().flatten();
        place.is_some_and(|it| self.place(point, it.history).is_some_and(|at| it.offset <= at))
    }

    /// How many writes `point` contains.
    pub(crate) fn keys(&self, point: Point) -> u64 {
        let (mut keys, mut at) = (0, Some(point));
        while let Some(point) = at {
            let branch = &self.branches[point.history];
            keys += branch.log.partition_point(|it| *it <= point.offset) as u64;
            at = branch.base_at(point.offset);
        }
        keys
    }

    /// How far `point` goes on `history`, in bytes that replication ids and offsets can tell.
    pub(crate) fn place(&self, point: Point, history: History) -> Option<u64> {
        let mut at = point;
        while at.history != history {
            let is_told = self.branches[at.history].goes_on;
            at = self.branches[at.history].base_at(at.offset).filter(|_| is_told)?;
        }
        Some(at.offset)
    }

    /// Whether servers say how two histories relate: one goes on from the other under its own name,
    /// or both do from the same one. A server says one such step, and one that came back from a log
    /// or empty says none.
    pub(crate) fn is_told(&self, one: History, other: History) -> bool {
        let from = |it: History| {
            let branch = &self.branches[it];
            branch.base.filter(|_| branch.goes_on).map(|it| it.history)
        };
        let (one_from, other_from) = (from(one), from(other));
        one_from == Some(other)
            || other_from == Some(one)
            || one_from.is_some() && one_from == other_from
    }

    /// Whether data of `descendant` grew out of `ancestor`.
    pub(crate) fn descends(&self, descendant: History, ancestor: History) -> bool {
        let mut at = Some(descendant);
        while let Some(history) = at {
            if history == ancestor {
                return true;
            }
            at = self.branches[history].base.map(|it| it.history);
        }
        false
    }
}

/// The replication id under which a history is known.
pub(crate) fn replid(history: History) -> ReplId {
    ReplId::parse(&format!("a{history:039}")).unwrap()
}
