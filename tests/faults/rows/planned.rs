//! Changes of primary that somebody asked for.

use super::Row;
use crate::finish::Promise;
use crate::harness::segue;
use crate::stage::Stage;
use serde_json::Value as Json;

pub(super) const ROWS: &[Row] =
    &[Row::new("F24a", "segue switchover, back and forth", switchovers)
        .promise(Promise::Nothing)
        .bounded(1)];

/// Switchovers of one run.
const SWITCHOVERS: usize = 10;

fn switchovers(stage: &mut Stage<'_>) {
    for _ in 0..SWITCHOVERS {
        stage.settled();
        stage.rounds(2, 8);
        let config = stage.proxy().config();
        let config = config.to_str().expect("UTF-8");
        let output = segue(&["switchover", "--config", config, "--json"])
            .output()
            .expect("the command starts");
        let account: Json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert_eq!(output.status.code(), Some(0), "{account}");
        stage.changes += 1;
        stage.say(&format!("switched to {}, held {} ms", account["to"], account["held_ms"]));
    }
}
