//! Segue itself dies or stops, with another one beside it.

use super::Row;
use crate::stage::{Setup, Stage};

pub(super) const ROWS: &[Row] = &[
    Row::new("F18a", "a Segue killed; its clients go to the other", killed).setup(|| Setup {
        proxies: 2,
        reconnect: true,
        ..Setup::default()
    }),
    Row::new("F18b", "a Segue and the primary stopped, both resumed later", stopped)
        .setup(|| Setup { proxies: 2, ..Setup::default() }),
];

fn killed(stage: &mut Stage<'_>) {
    stage.say("kill the first Segue");
    stage.proxies.remove(0);
    stage.load.wait_rounds(10);
    stage.hurt();
    stage.kill(0);
    stage.promoted(&[1, 2]);
    stage.rounds(5, 20);
    stage.restart(0, true);
}

/// The sleeper wakes after its primary was replaced, and must not send it anything.
fn stopped(stage: &mut Stage<'_>) {
    stage.say("stop the first Segue");
    stage.proxies[0].freeze();
    stage.hurt();
    stage.freeze(0);
    stage.promoted(&[1, 2]);
    stage.load.wait_any_rounds(20);
    let (is_node_first, before) = (stage.random.below(2) == 0, stage.node(1).addr());
    if is_node_first {
        stage.thaw(0);
    }
    stage.say(&format!("resume the first Segue, successor near {before}"));
    stage.proxies[0].thaw();
    if !is_node_first {
        stage.rounds(1, 5);
        stage.thaw(0);
    }
}
