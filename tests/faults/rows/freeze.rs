//! Processes that stop and go on.

use super::Row;
use crate::finish::Promise;
use crate::stage::{Setup, Stage};
use serde_json::json;

pub(super) const ROWS: &[Row] = &[
    Row::new("F2a", "primary stopped, resumed after a failover", stopped_for_long).bounded(2),
    Row::new("F2b", "primary stopped, resumed before detection", stopped_briefly)
        .setup(patient)
        .promise(Promise::Nothing)
        .bounded(1),
];

fn stopped_for_long(stage: &mut Stage<'_>) {
    stage.hurt();
    stage.freeze(0);
    stage.promoted(&[1, 2]);
    stage.rounds(5, 30);
    stage.thaw(0);
}

/// Detection that no busy machine reaches in the time of a signal.
fn patient() -> Setup {
    Setup { config: |it| it["health"]["down_after"] = json!("12s"), ..Setup::default() }
}

/// Whatever was in flight is answered by the connection that it went out on.
fn stopped_briefly(stage: &mut Stage<'_>) {
    for _ in 0..3 {
        stage.freeze(0);
        stage.held();
        stage.thaw(0);
        stage.rounds(3, 10);
    }
}
