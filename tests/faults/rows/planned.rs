//! Changes of primary that somebody asked for.

use super::Row;
use crate::finish::Promise;
use crate::harness::{eventually, segue};
use crate::stage::Stage;
use serde_json::Value as Json;

pub(super) const ROWS: &[Row] = &[
    Row::new("F24a", "segue switchover, back and forth", switchovers)
        .promise(Promise::Nothing)
        .bounded(1),
    Row::new("F24b", "FAILOVER of the server, Segue follows", failover_command)
        .needs_namespaces()
        .promise(Promise::Nothing),
];

/// Changes of one run.
const SWITCHOVERS: usize = 10;
const FAILOVERS: usize = 3;

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
        stage.changed();
        stage.say(&format!("switched to {}, held {} ms", account["to"], account["held_ms"]));
    }
}

/// The server drains itself; what it refuses meanwhile is proof that it did not run.
fn failover_command(stage: &mut Stage<'_>) {
    for _ in 0..FAILOVERS {
        let old = stage.settled();
        stage.rounds(2, 8);
        stage.say("FAILOVER");
        assert_eq!(stage.node(old).call(&["FAILOVER"]), "+OK");
        eventually("another is primary", || {
            let others = stage.alive().into_iter().filter(|it| *it != old);
            others.map(|it| stage.node(it)).any(|it| it.is_primary()).then_some(())
        });
        stage.changed();
    }
}
