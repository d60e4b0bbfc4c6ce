//! What operators ask of the control plane.

use crate::pure::failover::{Account, Ask, Millis, Progress, Verdict};
use tokio::sync::mpsc;

/// A switchover that is asked for, and who hears how it goes.
#[derive(Debug)]
pub struct Request {
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
        reasons: vec!["another switchover is under way".to_owned()],
        warnings: Vec::new(),
        phases: Vec::new(),
        held_ms: Millis::default(),
        total_ms: Millis::default(),
    })
}
