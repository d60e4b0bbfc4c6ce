//! The clients of a run: each a thread with one connection, which logs what it asked and saw.
//!
//! Every value names its client and its key, so that a reply that slipped by one place is seen at
//! once, whatever the value is worth otherwise.

mod role;

pub(crate) use role::{ACCOUNTS, COUNTER, KEYS, LIST, Role, TREASURE, account, key, parse};

use super::history::{NEVER, Nanos, Op, Outcome};
use crate::harness::{Client, Place, Value, eventually};
use crate::random::Random;
use role::Request;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between two pipelines of a client: leaves a busy machine some air for the nodes.
const PAUSE: Duration = Duration::from_millis(3);

/// Errors that say that the command did not run.
const REFUSALS: [&str; 12] = [
    "TRYAGAIN",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "BUSY",
    "NOPERM",
    "NOAUTH",
    "WRONGPASS",
    "EXECABORT",
    "READONLY",
    "LOADING",
    "MASTERDOWN",
];

/// What one client did and saw.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) ops: Vec<Op>,
    /// Error replies by their first word.
    pub(crate) errors: BTreeMap<String, usize>,
    /// Replies that cannot belong to their request.
    pub(crate) odd: Vec<String>,
    /// Why connections ended.
    pub(crate) broken: Vec<String>,
    /// Connections that were made.
    pub(crate) connected: usize,
    /// The longest time that any request took.
    pub(crate) longest: Duration,
}

/// How the clients behave.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) roles: Vec<Role>,
    /// Where the clients are.
    pub(crate) place: Place,
    /// Each client uses the next one; after a broken connection, the one after that.
    pub(crate) targets: Vec<SocketAddr>,
    /// Whether a client whose connection broke connects again. If not, it ends.
    pub(crate) reconnect: bool,
    /// `AUTH` with this first.
    pub(crate) login: Option<(String, String)>,
    pub(crate) seed: u64,
    /// When the run began.
    pub(crate) begun: Instant,
}

/// Running clients.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    rounds: Arc<Vec<AtomicUsize>>,
    clients: Vec<JoinHandle<Log>>,
}

impl Load {
    pub(crate) fn start(plan: &Plan) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds: Arc<Vec<AtomicUsize>> =
            Arc::new(plan.roles.iter().map(|_| AtomicUsize::new(0)).collect());
        let clients = (0..plan.roles.len())
            .map(|id| {
                let (plan, stop, rounds) = (plan.clone(), Arc::clone(&stop), Arc::clone(&rounds));
                thread::spawn(move || {
                    plan.place.enter();
                    Session::new(id, &plan).run(&stop, &rounds[id])
                })
            })
            .collect();
        Self { stop, rounds, clients }
    }

    /// Waits until every client has had the replies of `count` more pipelines.
    #[track_caller]
    pub(crate) fn wait_rounds(&self, count: usize) {
        let goal: Vec<_> = self.now().map(|it| it + count).collect();
        eventually("every client goes on", || {
            let broken = self.clients.iter().any(JoinHandle::is_finished);
            (broken || self.now().zip(&goal).all(|(it, goal)| it >= *goal)).then_some(())
        });
    }

    /// Waits until some client has had the replies of `count` more pipelines.
    #[track_caller]
    pub(crate) fn wait_any_rounds(&self, count: usize) {
        let goal: usize = self.now().sum::<usize>() + count;
        eventually("some client goes on", || (self.now().sum::<usize>() >= goal).then_some(()));
    }

    fn now(&self) -> impl Iterator<Item = usize> {
        self.rounds.iter().map(|it| it.load(Ordering::Relaxed))
    }

    /// Stops the clients and gives what each has seen.
    #[track_caller]
    pub(crate) fn finish(self) -> Vec<Log> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|it| it.join().expect("a client must not panic")).collect()
    }
}

/// One client at work.
struct Session<'a> {
    id: u16,
    plan: &'a Plan,
    random: Random,
    attempts: u64,
    log: Log,
}

impl<'a> Session<'a> {
    fn new(id: usize, plan: &'a Plan) -> Self {
        let random = Random::new(plan.seed ^ (id as u64 + 1).wrapping_mul(0x9E37_79B9));
        Self { id: id as u16, plan, random, attempts: 0, log: Log::default() }
    }

    fn run(mut self, stop: &AtomicBool, rounds: &AtomicUsize) -> Log {
        let mut tries = 0;
        while !stop.load(Ordering::Relaxed) {
            match self.connect(tries).and_then(|it| self.serve(it, stop, rounds)) {
                Ok(()) => break,
                Err(why) => self.log.broken.push(why),
            }
            if !self.plan.reconnect {
                break;
            }
            tries += 1;
            thread::park_timeout(PAUSE);
        }
        self.log
    }

    fn connect(&mut self, tries: usize) -> Result<Client, String> {
        let at = (usize::from(self.id) + tries) % self.plan.targets.len();
        let target = self.plan.targets[at];
        let mut client =
            Client::connect(target).map_err(|error| format!("could not connect: {error}"))?;
        if let Some((user, password)) = &self.plan.login {
            let reply = client.try_call(&["AUTH", user, password]).map_err(|it| it.to_string())?;
            if reply != "+OK" {
                return Err(format!("AUTH: {reply}"));
            }
        }
        self.log.connected += 1;
        Ok(client)
    }

    /// Works until it is told to stop or the connection breaks.
    fn serve(
        &mut self,
        mut client: Client,
        stop: &AtomicBool,
        rounds: &AtomicUsize,
    ) -> Result<(), String> {
        let role = self.plan.roles[usize::from(self.id)];
        while !stop.load(Ordering::Relaxed) {
            let requests = role.requests(self.id, &mut self.attempts, &mut self.random);
            let bytes: Vec<_> = requests.iter().flat_map(Request::encode).collect();
            let invoked = self.now();
            // What breaks the sending breaks the reading, which knows what is unanswered.
            let sent = client.try_send(&bytes);
            for (at, request) in requests.iter().enumerate() {
                let reply = sent.as_ref().ok().map(|()| request.read(&mut client));
                match reply {
                    Some(Ok(reply)) => self.answered(request, invoked, &reply),
                    Some(Err(error)) => return Err(self.broke(&requests[at..], invoked, &error)),
                    None => {
                        let error = sent.err().unwrap_or_else(|| std::io::Error::other("unsent"));
                        return Err(self.broke(&requests[at..], invoked, &error));
                    }
                }
            }
            rounds.fetch_add(1, Ordering::Relaxed);
            thread::park_timeout(PAUSE);
        }
        Ok(())
    }

    fn now(&self) -> Nanos {
        self.plan.begun.elapsed().as_nanos() as Nanos
    }

    fn answered(&mut self, request: &Request, invoked: Nanos, replies: &[Value]) {
        let done = self.now();
        self.log.longest = self.log.longest.max(Duration::from_nanos(done - invoked));
        let mut outcome = Outcome::Done;
        for error in replies.iter().filter_map(Value::error) {
            let kind = error.split(' ').next().unwrap_or_default().to_owned();
            let proves = REFUSALS.contains(&kind.as_str());
            *self.log.errors.entry(kind).or_default() += 1;
            // A transaction is what its last reply says.
            outcome = if proves { Outcome::Refused } else { Outcome::Unknown };
        }
        let mut action = request.action;
        if outcome == Outcome::Done {
            match request.saw(self.id, replies) {
                Ok(saw) => action = saw,
                Err(why) => {
                    self.log.odd.push(why);
                    outcome = Outcome::Unknown;
                }
            }
        }
        self.log.ops.push(Op { client: self.id, action, invoked, done, outcome });
    }

    fn broke(&mut self, unanswered: &[Request], invoked: Nanos, error: &std::io::Error) -> String {
        for request in unanswered {
            let (client, action, outcome) = (self.id, request.action, Outcome::Unknown);
            self.log.ops.push(Op { client, action, invoked, done: NEVER, outcome });
        }
        format!("client {}: {} unanswered: {error}", self.id, unanswered.len())
    }
}
