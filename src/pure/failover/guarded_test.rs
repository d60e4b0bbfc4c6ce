//! Stories of guarded groups: who must not be promoted although he is there, and who may.

use super::super::story_test::{account, ask, outcome, serving};
use super::super::world_test::{Fault, World, params};
use super::super::{Ask, Event, Note, Params, Reject, Verdict};
use super::*;
use crate::pure::time::Time;
use crate::pure::topology::{Epoch, ReplId};

pub(super) const KNOWN: Guarded = Guarded { replicas_min: 1, always_quorum: false };

pub(super) fn replid(n: u64) -> ReplId {
    ReplId::parse(&format!("{n:040x}")).expect("an id")
}

pub(super) fn acked(replid: ReplId, offset: u64) -> Acknowledged {
    Acknowledged { epoch: Epoch(1), replid, offset }
}

pub(super) fn steady(guarded: Guarded) -> World {
    steady_with(3, guarded)
}

pub(super) fn steady_with(nodes: usize, guarded: Guarded) -> World {
    let mut world = World::new(nodes, Params { guarded: Some(guarded), ..params() });
    world.run(550);
    assert_eq!(serving(&world), Some(0));
    world
}

/// Tells that everything is acknowledged that `node` has.
fn acknowledge(world: &mut World, node: usize) {
    let (history, offset) = (replid(world.nodes[node].replid), world.nodes[node].offset);
    world.brain.acknowledged(acked(history, offset));
}

fn lacks(note: &Note) -> bool {
    matches!(note, Note::Rejected { why: Reject::LacksAcknowledged { .. }, .. })
}

fn no_quorum(note: &Note) -> bool {
    matches!(note, Note::Rejected { why: Reject::NoQuorum { .. }, .. })
}

#[test]
fn who_lacks_what_was_acknowledged_waits_for_who_has_it() {
    let mut world = steady(KNOWN);
    world.nodes[1].is_frozen = true;
    world.run(500);
    acknowledge(&mut world, 2);
    world.fault(Fault::Hang(2));
    world.fault(Fault::Kill(0));
    world.run(8_000);
    assert_eq!(serving(&world), None, "the only one there lacks something");
    assert!(world.notes.iter().any(lacks));
    let reason = world.brain.snapshot(Time::from_millis(world.now)).reason;
    assert!(reason.is_some_and(|it| it.contains("acknowledged as guarded")));
    world.fault(Fault::Resume(2));
    world.run(2_000);
    assert_eq!(serving(&world), Some(2));
}

#[test]
fn who_has_what_was_acknowledged_need_not_have_all() {
    let mut world = steady(KNOWN);
    acknowledge(&mut world, 1);
    world.nodes[1].is_frozen = true;
    world.run(500);
    assert!(world.nodes[1].offset < world.nodes[2].offset);
    world.fault(Fault::Kill(2));
    world.fault(Fault::Kill(0));
    world.run(3_000);
    assert_eq!(serving(&world), Some(1), "what it lacks was never acknowledged");
}

#[test]
fn without_knowledge_a_quorum_must_be_heard() {
    for guarded in [KNOWN, Guarded { always_quorum: true, ..KNOWN }] {
        let mut world = steady(guarded);
        if guarded.always_quorum {
            acknowledge(&mut world, 1);
        }
        world.fault(Fault::Hang(2));
        world.fault(Fault::Kill(0));
        world.run(6_000);
        assert_eq!(serving(&world), None, "{guarded:?}");
        assert!(world.notes.iter().any(no_quorum));
        world.fault(Fault::Resume(2));
        world.run(2_000);
        assert!(matches!(serving(&world), Some(1 | 2)), "{guarded:?}");
    }
    // With as many confirmations as there are replicas, each of them has everything.
    let mut world = steady(Guarded { replicas_min: 2, ..KNOWN });
    world.fault(Fault::Kill(2));
    world.fault(Fault::Kill(0));
    world.run(3_000);
    assert_eq!(serving(&world), Some(1));
}

#[test]
fn of_a_quorum_only_the_most_advanced_is_safe() {
    let mut world = steady(KNOWN);
    world.nodes[1].is_frozen = true;
    world.run(300);
    world.fault(Fault::Kill(0));
    world.run(3_000);
    assert_eq!(serving(&world), Some(2), "the one with more, whatever the priority");
    assert!(world.notes.iter().any(lacks), "the other was judged by it");
}

#[test]
fn what_was_acknowledged_is_remembered_over_promotions() {
    let mut world = steady_with(4, KNOWN);
    world.nodes[3].is_frozen = true;
    world.run(300);
    acknowledge(&mut world, 1);
    world.fault(Fault::Kill(0));
    // The second one hangs until it has followed nobody: it knows the first history only.
    world.fault(Fault::Hang(2));
    world.run(3_000);
    assert_eq!(serving(&world), Some(1));
    world.fault(Fault::Kill(1));
    world.nodes[3].is_frozen = true;
    world.run(6_000);
    assert_ne!(serving(&world), Some(3), "it lacks what the first epoch acknowledged");
    world.fault(Fault::Resume(2));
    world.run(3_000);
    assert_eq!(serving(&world), Some(2), "it has that");
}

/// What replicas have reported is older than what has been acknowledged since, as long as clients
/// write: that alone speaks against nobody.
#[test]
fn an_ordered_failover_judges_by_what_is_said_when_nobody_writes_any_more() {
    for asked in [ask(None), ask(Some("n2"))] {
        let mut world = steady(KNOWN);
        world.nodes.iter_mut().for_each(|it| it.offset += 10);
        acknowledge(&mut world, 1);
        let to = if asked.to.is_some() { 2 } else { 1 };
        world.step(Event::Forced(Ask { dry_run: true, ..asked.clone() }));
        assert_eq!(outcome(&world), Verdict::DryRun);
        world.step(Event::Forced(asked));
        world.run(500);
        assert_eq!((outcome(&world), serving(&world)), (Verdict::Done, Some(to)));
    }
}

#[test]
fn an_ordered_failover_that_would_lose_something_acknowledged_is_taken_back() {
    let mut world = steady(KNOWN);
    // They have said the same, and the second one gets nothing of what follows.
    world.nodes[0].offset += 10;
    world.nodes[2].offset += 10;
    world.nodes[1].is_frozen = true;
    acknowledge(&mut world, 2);
    world.step(Event::Forced(ask(Some("n1"))));
    world.run(1_000);
    let account = account(&world).expect("it ended");
    assert_eq!(account.outcome, Verdict::RolledBack, "{account:?}");
    assert!(account.reasons[0].contains("acknowledged as guarded"), "{account:?}");
    assert_eq!(serving(&world), Some(0));
    assert!(world.promoted.is_empty());
    // Known before, it is refused.
    world.step(Event::Forced(ask(Some("n1"))));
    assert_eq!(outcome(&world), Verdict::Refused);
    world.step(Event::Forced(ask(None)));
    world.run(500);
    assert_eq!(serving(&world), Some(2));
}

#[test]
fn an_empty_primary_is_never_forgiven() {
    for (guarded, expected) in [(None, Some(0)), (Some(KNOWN), None)] {
        let mut world = World::new(2, Params { guarded, ..params() });
        world.run(550);
        acknowledge(&mut world, 1);
        world.fault(Fault::Cut(0));
        world.fault(Fault::Kill(0));
        world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
        world.fault(Fault::Kill(1));
        world.run(50);
        world.fault(Fault::Heal(0));
        world.run(20_000);
        assert_eq!(serving(&world), expected, "{guarded:?}");
    }
}

/// Everybody is restarted one after the other, and comes back from a file that knows no history: nobody
/// has more than the primary, and nobody threw anything away for it.
#[test]
fn what_is_left_of_all_serves() {
    let mut amnesias = 0;
    for between in 0..40 {
        let mut world = steady(KNOWN);
        acknowledge(&mut world, 1);
        world.fault(Fault::Kill(0));
        world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
        world.run(between);
        for node in [1, 2] {
            world.fault(Fault::Kill(node));
            world.fault(Fault::Restart { node, keeps_keys: false, alone: false });
        }
        let is_promoted = world.nodes.iter().skip(1).any(|it| it.follows.is_none());
        world.run(3_000);
        amnesias += world.notes.iter().filter(|it| matches!(it, Note::Amnesia { .. })).count();
        assert!(is_promoted || serving(&world).is_some(), "after {between}: {:?}", world.notes);
    }
    assert!(amnesias > 0, "it was never taken for one that lost its data");
}

#[test]
fn a_replica_that_began_to_copy_an_empty_primary_still_has_what_it_had() {
    let mut world = steady_with(2, KNOWN);
    acknowledge(&mut world, 1);
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
    world.run(1_500);
    assert_eq!(serving(&world), Some(1));
}

#[test]
fn offsets_of_one_line_of_histories_are_compared() {
    let mut world = steady(KNOWN);
    world.brain.acknowledged(acked(replid(1), 500));
    world.brain.acknowledged(acked(replid(1), 400));
    assert_eq!(world.brain.acked.map(|it| it.offset), Some(500), "another worker's, told late");
    let anchor = |replid, descends| {
        let report = world.brain.serving.as_ref().expect("it serves").anchor.clone();
        Report { replid, descends, ..report }
    };
    assert_eq!(world.brain.known_floor(&anchor(replid(1), None)), Some(500));
    let child = anchor(replid(2), Some((replid(1), 501)));
    assert_eq!(world.brain.known_floor(&child), Some(500));
    assert_eq!(world.brain.known_floor(&anchor(replid(3), None)), None, "another history");

    let heir = anchor(replid(4), Some((replid(1), 500)));
    world.brain.note_heir(&child);
    assert!(world.brain.acked.is_some(), "it has everything");
    world.brain.note_heir(&heir);
    assert_eq!(world.brain.acked, None, "it lacks the last byte");

    world.brain.lineage.learn(&child);
    world.brain.acknowledged(acked(replid(2), 600));
    world.brain.acknowledged(acked(replid(1), 590));
    assert_eq!(world.brain.acked, Some(acked(replid(2), 600)));
    world.brain.acknowledged(acked(replid(9), 10));
    assert_eq!(world.brain.acked, Some(acked(replid(9), 10)), "the other history is gone");
}

/// Node 1 has what was acknowledged, and does not answer when the primary comes back without it.
fn restarted_with_less(guarded: Option<Guarded>) -> World {
    let mut world = World::new(3, Params { guarded, ..params() });
    world.run(550);
    world.nodes[2].is_frozen = true;
    world.run(300);
    acknowledge(&mut world, 1);
    world.fault(Fault::Hang(1));
    world.run(2_000);
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.nodes[0].keys = world.nodes[2].keys + 5;
    assert!(world.nodes[0].keys < world.nodes[1].keys);
    world.run(3_000);
    world
}

#[test]
fn a_primary_that_came_back_waits_for_who_may_have_more() {
    assert_eq!(serving(&restarted_with_less(None)), Some(0), "nothing was promised");
    let mut world = restarted_with_less(Some(KNOWN));
    assert_eq!(serving(&world), None, "{:?}", world.notes);
    let reason = world.brain.snapshot(Time::from_millis(world.now)).reason;
    assert!(reason.as_ref().is_some_and(|it| it.contains("may lack writes")), "{reason:?}");
    world.fault(Fault::Resume(1));
    world.run(3_000);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
}

#[test]
fn who_certainly_has_everything_takes_over_from_a_primary_that_came_back() {
    for (replicas_min, expected) in [(2, Some(1)), (1, None)] {
        let mut world = steady(Guarded { replicas_min, ..KNOWN });
        world.fault(Fault::Kill(2));
        world.fault(Fault::Kill(0));
        world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
        world.run(1_000);
        assert_eq!(serving(&world), expected, "{replicas_min}: {:?}", world.notes);
    }
}

#[test]
fn an_old_replicaof_leads_to_nobody_who_lacks_what_was_acknowledged() {
    for (guarded, expected) in [(None, Some(0)), (Some(KNOWN), None)] {
        let mut world = World::new(2, Params { guarded, ..params() });
        world.run(550);
        world.fault(Fault::Kill(0));
        world.run(3_000);
        assert_eq!(serving(&world), Some(1));
        world.run(500);
        world.fault(Fault::Kill(1));
        world.nodes[1].follows = Some(0);
        world.nodes[1].is_frozen = true;
        world.fault(Fault::Restart { node: 1, keeps_keys: true, alone: false });
        world.run(150);
        world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
        world.run(5_000);
        assert_eq!(serving(&world), expected, "{guarded:?} {:?}", world.notes);
        let reason = world.brain.snapshot(Time::from_millis(world.now)).reason;
        let is_said = reason.as_ref().is_some_and(|it| it.contains("n1 has more"));
        assert_eq!(is_said, guarded.is_some(), "{reason:?}");
    }
}

#[test]
fn a_primary_is_found_only_when_enough_replicas_say_that_they_have_no_more() {
    let both = Guarded { replicas_min: 2, ..KNOWN };
    for (guarded, expected) in [(None, Some(0)), (Some(both), Some(0)), (Some(KNOWN), None)] {
        let mut world = World::new(3, Params { guarded, ..params() });
        world.fault(Fault::Kill(2));
        world.run(5_000);
        assert_eq!(serving(&world), expected, "{guarded:?}");
        world.fault(Fault::Restart { node: 2, keeps_keys: true, alone: false });
        world.run(1_000);
        assert_eq!(serving(&world), Some(0), "{guarded:?} {:?}", world.notes);
    }
}

/// A replica has what was lost; the other one is empty, so too few say what they have. All were heard,
/// and keys do not tell who has more, since all of them expire.
#[test]
fn keys_that_expire_do_not_say_that_nobody_has_more() {
    let mut world = steady(Guarded { always_quorum: true, ..KNOWN });
    world.nodes.iter_mut().for_each(|it| it.is_cache = true);
    world.nodes[2].is_frozen = true;
    world.fault(Fault::Kill(2));
    world.fault(Fault::Restart { node: 2, keeps_keys: false, alone: false });
    world.run(500);
    world.nodes[1].is_frozen = true;
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.nodes[0].keys -= 5;
    world.run(3_000);
    assert_eq!(serving(&world), None, "{:?}", world.notes);
    let reason = world.brain.snapshot(Time::from_millis(world.now)).reason;
    assert!(reason.as_ref().is_some_and(|it| it.contains("n1 may have more")), "{reason:?}");
}

/// Segue starts, and the primary it finds came back with less. Node 1 copies that; node 2, which has
/// more as well, falls silent. What node 1 says then is what it was told by the one that lacks it.
#[test]
fn a_copy_of_what_came_back_does_not_prove_that_it_lacks_nothing() {
    let guarded = Some(Guarded { replicas_min: 2, ..KNOWN });
    let mut world = World::new(3, Params { guarded, ..params() });
    (world.nodes[0].replid, world.nodes[0].offset, world.nodes[0].keys) = (9, 10, 50);
    for n in [1, 2] {
        world.nodes[n].is_frozen = true;
    }
    world.run(550);
    let reason = |world: &World| {
        let now = Time::from_millis(world.now);
        world.brain.snapshot(now).reason.unwrap_or_default()
    };
    assert!(reason(&world).contains("n1 has more"), "{}", reason(&world));
    for n in [1, 2] {
        if n == 2 {
            assert_eq!(serving(&world), None, "{:?}", world.notes);
            assert!(reason(&world).contains("n2 had more"), "{}", reason(&world));
            world.fault(Fault::Resume(2));
        } else {
            world.fault(Fault::Hang(2));
        }
        let node = &mut world.nodes[n];
        (node.replid, node.offset, node.keys, node.is_frozen) = (9, 10, 50, false);
        world.run(5_000);
    }
    assert_eq!(serving(&world), Some(0), "nobody has more any more: {:?}", world.notes);
}
