//! Faults: which, whom, for how long. All of them end, and then everything must heal.

use crate::network::End;
use crate::sim::{Event, Sim};
use crate::swarm::{Fault, MS, Us};

/// How a fault ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    Start(usize),
    Mend(End, End),
    Slow,
}

impl Sim {
    /// One fault, and the next one is on its way.
    pub(crate) fn strike(&mut self) {
        if self.healing_from.is_some() {
            return;
        }
        let wait = self.rng.spread(self.swarm.fault_every);
        self.after(wait, Event::Strike);
        let fault = self.rng.pick(&self.swarm.faults.clone());
        // The primary is the most rewarding victim.
        let serving = self.proxies[0].route.primary().map(|it| usize::from(it.node.0));
        let anyone = self.rng.index(self.swarm.nodes);
        let node = if self.rng.chance(60) { serving.unwrap_or(anyone) } else { anyone };
        let proxy = self.rng.index(self.swarm.proxies);
        let span = self.span();
        self.trace(|| format!("== {fault:?} node {node} proxy {proxy} for {} ms", span / MS));
        self.checker.struck(fault);
        self.strike_with(fault, node, proxy, span);
        self.note_roughness();
    }

    fn strike_with(&mut self, fault: Fault, node: usize, proxy: usize, span: Us) {
        match fault {
            Fault::Kill => {
                self.kill_node(node);
                self.after(span, Event::Ends(Ending::Start(node)));
            }
            Fault::Vanish => {
                self.nodes[node].host_up = false;
                self.kill_node(node);
                self.after(span, Event::Ends(Ending::Start(node)));
            }
            Fault::Stop => later(&mut self.nodes[node].stopped_until, self.now + span),
            Fault::Cut => self.cut_somewhere(node, span),
            Fault::CutFromPrimary => self.cut(End::Proxy(proxy), End::Node(node), span),
            Fault::Isolate => {
                for other in 0..self.swarm.nodes {
                    self.cut(End::Node(other), End::Node(node), span);
                }
                for proxy in 0..self.swarm.proxies {
                    self.cut(End::Proxy(proxy), End::Node(node), span);
                }
            }
            Fault::Slow => {
                self.network.slowness = self.rng.pick(&[5, 30, 100]);
                self.after(span, Event::Ends(Ending::Slow));
            }
            Fault::Impair => {
                let error = self.rng.pick(&[
                    "BUSY Redis is busy running a script.",
                    "MISCONF Errors writing to the RDB file.",
                ]);
                if self.nodes[node].process.is_some() {
                    self.nodes[node].impaired = Some((self.now + span, error));
                }
            }
            Fault::Human => self.meddle(node),
            Fault::Doze => later(&mut self.proxies[proxy].asleep_until, self.now + span),
            Fault::Stuck => {
                let worker = self.rng.index(self.swarm.workers);
                later(&mut self.proxies[proxy].workers[worker].stuck_until, self.now + span);
            }
            Fault::Switch => self.ask_switchover(proxy),
            Fault::Blackout => self.black_out(),
            Fault::CutLink => {
                let one = self.rng.index(self.swarm.nodes);
                let other = (one + self.rng.index(self.swarm.nodes - 1) + 1) % self.swarm.nodes;
                self.cut(End::Node(one), End::Node(other), span);
            }
            Fault::CutAway => {
                for proxy in 0..self.swarm.proxies {
                    self.cut(End::Proxy(proxy), End::Node(node), span);
                }
                for other in 0..self.swarm.nodes {
                    if self.rng.chance(50) {
                        self.cut(End::Node(other), End::Node(node), span);
                    }
                }
            }
            Fault::Late => {
                let other = self.rng.index(self.swarm.nodes);
                let moment = self.rng.range(50 * MS, 900 * MS);
                if other != node {
                    later(&mut self.nodes[other].stopped_until, self.now + moment);
                }
            }
            Fault::Split => self.split(span),
            Fault::Forget => {
                self.close_sessions(proxy);
                self.start_proxy(proxy);
            }
        }
    }

    /// From a blink to longer than anything is waited for.
    fn span(&mut self) -> Us {
        let span = self.rng.pick(&self.swarm.spans.clone());
        self.rng.range(span / 2, span)
    }

    fn cut(&mut self, one: End, other: End, span: Us) {
        if one == other {
            return;
        }
        for (from, to) in [(one, other), (other, one)] {
            self.network.cut(from, to);
            self.after(span, Event::Ends(Ending::Mend(from, to)));
        }
    }

    /// Every node but one or none is killed at once.
    fn black_out(&mut self) {
        let spared = self.rng.index(2 * self.swarm.nodes);
        for node in (0..self.swarm.nodes).filter(|it| *it != spared) {
            let span = self.span();
            self.kill_node(node);
            self.after(span, Event::Ends(Ending::Start(node)));
        }
    }

    /// Everybody is on one of two sides.
    fn split(&mut self, span: Us) {
        let nodes = (0..self.swarm.nodes).map(End::Node);
        let everybody: Vec<End> = nodes.chain((0..self.swarm.proxies).map(End::Proxy)).collect();
        let sides: Vec<bool> = everybody.iter().map(|_| self.rng.chance(50)).collect();
        for (one, its) in everybody.iter().zip(&sides) {
            for (other, theirs) in everybody.iter().zip(&sides) {
                if *its && !*theirs {
                    self.cut(*one, *other, span);
                }
            }
        }
    }

    /// All is in order, and the primary is struck for good: everybody else must heal once more.
    pub(crate) fn strike_for_good(&mut self, fault: Fault) {
        let Some(open) = self.proxies[0].route.primary() else { return };
        let node = usize::from(open.node.0);
        self.trace(|| format!("== {fault:?} node {node} for good"));
        self.gone = Some(node);
        if fault == Fault::Stop {
            self.nodes[node].stopped_until = Us::MAX;
        } else {
            self.nodes[node].host_up = fault != Fault::Vanish;
            self.kill_node(node);
        }
        self.checker.struck(fault);
        self.note_roughness();
        self.healing_from = Some(self.now);
    }

    fn cut_somewhere(&mut self, node: usize, span: Us) {
        let other = self.rng.index(self.swarm.nodes + self.swarm.proxies);
        let other = match other.checked_sub(self.swarm.nodes) {
            Some(proxy) => End::Proxy(proxy),
            None => End::Node(other),
        };
        let own = End::Node(node);
        if own == other {
            return;
        }
        match self.rng.index(3) {
            0 => self.cut(own, other, span),
            1 => {
                self.network.cut(own, other);
                self.after(span, Event::Ends(Ending::Mend(own, other)));
            }
            _ => {
                self.network.cut(other, own);
                self.after(span, Event::Ends(Ending::Mend(other, own)));
            }
        }
    }

    /// A human promotes a replica, and most times points the old primary at it.
    fn meddle(&mut self, node: usize) {
        let target = self.rng.index(self.swarm.nodes);
        let thorough = self.rng.chance(70);
        let has_data = |sim: &Self| {
            let process = sim.nodes[target].process.as_ref();
            process.is_some_and(|it| it.cached && it.loading.is_none())
        };
        if target == node || !has_data(self) || self.replicaof(target, None).is_err() {
            return;
        }
        if thorough {
            let _refused = self.replicaof(node, Some(target));
        }
    }

    pub(crate) fn end_fault(&mut self, ending: Ending) {
        match ending {
            Ending::Start(node) if self.gone == Some(node) => {}
            Ending::Start(node) => {
                self.nodes[node].host_up = true;
                self.start_node(node);
            }
            Ending::Mend(from, to) => self.network.mend(from, to),
            Ending::Slow => self.network.slowness = 1,
        }
    }

    /// Everything is whole from now on.
    pub(crate) fn heal(&mut self) {
        self.trace(|| "== everything heals".to_owned());
        self.note_roughness();
        self.network.heal();
        self.swarm.answer_lost_percent = 0;
        for n in 0..self.nodes.len() {
            self.nodes[n].host_up = true;
            self.nodes[n].stopped_until = 0;
            self.nodes[n].impaired = None;
            self.start_node(n);
        }
        // Who stands still goes on in its own time: what waits for it was put off till then.
        self.healing_from = Some(self.now);
        self.after(100 * MS, Event::Look);
    }
}

/// Who stands still already goes on when the longer of the two stops is over: what waits for it was
/// put off till then.
fn later(until: &mut Us, end: Us) {
    *until = end.max(*until);
}
