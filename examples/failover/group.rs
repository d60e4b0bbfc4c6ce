//! A primary and its replicas: real servers, asked directly and never through Segue.

use crate::{
    Fallible,
    process::{Process, Within},
};
use segue::config::Config;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// How long a replica may take to read what its dead primary had sent. It is done when it says that
/// the link is down; this bound is below the time in which Segue promotes anybody.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// How many values are asked for at once.
const VALUES_AT_ONCE: usize = 500;

/// What a node holds.
pub(crate) type Contents = BTreeMap<String, String>;

struct Node {
    name: String,
    address: SocketAddr,
    folder: PathBuf,
    /// None while it is dead.
    process: Option<Process>,
}

/// The servers; the first one starts as the primary.
pub(crate) struct Group {
    server: PathBuf,
    nodes: Vec<Node>,
}

/// Where the nodes of `config` are; each must be on this machine.
pub(crate) fn addresses(config: &Config) -> Fallible<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for node in config.group().nodes() {
        let local = node.address().literal().filter(|it| it.ip().is_loopback());
        let told = || format!("node {} is at {}, not on this machine", node.name(), node.address());
        addresses.push(local.ok_or_else(told)?);
    }
    if addresses.len() < 2 {
        return Err("the configuration names fewer than two nodes".into());
    }
    Ok(addresses)
}

impl Group {
    /// Starts all nodes and waits until every replica is in step.
    pub(crate) fn start(
        config: &Config,
        server: &Path,
        folder: &Path,
        within: &Within,
    ) -> Fallible<Self> {
        let mut group = Self { server: server.to_owned(), nodes: Vec::new() };
        let mut primary = None;
        for (node, address) in config.group().nodes().iter().zip(addresses(config)?) {
            let folder = folder.join(node.name());
            fs::create_dir(&folder)?;
            let mut node = Node { name: node.name().to_owned(), address, folder, process: None };
            node.start(server, primary)?;
            primary = primary.or(Some(address));
            group.nodes.push(node);
        }
        within.until("the replicas to be in step", || {
            for node in &mut group.nodes {
                if let Some(process) = &mut node.process {
                    process.expect_alive()?;
                }
            }
            let (_, replicas) = group.nodes.split_first().ok_or("no nodes")?;
            Ok(replicas.iter().all(Node::is_in_step).then_some(()))
        })?;
        Ok(group)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.nodes.iter().map(|it| format!("{} on {}", it.name, it.address))
    }

    /// Kills the primary and says which node that was.
    pub(crate) fn kill_primary(&mut self) -> Fallible<String> {
        let node = self.nodes.first_mut().ok_or("no nodes")?;
        node.process.take().ok_or("the primary is not running")?.kill()?;
        Ok(node.name.clone())
    }

    /// The keys that each replica had received when the primary died, by node.
    ///
    /// To be called at once after the kill: once Segue has promoted a node, that one has new keys.
    pub(crate) fn received(&self) -> Fallible<BTreeMap<String, BTreeSet<String>>> {
        let start = Instant::now();
        let alive = || self.nodes.iter().filter(|it| it.process.is_some());
        while alive().any(Node::is_in_step) && start.elapsed() < LAST_WORDS {
            thread::sleep(Duration::from_millis(1));
        }
        alive().map(|it| Ok((it.name.clone(), it.keys()?))).collect()
    }

    /// The one node that is primary now.
    pub(crate) fn primary(&self) -> Fallible<String> {
        let mut primaries = Vec::new();
        for node in self.nodes.iter().filter(|it| it.process.is_some()) {
            if node.fact("role")?.as_deref() == Some("master") {
                primaries.push(node.name.clone());
            }
        }
        match primaries.as_slice() {
            [primary] => Ok(primary.clone()),
            others => Err(format!("there should be one primary; there are {others:?}").into()),
        }
    }

    /// Everything that node `name` holds.
    pub(crate) fn contents(&self, name: &str) -> Fallible<Contents> {
        let node = self.node(name)?;
        let mut connection = node.connect()?;
        let keys: Vec<_> = node.keys()?.into_iter().collect();
        let mut contents = Contents::new();
        for some in keys.chunks(VALUES_AT_ONCE) {
            let values: Vec<String> = redis::cmd("MGET").arg(some).query(&mut connection)?;
            contents.extend(some.iter().cloned().zip(values));
        }
        Ok(contents)
    }

    /// Starts a dead node again: empty, and believing that it is a primary.
    pub(crate) fn restart(&mut self, name: &str, within: &Within) -> Fallible<()> {
        let server = self.server.clone();
        let node = self.nodes.iter_mut().find(|it| it.name == name).ok_or("no such node")?;
        node.start(&server, None)?;
        within.until("the old primary to start", || Ok(node.connect().ok().map(drop)))
    }

    /// Waits until `name` is a replica of `primary` and in step with it.
    pub(crate) fn wait_until_follows(
        &self,
        name: &str,
        primary: &str,
        within: &Within,
    ) -> Fallible<()> {
        let (node, primary) = (self.node(name)?, self.node(primary)?);
        within.until("it to follow the new primary", || {
            let port = node.fact("master_port")?;
            let follows = port == Some(primary.address.port().to_string());
            Ok((follows && node.is_in_step()).then_some(()))
        })
    }

    fn node(&self, name: &str) -> Fallible<&Node> {
        Ok(self.nodes.iter().find(|it| it.name == name).ok_or("no such node")?)
    }
}

impl Node {
    /// Starts the server, as a replica of `primary` if there is one. Nothing is kept on disk:
    /// whoever dies comes back with nothing.
    fn start(&mut self, server: &Path, primary: Option<SocketAddr>) -> Fallible<()> {
        let mut command = Command::new(server);
        command.arg("--bind").arg(self.address.ip().to_string());
        command.arg("--port").arg(self.address.port().to_string());
        command.args(["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]);
        command.arg("--dir").arg(&self.folder);
        if let Some(primary) = primary {
            command.arg("--replicaof");
            command.args([primary.ip().to_string(), primary.port().to_string()]);
        }
        let log = self.folder.join("server.log");
        self.process = Some(Process::start(&self.name, &mut command, &log)?);
        Ok(())
    }

    fn connect(&self) -> Fallible<redis::Connection> {
        let client = redis::Client::open(format!("redis://{}/", self.address))?;
        let connection = client.get_connection_with_timeout(Duration::from_secs(1))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(connection)
    }

    /// One value of `INFO replication`.
    fn fact(&self, name: &str) -> Fallible<Option<String>> {
        let text: String = redis::cmd("INFO").arg("replication").query(&mut self.connect()?)?;
        let mut facts = text.lines().filter_map(|it| it.trim_end().split_once(':'));
        Ok(facts.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()))
    }

    /// Whether it is a replica with a working link. Not to be reached counts as no.
    fn is_in_step(&self) -> bool {
        self.fact("master_link_status").ok().flatten().as_deref() == Some("up")
    }

    fn keys(&self) -> Fallible<BTreeSet<String>> {
        Ok(redis::cmd("KEYS").arg("*").query(&mut self.connect()?)?)
    }
}
