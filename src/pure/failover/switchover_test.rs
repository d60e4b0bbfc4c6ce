//! Switchovers in the small world: one story a test, and then whatever can go wrong.

use super::story_test::{account, any_trouble, ask, check_settled, heal, outcome, serving, steady};
use super::world_test::{Fault, World, params};
use super::{Ask, Event, Note, Order, Stage, Verdict};
use crate::pure::topology::{Epoch, Gate};
use proptest::prelude::*;

#[test]
fn the_target_serves_and_everybody_follows_it_without_a_copy() {
    let mut world = steady();
    world.step(Event::Asked(ask(Some("n2"))));
    world.run(60);
    assert_eq!(serving(&world), Some(2));
    assert_eq!(world.route.epoch, Epoch(2));
    assert!(world.route.handed_over);
    world.run(100);
    let account = account(&world).expect("it ended");
    assert_eq!(account.outcome, Verdict::Done, "{account:?}");
    let stages: Vec<_> = account.phases.iter().map(|it| it.phase).collect();
    let all = [
        Stage::CatchUp,
        Stage::Drain,
        Stage::Pause,
        Stage::Match,
        Stage::Sever,
        Stage::Promote,
        Stage::Repoint,
    ];
    assert_eq!(stages, all);
    assert_eq!(world.nodes[0].follows, Some(2));
    assert_eq!(world.nodes[1].follows, Some(2));
    assert_eq!(world.paused, [0, 0, 0], "nobody is left paused");
}

/// Its promotion has no answer, and then it runs as another process, which has nothing and says that
/// it is a primary: whoever were sent behind it would copy that.
#[test]
fn nobody_follows_a_target_that_was_restarted_before_it_said_what_it_is() {
    for heal in (1_000..2_400).step_by(50) {
        let mut world = steady();
        world.step(Event::Asked(ask(Some("n1"))));
        world.run_until_ordered();
        world.fault(Fault::Hang(1));
        world.run(5);
        world.fault(Fault::Cut(1));
        world.fault(Fault::Kill(1));
        world.fault(Fault::Restart { node: 1, keeps_keys: false, alone: true });
        world.run(heal);
        world.fault(Fault::Heal(1));
        world.run(3_000);
        assert_eq!(serving(&world), Some(0), "healed after {heal} ms: {:?}", world.notes);
        let turned = |it: &Order| matches!(it, Order::Follow { node, .. } if node.0 == 0);
        assert!(!world.orders.iter().any(turned), "healed after {heal} ms");
    }
}

/// Nodes 2 and 3 follow node 1. While node 2 is brought behind the primary, and node 3 waits for its
/// turn, node 3 is to become primary: to be turned now would cost it a copy, and the switchover.
#[test]
fn the_target_is_not_sent_behind_the_primary_that_it_replaces() {
    let mut params = params();
    params.max_lag_bytes = 1 << 24;
    let mut world = World::new(4, params);
    for node in &mut world.nodes {
        node.offset = 10 << 20;
    }
    world.run(550);
    for n in [2, 3] {
        world.nodes[n].follows = Some(1);
    }
    world.nodes[2].replid = 77;
    world.nodes[3].undrained = 2 << 20;
    world.run(150);
    let turned = |it: &Order, n: u16| matches!(it, Order::Follow { node, .. } if node.0 == n);
    assert!(world.orders.iter().any(|it| turned(it, 2)), "{:?}", world.orders);
    world.step(Event::Asked(ask(Some("n3"))));
    world.run(1_000);
    let is_in_step = |it: &Note| matches!(it, Note::Rejoined { node } if node.0 == 2);
    assert!(world.notes.iter().any(is_in_step), "{:?}", world.notes);
    assert_eq!(serving(&world), Some(0), "it lags: {:?}", world.notes);
    assert!(!world.orders.iter().any(|it| turned(it, 3)), "{:?}", world.orders);
    world.nodes[3].undrained = 0;
    world.run(1_000);
    assert_eq!(serving(&world), Some(3), "{:?}", world.notes);
}

fn follows(world: &World) -> Vec<String> {
    let word = |it: &Order| match it {
        Order::Follow { node, primary, .. } => Some(format!("{} follows {}", node.0, primary.0)),
        Order::Pause { .. }
        | Order::Promote { .. }
        | Order::Unpause { .. }
        | Order::Reconnect { .. } => None,
    };
    world.orders.iter().filter_map(word).collect()
}

#[test]
fn the_order_of_things() {
    let mut world = steady();
    world.step(Event::Asked(ask(Some("n1"))));
    world.run(300);
    let words: Vec<String> = world
        .orders
        .iter()
        .map(|it| match it {
            Order::Pause { node, .. } => format!("pause {}", node.0),
            Order::Promote { node, .. } => format!("promote {}", node.0),
            Order::Follow { node, primary, .. } => format!("{} follows {}", node.0, primary.0),
            Order::Unpause { node } => format!("unpause {}", node.0),
            Order::Reconnect { node } => format!("reconnect {}", node.0),
        })
        .collect();
    // The sibling first, then the old primary; and nobody is told twice.
    assert_eq!(words, ["pause 0", "promote 1", "2 follows 1", "0 follows 1", "unpause 0"]);
}

#[test]
fn nobody_named_means_the_best() {
    let mut world = steady();
    world.step(Event::Asked(ask(None)));
    world.run(200);
    assert_eq!(outcome(&world), Verdict::Done);
    assert_eq!(serving(&world), Some(1));
}

#[test]
fn a_dry_run_touches_nothing() {
    let mut world = steady();
    let version = world.route.version;
    world.step(Event::Asked(Ask { dry_run: true, ..ask(Some("n1")) }));
    world.run(200);
    assert_eq!(outcome(&world), Verdict::DryRun);
    assert_eq!(world.route.version, version);
    assert!(world.orders.is_empty());
}

#[test]
fn what_speaks_against_it_is_named() {
    let mut world = steady();
    world.step(Event::Asked(ask(Some("n0"))));
    assert_eq!(account(&world).expect("ended").reasons, ["n0 is the primary already"]);
    world.step(Event::Asked(ask(Some("n9"))));
    assert_eq!(outcome(&world), Verdict::NoSuchNode);
    world.fault(Fault::Kill(1));
    world.run(1_000);
    world.step(Event::Asked(ask(Some("n1"))));
    assert_eq!(outcome(&world), Verdict::Refused);
    world.fault(Fault::Kill(0));
    world.run(250);
    world.step(Event::Asked(ask(Some("n2"))));
    let reasons = &account(&world).expect("ended").reasons;
    assert!(reasons.iter().any(|it| it.starts_with("commands are held")), "{reasons:?}");
}

/// Somebody had sent node 2 behind node 1; it has just been turned, and what it said last is of the
/// link that it had before.
#[test]
fn a_replica_that_was_just_turned_is_no_target() {
    let mut world = steady();
    world.nodes[2].follows = Some(1);
    let is_turned = |it: &Order| matches!(it, Order::Follow { node, .. } if node.0 == 2);
    while !world.orders.iter().any(is_turned) {
        assert!(world.now < 5_000, "nobody turns it: {:?}", world.notes);
        world.run(1);
    }
    // The order arrives, and its answer; the probe that it asks for is still under way.
    world.run(2);
    world.step(Event::Asked(ask(Some("n2"))));
    assert_eq!(outcome(&world), Verdict::Refused);
    assert_eq!(account(&world).expect("ended").reasons, ["n2 has not answered lately"]);
}

#[test]
fn what_is_not_answered_in_time_is_taken_back() {
    let mut world = steady();
    world.drain_ms = 60_000;
    world.step(Event::Asked(ask(Some("n1"))));
    world.run(1_300);
    assert_eq!(outcome(&world), Verdict::RolledBack);
    assert_eq!(serving(&world), Some(0));
    assert_eq!(world.route.epoch, Epoch(1), "nothing has changed");
    assert!(world.orders.is_empty());
}

#[test]
fn a_worker_that_does_not_confirm_takes_it_back_and_lifts_the_pause() {
    let mut world = steady();
    world.step(Event::Asked(ask(Some("n1"))));
    while !world.orders.iter().any(|it| matches!(it, Order::Pause { .. })) {
        world.run(1);
    }
    world.fault(Fault::SlowWorker(10_000));
    world.run(3_000);
    assert_eq!(outcome(&world), Verdict::RolledBack);
    assert_eq!(serving(&world), Some(0));
    assert!(world.promoted.is_empty());
    world.run(20_000);
    assert_eq!(world.paused, [0, 0, 0]);
}

#[test]
fn a_promotion_without_an_answer_is_asked_again() {
    let mut world = steady();
    world.step(Event::Asked(ask(Some("n1"))));
    while world.promoted.is_empty() {
        world.run(1);
    }
    // It is on its way; what it answers is lost.
    world.fault(Fault::LoseAnswer { carried_out: false });
    world.run(3_000);
    assert_eq!(serving(&world), Some(1));
    assert_eq!(world.nodes[0].follows, Some(1));
}

/// A probe tells of the promotion before its answer does. Left to whatever a second primary is given,
/// the siblings would wait for their turn, and hear the old primary meanwhile.
#[test]
fn a_promotion_that_a_probe_confirms_sends_everybody_behind_it() {
    let mut world = steady();
    world.step(Event::Asked(ask(Some("n1"))));
    while !matches!(world.route.gate, Gate::Held) || world.route.epoch == Epoch(1) {
        world.run(1);
    }
    world.fault(Fault::LoseAnswer { carried_out: true });
    world.run(2_000);
    assert_eq!(outcome(&world), Verdict::Done);
    assert_eq!(follows(&world), ["2 follows 1", "0 follows 1"]);
    let demoting = |it: &Note| matches!(it, Note::Demoting { .. } | Note::Repointing { .. });
    assert!(!world.notes.iter().any(demoting), "{:?}", world.notes);
}

#[test]
fn a_primary_that_dies_meanwhile_is_failed_over() {
    let mut world = steady();
    world.drain_ms = 500;
    world.step(Event::Asked(ask(Some("n1"))));
    world.run(20);
    world.fault(Fault::Kill(0));
    world.run(1_500);
    assert_eq!(outcome(&world), Verdict::RolledBack);
    assert!(serving(&world).is_some_and(|it| it != 0));
}

/// It is back before its absence is noticed, from a snapshot that its replicas go on from. What the
/// process before it has answered behind that snapshot is lost, and must not count as handed over.
#[test]
fn a_primary_that_was_restarted_meanwhile_hands_nothing_over() {
    let mut world = steady();
    world.drain_ms = 700;
    world.step(Event::Asked(ask(Some("n1"))));
    while world.route.gate != Gate::Draining {
        assert!(world.now < 5_000, "nothing drains: {:?}", world.notes);
        world.run(1);
    }
    let offset = world.nodes[0].offset;
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    (world.nodes[0].offset, world.nodes[0].descends) = (offset, Some((1, offset + 1)));
    world.run(1_500);
    let account = account(&world).expect("it ended");
    assert_eq!(account.outcome, Verdict::RolledBack);
    assert_eq!(account.reasons, ["n0 runs as another process now"]);
    assert_eq!((serving(&world), world.route.epoch), (Some(0), Epoch(2)));
    assert!(!world.route.handed_over);
}

#[derive(Clone, Debug)]
enum Happening {
    Ask(u16),
    Fault(Fault),
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (1_u16..4).prop_map(Happening::Ask),
        15 => any_trouble().prop_map(Happening::Fault),
    ]
}

proptest! {
    /// Whatever happens around switchovers, the world's assertions hold, every one that was
    /// asked for ends, and the group comes to rest behind one primary that nobody has paused.
    #[test]
    fn survives_and_settles(
        history in proptest::collection::vec((0_u64..60, any_happening()), 0..20),
        drain_ms in 1_u64..50,
    ) {
        let mut world = World::new(3, params());
        world.drain_ms = drain_ms;
        world.run(300);
        let mut asked = 0;
        for (wait_ms, happening) in history {
            world.run(wait_ms);
            match happening {
                Happening::Fault(fault) => world.fault(fault),
                Happening::Ask(_) if world.brain.is_switching() => {}
                Happening::Ask(to) => {
                    asked += 1;
                    world.step(Event::Asked(ask(Some(&format!("n{to}")))));
                }
            }
        }
        heal(&mut world);
        check_settled(&world, asked)?;
    }
}
