//! One session behind a promise: what leaves, when, and in which order. What may happen in
//! between, in any order, is the model test's.

use super::*;
use crate::pure::command::Table;
use crate::pure::session::{Limits, Policy, Rounds};
use crate::pure::time::Time;
use crate::pure::topology::{Gate, NodeId, Primary, Route, RunId};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

static TABLE: LazyLock<Arc<Table>> = LazyLock::new(|| Arc::new(Table::builtin()));
const NOW: Time = Time::from_millis(1_000);
const UNCERTAIN: &str =
    "-UNCERTAIN Segue: executed on the primary, not confirmed by 1 replica within 500ms\r\n";
const LOST: &str =
    "-UNCERTAIN Segue: executed on a primary that was lost before 1 replica had confirmed it\r\n";

struct Scene {
    world: World,
    session: Session,
}

fn route(version: u64, epoch: u64) -> Route {
    let addr = ([127, 0, 0, 1], 1).into();
    let process = RunId::parse(&"a".repeat(40)).unwrap();
    let gate = Gate::Open(Primary { node: NodeId(0), addr, process });
    Route { version, epoch: Epoch(epoch), gate, handed_over: false }
}

impl Scene {
    fn new(reads: GuardedReads) -> Self {
        let policy = Policy { hold_timeout: Duration::from_secs(1), ..Policy::PLAIN };
        let limits = Limits { in_flight_max: 4, reply_whole_max: 64, ..Limits::PLAIN };
        let mut world = World::new(Arc::clone(&TABLE), policy, limits, 1 << 30);
        let promise = Promise { replicas: 1, timeout: Duration::from_millis(500), reads };
        world.rounds.push(Rounds::new(promise));
        world.set_route(route(1, 1));
        let mut session = Session::new(&world);
        session.guard(&world, 7, 0);
        session.on_link(&mut world, NOW);
        Self { world, session }
    }

    fn ask(&mut self, request: &str) {
        self.session.on_client(&mut self.world, NOW, request.as_bytes());
        let sent = self.session.to_node(&self.world).len();
        self.session.sent(&mut self.world, NOW, sent);
    }

    fn answer(&mut self, reply: &str) {
        self.session.on_node(&mut self.world, NOW, reply.as_bytes());
    }

    /// What leaves now.
    fn leaves(&mut self) -> String {
        let text = String::from_utf8(self.session.to_client().to_vec()).expect("text");
        self.session.delivered(text.len());
        text
    }

    fn begin(&mut self) -> u64 {
        self.world.rounds[0].begin()
    }

    fn end(&mut self, round: u64, verdict: Verdict) {
        let told = self.world.rounds[0].end(round);
        assert_eq!(told, [7], "the session is told");
        self.session.on_round(&mut self.world, round, verdict);
        self.session.on_turn_end(&mut self.world, NOW);
    }
}

#[test]
fn a_write_and_all_behind_it_wait_for_a_round_that_began_later() {
    let mut scene = Scene::new(GuardedReads::Local);
    scene.ask("GET a\r\nSET a 1\r\nGET a\r\n");
    scene.answer("$1\r\n0\r\n+OK\r\n");
    assert_eq!(scene.leaves(), "$1\r\n0\r\n", "what stands before it does not wait");
    let first = scene.begin();
    scene.answer("$1\r\n1\r\n");
    scene.ask("SET b 1\r\n");
    scene.answer("+OK\r\n");
    assert_eq!(scene.leaves(), "");
    scene.end(first, Verdict::Confirmed);
    assert_eq!(scene.leaves(), "+OK\r\n$1\r\n1\r\n", "the second write came too late for it");
    let second = scene.begin();
    scene.end(second, Verdict::Confirmed);
    assert_eq!(scene.leaves(), "+OK\r\n");
    assert!(!scene.world.rounds[0].is_wanted());
    assert_eq!(scene.world.withheld, Withheld::default());
    assert_eq!(scene.world.budget.used, 0);
    assert_eq!(scene.world.tally.guarded_writes, 2);
}

#[test]
fn what_is_not_confirmed_is_uncertain_in_its_place() {
    let mut scene = Scene::new(GuardedReads::Local);
    scene.ask("SET a 1\r\nGET a\r\nSET a 2\r\n");
    scene.answer("+OK\r\n$1\r\n1\r\n+OK\r\n");
    let round = scene.begin();
    scene.ask("SET a 3\r\n");
    scene.answer("+OK\r\n");
    scene.end(round, Verdict::Short);
    assert_eq!(scene.leaves(), format!("{UNCERTAIN}$1\r\n1\r\n{UNCERTAIN}"));
    let round = scene.begin();
    scene.end(round, Verdict::Confirmed);
    assert_eq!(scene.leaves(), "+OK\r\n", "what came later is judged by itself");
    assert_eq!((scene.world.tally.uncertain, scene.world.tally.unguarded_writes), (2, 2));
}

#[test]
fn a_new_epoch_leaves_nothing_confirmed() {
    let mut scene = Scene::new(GuardedReads::Local);
    scene.ask("SET a 1\r\nSET a 2\r\n");
    scene.answer("+OK\r\n");
    let round = scene.begin();
    scene.answer("+OK\r\n");
    scene.world.set_route(route(2, 2));
    assert_eq!(scene.world.rounds[0].end(round), Vec::<u64>::new(), "severed");
    scene.session.on_round(&mut scene.world, round, Verdict::Confirmed);
    scene.session.on_route(&mut scene.world, NOW);
    assert!(scene.leaves().ends_with(LOST));
}

#[test]
fn a_planned_change_asks_the_new_primary() {
    let mut scene = Scene::new(GuardedReads::Local);
    scene.ask("SET a 1\r\n");
    scene.answer("+OK\r\n");
    scene.world.set_route(Route { handed_over: true, ..route(2, 2) });
    scene.session.on_route(&mut scene.world, NOW);
    assert_eq!(scene.leaves(), "");
    let round = scene.begin();
    scene.end(round, Verdict::Confirmed);
    assert_eq!(scene.leaves(), "+OK\r\n");
}

#[test]
fn a_round_that_broke_is_asked_again() {
    let mut scene = Scene::new(GuardedReads::Local);
    scene.ask("SET a 1\r\n");
    scene.answer("+OK\r\n");
    let round = scene.begin();
    scene.world.rounds[0].again(round);
    assert!(scene.world.rounds[0].is_wanted());
    let round = scene.begin();
    scene.end(round, Verdict::Confirmed);
    assert_eq!(scene.leaves(), "+OK\r\n");
}

#[test]
fn a_large_reply_is_withheld_from_its_first_byte() {
    let large = format!("$200\r\n{}\r\n", "x".repeat(200));
    // Confirmed while it arrives: the rest passes.
    let mut scene = Scene::new(GuardedReads::Local);
    scene.ask("GETDEL a\r\nGET b\r\n");
    scene.answer(&large[..100]);
    let round = scene.begin();
    assert_eq!(scene.leaves(), "");
    scene.end(round, Verdict::Confirmed);
    let mut got = scene.leaves();
    assert_eq!(got, large[..got.len()]);
    scene.answer(&large[100..]);
    got += &scene.leaves();
    assert_eq!(got, large);

    // Not confirmed: the rest is left out.
    let mut scene = Scene::new(GuardedReads::Local);
    scene.ask("GETDEL a\r\nGET b\r\n");
    scene.answer(&large[..100]);
    let round = scene.begin();
    scene.answer(&large[100..150]);
    scene.end(round, Verdict::Short);
    scene.answer(&large[150..]);
    scene.answer("$1\r\nb\r\n");
    assert_eq!(scene.leaves(), format!("{UNCERTAIN}$1\r\nb\r\n"));

    // Lost on the way: nobody has seen its beginning.
    let mut scene = Scene::new(GuardedReads::Local);
    scene.ask("GETDEL a\r\n");
    scene.answer(&large[..100]);
    scene.session.on_link_lost(&mut scene.world, NOW);
    assert_eq!(scene.leaves(), LOST);
    assert_eq!(scene.session.end(), None, "the client is not cut off");
}

#[test]
fn reads_wait_only_if_that_is_promised() {
    let mut scene = Scene::new(GuardedReads::Confirmed);
    scene.ask("GET a\r\nLLEN a\r\nECHO x\r\n");
    scene.answer("$1\r\n1\r\n-WRONGTYPE no\r\n$1\r\nx\r\n");
    assert_eq!(scene.leaves(), "");
    let round = scene.begin();
    scene.end(round, Verdict::Confirmed);
    assert_eq!(scene.leaves(), "$1\r\n1\r\n-WRONGTYPE no\r\n$1\r\nx\r\n");
    assert_eq!(scene.world.tally.guarded_writes, 0);
}

#[test]
fn a_client_is_not_read_while_too_much_waits() {
    let mut scene = Scene::new(GuardedReads::Local);
    for _ in 0..4 {
        assert!(scene.session.wants_client(&scene.world));
        scene.ask("SET a 1\r\n");
        scene.answer("+OK\r\n");
    }
    assert!(!scene.session.wants_client(&scene.world));
    assert_eq!(scene.world.withheld, Withheld { replies: 4, bytes: 20 });
    assert_eq!(scene.world.budget.used, 20, "it counts as kept");
    let round = scene.begin();
    scene.end(round, Verdict::Confirmed);
    scene.leaves();
    assert!(scene.session.wants_client(&scene.world));
}

/// What a session of its own keeps beside requests fills the hold as much as another's does.
#[test]
fn what_is_withheld_counts_when_the_hold_is_full() {
    for (budget_max, refused) in [(40, 1), (400, 0)] {
        let mut scene = Scene::new(GuardedReads::Local);
        scene.world.budget.max = budget_max;
        scene.ask("SET a 1 GET\r\n");
        scene.answer(&format!("$50\r\n{}\r\n", "x".repeat(50)));
        scene.world.set_route(Route { gate: Gate::Held, ..route(2, 1) });
        scene.session.on_route(&mut scene.world, NOW);
        scene.ask("SET b 1\r\n");
        assert_eq!(scene.world.tally.refused_full, refused, "{budget_max}");
    }
}

#[test]
fn a_switchover_waits_for_what_is_withheld() {
    let mut scene = Scene::new(GuardedReads::Local);
    scene.ask("SET a 1\r\n");
    scene.answer("+OK\r\n");
    scene.world.set_route(Route { gate: Gate::Draining, ..route(2, 1) });
    scene.session.on_route(&mut scene.world, NOW);
    assert!(!scene.world.is_drained());
    let round = scene.begin();
    scene.end(round, Verdict::Confirmed);
    assert!(scene.world.is_drained());
}

#[test]
fn what_proves_that_nothing_was_written_does_not_wait() {
    for (request, reply) in [
        ("LPUSH a 1\r\n", "-WRONGTYPE no\r\n"),
        ("SET a\r\n", "-ERR wrong number of arguments for 'set' command\r\n"),
        ("BLPOP a 1\r\n", "*-1\r\n"),
        ("BLPOP a 1\r\n", "-WRONGTYPE no\r\n"),
        ("WAIT 1 100\r\n", ":0\r\n"),
        ("WAITAOF 0 1 100\r\n", "*2\r\n:0\r\n:0\r\n"),
    ] {
        let mut scene = Scene::new(GuardedReads::Local);
        scene.ask(request);
        scene.answer(reply);
        assert_eq!(scene.leaves(), reply, "{request}");
    }
    for (request, reply) in [
        ("DEL a\r\n", ":0\r\n"),
        ("BLPOP a 1\r\n", "*2\r\n$1\r\na\r\n$1\r\nx\r\n"),
        ("EVAL x 0\r\n", "-WRONGTYPE said by a script that wrote before\r\n"),
        ("NOSUCH\r\n", "-ERR a module may have written\r\n"),
        ("PUBLISH c m\r\n", ":0\r\n"),
    ] {
        let mut scene = Scene::new(GuardedReads::Local);
        scene.ask(request);
        scene.answer(reply);
        assert_eq!(scene.leaves(), "", "{request}");
    }
}

#[test]
fn what_ran_on_a_demoted_node_is_confirmed_by_nobody() {
    let mut scene = Scene::new(GuardedReads::Local);
    scene.ask("SET a 1\r\nPUBLISH c m\r\n");
    scene.answer("-READONLY You can't write against a read only replica.\r\n:0\r\n");
    scene.session.on_link_lost(&mut scene.world, NOW);
    scene.session.on_link(&mut scene.world, NOW);
    let sent = scene.session.to_node(&scene.world).len();
    scene.session.sent(&mut scene.world, NOW, sent);
    scene.answer("+OK\r\n");
    let round = scene.begin();
    scene.end(round, Verdict::Confirmed);
    assert_eq!(scene.leaves(), format!("+OK\r\n{LOST}"));
}
