//! Processes that die.

use super::Row;
use crate::stage::Stage;

pub(super) const ROWS: &[Row] =
    &[Row::new("F1", "primary killed", primary_killed).bounded(2)];

/// The others take over; the old primary returns without its data and follows.
fn primary_killed(stage: &mut Stage<'_>) {
    stage.hurt();
    stage.kill(0);
    stage.promoted(&[1, 2]);
    stage.rounds(5, 30);
    stage.restart(0, true);
}
