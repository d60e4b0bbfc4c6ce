//! A network for one lane of runs: a bridge and seven hosts, each in a network namespace of its
//! own, so that any pair can be cut, one way or both.
//!
//! Every host has one address on one subnet. A cut is an nftables rule in the namespace of the
//! *receiver*: the packet leaves, arrives, and is dropped, so the sender learns nothing.
//!
//! Names carry the pid of the process that made them: [`Net`] removes its own when it is dropped
//! (on a panic, too), and what a killed run left behind is removed by the next one.
//!
//! Where namespaces are not permitted ([`Net::loopback`]) everything is on loopback, and a cut is a
//! relay before a node that keeps bytes back. That tells connections to a node apart by who makes
//! them, Segue or a replica, and no finer; rows that need more are not run.
//!
//! Deliberately absent: delay. The kernels that this must run on have no `netem`; see `relay`.

use crate::harness::Place;
use crate::relay::Relay;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// What the names of all namespaces start with.
const PREFIX: &str = "segue-faults-";

/// Where Debian keeps `ip` and `nft`, which `PATH` of an ordinary user lacks.
const PROGRAMS: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// A host of the network.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Host {
    /// A data node, by its index.
    Node(u8),
    /// A Segue, by its index.
    Proxy(u8),
    Clients,
    /// Where relays stand.
    Relay,
}

/// All of them.
pub(crate) const HOSTS: [Host; 7] = [
    Host::Node(0),
    Host::Node(1),
    Host::Node(2),
    Host::Proxy(0),
    Host::Proxy(1),
    Host::Clients,
    Host::Relay,
];

impl Host {
    const fn ip(self) -> Ipv4Addr {
        let last = match self {
            Self::Node(n) => 11 + n,
            Self::Proxy(n) => 21 + n,
            Self::Clients => 31,
            Self::Relay => 41,
        };
        Ipv4Addr::new(10, 77, 0, last)
    }

    fn label(self) -> String {
        match self {
            Self::Node(n) => format!("n{n}"),
            Self::Proxy(n) => format!("p{n}"),
            Self::Clients => "cl".to_owned(),
            Self::Relay => "rl".to_owned(),
        }
    }
}

/// The two ways to a node on loopback.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) segue: Arc<Relay>,
    pub(crate) replicas: Relay,
}

/// The network of one lane. Removed with the value.
#[derive(Debug)]
pub(crate) struct Net {
    /// `PREFIX`, pid, lane.
    name: String,
    hub: Place,
    /// Empty on loopback.
    hosts: Vec<(Host, Place)>,
    /// Before each node, on loopback.
    lines: Vec<Lines>,
    /// Who does not hear whom: (from, to).
    cuts: BTreeSet<(Host, Host)>,
    /// Who loses packets on their way in, from where, and how many percent.
    loss: Vec<(Host, &'static str, u32)>,
}

impl Net {
    /// Makes the network.
    ///
    /// # Errors
    ///
    /// Says why namespaces are not to be had here.
    pub(crate) fn make(lane: usize) -> io::Result<Self> {
        let name = format!("{PREFIX}{}-{lane}", std::process::id());
        // Before anything is made, so that whatever was made is removed on an error as well.
        let mut net = Self {
            hub: Place::loopback(),
            name,
            hosts: Vec::new(),
            lines: Vec::new(),
            cuts: BTreeSet::new(),
            loss: Vec::new(),
        };
        let hub = net.namespace("hub");
        let mut script = format!("netns add {hub}\n");
        for host in HOSTS {
            script.push_str(&format!("netns add {}\n", net.namespace(&host.label())));
        }
        run("ip", &["-batch", "-"], &script)?;
        let mut wires =
            "link add br0 type bridge\naddr add 10.77.0.1/24 dev br0\nlink set br0 up\n\
                         link set lo up\n"
                .to_owned();
        for host in HOSTS {
            let (label, there) = (host.label(), net.namespace(&host.label()));
            wires.push_str(&format!(
                "link add {label} type veth peer name eth0 netns {there}\n\
                 link set {label} master br0 up\n"
            ));
        }
        run("ip", &["-n", &hub, "-batch", "-"], &wires)?;
        net.hub = open(&hub, Ipv4Addr::new(10, 77, 0, 1))?;
        for host in HOSTS {
            let there = net.namespace(&host.label());
            let up =
                format!("link set lo up\naddr add {}/24 dev eth0\nlink set eth0 up\n", host.ip());
            run("ip", &["-n", &there, "-batch", "-"], &up)?;
            net.hosts.push((host, open(&there, host.ip())?));
        }
        net.apply_all()?;
        Ok(net)
    }

    /// Everything on loopback.
    pub(crate) const fn loopback() -> Self {
        Self {
            name: String::new(),
            hub: Place::loopback(),
            hosts: Vec::new(),
            lines: Vec::new(),
            cuts: BTreeSet::new(),
            loss: Vec::new(),
        }
    }

    pub(crate) const fn is_loopback(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The relays of a run, in the order of the nodes.
    pub(crate) fn connect(&mut self, lines: Vec<Lines>) {
        self.lines = lines;
    }

    fn namespace(&self, label: &str) -> String {
        format!("{}-{label}", self.name)
    }

    /// Where the bridge is: whoever stands there sees all hosts, and no cut.
    pub(crate) const fn hub(&self) -> &Place {
        &self.hub
    }

    #[track_caller]
    pub(crate) fn place(&self, host: Host) -> &Place {
        if self.is_loopback() {
            return &self.hub;
        }
        let found = self.hosts.iter().find(|(it, _)| *it == host);
        &found.expect("every host was made").1
    }

    /// Nothing from `from` reaches `to` any more.
    pub(crate) fn cut_one_way(&mut self, from: Host, to: Host) {
        self.cuts.insert((from, to));
        self.apply(to).expect("nft worked before");
    }

    /// Neither hears the other.
    pub(crate) fn cut(&mut self, one: Host, other: Host) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Nobody hears `host`, and it hears nobody. The hub still does.
    pub(crate) fn isolate(&mut self, host: Host) {
        let others = || HOSTS.into_iter().filter(|it| *it != host);
        self.cuts.extend(others().flat_map(|it| [(host, it), (it, host)]));
        self.apply_all().expect("nft worked before");
    }

    /// `host` loses so many percent of the packets that come in, whoever sent them.
    pub(crate) fn lose(&mut self, host: Host, percent: u32) {
        // The hub watches and is not part of what is tested.
        self.loss.push((host, "10.77.0.2-10.77.0.254", percent));
        self.apply(host).expect("nft worked before");
    }

    /// So many percent of the packets between nodes are lost: replication lags.
    pub(crate) fn lose_between_nodes(&mut self, percent: u32) {
        for node in [Host::Node(0), Host::Node(1), Host::Node(2)] {
            self.loss.push((node, "10.77.0.11-10.77.0.13", percent));
            self.apply(node).expect("nft worked before");
        }
    }

    /// Everybody hears everybody.
    pub(crate) fn heal(&mut self) {
        if self.cuts.is_empty() && self.loss.is_empty() {
            return;
        }
        self.cuts.clear();
        self.loss.clear();
        self.apply_all().expect("nft worked before");
    }

    fn apply_all(&self) -> io::Result<()> {
        HOSTS.into_iter().try_for_each(|it| self.apply(it))
    }

    /// What a cut is on loopback.
    fn keep_back(&self) {
        for (at, line) in self.lines.iter().enumerate() {
            let node = Host::Node(at as u8);
            let is_cut = |is_peer: fn(Host) -> bool, to_node: bool| {
                self.cuts.iter().any(|(from, to)| {
                    let (peer, end) = if to_node { (from, to) } else { (to, from) };
                    *end == node && is_peer(*peer)
                })
            };
            let segue = |it: Host| matches!(it, Host::Proxy(_));
            let others = |it: Host| matches!(it, Host::Node(_));
            line.segue.keep_back(is_cut(segue, true), is_cut(segue, false));
            line.replicas.keep_back(is_cut(others, true), is_cut(others, false));
        }
    }

    /// Replaces the rules of one receiver in one transaction.
    fn apply(&self, to: Host) -> io::Result<()> {
        if self.is_loopback() {
            self.keep_back();
            return Ok(());
        }
        let mut rules = "add table ip cut\ndelete table ip cut\nadd table ip cut\n\
             add chain ip cut in { type filter hook input priority 0; }\n"
            .to_owned();
        for (from, _) in self.cuts.iter().filter(|(_, it)| *it == to) {
            rules.push_str(&format!("add rule ip cut in ip saddr {} drop\n", from.ip()));
        }
        for (_, from, percent) in self.loss.iter().filter(|(it, ..)| *it == to) {
            rules.push_str(&format!(
                "add rule ip cut in ip saddr {from} numgen random mod 100 < {percent} drop\n"
            ));
        }
        self.place(to).inside(|| run("nft", &["-f", "-"], &rules))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if self.is_loopback() && self.name.is_empty() {
            return;
        }
        let labels = HOSTS.iter().map(|it| it.label()).chain(["hub".to_owned()]);
        let names: Vec<_> = labels.map(|it| self.namespace(&it)).collect();
        remove(&names);
    }
}

/// Removes the namespaces of processes that are no more.
pub(crate) fn remove_leftovers() {
    let Ok(all) = std::fs::read_dir("/run/netns") else { return };
    let names = all.flatten().filter_map(|it| it.file_name().into_string().ok());
    let dead: Vec<_> = names
        .filter(|name| {
            let pid = name.strip_prefix(PREFIX).and_then(|it| it.split('-').next());
            pid.is_some_and(|it| !Path::new("/proc").join(it).exists())
        })
        .collect();
    remove(&dead);
}

fn remove(names: &[String]) {
    for name in names.iter().filter(|it| Path::new("/run/netns").join(it).exists()) {
        if let Err(error) = run("ip", &["netns", "delete", name], "") {
            eprintln!("faults: {name} stays behind: {error}");
        }
    }
}

fn open(namespace: &str, ip: Ipv4Addr) -> io::Result<Place> {
    Ok(Place::namespace(File::open(Path::new("/run/netns").join(namespace))?, ip))
}

/// Runs a program of the system with `input`.
fn run(program: &str, arguments: &[&str], input: &str) -> io::Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", PROGRAMS)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    child.stdin.take().expect("piped").write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program}: {}", said.trim())))
}
