//! Stories of what a replica's word is worth: which place in which history it had last, and what that
//! does not prove.

use super::super::member::Had;
use super::super::story_test::serving;
use super::super::world_test::Fault;
use super::super::{Finding, Probed};
use super::tests::{KNOWN, acked, replid, steady, steady_with};
use super::*;
use crate::pure::time::Time;
use crate::pure::topology::{Role, RunId};

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

/// Node 1 copies a primary that lives. If it received still when it was heard last before, it may have
/// confirmed more than it said; then node 2 may lack something.
#[test]
fn the_word_of_who_received_still_is_not_exact() {
    for is_led in [true, false] {
        let mut world = steady(Guarded { always_quorum: true, ..KNOWN });
        let member = &mut world.brain.members[1];
        member.had.as_mut().expect("it was heard").is_led = is_led;
        let report = &mut member.seen.as_mut().expect("it was heard").report;
        report.offset = 1;
        let Role::Replica(link) = &mut report.role else { panic!("it is a replica") };
        link.state = LinkState::Down { secs: 0 };
        assert!(member.has_begun_to_copy(), "also if that has broken off");
        world.brain.members[0].seen = None;
        let now = Time::from_millis(world.now);
        let ranking = world.brain.ranking(now, NodeId(0), Loss::Deposed);
        let ranked: Vec<u16> = ranking.ranked.iter().map(|it| it.node.0).collect();
        assert_eq!(ranked.contains(&2), !is_led, "{ranking:?}");
    }
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
