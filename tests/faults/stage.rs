//! One run: nodes, proxies and clients in their places, what is done to them, and what came of it.
//!
//! A row tells the stage what to break and what to wait for. The stage keeps the account of it:
//! when the primary was hurt, when another one was seen, and which disconnections are the nemesis'
//! own doing. Nothing here waits for a time; rows that need an offset wait for a number of replies.

use crate::harness::{Client, Group, Kind, Place, Proxy, Server, eventually};
use crate::history::{Era, Nanos};
use crate::load::{ACCOUNTS, Load, Log, Plan, Role, TREASURE, account};
use crate::net::{Host, Lines, Net};
use crate::random::Random;
use crate::relay::Relay;
use crate::shim::{Knob, Shim, Side};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// Nodes of every group.
pub(crate) const NODES: usize = 3;

/// Their names, as the harness gives them.
const NAMES: [&str; NODES] = ["a", "b", "c"];

/// What clients do unless a row says otherwise.
const ROLES: [Role; 11] = [
    Role::Registers,
    Role::Registers,
    Role::Registers,
    Role::Registers,
    Role::Pushes,
    Role::Pushes,
    Role::Counts,
    Role::Counts,
    Role::Transfers,
    Role::Sums,
    Role::Pipeline,
];

/// Whether an acknowledged write may be lost in an unplanned failover.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, clap::ValueEnum)]
pub(crate) enum Mode {
    Plain,
    /// `durability:` on the listener: acknowledged once a replica has it.
    Guarded,
}

impl Mode {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Guarded => "guarded",
        }
    }
}

/// What a row wants to be started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) proxies: u8,
    /// On the command line of every node.
    pub(crate) server: Vec<String>,
    /// Puts the shim under every program.
    pub(crate) is_shimmed: bool,
    /// Puts a relay between Segue and each node.
    pub(crate) is_relayed: bool,
    /// Changes the configuration of every Segue.
    pub(crate) config: fn(&mut Json),
    pub(crate) roles: Vec<Role>,
    pub(crate) reconnect: bool,
    /// A user that every node gets, and as which the clients log in.
    pub(crate) login: Option<(String, String)>,
    /// Warnings of Segue that this row causes, besides those of every failover.
    pub(crate) warnings: Vec<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            proxies: 1,
            server: Vec::new(),
            is_shimmed: false,
            is_relayed: false,
            config: |_| (),
            roles: ROLES.to_vec(),
            reconnect: false,
            login: None,
            warnings: Vec::new(),
        }
    }
}

/// What distinguishes one run from another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Run {
    pub(crate) row: &'static str,
    pub(crate) mode: Mode,
    pub(crate) seed: u64,
}

impl Run {
    /// Seeds alternate between the servers.
    pub(crate) const fn kind(self) -> Kind {
        if self.seed.is_multiple_of(2) { Kind::Redis } else { Kind::Valkey }
    }

    /// And so do pairs of them between the kinds of upstream connections.
    pub(crate) const fn upstream(self) -> &'static str {
        if (self.seed / 2).is_multiple_of(2) { "shared" } else { "dedicated" }
    }
}

/// A run while it lasts.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) run: Run,
    pub(crate) net: &'a mut Net,
    pub(crate) group: Group,
    pub(crate) proxies: Vec<Proxy>,
    /// One before each node, if the row asked for them.
    pub(crate) relays: Vec<Arc<Relay>>,
    shim: Option<Shim>,
    pub(crate) load: Load,
    /// What the row itself saw as a client.
    pub(crate) told: Log,
    pub(crate) random: Random,
    pub(crate) begun: Instant,
    pub(crate) eras: Vec<Era>,
    /// Changes of primary that the row knows of, planned ones too.
    pub(crate) changes: usize,
    hurt: Option<Nanos>,
    pub(crate) dead: BTreeSet<usize>,
    frozen: BTreeSet<usize>,
    /// Sessions that each Segue had accepted before the clients came.
    pub(crate) accepted: Vec<f64>,
    /// What was done, and when.
    pub(crate) steps: Vec<String>,
}

impl<'a> Stage<'a> {
    /// Starts everything and waits until every client has had some replies.
    pub(crate) fn start(run: Run, net: &'a mut Net, setup: &Setup) -> Self {
        net.heal();
        let shim = setup.is_shimmed.then(Shim::new);
        let mut nodes = reserve(run, net, setup, shim.as_ref());
        let relays = relay(net, &mut nodes, setup);
        let group = Group::assemble(nodes);
        if let Some((user, password)) = &setup.login {
            for node in group.nodes() {
                let password = format!(">{password}");
                node.call(&["ACL", "SETUSER", user, "on", &password, "~*", "&*", "+@all"]);
            }
        }
        for number in 0..ACCOUNTS {
            let share = (TREASURE / ACCOUNTS as i64).to_string();
            assert_eq!(group.primary.call(&["SET", &account(number), &share]), "+OK");
        }
        let ways = Ways { relays: &relays, shim: shim.as_ref() };
        let proxies: Vec<_> = (0..setup.proxies)
            .map(|it| start_proxy(run, net.place(Host::Proxy(it)), &group, setup, &ways))
            .collect();
        // The harness has connected to each once; that is counted a moment later.
        let counted = |it: &Proxy| {
            let count = || it.metric("segue_sessions_accepted_total");
            eventually("the harness is counted", || (count() >= 1.0).then(count))
        };
        let accepted: Vec<_> = proxies.iter().map(counted).collect();
        let mut random = Random::new(run.seed);
        let begun = Instant::now();
        let plan = Plan {
            roles: setup.roles.clone(),
            place: net.place(Host::Clients).clone(),
            targets: proxies.iter().map(Proxy::addr).collect(),
            reconnect: setup.reconnect,
            login: setup.login.clone(),
            seed: random.next(),
            begun,
        };
        let load = Load::start(&plan);
        let mut stage = Self {
            run,
            net,
            group,
            proxies,
            relays,
            shim,
            load,
            told: Log::default(),
            random,
            begun,
            eras: Vec::new(),
            changes: 0,
            hurt: None,
            dead: BTreeSet::new(),
            frozen: BTreeSet::new(),
            accepted,
            steps: Vec::new(),
        };
        stage.rounds(10, 40);
        stage
    }

    pub(crate) fn now(&self) -> Nanos {
        self.begun.elapsed().as_nanos() as Nanos
    }

    fn note(&mut self, what: String) {
        self.steps.push(format!("{:9.3} s  {what}", self.begun.elapsed().as_secs_f64()));
    }

    #[track_caller]
    pub(crate) fn node(&self, at: usize) -> &Server {
        self.group.nodes()[at]
    }

    fn node_mut(&mut self, at: usize) -> &mut Server {
        match at.checked_sub(1) {
            None => &mut self.group.primary,
            Some(replica) => &mut self.group.replicas[replica],
        }
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxies[0]
    }

    /// Nodes that run and answer.
    pub(crate) fn alive(&self) -> Vec<usize> {
        (0..NODES).filter(|it| !self.dead.contains(it) && !self.frozen.contains(it)).collect()
    }

    /// Lets every client go on for a random number of pipelines.
    pub(crate) fn rounds(&mut self, low: u64, high: u64) {
        let count = self.random.between(low, high) as usize;
        // With nobody to confirm it, each guarded write takes as long as it may.
        let is_alone = self.run.mode == Mode::Guarded && self.alive().len() < 2;
        self.load.wait_rounds(if is_alone { 1 } else { count });
    }

    /// The primary is about to be hurt.
    pub(crate) fn hurt(&mut self) {
        self.hurt = Some(self.now());
    }

    pub(crate) fn kill(&mut self, at: usize) {
        self.note(format!("kill {}", NAMES[at]));
        self.node_mut(at).kill();
        self.frozen.remove(&at);
        self.dead.insert(at);
    }

    pub(crate) fn freeze(&mut self, at: usize) {
        self.note(format!("stop {}", NAMES[at]));
        self.node(at).freeze();
        self.frozen.insert(at);
    }

    pub(crate) fn thaw(&mut self, at: usize) {
        self.note(format!("resume {}", NAMES[at]));
        self.frozen.remove(&at);
        self.node(at).thaw();
    }

    pub(crate) fn restart(&mut self, at: usize, is_empty: bool) {
        self.note(format!("restart {}{}", NAMES[at], if is_empty { " empty" } else { "" }));
        self.dead.remove(&at);
        if is_empty {
            self.node_mut(at).restart_empty();
        } else {
            self.node_mut(at).restart();
        }
    }

    pub(crate) fn cut(&mut self, one: Host, other: Host) {
        self.note(format!("cut {one:?} and {other:?}"));
        self.net.cut(one, other);
    }

    pub(crate) fn cut_one_way(&mut self, from: Host, to: Host) {
        self.note(format!("cut {from:?} to {to:?}"));
        self.net.cut_one_way(from, to);
    }

    pub(crate) fn isolate(&mut self, host: Host) {
        self.note(format!("isolate {host:?}"));
        self.net.isolate(host);
    }

    pub(crate) fn heal(&mut self) {
        self.note("heal".to_owned());
        self.net.heal();
    }

    pub(crate) fn say(&mut self, what: &str) {
        self.note(what.to_owned());
    }

    /// Waits until one of `candidates` says that it is a primary: the end of an unplanned change.
    #[track_caller]
    pub(crate) fn promoted(&mut self, candidates: &[usize]) -> usize {
        let new = eventually("a replica is promoted", || {
            candidates.iter().copied().find(|it| self.node(*it).is_primary())
        });
        let hurt = self.hurt.take().expect("the row says when it hurts the primary");
        self.eras.push(Era { hurt, over: self.now() });
        self.changes += 1;
        self.note(format!("{} is primary", NAMES[new]));
        new
    }

    /// Notes whether `candidate` is a primary already: then that was a change, too, and the next
    /// one begins now.
    pub(crate) fn maybe_promoted(&mut self, candidate: usize) {
        if self.node(candidate).is_primary() {
            self.promoted(&[candidate]);
            self.hurt();
        }
    }

    /// Another primary serves, and nobody was hurt.
    pub(crate) fn changed(&mut self) {
        self.changes += 1;
    }

    /// Nothing that is sent from now on is lost: for faults that last longer than the promotion, or
    /// end without one.
    pub(crate) fn over(&mut self) {
        let now = self.now();
        match (self.hurt.take(), self.eras.last_mut()) {
            (Some(hurt), _) => self.eras.push(Era { hurt, over: now }),
            (None, Some(era)) => era.over = now,
            (None, None) => panic!("nobody was hurt"),
        }
    }

    /// Tells the shim under all programs of one side.
    pub(crate) fn turn(&mut self, side: Side, knob: Knob, to: i64) {
        self.note(format!("{knob:?} of {side:?} is {to}"));
        self.shim.as_ref().expect("the row asked for the shim").turn(side, knob, to);
    }

    /// Waits until commands are held, at the first Segue.
    #[track_caller]
    pub(crate) fn held(&mut self) {
        self.proxy().wait_gate(false);
        self.note("held".to_owned());
    }

    /// Waits until every Segue serves from one primary, which all other nodes that are alive
    /// follow. Gives that node.
    #[track_caller]
    pub(crate) fn settled(&mut self) -> usize {
        let alive = self.alive();
        let serving = eventually("the group is whole and every Segue serves it", || {
            let named = self.proxies.iter().map(|it| {
                let status = it.status();
                (status["gate_open"] == json!(true)).then(|| status["primary"].clone())
            });
            let named: Option<Vec<Json>> = named.collect();
            let named = named?;
            let first = named.first()?.as_str()?;
            if named.iter().any(|it| it != first) {
                return None;
            }
            let primary = NAMES.iter().position(|it| *it == first)?;
            let whole = alive.iter().all(|it| {
                let node = self.node(*it);
                if *it == primary { node.is_primary() } else { node.follows(self.node(primary)) }
            });
            whole.then_some(primary)
        });
        self.note(format!("settled on {}", NAMES[serving]));
        serving
    }

    /// A connection to a Segue, from the hub.
    #[track_caller]
    pub(crate) fn client(&mut self) -> Client {
        self.told.connected += 1;
        self.proxy().client()
    }
}

fn reserve(run: Run, net: &Net, setup: &Setup, shim: Option<&Shim>) -> Vec<Server> {
    let extra: Vec<_> = setup.server.iter().map(String::as_str).collect();
    let place = |at: usize| -> &Place { net.place(Host::Node(at as u8)) };
    let mut nodes: Vec<_> =
        (0..NODES).map(|at| Server::reserve_at(place(at), run.kind(), &extra)).collect();
    for (at, node) in nodes.iter_mut().enumerate() {
        let side = if at == 0 { Side::Primary } else { Side::Replicas };
        for (name, value) in shim.iter().flat_map(|it| it.environment(side)) {
            node.set_environment(&name, &value);
        }
    }
    nodes
}

/// Puts relays before nodes that are not started yet, where the row or the network needs them.
fn relay(net: &mut Net, nodes: &mut [Server], setup: &Setup) -> Vec<Arc<Relay>> {
    if !setup.is_relayed && !net.is_loopback() {
        return Vec::new();
    }
    let place = net.place(Host::Relay).clone();
    let relay = |it: &Server| Relay::start(&place, it.addr());
    let relays: Vec<_> = nodes.iter().map(|it| Arc::new(relay(it))).collect();
    if net.is_loopback() {
        let lines = nodes.iter_mut().zip(&relays).map(|(node, segue)| {
            let replicas = relay(node);
            node.set_replication_addr(replicas.addr());
            Lines { segue: Arc::clone(segue), replicas }
        });
        net.connect(lines.collect());
    }
    relays
}

/// What stands between Segue and the world.
struct Ways<'a> {
    relays: &'a [Arc<Relay>],
    shim: Option<&'a Shim>,
}

fn start_proxy(run: Run, at: &Place, group: &Group, setup: &Setup, ways: &Ways<'_>) -> Proxy {
    let mut proxy = Proxy::over_at(at, &group.nodes())
        // What ships, not what suits a test: the table is about that.
        .with(|it| {
            let shipped = shipped();
            it["health"] = shipped["health"].clone();
            it["failover"] = shipped["failover"].clone();
            it["hold"] = shipped["hold"].clone();
            it["sessions"]["upstream"] = json!(run.upstream());
        });
    if run.mode == Mode::Guarded {
        proxy = proxy.with(|it| {
            it["listen"][0]["durability"] = json!({
                "replicas": 1, "timeout": "500ms", "on_timeout": "refuse",
                // Otherwise somebody may have read what is lost afterwards.
                "reads": "confirmed",
            });
        });
    }
    proxy = proxy.with(setup.config);
    for (name, value) in ways.shim.iter().flat_map(|it| it.environment(Side::Segue)) {
        proxy = proxy.with_environment(&name, &value);
    }
    for (number, relay) in ways.relays.iter().enumerate() {
        proxy = proxy.with(|it| {
            it["group"]["nodes"][number]["address"] = json!(relay.addr().to_string());
        });
    }
    let proxy = proxy.start();
    proxy.announce_failover();
    // Also of one that was just killed: what it had sent may still arrive.
    proxy.announce(&["\"A replica still hears the primary; not promoting\""]);
    if run.mode == Mode::Guarded {
        // Said of a primary that was demoted behind Segue's back, until Segue has noticed.
        proxy.announce(&["\"Guarded writes cannot be confirmed"]);
    }
    proxy.announce(&setup.warnings.iter().map(String::as_str).collect::<Vec<_>>());
    proxy.wait_ready();
    proxy
}

/// The file in the root of the repository.
fn shipped() -> Json {
    let text = include_str!("../../proxy.yaml");
    serde_yaml::from_str(text).expect("the shipped file is YAML")
}
