//! Once every fault has ended, every proxy serves one and the same primary and all replicas
//! follow it, within a bound; or it says that a human is needed, and is right.

use crate::data::Point;
use crate::node::{Link, Role};
use crate::sim::{Event, Sim};
use crate::swarm::{Fault, MS, SECOND, Us};
use segue::pure::topology::NodeId;

/// For detection, promotion, and one full copy after another at the worst.
const HEAL_MAX: Us = 120 * SECOND;

/// It must stay well for so long.
const STEADY_MIN: Us = 1_500 * MS;

impl Sim {
    pub(crate) fn check_healed(&mut self) {
        let (now, from) = (self.now, self.healing_from.unwrap_or(self.now));
        match self.unhealed() {
            None => {
                let since = *self.checker.healed_from.get_or_insert(now);
                let is_steady = now >= since + STEADY_MIN;
                if is_steady && let Some(fault) = self.swarm.last.take() {
                    self.checker.healed_from = None;
                    self.strike_for_good(fault);
                } else if is_steady {
                    self.checker.stats.heal_ms = (since - from) / MS;
                    self.is_over = true;
                    return;
                }
            }
            Some(why) => {
                self.checker.healed_from = None;
                if now > from + HEAL_MAX {
                    self.is_over = true;
                    // Who lost his primary while all was in order needs nobody.
                    match self.gone.is_none() && self.needs_human() {
                        true => self.checker.stats.humans_needed += 1,
                        false => self.fail("heal", why),
                    }
                    return;
                }
            }
        }
        self.after(100 * MS, Event::Look);
    }

    /// What is not in order yet.
    fn unhealed(&self) -> Option<String> {
        let mut primary = None;
        for (p, proxy) in self.proxies.iter().enumerate() {
            if proxy.asleep_until > self.now {
                return Some(format!("proxy {p} is asleep"));
            }
            let Some(open) = proxy.route.primary() else {
                let reason = proxy.brain.snapshot(self.time()).reason;
                return Some(format!("proxy {p} is held: {reason:?}"));
            };
            if self.gone == Some(usize::from(open.node.0)) {
                return Some(format!("proxy {p} serves {:?}, which is gone", open.node));
            }
            let first = *primary.get_or_insert(open.node);
            if first != open.node {
                return Some(format!("proxy {p} serves {:?}, another {first:?}", open.node));
            }
        }
        let NodeId(primary) = primary?;
        let here = (0..self.nodes.len()).filter(|it| self.gone != Some(*it));
        here.into_iter().find_map(|n| self.astray(n, usize::from(primary)))
    }

    /// Why `node` is not in step behind `primary`.
    fn astray(&self, node: usize, primary: usize) -> Option<String> {
        let process = self.nodes[node].process.as_ref()?;
        let role = process.role;
        let is_fine = match role {
            Role::Primary => node == primary,
            // A chain is in step as well, if it ends at the primary.
            Role::Replica { link: Link::Up { .. }, .. } => {
                let leader = self.nodes[primary].process.as_ref()?;
                node != primary && process.loading.is_none() && process.history == leader.history
            }
            Role::Replica { .. } => false,
        };
        (!is_fine).then(|| format!("node {node} is {role:?}, node {primary} serves"))
    }

    /// Whether no node has anything left of what was served.
    fn is_all_gone(&self) -> bool {
        let Some(served) = self.checker.eyes[0].served_point else { return false };
        let mut left = self.nodes.iter().filter_map(|it| it.process.as_ref());
        left.all(|it| !self.data.descends(it.history, served.history))
    }

    /// Whether a primary of some proxy came back under a name that nobody knows, and lacks what a node
    /// has that went on by itself.
    fn is_torn(&self) -> bool {
        self.checker.eyes.iter().any(|eyes| {
            let (Some(node), Some(served)) = (eyes.serving, eyes.served_point) else {
                return false;
            };
            let Some(own) = &self.nodes[node].process else { return false };
            let is_new = own.second.is_none() && own.history != served.history;
            let served = Point { offset: u64::MAX, ..served };
            let mut others = self.nodes.iter().filter_map(|it| it.process.as_ref());
            is_new
                && others
                    .any(|it| self.lacks(own.point(), it.point()) && self.lacks(served, it.point()))
        })
    }

    fn lacks(&self, own: Point, theirs: Point) -> bool {
        let mut writes = 0..self.checker.writes.len();
        writes.any(|it| self.data.contains(theirs, it) && !self.data.contains(own, it))
    }

    /// Whether nobody could know what to do: no node of what was served says that it is a primary; or
    /// several do, or a proxy never saw who served, and whoever saw it was killed or overruled; or what came
    /// back lacks what only somebody on a branch of his own has.
    fn needs_human(&self) -> bool {
        let primaries = self.nodes.iter().filter_map(|it| it.process.as_ref());
        let primaries: Vec<_> = primaries.filter(|it| it.is_primary()).collect();
        let served = self.checker.eyes[0].served_point;
        let is_rightful = |history| served.is_none_or(|it| self.data.descends(history, it.history));
        let nobody = !primaries.iter().any(|it| is_rightful(it.history));
        let primaries = primaries.len();
        let forgot = self.swarm.faults.contains(&Fault::Forget) || self.checker.meddled;
        let is_ignorant = self.checker.eyes.iter().any(|it| it.serving.is_none());
        // What was acknowledged as guarded is forgiven to nobody.
        let is_guarded = self.swarm.guarded.is_some();
        // Who was never seen with the group's data, and is primary, may have some of its own.
        let is_stranger = (0..self.nodes.len()).any(|it| {
            let process = self.nodes[it].process.as_ref();
            let is_primary = process.is_some_and(crate::node::Process::is_primary);
            is_primary && !self.swarm.files && !self.checker.eyes[0].known[it].is_family
        });
        let is_unknown = nobody || is_stranger || self.is_all_gone() || self.is_torn();
        is_unknown || is_guarded || forgot && (primaries > 1 || is_ignorant)
    }
}
