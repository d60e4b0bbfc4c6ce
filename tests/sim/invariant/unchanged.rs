//! When the primary returns before anybody was told to take over, nothing has changed.

use crate::sim::Sim;
use segue::pure::failover::Note;

impl Sim {
    pub(super) fn check_unchanged(&mut self, p: usize, note: &Note) {
        let eyes = &self.checker.eyes[p];
        let orders = eyes.orders_while_held;
        if let Note::Released { primary, epoch, was_lost: false, .. } = note {
            let owner = eyes.opened.get(epoch).copied();
            self.check(orders == 0 && owner == Some(usize::from(primary.0)), "unchanged", || {
                format!("released to {primary:?} in epoch {epoch} after {orders} promotions")
            });
        }
    }
}
