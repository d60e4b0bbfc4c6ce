//! What each fault does to the world.

use super::*;

impl World {
    /// A replica was busy: it receives only now what its primary sent before it hung.
    pub(in crate::pure::failover) fn read_late(&mut self, n: usize, bytes: u64) {
        let node = &mut self.nodes[n];
        node.offset += bytes;
        node.io_at = self.now;
    }

    pub(in crate::pure::failover) fn fault(&mut self, fault: Fault) {
        let count = self.nodes.len();
        match fault {
            Fault::Kill(n) => {
                self.nodes[n % count].life = Life::Dead;
                self.nodes[n % count].inbox.clear();
            }
            Fault::Restart { node, keeps_keys, alone } => {
                if self.nodes[node % count].life == Life::Dead {
                    self.restart(node % count, keeps_keys, alone);
                }
            }
            Fault::Hang(n) if self.nodes[n % count].life == Life::Running => {
                self.nodes[n % count].life = Life::Hung;
            }
            Fault::Resume(n) if self.nodes[n % count].life == Life::Hung => {
                self.nodes[n % count].life = Life::Running;
                for order in std::mem::take(&mut self.nodes[n % count].inbox) {
                    self.obey(&order);
                }
            }
            Fault::Hang(_) | Fault::Resume(_) => {}
            Fault::Cut(n) => self.nodes[n % count].is_cut = true,
            Fault::Heal(n) => self.nodes[n % count].is_cut = false,
            Fault::Signal(kind) => {
                if let Some(primary) = self.route.primary() {
                    let signal = Signal { epoch: self.route.epoch, node: primary.node, kind };
                    self.push(0, Item::Tell(Event::Signalled(signal)));
                }
            }
            Fault::LoseAnswer { carried_out } => self.lose_answer = Some(carried_out),
            Fault::SlowWorker(ms) => self.confirm_ms = ms.max(1),
            Fault::Stall(ms) => self.stalled_until = self.now + ms,
        }
    }

    fn restart(&mut self, n: usize, keeps_keys: bool, alone: bool) {
        let (run, replid) = (self.fresh_id(), self.fresh_id());
        let node = &mut self.nodes[n];
        (node.life, node.run, node.replid, node.descends) = (Life::Running, run, replid, None);
        (node.offset, node.link_up, node.link_down_from, node.sync_until) = (0, false, None, None);
        if !keeps_keys {
            node.keys = 0;
        }
        if alone {
            node.follows = None;
        }
    }

    /// Whether a candidate was restarted since it was chosen.
    pub(super) fn is_another(&self, n: usize, order: &Order) -> bool {
        let Order::Promote { process, .. } = order else { return false };
        process.is_some_and(|it| it != RunId::parse(&hex(self.nodes[n].run)).expect("an id"))
    }

    /// Two nodes follow each other.
    pub(in crate::pure::failover) fn cross(&mut self, one: usize, other: usize) {
        for (node, of) in [(one, other), (other, one)] {
            let now = self.now;
            let node = &mut self.nodes[node];
            (node.follows, node.link_up, node.link_down_from) = (Some(of), false, Some(now));
        }
    }

    /// Until a promotion has left, and not arrived.
    pub(in crate::pure::failover) fn run_until_ordered(&mut self) {
        let give_up = self.now + 5_000;
        while self.promoted.is_empty() {
            assert!(self.now < give_up, "nobody is promoted: {:?}", self.notes);
            self.run(1);
        }
    }

    pub(in crate::pure::failover) fn promote_by_hand(&mut self, n: usize) {
        let fresh = self.fresh_id();
        let node = &mut self.nodes[n];
        if node.follows.take().is_some() {
            node.descends = Some((node.replid, node.offset + 1));
            node.replid = fresh;
            node.sync_until = None;
        }
    }
}
