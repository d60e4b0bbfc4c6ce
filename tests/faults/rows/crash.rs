//! Processes that die.

use super::Row;
use crate::finish::Promise;
use crate::harness::eventually;
use crate::stage::{NODES, Setup, Stage};

pub(super) const ROWS: &[Row] = &[
    Row::new("F1", "primary killed", primary_killed).bounded(2),
    Row::new("F8", "successor killed during its promotion", successor_killed).bounded(2),
    Row::new("F9", "new primary killed at once", killed_twice),
    Row::new("F10a", "both replicas killed", replicas_killed).promise(Promise::Unconfirmed),
    Row::new("F10b", "primary and a replica killed", two_killed),
    Row::new("F11a", "all killed, back in any order, data on disk", all_killed)
        .setup(on_disk)
        .promise(Promise::Errors(&["TRYAGAIN"]))
        .bounded(1),
    Row::new("F11b", "primary killed, back at once without its data", amnesia)
        .setup(warned)
        .bounded(1),
];

/// The others take over; the old primary returns without its data and follows.
fn primary_killed(stage: &mut Stage<'_>) {
    stage.hurt();
    stage.kill(0);
    stage.promoted(&[1, 2]);
    stage.rounds(5, 30);
    stage.restart(0, true);
}

/// Whoever comes after the primary dies too: before it was asked, while it is asked, or just after.
/// The last one serves, and never two.
fn successor_killed(stage: &mut Stage<'_>) {
    stage.hurt();
    stage.kill(0);
    let victim = match stage.random.below(3) {
        0 => {
            stage.held();
            1 + stage.random.below(2) as usize
        }
        1 => {
            let proxy = stage.proxy();
            eventually("a promotion begins", || {
                (proxy.logged("\"Promoting a replica\"") > 0).then_some(())
            });
            promoting(stage)
        }
        _ => stage.promoted(&[1, 2]),
    };
    if stage.changes > 0 {
        stage.hurt();
    }
    // Whether it got so far is chance; if it did, that was a change, too.
    if stage.changes == 0 {
        stage.maybe_promoted(victim);
    }
    stage.kill(victim);
    stage.promoted(&[3 - victim]);
    stage.rounds(5, 20);
    stage.restart(0, true);
    stage.restart(victim, true);
}

/// The candidate that the log names.
fn promoting(stage: &Stage<'_>) -> usize {
    let log = stage.proxy().log();
    let is_c = log.contains("\"Promoting a replica\",\"candidate\":\"c\"");
    if is_c { 2 } else { 1 }
}

fn killed_twice(stage: &mut Stage<'_>) {
    stage.hurt();
    stage.kill(0);
    let first = stage.promoted(&[1, 2]);
    stage.load.wait_any_rounds(1);
    stage.hurt();
    stage.kill(first);
    stage.promoted(&[3 - first]);
    stage.rounds(5, 20);
    stage.restart(0, true);
    stage.restart(first, true);
}

fn replicas_killed(stage: &mut Stage<'_>) {
    stage.kill(1);
    stage.rounds(1, 10);
    stage.kill(2);
    stage.rounds(5, 20);
    stage.restart(2, true);
    stage.restart(1, true);
}

fn two_killed(stage: &mut Stage<'_>) {
    let replica = 1 + stage.random.below(2) as usize;
    stage.kill(replica);
    stage.rounds(1, 10);
    stage.hurt();
    stage.kill(0);
    stage.promoted(&[3 - replica]);
    stage.rounds(5, 20);
    stage.restart(replica, true);
    stage.restart(0, true);
}

/// Every acknowledged write is on the disk of the primary.
pub(super) fn on_disk() -> Setup {
    let server = ["--appendonly", "yes", "--appendfsync", "always"].map(str::to_owned).to_vec();
    // A log has no history: a guarded primary is taken for one that lost its data, by a replica that
    // is restarted a moment later, maybe just after it was chosen.
    let warnings = [
        "\"The promotion did not happen\"",
        "\"The primary came back without its data; saving a replica's\"",
        "\"Nobody who held more data came back; serving what is left\"",
    ];
    Setup { server, warnings: warnings.map(str::to_owned).to_vec(), ..Setup::default() }
}

/// Whoever serves at the end has what the disk of the primary had.
fn all_killed(stage: &mut Stage<'_>) {
    let mut order: Vec<_> = (0..NODES).collect();
    for at in (1..NODES).rev() {
        order.swap(at, stage.random.below(at as u64 + 1) as usize);
    }
    stage.hurt();
    for at in order.iter().rev() {
        stage.kill(*at);
    }
    stage.held();
    for at in order {
        stage.restart(at, false);
    }
    stage.over();
}

/// A person must know of it: what was saved, and from whom.
fn warned() -> Setup {
    Setup {
        warnings: vec!["\"The primary came back without its data".to_owned()],
        ..Setup::default()
    }
}

/// Restarts without a file, before anybody can have been promoted or a moment later: replicas that
/// resynchronised with it would be wiped.
fn amnesia(stage: &mut Stage<'_>) {
    stage.hurt();
    stage.kill(0);
    if stage.random.below(2) == 0 {
        stage.held();
    }
    stage.restart(0, true);
    stage.promoted(&[1, 2]);
}
