//! Stories of somebody else's decision: who is followed, who is not yet, and what does not hide it.

use super::super::story_test::{serving, steady};
use super::super::world_test::{Fault, Node, World, params};
use super::super::{Ask, Event, Note, Order, Params, Progress, Rejoin};
use crate::pure::topology::Gate;
use std::time::Duration;

/// Node 1 runs as a process that nobody saw as a replica, and is primary.
fn reborn() -> World {
    let mut world = steady();
    world.fault(Fault::Kill(1));
    world.fault(Fault::Restart { node: 1, keeps_keys: true, alone: true });
    world
}

/// Somebody sends `replica` behind `leader`, with whom it is in step at once.
fn take_over(world: &mut World, leader: usize, replica: usize) {
    let Node { replid, descends, offset, .. } = world.nodes[leader];
    let node = &mut world.nodes[replica];
    (node.replid, node.descends, node.offset) = (replid, descends, offset);
    node.follows = Some(leader);
}

/// What a node has is not known before it has loaded it: neither of one that was promoted out of our
/// history, nor of one that our primary was sent behind.
#[test]
fn an_heir_that_loads_is_not_followed_before_it_has_loaded() {
    for promoted in [true, false] {
        let mut world = if promoted { steady() } else { reborn() };
        world.promote_by_hand(1);
        world.nodes[1].says_loading = true;
        world.nodes[0].follows = Some(1);
        for n in [0, 2] {
            world.nodes[n].is_frozen = true;
        }
        world.run(500);
        let is_followed = |it: &Note| matches!(it, Note::FailedOver { .. });
        assert!(!world.notes.iter().any(is_followed), "promoted: {promoted}, {:?}", world.notes);
        world.nodes[1].says_loading = false;
        world.run(300);
        assert_eq!(serving(&world), Some(1), "promoted: {promoted}, {:?}", world.notes);
        assert!(world.promoted.is_empty(), "it was somebody else's decision");
    }
}

/// Our primary was sent behind node 2, and node 2 behind node 1, whom nobody saw as a replica.
#[test]
fn a_primary_that_was_turned_leads_along_a_chain_of_replicas() {
    let mut world = reborn();
    let (replid, offset, keys) =
        (world.nodes[1].replid, world.nodes[1].offset, world.nodes[1].keys);
    for (n, of) in [(2, 1), (0, 2)] {
        let node = &mut world.nodes[n];
        (node.replid, node.offset, node.keys) = (replid, offset, keys);
        node.follows = Some(of);
    }
    world.run(600);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
    assert!(world.promoted.is_empty(), "it was somebody else's decision");
}

/// A replica that is asked to connect anew, to see whether it reaches the primary, is turned by
/// somebody else at this moment, and its answer to us is lost.
#[test]
fn a_reconnection_under_way_does_not_hide_an_heir() {
    let mut world = steady();
    world.fault(Fault::Hang(0));
    world.fault(Fault::Cut(0));
    let is_asked = |it: &&Order| matches!(it, Order::Reconnect { .. });
    let asked = |world: &World| world.orders.iter().find(is_asked).map(|it| it.node().0);
    while asked(&world).is_none() {
        assert!(world.now < 10_000, "nobody is asked: {:?}", world.notes);
        world.run(1);
    }
    let heir = asked(&world).expect("just seen");
    world.fault(Fault::LoseAnswer { carried_out: false });
    world.promote_by_hand(usize::from(heir));
    world.run(500);
    assert_eq!(serving(&world), Some(heir), "{:?}", world.notes);
    assert!(world.promoted.is_empty(), "it was somebody else's decision");
}

/// Another proxy promoted node 1 on its side of a cut, and sent node 2 behind it; ours is the side of
/// the old primary. Healed, either may be heard first, and neither is trusted at its first word.
#[test]
fn a_successor_behind_a_cut_is_followed_and_neither_demoted_nor_robbed() {
    for first in [1, 2] {
        let mut params = params();
        params.detect.rise = 5;
        let mut world = World::new(3, params);
        world.run(500);
        world.fault(Fault::Cut(1));
        world.fault(Fault::Cut(2));
        world.run(2_000);
        world.promote_by_hand(1);
        take_over(&mut world, 1, 2);
        assert_eq!(serving(&world), Some(0));
        world.fault(Fault::Heal(first));
        world.run(200);
        let is_held = world.route.gate == Gate::Held;
        assert_eq!(is_held, first == 1, "what goes to ours would be lost: {:?}", world.notes);
        world.fault(Fault::Heal(3 - first));
        world.run(1_500);
        assert_eq!(serving(&world), Some(1), "{first} first: {:?}", world.notes);
        let robs = |it: &Order| matches!(it, Order::Follow { primary, .. } if primary.0 == 0);
        assert!(!world.orders.iter().any(robs), "{first} first: {:?}", world.orders);
    }
}

/// Another proxy promoted node 2 and sent node 1 behind it. Node 1 is asked before node 2, which said
/// last that it is a replica of ours.
#[test]
fn nobody_is_taken_from_a_successor_that_was_not_asked_since() {
    let mut world = steady();
    world.promote_by_hand(2);
    take_over(&mut world, 2, 1);
    world.run(1_500);
    assert_eq!(serving(&world), Some(2), "{:?}", world.notes);
    let robs = |it: &Order| matches!(it, Order::Follow { primary, .. } if primary.0 == 0);
    assert!(!world.orders.iter().any(robs), "{:?}", world.orders);
}

/// The same, and the successor runs as a process that nobody here has seen as a replica. Those that it
/// has taken over say what it is: also while it is out of reach, and then nothing goes to ours.
#[test]
fn replicas_that_were_taken_over_tell_of_a_successor() {
    let mut world = World::new(3, params());
    world.run(500);
    world.fault(Fault::Cut(1));
    world.fault(Fault::Kill(1));
    world.run(2_000);
    world.fault(Fault::Restart { node: 1, keeps_keys: true, alone: false });
    world.nodes[1].replid = world.nodes[0].replid;
    world.promote_by_hand(1);
    take_over(&mut world, 1, 2);
    world.run(1_000);
    assert_eq!(world.route.gate, Gate::Held, "what goes to ours would be lost: {:?}", world.notes);
    let is_told = |it: &Note| matches!(it, Note::Held { reason, .. } if reason.contains("n1 has its replicas now"));
    assert!(world.notes.iter().any(is_told), "{:?}", world.notes);
    world.fault(Fault::Heal(1));
    world.run(1_500);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
    let robs = |it: &Order| matches!(it, Order::Follow { primary, .. } if primary.0 == 0);
    assert!(!world.orders.iter().any(robs), "{:?}", world.orders);
    assert!(world.promoted.is_empty(), "it was somebody else's decision");
}

/// A human promoted node 1, sent our primary behind it, and promoted that again, all while Segue stood
/// still: it goes on from node 1, which has nothing to say any more.
#[test]
fn a_primary_that_was_turned_and_back_is_not_left_for_who_led_it() {
    let mut world = steady();
    world.fault(Fault::Stall(4_000));
    world.promote_by_hand(1);
    take_over(&mut world, 1, 0);
    world.promote_by_hand(0);
    world.run(6_000);
    assert_eq!(serving(&world), Some(0), "{:?}", world.notes);
    let is_followed = |it: &Note| matches!(it, Note::FailedOver { .. });
    assert!(!world.notes.iter().any(is_followed), "{:?}", world.notes);
}

/// Our primary is restarted from a snapshot, which continues its history under a new name. What follows it
/// by way of a replica that is out of our reach has not been taken over.
#[test]
fn a_chain_that_goes_on_with_our_primary_is_not_taken_over() {
    let mut world = World::new(3, Params { rejoin: Rejoin::Off, ..params() });
    world.run(500);
    world.fault(Fault::Cut(1));
    world.run(2_000);
    world.fault(Fault::Kill(0));
    world.run(60);
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.nodes[0].is_loading = true;
    let (offset, keys) = (world.nodes[1].offset, world.nodes[1].keys);
    for (n, of) in [(0, None), (1, Some(0)), (2, Some(1))] {
        let node = &mut world.nodes[n];
        (node.replid, node.descends, node.follows) = (700, Some((1, offset + 1)), of);
        (node.offset, node.keys) = (offset, keys);
    }
    world.run(200);
    assert_eq!(world.route.gate, Gate::Held, "it loads, and its replicas have spoken");
    world.nodes[0].is_loading = false;
    world.run(1_500);
    assert_eq!(serving(&world), Some(0), "{:?}", world.notes);
}

/// Replicas are taken over in the middle of a switchover: it is taken back, and nobody else is promoted.
#[test]
fn a_switchover_ends_when_replicas_were_taken_over() {
    let mut world = World::new(4, params());
    world.run(500);
    world.fault(Fault::Cut(1));
    world.run(2_000);
    world.drain_ms = 10_000;
    let to = Some("n3".to_owned());
    let timeout = Duration::from_secs(5);
    world.step(Event::Asked(Ask { to, timeout, dry_run: false, findings: Vec::new() }));
    world.run(60);
    world.promote_by_hand(1);
    take_over(&mut world, 1, 2);
    world.run(1_000);
    assert_eq!(world.route.gate, Gate::Held, "{:?}", world.notes);
    assert!(world.promoted.is_empty(), "{:?}", world.notes);
    let ended = world.told.iter().find_map(|it| match it {
        Progress::Ended(account) => Some(account.reasons.join(", ")),
        Progress::Began { .. } | Progress::Phase(_) => None,
    });
    assert!(ended.as_ref().is_some_and(|it| it.contains("n1 has its replicas now")), "{ended:?}");
}

/// An order to follow ours reached node 2, and its answer was lost; then another proxy promoted it,
/// since ours came back empty. Nobody is promoted beside it.
#[test]
fn nobody_is_promoted_beside_who_may_still_be_turned() {
    let mut world = steady();
    world.nodes[2].follows = Some(1);
    world.fault(Fault::LoseAnswer { carried_out: true });
    while world.orders.is_empty() {
        world.run(1);
    }
    world.run(100);
    assert_eq!(world.nodes[2].follows, Some(0), "it was told");
    world.fault(Fault::Kill(0));
    world.promote_by_hand(2);
    world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
    world.run(400);
    assert!(world.promoted.is_empty(), "{:?}", world.notes);
    world.run(2_000);
    assert_eq!(serving(&world), Some(2), "{:?}", world.notes);
    assert!(world.promoted.is_empty(), "it was somebody else's decision");
}

/// Node 2 has not answered an order yet when our primary comes back from an old file, behind node 1,
/// which came back empty. It would be copied in a moment, but node 2 has more.
#[test]
fn who_has_more_and_is_being_turned_is_waited_for() {
    let mut world = steady();
    world.nodes[2].follows = Some(1);
    world.fault(Fault::LoseAnswer { carried_out: true });
    while world.orders.is_empty() {
        world.run(1);
    }
    world.run(100);
    world.fault(Fault::Kill(1));
    world.fault(Fault::Restart { node: 1, keeps_keys: false, alone: true });
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: false });
    let node = &mut world.nodes[0];
    (node.follows, node.replid, node.offset, node.is_frozen) = (Some(1), 1, 1_100, true);
    world.run(3_000);
    assert_eq!(serving(&world), Some(2), "{:?}", world.notes);
    assert_eq!(world.promoted.len(), 1, "{:?}", world.notes);
}
