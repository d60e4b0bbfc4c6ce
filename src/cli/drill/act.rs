//! What happens while the clients work: the changes that the drill asks for, or the one that it
//! waits for.

use super::super::change::{TEMPORARY, code};
use super::super::{Failure, status};
use super::account::Mode;
use super::flags::Drill;
use super::load::Load;
use super::{Stage, kind};
use crate::control::Kind;
use crate::ops::client::Client;
use crate::ops::status::Status;
use crate::pure::failover::{Account, Ask, Verdict};
use crate::pure::topology::snapshot::{Health, NodeStatus, Role};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// The time-out of a change.
const CHANGE_WITHIN: Duration = Duration::from_secs(5);

/// How often the status is looked at while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long replicas may take to be in step again.
const SETTLE_WITHIN: Duration = Duration::from_secs(15);

const SECOND: Duration = Duration::from_secs(1);

/// One performance.
pub(super) struct Act<'a> {
    pub(super) drill: &'a Drill,
    pub(super) stage: &'a Stage,
    pub(super) load: &'a Load,
    pub(super) before: &'a Status,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Acted {
    /// When the first change was asked for.
    pub(super) changed: Option<Instant>,
    pub(super) changes: Vec<Account>,
    /// Why the change was none.
    pub(super) failed: Option<Failure>,
}

impl Act<'_> {
    /// Load, change, load; and for a switchover all of it back again.
    pub(super) async fn perform(&self) -> Result<Acted, Failure> {
        let mut acted = Acted::default();
        let Some(kind) = kind(self.stage.mode) else {
            acted.failed = self.watch().await;
            if acted.failed.is_none() {
                self.go_on(self.drill.seconds()).await;
                self.settle().await;
            }
            return Ok(acted);
        };
        self.go_on(self.drill.seconds()).await;
        acted.changed = Some(Instant::now());
        let is_done = self.change(kind, self.drill.to.clone(), &mut acted).await?;
        self.go_on(self.drill.seconds()).await;
        self.settle().await;
        if is_done && self.stage.mode == Mode::Switchover && !self.drill.there_only {
            let back = self.before.snapshot.primary.clone();
            self.change(kind, back, &mut acted).await?;
            self.go_on(self.drill.seconds()).await;
            self.settle().await;
        }
        Ok(acted)
    }

    /// Whether it was done; what came of it is added to `acted`.
    async fn change(
        &self,
        kind: Kind,
        to: Option<String>,
        acted: &mut Acted,
    ) -> Result<bool, Failure> {
        let account = ask(&self.stage.client, kind, to, false).await?;
        let name = |it: &Option<String>| it.clone().unwrap_or_else(|| "nobody".to_owned());
        let (from, to) = (name(&account.from), name(&account.to));
        let is_done = account.outcome == Verdict::Done;
        if is_done {
            self.drill
                .say(&format!("  {from} -> {to}: commands were held for {}", account.held_ms));
        } else {
            let why = account.reasons.join("; ");
            let text = format!("the change from {from} to {to} was not done: {why}");
            let code = code(account.outcome).unwrap_or(TEMPORARY);
            acted.failed = Some(Failure { code, text });
        }
        acted.changes.push(account);
        Ok(is_done)
    }

    /// Waits until somebody else's failover has happened; why not, if it has not.
    async fn watch(&self) -> Option<Failure> {
        let limit = self.drill.watch_for;
        self.drill.say(&format!("looking on for {limit:?}: bring a failover about now"));
        let epoch = self.before.snapshot.epoch;
        let happened = async {
            loop {
                // One that does not answer is looked at again: it may be what happens.
                if let Ok(status) = self.stage.client.status().await
                    && status.snapshot.epoch > epoch
                    && status.snapshot.gate_open
                {
                    return status.snapshot;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        match timeout(limit, happened).await {
            Ok(snapshot) => {
                let primary = snapshot.primary.unwrap_or_else(|| "nobody".to_owned());
                let epoch = snapshot.epoch;
                self.drill.say(&format!("  {primary} is primary (epoch {epoch})"));
                None
            }
            Err(_elapsed) => {
                let text = format!("no failover was seen within {limit:?}");
                Some(Failure { code: TEMPORARY, text })
            }
        }
    }

    /// Lets the load go on, and says each second how it goes.
    async fn go_on(&self, seconds: u32) {
        let mut before = self.load.operations();
        for _ in 0..seconds {
            sleep(SECOND).await;
            let now = self.load.operations();
            self.drill
                .say(&format!("  {:>6} operations in this second", now.saturating_sub(before)));
            before = now;
        }
    }

    /// Waits until every replica that is up is in step again, or has had its time: then their
    /// resynchronisations can be counted.
    async fn settle(&self) {
        let settled = async {
            loop {
                if let Ok(status) = self.stage.client.status().await
                    && is_settled(&status)
                {
                    return;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        // Who is not in step is shown with what is known.
        let _late = timeout(SETTLE_WITHIN, settled).await;
    }
}

/// Asks for a change, or with `dry_run` what speaks against it.
pub(super) async fn ask(
    client: &Client,
    kind: Kind,
    to: Option<String>,
    dry_run: bool,
) -> Result<Account, Failure> {
    let ask = Ask { to, timeout: CHANGE_WITHIN, dry_run, findings: Vec::new() };
    client.change(kind, &ask, |_| {}).await.map_err(|error| status::failure(&error))
}

fn is_settled(status: &Status) -> bool {
    let primary = status.snapshot.primary.as_deref();
    let others = status.snapshot.nodes.iter().filter(|it| Some(it.name.as_str()) != primary);
    let mut up = others.filter(|it| it.health == Health::Up);
    status.snapshot.gate_open && up.all(|it| it.role == Role::Replica && it.link_up == Some(true))
}

pub(super) const fn role(node: &NodeStatus) -> &'static str {
    match (node.health, node.role) {
        (Health::Down, _) => "down",
        (Health::Up | Health::Suspect | Health::Unknown, Role::Primary) => "primary",
        (Health::Up | Health::Suspect | Health::Unknown, Role::Replica) => "replica",
        (Health::Up | Health::Suspect | Health::Unknown, Role::Unknown) => "unknown",
    }
}
