//! Networks that are cut.

use super::Row;
use crate::finish::Promise;
use crate::harness::eventually;
use crate::load::Role;
use crate::net::{HOSTS, Host};
use crate::stage::{Setup, Stage};

pub(super) const ROWS: &[Row] = &[
    Row::new("F3", "primary's host vanishes", host_vanishes).bounded(1),
    Row::new("F4a", "one-way cut between Segue and the primary", one_way_here)
        .setup(talkative)
        .bounded(1),
    Row::new("F4b", "primary deaf, or dumb, to everybody", one_way_everywhere).bounded(1),
    Row::new("F4c", "as F4a, and the primary has nothing to tell its replicas", one_way_here)
        .setup(taciturn),
    Row::new("F5a", "replicas cut from the primary, then it is killed", cut_then_killed).bounded(1),
    Row::new("F5b", "one replica cut from the primary, then it is killed", one_cut_then_killed)
        .needs_namespaces()
        .bounded(1),
    Row::new("F6", "a Segue and the primary cut from the rest", minority)
        .setup(two_sides)
        .needs_namespaces(),
    Row::new("F7", "bridge, island, ring: everybody sees somebody", partial)
        .setup(talkative)
        .needs_namespaces()
        .promise(Promise::Nothing),
];

const PRIMARY: Host = Host::Node(0);
const SEGUE: Host = Host::Proxy(0);

/// How often a replica was believed.
const VETOES: &str = "segue_witness_vetoes_total";

fn host_vanishes(stage: &mut Stage<'_>) {
    stage.hurt();
    stage.isolate(PRIMARY);
    stage.promoted(&[1, 2]);
    stage.rounds(5, 30);
    stage.heal();
}

/// A replica can only vouch for a primary that says something. Without writes that is its ping,
/// every 10 s unless it is told otherwise.
fn talkative() -> Setup {
    let server = ["--repl-ping-replica-period", "1"].map(str::to_owned).to_vec();
    Setup { server, ..Setup::default() }
}

/// As servers are by default: nobody writes while Segue is cut off, so replicas hear nothing for up
/// to 10 s, and know nothing unless they are asked.
fn taciturn() -> Setup {
    Setup { server: Vec::new(), ..talkative() }
}

/// The replicas still hear the primary: the fault is Segue's, nobody is promoted.
fn one_way_here(stage: &mut Stage<'_>) {
    cut_from_segue(stage);
    let proxy = stage.proxy();
    eventually("a replica vouches", || (proxy.metric(VETOES) > 0.0).then_some(()));
    assert!(stage.node(0).is_primary(), "the primary is what it was");
    assert!(!stage.node(1).is_primary() && !stage.node(2).is_primary(), "nobody was promoted");
    stage.heal();
}

fn cut_from_segue(stage: &mut Stage<'_>) {
    if stage.random.below(2) == 0 {
        stage.cut_one_way(SEGUE, PRIMARY);
    } else {
        stage.cut_one_way(PRIMARY, SEGUE);
    }
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

/// Plain writes go on and are lost, and the metric says so before; guarded ones are not
/// acknowledged.
fn cut_then_killed(stage: &mut Stage<'_>) {
    for replica in [Host::Node(1), Host::Node(2)] {
        stage.cut(PRIMARY, replica);
    }
    let proxy = stage.proxy();
    let lag = |node: &str| proxy.metric(&format!("segue_node_lag_bytes{{node=\"{node}\"}}"));
    eventually("the lag is told", || (lag("b") > 1000.0 && lag("c") > 1000.0).then_some(()));
    stage.load.wait_any_rounds(20);
    stage.hurt();
    stage.kill(0);
    stage.promoted(&[1, 2]);
    // Not before: its kernel would still send what its process had left.
    stage.heal();
    stage.rounds(5, 20);
    stage.restart(0, true);
}

/// Whoever heard the primary to the end takes over.
fn one_cut_then_killed(stage: &mut Stage<'_>) {
    let behind = 1 + stage.random.below(2) as usize;
    stage.cut(PRIMARY, Host::Node(behind as u8));
    let series = format!("segue_node_lag_bytes{{node=\"{}\"}}", ["a", "b", "c"][behind]);
    let proxy = stage.proxy();
    eventually("the lag is told", || (proxy.metric(&series) > 1000.0).then_some(()));
    stage.load.wait_any_rounds(20);
    stage.hurt();
    stage.kill(0);
    let new = stage.promoted(&[1, 2]);
    assert_ne!(new, behind, "the replica that was behind was promoted");
    // Not before: its kernel would still send what its process had left.
    stage.heal();
    stage.rounds(5, 20);
    stage.restart(0, true);
}

/// Two Segues; the registers would tell what is known: on two sides there are two of each.
fn two_sides() -> Setup {
    let roles = [
        Role::Pushes,
        Role::Pushes,
        Role::Pushes,
        Role::Pushes,
        Role::Counts,
        Role::Counts,
        Role::Pipeline,
        Role::Pipeline,
    ];
    Setup { proxies: 2, roles: roles.to_vec(), ..talkative() }
}

/// Without a coordinator both sides go on; after the heal one history is left, the lost one is a
/// suffix, and nobody serves it any more.
fn minority(stage: &mut Stage<'_>) {
    stage.hurt();
    for one in [PRIMARY, SEGUE] {
        for other in [Host::Node(1), Host::Node(2), Host::Proxy(1)] {
            stage.cut(one, other);
        }
    }
    stage.promoted(&[1, 2]);
    stage.rounds(3, 10);
    stage.heal();
    stage.settled();
    stage.over();
}

/// Whoever matters still sees the primary: nothing changes.
fn partial(stage: &mut Stage<'_>) {
    match stage.random.below(3) {
        // A bridge: the replicas see the primary and not each other.
        0 => stage.cut(Host::Node(1), Host::Node(2)),
        // An island.
        1 => {
            let island = Host::Node(1 + stage.random.below(2) as u8);
            stage.isolate(island);
        }
        // A ring: a, b, c, Segue, a: each sees its neighbours.
        _ => {
            stage.cut(PRIMARY, Host::Node(2));
            stage.cut(SEGUE, Host::Node(1));
        }
    }
    stage.rounds(30, 60);
    assert!(stage.node(0).is_primary(), "the primary is what it was");
    stage.heal();
}
