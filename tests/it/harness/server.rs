//! A real redis-server or valkey-server on a reserved port, without persistence.

use super::process::Process;
use super::{Client, Place, Port, Value, eventually};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs, io, thread};
use tempfile::TempDir;

/// A node that answers at all answers within this; tests that poll ask again.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Lines of a server's log that a failed test shows.
const LOG_LINES: usize = 10;

/// Which server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Redis,
    Valkey,
}

impl Kind {
    pub(crate) fn binary(self) -> PathBuf {
        let (name, variable) = match self {
            Self::Redis => ("redis-server", "SEGUE_REDIS_SERVER"),
            Self::Valkey => ("valkey-server", "SEGUE_VALKEY_SERVER"),
        };
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/bin").join(name);
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path = env::split_paths(&path).map(|it| it.join(name)).find(|it| it.is_file());
        env::var_os(variable)
            .map(PathBuf::from)
            .or_else(|| installed.is_file().then_some(installed))
            .or(on_path)
            .unwrap_or_else(|| {
                panic!("no {name}: run scripts/install, or name one in {variable}, then try again")
            })
    }
}

/// One node. Ends with the value.
#[derive(Debug)]
pub(crate) struct Server {
    kind: Kind,
    place: Place,
    port: Port,
    dir: TempDir,
    extra: Vec<String>,
    login: Option<String>,
    /// Where replicas reach it, if that is not its address.
    replication: Option<SocketAddr>,
    environment: Vec<(String, String)>,
    process: Option<Process>,
}

impl Server {
    /// A node that is not started yet; its address is already its own.
    pub(crate) fn reserve(kind: Kind, extra: &[&str]) -> Self {
        Self::reserve_at(&Place::loopback(), kind, extra)
    }

    pub(crate) fn reserve_at(place: &Place, kind: Kind, extra: &[&str]) -> Self {
        Self {
            kind,
            place: place.clone(),
            port: Port::reserve_at(place),
            dir: TempDir::new().expect("a temporary directory"),
            extra: extra.iter().map(ToString::to_string).collect(),
            login: None,
            replication: None,
            environment: Vec::new(),
            process: None,
        }
    }

    pub(crate) fn primary(kind: Kind) -> Self {
        Self::primary_with(kind, &[])
    }

    pub(crate) fn primary_with(kind: Kind, extra: &[&str]) -> Self {
        let mut server = Self::reserve(kind, extra);
        server.start();
        server
    }

    /// A started replica; see [`super::wait_in_sync`].
    pub(crate) fn replica_of(primary: &Self, extra: &[&str]) -> Self {
        let mut server = Self::reserve(primary.kind, extra);
        server.start_as_replica(primary);
        server
    }

    /// Starts a reserved node as a replica, without waiting for it.
    pub(crate) fn start_as_replica(&mut self, primary: &Self) {
        let addr = primary.replication_addr();
        let (host, port) = (addr.ip().to_string(), addr.port().to_string());
        self.extra.extend(["--replicaof".to_owned(), host, port]);
        self.login.clone_from(&primary.login);
        self.spawn();
    }

    /// The password of `default` that the harness itself uses.
    pub(crate) fn log_in_with(&mut self, password: &str) {
        self.login = Some(password.to_owned());
    }

    /// A variable in the environment of every process that is started later.
    #[allow(dead_code, reason = "the fault matrix uses it")]
    pub(crate) fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts the process and waits until it answers.
    pub(crate) fn start(&mut self) {
        self.spawn();
        self.wait_until_up();
    }

    fn spawn(&mut self) {
        assert!(self.process.is_none(), "started already");
        let (ip, port) = (self.addr().ip().to_string(), self.addr().port().to_string());
        let mut command = Command::new(self.kind.binary());
        command
            .args(["--port", &port, "--bind", &ip, "--protected-mode", "no"])
            .args(["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"])
            .args(["--enable-debug-command", "yes", "--logfile", "server.log"])
            .args(&self.extra)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        let child = self.place.inside(|| command.spawn()).expect("the server starts");
        self.process = Some(Process::new(child));
    }

    pub(crate) fn wait_until_up(&self) {
        let pid = self.pid().to_string();
        eventually("the node answers", || {
            // By pid: whoever else answers at this address is not ours.
            (self.try_info("server")?.get("process_id")? == &pid).then_some(())
        });
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Where replicas reach it.
    pub(crate) fn replication_addr(&self) -> SocketAddr {
        self.replication.unwrap_or_else(|| self.addr())
    }

    #[allow(dead_code, reason = "the fault matrix uses it")]
    pub(crate) const fn set_replication_addr(&mut self, addr: SocketAddr) {
        self.replication = Some(addr);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running().id()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the node was started")
    }

    /// `SIGKILL`, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        assert!(self.process.take().is_some(), "killed already");
    }

    /// `SIGSTOP`: it keeps its connections and answers nothing.
    pub(crate) fn freeze(&self) {
        self.running().freeze();
    }

    /// `SIGCONT`.
    pub(crate) fn thaw(&self) {
        self.running().thaw();
    }

    /// Starts a killed node again as it was started first, with what `SAVE` left on its disk.
    pub(crate) fn restart(&mut self) {
        self.start();
    }

    /// The same, without waiting until it answers.
    pub(crate) fn begin_restart(&mut self) {
        self.spawn();
    }

    /// Starts a killed node again, having lost its disk.
    pub(crate) fn restart_empty(&mut self) {
        let dump = self.dir.path().join("dump.rdb");
        if dump.exists() {
            fs::remove_file(dump).expect("the dump can be removed");
        }
        // Made by servers with `appendonly yes`; most tests have none.
        let appended = self.dir.path().join("appendonlydir");
        if appended.exists() {
            fs::remove_dir_all(appended).expect("the files can be removed");
        }
        self.start();
    }

    /// A connection to the node itself, past Segue.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr()).and_then(|it| self.log_in(it)).expect("the node accepts")
    }

    fn log_in(&self, mut client: Client) -> io::Result<Client> {
        if let Some(password) = &self.login {
            client.try_call(&["AUTH", password])?;
        }
        Ok(client)
    }

    /// One command on a connection of its own.
    #[track_caller]
    pub(crate) fn call(&self, command: &[&str]) -> Value {
        self.client().call(command)
    }

    #[track_caller]
    pub(crate) fn info(&self, section: &str) -> BTreeMap<String, String> {
        self.try_info(section).expect("the node answers INFO")
    }

    /// The fields of one section of `INFO`; `None` if the node does not answer.
    pub(crate) fn try_info(&self, section: &str) -> Option<BTreeMap<String, String>> {
        let client = Client::connect_within(self.addr(), ANSWER_WITHIN).ok()?;
        match self.log_in(client).ok()?.try_call(&["INFO", section]).ok()? {
            reply @ Value::Bulk(_) => Some(fields(&reply.text())),
            _ => None,
        }
    }

    /// Whether it says `role:master`.
    pub(crate) fn is_primary(&self) -> bool {
        self.try_info("replication").is_some_and(|it| it["role"] == "master")
    }

    /// Whether it is a replica of `primary` with the link up.
    pub(crate) fn follows(&self, primary: &Self) -> bool {
        self.try_info("replication").is_some_and(|it| {
            it["role"] == "slave"
                && it["master_host"] == primary.replication_addr().ip().to_string()
                && it["master_port"] == primary.replication_addr().port().to_string()
                && it["master_link_status"] == "up"
        })
    }

    /// How often the node ran `command` since it started.
    pub(crate) fn calls_of(&self, command: &str) -> u64 {
        let stats = self.info("commandstats");
        let Some(line) = stats.get(&format!("cmdstat_{command}")) else { return 0 };
        let calls = line.split(',').find_map(|it| it.strip_prefix("calls="));
        calls.and_then(|it| it.parse().ok()).expect("commandstats has calls=")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process = None;
        if thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            eprintln!("--- {:?} {} ---\n{tail}", self.kind, self.addr());
        }
    }
}

fn fields(info: &str) -> BTreeMap<String, String> {
    info.lines()
        .filter_map(|it| it.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
