//! What all nodes of the modelled group share: the data, and a record of everything that ran.
//!
//! Replication is perfect here: what one node executed, every node has. What a failover may lose
//! is the control plane's business; a session must not run a write twice or forget one.

use std::collections::{BTreeMap, VecDeque};

/// Something that was executed, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Run {
    pub(super) seq: u64,
    pub(super) node: usize,
    /// The connection that asked; `None` for a client that bypasses Segue.
    pub(super) conn: Option<u64>,
    /// The last argument of the request: unique for what the client model sends.
    pub(super) token: String,
}

/// The data of the group.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) strings: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    pub(super) lists: BTreeMap<Vec<u8>, VecDeque<Vec<u8>>>,
    /// When each key was last written, by sequence number.
    pub(super) touched: BTreeMap<Vec<u8>, Vec<u64>>,
    pub(super) runs: Vec<Run>,
    /// `WATCH` by its token, at the time of its last execution.
    pub(super) watches: BTreeMap<String, u64>,
    /// Values that were taken from lists.
    pub(super) popped: Vec<Vec<u8>>,
    pub(super) seq: u64,
}

impl Store {
    pub(super) fn tick(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub(super) fn touch(&mut self, key: &[u8]) {
        let seq = self.tick();
        self.touched.entry(key.to_vec()).or_default().push(seq);
    }

    pub(super) fn record(&mut self, node: usize, conn: Option<u64>, token: &[u8]) {
        let seq = self.tick();
        let token = String::from_utf8_lossy(token).into_owned();
        self.runs.push(Run { seq, node, conn, token });
    }

    /// How often the request with `token` ran.
    pub(super) fn times(&self, token: &str) -> usize {
        self.runs.iter().filter(|it| it.token == token).count()
    }

    /// Where the request with `token` ran last.
    pub(super) fn last_run(&self, token: &str) -> Option<&Run> {
        self.runs.iter().rfind(|it| it.token == token)
    }

    pub(super) fn touched_between(&self, key: &[u8], after: u64, before: u64) -> bool {
        self.touched.get(key).is_some_and(|it| it.iter().any(|&at| after < at && at < before))
    }
}
