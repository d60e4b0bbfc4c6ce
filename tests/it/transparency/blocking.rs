//! Row 2: commands that wait at the node go on waiting at the next, with the time that is left.

use super::{Change, Scene, null};
use crate::harness::{Client, Kind, encode};
use serde_json::json;
use std::time::{Duration, Instant};

on_both!(
    whoever_waits_goes_on_waiting,
    a_timeout_goes_on_running,
    a_timeout_that_ran_out_during_the_hold_answers_as_the_server_does,
    inside_a_transaction_or_a_script_nothing_waits,
    unblocking_somebody_else_works_after_a_move,
    wait_goes_on_waiting,
);

/// Every command that waits, for the keys that start with `at`, and what the servers call it.
const WAITERS: [(&str, &[&str]); 10] = [
    ("blpop", &["BLPOP", "{at}:blpop", "{t}"]),
    ("brpop", &["BRPOP", "{at}:brpop", "{t}"]),
    ("blmove", &["BLMOVE", "{at}:blmove", "{at}:to", "LEFT", "RIGHT", "{t}"]),
    ("brpoplpush", &["BRPOPLPUSH", "{at}:brpoplpush", "{at}:to", "{t}"]),
    ("blmpop", &["BLMPOP", "{t}", "1", "{at}:blmpop", "LEFT"]),
    ("bzpopmin", &["BZPOPMIN", "{at}:bzpopmin", "{t}"]),
    ("bzpopmax", &["BZPOPMAX", "{at}:bzpopmax", "{t}"]),
    ("bzmpop", &["BZMPOP", "{t}", "1", "{at}:bzmpop", "MIN"]),
    ("xread", &["XREAD", "BLOCK", "{ms}", "STREAMS", "{at}:xread", "0"]),
    ("xreadgroup", &["XREADGROUP", "GROUP", "g", "c", "BLOCK", "{ms}", "STREAMS", "{at}:xg", ">"]),
];

/// The command of `waiter` for keys at `at`, waiting `limit` (zero: for ever).
fn command(waiter: usize, at: &str, limit: Duration) -> Vec<String> {
    let (seconds, ms) = (format!("{}", limit.as_secs_f64()), limit.as_millis().to_string());
    let fill = |it: &&str| it.replace("{at}", at).replace("{t}", &seconds).replace("{ms}", &ms);
    WAITERS[waiter].1.iter().map(fill).collect()
}

fn send(session: &mut Client, command: &[String]) {
    session.send_all(&[&command.iter().map(String::as_str).collect::<Vec<_>>()]);
}

/// What makes the waiter of `at` go on, and its reply.
fn feed(scene: &Scene, waiter: usize, at: &str) {
    let name = WAITERS[waiter].0;
    let key = format!("{at}:{}", if name == "xreadgroup" { "xg" } else { name });
    let primary = scene.primary();
    let done = match name {
        "bzpopmin" | "bzpopmax" | "bzmpop" => primary.call(&["ZADD", &key, "1", "fed"]),
        "xread" | "xreadgroup" => primary.call(&["XADD", &key, "1-1", "f", "fed"]),
        _ => primary.call(&["RPUSH", &key, "fed"]),
    };
    assert!(done.error().is_none(), "{done}");
}

/// Goal: every command that waits, for ever, waits on at the new primary and gets what arrives
/// there, in either protocol.
///
/// Method: a session for each; change the primary; feed each from the new primary itself.
fn whoever_waits_goes_on_waiting(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut sessions: Vec<_> = WAITERS.iter().map(|_| scene.both_protocols()).collect();
    for (round, change) in Change::ALL.into_iter().enumerate() {
        for (waiter, both) in sessions.iter_mut().enumerate() {
            for (n, session) in both.iter_mut().enumerate() {
                let at = format!("{round}:{n}");
                if WAITERS[waiter].0 == "xreadgroup" {
                    let create = ["XGROUP", "CREATE", &format!("{at}:xg"), "g", "0", "MKSTREAM"];
                    assert_eq!(session.call(&create), "+OK");
                }
                send(session, &command(waiter, &at, Duration::ZERO));
            }
        }
        scene.wait_listed("flags=b", WAITERS.len() * 2);
        scene.change(change);
        scene.wait_served();
        scene.wait_listed("flags=b", WAITERS.len() * 2);
        for (waiter, both) in sessions.iter_mut().enumerate() {
            for (n, session) in both.iter_mut().enumerate() {
                assert!(session.is_silent(), "{change:?}: {:?}", WAITERS[waiter]);
                feed(&scene, waiter, &format!("{round}:{n}"));
                let reply = session.read().to_string();
                assert!(reply.contains("fed"), "{change:?}: {:?} {reply}", WAITERS[waiter]);
                assert_eq!(session.call(&["PING"]), "+PONG");
            }
        }
        scene.recover();
    }
    assert!(scene.proxy.metric("segue_blocking_reissued_total") >= 60.0);
}

/// Goal: the time that was waited at the old primary counts: the whole wait is what the client
/// asked for.
///
/// Method: 3 s, and the change when the node says that everybody has waited for one; the answer
/// comes when 3 s are over, not later than half a second behind that.
fn a_timeout_goes_on_running(kind: Kind) {
    const LIMIT: Duration = Duration::from_secs(3);
    let mut scene = Scene::start(kind);
    let mut sessions: Vec<_> = WAITERS.iter().map(|_| scene.client()).collect();
    let create = ["XGROUP", "CREATE", "t:xg", "g", "0", "MKSTREAM"];
    assert_eq!(sessions[0].call(&create), "+OK");
    for change in Change::ALL {
        let asked = Instant::now();
        for (waiter, session) in sessions.iter_mut().enumerate() {
            send(session, &command(waiter, "t", LIMIT));
        }
        scene.wait_listed("flags=b", WAITERS.len());
        scene.wait_idle_for_a_second("flags=b");
        scene.change(change);
        for session in &mut sessions {
            assert_eq!(session.read(), null(), "{change:?}");
            assert!(asked.elapsed() > LIMIT - Duration::from_millis(20), "{:?}", asked.elapsed());
        }
        assert!(asked.elapsed() < LIMIT + Duration::from_millis(500), "{:?}", asked.elapsed());
        scene.recover();
    }
}

/// Goal: a timeout that runs out while nobody is primary is answered then, with the bytes that the
/// server itself answers.
///
/// Method: ask a server directly for its bytes; then kill the primary of a Segue that promotes
/// nobody, and compare.
fn a_timeout_that_ran_out_during_the_hold_answers_as_the_server_does(kind: Kind) {
    const LIMIT: Duration = Duration::from_millis(600);
    let mut scene = Scene::start_with(kind, &[], |it| it["failover"]["enabled"] = json!(false));
    let create = ["XGROUP", "CREATE", "t:xg", "g", "0", "MKSTREAM"];
    assert_eq!(scene.primary().call(&create), "+OK");
    let mut sessions: Vec<_> = WAITERS.iter().map(|_| scene.both_protocols()).collect();
    let direct: Vec<_> = (0..WAITERS.len())
        .map(|waiter| {
            [false, true].map(|is_resp3| {
                let client = scene.primary().client();
                let mut client = if is_resp3 { super::resp3(client) } else { client };
                send(&mut client, &command(waiter, "t", Duration::from_millis(10)));
                client.send_all(&[&["ECHO", "end"]]);
                client.read_raw_until("$3\r\nend\r\n")
            })
        })
        .collect();

    let asked = Instant::now();
    for (waiter, both) in sessions.iter_mut().enumerate() {
        for session in both {
            send(session, &command(waiter, "t", LIMIT));
            session.send(&encode(&["QUIT"]));
        }
    }
    scene.wait_listed("flags=b", WAITERS.len() * 2);
    scene.change(Change::Killed);
    for (waiter, both) in sessions.iter_mut().enumerate() {
        for (session, expected) in both.iter_mut().zip(&direct[waiter]) {
            let all = String::from_utf8_lossy(&session.read_to_end()).into_owned();
            assert_eq!(all, format!("{expected}+OK\r\n"), "{:?}", WAITERS[waiter]);
        }
    }
    assert!(asked.elapsed() >= LIMIT && asked.elapsed() < LIMIT + Duration::from_secs(3));
}

/// Goal: inside `MULTI` and scripts these commands never wait, also after a change.
///
/// Method: queue all of them, change the primary, run; and run one from a script.
fn inside_a_transaction_or_a_script_nothing_waits(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut session = scene.client();
    for change in Change::ALL {
        assert_eq!(session.call(&["MULTI"]), "+OK");
        for waiter in 0..WAITERS.len() - 1 {
            send(&mut session, &command(waiter, "m", Duration::ZERO));
            assert_eq!(session.read(), "+QUEUED");
        }
        scene.change(change);
        let nothing = vec![null(); WAITERS.len() - 1].join(", ");
        assert_eq!(session.call(&["EXEC"]), format!("[{nothing}]").as_str(), "{change:?}");
        let script = "return redis.call('XREAD', 'BLOCK', '0', 'STREAMS', KEYS[1], '$')";
        let from_script = ["EVAL", script, "1", "k"];
        let direct = scene.primary().call(&from_script);
        assert_eq!(session.call(&from_script), direct, "{change:?}");
        scene.recover();
    }
}

/// Goal: a client can end another one's wait by the id that it has learnt, before and after that
/// one moved; both ways of ending are shown as they are.
///
/// Method: `CLIENT UNBLOCK id` and `… ERROR` from a second session.
fn unblocking_somebody_else_works_after_a_move(kind: Kind) {
    const ERROR: &str = "-UNBLOCKED client unblocked via CLIENT UNBLOCK";
    let mut scene = Scene::start(kind);
    let (mut waiter, mut admin) = (scene.client(), scene.client());
    let id = waiter.call(&["CLIENT", "ID"]).integer().to_string();
    let mut unblock = |scene: &Scene, waiter: &mut Client| {
        waiter.send_all(&[&["BLPOP", "none", "0"]]);
        scene.wait_listed("flags=b", 1);
        assert_eq!(admin.call(&["CLIENT", "UNBLOCK", &id]), ":1");
        assert_eq!(waiter.read(), null());
        waiter.send_all(&[&["BLPOP", "none", "0"]]);
        scene.wait_listed("flags=b", 1);
        assert_eq!(admin.call(&["CLIENT", "UNBLOCK", &id, "ERROR"]), ":1");
        assert_eq!(waiter.read(), ERROR);
    };
    unblock(&scene, &mut waiter);
    for change in Change::ALL {
        // So that the numbers of the new primary are not those of the old one.
        drop((0..7).map(|_| scene.replica().client().call(&["PING"])).collect::<Vec<_>>());
        waiter.send_all(&[&["BLPOP", "none", "0"]]);
        scene.wait_listed("flags=b", 1);
        scene.change(change);
        scene.wait_served();
        scene.wait_listed("flags=b", 1);
        assert_eq!(admin_unblock(&mut scene.client(), &id), ":1", "{change:?}");
        assert_eq!(waiter.read(), null(), "{change:?}");
        unblock(&scene, &mut waiter);
        scene.recover();
    }
}

fn admin_unblock(admin: &mut Client, id: &str) -> String {
    admin.call(&["CLIENT", "UNBLOCK", id]).to_string()
}

/// Goal: `WAIT` goes on waiting at the new primary and answers a number.
///
/// Method: ask for more replicas than there are, with a limit and, on a change, again.
fn wait_goes_on_waiting(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut session = scene.client();
    for change in Change::ALL {
        assert_eq!(session.call(&["SET", "k", "v"]), "+OK");
        session.send_all(&[&["WAIT", "5", "3000"], &["GET", "k"]]);
        scene.wait_listed("flags=b", 1);
        scene.change(change);
        let count = session.read();
        assert!(count == ":0" || count == ":1", "{change:?}: {count}");
        assert_eq!(session.read(), "v");
        scene.recover();
    }
}
