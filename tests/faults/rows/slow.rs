//! Networks that are slow or lose packets.

use super::Row;
use crate::finish::Promise;
use crate::net::Host;
use crate::stage::{Setup, Stage};
use serde_json::{Value as Json, json};
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    Row::new("F15a", "10 % of all packets to Segue and the nodes lost", lossy)
        .needs_namespaces()
        .setup(|| Setup { config: patiently, ..Setup::default() })
        .promise(Promise::Nothing),
    Row::new("F15b", "200 ms of round trip between Segue and the nodes", distant)
        .setup(|| Setup { is_relayed: true, ..Setup::default() })
        .promise(Promise::Unconfirmed),
];

/// Replicas lose packets, too, and send them again later and later.
fn patiently(config: &mut Json) {
    if let Some(durability) = config["listen"][0].get_mut("durability") {
        durability["timeout"] = json!("10s");
    }
}

/// One way.
const DELAY: Duration = Duration::from_millis(100);

const LOSS_PERCENT: u32 = 10;

/// Whatever is lost is sent again; no failover for that.
fn lossy(stage: &mut Stage<'_>) {
    stage.say("packets are lost");
    for host in [Host::Node(0), Host::Node(1), Host::Node(2), Host::Proxy(0)] {
        stage.net.lose(host, LOSS_PERCENT);
    }
    stage.rounds(20, 40);
    assert!(stage.node(0).is_primary(), "the primary is what it was");
    stage.heal();
}

fn distant(stage: &mut Stage<'_>) {
    stage.say("the nodes are far away");
    stage.relays.iter().for_each(|it| it.delay(DELAY));
    stage.rounds(5, 10);
    assert!(stage.node(0).is_primary(), "the primary is what it was");
    stage.relays.iter().for_each(|it| it.delay(Duration::ZERO));
}
