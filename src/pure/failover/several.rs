//! Several deciders and no coordinator: how they keep out of each other's way.
//!
//! All of them see a dead primary within the same millisecond, because its connections break
//! for all of them. So before anybody is promoted in place of one that is down each one waits for a
//! moment of its own, drawn from its seed and the epoch; then asks *every* node that is up again, and
//! goes on only when all of them have answered. Who finds that another decider was faster follows it.
//! Two promotions do not wait: what a primary that came back without its data is about to make its
//! replicas throw away cannot, and an operator's word is for one decider alone.
//!
//! What is left is the time between that look and the order's arrival, about one round trip.
//! In it, two deciders that rank differently (they do not reach the same nodes) can promote two
//! nodes. Both then see both at their next probe, and [`outranks`](Brain) tells them the same
//! winner: the loser is demoted, and whoever served it follows.
//!
//! # Deliberately absent
//!
//! Agreement. A promise that two primaries never exist needs one decider by lease or quorum;
//! `take_over` asks [`may_promote`](Brain::may_promote), and a coordinator will answer there.

use super::brain::Brain;
use super::event::Action;
use crate::pure::time::Time;
use crate::pure::topology::{Epoch, NodeId};
use std::time::Duration;

/// The moment of this decider in one epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    epoch: Epoch,
    /// When it comes.
    pub(super) at: Time,
    /// Since when everybody is asked for the last time.
    looked_from: Option<Time>,
}

impl Brain {
    /// Whether this decider may promote somebody now: its moment has come, and all nodes that
    /// are up have spoken since.
    pub(super) fn may_promote(&mut self, now: Time, lost: NodeId) -> bool {
        let epoch = self.route.epoch;
        let at = now + self.own_delay(epoch);
        let mut turn = self.turn.filter(|it| it.epoch == epoch).unwrap_or(Turn {
            epoch,
            at,
            looked_from: None,
        });
        if turn.at <= now && turn.looked_from.is_none() {
            turn.looked_from = Some(now);
            for node in self.nodes().map(|it| it.0).collect::<Vec<_>>() {
                self.act(Action::Probe(node));
            }
        }
        self.turn = Some(turn);
        let Some(from) = turn.looked_from else { return false };
        // Whoever does not answer is suspect soon, and no longer waited for; nor is one that answers
        // nothing but errors.
        self.nodes()
            .filter(|(node, it)| *node != lost && it.health().is_up())
            .all(|(_, it)| it.report_since(from).is_some() || it.impaired.is_some())
    }

    /// Why to wait: somebody says that he was promoted in the place of our primary, and has not answered
    /// an order of ours to follow somebody, or has not been asked since. He is not followed before it is
    /// known what becomes of him, and nobody is promoted beside him.
    pub(super) fn disputed(&self, now: Time) -> Option<String> {
        let fresh = self.fresh_from(now);
        let mut turned = self.nodes().filter(|it| it.1.is_out_of_date());
        let (_, member) = turned.find(|(node, it)| {
            it.report_since(fresh).is_some_and(|it| self.is_replacing(*node, it))
        })?;
        let name = &member.spec.name;
        Some(format!("{name} was promoted by somebody else, and has not answered an order"))
    }

    /// Between nothing and `failover.jitter`, another one in each epoch.
    fn own_delay(&self, epoch: Epoch) -> Duration {
        let max = u64::try_from(self.params.jitter.as_micros()).unwrap_or(u64::MAX);
        let drawn = mix(self.params.seed ^ epoch.0.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Duration::from_micros(drawn.checked_rem(max.saturating_add(1)).unwrap_or(0))
    }
}

/// The finalizer of `splitmix64`: every bit of the input counts for every bit of the output.
const fn mix(seed: u64) -> u64 {
    let mut it = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}
