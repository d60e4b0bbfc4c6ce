//! Row 7: an iteration that was begun before a change returns every element that was present
//! throughout.

use super::{Change, Scene};
use crate::harness::{Client, Kind, Value};
use std::collections::BTreeSet;

on_both!(
    an_iteration_misses_nothing,
    an_iteration_inside_transactions_misses_nothing,
    cursors_before_the_first_change_are_the_servers_own,
);

/// Enough that no collection is packed, and an iteration takes many steps.
const ELEMENTS: usize = 1_500;

/// Clients may keep cursors in a double.
const CURSOR_MAX: u64 = 1 << 53;

fn fill(scene: &Scene) {
    let mut client = scene.primary().client();
    for n in 0..ELEMENTS {
        let name = format!("element:{n}");
        client.send_all(&[
            &["SET", &name, "v"],
            &["HSET", "h", &name, "v"],
            &["SADD", "s", &name],
            &["ZADD", "z", "1", &name],
        ]);
        client.read_n(4);
    }
    assert_eq!(client.call(&["RPUSH", "element:list", "x"]), ":1");
}

/// An iteration as a client does it: the words before and behind the cursor.
#[derive(Debug)]
struct Iteration {
    before: &'static [&'static str],
    behind: &'static [&'static str],
    /// Elements come in pairs with values.
    pairs: bool,
    cursor: String,
    found: BTreeSet<String>,
}

fn iterations() -> Vec<Iteration> {
    let new = |before, behind, pairs| Iteration {
        before,
        behind,
        pairs,
        cursor: "0".to_owned(),
        found: BTreeSet::new(),
    };
    vec![
        new(&["SCAN"], &["COUNT", "50"], false),
        new(&["scan"], &["MATCH", "element:*", "COUNT", "70"], false),
        new(&["SCAN"], &["TYPE", "string", "COUNT", "60"], false),
        new(&["HSCAN", "h"], &["COUNT", "40"], true),
        new(&["SSCAN", "s"], &["MATCH", "element:*", "COUNT", "40"], false),
        new(&["ZSCAN", "z"], &["COUNT", "40"], true),
    ]
}

impl Iteration {
    fn command(&self) -> Vec<&str> {
        let words = self.before.iter().copied().chain([self.cursor.as_str()]);
        words.chain(self.behind.iter().copied()).collect()
    }

    /// Takes a reply; false when the iteration is over.
    #[track_caller]
    fn take(&mut self, reply: &Value) -> bool {
        let items = reply.items();
        self.cursor = items[0].text();
        let cursor: u64 = self.cursor.parse().expect("a number");
        assert!(cursor < CURSOR_MAX, "{cursor}");
        let step = if self.pairs { 2 } else { 1 };
        self.found.extend(items[1].items().iter().step_by(step).map(Value::text));
        cursor != 0
    }

    fn step(&mut self, session: &mut Client) -> bool {
        let command = self.command().into_iter().map(str::to_owned).collect::<Vec<_>>();
        let reply = session.call(&command.iter().map(String::as_str).collect::<Vec<_>>());
        self.take(&reply)
    }

    #[track_caller]
    fn check(&self, change: Change) {
        let missing = (0..ELEMENTS).filter(|n| !self.found.contains(&format!("element:{n}")));
        assert_eq!(missing.count(), 0, "{change:?}: {:?} {:?}", self.before, self.behind);
    }
}

/// Goal: nothing that was there all the time is missed, for each command, option and change,
/// also when several changes fall into one iteration.
///
/// Method: iterations that are begun before each change and ended behind it, and one of each that
/// lives through all of them.
fn an_iteration_misses_nothing(kind: Kind) {
    let mut scene = Scene::start(kind);
    fill(&scene);
    let mut sessions = scene.both_protocols();
    let mut long = iterations();
    for it in &mut long {
        assert!(it.step(&mut sessions[0]));
    }
    for change in Change::ALL {
        let mut short = iterations();
        for it in &mut short {
            for turn in 0..3 {
                assert!(it.step(&mut sessions[turn % 2]));
            }
        }
        scene.change(change);
        for it in &mut short {
            // A cursor belongs to no connection: whoever has it may go on.
            let mut turn = 0;
            while it.step(&mut sessions[turn % 2]) {
                turn += 1;
            }
            it.check(change);
        }
        for it in &mut long {
            assert!(it.step(&mut sessions[1]), "{change:?}");
            assert!(it.step(&mut sessions[0]), "{change:?}");
        }
        scene.recover();
    }
    for it in &mut long {
        while it.step(&mut sessions[0]) {}
        it.check(Change::Killed);
    }
    assert!(scene.proxy.metric("segue_scans_restarted_total") >= 18.0);
}

/// Goal: the same inside `MULTI`, where the cursor of the old primary may already be queued.
///
/// Method: queue a step at the old primary, change, run it at the new one, and go on so.
fn an_iteration_inside_transactions_misses_nothing(kind: Kind) {
    let mut scene = Scene::start(kind);
    fill(&scene);
    let mut session = scene.client();
    for change in Change::ALL {
        let mut it = iterations().remove(0);
        for _ in 0..3 {
            assert!(it.step(&mut session));
        }
        let mut is_changed = false;
        loop {
            assert_eq!(session.call(&["MULTI"]), "+OK");
            assert_eq!(session.call(&it.command()), "+QUEUED");
            if !std::mem::replace(&mut is_changed, true) {
                scene.change(change);
            }
            let ran = session.call(&["EXEC"]);
            if !it.take(&ran.items()[0]) {
                break;
            }
        }
        it.check(change);
        scene.recover();
    }
}

/// Goal: as long as nothing has changed, cursors are not touched: Segue can be taken away.
///
/// Method: the same iteration directly and through Segue, step by step.
fn cursors_before_the_first_change_are_the_servers_own(kind: Kind) {
    let scene = Scene::start(kind);
    fill(&scene);
    let (mut session, mut direct) = (scene.client(), scene.primary().client());
    for mut it in iterations() {
        loop {
            let command: Vec<_> = it.command().into_iter().map(str::to_owned).collect();
            let command: Vec<_> = command.iter().map(String::as_str).collect();
            let reply = session.call(&command);
            assert_eq!(reply, direct.call(&command));
            if !it.take(&reply) {
                break;
            }
        }
        it.check(Change::Killed);
    }
}
