//! Stories of a lost primary: who is chosen too early, and what becomes of the choice.

use super::super::Note;
use super::super::story_test::{serving, steady};
use super::super::world_test::{Fault, World, params};

/// Between the look at a candidate and the order's arrival it copies something else, or less of the
/// same. It is primary then, without what it was chosen for; and nobody else's choice either.
#[test]
fn whoever_threw_away_what_it_was_chosen_for_does_not_serve() {
    for is_strange in [true, false] {
        let mut world = steady();
        world.fault(Fault::Kill(0));
        world.run_until_ordered();
        let chosen = usize::from(world.promoted[0].1.0);
        let node = &mut world.nodes[chosen];
        node.offset -= 100;
        node.replid = if is_strange { 999 } else { node.replid };
        world.run(3_000);
        let is_told = |it: &Note| matches!(it, Note::PromotionFailed { reason, .. } if reason.contains("other data"));
        assert!(world.notes.iter().any(is_told), "{:?}", world.notes);
        assert_eq!(serving(&world).map(usize::from), Some(3 - chosen), "{:?}", world.notes);
    }
}

/// Nobody was ever seen as primary, its replicas say who it was; it is back before anybody could be
/// promoted, answers `-BUSY`, and has not said what it is.
#[test]
fn a_primary_that_has_not_said_what_it_is_gets_nothing() {
    let mut world = World::new(3, params());
    world.fault(Fault::Kill(0));
    world.fault(Fault::SlowWorker(3_000));
    while !world.notes.iter().any(|it| matches!(it, Note::Committed { .. })) {
        assert!(world.now < 10_000, "nobody is lost: {:?}", world.notes);
        world.run(1);
    }
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.nodes[0].is_stranger = true;
    world.run(2_000);
    assert_eq!(serving(&world), None, "{:?}", world.notes);
}

/// The better replica is late with one answer, and the other one has drained.
#[test]
fn a_better_replica_that_is_only_late_is_not_passed_over() {
    let mut world = steady();
    world.nodes[1].is_frozen = true;
    world.run(250);
    world.fault(Fault::Kill(0));
    world.fault(Fault::Hang(2));
    world.run(500);
    assert!(world.promoted.is_empty(), "node 2 has more: {:?}", world.notes);
    world.fault(Fault::Resume(2));
    world.run(1_000);
    assert_eq!(serving(&world), Some(2), "{:?}", world.notes);
}

/// The same of one that was chosen while it copied, of which nobody knows how much it had: what it
/// copied meanwhile went on from the same history.
#[test]
fn whoever_was_chosen_while_it_copied_must_go_on_from_what_it_had() {
    let mut world = steady();
    let (history, offset) = (world.nodes[1].replid, world.nodes[1].offset);
    world.nodes[2].is_frozen = true;
    world.fault(Fault::Kill(2));
    world.fault(Fault::Kill(1));
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 1, keeps_keys: true, alone: false });
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    (world.nodes[1].replid, world.nodes[1].offset) = (history, offset);
    world.nodes[1].is_frozen = true;
    world.nodes[1].sync_until = Some(u64::MAX);
    world.nodes[0].keys = 1;
    (world.nodes[0].descends, world.nodes[0].offset) = (Some((history, 11)), 10);
    world.run_until_ordered();
    assert_eq!(world.promoted[0].1.0, 1);
    let (history, copied) = (world.nodes[0].replid, world.nodes[0].offset);
    let node = &mut world.nodes[1];
    (node.sync_until, node.replid, node.offset, node.keys) = (None, history, copied, 1);
    world.run(1_000);
    let is_told = |it: &Note| matches!(it, Note::PromotionFailed { reason, .. } if reason.contains("other data"));
    assert!(world.notes.iter().any(is_told), "{:?}", world.notes);
}

/// A replica whose access rules were changed answers nothing but errors. It says no more what it has, and
/// the other one takes over all the same.
#[test]
fn who_answers_only_errors_is_not_waited_for() {
    let mut world = steady();
    world.nodes[2].is_stranger = true;
    world.run(500);
    world.fault(Fault::Kill(0));
    world.run(3_000);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
}

/// The chosen one says that it is done, and is out of reach before a probe confirms it. It is primary:
/// nobody else is promoted, nor does the old one serve again.
#[test]
fn who_said_that_it_was_done_is_not_given_up() {
    let mut world = steady();
    world.fault(Fault::Kill(0));
    world.run_until_ordered();
    let chosen = world.promoted[0].1;
    world.run(1);
    world.fault(Fault::Cut(usize::from(chosen.0)));
    world.run(3_000);
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.run(5_000);
    assert!(world.promoted.iter().all(|it| it.1 == chosen), "{:?}", world.notes);
    assert_eq!(serving(&world), None, "{:?}", world.notes);
    world.fault(Fault::Heal(usize::from(chosen.0)));
    world.run(2_000);
    assert_eq!(serving(&world), Some(chosen.0), "{:?}", world.notes);
}
