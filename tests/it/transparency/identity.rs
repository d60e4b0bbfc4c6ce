//! Row 8: a number that a client has learnt goes on meaning the same session.

use super::{Change, Scene, resp3};
use crate::harness::{Client, Kind, Value};

on_both!(
    a_session_keeps_its_number,
    a_number_names_the_same_session_after_a_move,
    two_sessions_never_have_the_same_number,
    a_client_that_understands_redirections_sees_none,
);

/// Goal: `CLIENT ID`, `CLIENT INFO` and `HELLO` say the number that they said before, also inside
/// `MULTI`, and the name stays.
///
/// Method: ask before and after; the nodes' own numbers are made to differ.
fn a_session_keeps_its_number(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut sessions = scene.both_protocols();
    let ids: Vec<_> = sessions.iter_mut().map(|it| it.call(&["CLIENT", "ID"]).integer()).collect();
    for session in &mut sessions {
        assert_eq!(session.call(&["CLIENT", "SETNAME", "kept"]), "+OK");
    }
    for change in Change::ALL {
        use_up_numbers(&scene);
        scene.change(change);
        for (session, id) in sessions.iter_mut().zip(&ids) {
            assert_eq!(session.call(&["CLIENT", "ID"]).integer(), *id, "{change:?}");
            let info = plain(&session.call(&["CLIENT", "INFO"]));
            assert!(info.starts_with(&format!("id={id} ")), "{change:?}: {info}");
            assert!(info.contains(" name=kept "), "{change:?}: {info}");
            session.send_all(&[&["MULTI"], &["CLIENT", "ID"], &["CLIENT", "INFO"], &["EXEC"]]);
            let ran = session.read_n(4).remove(3);
            assert_eq!(ran.items()[0].integer(), *id, "{change:?}");
            assert!(plain(&ran.items()[1]).starts_with(&format!("id={id} ")), "{change:?}");
            let hello = session.call(&["HELLO"]).to_string();
            assert!(hello.contains(&format!(":{id}")), "{change:?}: {hello}");
        }
        scene.recover();
    }
}

/// The text of a bulk string, or of a verbatim one.
fn plain(reply: &Value) -> String {
    let text = reply.text();
    text.strip_prefix("txt:").unwrap_or(&text).to_owned()
}

/// Makes the numbers of the next primary other ones than those of this one.
fn use_up_numbers(scene: &Scene) {
    for _ in 0..9 {
        scene.replica().call(&["PING"]);
    }
}

/// Goal: `CLIENT KILL ID` through Segue, with a number learnt before the move, ends the link of
/// that session and no other; and as no session is closed because of a node, it goes on.
///
/// Method: the victim has an open watch, which is what the loss of a link costs.
fn a_number_names_the_same_session_after_a_move(kind: Kind) {
    let mut scene = Scene::start(kind);
    let (mut victim, mut other, mut admin) = (scene.client(), scene.client(), scene.client());
    let id = victim.call(&["CLIENT", "ID"]).integer().to_string();
    other.call(&["CLIENT", "ID"]);
    for change in Change::ALL {
        use_up_numbers(&scene);
        scene.change(change);
        scene.wait_served();
        for session in [&mut victim, &mut other] {
            assert_eq!(session.call(&["WATCH", "k"]), "+OK");
        }
        assert_eq!(admin.call(&["CLIENT", "KILL", "ID", &id]), ":1", "{change:?}");
        for (session, expected) in [(&mut victim, "(null)"), (&mut other, "[]")] {
            assert_eq!(session.call(&["MULTI"]), "+OK");
            assert_eq!(session.call(&["EXEC"]), expected, "{change:?}");
        }
        scene.recover();
    }
}

/// Goal: a session that asks for its number after others have moved gets one that nobody has.
///
/// Method: several sessions learn their numbers, the primary changes, new sessions ask until the
/// node has used all those numbers again.
fn two_sessions_never_have_the_same_number(kind: Kind) {
    let mut scene = Scene::start(kind);
    let mut sessions: Vec<Client> = (0..30).map(|_| scene.client()).collect();
    let mut ids: Vec<_> = sessions.iter_mut().map(number).collect();
    scene.change(Change::Killed);
    let mut later: Vec<_> = (0..60).map(|_| scene.client()).collect();
    ids.extend(later.iter_mut().map(number));
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    scene.recover();
}

fn number(session: &mut Client) -> i64 {
    session.call(&["CLIENT", "ID"]).integer()
}

/// Goal: `-REDIRECT`, which Valkey answers to clients that said `CLIENT CAPA redirect`, is dealt
/// with by Segue: reads and writes on a node that has just been demoted go to the other.
///
/// Method: change by hand and ask before Segue can know; also a command that waits.
fn a_client_that_understands_redirections_sees_none(kind: Kind) {
    if kind == Kind::Redis {
        return;
    }
    let mut scene = Scene::start(kind);
    let mut session = resp3(scene.client());
    let mut waiter = scene.client();
    for it in [&mut session, &mut waiter] {
        assert_eq!(it.call(&["CLIENT", "CAPA", "redirect"]), "+OK");
    }
    for round in 0..3 {
        waiter.send_all(&[&["BLPOP", "list", "0"]]);
        scene.wait_listed("flags=b", 1);
        let key = format!("k:{round}");
        scene.change(Change::Demoted);
        session.send_all(&[&["GET", &key], &["INCR", &key], &["GET", &key]]);
        let replies: Vec<_> = session.read_n(3).iter().map(Value::to_string).collect();
        assert_eq!(replies, ["(null)", ":1", "1"]);
        assert_eq!(session.call(&["RPUSH", "list", "x"]), ":1");
        assert_eq!(waiter.read(), "[list, x]");
        scene.recover();
    }
    assert_eq!(session.call(&["PING"]), "+PONG");
}
