//! What stories in the small world have in common: how they begin, what they look at, and how those
//! end in which anything may have happened.

use super::world_test::{Fault, World, params};
use super::{Account, Ask, Progress, Verdict};
use crate::pure::topology::{Gate, SignalKind};
use proptest::prelude::*;
use std::time::Duration;

/// Three nodes behind the first one, and nothing under way.
pub(super) fn steady() -> World {
    let mut world = World::new(3, params());
    world.run(500);
    assert_eq!(serving(&world), Some(0));
    world
}

/// The node that clients reach.
pub(super) fn serving(world: &World) -> Option<u16> {
    world.route.primary().map(|it| it.node.0)
}

pub(super) fn ask(to: Option<&str>) -> Ask {
    let to = to.map(str::to_owned);
    Ask { to, timeout: Duration::from_secs(2), dry_run: false, findings: Vec::new() }
}

/// The last account, if one has ended.
pub(super) fn account(world: &World) -> Option<&Account> {
    world.told.iter().rev().find_map(|it| match it {
        Progress::Ended(account) => Some(account),
        Progress::Began { .. } | Progress::Phase(_) => None,
    })
}

#[track_caller]
pub(super) fn outcome(world: &World) -> Verdict {
    account(world).expect("it ended").outcome
}

/// What may happen to a world in which something is ordered now and then.
pub(super) fn any_trouble() -> impl Strategy<Value = Fault> {
    let node = 0_usize..3;
    prop_oneof![
        2 => node.clone().prop_map(Fault::Kill),
        2 => (node.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(node, keeps_keys, alone)| Fault::Restart { node, keeps_keys, alone }),
        2 => node.clone().prop_map(Fault::Hang),
        2 => node.clone().prop_map(Fault::Resume),
        1 => node.clone().prop_map(Fault::Cut),
        1 => node.prop_map(Fault::Heal),
        2 => any::<bool>().prop_map(|carried_out| Fault::LoseAnswer { carried_out }),
        1 => (1_u64..400).prop_map(Fault::SlowWorker),
        1 => Just(Fault::Signal(SignalKind::Lost)),
        1 => (1_u64..3_000).prop_map(Fault::Stall),
    ]
}

/// Faults end, everybody runs, and time passes.
pub(super) fn heal(world: &mut World) {
    world.fault(Fault::SlowWorker(1));
    for n in 0..3 {
        world.fault(Fault::Heal(n));
        world.fault(Fault::Resume(n));
        world.fault(Fault::Restart { node: n, keeps_keys: true, alone: false });
    }
    world.run(40_000);
}

/// Everybody follows one primary, and every change that was `asked` for has ended, once.
pub(super) fn check_settled(world: &World, asked: usize) -> Result<(), TestCaseError> {
    let Gate::Open(primary) = world.route.gate else {
        let now = crate::pure::time::Time::from_millis(world.now);
        let reason = world.brain.snapshot(now).reason;
        return Err(TestCaseError::fail(format!("held for ever: {reason:?}")));
    };
    let serving = usize::from(primary.node.0);
    for n in (0..3).filter(|n| *n != serving) {
        let follows = world.nodes[n].follows;
        prop_assert_eq!(follows, Some(serving), "node {} is astray: {:#?}", n, world.notes);
    }
    let ended = world.told.iter().filter(|it| matches!(it, Progress::Ended(_))).count();
    prop_assert_eq!(ended, asked, "{:#?}", world.told);
    prop_assert!(!world.brain.is_switching());
    Ok(())
}
