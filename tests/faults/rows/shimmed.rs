//! Clocks that jump and disks that are slow or full: a library put under the real programs
//! (`shim.c`) says so to them.

use super::Row;
use crate::finish::Promise;
use crate::shim::{Knob, Side};
use crate::stage::{Setup, Stage};

pub(super) const ROWS: &[Row] = &[
    Row::new("F14a", "every fsync takes 200 ms", slow_disk)
        .setup(|| shimmed("always"))
        .promise(Promise::Unconfirmed),
    Row::new("F14b", "the disk is full", full_disk)
        .setup(|| shimmed("everysec"))
        .promise(Promise::Errors(&["MISCONF", "EXECABORT"])),
    Row::new("F17", "clocks jump by an hour and drift", clock_jumps)
        .setup(|| Setup { is_shimmed: true, ..Setup::default() })
        .promise(Promise::Unconfirmed),
];

/// A command waits for one or two of them: longer than `suspect_after`, shorter than `down_after` of the shipped configuration.
const FSYNC_MS: i64 = 200;

const HOUR: i64 = 3_600;

fn shimmed(fsync: &str) -> Setup {
    let server = ["--appendonly", "yes", "--appendfsync", fsync].map(str::to_owned).to_vec();
    let warnings = vec!["\"Node answers, and something is wrong with it\"".to_owned()];
    Setup { server, warnings, is_shimmed: true, ..Setup::default() }
}

/// Slower than ever, and alive: no failover.
fn slow_disk(stage: &mut Stage<'_>) {
    for side in [Side::Primary, Side::Replicas] {
        stage.turn(side, Knob::Fsync, FSYNC_MS);
    }
    stage.rounds(2, 4);
    for side in [Side::Primary, Side::Replicas] {
        stage.turn(side, Knob::Fsync, 0);
    }
    assert!(stage.node(0).is_primary(), "the primary is what it was");
}

/// The server itself refuses writes, and takes them again when there is room. (A replica whose disk
/// is full ends itself.)
fn full_disk(stage: &mut Stage<'_>) {
    stage.turn(Side::Primary, Knob::Full, 1);
    stage.rounds(100, 200);
    stage.turn(Side::Primary, Knob::Full, 0);
    stage.rounds(10, 20);
    assert!(stage.node(0).is_primary(), "the primary is what it was");
}

/// Nothing that Segue decides depends on the time of day, its own or the nodes'.
fn clock_jumps(stage: &mut Stage<'_>) {
    for _ in 0..4 {
        let sides = [Side::Primary, Side::Replicas, Side::Segue];
        let side = sides[stage.random.below(3) as usize];
        let jump = if stage.random.below(2) == 0 { HOUR } else { -HOUR };
        stage.turn(side, Knob::Clock, jump);
        stage.rounds(10, 30);
    }
    for drift in 0..20 {
        stage.turn(Side::Segue, Knob::Clock, drift);
        stage.rounds(1, 2);
    }
    assert!(stage.node(0).is_primary(), "the primary is what it was");
}
