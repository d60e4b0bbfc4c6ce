//! Stories of witnesses, and of a primary that was dead before anybody came.

use super::super::story_test::serving;
use super::super::world_test::{Fault, World, params};
use super::super::{Note, Order, Params, Witnessless};
use crate::pure::topology::Gate;

fn steady(params: Params) -> World {
    let mut world = World::new(3, params);
    world.run(600);
    assert_eq!(serving(&world), Some(0));
    world
}

fn reconnects(world: &World) -> usize {
    world.orders.iter().filter(|it| matches!(it, Order::Reconnect { .. })).count()
}

/// Nobody writes while commands are held, so the replicas hear nothing: they are asked.
#[test]
fn a_quiet_primary_that_replicas_reach_is_spared() {
    let mut world = steady(params());
    world.fault(Fault::Cut(0));
    world.run(30_000);
    assert!(world.promoted.is_empty(), "{:?}", world.notes);
    assert_eq!(world.route.gate, Gate::Held);
    let told = world.notes.iter().filter(|it| matches!(it, Note::Witnessed { .. })).count();
    assert!(told >= 1, "{:?}", world.notes);
    assert!((2..=8).contains(&reconnects(&world)), "each now and then: {}", reconnects(&world));
    let overdue = world.notes.iter().find_map(|it| match it {
        Note::Overdue { reason } => Some(reason.as_str()),
        _ => None,
    });
    assert!(overdue.is_some_and(|it| it.contains("still receives")), "{:?}", world.notes);
    world.fault(Fault::Heal(0));
    world.run(500);
    assert_eq!(serving(&world), Some(0));
}

#[test]
fn a_host_that_replicas_lost_too_is_replaced() {
    let mut world = steady(params());
    world.fault(Fault::Hang(0));
    world.fault(Fault::Cut(0));
    world.run(2_500);
    assert!(reconnects(&world) > 0);
    assert_ne!(serving(&world), Some(0), "{:?}", world.notes);
    assert!(serving(&world).is_some(), "{:?}", world.notes);
}

/// It lived when it was asked about, and died later, with Segue still cut off from it.
#[test]
fn a_testimony_does_not_last_for_ever() {
    let mut world = steady(params());
    world.fault(Fault::Cut(0));
    world.run(5_000);
    world.fault(Fault::Hang(0));
    world.run(5_000);
    assert!(world.promoted.is_empty(), "the word still counts");
    world.run(12_000);
    assert!(serving(&world).is_some_and(|it| it != 0), "{:?}", world.notes);
}

/// A replica that was busy reads late what the primary sent before it hung. It is believed while
/// it may have heard just that, and then asked.
#[test]
fn what_a_busy_replica_reads_late_does_not_keep_a_dead_primary() {
    let mut world = steady(params());
    world.nodes[0].offset += 50;
    world.fault(Fault::Hang(0));
    world.run(900);
    world.read_late(2, 50);
    world.run(400);
    assert!(world.notes.iter().any(|it| matches!(it, Note::Witnessed { .. })), "{:?}", world.notes);
    assert!(world.promoted.is_empty(), "its word counts: {:?}", world.notes);
    world.run(2_500);
    assert_eq!(serving(&world), Some(2), "the one that has most: {:?}", world.notes);
}

#[test]
fn where_nobody_can_be_asked_the_policy_decides() {
    for (without_witness, is_promoted) in [(Witnessless::Wait, false), (Witnessless::Promote, true)]
    {
        let mut world = steady(Params { without_witness, ..params() });
        world.fault(Fault::Hang(0));
        world.fault(Fault::Cut(0));
        world.nodes[1].keeps_link = true;
        world.nodes[2].keeps_link = true;
        world.run(10_000);
        assert_eq!(serving(&world).is_some(), is_promoted, "{without_witness:?}");
    }
}

/// Nobody was ever seen as primary, and yet it is known who it was.
#[test]
fn a_primary_that_was_dead_before_is_replaced_if_all_replicas_agree() {
    let mut world = World::new(3, params());
    world.nodes[2].offset -= 100;
    world.fault(Fault::Kill(0));
    world.run(5_000);
    assert!(world.notes.iter().any(|it| matches!(it, Note::Orphaned { .. })), "{:?}", world.notes);
    assert_eq!(serving(&world), Some(1), "the one with more");
    assert_eq!(world.nodes[2].follows, Some(1));
}

#[test]
fn but_not_if_one_of_them_is_missing_or_of_another_history() {
    for odd in [true, false] {
        let mut world = World::new(3, params());
        world.fault(Fault::Kill(0));
        if odd {
            world.nodes[2].replid = 9;
        } else {
            world.fault(Fault::Kill(2));
        }
        world.run(10_000);
        assert_eq!(world.route.gate, Gate::Held);
        assert!(world.promoted.is_empty());
    }
}

/// Bytes may be long under way; a connection is made now.
#[test]
fn a_link_that_is_up_again_testifies_at_once() {
    let params = Params { without_witness: Witnessless::Promote, ..params() };
    let mut world = steady(params);
    world.fault(Fault::Cut(0));
    for n in [1, 2] {
        world.nodes[n].is_frozen = true;
    }
    world.run(900);
    world.nodes[1].is_frozen = false;
    world.run(1_000);
    assert!(world.promoted.is_empty(), "{:?}", world.notes);
    assert!(world.notes.iter().any(|it| matches!(it, Note::Witnessed { .. })), "{:?}", world.notes);
}
