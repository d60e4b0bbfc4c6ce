//! What clients were told is safe.

use super::{Epoch, ReplId};

/// Guarded writes up to this place in a history were acknowledged, or are about to be: enough
/// replicas have them. Whoever takes over must have as much.
///
/// A worker tells it *before* the replies leave; so once a worker has confirmed that an epoch is
/// severed, what it told last covers everything that it ever acknowledged in that epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Acknowledged {
    /// The epoch in which that was.
    pub epoch: Epoch,
    /// The history, as its primary named it when the connection was made.
    pub replid: ReplId,
    /// The place: bytes of that history.
    pub offset: u64,
}
