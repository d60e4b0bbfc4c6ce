//! What clients notice of a failover: the demonstration behind `make run`.
//!
//! ```text
//! 24 clients --> segue --> a (primary, killed) --> b, c (replicas)
//! ```
//!
//! Starts a group of three Redis servers and Segue in front of it, all on this machine and on the
//! ports of the configuration file, lets ordinary clients read and write, kills the primary with
//! SIGKILL, goes on, and prints an account. Then the old primary comes back.
//!
//! Every write has a key of its own, so that afterwards each one can be looked for on the node that
//! was promoted. The exit code is 0 only if every promise was kept.
//!
//! # Deliberately absent
//!
//! No help for the clients: they are the `redis` crate as it comes, with no retry of any kind. A
//! client reconnects only after a disconnection was counted against Segue.

#![allow(clippy::print_stdout, reason = "a demonstration talks to its user")]

mod account;
mod group;
mod load;
mod process;

use account::{Account, Witness};
use clap::Parser;
use group::Group;
use load::Load;
use process::{Interrupt, Process, Within};
use segue::config::{Config, ListenAddress};
use std::{
    error::Error,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Kill a primary under load and count what clients notice.
#[derive(Parser)]
struct Arguments {
    /// The Segue to try.
    #[arg(long, default_value = "target/release/segue")]
    segue: PathBuf,
    /// Its configuration; the nodes it names are started here.
    #[arg(long, default_value = "proxy.yaml")]
    config: PathBuf,
    /// How many clients.
    #[arg(long, default_value_t = 24)]
    clients: usize,
    /// How many seconds of load before the kill, and again after it.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// The server program of the nodes.
    #[arg(long, default_value = "redis-server")]
    server: PathBuf,
}

/// The file with what Segue logs, in the folder of the demonstration.
const LOG: &str = "segue.log";

/// How much of it is shown.
const LINES_SHOWN: usize = 24;

/// How long anything may take to start, to be found or to come back.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            println!("No folder for the servers: {error}");
            return ExitCode::FAILURE;
        }
    };
    match demonstrate(&arguments, folder.path()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("\nThe demonstration could not go on: {error}");
            let logged = lines(&folder.path().join(LOG));
            for line in logged.iter().skip(logged.len().saturating_sub(LINES_SHOWN)) {
                println!("    {line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Whether every promise was kept.
fn demonstrate(arguments: &Arguments, folder: &Path) -> Fallible<bool> {
    let interrupt = Interrupt::watch()?;
    let within = Within::new(PATIENCE, &interrupt);
    let mut stage = Stage::set(arguments, folder, &within)?;
    let (mut account, old) = stage.fail_over(arguments, &interrupt)?;
    println!("\n{account}");
    if let Err(error) = stage.bring_back(&old, &within) {
        account.broken(format!("the old primary did not rejoin: {error}"));
    }
    if let Err(error) = Stage::show_status(arguments, &old, &within) {
        account.broken(error.to_string());
    }
    let ending = stage.proxy.terminate(PATIENCE)?;
    if !ending.success() {
        account.broken(format!("Segue ended with {ending} on SIGTERM"));
    }
    println!("\n{}", account.verdict());
    Ok(account.is_kept())
}

/// What runs during the demonstration, and ends with it.
struct Stage {
    group: Group,
    proxy: Process,
    /// What Segue logs.
    log: PathBuf,
    clients_at: SocketAddr,
}

impl Stage {
    /// Starts the group, then Segue, and waits until it knows the primary.
    fn set(arguments: &Arguments, folder: &Path, within: &Within) -> Fallible<Self> {
        let config = Config::load(&arguments.config)?;
        let [listen, http] = fronts(&config)?;
        for address in [listen, http].into_iter().chain(group::addresses(&config)?) {
            expect_free(address)?;
        }
        let group = Group::start(&config, &arguments.server, folder, within)?;
        let names = group.names().collect::<Vec<_>>().join(", ");
        println!("Started a primary and its replicas: {names}.");

        let log = folder.join(LOG);
        let mut command = Command::new(&arguments.segue);
        command.arg("run").arg("--config").arg(&arguments.config);
        let mut proxy = Process::start("segue", &mut command, &log)?;
        within.until("Segue to find the primary", || {
            proxy.expect_alive()?;
            Ok(process::answers_ok(http, "/readyz").then_some(()))
        })?;
        let port = listen.port();
        println!("Started Segue on port {port}; clients connect there and nowhere else.\n");
        let clients_at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { group, proxy, log, clients_at })
    }

    /// Kills the primary under load; the account, and the name of the node that was killed.
    fn fail_over(
        &mut self,
        arguments: &Arguments,
        interrupt: &Interrupt,
    ) -> Fallible<(Account, String)> {
        let phase = Duration::from_secs(arguments.seconds.max(1));
        let load = Load::start(self.clients_at, arguments.clients)?;
        narrate(&load, phase, interrupt)?;

        let logged = lines(&self.log).len();
        let killed_at = Instant::now();
        let old = self.group.kill_primary()?;
        let dead_at = Instant::now();
        println!("  kill -9: the primary, {old}, is gone");
        let received = self.group.received()?;

        narrate(&load, phase, interrupt)?;
        let sessions = load.stop();
        println!("\nWhat Segue logged from the kill on:");
        for line in lines(&self.log).iter().skip(logged).take(LINES_SHOWN) {
            println!("    {line}");
        }
        self.proxy.expect_alive()?;
        let promoted = self.group.primary()?;
        let kept = self.group.contents(&promoted)?;
        let witness = Witness { killed_at, dead_at, received, promoted, kept };
        Ok((Account::of(&sessions, &witness), old))
    }

    /// Starts the old primary again and waits until it has its place in the group.
    fn bring_back(&mut self, old: &str, within: &Within) -> Fallible<()> {
        let promoted = self.group.primary()?;
        let start = Instant::now();
        self.group.restart(old, within)?;
        self.group.wait_until_follows(old, &promoted, within)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{old} came back empty and is a replica of {promoted} after {seconds:.1} s:\n");
        Ok(())
    }

    /// Shows what an operator sees, once Segue has noticed that `old` is a replica.
    fn show_status(arguments: &Arguments, old: &str, within: &Within) -> Fallible<()> {
        let status = within.until("`segue status` to show the old primary as a replica", || {
            let mut command = Command::new(&arguments.segue);
            let output = command.arg("status").arg("--config").arg(&arguments.config).output()?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("`segue status` ended with {}: {said}", output.status).into());
            }
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let row = text.lines().find(|it| it.split_whitespace().next() == Some(old));
            Ok(row.is_some_and(|it| it.contains("replica")).then_some(text))
        })?;
        for line in status.lines() {
            println!("    {line}");
        }
        Ok(())
    }
}

/// Where clients connect and where readiness is asked.
fn fronts(config: &Config) -> Fallible<[SocketAddr; 2]> {
    let listen = config.listen().iter().find_map(|it| match it.address() {
        ListenAddress::Tcp(address) => Some(*address),
        ListenAddress::Unix(_) => None,
    });
    let listen = listen.ok_or("the configuration listens on no TCP port")?;
    let http =
        config.http().ok_or("the configuration has no `http`, so readiness cannot be asked")?;
    Ok([listen, http])
}

fn expect_free(address: SocketAddr) -> Fallible<()> {
    TcpListener::bind(address).map(drop).map_err(|error| {
        format!(
            "{address} cannot be used ({error}); end what listens there, \
             or give a configuration with other ports by --config"
        )
        .into()
    })
}

/// Lets the load go on for `duration` and says each second how it goes.
fn narrate(load: &Load, duration: Duration, interrupt: &Interrupt) -> Fallible<()> {
    let start = Instant::now();
    let mut before = load.operations();
    let mut second = 1;
    while start.elapsed() < duration {
        interrupt.check()?;
        std::thread::sleep(Duration::from_millis(20));
        if start.elapsed() >= Duration::from_secs(second) {
            let now = load.operations();
            println!(
                "  {:>6} operations in this second, {} disconnections so far",
                now.saturating_sub(before),
                load.disconnections()
            );
            before = now;
            second += 1;
        }
    }
    Ok(())
}

/// The lines of a file; none if it cannot be read.
fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}
