//! Stories of adoptions.

use super::super::story_test::serving;
use super::super::world_test::{Fault, World, params};
use super::super::{Adopt, Adopted, Event, Fate, Note, Rejoin};
use crate::pure::topology::Gate;

fn ask(world: &mut World, node: &str, dry_run: bool) -> super::Adoption {
    let ask = Adopt { node: node.to_owned(), run_id: None, dry_run };
    world.step(Event::AskedToAdopt(ask));
    world.adopted.pop().expect("answered in the same step")
}

/// Node 2 is a primary of another history, node 1 follows node 0.
fn torn() -> World {
    let mut world = World::new(3, params());
    let node = &mut world.nodes[2];
    (node.follows, node.replid, node.keys) = (None, 7, 40);
    world.run(1_000);
    assert_eq!(world.route.gate, Gate::Held);
    assert!(world.notes.iter().any(|it| matches!(it, Note::Conflict { .. })));
    world
}

#[test]
fn whoever_is_named_wins_and_the_others_follow() {
    for (winner, loser) in [(0, 2), (2, 0)] {
        let mut world = torn();
        let looked = ask(&mut world, &format!("n{winner}"), true);
        assert_eq!(looked.outcome, Adopted::DryRun);
        let fate = |name: &str| looked.others.iter().find(|it| it.node == name).unwrap().clone();
        assert_eq!(fate(&format!("n{loser}")).fate, Fate::Discarded);
        assert_eq!(fate(&format!("n{loser}")).own_bytes, None);
        world.run(500);
        assert_eq!(world.route.gate, Gate::Held, "a look changes nothing");

        assert_eq!(ask(&mut world, &format!("n{winner}"), false).outcome, Adopted::Begun);
        world.run(5_000);
        assert_eq!(serving(&world), Some(winner));
        for node in (0..3).filter(|it| *it != usize::from(winner)) {
            assert_eq!(world.nodes[node].follows, Some(usize::from(winner)), "node {node}");
        }
    }
}

#[test]
fn what_cannot_win_is_refused() {
    let mut world = torn();
    world.fault(Fault::Hang(2));
    world.run(2_000);
    let refused = ask(&mut world, "n2", false);
    assert_eq!(refused.outcome, Adopted::Refused);
    assert!(!refused.reasons.is_empty());
    assert_eq!(ask(&mut world, "n9", false).outcome, Adopted::NoSuchNode);
    // A replica of a living primary is no claim of its own.
    assert_eq!(ask(&mut world, "n1", false).outcome, Adopted::Refused);
    let other = Adopt { node: "n0".to_owned(), run_id: Some("f".repeat(40)), dry_run: false };
    world.step(Event::AskedToAdopt(other));
    assert_eq!(world.adopted.pop().unwrap().outcome, Adopted::Refused, "another process");
}

#[test]
fn a_replica_whose_primary_is_gone_is_promoted() {
    let mut world = World::new(3, params());
    world.nodes[1].replid = 5;
    world.fault(Fault::Kill(0));
    world.run(3_000);
    assert_eq!(world.route.gate, Gate::Held);
    assert_eq!(ask(&mut world, "n1", false).outcome, Adopted::Begun);
    world.run(1_000);
    assert_eq!(serving(&world), Some(1));
}

#[test]
fn quarantine_ends_with_an_adoption() {
    let mut world = World::new(2, super::super::Params { rejoin: Rejoin::Quarantine, ..params() });
    world.run(600);
    assert_eq!(ask(&mut world, "n0", false).outcome, Adopted::Refused, "nobody else claims to be");
    world.fault(Fault::Hang(0));
    world.run(2_000);
    assert_eq!(serving(&world), Some(1));
    world.nodes[0].offset += 70;
    world.fault(Fault::Resume(0));
    world.run(2_000);
    assert_eq!(world.nodes[0].follows, None, "in quarantine");
    let begun = ask(&mut world, "n1", false);
    assert_eq!(begun.outcome, Adopted::Begun, "{:?}", begun.reasons);
    assert!(begun.others[0].own_bytes.is_some_and(|it| it >= 70));
    world.run(2_000);
    assert_eq!(world.nodes[0].follows, Some(1));
    assert_eq!(serving(&world), Some(1));
}

#[test]
fn the_quarantined_one_may_win_as_well() {
    let mut world = World::new(2, super::super::Params { rejoin: Rejoin::Quarantine, ..params() });
    world.run(600);
    world.fault(Fault::Hang(0));
    world.run(2_000);
    world.fault(Fault::Resume(0));
    world.run(2_000);
    let before = world.route.epoch;
    assert_eq!(ask(&mut world, "n0", false).outcome, Adopted::Begun);
    world.run(2_000);
    assert_eq!(serving(&world), Some(0));
    assert!(world.route.epoch > before);
    assert_eq!(world.nodes[1].follows, Some(0));
}
