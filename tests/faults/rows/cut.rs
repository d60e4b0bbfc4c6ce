//! Networks that are cut.

use super::Row;
use crate::harness::eventually;
use crate::net::{HOSTS, Host};
use crate::stage::Stage;

pub(super) const ROWS: &[Row] = &[
    Row::new("F3", "primary's host vanishes", host_vanishes).bounded(1),
    Row::new("F4a", "one-way cut between Segue and the primary", one_way_here).bounded(1),
    Row::new("F4b", "primary deaf, or dumb, to everybody", one_way_everywhere).bounded(1),
];

const PRIMARY: Host = Host::Node(0);
const SEGUE: Host = Host::Proxy(0);

fn host_vanishes(stage: &mut Stage<'_>) {
    stage.hurt();
    stage.isolate(PRIMARY);
    stage.promoted(&[1, 2]);
    stage.rounds(5, 30);
    stage.heal();
}

/// The replicas still hear the primary: the fault is Segue's, nobody is promoted.
fn one_way_here(stage: &mut Stage<'_>) {
    let vetoes = || "segue_witness_vetoes_total";
    let before = stage.proxy().metric(vetoes());
    if stage.random.below(2) == 0 {
        stage.cut_one_way(SEGUE, PRIMARY);
    } else {
        stage.cut_one_way(PRIMARY, SEGUE);
    }
    let proxy = stage.proxy();
    eventually("a replica vouches", || (proxy.metric(vetoes()) > before).then_some(()));
    assert!(stage.node(0).is_primary() && !stage.node(1).is_primary(), "nobody was promoted");
    stage.heal();
}

/// Nobody can work with such a primary.
fn one_way_everywhere(stage: &mut Stage<'_>) {
    let is_deaf = stage.random.below(2) == 0;
    stage.hurt();
    for other in HOSTS.into_iter().filter(|it| *it != PRIMARY) {
        let (from, to) = if is_deaf { (other, PRIMARY) } else { (PRIMARY, other) };
        stage.cut_one_way(from, to);
    }
    stage.promoted(&[1, 2]);
    stage.rounds(5, 30);
    stage.heal();
}
