//! Sessions that share a connection, and one among them that asks for more than it takes.

use crate::harness::{Client, Kind, Proxy, Server, encode, eventually};
use serde_json::json;

on_both!(
    a_large_reply_that_nobody_reads_holds_nobody_else_up,
    who_asks_for_large_replies_gets_a_connection_of_its_own,
    who_waits_behind_a_reader_that_leaves_is_served,
    what_nobody_may_share_is_not_shared,
    a_large_reply_may_end_like_a_push,
    a_reader_that_leaves_too_much_unread_is_ended,
    a_pipeline_of_100_000_commands_starves_nobody,
);

/// What Segue may grow by while a reply of [`LARGE_BYTES`] waits for its reader.
const GROWTH_KIB_MAX: u64 = 12 * 1024;
const LARGE_BYTES: usize = 64 * 1024 * 1024;

fn start(node: &Server) -> Proxy {
    let setup = Proxy::over(&[node]).with(|it| it["sessions"]["upstream"] = json!("shared"));
    let proxy = setup.start();
    proxy.wait_ready();
    // A node that sends so much at once may miss a probe.
    proxy.announce_failover();
    proxy
}

/// Connections of clients at `node` that are not Segue's own, nor the one that asks.
fn connections(node: &Server) -> usize {
    let list = node.call(&["CLIENT", "LIST"]).text();
    list.lines().filter(|it| !it.contains("name=segue") && !it.contains("cmd=client")).count()
}

/// Bytes in the output buffers of `node`.
fn unread(node: &Server) -> usize {
    let list = node.call(&["CLIENT", "LIST"]).text();
    let waiting = list.split("omem=").skip(1).filter_map(|it| it.split(' ').next());
    waiting.filter_map(|it| it.parse::<usize>().ok()).sum()
}

/// Settled when five looks in a row see the same.
fn wait_held_back(node: &Server) {
    let (mut last, mut same) = (0, 0);
    eventually("the node is held back", || {
        let waiting = unread(node);
        same = if waiting > 0 && waiting == last { same + 1 } else { 0 };
        last = waiting;
        (same == 5).then_some(())
    });
}

/// Goal: the first large reply of a session comes over the shared connection; while its client
/// reads nothing it is not gathered, and others are served, by another connection; then the client
/// gets all of it.
///
/// Method: ask for 64 MiB, do not read, and have others work meanwhile.
fn a_large_reply_that_nobody_reads_holds_nobody_else_up(kind: Kind) {
    let node = Server::primary(kind);
    let value = "v".repeat(LARGE_BYTES);
    node.call(&["SET", "large", &value]);
    let proxy = start(&node);
    let mut others: Vec<Client> = (0..3).map(|_| proxy.client()).collect();
    for other in &mut others {
        assert_eq!(other.call(&["PING"]), "+PONG");
    }
    let before = proxy.peak_kib();
    let mut slow = proxy.client();
    slow.send_all(&[&["GET", "large"], &["ECHO", "behind"]]);
    // What is sent before that waits behind the large reply.
    wait_held_back(&node);

    for (n, other) in others.iter_mut().enumerate() {
        for round in 0..10 {
            let key = format!("k:{n}:{round}");
            assert_eq!(other.call(&["SET", &key, "v"]), "+OK");
            assert_eq!(other.call(&["GET", &key]), "v");
        }
    }
    assert_eq!(proxy.client().call(&["PING"]), "+PONG", "somebody new");
    let grown = proxy.peak_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "grew by {grown} KiB");

    assert!(slow.read() == value.as_str(), "the value changed");
    assert_eq!(slow.read(), "behind");
    // From here on it has a connection of its own.
    slow.send_all(&[&["GET", "large"], &["ECHO", "again"]]);
    assert!(slow.read() == value.as_str(), "the value changed");
    assert_eq!(slow.read(), "again");
}

/// Goal: a session whose reply was large, and was read, shares no connection from then on.
///
/// Method: two sessions on one connection; one of them asks for 256 KiB, again and again.
fn who_asks_for_large_replies_gets_a_connection_of_its_own(kind: Kind) {
    let node = Server::primary(kind);
    let value = "v".repeat(256 * 1024);
    node.call(&["SET", "large", &value]);
    let proxy = start(&node);
    let (mut small, mut large) = (proxy.client(), proxy.client());
    assert_eq!(small.call(&["PING"]), "+PONG");
    assert!(large.call(&["GET", "large"]) == value.as_str(), "the value changed");
    assert_eq!(connections(&node), 1, "the first comes over the shared one");
    for _ in 0..3 {
        assert!(large.call(&["GET", "large"]) == value.as_str(), "the value changed");
        assert_eq!(small.call(&["ECHO", "small"]), "small");
        assert_eq!(connections(&node), 2);
    }
}

/// Goal: replies that stand behind a large one are dealt out as soon as its reader is gone.
///
/// Method: a write that the node holds up keeps everything in order until all is in flight; then the
/// large reply comes, nobody reads it, and its client hangs up.
fn who_waits_behind_a_reader_that_leaves_is_served(kind: Kind) {
    let node = Server::primary(kind);
    node.call(&["SET", "large", &"v".repeat(LARGE_BYTES)]);
    let proxy = start(&node);
    let in_flight = |requests: f64| {
        let is_so = || proxy.metric("segue_in_flight_requests").eq(&requests).then_some(());
        eventually("all is in flight", is_so);
    };
    let mut others: Vec<Client> = (0..3).map(|_| proxy.client()).collect();
    let mut slow = proxy.client();
    for client in others.iter_mut().chain([&mut slow]) {
        assert_eq!(client.call(&["PING"]), "+PONG");
    }
    assert_eq!(node.call(&["CLIENT", "PAUSE", "60000", "WRITE"]), "+OK");
    slow.send_all(&[&["SET", "k", "v"], &["GET", "large"]]);
    in_flight(2.0);
    for other in &mut others {
        other.send(&encode(&["ECHO", "behind"]));
    }
    in_flight(5.0);
    assert_eq!(node.call(&["CLIENT", "UNPAUSE"]), "+OK");
    wait_held_back(&node);
    assert!(others.iter().all(Client::is_silent), "it waits behind the large reply");
    drop(slow);
    for other in &mut others {
        assert_eq!(other.read(), "behind");
    }
}

/// Goal: a session that waits for a shared connection, and meanwhile gets something that needs its
/// own, takes its own: a transaction of one is not joined by commands of others.
///
/// Method: freeze the node, so that a new shared connection stays in its greeting; one session then
/// begins a transaction behind a read, another one sends a read.
fn what_nobody_may_share_is_not_shared(kind: Kind) {
    let node = Server::primary(kind);
    let setup = Proxy::over(&[&node]).with(|it| {
        it["sessions"]["upstream"] = json!("shared");
        // The gate stays open while the node is frozen.
        it["health"]["suspect_after"] = json!("20s");
        it["health"]["down_after"] = json!("30s");
    });
    let proxy = setup.start();
    proxy.wait_ready();
    proxy.announce_failover();
    let wait_held = |commands: f64| {
        let is_so = || proxy.metric("segue_hold_commands").eq(&commands).then_some(());
        eventually("they wait for a connection", is_so);
    };
    let (mut one, mut other) = (proxy.client(), proxy.client());
    for client in [&mut one, &mut other] {
        // Nobody has a shared connection of this database yet.
        assert_eq!(client.call(&["SELECT", "1"]), "+OK");
    }
    node.freeze();
    one.send(&encode(&["GET", "k"]));
    wait_held(1.0);
    one.send(&encode(&["MULTI"]));
    wait_held(2.0);
    other.send(&encode(&["ECHO", "mine"]));
    wait_held(3.0);
    node.thaw();
    assert_eq!(one.read(), "(null)");
    assert_eq!(one.read(), "+OK");
    assert_eq!(other.read(), "mine");
    assert_eq!(one.call(&["SET", "k", "v"]), "+QUEUED");
    assert_eq!(other.call(&["ECHO", "again"]), "again");
    assert_eq!(one.call(&["EXEC"]), "[+OK]");
}

/// Goal: each session gets its own replies, whatever is in a large one and wherever it is cut.
///
/// Method: values that begin a push at every byte; others call meanwhile, on the same connection.
fn a_large_reply_may_end_like_a_push(kind: Kind) {
    const ROUNDS: usize = 20;
    let node = Server::primary(kind);
    let value = ">".repeat(300_000);
    node.call(&["SET", "pushes", &value]);
    let proxy = start(&node);
    let mut other = proxy.client();
    assert_eq!(other.call(&["PING"]), "+PONG");
    for round in 0..ROUNDS {
        // After its first large reply a session has a connection of its own.
        let mut reader = proxy.client();
        let round = round.to_string();
        reader.send_all(&[&["GET", "pushes"], &["ECHO", &round]]);
        other.send(&encode(&["ECHO", &format!("other {round}")]));
        assert!(reader.read() == value.as_str(), "the value changed");
        assert_eq!(reader.read(), round.as_str());
        assert_eq!(other.read(), format!("other {round}").as_str());
    }
}

/// Goal: what one session leaves unread is bounded, whatever it asks for: beyond the limit it is
/// ended, with the reason counted; others are served before and after.
///
/// Method: ask for 75 MiB in replies that are each too small to pass as they come.
fn a_reader_that_leaves_too_much_unread_is_ended(kind: Kind) {
    let node = Server::primary(kind);
    node.call(&["SET", "some", &"v".repeat(48 * 1024)]);
    let proxy = start(&node);
    let mut other = proxy.client();
    assert_eq!(other.call(&["PING"]), "+PONG");
    let before = proxy.peak_kib();
    let mut slow = proxy.client();
    slow.send(&encode(&["GET", "some"]).repeat(2_200));
    eventually("the slow reader is ended", || {
        assert_eq!(other.call(&["ECHO", "here"]), "here");
        let ended = proxy.metric("segue_sessions_closed_total{reason=\"slow_reader\"}");
        (ended > 0.0).then_some(())
    });
    let grown = proxy.peak_kib().saturating_sub(before);
    // A queue of bytes doubles as it grows.
    assert!(grown < 2 * 64 * 1024 + GROWTH_KIB_MAX, "grew by {grown} KiB");
    assert_eq!(other.call(&["PING"]), "+PONG");
    assert_eq!(connections(&node), 1, "the shared connection is still the same");
}

/// Goal: a session with very much to do takes turns with others.
///
/// Method: one sends 100,000 commands at once, long enough to last for many round trips; meanwhile
/// another makes 20 calls, of which the last is answered before the 100,000 are.
fn a_pipeline_of_100_000_commands_starves_nobody(kind: Kind) {
    const COMMANDS: usize = 100_000;
    let node = Server::primary(kind);
    let proxy = start(&node);
    let mut other = proxy.client();
    assert_eq!(other.call(&["PING"]), "+PONG");
    let mut busy = proxy.client();
    let mut writing = busy.writer();
    let writer = std::thread::spawn(move || {
        use std::io::Write as _;
        let request = encode(&["RPUSH", "busy", &"v".repeat(512)]);
        writing.write_all(&request.repeat(COMMANDS)).expect("segue takes it");
    });
    assert_eq!(busy.read(), ":1");
    for n in 1..=20 {
        assert_eq!(other.call(&["INCR", "other"]).integer(), n);
    }
    let done = other.call(&["LLEN", "busy"]).integer();
    assert!(done < COMMANDS as i64, "the other waited until all was done");
    for n in 2..=COMMANDS {
        assert_eq!(busy.read().integer(), n as i64);
    }
    writer.join().expect("the writer ends");
}
