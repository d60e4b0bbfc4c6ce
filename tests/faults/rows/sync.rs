//! Full synchronisations that take long.

use super::Row;
use crate::harness::eventually;
use crate::stage::Stage;

pub(super) const ROWS: &[Row] =
    &[Row::new("F12", "primary killed while a replica is in full sync", half_synced).bounded(1)];

/// Keys that make the copy long, and how long each takes.
const KEYS: usize = 2_000;
const KEY_DELAY_MICROS: &str = "20000";

/// A replica in its first sync has nothing, or half of it; only the other one may take over.
fn half_synced(stage: &mut Stage<'_>) {
    let mut client = stage.node(0).client();
    let filler: Vec<_> = (0..KEYS).map(|it| [format!("filler:{it}"), "x".to_owned()]).collect();
    let mset: Vec<_> =
        ["MSET"].into_iter().chain(filler.iter().flatten().map(String::as_str)).collect();
    assert_eq!(client.call(&mset), "+OK");
    let half = 1 + stage.random.below(2) as usize;
    let whole = 3 - half;
    stage.kill(half);
    assert_eq!(client.call(&["CONFIG", "SET", "rdb-key-save-delay", KEY_DELAY_MICROS]), "+OK");
    stage.restart(half, true);
    eventually("the copy begins", || {
        let info = stage.node(half).try_info("replication")?;
        (info.get("master_sync_in_progress")? == "1").then_some(())
    });
    stage.say("full sync begins");
    stage.rounds(1, 10);
    stage.hurt();
    stage.kill(0);
    let new = stage.promoted(&[1, 2]);
    assert_eq!(new, whole, "a half-synced replica was promoted");
    stage.rounds(5, 20);
    stage.restart(0, true);
}
