//! Stories of guarded groups: who must not be promoted although he is there, and who may.

use super::super::member::Had;
use super::super::story_test::{account, ask, outcome, serving};
use super::super::world_test::{Fault, World, params};
use super::super::{Ask, Event, Finding, Note, Params, Probed, Reject, Verdict};
use super::*;
use crate::pure::time::Time;
use crate::pure::topology::{Epoch, ReplId, Role, RunId};

const KNOWN: Guarded = Guarded { replicas_min: 1, always_quorum: false };

fn replid(n: u64) -> ReplId {
    ReplId::parse(&format!("{n:040x}")).expect("an id")
}

fn acked(replid: ReplId, offset: u64) -> Acknowledged {
    Acknowledged { epoch: Epoch(1), replid, offset }
}

fn steady(guarded: Guarded) -> World {
    steady_with(3, guarded)
}

fn steady_with(nodes: usize, guarded: Guarded) -> World {
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

/// What a replica said last that counts is what its word is worth, until it is told again: neither a copy
/// that broke off, nor what it read from a file, is a place at which it was confirmed.
#[test]
fn a_word_outlasts_a_copy_and_comes_from_no_file() {
    let world = steady(KNOWN);
    let lost = world.brain.serving.as_ref().expect("it serves").anchor.clone();
    let steps = [
        (LinkState::Up { idle_secs: 0 }, 500, Some(500)),
        (LinkState::Syncing, 1, Some(500)),
        (LinkState::Down { secs: 0 }, 1, Some(500)),
        (LinkState::Syncing, 1, Some(500)),
        (LinkState::Up { idle_secs: 0 }, 600, Some(600)),
        // Another process.
        (LinkState::Never, 400, None),
        (LinkState::Syncing, 1, None),
    ];
    let mut member = world.brain.members[1].clone();
    let template = member.report().expect("it was heard").clone();
    for (step, (state, offset, word)) in (0..).zip(steps) {
        let mut report = Report { offset, ..template.clone() };
        let Role::Replica(link) = &mut report.role else { panic!("it is a replica") };
        link.state = state;
        if step >= 5 {
            report.run_id = RunId::parse(&"5".repeat(40)).expect("an id");
        }
        let asked = Time::from_millis(1_000 + step);
        let finding = Finding::Good(Box::new(report.clone()));
        let probed = Probed { node: NodeId(1), asked, addr: None, aliases: Vec::new(), finding };
        member.learn(asked, probed);
        assert_eq!(world.brain.word(&lost, &member, &report), word, "{state:?} at {offset}");
        assert_eq!(member.had.map(|it| it.in_step), Some(step < 5), "{state:?} at {offset}");
    }
}

/// What a node says while it loads, and what another one said whose data it has copied since, is no word
/// of what it has.
#[test]
fn a_word_is_of_the_data_that_is_there() {
    let world = steady(KNOWN);
    let mut member = world.brain.members[1].clone();
    let mut learn = |change: &dyn Fn(&mut Report)| {
        let mut report = member.report().expect("it was heard").clone();
        change(&mut report);
        let finding = Finding::Good(Box::new(report.clone()));
        let asked = Time::from_millis(1_000);
        let node = NodeId(1);
        member.learn(asked, Probed { node, asked, addr: None, aliases: Vec::new(), finding });
        member.before_copy(&report).map(|it| it.offset)
    };
    let copies = |it: &mut Report| {
        (it.offset, it.loading) = (1, false);
        let Role::Replica(link) = &mut it.role else { panic!("it is a replica") };
        link.state = LinkState::Syncing;
    };
    learn(&|it| (it.offset, it.loading) = (700, false));
    learn(&|it| (it.offset, it.loading) = (900, true));
    assert_eq!(learn(&copies), Some(700));
    assert_eq!(learn(&|it| it.replid = replid(77)), None);
}

/// Node 2 went on by itself, and has begun to copy node 1. Its keys are as many as those of the primary,
/// which has less of the same line; it had more before.
#[test]
fn who_has_begun_to_copy_still_has_more() {
    let mut world = steady(Guarded { always_quorum: true, ..KNOWN });
    let lost = world.brain.serving.as_ref().expect("it serves").anchor.clone();
    let member = &mut world.brain.members[2];
    let mut apart = member.report().expect("it was heard").clone();
    (apart.replid, apart.descends) = (replid(502), Some((lost.replid, lost.offset - 50)));
    world.brain.lineage.learn(&apart);
    member.had = member.had.map(|it| Had { replid: apart.replid, offset: 2_000, ..it });
    let Role::Replica(link) = &mut apart.role else { panic!("it is a replica") };
    (link.state, apart.offset, apart.descends) = (LinkState::Syncing, 1, None);
    member.seen.as_mut().expect("it was heard").report = apart;
    let returned = Report { run_id: RunId::parse(&"5".repeat(40)).expect("an id"), ..lost.clone() };
    let reason = world.brain.may_lack(NodeId(0), &returned, &lost);
    assert!(reason.as_ref().is_some_and(|it| it.contains("n2 has more")), "{reason:?}");
}

/// It copies a primary that came back empty, and more was acknowledged than it said last: it may have
/// received the rest since; but not behind what it has of a file.
#[test]
fn what_a_file_gave_back_is_no_proof_of_having_everything() {
    for in_step in [true, false] {
        let mut world = steady_with(2, KNOWN);
        world.brain.acknowledged(acked(replid(1), world.nodes[1].offset + 500));
        world.fault(Fault::Kill(0));
        world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
        // The copy begins before anybody is asked again.
        world.run(1);
        world.brain.members[1].had.as_mut().expect("it was heard").in_step = in_step;
        world.run(1_500);
        assert_eq!(serving(&world), in_step.then_some(1), "{:?}", world.notes);
    }
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

/// Node 1 has copied an empty primary since commands were held; then clients are told of more. Others
/// have confirmed that, if anybody has.
#[test]
fn what_was_told_while_it_copied_others_have_confirmed() {
    for is_late in [false, true] {
        let mut world = steady_with(2, KNOWN);
        let told = acked(replid(1), world.nodes[1].offset + 500);
        if !is_late {
            world.brain.acknowledged(told);
        }
        world.fault(Fault::Hang(0));
        world.run(300);
        world.nodes[1].sync_until = Some(world.now + 10_000);
        world.run(300);
        assert!(world.brain.members[1].is_copying());
        if is_late {
            world.brain.acknowledged(told);
        }
        world.fault(Fault::Kill(0));
        world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
        world.run(3_000);
        assert_eq!(serving(&world), (!is_late).then_some(1), "{:?}", world.notes);
    }
}

/// Node 2 went on by itself, with a part of what was served. The primary comes back under a new name, as
/// node 1 has, and all keys expire: everybody is heard, and nothing tells who has more.
#[test]
fn who_went_on_by_himself_may_have_more_than_keys_that_expire_tell() {
    let mut world = steady(Guarded { always_quorum: true, ..KNOWN });
    let lost = world.brain.serving.as_ref().expect("it serves").anchor.clone();
    let cache = |n, descends| Report {
        replid: replid(n),
        descends,
        expiring_keys: lost.keys,
        offset: 0,
        ..lost.clone()
    };
    let (returned, restarted) = (cache(500, None), cache(501, None));
    let apart = Report { offset: 2_000, ..cache(502, Some((lost.replid, 900))) };
    for (n, report) in [(1, restarted), (2, apart)] {
        world.brain.lineage.learn(&report);
        world.brain.members[n].seen.as_mut().expect("it was heard").report = report;
    }
    let reason = world.brain.may_lack(NodeId(0), &returned, &lost);
    assert!(reason.as_ref().is_some_and(|it| it.contains("n2 may have more")), "{reason:?}");
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
