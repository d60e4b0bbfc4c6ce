//! What is remembered of one node: its names, its detector, its last report.

use super::event::Order;
use super::fence::Standing;
use super::probed::{Endpoint, Finding, NodeSpec, Probed};
use super::witness::Test;
use crate::pure::detect::{Detector, Health, Params};
use crate::pure::time::Time;
use crate::pure::topology::{Acknowledged, Link, LinkState, ReplId, Report, RunId};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A report, and when it was asked for.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) report: Report,
    pub(super) asked: Time,
}

/// A place in a history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Had {
    /// The process that said it.
    pub(super) run_id: RunId,
    pub(super) replid: ReplId,
    pub(super) offset: u64,
    /// Not only read from a file: it had received that much, and may have confirmed more.
    pub(super) in_step: bool,
    /// It received still, and may have got more before it said so.
    pub(super) is_led: bool,
}

/// An order that has not been answered.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) order: Order,
}

/// A promotion that came to nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    /// The process that was chosen.
    run_id: RunId,
    /// It is not chosen again before this.
    until: Time,
    /// Nor is another process of the node, if it was not the first time in this failover: it may be
    /// the promotion that the node dies of.
    is_repeated: bool,
}

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) spec: NodeSpec,
    pub(super) detector: Detector,
    pub(super) seen: Option<Seen>,
    pub(super) addr: Option<SocketAddr>,
    aliases: Vec<SocketAddr>,
    /// What it had last of which history, by its own word, before it began a full copy.
    pub(super) had: Option<Had>,
    /// Up to where clients had been told that writes are safe when it was first heard to copy.
    pub(super) told_before_copy: Option<u64>,
    /// What it answers although it is up.
    pub(super) impaired: Option<String>,
    /// When the bytes that it has, or its link, were seen to change last, as a replica.
    pub(super) moved_at: Time,
    /// It was seen with the group's data: it belongs here.
    pub(super) is_family: bool,
    /// The process that was last seen as a replica: if the same one says that it is a primary,
    /// somebody promoted it; another one was merely restarted.
    pub(super) replica_run: Option<RunId>,
    /// The process that was last seen in step as a replica, and with which history.
    pub(super) joined: Option<(RunId, ReplId)>,
    /// The same process, and the history with which it was in step before: it was turned while it ran.
    pub(super) left: Option<(RunId, ReplId)>,
    /// When it was first heard whom it follows, with data of which history.
    pub(super) turned_at: Time,
    /// When the process that answers there was first heard of.
    pub(super) born_at: Time,
    pub(super) pending: Option<Pending>,
    /// When its last order was answered; what it said before is out of date.
    pub(super) answered_at: Time,
    /// When the question was asked to which it gave its last sign of life.
    pub(super) alive_asked: Time,
    /// No further order before this.
    pub(super) quiet_until: Time,
    /// It was told to follow, at this moment, and is not in step yet.
    pub(super) joining_from: Option<Time>,
    /// The data set that was decided against, by an operator or because it is not what it was
    /// promoted for.
    pub(super) forsaken: Option<ReplId>,
    /// How its link to the lost primary is put to the test.
    pub(super) test: Option<Test>,
    /// It was put to it after it had spoken for the primary.
    pub(super) has_testified: bool,
    pub(super) fence: Standing,
    pub(super) failed: Option<Failed>,
    /// What was said about it last, so that it is not said again.
    pub(super) remark: Option<String>,
}

impl Member {
    pub(super) const fn new(spec: NodeSpec, params: Params, now: Time) -> Self {
        Self {
            spec,
            detector: Detector::new(params, now),
            seen: None,
            had: None,
            told_before_copy: None,
            addr: None,
            aliases: Vec::new(),
            impaired: None,
            moved_at: now,
            is_family: false,
            replica_run: None,
            joined: None,
            left: None,
            turned_at: now,
            born_at: now,
            pending: None,
            answered_at: now,
            alive_asked: Time::ZERO,
            quiet_until: now,
            joining_from: None,
            forsaken: None,
            test: None,
            has_testified: false,
            fence: Standing::new(now),
            failed: None,
            remark: None,
        }
    }

    pub(super) const fn health(&self) -> Health {
        self.detector.health()
    }

    /// Whether it answers, be it but once since it was down.
    pub(super) const fn is_heard(&self) -> bool {
        !self.health().is_down() || self.detector.is_recovering()
    }

    /// Whether it has begun to copy somebody, also if that has broken off.
    pub(super) fn has_begun_to_copy(&self) -> bool {
        self.is_copying() || self.report().is_some_and(|it| self.before_copy(it).is_some())
    }

    /// Remembers what clients had been told when it began to copy, if it has just done so.
    pub(super) fn note_copy(&mut self, was_copying: bool, told: Option<Acknowledged>) {
        if self.is_copying() && !was_copying {
            self.told_before_copy = told.map(|it| it.offset);
        }
    }

    /// Whether it said last that it makes a full copy.
    pub(super) fn is_copying(&self) -> bool {
        let link = self.report().and_then(Report::link);
        link.is_some_and(|it| it.state == LinkState::Syncing)
    }

    /// Whether an order that changes its role may still be on its way to it.
    pub(super) const fn is_being_turned(&self) -> bool {
        match &self.pending {
            Some(it) => matches!(it.order, Order::Promote { .. } | Order::Follow { .. }),
            None => false,
        }
    }

    /// Whether an order may change, or may have changed, what it said last.
    pub(super) fn is_out_of_date(&self) -> bool {
        let asked = self.seen.as_ref().map(|it| it.asked);
        self.is_being_turned() || asked.is_some_and(|it| it < self.answered_at)
    }

    /// Its promotion came to nothing: the process `run_id` waits until then.
    pub(super) fn fail(&mut self, run_id: RunId, until: Time) {
        self.failed = Some(Failed { run_id, until, is_repeated: self.failed.is_some() });
    }

    /// Whether a promotion of what runs there came to nothing a moment ago.
    pub(super) fn has_just_failed(&self, now: Time) -> bool {
        let run_id = self.report().map(|it| it.run_id);
        self.failed
            .is_some_and(|it| now < it.until && (it.is_repeated || run_id == Some(it.run_id)))
    }

    pub(super) fn report(&self) -> Option<&Report> {
        self.seen.as_ref().map(|it| &it.report)
    }

    /// Its last report, if it was asked for at `since` or later and it is up.
    pub(super) fn report_since(&self, since: Time) -> Option<&Report> {
        let seen = self.seen.as_ref().filter(|it| it.asked >= since)?;
        self.health().is_up().then_some(&seen.report)
    }

    /// The same, though it may still count as down: it answers, and that is enough to be told
    /// what it must not be.
    pub(super) fn answer_since(&self, since: Time) -> Option<&Report> {
        let seen = self.seen.as_ref().filter(|it| it.asked >= since)?;
        (self.health().is_up() || self.detector.is_recovering()).then_some(&seen.report)
    }

    /// Takes the outcome of a probe, apart from what the detector makes of it.
    pub(super) fn learn(&mut self, now: Time, probed: Probed) {
        let is_stranger = probed.is_stranger();
        let Probed { node: _, asked, addr, aliases, finding } = probed;
        if addr.is_some() {
            self.addr = addr;
        }
        if !aliases.is_empty() {
            self.aliases = aliases;
        }
        let report = match finding {
            Finding::Good(report) => {
                self.impaired = None;
                if !report.loading {
                    self.alive_asked = self.alive_asked.max(asked);
                }
                Some(report)
            }
            Finding::Impaired { error, report } => {
                if !is_stranger {
                    self.alive_asked = self.alive_asked.max(asked);
                }
                self.impaired = Some(error);
                report
            }
            Finding::Loading | Finding::Refused | Finding::Silent { .. } | Finding::NotAsked => {
                None
            }
        };
        let Some(report) = report else { return };
        if self.seen.as_ref().is_some_and(|seen| seen.asked > asked) {
            return;
        }
        // A link that is up again is as good as a byte: the primary has just accepted it.
        let is_up = |it: &Link| matches!(it.state, LinkState::Up { .. });
        let bytes = |it: &Report| {
            (it.replid, it.offset, it.link().map(|link| (link.received, is_up(link))))
        };
        if self.report().map(bytes) != Some(bytes(&report)) {
            self.moved_at = asked;
        }
        // Behind a full copy that broke off there is no place any more.
        let state = report.link().map(|it| it.state);
        if state != Some(LinkState::Syncing) && report.offset > 1 && !report.loading {
            let Report { run_id, replid, offset, .. } = *report;
            let in_step = state != Some(LinkState::Never);
            let is_led = report.link().is_some_and(is_up);
            self.had = Some(Had { run_id, replid, offset, in_step, is_led });
        }
        if !report.is_primary() {
            self.replica_run = Some(report.run_id);
        }
        if report.link().is_some_and(is_up) {
            let (run_id, replid) = (report.run_id, report.replid);
            let before = self.joined.replace((run_id, replid));
            self.left = before.filter(|it| it.0 == run_id && it.1 != replid).or(self.left);
        }
        let led = |it: &Report| it.link().map(|link| (it.replid, link.host.clone(), link.port));
        if self.report().and_then(led) != led(&report) {
            self.turned_at = now;
        }
        self.seen = Some(Seen { report: *report, asked });
    }

    /// The last place that it said of what it has now, of which it says `report`.
    pub(super) fn had_of(&self, report: &Report) -> Option<Had> {
        self.had.filter(|it| (it.run_id, it.replid) == (report.run_id, report.replid))
    }

    /// What it has, of which it says `report`, if it is a replica that has begun to copy somebody, whether
    /// or not that has broken off since: the data is still there, its place in the history is not said
    /// any more.
    pub(super) fn before_copy(&self, report: &Report) -> Option<Report> {
        let link = report.link()?;
        let had = self.had_of(report).filter(|_| report.keys > 0)?;
        let is_up = matches!(link.state, LinkState::Up { .. });
        let then = || Report { offset: had.offset, descends: None, ..report.clone() };
        (!is_up && report.offset <= 1).then(then)
    }

    /// Whether `host` and `port` name this node, as replicas or as we reach it.
    pub(super) fn is_at(&self, host: &str, port: u16) -> bool {
        let names = |it: &Endpoint| it.port == port && it.host.eq_ignore_ascii_case(host);
        if names(&self.spec.replication) || names(&self.spec.address) {
            return true;
        }
        let Ok(ip) = host.parse::<IpAddr>() else { return false };
        let addr = SocketAddr::new(ip, port);
        self.addr == Some(addr) || self.aliases.contains(&addr)
    }

    /// Whether a replica that says `report` is in step with this node's data, by whatever way.
    pub(super) fn is_in_step(&self, report: &Report, link: &Link) -> bool {
        matches!(link.state, LinkState::Up { .. })
            && self.report().is_some_and(|own| own.replid == report.replid)
    }

    /// Whether it has applied all that it will ever get of what a lost primary sent: its link
    /// is gone, or nothing changed for `still`.
    pub(super) fn is_drained(&self, still: Duration) -> bool {
        let Some(seen) = &self.seen else { return true };
        let Some(link) = seen.report.link() else { return true };
        match link.state {
            LinkState::Down { .. } | LinkState::Never | LinkState::Syncing => true,
            LinkState::Up { .. } => {
                seen.asked.since(self.moved_at) >= still && link.received <= seen.report.offset
            }
        }
    }

    /// Whether it testifies that the primary at `primary` lived after `lost_at`: its link is
    /// up, and something arrived on it since.
    ///
    /// Servers tell the age of the last byte in whole seconds, rounded either way; so it
    /// proves something only about what is more than a second older.
    /// Its word is good for `word_max` after the last byte.
    pub(super) fn is_witness(&self, primary: &Self, lost_at: Time, word_max: Duration) -> bool {
        // Its word is good for a while, also if its next answer is late.
        if self.health().is_down() || self.health() == Health::Unknown {
            return false;
        }
        let Some(seen) = self.seen.as_ref().filter(|it| it.asked > lost_at) else { return false };
        let Some(link) = seen.report.link() else { return false };
        let LinkState::Up { idle_secs } = link.state else { return false };
        if !primary.is_at(&link.host, link.port) {
            return false;
        }
        let idle_max = Duration::from_secs(idle_secs.saturating_add(1));
        let arrived_after = lost_at + idle_max < seen.asked;
        let moved_after = self.moved_at > lost_at;
        (arrived_after || moved_after) && idle_max <= word_max
    }

    /// This process stood still for `stall`.
    pub(super) fn shift(&mut self, stall: Duration) {
        self.detector.shift(stall);
        self.joining_from = self.joining_from.map(|it| it + stall);
    }
}
