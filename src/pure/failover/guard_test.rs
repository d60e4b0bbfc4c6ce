//! Stories of the guards: what must *not* happen, or only in one case of two.

use super::story_test::serving;
use super::world_test::{Fault, World, params};
use super::{Event, Note, Outcome};
use crate::pure::topology::{Epoch, Gate, NodeId, Signal, SignalKind};

fn steady() -> World {
    let mut world = World::new(3, params());
    world.run(550);
    assert_eq!(serving(&world), Some(0));
    world
}

fn is_amnesia(note: &Note) -> bool {
    matches!(note, Note::Amnesia { .. })
}

/// Kills the primary and brings it back at once, `change`d.
fn restart_changed(change: impl FnOnce(&mut World)) -> World {
    restart_in(steady(), change)
}

fn restart_in(mut world: World, change: impl FnOnce(&mut World)) -> World {
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    change(&mut world);
    world.run(200);
    world
}

#[test]
fn an_older_data_set_is_amnesia_by_its_keys() {
    let world = restart_changed(|world| world.nodes[0].keys -= 20);
    assert!(world.notes.iter().any(is_amnesia));
    assert_ne!(serving(&world), Some(0));
}

#[test]
fn keys_that_expire_are_missed_only_when_half_of_them_are_gone() {
    for (share, expected) in [(4, true), (1, false)] {
        let mut world = steady();
        for node in &mut world.nodes {
            node.is_cache = true;
        }
        world.run(200);
        let world = restart_in(world, |world| world.nodes[0].keys /= share);
        assert_eq!(world.notes.iter().any(is_amnesia), expected, "1/{share} of the keys");
    }
}

#[test]
fn an_older_snapshot_is_amnesia_by_its_offset() {
    for (behind, expected) in [(100, true), (0, false)] {
        let world = restart_changed(|world| {
            let offset = world.nodes[1].offset;
            world.nodes[0].descends = Some((world.nodes[1].replid, offset + 1 - behind));
            world.nodes[0].offset = offset - behind;
        });
        assert_eq!(world.notes.iter().any(is_amnesia), expected, "{behind} bytes behind");
    }
}

#[test]
fn a_replica_restarted_on_its_own_is_no_successor() {
    let mut world = steady();
    world.fault(Fault::Kill(2));
    world.run(50);
    let (replid, offset) = (world.nodes[2].replid, world.nodes[2].offset);
    world.fault(Fault::Restart { node: 2, keeps_keys: true, alone: true });
    world.nodes[2].descends = Some((replid, offset + 1));
    world.nodes[2].offset = offset;
    world.run(1_000);
    assert_eq!(serving(&world), Some(0));
    assert_eq!(world.route.epoch, Epoch(1));
    assert_eq!(world.nodes[2].follows, Some(0));
}

#[test]
fn a_signal_about_another_epoch_is_stale() {
    let mut world = steady();
    let version = world.route.version;
    let signal = Signal { epoch: Epoch(0), node: NodeId(0), kind: SignalKind::NotPrimary };
    world.step(Event::Signalled(signal));
    world.run(20);
    assert_eq!(world.route.version, version);
}

#[test]
fn silence_while_we_stood_still_is_no_silence() {
    let mut world = steady();
    world.fault(Fault::Stall(3_000));
    world.fault(Fault::Hang(0));
    world.run(2_999);
    world.fault(Fault::Resume(0));
    world.run(500);
    assert_eq!(serving(&world), Some(0));
    assert_eq!(world.route.epoch, Epoch(1));
    assert!(!world.notes.iter().any(|it| matches!(it, Note::PrimaryLost { .. })));
}

/// The own timer is late only by what it was slept *after* it was due; sleep begins before.
#[test]
fn no_verdict_counts_the_time_before_the_alarm_either() {
    let mut world = steady();
    world.fault(Fault::Hang(0));
    world.run(150);
    let alive = world.brain.members[0].detector.alive_at();
    world.fault(Fault::Stall(3_000));
    world.run(3_010);
    let slept = world.brain.members[0].detector.alive_at().since(alive);
    assert!(slept.as_millis() >= 3_000, "only {slept:?} of 3 s are forgiven");
}

#[test]
fn a_refusal_from_before_we_woke_is_out_of_date() {
    let mut world = steady();
    world.fault(Fault::Stall(500));
    world.fault(Fault::Kill(0));
    world.run(300);
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.run(300);
    // That it was restarted is news, and the only one.
    let is_other = |it: &Note| matches!(it, Note::Held { reason, .. } if !reason.contains("runs as another process"));
    assert!(!world.notes.iter().any(is_other), "{:?}", world.notes);
}

#[test]
fn roles_changed_by_hand_have_a_second() {
    let mut world = steady();
    world.nodes[0].follows = Some(1);
    world.run(700);
    assert_eq!(world.route.gate, Gate::Held);
    world.promote_by_hand(1);
    world.run(300);
    assert_eq!(serving(&world), Some(1));
    assert!(world.promoted.is_empty());
}

/// Somebody else promoted node 1 and turned the others, while only we do not reach it.
#[test]
fn a_primary_out_of_our_reach_that_others_follow_is_left_in_charge() {
    let mut params = params();
    params.detect.rise = 5;
    let mut world = World::new(3, params);
    world.run(500);
    assert_eq!(serving(&world), Some(0));
    world.fault(Fault::Cut(1));
    world.run(500);
    world.promote_by_hand(1);
    for n in [0, 2] {
        world.nodes[n].offset = world.nodes[1].offset;
        world.nodes[n].follows = Some(1);
    }
    world.run(5_000);
    assert!(world.promoted.is_empty(), "they still receive from it: {:?}", world.notes);
    assert_eq!(world.route.gate, Gate::Held);
    world.fault(Fault::Heal(1));
    world.run(1_000);
    assert!(world.promoted.is_empty(), "it is back, though not trusted yet: {:?}", world.notes);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
}

/// Node 1 runs as another process, from a snapshot that has its place in the history.
fn restart_with_history(world: &mut World) {
    let (history, offset) = (world.nodes[1].replid, world.nodes[1].offset);
    world.fault(Fault::Kill(1));
    world.fault(Fault::Restart { node: 1, keeps_keys: true, alone: false });
    (world.nodes[1].replid, world.nodes[1].offset) = (history, offset);
}

/// Node 1 shall be primary, of which there is no word; node 2 has less.
fn ordered_without_an_answer() -> World {
    let mut world = steady();
    world.nodes[2].is_frozen = true;
    world.run(200);
    world.fault(Fault::LoseAnswer { carried_out: false });
    world.fault(Fault::Kill(0));
    world.run_until_ordered();
    world
}

/// Its promotion got no answer, and the process that it was meant for is gone. The next one has as
/// much, and node 2 has less.
#[test]
fn a_candidate_that_was_restarted_is_judged_anew() {
    let mut world = ordered_without_an_answer();
    world.run(5);
    restart_with_history(&mut world);
    world.run(2_000);
    let is_restarted = |it: &Note| matches!(it, Note::PromotionFailed { reason, .. } if reason.contains("restarted"));
    assert!(world.notes.iter().any(is_restarted), "{:?}", world.notes);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
}

/// The same, but a last look before the order found the other process, and nothing was sent.
#[test]
fn a_refusal_holds_for_the_process_that_was_chosen() {
    let mut world = ordered_without_an_answer();
    restart_with_history(&mut world);
    let order = world.orders.last().expect("ordered").clone();
    world.step(Event::Ordered { order, outcome: Outcome::Refused("restarted".to_owned()) });
    world.run(2_000);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
}

/// Each time that node 1 is told, it dies, and is back before anybody counts it as down.
#[test]
fn whoever_dies_of_its_promotion_is_chosen_no_more_than_twice() {
    let mut world = steady();
    world.nodes[2].is_frozen = true;
    world.run(200);
    world.nodes[2].is_frozen = false;
    world.fault(Fault::Kill(0));
    for _ in 0..4_000 {
        if world.promoted.iter().all(|it| it.1 == NodeId(1)) {
            world.fault(Fault::LoseAnswer { carried_out: false });
        }
        let told = world.promoted.len();
        world.run(1);
        if world.promoted.len() > told && world.promoted[told].1 == NodeId(1) {
            restart_with_history(&mut world);
        }
    }
    let times = world.promoted.iter().filter(|it| it.1 == NodeId(1)).count();
    assert_eq!((serving(&world), times), (Some(2), 2), "{:?}", world.promoted);
}

#[test]
fn what_may_have_been_promoted_is_never_passed_over_for_being_out_of_reach() {
    let mut world = steady();
    world.fault(Fault::Kill(0));
    world.run_until_ordered();
    world.fault(Fault::Hang(1));
    world.fault(Fault::Hang(2));
    world.run(1_500);
    let first = world.promoted.first().expect("asked").1;
    let (first_at, other) = (usize::from(first.0), 3 - usize::from(first.0));
    world.fault(Fault::Cut(first_at));
    world.fault(Fault::Resume(other));
    world.run(6_000);
    assert!(world.promoted.iter().all(|it| it.1 == first), "{:?}", world.promoted);
    assert_eq!(world.route.gate, Gate::Held);
    world.fault(Fault::Resume(first_at));
    world.fault(Fault::Heal(first_at));
    world.run(3_000);
    assert_eq!(serving(&world), Some(first.0));
}

#[test]
fn what_a_replica_has_received_is_waited_for() {
    let mut world = steady();
    // At the verdict it would lose against the other one; when it has drained it has more.
    world.nodes[2].is_frozen = true;
    world.run(200);
    world.nodes[1].undrained = 900;
    world.run(150);
    world.fault(Fault::Kill(0));
    world.run(330);
    assert!(world.promoted.is_empty(), "{:?}", world.notes);
    assert!(world.nodes[1].offset < world.nodes[2].offset);
    world.run(800);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
}

#[test]
fn refused_by_a_primary_that_replicas_hear_is_no_death() {
    let mut world = steady();
    world.nodes[0].is_refusing = true;
    for _ in 0..20 {
        world.run(50);
        world.nodes[0].offset += 10;
    }
    assert!(world.promoted.is_empty(), "{:?}", world.notes);
    assert_eq!(world.route.gate, Gate::Held);
    world.nodes[0].is_refusing = false;
    world.run(300);
    assert_eq!(serving(&world), Some(0));
}

#[test]
fn a_server_that_was_started_empty_claims_nothing_and_joins() {
    let mut world = World::new(3, params());
    let node = &mut world.nodes[2];
    (node.follows, node.replid, node.offset, node.keys) = (None, 7, 0, 0);
    world.run(500);
    assert_eq!(serving(&world), Some(0));
    assert_eq!(world.nodes[2].follows, Some(0));
}

#[test]
fn a_server_with_other_data_is_left_to_a_human() {
    let mut world = World::new(3, params());
    world.fault(Fault::Kill(2));
    world.run(1_000);
    assert_eq!(serving(&world), Some(0));
    world.fault(Fault::Restart { node: 2, keeps_keys: true, alone: true });
    world.run(2_000);
    assert_eq!(world.nodes[2].follows, None);
    assert!(world.notes.iter().any(|it| matches!(it, Note::LeftAlone { node: NodeId(2), .. })));
}

#[test]
fn a_primary_that_was_replaced_while_nobody_looked_is_not_found() {
    let mut world = World::new(3, params());
    let node = &mut world.nodes[1];
    (node.follows, node.replid, node.descends) = (Some(2), 9, Some((1, 500)));
    world.fault(Fault::Kill(2));
    world.run(3_000);
    assert_eq!(world.route.gate, Gate::Held);
}

#[test]
fn two_primaries_of_different_data_are_left_to_a_human() {
    let mut world = World::new(3, params());
    (world.nodes[2].follows, world.nodes[2].replid) = (None, 7);
    world.run(3_000);
    assert_eq!(world.route.gate, Gate::Held);
    let is_said =
        |it: &Note| matches!(it, Note::Waiting { reason } if reason.contains("primaries"));
    assert!(world.notes.iter().any(is_said));
    // And the one that continues the other's history is followed.
    world.nodes[2].descends = Some((1, 500));
    world.run(300);
    assert_eq!(serving(&world), Some(2));
}

#[test]
fn a_suspect_is_waited_for_before_anybody_is_chosen() {
    let mut world = World::new(3, params());
    (world.nodes[2].follows, world.nodes[2].replid) = (None, 7);
    // Nobody is chosen before node 1 is given up, and by then node 2 is late.
    world.fault(Fault::Cut(1));
    world.run(600);
    world.fault(Fault::Hang(2));
    world.run(700);
    assert_eq!(world.route.gate, Gate::Held, "late with an answer is no reason to pass it over");
    world.run(3_000);
    assert_eq!(serving(&world), Some(0));
}

/// Replicas that had more than the new primary's fork when it was promoted, and were not sent behind
/// it before it came back empty, have nearly all there is.
#[test]
fn an_empty_primary_does_not_wipe_who_went_on_after_the_fork() {
    let mut world = steady();
    let (parent, fork) = (world.nodes[1].replid, world.nodes[1].offset - 20);
    (world.nodes[0].replid, world.nodes[0].descends) = (77, Some((parent, fork)));
    for replica in &mut world.nodes[1..] {
        replica.is_frozen = true;
    }
    world.run(150);
    assert_eq!(serving(&world), Some(0));
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
    world.run(15_000);
    assert!(world.notes.iter().any(is_amnesia), "{:?}", world.notes);
    assert_eq!(serving(&world), None, "{:?}", world.notes);
    assert!(!world.notes.iter().any(|it| matches!(it, Note::Forgiven { .. })));
}

#[test]
fn a_second_restart_with_the_data_ends_the_amnesia() {
    let mut world = steady();
    // Nobody can take over, so it stays as it is.
    world.fault(Fault::Kill(2));
    world.run(1_000);
    world.nodes[1].is_frozen = true;
    let keys = world.nodes[0].keys;
    world.fault(Fault::SlowWorker(5_000));
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
    world.run(1_000);
    assert!(world.notes.iter().any(is_amnesia), "{:?}", world.notes);
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.nodes[0].keys = keys + 1_000;
    world.run(1_000);
    assert_eq!(serving(&world), Some(0), "{:?}", world.notes);
    assert!(world.promoted.is_empty());
}

/// An error on a new connection may come from another process, which has nothing.
#[test]
fn an_error_from_who_knows_whom_is_no_sign_of_life() {
    let mut world = steady();
    world.nodes[0].is_stranger = true;
    world.run(300);
    assert_eq!(world.route.gate, Gate::Held, "{:?}", world.notes);
    world.run(2_000);
    assert!(world.promoted.is_empty(), "it answers, so it is not dead either");
    world.nodes[0].is_stranger = false;
    world.run(300);
    assert_eq!(serving(&world), Some(0));
}

#[test]
fn reasons_that_take_turns_are_told_once() {
    let mut world = World::new(3, params());
    world.fault(Fault::Kill(0));
    world.fault(Fault::Kill(2));
    world.run(1_000);
    for _ in 0..20 {
        world.fault(Fault::Hang(1));
        world.run(1_500);
        world.fault(Fault::Resume(1));
        world.run(500);
    }
    let waits = world.notes.iter().filter(|it| matches!(it, Note::Waiting { .. })).count();
    assert!((1..=10).contains(&waits), "{waits} times in 41 s: five reasons, each told twice");
}

/// Two role changes by hand that cross leave two replicas of each other. Whoever continues the
/// other's history has everything, and is made primary again.
#[test]
fn replicas_of_each_other_are_sorted_out_by_lineage() {
    let mut world = World::new(2, params());
    world.run(600);
    let fork = world.nodes[1].offset + 1;
    let (ours, theirs) = (world.nodes[0].replid, 77);
    // Node 1 was promoted at a point that node 0 had not passed, and both follow now.
    world.nodes[1].replid = theirs;
    world.nodes[1].descends = Some((ours, fork));
    world.nodes[0].offset = fork - 1;
    world.nodes[1].offset = fork + 40;
    world.cross(0, 1);
    world.run(5_000);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
    assert_eq!(world.nodes[0].follows, Some(1));
}

#[test]
fn but_if_each_has_what_the_other_lacks_a_human_decides() {
    let mut world = World::new(2, params());
    world.run(600);
    let fork = world.nodes[1].offset + 1;
    let ours = world.nodes[0].replid;
    world.nodes[1].replid = 77;
    world.nodes[1].descends = Some((ours, fork));
    world.nodes[0].offset = fork + 30;
    world.nodes[1].offset = fork + 40;
    world.cross(0, 1);
    world.run(5_000);
    assert_eq!(world.route.gate, Gate::Held, "{:?}", world.notes);
    let is_said = |it: &Note| matches!(it, Note::Waiting { reason } if reason.contains("adopt"));
    assert!(world.notes.iter().any(is_said), "{:?}", world.notes);
}

/// The old primary answers first, and says that all is well; another one was promoted meanwhile.
#[test]
fn after_a_long_stall_everybody_is_heard_before_anything_is_released() {
    let mut world = steady();
    world.fault(Fault::Stall(3_000));
    world.run(100);
    world.promote_by_hand(1);
    world.run(4_000);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
    let is_released = |it: &Note| matches!(it, Note::Released { .. });
    assert!(!world.notes.iter().any(is_released), "{:?}", world.notes);
    assert_eq!(world.nodes[0].follows, Some(1));
}
