//! Forced failovers in the small world: one story a test, and then whatever can go wrong.

use super::story_test::{account, any_trouble, ask, check_settled, heal, outcome, serving, steady};
use super::world_test::{Fault, World, params};
use super::{Ask, Event, Note, Order, Progress, Stage, Verdict};
use crate::pure::topology::{Epoch, Gate};
use proptest::prelude::*;

#[test]
fn a_primary_that_is_well_is_replaced_and_demoted() {
    let mut world = steady();
    world.step(Event::Forced(ask(None)));
    assert_eq!(world.route.gate, Gate::Held, "nothing goes to it from this moment on");
    world.run(500);
    assert_eq!(serving(&world), Some(1));
    assert_eq!(world.route.epoch, Epoch(2));
    assert!(!world.route.handed_over, "what was in flight is uncertain");
    let account = account(&world).expect("it ended");
    assert_eq!(account.outcome, Verdict::Done, "{account:?}");
    let stages: Vec<_> = account.phases.iter().map(|it| it.phase).collect();
    assert_eq!(stages, [Stage::Sever, Stage::Promote, Stage::Repoint]);
    assert_eq!((world.nodes[0].follows, world.nodes[2].follows), (Some(1), Some(1)));
}

#[test]
fn the_named_replica_takes_over() {
    let mut world = steady();
    world.step(Event::Forced(ask(Some("n2"))));
    world.run(500);
    assert_eq!(outcome(&world), Verdict::Done);
    assert_eq!(serving(&world), Some(2));
    let promoted: Vec<_> = world.promoted.iter().map(|it| it.1.0).collect();
    assert_eq!(promoted, [2], "nobody else was touched");
}

#[test]
fn nobody_is_promoted_before_the_old_primary_is_out_of_reach() {
    let mut world = steady();
    world.fault(Fault::SlowWorker(700));
    world.step(Event::Forced(ask(None)));
    world.run(600);
    assert!(world.promoted.is_empty());
    // And who is promoted has said what it has since then, not before.
    world.run(800);
    assert_eq!(serving(&world), Some(1));
}

#[test]
fn a_worker_that_does_not_confirm_takes_it_back() {
    let mut world = steady();
    world.fault(Fault::SlowWorker(10_000));
    world.step(Event::Forced(ask(None)));
    world.run(2_500);
    assert_eq!(outcome(&world), Verdict::RolledBack);
    assert_eq!(serving(&world), Some(0));
    assert!(world.promoted.is_empty() && world.orders.is_empty());
}

#[test]
fn a_look_touches_nothing_and_says_what_would_be_lost() {
    let mut world = steady();
    let version = world.route.version;
    world.step(Event::Forced(Ask { dry_run: true, ..ask(Some("n2")) }));
    let account = account(&world).expect("it ended");
    assert_eq!((account.outcome, account.to.as_deref()), (Verdict::DryRun, Some("n2")));
    assert!(account.warnings.iter().any(|it| it.contains("is lost: ")), "{account:?}");
    assert!(account.warnings[0].contains("segue switchover"), "{account:?}");
    assert_eq!(world.route.version, version);
}

#[test]
fn every_replica_that_cannot_has_its_reason() {
    let mut world = steady();
    world.step(Event::Forced(ask(Some("n0"))));
    assert_eq!(account(&world).expect("ended").reasons, ["n0 is the primary already"]);
    world.step(Event::Forced(ask(Some("n9"))));
    assert_eq!(outcome(&world), Verdict::NoSuchNode);
    world.fault(Fault::Kill(1));
    world.run(1_000);
    world.step(Event::Forced(ask(Some("n1"))));
    let reasons = &account(&world).expect("ended").reasons;
    assert_eq!(*reasons, ["n1 cannot take over: it refuses connections"]);
    world.fault(Fault::Kill(2));
    world.run(1_000);
    world.step(Event::Forced(ask(None)));
    assert_eq!(account(&world).expect("ended").reasons.len(), 2);
    assert_eq!(serving(&world), Some(0), "refused: nothing was touched");
    assert!(world.orders.is_empty());
}

#[test]
fn not_while_a_switchover_or_another_one_is_under_way() {
    let mut world = steady();
    world.drain_ms = 300;
    world.step(Event::Asked(ask(Some("n1"))));
    world.run(10);
    world.step(Event::Forced(ask(Some("n2"))));
    let reasons = account(&world).expect("ended").reasons.clone();
    assert_eq!(reasons, ["a switchover is under way"]);
    world.run(1_000);
    assert_eq!(serving(&world), Some(1), "it goes on");
    world.fault(Fault::SlowWorker(100));
    world.step(Event::Forced(ask(None)));
    world.step(Event::Forced(ask(None)));
    assert!(account(&world).expect("ended").reasons[0].contains("a failover is under way"));
}

/// A primary out of Segue's reach that its replicas still hear: alone, Segue holds for ever.
#[test]
fn an_operator_overrules_witnesses() {
    let mut world = steady();
    world.fault(Fault::Cut(0));
    for _ in 0..30 {
        // Clients that bypass Segue.
        world.nodes[0].offset += 10;
        world.run(100);
    }
    assert_eq!(world.route.gate, Gate::Held, "a witness vouches for it");
    assert!(world.promoted.is_empty());
    world.step(Event::Forced(ask(None)));
    world.run(1_500);
    assert_eq!(serving(&world), Some(1));
    world.run(3_000);
    let account = account(&world).expect("it ended");
    assert_eq!(account.outcome, Verdict::Done);
    assert!(account.warnings.iter().any(|it| it.contains("becomes a replica when it returns")));
    world.fault(Fault::Heal(0));
    world.run(3_000);
    assert_eq!(world.nodes[0].follows, Some(1));
}

#[test]
fn an_operator_may_where_segue_may_not() {
    let mut world = World::new(3, super::Params { enabled: false, ..params() });
    world.run(500);
    world.fault(Fault::Kill(0));
    world.run(3_000);
    assert!(world.promoted.is_empty());
    world.step(Event::Forced(ask(Some("n2"))));
    world.run(1_000);
    assert_eq!(serving(&world), Some(2));
}

#[test]
fn a_promotion_without_an_answer_is_asked_again_of_the_same_node() {
    let mut world = steady();
    world.step(Event::Forced(ask(None)));
    while world.promoted.is_empty() {
        world.run(1);
    }
    world.fault(Fault::LoseAnswer { carried_out: false });
    world.run(3_000);
    assert_eq!(serving(&world), Some(1));
    assert!(world.promoted.iter().all(|it| it.1.0 == 1));
}

#[test]
fn a_promotion_that_takes_too_long_is_told_and_goes_on() {
    let mut world = steady();
    world.step(Event::Forced(ask(Some("n1"))));
    while world.promoted.is_empty() {
        world.run(1);
    }
    world.fault(Fault::Hang(1));
    world.run(2_500);
    assert_eq!(outcome(&world), Verdict::Unfinished);
    world.fault(Fault::Resume(1));
    world.run(3_000);
    assert_eq!(serving(&world), Some(1));
    let ended = world.told.iter().filter(|it| matches!(it, Progress::Ended(_))).count();
    assert_eq!(ended, 1);
    assert!(!world.brain.is_switching());
}

/// The candidate dies before it was promoted: the named one has no substitute.
#[test]
fn nobody_else_is_promoted_in_place_of_the_named_one() {
    let mut world = steady();
    world.fault(Fault::SlowWorker(400));
    world.step(Event::Forced(ask(Some("n2"))));
    world.fault(Fault::Kill(2));
    world.run(1_500);
    assert_eq!(outcome(&world), Verdict::RolledBack);
    assert_eq!(serving(&world), Some(0));
    assert!(world.promoted.is_empty());
}

#[test]
fn the_log_says_who_ordered_it() {
    let mut world = steady();
    world.step(Event::Forced(ask(None)));
    world.run(500);
    let reason = world.notes.iter().find_map(|it| {
        let Note::PrimaryLost { reason, .. } = it else { return None };
        Some(reason.as_str())
    });
    assert_eq!(reason, Some("an operator ordered a failover to n1"));
    let follows = |it: &&Order| matches!(it, Order::Follow { node, .. } if node.0 == 0);
    assert_eq!(world.orders.iter().filter(follows).count(), 1, "demoted once");
}

#[derive(Clone, Debug)]
enum Happening {
    Force,
    Switch(u16),
    Fault(Fault),
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => Just(Happening::Force),
        2 => (0_u16..3).prop_map(Happening::Switch),
        15 => any_trouble().prop_map(Happening::Fault),
    ]
}

proptest! {
    /// Whatever happens around forced failovers, the world's assertions hold, every one that was
    /// asked for ends once, and the group comes to rest behind one primary.
    #[test]
    fn survives_and_settles(
        history in proptest::collection::vec((0_u64..60, any_happening()), 0..20),
    ) {
        let mut world = World::new(3, params());
        world.run(300);
        let mut asked = 0;
        for (wait_ms, happening) in history {
            world.run(wait_ms);
            match happening {
                Happening::Fault(fault) => world.fault(fault),
                // As the driver: one at a time.
                Happening::Force | Happening::Switch(_) if world.brain.is_switching() => {}
                Happening::Force => {
                    asked += 1;
                    world.step(Event::Forced(ask(None)));
                }
                Happening::Switch(to) => {
                    asked += 1;
                    world.step(Event::Asked(ask(Some(&format!("n{to}")))));
                }
            }
        }
        heal(&mut world);
        check_settled(&world, asked)?;
    }
}
