//! One story a test.

use super::story_test::{serving, steady};
use super::world_test::{Fault, World, params};
use super::{Note, Order, Params, Rejoin};
use crate::pure::topology::{Epoch, Gate, NodeId, SignalKind};

#[track_caller]
fn assert_noted(world: &World, what: impl Fn(&Note) -> bool) {
    assert!(world.notes.iter().any(what), "{:#?}", world.notes);
}

#[test]
fn finds_the_primary_at_once() {
    let mut world = World::new(3, params());
    world.run(5);
    assert_eq!(serving(&world), Some(0));
    assert_eq!(world.route.epoch, Epoch(1));
}

#[test]
fn a_dead_node_delays_the_start_and_no_more() {
    let mut world = World::new(3, params());
    world.fault(Fault::Kill(2));
    world.run(250);
    assert_eq!(world.route.gate, Gate::Held);
    world.run(200);
    assert_eq!(serving(&world), Some(0));
}

#[test]
fn promotes_nobody_at_the_start() {
    let mut world = World::new(3, params());
    world.fault(Fault::Kill(0));
    // Whoever is missing may know better.
    world.fault(Fault::Kill(2));
    world.run(5_000);
    assert_eq!(world.route.gate, Gate::Held);
    assert!(world.orders.is_empty());
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.run(1_000);
    assert_eq!(serving(&world), Some(0));
}

#[test]
fn a_dead_primary_is_replaced_and_demoted_when_it_returns() {
    let mut world = steady();
    world.fault(Fault::Kill(0));
    world.run(600);
    let new = serving(&world).expect("failed over");
    assert_eq!(world.route.epoch, Epoch(2));
    assert_eq!(world.promoted, [(Epoch(2), NodeId(new))]);
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.run(210);
    assert_eq!(world.nodes[0].follows, Some(usize::from(new)), "within two probe intervals");
    assert_eq!(world.route.epoch, Epoch(2));
}

#[test]
fn a_second_failover_right_after_the_first() {
    let mut world = steady();
    world.fault(Fault::Kill(0));
    while serving(&world).is_none_or(|it| it == 0) {
        world.run(1);
    }
    let second = serving(&world).expect("just seen");
    world.run(50);
    world.fault(Fault::Kill(usize::from(second)));
    world.run(600);
    assert_eq!(serving(&world), Some(3 - second));
    assert_eq!(world.route.epoch, Epoch(3));
}

#[test]
fn a_hung_primary_that_wakes_in_time_keeps_its_epoch() {
    let mut world = steady();
    world.fault(Fault::Hang(0));
    world.run(600);
    assert_eq!(world.route.gate, Gate::Held);
    world.fault(Fault::Resume(0));
    world.run(600);
    assert_eq!(serving(&world), Some(0));
    assert_eq!(world.route.epoch, Epoch(1));
    assert!(world.orders.is_empty());
}

#[test]
fn a_hung_primary_is_replaced_after_down_after() {
    let mut world = steady();
    world.fault(Fault::Hang(0));
    world.run(1_300);
    assert!(serving(&world).is_some_and(|it| it != 0), "{:?}", world.notes);
    world.fault(Fault::Resume(0));
    world.run(250);
    assert!(world.nodes[0].follows.is_some(), "a woken node is demoted");
}

#[test]
fn a_primary_back_before_the_barrier_serves_again() {
    let mut world = steady();
    world.fault(Fault::SlowWorker(2_000));
    world.fault(Fault::Hang(0));
    world.run(1_200);
    assert_noted(&world, |it| matches!(it, Note::Committed { .. }));
    world.fault(Fault::Resume(0));
    world.run(700);
    assert_eq!(serving(&world), Some(0));
    world.run(3_000);
    assert!(world.orders.is_empty(), "{:?}", world.orders);
}

#[test]
fn a_worker_that_does_not_confirm_blocks_the_promotion() {
    let mut world = steady();
    world.fault(Fault::SlowWorker(30_000));
    world.fault(Fault::Kill(0));
    world.run(20_000);
    assert!(world.promoted.is_empty());
    assert_noted(&world, |it| matches!(it, Note::Overdue { .. }));
    world.run(15_000);
    assert!(serving(&world).is_some_and(|it| it != 0));
}

#[test]
fn replicas_that_still_hear_the_primary_veto() {
    let mut world = steady();
    // Other clients go on writing, and the cut is ours alone.
    world.fault(Fault::Cut(0));
    for _ in 0..100 {
        world.run(50);
        world.nodes[0].offset += 10;
    }
    assert!(world.promoted.is_empty());
    assert_noted(&world, |it| matches!(it, Note::Witnessed { .. }));
    world.fault(Fault::Heal(0));
    world.run(1_000);
    assert_eq!(serving(&world), Some(0));
    assert_eq!(world.route.epoch, Epoch(1));
}

#[test]
fn an_empty_restart_is_death_and_the_data_is_saved() {
    let mut world = steady();
    let keys = world.nodes[1].keys;
    world.fault(Fault::Kill(0));
    world.run(30);
    world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
    world.run(150);
    // Clients went on writing to it until it was looked at.
    assert_noted(
        &world,
        |it| matches!(it, Note::Amnesia { keys, saved_keys, .. } if keys < saved_keys),
    );
    let new = serving(&world).expect("failed over");
    assert_ne!(new, 0);
    world.run(5_000);
    assert!(world.nodes.iter().all(|it| it.keys >= keys), "{:?}", world.nodes);
}

#[test]
fn with_nobody_left_to_save_the_empty_primary_serves_in_the_end() {
    let mut world = steady();
    world.fault(Fault::Cut(0));
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
    world.fault(Fault::Kill(1));
    world.fault(Fault::Kill(2));
    world.run(50);
    world.fault(Fault::Heal(0));
    world.run(5_000);
    assert_noted(&world, |it| matches!(it, Note::Amnesia { .. }));
    assert_eq!(world.route.gate, Gate::Held);
    world.run(10_000);
    assert_noted(&world, |it| matches!(it, Note::Forgiven { .. }));
    assert_eq!(serving(&world), Some(0));
    assert_eq!(world.route.epoch, Epoch(2), "it is another process");
}

#[test]
fn a_restart_with_its_data_is_no_failover() {
    let mut world = steady();
    world.fault(Fault::Kill(0));
    world.run(30);
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.run(500);
    assert_eq!(serving(&world), Some(0));
    assert!(world.promoted.is_empty());
}

#[test]
fn a_restarted_process_gets_an_epoch_of_its_own() {
    // Seen as refused for a while; or back between two probes, with the gate open all the time.
    for down_ms in [250, 0] {
        let mut world = steady();
        world.fault(Fault::Kill(0));
        world.run(down_ms);
        let epoch = world.route.epoch;
        assert_eq!(epoch, Epoch(1));
        world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
        world.run(500);
        assert_eq!(serving(&world), Some(0), "down for {down_ms} ms");
        assert_eq!(world.route.epoch, Epoch(2), "down for {down_ms} ms");
        assert_noted(&world, |it| matches!(it, Note::Released { epoch: Epoch(2), .. }));
        world.run(2_000);
        assert_eq!(world.route.epoch, Epoch(2), "once");
    }
}

#[test]
fn an_unanswered_promotion_is_asked_of_the_same_node_again() {
    for carried_out in [false, true] {
        let mut world = steady();
        world.fault(Fault::LoseAnswer { carried_out });
        world.fault(Fault::Kill(0));
        world.run(3_000);
        let asked: Vec<NodeId> = world.promoted.iter().map(|it| it.1).collect();
        assert!(!asked.is_empty() && asked.iter().all(|it| *it == asked[0]), "{asked:?}");
        assert_eq!(serving(&world), Some(asked[0].0));
        assert_eq!(world.route.epoch, Epoch(2));
    }
}

#[test]
fn a_candidate_that_hangs_is_waited_for() {
    let mut world = steady();
    world.fault(Fault::Kill(0));
    // Both hang between the order and its arrival: whoever is asked gives no answer.
    world.run_until_ordered();
    world.fault(Fault::Hang(1));
    world.fault(Fault::Hang(2));
    world.run(6_000);
    let asked: Vec<NodeId> = world.promoted.iter().map(|it| it.1).collect();
    assert!(asked.len() > 1 && asked.iter().all(|it| *it == asked[0]), "{asked:?}");
    assert_eq!(world.route.gate, Gate::Held);
    world.fault(Fault::Resume(usize::from(asked[0].0)));
    world.run(1_500);
    assert_eq!(serving(&world), Some(asked[0].0));
}

#[test]
fn a_candidate_that_dies_is_followed_by_the_next() {
    let mut world = steady();
    world.fault(Fault::Kill(0));
    world.run_until_ordered();
    world.fault(Fault::Hang(1));
    world.fault(Fault::Hang(2));
    world.run(300);
    let first = world.promoted.first().expect("asked").1;
    world.fault(Fault::Kill(usize::from(first.0)));
    world.fault(Fault::Resume(3 - usize::from(first.0)));
    world.run(4_000);
    assert_eq!(serving(&world), Some(3 - first.0));
    assert_eq!(world.route.epoch, Epoch(3), "an epoch of its own");
}

#[test]
fn somebody_elses_promotion_is_followed() {
    let mut world = steady();
    world.promote_by_hand(1);
    world.nodes[0].follows = Some(1);
    world.fault(Fault::Signal(SignalKind::NotPrimary));
    world.run(50);
    assert_eq!(serving(&world), Some(1));
    assert_eq!(world.route.epoch, Epoch(2));
    assert!(world.promoted.is_empty());
    world.run(500);
    assert_eq!(world.nodes[2].follows, Some(1));
}

#[test]
fn a_demoted_primary_may_answer_although_a_signal_came_first() {
    let mut world = steady();
    world.promote_by_hand(1);
    world.nodes[0].follows = Some(1);
    world.fault(Fault::Signal(SignalKind::NotPrimary));
    world.run(20);
    assert_eq!((world.route.epoch, world.route.gate), (Epoch(1), Gate::Held), "not severed yet");
    world.run(20);
    assert_eq!((world.route.epoch, serving(&world)), (Epoch(2), Some(1)));
}

#[test]
fn a_primary_that_restarts_as_a_replica_of_its_replica_is_replaced() {
    let mut world = steady();
    world.fault(Fault::Kill(0));
    world.run(600);
    let second = usize::from(serving(&world).expect("failed over"));
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.run(3_000);
    assert_eq!(world.nodes[0].follows, Some(second));
    // Its configuration still says what it was at first.
    world.fault(Fault::Kill(second));
    world.nodes[second].follows = Some(0);
    world.fault(Fault::Restart { node: second, keeps_keys: false, alone: false });
    world.run(2_000);
    assert!(serving(&world).is_some_and(|it| usize::from(it) != second), "{:?}", world.route);
    world.run(3_000);
    assert!(world.nodes[second].keys > 100);
}

#[test]
fn an_old_replicaof_is_not_followed_over_the_data_of_a_replica() {
    let mut world = steady();
    // Cut off long ago, promoted by somebody, with another history and less.
    (world.nodes[2].follows, world.nodes[2].replid, world.nodes[2].keys) = (None, 77, 5);
    world.fault(Fault::Kill(0));
    world.nodes[0].follows = Some(2);
    world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: false });
    world.run(3_000);
    assert_eq!(serving(&world), Some(1), "the replica that has the data");
    // Turned while it runs, it obeys somebody.
    let mut world = steady();
    world.promote_by_hand(2);
    world.nodes[0].follows = Some(2);
    world.run(500);
    assert_eq!(serving(&world), Some(2));
}

#[test]
fn a_signal_is_answered_with_a_newer_route() {
    for kind in [SignalKind::Lost, SignalKind::Unreachable, SignalKind::NotPrimary] {
        let mut world = steady();
        let version = world.route.version;
        world.fault(Fault::Signal(kind));
        world.run(5);
        assert_eq!(serving(&world), Some(0));
        assert!(world.route.version > version, "{kind:?}");
        let held = world.notes.iter().any(|it| matches!(it, Note::Held { .. }));
        assert_eq!(held, kind != SignalKind::Lost, "{kind:?}");
    }
}

#[test]
fn a_lost_connection_holds_when_the_probe_is_not_answered_either() {
    let mut world = steady();
    world.run(50);
    world.fault(Fault::Hang(0));
    world.fault(Fault::Signal(SignalKind::Lost));
    world.run(15);
    assert_eq!(serving(&world), Some(0));
    world.run(10);
    assert_eq!(world.route.gate, Gate::Held);
}

#[test]
fn groundless_signals_stop_holding_everybody() {
    let mut world = steady();
    for _ in 0..50 {
        world.fault(Fault::Signal(SignalKind::NotPrimary));
        world.run(5);
        assert_eq!(serving(&world), Some(0));
    }
    let holds = world.notes.iter().filter(|it| matches!(it, Note::Held { .. })).count();
    assert!(holds <= 6, "{holds}");
}

#[test]
fn with_failover_off_it_holds_and_says_so() {
    let mut world = World::new(3, Params { enabled: false, ..params() });
    world.run(500);
    world.fault(Fault::Kill(0));
    world.run(5_000);
    assert_eq!(world.route.gate, Gate::Held);
    assert!(world.promoted.is_empty());
    assert_noted(
        &world,
        |it| matches!(it, Note::Waiting { reason } if reason.contains("failover.enabled")),
    );
    world.promote_by_hand(2);
    world.run(500);
    assert_eq!(serving(&world), Some(2), "what others decide is followed");
}

#[test]
fn both_replicas_dead_and_one_returns() {
    let mut world = steady();
    world.fault(Fault::Hang(1));
    world.fault(Fault::Kill(2));
    world.fault(Fault::Kill(0));
    world.run(5_000);
    assert_eq!(world.route.gate, Gate::Held);
    assert!(world.promoted.is_empty());
    let reason = world.brain.snapshot(crate::pure::time::Time::from_millis(world.now)).reason;
    assert!(reason.is_some_and(|it| it.contains("no replica can take over")));
    world.fault(Fault::Resume(1));
    world.run(1_000);
    assert_eq!(serving(&world), Some(1));
}

#[test]
fn a_returning_primary_is_quarantined_or_left_alone() {
    for rejoin in [Rejoin::Quarantine, Rejoin::Off] {
        let mut world = World::new(3, Params { rejoin, ..params() });
        world.run(500);
        world.fault(Fault::Kill(0));
        world.run(600);
        let new = serving(&world);
        world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
        world.run(3_000);
        assert_eq!(world.nodes[0].follows, None, "{rejoin:?}");
        assert_eq!(serving(&world), new);
        assert_noted(&world, |it| matches!(it, Note::LeftAlone { node: NodeId(0), .. }));
    }
}

#[test]
fn replicas_are_repointed_one_at_a_time() {
    let mut world = World::new(5, params());
    world.run(500);
    world.fault(Fault::Kill(0));
    world.run(420);
    let orders = || world.orders.iter().filter(|it| matches!(it, Order::Follow { .. })).count();
    assert!(orders() <= 2, "{:?}", world.orders);
    let serving = usize::from(serving(&world).expect("failed over"));
    world.run(3_000);
    assert!((1..5).all(|n| n == serving || world.nodes[n].follows == Some(serving)));
}

#[test]
fn a_stall_of_our_own_changes_nothing() {
    let mut world = steady();
    world.fault(Fault::Stall(60_000));
    world.run(61_000);
    assert_noted(&world, |it| matches!(it, Note::Stalled { .. }));
    assert_eq!(serving(&world), Some(0));
    assert_eq!(world.route.epoch, Epoch(1));
    assert!(world.orders.is_empty());
}

#[test]
fn after_a_stall_a_primary_that_was_replaced_gets_nothing() {
    let mut world = steady();
    world.fault(Fault::Stall(60_000));
    world.promote_by_hand(1);
    world.nodes[0].follows = Some(1);
    world.run(60_001);
    assert_ne!(serving(&world), Some(0));
    world.run(300);
    assert_eq!(serving(&world), Some(1));
}

/// It answers all the time that it loads; that is no reason to count its replicas' links as lost
/// long before it was.
#[test]
fn a_primary_that_loads_for_too_long_is_replaced() {
    let max_link_down = std::time::Duration::from_secs(2);
    let mut world = World::new(3, Params { max_link_down, ..params() });
    world.run(500);
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.nodes[0].is_loading = true;
    for n in [1, 2] {
        world.nodes[n].is_frozen = true;
    }
    world.run(7_000);
    assert!(serving(&world).is_some_and(|it| it != 0), "{:?}", world.notes);
}

/// The order would reach a process that has nothing.
#[test]
fn a_candidate_that_was_restarted_is_not_promoted_by_a_late_order() {
    let mut world = steady();
    world.fault(Fault::Kill(0));
    world.run_until_ordered();
    let chosen = usize::from(world.promoted[0].1.0);
    world.fault(Fault::Kill(chosen));
    world.fault(Fault::Restart { node: chosen, keeps_keys: false, alone: false });
    world.run(5);
    assert!(world.nodes[chosen].follows.is_some(), "left alone");
    world.run(3_000);
    assert_eq!(serving(&world).map(usize::from), Some(3 - chosen), "{:?}", world.notes);
}

/// It answers once more after it was down, is not trusted yet, and dies: others wrote to it.
#[test]
fn who_takes_over_is_compared_with_the_last_word_of_the_primary() {
    let mut params = Params { max_lag_bytes: 500, ..params() };
    params.detect.rise = 20;
    let mut world = World::new(3, params);
    world.run(500);
    world.fault(Fault::Cut(0));
    world.run(2_000);
    world.fault(Fault::Heal(0));
    world.run(600);
    assert!(world.promoted.is_empty() && serving(&world).is_none(), "{:?}", world.notes);
    for n in [1, 2] {
        world.nodes[n].is_frozen = true;
    }
    world.nodes[0].offset += 10_000;
    world.run(150);
    world.fault(Fault::Kill(0));
    world.run(3_000);
    assert!(world.promoted.is_empty(), "too much would be lost: {:?}", world.notes);
}
