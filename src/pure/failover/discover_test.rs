//! Stories of the first primary: who is waited for before it is chosen.

use super::super::Note;
use super::super::story_test::serving;
use super::super::world_test::{Fault, World, params};

/// Segue starts while it reaches nobody. Healed, two unrelated primaries answer; one of them counts
/// as up a moment before the other.
#[test]
fn whoever_is_trusted_first_is_not_chosen_for_that() {
    let mut params = params();
    params.detect.rise = 3;
    let mut world = World::new(3, params);
    for n in 0..3 {
        world.fault(Fault::Cut(n));
    }
    world.promote_by_hand(1);
    world.nodes[1].descends = None;
    world.run(3_000);
    for n in 0..3 {
        world.fault(Fault::Heal(n));
    }
    world.run(3_000);
    assert_eq!(serving(&world), None, "{:?}", world.notes);
    let is_conflict = |it: &Note| matches!(it, Note::Conflict { nodes } if nodes.len() == 2);
    assert!(world.notes.iter().any(is_conflict), "{:?}", world.notes);
}

/// It ends with trust: then there is but one, and it serves.
#[test]
fn who_answers_again_is_waited_for_and_no_longer() {
    let mut world = World::new(3, params());
    for n in 0..3 {
        world.fault(Fault::Cut(n));
    }
    world.run(3_000);
    for n in 0..2 {
        world.fault(Fault::Heal(n));
    }
    world.run(2_000);
    assert_eq!(serving(&world), Some(0), "{:?}", world.notes);
}

/// Two unrelated primaries were found, and one of them dies: it may have the data that counts.
#[test]
fn a_conflict_is_not_decided_by_who_is_left() {
    let mut world = World::new(3, params());
    let node = &mut world.nodes[2];
    (node.follows, node.replid, node.keys) = (None, 7, 40);
    world.run(1_000);
    assert!(world.notes.iter().any(|it| matches!(it, Note::Conflict { .. })), "{:?}", world.notes);
    world.fault(Fault::Kill(2));
    world.run(20_000);
    assert_eq!(serving(&world), None, "{:?}", world.notes);
    let is_told = |it: &Note| matches!(it, Note::Waiting { reason } if reason.contains("n2 does not answer now"));
    assert!(world.notes.iter().any(is_told), "{:?}", world.notes);
    // It comes back as a replica: there is nothing to decide any more.
    world.nodes[2].follows = Some(0);
    world.fault(Fault::Restart { node: 2, keeps_keys: false, alone: false });
    world.run(2_000);
    assert_eq!(serving(&world), Some(0), "{:?}", world.notes);
}

/// The same; and then the one that is left comes back empty. It defends nothing, and the other one is
/// not there.
#[test]
fn a_conflict_is_not_decided_by_who_comes_back_empty() {
    let mut world = World::new(3, params());
    let node = &mut world.nodes[2];
    (node.follows, node.replid, node.keys) = (None, 7, 40);
    world.run(1_000);
    world.fault(Fault::Kill(2));
    world.run(5_000);
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
    world.run(20_000);
    assert_eq!(serving(&world), None, "{:?}", world.notes);
    let was_taken = |it: &Note| matches!(it, Note::Discovered { .. } | Note::PrimaryLost { .. });
    assert!(!world.notes.iter().any(was_taken), "{:?}", world.notes);
}

/// It answers an error that only a process gives which lives, and says that it loads.
#[test]
fn who_has_not_said_what_it_has_is_not_chosen() {
    let mut world = World::new(3, params());
    world.nodes[0].says_loading = true;
    world.run(2_000);
    let was_found = |it: &Note| matches!(it, Note::Discovered { .. });
    assert!(!world.notes.iter().any(was_found), "{:?}", world.notes);
    world.nodes[0].says_loading = false;
    world.run(200);
    assert_eq!(serving(&world), Some(0), "{:?}", world.notes);
}
