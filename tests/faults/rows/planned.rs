//! Changes of primary that somebody asked for.

use super::Row;
use crate::finish::Promise;
use crate::harness::{eventually, segue};
use crate::stage::{Setup, Stage};
use serde_json::Value as Json;

pub(super) const ROWS: &[Row] = &[
    Row::new("F24a", "segue switchover, back and forth", switchovers)
        .promise(Promise::Nothing)
        .bounded(1),
    Row::new("F24c", "segue switchover while replication loses packets", lossy_switchovers)
        .setup(may_be_taken_back)
        .needs_namespaces()
        .promise(Promise::Unconfirmed)
        .bounded(1),
    Row::new("F24b", "FAILOVER of the server, Segue follows", failover_command)
        .needs_namespaces()
        .promise(Promise::Unconfirmed),
];

/// Changes of one run.
const SWITCHOVERS: usize = 10;
const FAILOVERS: usize = 3;

/// Switchovers over a bad network, and how bad it is.
const LOSSY_SWITCHOVERS: usize = 5;
const LOSS_PERCENT: u32 = 20;

/// Who cannot catch up in time, or answer what is in flight, is not waited for.
fn may_be_taken_back() -> Setup {
    let warnings = vec!["\"The switchover did not succeed\"".to_owned()];
    Setup { warnings, ..Setup::default() }
}

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

/// The target lags by retransmissions. A switchover waits for it or is taken back; either way
/// nobody notices.
fn lossy_switchovers(stage: &mut Stage<'_>) {
    stage.say("packets between nodes are lost");
    stage.net.lose_between_nodes(LOSS_PERCENT);
    for _ in 0..LOSSY_SWITCHOVERS {
        stage.rounds(2, 8);
        let config = stage.proxy().config();
        let config = config.to_str().expect("UTF-8");
        let output = segue(&["switchover", "--config", config, "--json", "--timeout", "2s"])
            .output()
            .expect("the command starts");
        let account: Json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        match output.status.code() {
            Some(0) => stage.changed(),
            // Refused, or taken back: all is as it was.
            Some(75) => (),
            code => panic!("{code:?}: {account}"),
        }
        stage.say(&format!("switchover: {}, held {} ms", account["outcome"], account["held_ms"]));
    }
    stage.heal();
}

/// The server drains itself; what it refuses meanwhile is proof that it did not run. It holds writes
/// until the replica says that it is in step, which it does once a second: a guarded write that was
/// executed just before may be confirmed too late.
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
