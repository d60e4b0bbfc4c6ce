//! Clients that read or write slowly.

use crate::harness::{Group, Kind, Proxy, Server, encode, eventually};

on_both!(
    a_reader_that_does_not_read_costs_no_memory,
    a_writer_of_single_bytes_is_served,
    a_command_that_spans_a_failover_is_served_once,
);

const GROWTH_KIB_MAX: u64 = 12 * 1024;
const VALUE_BYTES: usize = 64 * 1024;
const REPLIES: usize = 600;

/// Goal: a client that asks for much and reads nothing is held back at the node, not gathered in
/// Segue; others are served meanwhile; once it reads, it gets every reply in order.
///
/// Method: pipeline 37 MiB of replies and wait until the node's own output buffer fills up.
fn a_reader_that_does_not_read_costs_no_memory(kind: Kind) {
    let node = Server::primary(kind);
    let value = "v".repeat(VALUE_BYTES);
    node.call(&["SET", "big", &value]);
    let proxy = Proxy::start(&[&node]);
    proxy.announce_failover();
    let mut slow = proxy.client();
    // With this it has a connection of its own; what happens on a shared one is in `shared`.
    assert_eq!(slow.call(&["CLIENT", "NO-EVICT", "ON"]), "+OK");
    assert_eq!(slow.call(&["CLIENT", "SETNAME", "slow"]), "+OK");
    let before = proxy.peak_kib();

    let commands: Vec<_> = (0..REPLIES)
        .flat_map(|n| [encode(&["ECHO", &n.to_string()]), encode(&["GET", "big"])].concat())
        .collect();
    slow.send(&commands);
    let stuck = || -> Option<u64> {
        let list = node.call(&["CLIENT", "LIST"]).text();
        let line = list.lines().find(|it| it.contains("name=slow"))?.to_owned();
        let field = line.split(' ').find_map(|it| it.strip_prefix("omem="))?;
        field.parse().ok().filter(|it| *it > 0)
    };
    let mut last = eventually("the node is held back", stuck);
    // Settled when two looks in a row see the same.
    eventually("nothing moves any more", || {
        let now = stuck()?;
        std::mem::replace(&mut last, now).eq(&now).then_some(())
    });
    let grown = proxy.peak_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "grew by {grown} KiB");
    assert_eq!(proxy.client().call(&["STRLEN", "big"]).integer(), VALUE_BYTES as i64);

    for n in 0..REPLIES {
        assert_eq!(slow.read(), n.to_string().as_str());
        assert!(slow.read() == value.as_str(), "reply {n} is another");
    }
    assert_eq!(slow.call(&["PING"]), "+PONG");
}

/// Goal: framing does not depend on how bytes arrive.
///
/// Method: commands of every shape, one byte a write.
fn a_writer_of_single_bytes_is_served(kind: Kind) {
    let node = Server::primary(kind);
    let proxy = Proxy::start(&[&node]);
    let mut client = proxy.client();
    let mut bytes = encode(&["SET", "k", "a\r\nb"]);
    bytes.extend(b"GET k\r\n*0\r\n\r\nECHO \"in\\x41line\"\n");
    bytes.extend(encode(&["MGET", "k", "none", "k"]));
    for byte in bytes {
        client.send(&[byte]);
    }
    assert_eq!(client.read(), "+OK");
    assert_eq!(client.read(), "a\r\nb");
    assert_eq!(client.read(), "inAline");
    assert_eq!(client.read(), "[a\r\nb, (null), a\r\nb]");
    assert_eq!(node.call(&["GET", "k"]), "a\r\nb");
}

/// Goal: a command whose first half arrived before the failover and whose second half arrives
/// after it runs once, on the new primary.
///
/// Method: send half a command, kill, send the other half byte by byte.
fn a_command_that_spans_a_failover_is_served_once(kind: Kind) {
    let mut group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let mut client = proxy.client();
    assert_eq!(client.call(&["RPUSH", "list", "one"]), ":1");
    group.wait_in_sync();
    let command = encode(&["RPUSH", "list", "two"]);
    let (first, second) = command.split_at(command.len() / 2);
    client.send(first);

    group.primary.kill();
    let promoted = group.promoted();
    for byte in second {
        client.send(&[*byte]);
    }
    assert_eq!(client.read(), ":2");
    assert_eq!(promoted.call(&["LRANGE", "list", "0", "-1"]), "[one, two]");
}
