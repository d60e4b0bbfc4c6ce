//! Probes: `PING` and `INFO` on a kept connection, on each node's own schedule.

use super::micros;
use crate::data::Point;
use crate::network::End;
use crate::sim::{Event, Sim};
use crate::swarm::Us;
use segue::pure::failover::{self, Finding, Probed};
use segue::pure::time::Time;
use segue::pure::topology::NodeId;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The prober of one node.
#[derive(Debug)]
pub(crate) struct Prober {
    serial: u64,
    busy: bool,
    nudged: bool,
    asked: Us,
    /// The process at the other end of the kept connection.
    kept: Option<u64>,
    /// During this probe a new connection was made.
    connected: bool,
}

impl Prober {
    pub(crate) const fn new(serial: u64) -> Self {
        Self { serial, busy: false, nudged: false, asked: 0, kept: None, connected: false }
    }
}

/// The address of node `n`.
pub(crate) fn addr(n: usize) -> SocketAddr {
    let last = u8::try_from(n + 1).unwrap();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), crate::node::report::PORT)
}

impl Sim {
    /// Asks out of turn; a call while one is under way is remembered.
    pub(crate) fn nudge(&mut self, proxy: usize, node: usize) {
        let serial = self.serial();
        let Some(prober) = self.proxies[proxy].probers.get_mut(node) else { return };
        if prober.busy {
            prober.nudged = true;
        } else {
            prober.serial = serial;
            self.after(1, Event::ProbeStarts { proxy, node, serial });
        }
    }

    pub(crate) fn probe_starts(&mut self, proxy: usize, node: usize, serial: u64) {
        let now = self.now;
        let timeout = micros(self.swarm.params.detect.timeout);
        let wait = self.delay();
        let prober = &mut self.proxies[proxy].probers[node];
        if prober.serial != serial || prober.busy {
            return;
        }
        prober.busy = true;
        prober.nudged = false;
        prober.asked = now;
        prober.connected = false;
        self.after(timeout, Event::ProbeTimesOut { proxy, node, serial });
        self.after(wait, Event::ProbeArrives { proxy, node, serial });
    }

    pub(crate) fn probe_arrives(&mut self, proxy: usize, node: usize, serial: u64) {
        let (there, back) = (End::Proxy(proxy), End::Node(node));
        if self.proxies[proxy].probers[node].serial != serial
            || !self.network.passes(there, back)
            || !self.nodes[node].host_up
        {
            return;
        }
        let wait = self.delay();
        let run = self.nodes[node].process.as_ref().map(|it| it.run);
        let answers = self.network.passes(back, there);
        let prober = &mut self.proxies[proxy].probers[node];
        let Some(run) = run else {
            prober.kept = None;
            let finding = Finding::Refused;
            return self
                .after(wait, Event::ProbeReplies { proxy, node, serial, finding, point: None });
        };
        // A broken connection is replaced within the probe; the system makes connections also
        // for a process that hangs.
        prober.connected |= prober.kept != Some(run) && answers;
        if self.nodes[node].stopped_until > self.now {
            let until = self.nodes[node].stopped_until;
            return self.at(until, Event::ProbeArrives { proxy, node, serial });
        }
        if answers {
            prober.kept = Some(run);
        }
        if let Some((finding, point)) = self.find(node) {
            let point = Some(point);
            self.after(wait, Event::ProbeReplies { proxy, node, serial, finding, point });
        }
    }

    pub(crate) fn probe_times_out(&mut self, proxy: usize, node: usize, serial: u64) {
        let prober = &mut self.proxies[proxy].probers[node];
        if prober.serial == serial && prober.busy {
            let connected = prober.connected;
            prober.kept = None;
            self.probe_ends(proxy, node, serial, Finding::Silent { connected }, None);
        }
    }

    pub(crate) fn probe_ends(
        &mut self,
        proxy: usize,
        node: usize,
        serial: u64,
        finding: Finding,
        point: Option<Point>,
    ) {
        let next = self.serial();
        let interval = micros(self.swarm.params.detect.interval);
        let prober = &mut self.proxies[proxy].probers[node];
        if prober.serial != serial || !prober.busy {
            return;
        }
        let asked = prober.asked;
        prober.busy = false;
        prober.serial = next;
        let at = if prober.nudged { self.now } else { asked + interval };
        self.at(at.max(self.now + 1), Event::ProbeStarts { proxy, node, serial: next });
        self.trace(|| format!("proxy {proxy}:   node {node}, {}", told(&finding, point)));
        let is_connected = !matches!(finding, Finding::Refused | Finding::Silent { .. });
        let probed = Probed {
            node: NodeId(u16::try_from(node).unwrap()),
            asked: Time::from_start(Duration::from_micros(asked)),
            addr: is_connected.then(|| addr(node)),
            aliases: Vec::new(),
            finding,
        };
        self.check_probed(proxy, &probed, asked, point);
        self.step(proxy, failover::Event::Probed(probed));
    }
}

/// A probe's outcome in a line; with the truth, whose histories have short names.
fn told(finding: &Finding, point: Option<Point>) -> String {
    let (Finding::Good(report) | Finding::Impaired { report: Some(report), .. }) = finding else {
        return format!("{finding:?}");
    };
    let role = report.link().map(|it| format!("of {} {:?}", it.host, it.state));
    let truth = point.map_or(0, |it| it.history);
    let (offset, keys) = (report.offset, report.keys);
    format!("{} at {truth}:{offset}, {keys} keys", role.unwrap_or_else(|| "primary".to_owned()))
}
