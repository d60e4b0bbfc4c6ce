//! The brain in a world of faults: safety at every step ([`World`] asserts it), and when the
//! faults stop, one primary that everybody follows.

use super::story_test::heal;
use super::world_test::{Fault, Life, World, params};
use crate::pure::topology::{Gate, SignalKind};
use proptest::collection::vec;
use proptest::prelude::*;

fn any_fault() -> impl Strategy<Value = Fault> {
    let node = 0_usize..3;
    let kind = prop_oneof![
        Just(SignalKind::Lost),
        Just(SignalKind::Unreachable),
        Just(SignalKind::NotPrimary)
    ];
    prop_oneof![
        4 => node.clone().prop_map(Fault::Kill),
        4 => (node.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(node, keeps_keys, alone)| Fault::Restart { node, keeps_keys, alone }),
        2 => node.clone().prop_map(Fault::Hang),
        2 => node.clone().prop_map(Fault::Resume),
        2 => node.clone().prop_map(Fault::Cut),
        2 => node.prop_map(Fault::Heal),
        3 => kind.prop_map(Fault::Signal),
        2 => any::<bool>().prop_map(|carried_out| Fault::LoseAnswer { carried_out }),
        1 => (1_u64..400).prop_map(Fault::SlowWorker),
        1 => (1_u64..3_000).prop_map(Fault::Stall),
    ]
}

proptest! {
    /// Whatever happens, [`World`]'s assertions hold; and a world in which nothing happens any
    /// more is served by one primary, with everybody else behind it.
    #[test]
    fn survives_and_settles(history in vec((0_u64..2_500, any_fault()), 0..25)) {
        let mut world = World::new(3, params());
        world.run(300);
        for (wait_ms, fault) in history {
            world.run(wait_ms);
            world.fault(fault);
        }
        heal(&mut world);

        let Gate::Open(primary) = world.route.gate else {
            return Err(TestCaseError::fail(format!("held for ever: {:?}", world.brain.snapshot(
                crate::pure::time::Time::from_millis(world.now)))));
        };
        let serving = usize::from(primary.node.0);
        prop_assert_eq!(world.nodes[serving].life, Life::Running);
        prop_assert_eq!(world.nodes[serving].follows, None, "served by a replica");
        for n in (0..3).filter(|n| *n != serving) {
            prop_assert_eq!(world.nodes[n].follows, Some(serving), "node {} is astray: {:#?}", n, world.notes);
            prop_assert_eq!(world.nodes[n].offset, world.nodes[serving].offset);
        }
        let (version, orders) = (world.route.version, world.orders.len());
        world.run(5_000);
        prop_assert_eq!(world.route.version, version, "never comes to rest");
        prop_assert_eq!(world.orders.len(), orders, "orders without end");
    }

    /// A dead primary is replaced in time, whichever replicas are left.
    #[test]
    fn replaces_a_dead_primary_in_time(offset_ms in 0_u64..200, other in 0_usize..3) {
        let mut world = World::new(3, params());
        world.run(1_000 + offset_ms);
        world.fault(Fault::Kill(0));
        world.fault(Fault::Kill(other));
        world.run(800);
        let primary = world.route.primary().map(|it| usize::from(it.node.0));
        prop_assert!(primary.is_some_and(|it| it != 0 && it != other || other == 0), "{:?}", world.route);
        prop_assert_eq!(world.promoted.len(), 1);
    }
}
