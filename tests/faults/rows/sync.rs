//! Full synchronisations that take long.

use super::Row;
use super::crash::on_disk;
use crate::finish::Promise;
use crate::harness::eventually;
use crate::stage::Stage;

pub(super) const ROWS: &[Row] = &[
    Row::new("F12a", "primary killed while a replica is in full sync", half_synced).bounded(1),
    Row::new("F12b", "only a half-synced replica is left; the primary returns", only_half_synced)
        .setup(on_disk)
        .promise(Promise::Errors(&["TRYAGAIN"])),
];

/// Keys that make the copy long, and how long each takes.
const KEYS: usize = 2_000;
const KEY_DELAY_MICROS: &str = "8000";

/// A replica in its first sync has nothing, or half of it; only the other one may take over.
fn half_synced(stage: &mut Stage<'_>) {
    let half = begin_sync(stage);
    let whole = 3 - half;
    stage.rounds(1, 10);
    stage.hurt();
    stage.kill(0);
    let new = stage.promoted(&[1, 2]);
    assert_eq!(new, whole, "a half-synced replica was promoted");
    stage.rounds(5, 20);
    stage.restart(0, true);
}

/// Nobody can take over: commands are held until the primary is back with its disk.
fn only_half_synced(stage: &mut Stage<'_>) {
    let half = begin_sync(stage);
    stage.rounds(1, 10);
    stage.kill(3 - half);
    stage.hurt();
    stage.kill(0);
    let proxy = stage.proxy();
    eventually("it is said why nobody takes over", || {
        (proxy.logged("\"Replica cannot take over\"") > 0).then_some(())
    });
    assert!(!stage.node(half).is_primary(), "a half-synced replica was promoted");
    stage.restart(0, false);
    stage.over();
    stage.restart(3 - half, true);
}

/// A replica begins a copy that takes longer than the run. Gives it.
fn begin_sync(stage: &mut Stage<'_>) -> usize {
    let mut client = stage.node(0).client();
    let filler: Vec<_> = (0..KEYS).map(|it| [format!("filler:{it}"), "x".to_owned()]).collect();
    let mset: Vec<_> =
        ["MSET"].into_iter().chain(filler.iter().flatten().map(String::as_str)).collect();
    assert_eq!(client.call(&mset), "+OK");
    let half = 1 + stage.random.below(2) as usize;
    stage.kill(half);
    assert_eq!(client.call(&["CONFIG", "SET", "rdb-key-save-delay", KEY_DELAY_MICROS]), "+OK");
    stage.restart(half, true);
    eventually("the copy begins", || {
        let info = stage.node(half).try_info("replication")?;
        (info.get("master_sync_in_progress")? == "1").then_some(())
    });
    stage.say("full sync begins");
    half
}
