//! Who reaches whom, and how long it takes. A cut has a direction.

use crate::rng::Rng;
use crate::swarm::{Swarm, Us};
use std::collections::BTreeSet;

/// One end of a path.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum End {
    Node(usize),
    Proxy(usize),
}

/// All paths.
#[derive(Debug)]
pub(crate) struct Network {
    cuts: BTreeSet<(End, End)>,
    latency: Us,
    spike_percent: u64,
    spike: Us,
    /// Everything takes so many times as long.
    pub(crate) slowness: u64,
}

impl Network {
    pub(crate) const fn new(swarm: &Swarm) -> Self {
        Self {
            cuts: BTreeSet::new(),
            latency: swarm.latency,
            spike_percent: swarm.spike_percent,
            spike: swarm.spike,
            slowness: 1,
        }
    }

    pub(crate) fn cut(&mut self, from: End, to: End) {
        self.cuts.insert((from, to));
    }

    pub(crate) fn mend(&mut self, from: End, to: End) {
        self.cuts.remove(&(from, to));
    }

    /// All faults end.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
        self.slowness = 1;
        self.spike_percent = 0;
    }

    pub(crate) fn passes(&self, from: End, to: End) -> bool {
        !self.cuts.contains(&(from, to))
    }

    /// Whether a message may be lost, or may take longer than `latency` says.
    pub(crate) fn is_rough(&self) -> bool {
        !self.cuts.is_empty() || self.slowness > 1 || self.spike_percent > 0
    }

    /// How long one message takes.
    pub(crate) const fn delay(&self, rng: &mut Rng) -> Us {
        let mut delay = rng.spread(self.latency) * self.slowness;
        if rng.chance(self.spike_percent) {
            delay += rng.range(0, self.spike);
        }
        delay + 1
    }
}
