//! `segue drill`: a game day against a real deployment, and an account of what clients noticed.
//!
//! ```text
//! look (is the group well?) -> ask -> rehearse -> load -> change -> load -> look for every
//! acknowledged write -> remove every key -> account
//! ```
//!
//! Exit codes: 0 when every promise was kept; 70 (`EX_SOFTWARE`) when one was broken; 75
//! (`EX_TEMPFAIL`) when nothing was touched (the group is not well, the answer was no, the change
//! was refused), the change was taken back, nothing happened to look at, or it was interrupted; 76
//! as `segue switchover`; 64 for flags that make no sense, or when nobody can be asked; 69 when
//! Segue or its listener is not reached, 66 and 78 when a file cannot be used, 77 when the user may
//! not do it.
//!
//! # Invariants
//!
//! * Every key has the prefix of the run and a time to live, and is removed at the end, however
//!   the end comes about; nothing else is touched.
//! * Nothing is asked of the control plane before a person, or `--yes`, said so.

mod account;
mod act;
mod aftermath;
mod flags;
mod group;
mod history;
mod load;
mod site;
mod text;

use super::change::{TEMPORARY, code, remarks};
use super::confirm::{confirm, expect_somebody};
use super::status::{self, NO_PERMISSION, UNAVAILABLE};
use super::{Failure, Outcome, USAGE};
use crate::control::Kind;
use crate::ops::client::Client;
use crate::ops::status::Status;
use crate::pure::failover::{Account as Change, Verdict};
use account::{Account, Facts, Mode};
use act::{Act, Acted};
use aftermath::Findings;
use group::Resyncs;
use history::Seen;
use load::Load;
use site::{Site, Unfit};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) use flags::Drill;

/// `EX_SOFTWARE`: a promise was broken.
const BROKEN: u8 = 70;

/// How long clients may take to end when the drill is broken off.
const BREAK_OFF: Duration = Duration::from_secs(2);

/// What a drill stands on.
struct Stage {
    client: Client,
    site: Arc<Site>,
    credentials: Option<crate::config::Credentials>,
    mode: Mode,
}

/// A drill whose clients have ended and whose keys are gone.
struct Ended {
    started: Instant,
    acted: Acted,
    seen: Vec<Seen>,
    found: Result<Findings, String>,
    cleaned: Result<(), String>,
}

impl Drill {
    pub(super) fn run(&self) -> Outcome {
        self.check()?;
        let mode = self.mode();
        if mode != Mode::Watch {
            expect_somebody(self.yes)?;
        }
        let client = self.target.client()?;
        let (site, credentials) = self.site()?;
        let stage = Stage { client, site: Arc::new(site), credentials, mode };
        let runtime = status::runtime()?;
        let before = runtime.block_on(self.prepare(&stage))?;
        runtime.block_on(self.play(&stage, before))
    }

    /// Everything that can be refused is refused here; then a person is asked.
    async fn prepare(&self, stage: &Stage) -> Result<Status, Failure> {
        let status = stage.client.status().await.map_err(|error| status::failure(&error))?;
        let troubles = group::troubles(&status);
        if !troubles.is_empty() && !self.force {
            let list: String = troubles.iter().map(|it| format!("\n  reason: {it}")).collect();
            let text = format!(
                "the group is not well; nothing was touched{list}\nSee `segue status`, or give \
                 --force."
            );
            return Err(Failure { code: TEMPORARY, text });
        }
        aftermath::rehearse(&stage.site).await.map_err(|it| unfit(&stage.site, &it.0, &it.1))?;
        let Some(kind) = kind(stage.mode) else { return Ok(status) };
        let looked = act::ask(&stage.client, kind, self.to.clone(), true).await?;
        if looked.outcome != Verdict::DryRun {
            let text = format!("refused; nothing was touched{}", remarks(&looked));
            return Err(Failure { code: code(looked.outcome).unwrap_or(TEMPORARY), text });
        }
        confirm(&self.question(stage, &looked), self.yes)?;
        Ok(status)
    }

    fn question(&self, stage: &Stage, looked: &Change) -> String {
        let name = |it: &'_ Option<String>| it.clone().unwrap_or_else(|| "nobody".to_owned());
        let (from, to) = (name(&looked.from), name(&looked.to));
        let what = match stage.mode {
            Mode::Failover => format!("{from} is given up under load, and {to} promoted"),
            Mode::Switchover if self.there_only => format!("{from} hands over to {to} under load"),
            Mode::Switchover | Mode::Watch => {
                format!("{from} hands over to {to} under load, and {to} back to {from}")
            }
        };
        format!(
            "{what}.\n{} clients write up to {} keys under {}, removed at the end, and by themselves \
             after {} s.{}\nGo on?",
            self.clients,
            self.writes_max(),
            stage.site.prefix,
            stage.site.ttl_secs,
            remarks(looked)
        )
    }

    /// The load and the change; whatever happens, every key is removed.
    async fn play(&self, stage: &Stage, before: Status) -> Outcome {
        let resyncs = group::resyncs(&before, stage.credentials.as_ref()).await;
        self.say(&format!("{} clients write under {}", self.clients, stage.site.prefix));
        let started = Instant::now();
        let load = Load::start(&stage.site, self.clients, self.rate).await;
        let mut load = load.map_err(|error| unfit(&stage.site, "the log-in", &error))?;
        let mut interrupt = Interrupt::watch();
        let act = Act { drill: self, stage, load: &load, before: &before };
        let acted = tokio::select! {
            // Nobody wants to wait for more of it.
            biased;
            () = interrupt.received() => Err(interrupted()),
            acted = act.perform() => acted,
        };
        let acted = match acted {
            Ok(acted) => acted,
            Err(failure) => return Err(break_off(stage, load, &mut interrupt, failure).await),
        };
        self.say("looking for what was acknowledged");
        let stopped = tokio::select! {
            biased;
            () = interrupt.received() => None,
            seen = load.stop(stage.site.patience) => Some(seen),
        };
        let Some(seen) = stopped else {
            return Err(break_off(stage, load, &mut interrupt, interrupted()).await);
        };
        let begun = load.begun();
        let looked = tokio::select! {
            biased;
            () = interrupt.received() => None,
            both = look_and_clean(stage, &seen, &begun) => Some(both),
        };
        let Some((found, cleaned)) = looked else {
            return Err(break_off(stage, load, &mut interrupt, interrupted()).await);
        };
        let ended = Ended { started, acted, seen, found, cleaned };
        self.tell(stage, before, &resyncs, ended).await
    }

    /// Who serves in the end, and the account.
    async fn tell(
        &self,
        stage: &Stage,
        before: Status,
        resyncs: &Resyncs,
        ended: Ended,
    ) -> Outcome {
        let after = stage.client.status().await;
        let nodes = match &after {
            Ok(after) => {
                let last = group::resyncs(after, stage.credentials.as_ref()).await;
                nodes(&before, after, resyncs, &last)
            }
            Err(_gone) => Vec::new(),
        };
        let Ended { started, acted, seen, found, cleaned } = ended;
        let Acted { changed, changes, failed } = acted;
        let facts = Facts {
            mode: stage.mode,
            run: stage.site.run.clone(),
            lossless: self.lossless,
            started,
            changed,
            changes,
            primary_before: before.snapshot.primary,
            primary_after: after.as_ref().ok().and_then(|it| it.snapshot.primary.clone()),
            nodes,
            found,
            cleaned,
        };
        let mut account = Account::of(&seen, facts);
        if let Err(error) = after {
            account.broken.push(format!("Segue does not tell who serves: {error}"));
        }
        // Each client, and the two who wait for another.
        let missing = (usize::from(self.clients) + 2).saturating_sub(seen.len());
        if missing > 0 {
            account
                .broken
                .push(format!("{missing} clients have waited longer than Segue may hold"));
        }
        self.conclude(account, failed)
    }

    fn conclude(&self, mut account: Account, failed: Option<Failure>) -> Outcome {
        let code = match &failed {
            Some(failure) => failure.code,
            None if account.is_kept() => 0,
            None => BROKEN,
        };
        if let Some(failure) = failed {
            account.broken.push(failure.text);
        }
        let text = if self.json {
            serde_json::to_string_pretty(&account).expect("its maps have text for keys")
        } else {
            text::render(&account)
        };
        if code == 0 {
            return Ok(text);
        }
        // The account is the answer, whatever it says; only the code tells failures apart.
        say(&text);
        Err(Failure { code, text: String::new() })
    }

    /// Tells how it goes, unless nothing but JSON is wanted.
    fn say(&self, text: &str) {
        if !self.json {
            say(text);
        }
    }
}

fn say(text: &str) {
    let mut output = io::stdout();
    // Nobody reads any more; it goes on all the same, for the sake of its end.
    let _closed = writeln!(output, "{text}").and_then(|()| output.flush());
}

const fn kind(mode: Mode) -> Option<Kind> {
    match mode {
        Mode::Switchover => Some(Kind::Switchover),
        Mode::Failover => Some(Kind::Failover),
        Mode::Watch => None,
    }
}

/// What is there, and whether every key could be removed.
async fn look_and_clean(
    stage: &Stage,
    seen: &[Seen],
    begun: &[u32],
) -> (Result<Findings, String>, Result<(), String>) {
    let found = aftermath::look(&stage.site, seen).await;
    (found, aftermath::clean(&stage.site, begun).await)
}

/// Ends the clients and removes the keys of a drill that goes no further.
async fn break_off(
    stage: &Stage,
    mut load: Load,
    interrupt: &mut Interrupt,
    failure: Failure,
) -> Failure {
    let _unfinished = load.stop(BREAK_OFF).await;
    let begun = load.begun();
    let cleaned = tokio::select! {
        biased;
        () = interrupt.received() => Err("interrupted again".to_owned()),
        cleaned = aftermath::clean(&stage.site, &begun) => cleaned,
    };
    let Failure { code, text } = failure;
    let (prefix, ttl) = (&stage.site.prefix, stage.site.ttl_secs);
    let text = match cleaned {
        Ok(()) => format!("{text}; every key of the drill was removed"),
        Err(why) => format!(
            "{text}\nkeys under {prefix} were left behind ({why}); they are gone by themselves \
             within {ttl} s"
        ),
    };
    Failure { code, text }
}

fn interrupted() -> Failure {
    Failure { code: TEMPORARY, text: "interrupted".to_owned() }
}

/// Ctrl-C, or a request to end. From the moment that it is watched for, the process ends by itself.
struct Interrupt(Option<(Signal, Signal)>);

impl Interrupt {
    fn watch() -> Self {
        // Where it cannot be watched for, a signal ends the process at once, and the keys end by
        // their time to live.
        let both = signal(SignalKind::interrupt()).and_then(|interrupt| {
            signal(SignalKind::terminate()).map(|terminate| (interrupt, terminate))
        });
        Self(both.ok())
    }

    /// # Cancel safety
    ///
    /// A signal that arrives meanwhile is received next time.
    async fn received(&mut self) {
        let Some((interrupt, terminate)) = &mut self.0 else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// Why clients cannot do what the drill does.
fn unfit(site: &Site, what: &str, error: &Unfit) -> Failure {
    let connect = &site.connect;
    match error {
        Unfit::Io(error) => Failure {
            code: UNAVAILABLE,
            text: format!(
                "no answer from {connect} ({what}): {error}\nIs this where clients connect? Name it \
                 with --connect."
            ),
        },
        Unfit::Denied(text) => Failure {
            code: NO_PERMISSION,
            text: format!(
                "{what} was refused at {connect}: {text}\nThe drill needs a user that may read and \
                 write under {}; see --user, --password-file and --db.",
                site.prefix
            ),
        },
    }
}

fn nodes(before: &Status, after: &Status, first: &Resyncs, last: &Resyncs) -> Vec<account::Node> {
    let role = |status: &Status, name: &str| {
        let node = status.snapshot.nodes.iter().find(|it| it.name == name);
        node.map_or("unknown", act::role)
    };
    let each = last.iter().map(|(name, counters)| {
        let added = group::added(first.get(name), counters);
        account::Node {
            name: name.clone(),
            role_before: role(before, name),
            role_after: role(after, name),
            full_resyncs: added.as_ref().ok().map(|it| it.0),
            partial_resyncs: added.as_ref().ok().map(|it| it.1),
            remark: added.err(),
        }
    });
    each.collect()
}

/// A flag that makes no sense.
fn misused(text: impl Into<String>) -> Failure {
    Failure { code: USAGE, text: text.into() }
}
