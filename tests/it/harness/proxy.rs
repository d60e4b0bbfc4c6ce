//! The real `segue` binary with a configuration of its own.
//!
//! Its log is kept, printed when the test fails, and checked when it does not: a line at WARN or
//! ERROR that nobody announced fails the test, and so does a line that is not JSON (a panic).

use super::process::{Process, Status, proc_status};
use super::{Client, Place, Port, Server, eventually, http};
use rustix::process::Signal;
use serde_json::{Value as Json, json};
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::{fs, thread};
use tempfile::TempDir;

/// Names of nodes, in the order in which a test lists them.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Lines of its log that a failed test shows.
const LOG_LINES: usize = 100;
const NOISE: &str = "\"No probe connection\"";

/// What a test may make Segue say at WARN without announcing it, because it is the doing of the
/// tests as such: thresholds and groups that no operator would configure, and a machine that runs
/// many of them at once.
const HARMLESS: [&str; 3] = [
    "\"The configuration is questionable\"",
    "\"Segue itself stood still; ",
    // The first milliseconds of every start.
    "\"Commands are held\",\"reason\":\"not every node has answered",
];

/// What nodes that fail, come back and change roles make Segue say at WARN, and nothing else: a
/// failover that works is nobody's ERROR.
const FAILOVER_WARNINGS: [&str; 11] = [
    "\"Commands are held\"",
    "\"Holding commands\"",
    "\"Node is down\"",
    "\"Node runs as another process now\"",
    "\"The primary is lost\"",
    "\"Replica cannot take over\"",
    "\"Demoting a second primary\"",
    "leads to another process than probes do",
    "\"Node was not turned; trying again\"",
    "\"Failed over\"",
    "\"Followed a promotion by somebody else\"",
];

/// A configuration that can still be changed, and becomes a process with [`Setup::start`].
#[derive(Debug)]
pub(crate) struct Setup {
    config: Json,
    place: Place,
    environment: Vec<(String, String)>,
    listen: Port,
    http: Port,
    dir: TempDir,
}

/// A running Segue. Ends with the value.
#[derive(Debug)]
pub(crate) struct Proxy {
    listen: Port,
    http: Port,
    dir: TempDir,
    process: Process,
    log: Arc<Mutex<Vec<String>>>,
    announced: Mutex<Vec<String>>,
}

/// The `segue` binary with its arguments; another build of it with `SEGUE_TEST_BINARY`.
pub(crate) fn segue(arguments: &[&str]) -> Command {
    let binary = std::env::var_os("SEGUE_TEST_BINARY");
    let mut command = Command::new(binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_segue").into()));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Writes `config` as a `proxy.yaml` (JSON is YAML) and gives its path.
pub(crate) fn config_file(dir: &Path, config: &Json) -> PathBuf {
    let path = dir.join("proxy.yaml");
    fs::write(&path, format!("{config:#}\n")).expect("the directory is ours");
    path
}

impl Setup {
    /// Changes the configuration.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Json)) -> Self {
        change(&mut self.config);
        self
    }

    /// A variable in the environment of the process.
    #[allow(dead_code, reason = "the fault matrix uses it")]
    pub(crate) fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives Segue itself the password of `default` on the nodes.
    pub(crate) fn with_password(self, password: &str) -> Self {
        let path = self.dir.path().join("password");
        fs::write(&path, password).expect("the directory is ours");
        self.with(|it| it["group"]["credentials"] = json!({ "password_file": path }))
    }

    /// Lets Segue itself log in to the nodes as `user`.
    pub(crate) fn with_user(self, user: &str, password: &str) -> Self {
        let user = json!(user);
        self.with_password(password).with(|it| it["group"]["credentials"]["username"] = user)
    }

    /// Starts Segue and waits until it accepts clients; a primary need not be known yet.
    pub(crate) fn start(self) -> Proxy {
        let Self { config, place, environment, listen, http, dir } = self;
        let path = config_file(dir.path(), &config);
        let mut command = segue(&["run", "--config", path.to_str().expect("UTF-8")]);
        command
            .current_dir(dir.path())
            .envs(environment)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = place.inside(|| command.spawn()).expect("segue starts");
        let log = Arc::default();
        keep(&log, child.stdout.take().expect("piped"));
        keep(&log, child.stderr.take().expect("piped"));
        let announced = Mutex::default();
        let process = Process::new(child);
        let mut proxy = Proxy { listen, http, dir, process, log, announced };
        eventually("segue accepts clients", || {
            assert_eq!(proxy.process.ended(), None, "segue ended at once");
            let alive = http::get(proxy.http.addr(), "/livez").is_ok_and(|(code, _)| code == 200);
            (alive && Client::connect(proxy.addr()).is_ok()).then_some(())
        });
        proxy
    }
}

impl Proxy {
    /// A configuration over `nodes`, with thresholds that suit a test.
    pub(crate) fn over(nodes: &[&Server]) -> Setup {
        Self::over_at(&Place::loopback(), nodes)
    }

    /// The same, to be started there.
    pub(crate) fn over_at(place: &Place, nodes: &[&Server]) -> Setup {
        let (listen, http) = (Port::reserve_at(place), Port::reserve_at(place));
        let dir = TempDir::new().expect("a temporary directory");
        let nodes: Vec<_> = NAMES
            .iter()
            .zip(nodes)
            .map(|(name, it)| {
                // Said even where it is the address itself: a relay may be put before that.
                let replication = it.replication_addr().to_string();
                let address = it.addr().to_string();
                json!({ "name": name, "address": address, "replication_address": replication })
            })
            .collect();
        // The whole set can be run against either kind of upstream connection.
        let upstream = std::env::var("SEGUE_TEST_UPSTREAM").unwrap_or_else(|_| "shared".to_owned());
        let config = json!({
            "listen": [{ "address": listen.addr().to_string() }],
            "http": { "address": http.addr().to_string() },
            "control": { "address": format!("unix:{}", dir.path().join("segue.sock").display()) },
            "group": { "name": "main", "nodes": nodes },
            "health": {
                "interval": "50ms", "timeout": "300ms", "suspect_after": "150ms",
                "down_after": "500ms", "refused_after": "100ms", "rise": 2,
            },
            "failover": { "timeout": "5s" },
            "hold": { "timeout": "15s" },
            "sessions": { "max": 2000, "upstream": upstream },
            "log": { "level": "debug", "format": "json" },
        });
        Setup { config, place: place.clone(), environment: Vec::new(), listen, http, dir }
    }

    /// Starts Segue over `nodes` and waits until it knows their primary.
    pub(crate) fn start(nodes: &[&Server]) -> Self {
        let proxy = Self::over(nodes).start();
        proxy.wait_ready();
        proxy
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.listen.addr()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("proxy.yaml")
    }

    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr()).expect("segue accepts")
    }

    /// Status code and body of a page.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        http::get(self.http.addr(), path).expect("segue answers HTTP")
    }

    #[track_caller]
    pub(crate) fn wait_ready(&self) {
        eventually("segue is ready", || (self.get("/readyz").0 == 200).then_some(()));
    }

    /// `/api/v1/status`.
    #[track_caller]
    pub(crate) fn status(&self) -> Json {
        let (code, body) = self.get("/api/v1/status");
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).expect("the status is JSON")
    }

    /// Waits until commands are held, or flow.
    #[track_caller]
    pub(crate) fn wait_gate(&self, open: bool) {
        eventually("the gate is as expected", || {
            (self.status()["gate_open"] == json!(open)).then_some(())
        });
    }

    /// Waits until the status names `node` as the primary. It is written after the gate opened.
    #[track_caller]
    pub(crate) fn wait_primary(&self, node: &str) {
        eventually("the status names the primary", || {
            (self.status()["primary"] == json!(node)).then_some(())
        });
    }

    /// Waits until the status says that all nodes but the primary follow.
    #[track_caller]
    pub(crate) fn wait_followed(&self) {
        eventually("Segue knows who follows", || {
            let status = self.status();
            let nodes = status["nodes"].as_array()?;
            let up = nodes.iter().filter(|it| it["link_up"] == true).count();
            (up + 1 == nodes.len()).then_some(())
        });
    }

    /// Waits until `count` failovers ended with a promotion.
    #[track_caller]
    pub(crate) fn wait_promotions(&self, count: usize) {
        let counted = || self.metric("segue_failovers_total{outcome=\"promoted\"}") as usize;
        eventually("promotions are counted", || (counted() == count).then_some(()));
    }

    /// The value of one series, named as `/metrics` prints it.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let (_, body) = self.get("/metrics");
        let value = body.lines().find_map(|it| it.strip_prefix(series)?.strip_prefix(' '));
        value.and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("no {series} in\n{body}"))
    }

    /// Failovers that ended with a promotion.
    #[track_caller]
    pub(crate) fn promotions(&self) -> f64 {
        self.metric("segue_failovers_total{outcome=\"promoted\"}")
    }

    /// Runs a command of `segue` that tells its account as JSON; its exit code, and the account.
    #[track_caller]
    pub(crate) fn order(&self, words: &[&str]) -> (Option<i32>, Json) {
        let config = self.config();
        let output = segue(words)
            .args(["--json", "--config", config.to_str().expect("UTF-8")])
            .output()
            .expect("the command runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let account = serde_json::from_str(&text).unwrap_or_else(|_| {
            panic!("no account: {text}{}", String::from_utf8_lossy(&output.stderr))
        });
        (output.status.code(), account)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The most memory it ever had resident, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        kib(&proc_status(self.pid(), Status::PeakResident))
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("segue lives").count()
    }

    pub(crate) fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    pub(crate) fn freeze(&self) {
        self.process.freeze();
    }

    pub(crate) fn thaw(&self) {
        self.process.thaw();
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    #[track_caller]
    pub(crate) fn wait_ended(&mut self) -> ExitStatus {
        eventually("segue ends", || self.ended())
    }

    /// Lines of the log that contain `text`.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|it| it.contains(text)).count()
    }

    /// The whole log.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Says which warnings this test causes, by parts of their lines.
    pub(crate) fn announce(&self, warnings: &[&str]) {
        self.announced.lock().unwrap().extend(warnings.iter().map(ToString::to_string));
    }

    /// Says that this test makes nodes fail and others take over.
    pub(crate) fn announce_failover(&self) {
        self.announce(&FAILOVER_WARNINGS);
    }

    fn unannounced(&self) -> Vec<String> {
        let announced = self.announced.lock().unwrap();
        let announced = || announced.iter().map(String::as_str).chain(HARMLESS);
        let log = self.log.lock().unwrap();
        let bad = log.iter().filter(|line| {
            !serde_json::from_str::<Json>(line)
                .is_ok_and(|it| it["level"] != "WARN" && it["level"] != "ERROR")
        });
        bad.filter(|line| !announced().any(|it| line.contains(it))).cloned().collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if thread::panicking() {
            // What is said again with every probe would hide the rest.
            let log = self.log.lock().unwrap();
            let lines: Vec<_> = log.iter().filter(|it| !it.contains(NOISE)).cloned().collect();
            let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            let status = http::get(self.http.addr(), "/api/v1/status");
            let status = status.map_or_else(|error| error.to_string(), |(_, body)| body);
            eprintln!("--- segue ---\n{tail}\n--- status ---\n{status}");
            return;
        }
        let unannounced = self.unannounced();
        assert!(unannounced.is_empty(), "nobody announced:\n{}", unannounced.join("\n"));
    }
}

fn keep(log: &Arc<Mutex<Vec<String>>>, output: impl Read + Send + 'static) {
    let log = Arc::clone(log);
    // Ends with the process, whose end of the pipe it reads.
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line);
        }
    });
}

fn kib(text: &str) -> u64 {
    text.strip_suffix(" kB").and_then(|it| it.trim().parse().ok()).expect("proc(5) counts in kB")
}
