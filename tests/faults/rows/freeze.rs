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
    Row::new("F16", "primary flaps: stopped again and again", flapping),
];

/// Stops of one run of F16.
const FLAPS: usize = 4;

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

/// Whoever is primary is stopped until a successor serves, and comes back.
fn flapping(stage: &mut Stage<'_>) {
    for _ in 0..FLAPS {
        let primary = stage.settled();
        stage.rounds(20, 60);
        let others: Vec<_> = stage.alive().into_iter().filter(|it| *it != primary).collect();
        stage.hurt();
        stage.freeze(primary);
        stage.promoted(&others);
        stage.rounds(1, 10);
        stage.thaw(primary);
    }
}
