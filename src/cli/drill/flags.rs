//! The flags of `segue drill`, and what does not make sense together.

use super::super::Failure;
use super::super::status::{NO_INPUT, Target};
use super::account::Mode;
use super::load::CLIENTS_MIN;
use super::misused;
use super::site::Site;
use crate::config::{Config, Credentials, ListenAddress};
use crate::ops::client::Address;
use clap::Args;
use secrecy::SecretString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, process};

/// Keys of one drill; so many small ones are some hundred megabytes at the node.
const WRITES_MAX: u64 = 1_000_000;

/// What a drill takes beside its load: changes, replicas that get in step, the end.
const SLACK: Duration = Duration::from_secs(120);

/// How long a key outlives the longest run.
const TTL_MARGIN: Duration = Duration::from_secs(600);

/// What an answer may take beside the time that Segue holds.
const PATIENCE_MARGIN: Duration = Duration::from_secs(10);

/// The same where Segue's configuration is not known.
const PATIENCE: Duration = Duration::from_secs(60);

const PREFIX_BYTES_MAX: usize = 128;

/// Switch over (or fail over) a real group under load, and tell what clients noticed.
///
/// Ordinary clients write under a prefix of their own; every acknowledged write is looked for
/// afterwards, and every key removed. Asks before it changes who is primary. Exits with 0 if every
/// promise was kept, with 70 if one was broken.
#[derive(Args, Debug)]
pub(in crate::cli) struct Drill {
    #[command(flatten)]
    pub(super) target: Target,
    /// Switch over and back (this is the default).
    #[arg(long, conflicts_with_all = ["failover", "watch"])]
    switchover: bool,
    /// Give the primary up, as `segue failover` does.
    #[arg(long, conflicts_with = "watch")]
    failover: bool,
    /// Change nothing: wait for a failover that somebody brings about, and tell how it went.
    #[arg(long)]
    watch: bool,
    /// Do not switch back.
    #[arg(long, conflicts_with_all = ["failover", "watch"])]
    pub(super) there_only: bool,
    /// The node that shall be primary; the best replica, if none is named.
    #[arg(long, value_name = "NODE", conflicts_with = "watch")]
    pub(super) to: Option<String>,
    /// How many clients.
    #[arg(long, default_value_t = 10, value_name = "N",
          value_parser = clap::value_parser!(u16).range(i64::from(CLIENTS_MIN)..=1_000))]
    pub(super) clients: u16,
    /// Operations a second, of all clients together; half of them write.
    #[arg(long, default_value_t = 500, value_name = "R",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) rate: u32,
    /// Seconds of load before a change, and again after it.
    #[arg(long, default_value_t = 5, value_name = "S",
          value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// How long `--watch` waits for a failover, up to 1h.
    #[arg(long = "for", value_name = "DURATION", default_value = "10m", value_parser = watch_for,
          requires = "watch")]
    pub(super) watch_for: Duration,
    /// Where clients connect: host:port or unix:/path; `listen` of the configuration, if not given.
    #[arg(long, value_name = "ADDRESS")]
    connect: Option<Address>,
    /// The user that clients log in as.
    #[arg(long)]
    user: Option<String>,
    /// The file with the clients' password.
    #[arg(long, value_name = "FILE", conflicts_with = "password_env")]
    password_file: Option<PathBuf>,
    /// The environment variable with the clients' password.
    #[arg(long, value_name = "VARIABLE")]
    password_env: Option<String>,
    /// The database that clients select.
    #[arg(long, default_value_t = 0, value_name = "N")]
    db: u32,
    /// What every key of the drill begins with; an id of the run follows.
    #[arg(long, value_name = "TEXT", default_value = "segue:drill")]
    prefix: String,
    /// Count a lost write as a broken promise after a failover as well.
    #[arg(long)]
    pub(super) lossless: bool,
    /// Go on though the group is not well.
    #[arg(long)]
    pub(super) force: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Print nothing but the account, as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

fn watch_for(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let range = Duration::from_secs(1)..=Duration::from_secs(3_600);
    if range.contains(&span) { Ok(span) } else { Err("must be between 1s and 1h".to_owned()) }
}

impl Drill {
    pub(super) const fn mode(&self) -> Mode {
        match (self.failover, self.watch) {
            (true, _) => Mode::Failover,
            (false, true) => Mode::Watch,
            (false, false) => Mode::Switchover,
        }
    }

    pub(super) const fn seconds(&self) -> u32 {
        self.seconds
    }

    /// How long the clients work, at most.
    fn span(&self) -> Duration {
        let seconds = Duration::from_secs(u64::from(self.seconds));
        match self.mode() {
            Mode::Watch => self.watch_for + seconds,
            Mode::Failover => seconds * 2,
            Mode::Switchover => seconds * 3,
        }
    }

    /// How many keys there can be in the end.
    pub(super) fn writes_max(&self) -> u64 {
        u64::from(self.rate) * (self.span().as_secs() + 1) / 2
    }

    /// What single flags cannot say.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.rate < u32::from(self.clients) {
            let (rate, clients) = (self.rate, self.clients);
            return Err(misused(format!(
                "--rate {rate} is less than one operation a second for each of {clients} clients"
            )));
        }
        let writes = self.writes_max();
        if writes > WRITES_MAX {
            return Err(misused(format!(
                "that is up to {writes} keys, more than {WRITES_MAX}: lower --rate, --seconds or --for"
            )));
        }
        let fits = |it: char| it.is_ascii_graphic();
        if self.prefix.is_empty()
            || self.prefix.len() > PREFIX_BYTES_MAX
            || !self.prefix.chars().all(fits)
        {
            return Err(misused(format!(
                "--prefix must be 1 to {PREFIX_BYTES_MAX} printable characters without spaces"
            )));
        }
        if self.user.is_some() && self.password_file.is_none() && self.password_env.is_none() {
            return Err(misused("--user needs --password-file or --password-env"));
        }
        Ok(())
    }

    /// Where clients connect and what they call their keys; and how Segue logs in to nodes.
    pub(super) fn site(&self) -> Result<(Site, Option<Credentials>), Failure> {
        let config = self.target.config().map(load).transpose()?;
        let connect = match (&self.connect, &config) {
            (Some(connect), _) => connect.clone(),
            (None, Some(config)) => listener(config)?,
            (None, None) => {
                return Err(misused("--control names no listener: give --connect as well"));
            }
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Two drills on one machine differ by process, two machines by a nanosecond.
        let run = format!("{:x}-{:x}", since.as_nanos(), process::id());
        let prefix = format!("{}:{run}:", self.prefix.trim_end_matches(':'));
        let ttl = self.span() + SLACK + TTL_MARGIN;
        let held = config.as_ref().map(|it| it.hold().timeout());
        let site = Site {
            connect,
            user: self.user.clone(),
            password: self.password()?,
            db: self.db,
            prefix,
            run,
            ttl_secs: ttl.as_secs(),
            patience: held.map_or(PATIENCE, |it| it + PATIENCE_MARGIN),
        };
        Ok((site, config.and_then(|it| it.group().credentials().cloned())))
    }

    fn password(&self) -> Result<Option<SecretString>, Failure> {
        if let Some(path) = &self.password_file {
            let text = fs::read_to_string(path).map_err(|error| Failure {
                code: NO_INPUT,
                text: format!("{}: cannot be read: {error}", path.display()),
            })?;
            return Ok(Some(SecretString::from(text.trim_end_matches(['\r', '\n']))));
        }
        let Some(name) = &self.password_env else { return Ok(None) };
        match env::var(name) {
            Ok(value) if !value.is_empty() => Ok(Some(SecretString::from(value))),
            Ok(_) | Err(_) => Err(misused(format!("the variable `{name}` is not set"))),
        }
    }
}

/// The configuration with its secrets; without them where they cannot be read: then nodes that
/// want a log-in do not tell how their replicas synchronised, and that is all.
fn load(path: &Path) -> Result<Config, Failure> {
    match Config::load(path) {
        Ok(config) => Ok(config),
        Err(_secrets) => Ok(Config::load_for_control(path)?),
    }
}

/// Where clients of this machine reach the first listener.
fn listener(config: &Config) -> Result<Address, Failure> {
    match config.listen().first().map(|it| it.address()) {
        Some(ListenAddress::Unix(path)) => Ok(Address::Unix(path.clone())),
        Some(ListenAddress::Tcp(addr)) if addr.port() != 0 => {
            Ok(Address::Tcp(within_reach(*addr).to_string()))
        }
        Some(ListenAddress::Tcp(_)) | None => Err(misused(
            "the configuration does not say on which port Segue listens: give --connect",
        )),
    }
}

/// "Everywhere" is no place to connect to.
fn within_reach(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(it) if it.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(it) if it.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        literal @ (IpAddr::V4(_) | IpAddr::V6(_)) => literal,
    };
    SocketAddr::new(ip, addr.port())
}

#[cfg(test)]
mod tests {
    use super::super::super::{Cli, Command};
    use super::*;
    use clap::Parser;

    fn drill(flags: &[&str]) -> Result<Drill, clap::Error> {
        let cli = Cli::try_parse_from([&["segue", "drill"], flags].concat())?;
        let Command::Drill(it) = cli.command else { panic!("another command") };
        Ok(*it)
    }

    #[test]
    fn a_drill_switches_over_unless_told_otherwise() {
        for (flags, mode) in [
            (&[][..], Mode::Switchover),
            (&["--switchover"], Mode::Switchover),
            (&["--failover"], Mode::Failover),
            (&["--watch", "--for", "20s"], Mode::Watch),
        ] {
            assert_eq!(drill(flags).expect("makes sense").mode(), mode);
        }
    }

    #[test]
    fn flags_that_contradict_are_refused() {
        for flags in [
            &["--switchover", "--failover"][..],
            &["--failover", "--watch"],
            &["--failover", "--there-only"],
            &["--watch", "--to", "b"],
            &["--clients", "2"],
            &["--rate", "0"],
            &["--seconds", "0"],
            &["--watch", "--for", "2h"],
            &["--for", "1m"],
            &["--connect", "nowhere"],
            &["--password-file", "a", "--password-env", "B"],
        ] {
            assert!(drill(flags).is_err(), "{flags:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_together_is_named() {
        for (flags, named) in [
            (&["--clients", "100", "--rate", "99"][..], "--rate 99"),
            (&["--watch", "--for", "1h", "--rate", "100000"], "lower --rate"),
            (&["--prefix", ""], "--prefix"),
            (&["--prefix", "a b"], "--prefix"),
            (&["--user", "me"], "--password-file"),
        ] {
            let failure = drill(flags).expect("parses").check().expect_err("makes no sense");
            assert!(failure.text.contains(named), "{flags:?}: {}", failure.text);
            assert_eq!(failure.code, 64);
        }
    }

    #[test]
    fn clients_connect_where_segue_listens() {
        let listening = |address: &str| {
            let text = format!(
                "{{ listen: [{{ address: \"{address}\" }}], group: {{ nodes: [{{ name: a, address: h:1 }}] }} }}"
            );
            listener(&Config::parse(&text).expect("valid")).map(|it| it.to_string()).ok()
        };
        assert_eq!(listening("0.0.0.0:6380").as_deref(), Some("127.0.0.1:6380"));
        assert_eq!(listening("[::]:6380").as_deref(), Some("[::1]:6380"));
        assert_eq!(listening("10.0.0.1:6380").as_deref(), Some("10.0.0.1:6380"));
        assert_eq!(listening("unix:/run/clients").as_deref(), Some("unix:/run/clients"));
        assert_eq!(listening("0.0.0.0:0"), None);
    }
}
