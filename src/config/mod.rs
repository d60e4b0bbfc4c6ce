//! `proxy.yaml`: text in, checked values out.
//!
//! ```text
//! text --yaml--> tree with places --section--> typed sections --check--> Config
//!                      \________________\___________________\--> Problems
//! ```
//!
//! One file a section. Each reads its keys, checks what they mean by themselves, and gives
//! read-only accessors; rules between sections are here.
//!
//! # Invariants
//!
//! * A [`Config`] exists only if nothing was wrong: whoever holds one checks nothing again.
//! * Reading goes on after a problem; one run names them all, each with key path and place.
//! * No secret stands in the file, in a message or in what is shown of a configuration.
//!
//! # Deliberately absent
//!
//! Defaults from anywhere but here, substitution of variables, includes, and any global: a
//! configuration is an argument.

mod address;
mod check;
mod control;
mod drain;
mod durability;
mod error;
mod failover;
mod group;
mod health;
mod hold;
mod human;
mod limits;
mod listen;
mod log;
mod problems;
mod secret;
mod section;
mod sessions;
mod suggest;
#[cfg(test)]
mod test;
mod yaml;

pub use self::{
    address::{HostPort, ListenAddress},
    control::{Control, ControlAddress},
    drain::Drain,
    durability::Durability,
    error::ConfigError,
    failover::{Failover, Fence, Quorum, Rejoin, Witnessless},
    group::{Credentials, Group, Node},
    health::Health,
    hold::Hold,
    listen::Listen,
    log::{Log, LogFormat, LogLevel},
    problems::{Mark, Problem, Problems},
    sessions::{Allowed, Sessions, Upstream},
};

use self::{listen::Http, problems::Findings, secret::Secrets, section::Section};
use serde::Serialize;
use std::{net::SocketAddr, path::Path};

/// A checked configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    listen: Vec<Listen>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Http>,
    control: Control,
    workers: usize,
    group: Group,
    health: Health,
    failover: Failover,
    hold: Hold,
    sessions: Sessions,
    drain: Drain,
    coordination: Coordination,
    log: Log,
    #[serde(skip)]
    warnings: Vec<Problem>,
}

/// How many proxies of one group agree.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Coordination {
    /// They do not: there is one, or each infers from the nodes what the others did.
    None,
}

impl Config {
    /// Reads and checks a file, and the secrets that it names.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or with everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        error::read(path, |text| Self::read(text, Secrets::Read))
    }

    /// Like [`Config::load`], without reading the secrets: they are empty. Good for looking
    /// at a file, not for running with it.
    ///
    /// # Errors
    ///
    /// As [`Config::load`], except for what concerns secrets.
    pub fn load_without_secrets(path: &Path) -> Result<Self, ConfigError> {
        error::read(path, |text| Self::read(text, Secrets::Skip))
    }

    /// Like [`Config::load`], with the token of the control API as the only secret: for
    /// commands that talk to a running Segue and have no business with its password.
    ///
    /// # Errors
    ///
    /// As [`Config::load`], except for what concerns other secrets.
    pub fn load_for_control(path: &Path) -> Result<Self, ConfigError> {
        error::read(path, |text| Self::read(text, Secrets::Token))
    }

    /// Reads and checks the text of a file, and the secrets that it names.
    ///
    /// # Errors
    ///
    /// With everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        Self::read(text, Secrets::Read)
    }

    fn read(text: &str, secrets: Secrets) -> Result<Self, Problems> {
        let mut findings = Findings::default();
        let read = yaml::parse(text, &mut findings).and_then(|root| {
            Section::root(&root, &mut findings, |section| Self::sections(section, secrets))
        });
        match read {
            Ok(config) => Ok(Self { warnings: findings.finish()?, ..config }),
            Err(last) => Err(findings.stop(last)),
        }
    }

    fn sections(root: &mut Section<'_>, secrets: Secrets) -> Self {
        let config = Self {
            listen: Listen::read_all(root),
            http: root.optional("http", Http::read),
            control: root.section("control", |it| Control::read(it, secrets)),
            workers: root.or("workers", 1, human::count),
            group: root.section("group", |it| Group::read(it, secrets)),
            health: root.section("health", Health::read),
            failover: root.section("failover", Failover::read),
            hold: root.section("hold", Hold::read),
            sessions: root.section("sessions", Sessions::read),
            drain: root.section("drain", Drain::read),
            coordination: root.or("coordination", Coordination::None, Coordination::read),
            log: root.section("log", Log::read),
            warnings: Vec::new(),
        };
        config.check(root.problems());
        config
    }

    /// The effective file: every key with its value, defaults filled in. Secrets are not in
    /// it, only where they come from. Reads back as the same configuration.
    pub fn to_yaml(&self) -> String {
        // Writing plain structs to a string cannot fail; an empty file would be noticed.
        serde_yaml::to_string(self).unwrap_or_default()
    }

    /// Where clients connect. Never empty.
    pub fn listen(&self) -> &[Listen] {
        &self.listen
    }

    /// Where metrics, probes of the platform and the status page are served, if anywhere.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http.map(|it| it.address)
    }

    /// Where commands that change something are taken.
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// How many threads serve clients.
    pub const fn workers(&self) -> usize {
        self.workers
    }

    /// The nodes, and how Segue logs in to them.
    pub const fn group(&self) -> &Group {
        &self.group
    }

    /// When a node counts as suspect, down and up again.
    pub const fn health(&self) -> Health {
        self.health
    }

    /// Whether and how a replica takes over.
    pub const fn failover(&self) -> Failover {
        self.failover
    }

    /// How long and how much clients are held while nobody is primary.
    pub const fn hold(&self) -> Hold {
        self.hold
    }

    /// What one client may have and do.
    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// How Segue goes away.
    pub const fn drain(&self) -> Drain {
        self.drain
    }

    /// How many proxies of one group agree.
    pub const fn coordination(&self) -> Coordination {
        self.coordination
    }

    /// How much is logged and in which form.
    pub const fn log(&self) -> Log {
        self.log
    }

    /// What is valid but questionable, in the order of the file.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

impl Coordination {
    fn read(text: &str) -> Result<Self, String> {
        if matches!(text, "etcd" | "sentinel") {
            return Err(format!("`{text}` is not available in this version; write `none`"));
        }
        human::choice(text, &[("none", Self::None)])
    }
}
