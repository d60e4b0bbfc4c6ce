//! What operators ask of the control plane.

use crate::pure::failover::{Account, Adopt, Adoption, Ask, Millis, Progress, Verdict};
use tokio::sync::{mpsc, oneshot};

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Planned: without an error and without a loss, or not at all.
    Switchover,
    /// Forced: the primary is taken for lost, whatever it answers.
    Failover,
    /// Commands are held, for as long as the ask's time-out.
    Hold,
    /// They are let go.
    Release,
}

/// What operators ask for.
#[derive(Debug)]
pub enum Request {
    /// Another primary, or none for a while.
    Change(Change),
    /// Whose data wins.
    Adopt {
        /// What.
        ask: Adopt,
        /// The one answer.
        answer: oneshot::Sender<Adoption>,
    },
}

/// A change that an operator asks for, and who hears how it goes.
#[derive(Debug)]
pub struct Change {
    /// Which.
    pub kind: Kind,
    /// What.
    pub ask: Ask,
    /// Every line of the account; the last is [`Progress::Ended`]. A listener that does not
    /// listen misses lines, and nothing else.
    pub tell: mpsc::Sender<Progress>,
}

/// The answer while another one is under way.
pub(super) fn busy(epoch: u64) -> Progress {
    Progress::Ended(Account {
        outcome: Verdict::Refused,
        from: None,
        to: None,
        epoch,
        reasons: vec!["another switchover or failover is under way".to_owned()],
        warnings: Vec::new(),
        phases: Vec::new(),
        held_ms: Millis::default(),
        total_ms: Millis::default(),
    })
}
