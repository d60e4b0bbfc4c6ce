//! Stories of fences.

use super::super::world_test::{Fault, World, params};
use super::super::{Event, Fence, Fenced, Fencing, Note, Params};
use crate::pure::topology::NodeId;

const OURS: Fence = Fence { min_replicas: 1, max_lag_secs: 10 };
const BEFORE: Fence = Fence { min_replicas: 0, max_lag_secs: 7 };

fn fenced() -> World {
    let mut world = World::new(3, Params { fence: Some(OURS), ..params() });
    world.run(600);
    answer(&mut world, &[(0, Fencing::Set(OURS))], Fenced::Done(Some(BEFORE)));
    world
}

/// Checks what was asked for, and answers all of it with `outcome`.
fn answer(world: &mut World, expected: &[(u16, Fencing)], outcome: Fenced) {
    let asked = std::mem::take(&mut world.fencings);
    let plain: Vec<_> = asked.iter().map(|(node, it)| (node.0, *it)).collect();
    assert_eq!(plain, expected);
    for (node, fencing) in asked {
        world.step(Event::Fenced { node, fencing, outcome: outcome.clone() });
    }
}

#[test]
fn whoever_serves_is_fenced_and_whoever_does_not_is_as_before() {
    let mut world = fenced();
    assert!(world.notes.contains(&Note::Fenced { node: NodeId(0) }));
    let back = Fencing::PutBack { ours: OURS, before: BEFORE };
    assert_eq!(world.brain.fences(), [(NodeId(0), back)], "what a clean end puts back");

    world.fault(Fault::Hang(0));
    world.run(3_000);
    // The promoted one has no replica in step until the other is repointed.
    let mut asked = std::mem::take(&mut world.fencings);
    assert_eq!(asked.pop(), Some((NodeId(1), Fencing::Set(OURS))));
    assert!(asked.is_empty(), "{asked:?}");
    world.step(Event::Fenced {
        node: NodeId(1),
        fencing: Fencing::Set(OURS),
        outcome: Fenced::Done(Some(BEFORE)),
    });
    world.fault(Fault::Resume(0));
    world.run(3_000);
    answer(&mut world, &[(0, back)], Fenced::Done(Some(OURS)));
    assert!(world.notes.contains(&Note::Unfenced { node: NodeId(0) }));
    assert_eq!(world.brain.fences(), [(NodeId(1), back)]);
}

#[test]
fn what_somebody_else_set_is_not_put_back() {
    let mut world = World::new(2, Params { fence: Some(OURS), ..params() });
    world.run(600);
    answer(&mut world, &[(0, Fencing::Set(OURS))], Fenced::Done(None));
    assert_eq!(world.brain.fences(), []);
    world.run(6_000);
    answer(&mut world, &[(0, Fencing::Set(OURS))], Fenced::Done(None));
}

#[test]
fn a_refusal_is_told_once_and_asked_again() {
    let mut world = World::new(2, Params { fence: Some(OURS), ..params() });
    world.run(600);
    for _ in 0..3 {
        let refused = Fenced::Refused("NOPERM".to_owned());
        answer(&mut world, &[(0, Fencing::Set(OURS))], refused);
        world.run(5_200);
    }
    let told = world.notes.iter().filter(|it| matches!(it, Note::FenceFailed { .. })).count();
    assert_eq!(told, 1);
}

#[test]
fn without_enough_replicas_nobody_is_fenced() {
    let mut world = World::new(1, Params { fence: Some(OURS), ..params() });
    world.run(3_000);
    assert_eq!(world.fencings, []);
}
