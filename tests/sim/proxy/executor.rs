//! Orders: connect, look again, `REPLICAOF`. An answer may be lost though the order was carried
//! out, and bytes that were given up may still arrive.

use crate::nemesis::Ending;
use crate::network::End;
use crate::sim::{Event, Sim};
use crate::swarm::{MS, SECOND, Us};
use segue::pure::failover::{self, Finding, Order, Outcome};
use segue::pure::topology::Report;

/// As `control::executor` has it.
const ORDER_MAX: Us = SECOND;

/// Bytes under way are sent again and again by the system for a while.
const RESEND_EVERY: Us = 300 * MS;
const RESENDS_MAX: u32 = 8;

/// An order under way.
#[derive(Debug)]
pub(crate) struct Job {
    order: Order,
    stage: Stage,
    /// The process that was connected to.
    run: Option<u64>,
    /// It was given up, and only the network still has it.
    is_over: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// Connecting, and for a promotion one last look.
    Look,
    /// The command itself.
    Command,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Connected(u64),
    Over(Outcome),
}

impl Sim {
    pub(crate) fn order(&mut self, proxy: usize, order: Order) {
        self.trace(|| format!("proxy {proxy} orders {order:?}"));
        let job = self.serial();
        let stage = Stage::Look;
        self.proxies[proxy].jobs.insert(job, Job { order, stage, run: None, is_over: false });
        self.send_order(proxy, job, stage);
    }

    fn send_order(&mut self, proxy: usize, job: u64, stage: Stage) {
        let wait = self.delay();
        self.after(wait, Event::OrderArrives { proxy, job, stage, tries: 0 });
        self.after(ORDER_MAX, Event::OrderTimesOut { proxy, job, stage });
    }

    pub(crate) fn order_arrives(&mut self, proxy: usize, job: u64, stage: Stage, tries: u32) {
        let Some(it) = self.proxies[proxy].jobs.get(&job) else { return };
        let (order, run, is_over) = (it.order.clone(), it.run, it.is_over);
        let node = usize::from(order.node().0);
        let reaches =
            self.network.passes(End::Proxy(proxy), End::Node(node)) && self.nodes[node].host_up;
        let is_late = is_over && !(self.swarm.late_orders && stage == Stage::Command);
        if !reaches {
            if tries < RESENDS_MAX && !is_late {
                let tries = tries + 1;
                self.after(RESEND_EVERY, Event::OrderArrives { proxy, job, stage, tries });
            }
            return;
        }
        if is_late {
            return;
        }
        let process = self.nodes[node].process.as_ref().map(|it| it.run);
        if self.nodes[node].stopped_until > self.now && process.is_some() {
            let until = self.nodes[node].stopped_until;
            return self.at(until, Event::OrderArrives { proxy, job, stage, tries });
        }
        let reply = match (stage, process) {
            (Stage::Look, None) => Reply::Over(Outcome::NotSent("refused".to_owned())),
            (Stage::Look, Some(run)) => self.look_again(node, run, &order),
            (Stage::Command, process) if process.is_none() || process != run => {
                Reply::Over(Outcome::Unknown)
            }
            (Stage::Command, _) => Reply::Over(self.carry_out(proxy, node, &order)),
        };
        let is_lost = stage == Stage::Command && self.rng.chance(self.swarm.answer_lost_percent);
        if !is_lost {
            let wait = self.delay();
            self.after(wait, Event::OrderReplies { proxy, job, stage, reply });
        }
    }

    /// The last look at a candidate; the same words as the executor's.
    fn look_again(&self, node: usize, run: u64, order: &Order) -> Reply {
        if !matches!(order, Order::Promote { .. }) {
            return Reply::Connected(run);
        }
        match self.find(node) {
            Some((Finding::Good(report) | Finding::Impaired { report: Some(report), .. }, _))
                if is_another(&report, order) =>
            {
                Reply::Over(Outcome::Refused("restarted".to_owned()))
            }
            Some((Finding::Good(report), _)) if report.loading => {
                Reply::Over(Outcome::NotSent("loading".to_owned()))
            }
            Some((Finding::Good(report), _)) if report.is_primary() => Reply::Over(Outcome::Done),
            Some((Finding::Good(report), _)) if follows_another(&report, order) => {
                Reply::Over(Outcome::Refused("it follows another".to_owned()))
            }
            Some((Finding::Good(_) | Finding::Impaired { report: Some(_), .. }, _)) => {
                Reply::Connected(run)
            }
            _ => Reply::Over(Outcome::NotSent("it does not say what it is".to_owned())),
        }
    }

    fn carry_out(&mut self, proxy: usize, node: usize, order: &Order) -> Outcome {
        let of = match order {
            Order::Pause { span, .. } => {
                if let Some(error) = self.nodes[node].impairment(self.now) {
                    return Outcome::Refused(error.to_owned());
                }
                self.nodes[node].paused_until = self.now + super::micros(*span);
                return Outcome::Done;
            }
            Order::Unpause { .. } => {
                self.nodes[node].paused_until = 0;
                return Outcome::Done;
            }
            Order::Reconnect { .. } if self.swarm.deaf => {
                return Outcome::Refused("NOPERM this user may not run client|kill".to_owned());
            }
            Order::Promote { .. } if self.swarm.dies_of_it == Some(node) => {
                self.kill_node(node);
                let wait = self.rng.range(1, 20) * MS;
                self.after(wait, Event::Ends(Ending::Start(node)));
                return Outcome::Unknown;
            }
            Order::Reconnect { .. } => {
                self.cut_link(node);
                return Outcome::Done;
            }
            Order::Promote { .. } => None,
            Order::Follow { primary, .. } => Some(usize::from(primary.0)),
        };
        self.check_carried_out(proxy, node, order);
        match self.replicaof(node, of) {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Refused(error),
        }
    }

    pub(crate) fn order_replies(&mut self, proxy: usize, job: u64, stage: Stage, reply: Reply) {
        let Some(it) = self.proxies[proxy].jobs.get_mut(&job) else { return };
        let node = usize::from(it.order.node().0);
        if it.stage != stage
            || it.is_over
            || !self.network.passes(End::Node(node), End::Proxy(proxy))
        {
            return;
        }
        match reply {
            Reply::Connected(run) => {
                it.run = Some(run);
                it.stage = Stage::Command;
                self.send_order(proxy, job, Stage::Command);
            }
            Reply::Over(outcome) => self.order_ends(proxy, job, outcome),
        }
    }

    pub(crate) fn order_times_out(&mut self, proxy: usize, job: u64, stage: Stage) {
        let Some(it) = self.proxies[proxy].jobs.get(&job) else { return };
        if it.stage != stage || it.is_over {
            return;
        }
        let outcome = match stage {
            Stage::Look => Outcome::NotSent("no answer".to_owned()),
            Stage::Command => Outcome::Unknown,
        };
        self.order_ends(proxy, job, outcome);
    }

    fn order_ends(&mut self, proxy: usize, job: u64, outcome: Outcome) {
        let Some(it) = self.proxies[proxy].jobs.get_mut(&job) else { return };
        it.is_over = true;
        let (order, run) = (it.order.clone(), it.run);
        if outcome != Outcome::Unknown {
            self.proxies[proxy].jobs.remove(&job);
        }
        self.trace(|| format!("proxy {proxy} hears of {order:?}: {outcome:?}"));
        self.check_ordered(proxy, &order, run, &outcome);
        self.step(proxy, failover::Event::Ordered { order, outcome });
    }
}

/// Whether a candidate follows another primary by now than when it was chosen.
fn follows_another(report: &Report, order: &Order) -> bool {
    let Order::Promote { follows: Some(expected), .. } = order else { return false };
    report.link().is_some_and(|it| (&it.host, it.port) != (&expected.host, expected.port))
}

/// Whether a candidate is another process by now than the one that was chosen.
fn is_another(report: &Report, order: &Order) -> bool {
    let Order::Promote { process: Some(chosen), .. } = order else { return false };
    report.run_id != *chosen
}
