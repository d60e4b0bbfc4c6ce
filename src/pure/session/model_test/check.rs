//! Holds the end of a run against the promise.

use super::client::{Mode, Outcome, Request};
use super::sim::{Setup, Sim};
use crate::pure::resp::request::{self, Scan};
use crate::pure::session::{Held, UncertainWrites, Withheld};

/// Everything that must be true once the world has healed and all is quiet.
pub(super) fn promise(sim: &mut Sim, setup: Setup) {
    assert_eq!(sim.end(), None, "a session ended because of a node");
    assert!(!sim.client.is_mid_frame(), "half a reply at the end");
    // Of what an uncertain transaction changed in its connection the client knows nothing.
    let is_known = sim.client.transactions.iter().all(|it| it.outcome != Some(Outcome::Uncertain));
    if sim.client.told.mode == Mode::On && (setup.guarded.is_none() || is_known) {
        sim.ask(&["ECHO", "last word"], "last word");
        sim.heal_quietly();
        state(sim);
    }
    writes(sim, setup);
    transactions(sim, setup);
    assert_eq!(sim.world.held, Held::default(), "nothing is held when all is quiet");
    sim.session.close(&mut sim.world);
    assert_eq!(sim.world.withheld, Withheld::default(), "nothing is withheld when all is quiet");
    assert_eq!(sim.world.budget.used, 0, "what was kept is given back");
}

/// A new connection knows what the client was told.
fn state(sim: &Sim) {
    let (told, conn) = (&sim.client.told, sim.conn());
    assert_eq!(conn.resp3, told.resp3, "protocol");
    assert_eq!(conn.db, told.db, "database");
    assert_eq!(conn.user, told.user, "user");
    if !sim.session.is_shared() {
        assert_eq!(conn.name, told.name, "name");
        assert_eq!(conn.lib, told.lib, "library");
    }
    assert_eq!(conn.tracking, told.tracking, "tracking");
    assert_eq!(conn.multi.is_some(), told.multi.is_some(), "transaction");
    for kind in 0..3 {
        let at_node: Vec<String> =
            conn.subs[kind].iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect();
        let told: Vec<String> = told.subs[kind].iter().cloned().collect();
        assert_eq!(at_node, told, "subscriptions of kind {kind}");
    }
}

fn writes(sim: &Sim, setup: Setup) {
    let replays = setup.uncertain_writes == UncertainWrites::Replay;
    for (request, outcome) in &sim.client.outcomes {
        if !request.is_write() {
            continue;
        }
        let times = sim.store.times(&request.token);
        let right = match outcome {
            Outcome::Done => times == 1 || replays && times > 1,
            // A script that ran before may be refused when it is sent again.
            Outcome::Refused => times == 0 || replays && request.name().starts_with("EVAL"),
            Outcome::Uncertain => {
                let is_withheld = setup.guarded.is_some() && times > 0;
                (times <= 1 || replays) && (is_withheld || was_sent(sim, request))
            }
            Outcome::Hidden => times <= 1 || replays,
            Outcome::Queued(number) => {
                let transaction = &sim.client.transactions[*number];
                match transaction.outcome {
                    Some(Outcome::Done) => times <= 1 || replays,
                    Some(Outcome::Uncertain) => times <= 1,
                    _ => times == 0,
                }
            }
        };
        assert!(right, "ran {times} times, {outcome:?}: {request:?}");
    }
}

/// Whether the whole request was on a link that was lost.
fn was_sent(sim: &Sim, request: &Request) -> bool {
    let needle = request.token.as_bytes();
    sim.lost.iter().any(|written| {
        let mut at = 0;
        while let Scan::Frame { len } =
            request::Scanner::new(request::Limits::DEFAULT).scan(&written[at..])
        {
            let frame = &written[at..at + len];
            if frame.windows(needle.len()).any(|it| it == needle) {
                return true;
            }
            at += len;
        }
        false
    })
}

impl Sim {
    /// Whether an `EXEC` was written on a link that was lost.
    fn was_exec_sent(&self) -> bool {
        let exec = b"*1\r\n$4\r\nEXEC\r\n";
        self.lost.iter().any(|it| it.windows(exec.len()).any(|it| it == exec))
    }
}

/// A transaction ran wholly, on one connection of one node, or not at all.
fn transactions(sim: &Sim, setup: Setup) {
    for transaction in &sim.client.transactions {
        let writes: Vec<&Request> = transaction.queue.iter().filter(|it| it.is_write()).collect();
        let ran: Vec<_> = writes.iter().filter_map(|it| sim.store.last_run(&it.token)).collect();
        let scripts = writes.iter().any(|it| it.name().starts_with("EVAL"));
        match transaction.outcome {
            Some(Outcome::Done) if !scripts => {
                assert_eq!(ran.len(), writes.len(), "ran in part: {transaction:?}");
            }
            Some(Outcome::Uncertain) if !scripts => {
                assert!(
                    ran.is_empty() || ran.len() == writes.len(),
                    "ran in part: {transaction:?}"
                );
                let was_sent = sim.was_exec_sent() || setup.guarded.is_some();
                assert!(was_sent, "uncertain, but never sent: {transaction:?}");
            }
            Some(Outcome::Done | Outcome::Uncertain) => {}
            _ => assert!(ran.is_empty(), "ran, but was not acknowledged: {transaction:?}"),
        }
        let one_place =
            ran.windows(2).all(|it| (it[0].node, it[0].conn) == (it[1].node, it[1].conn));
        assert!(one_place, "ran in two places: {transaction:?}");
        let Some(last) = ran.last() else { continue };
        if setup.uncertain_writes == UncertainWrites::Refuse {
            for (key, token) in &transaction.watches {
                let watched = sim.store.watches[token];
                let first = ran.iter().map(|it| it.seq).min().unwrap_or(last.seq);
                let touched = sim.store.touched_between(key.as_bytes(), watched, first);
                assert!(!touched, "ran although {key} had changed: {transaction:?}");
            }
        }
    }
}
