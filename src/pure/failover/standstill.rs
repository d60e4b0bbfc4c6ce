//! An operator holds all commands for a while, with nobody in doubt: to look at something, or to
//! move something by hand, while clients wait and see no error.
//!
//! # Invariants
//!
//! * While it lasts the gate is not opened for anybody, whatever else happens; a failover goes on
//!   behind it. It is asserted where routes are published.
//! * It ends by itself at its time: nobody can forget it.
//!
//! # Deliberately absent
//!
//! A standstill that outlives the process, and one that other proxies would know of: each holds
//! its own clients.

use super::account::{Account, Millis, Progress, Verdict};
use super::brain::{Brain, Phase};
use crate::pure::time::Time;
use std::time::Duration;

/// One that is in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standstill {
    pub(super) since: Time,
    pub(super) until: Time,
}

impl Brain {
    /// An operator wants all commands held for `span` at most. One more is the new end of it.
    pub(super) fn stand_still(&mut self, now: Time, span: Duration) {
        let Some(node) = self.serving.as_ref().map(|it| it.node) else {
            let reason = "no primary is known: commands are held anyway".to_owned();
            return self.tell_standstill(Verdict::Refused, Some(reason));
        };
        if self.is_switching() {
            let reason = "a switchover or failover is under way".to_owned();
            return self.tell_standstill(Verdict::Refused, Some(reason));
        }
        let since = self.standstill.map_or(now, |it| it.since);
        self.standstill = Some(Standstill { since, until: now + span });
        if self.phase == Phase::Steady {
            self.hold(now, node, STANDSTILL.to_owned());
        }
        self.tell_standstill(Verdict::Done, None);
    }

    /// An operator lets go of what was held by order.
    pub(super) fn move_on(&mut self) {
        if self.standstill.take().is_some() {
            return self.tell_standstill(Verdict::Done, None);
        }
        let reason = "no operator holds commands".to_owned();
        self.tell_standstill(Verdict::Refused, Some(reason));
    }

    /// Before anything else: its time may be over.
    pub(super) fn end_standstill(&mut self, now: Time) {
        self.standstill.take_if(|it| now >= it.until);
    }

    /// Why commands are held though nobody is in doubt.
    pub(super) fn standstill_reason(&self) -> Option<String> {
        self.standstill.map(|_| STANDSTILL.to_owned())
    }

    fn tell_standstill(&mut self, outcome: Verdict, reason: Option<String>) {
        let account = Account {
            outcome,
            from: self.serving.as_ref().map(|it| self.name(it.node).to_owned()),
            to: None,
            epoch: self.route.epoch.0,
            reasons: reason.into_iter().collect(),
            warnings: Vec::new(),
            phases: Vec::new(),
            held_ms: Millis::default(),
            total_ms: Millis::default(),
        };
        self.tell(Progress::Ended(account));
    }
}

const STANDSTILL: &str = "an operator holds commands";

#[cfg(test)]
mod tests {
    use super::super::world_test::{Fault, World, params};
    use super::super::{Ask, Event, Note, Progress, Verdict};
    use crate::pure::topology::Gate;
    use proptest::prelude::*;
    use std::time::Duration;

    fn steady() -> World {
        let mut world = World::new(3, params());
        world.run(500);
        assert!(matches!(world.route.gate, Gate::Open(_)));
        world
    }

    fn outcome(world: &World) -> Option<Verdict> {
        match world.told.last()? {
            Progress::Ended(account) => Some(account.outcome),
            Progress::Began { .. } | Progress::Phase(_) => None,
        }
    }

    #[test]
    fn it_lasts_as_long_as_was_said_and_nothing_else_changes() {
        let mut world = steady();
        let epoch = world.route.epoch;
        world.step(Event::Hold(Duration::from_secs(2)));
        assert_eq!((outcome(&world), world.route.gate), (Some(Verdict::Done), Gate::Held));
        world.run(1_990);
        assert_eq!(world.route.gate, Gate::Held);
        assert_eq!(world.brain.snapshot(crate::pure::time::Time::from_millis(0)).phase, "held");
        world.run(20);
        assert!(matches!(world.route.gate, Gate::Open(_)), "it ends by itself, and in time");
        assert_eq!(world.route.epoch, epoch);
        let held = world.notes.iter().find_map(|it| {
            let Note::Released { held, was_lost: false, .. } = it else { return None };
            Some(*held)
        });
        assert_eq!(held, Some(Duration::from_secs(2)));
    }

    #[test]
    fn an_operator_lets_go_earlier_or_stays_longer() {
        let mut world = steady();
        world.step(Event::Release);
        assert_eq!(outcome(&world), Some(Verdict::Refused), "there is nothing to let go");
        world.step(Event::Hold(Duration::from_secs(2)));
        world.run(1_000);
        world.step(Event::Hold(Duration::from_secs(5)));
        world.run(3_000);
        assert_eq!(world.route.gate, Gate::Held);
        world.step(Event::Release);
        assert!(matches!(world.route.gate, Gate::Open(_)));
    }

    /// The primary dies behind it: a replica takes over, and is opened for when the time is over.
    #[test]
    fn a_failover_goes_on_behind_it() {
        let mut world = steady();
        world.step(Event::Hold(Duration::from_secs(5)));
        world.fault(Fault::Kill(0));
        world.run(4_900);
        assert_eq!(world.route.gate, Gate::Held);
        assert!(world.notes.iter().any(|it| matches!(it, Note::FailedOver { .. })));
        world.run(200);
        assert_eq!(world.route.primary().map(|it| it.node.0), Some(1));
    }

    #[test]
    fn neither_while_a_switchover_nor_the_other_way_round() {
        let ask = Ask { timeout: Duration::from_secs(2), ..Ask::default() };
        let mut world = steady();
        world.drain_ms = 300;
        world.step(Event::Asked(ask.clone()));
        world.run(10);
        world.step(Event::Hold(Duration::from_secs(5)));
        assert_eq!(outcome(&world), Some(Verdict::Refused));
        world.run(2_000);
        world.step(Event::Hold(Duration::from_secs(5)));
        world.step(Event::Asked(ask));
        assert_eq!(outcome(&world), Some(Verdict::Refused));
    }

    proptest! {
        /// Whatever happens: never open while an operator holds, and open again afterwards.
        #[test]
        fn nothing_opens_it(
            faults in proptest::collection::vec((0_u64..400, any_fault()), 0..10),
        ) {
            let mut world = steady();
            world.step(Event::Hold(Duration::from_secs(10)));
            for (wait_ms, fault) in faults {
                world.run(wait_ms);
                world.fault(fault);
                prop_assert_eq!(world.route.gate, Gate::Held);
            }
            for n in 0..3 {
                world.fault(Fault::Heal(n));
                world.fault(Fault::Resume(n));
                world.fault(Fault::Restart { node: n, keeps_keys: true, alone: false });
            }
            world.run(40_000);
            prop_assert!(matches!(world.route.gate, Gate::Open(_)), "held for ever");
        }
    }

    fn any_fault() -> impl Strategy<Value = Fault> {
        let node = 0_usize..3;
        prop_oneof![
            2 => node.clone().prop_map(Fault::Kill),
            2 => (node.clone(), any::<bool>()).prop_map(|(node, keeps_keys)| {
                Fault::Restart { node, keeps_keys, alone: false }
            }),
            1 => node.clone().prop_map(Fault::Hang),
            1 => node.clone().prop_map(Fault::Resume),
            1 => node.clone().prop_map(Fault::Cut),
            1 => node.prop_map(Fault::Heal),
        ]
    }
}
