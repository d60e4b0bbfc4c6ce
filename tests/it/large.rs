//! Values larger than any buffer.

use crate::harness::{Client, Group, Kind, Proxy, Server, eventually};
use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;

on_both!(
    a_64_mib_value_passes_both_ways_in_bounded_memory,
    a_long_pipeline_of_large_values_stays_bounded,
    a_large_write_cut_by_a_failover_did_not_run,
);

const VALUE_BYTES: usize = 64 * 1024 * 1024;

/// What a session may cost beyond its limits (`max_in_flight` and `max_query_buffer` are one MiB
/// each by default): buffers of both directions, and what the allocator keeps.
const GROWTH_KIB_MAX: u64 = 12 * 1024;

/// Goal: a 64 MiB value is streamed, not gathered.
///
/// Method: write it, read it back, compare every byte, at the node by its digest; Segue's peak
/// memory stays near what it was.
fn a_64_mib_value_passes_both_ways_in_bounded_memory(kind: Kind) {
    let node = Server::primary(kind);
    let proxy = Proxy::start(&[&node]);
    // A node that takes so much at once may miss a probe.
    proxy.announce_failover();
    let mut client = proxy.client();
    assert_eq!(client.call(&["PING"]), "+PONG");
    let before = proxy.peak_kib();
    let value = pattern(VALUE_BYTES);

    client.send(format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${VALUE_BYTES}\r\n").as_bytes());
    client.send(&value);
    client.send(b"\r\n");
    assert_eq!(client.read(), "+OK");
    let there = crate::harness::Value::Bulk(value);
    client.send_all(&[&["GET", "big"], &["STRLEN", "big"]]);
    assert!(client.read() == there, "the value came back changed");
    assert_eq!(client.read().integer(), VALUE_BYTES as i64);
    assert!(node.call(&["GET", "big"]) == there, "the node has another value");

    let grown = proxy.peak_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "grew by {grown} KiB for one value of 65536 KiB");
}

/// Bytes in which no two stretches are alike soon, so that a lost or repeated chunk shows.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Goal: the bound holds for many large commands sent at once, too.
///
/// Method: 64 pipelined writes of a MiB each from a thread that does not wait, replies read here.
fn a_long_pipeline_of_large_values_stays_bounded(kind: Kind) {
    const COUNT: usize = 64;
    let node = Server::primary(kind);
    let proxy = Proxy::start(&[&node]);
    proxy.announce_failover();
    let mut stream = TcpStream::connect(proxy.addr()).expect("segue accepts");
    stream.set_read_timeout(Some(crate::harness::PATIENCE)).expect("a socket");
    let mut writing = stream.try_clone().expect("a socket");
    let before = proxy.peak_kib();
    let value = "v".repeat(1024 * 1024);
    let writer = std::thread::spawn(move || {
        for n in 0..COUNT {
            let command = crate::harness::encode(&["SET", &format!("k:{n}"), &value]);
            writing.write_all(&command).expect("segue takes it");
        }
    });
    let mut replies = vec![0; COUNT * b"+OK\r\n".len()];
    BufReader::new(&mut stream).read_exact(&mut replies).expect("every reply");
    writer.join().expect("the writer ends");
    assert_eq!(replies, b"+OK\r\n".repeat(COUNT));
    assert_eq!(node.call(&["DBSIZE"]).integer(), COUNT as i64);
    let grown = proxy.peak_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "grew by {grown} KiB");
}

/// Goal: a write too large to be kept, of which a part was sent when the primary died, is refused
/// as not executed (no server runs half a command); the rest of it is swallowed, and the session
/// goes on in order.
///
/// Method: send half of it, kill the primary, send the rest and one more command.
fn a_large_write_cut_by_a_failover_did_not_run(kind: Kind) {
    let mut group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let mut client: Client = proxy.client();
    assert_eq!(client.call(&["SET", "big", "small"]), "+OK");
    group.wait_in_sync();
    let half = vec![b'x'; VALUE_BYTES / 4];
    let header = format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${}\r\n", half.len() * 2);
    client.send(header.as_bytes());
    client.send(&half);
    eventually("the node gets some of it", || {
        let list = group.primary.call(&["CLIENT", "LIST"]).text();
        // `multi-mem` and `qbuf` differ by server; `argv-mem` and `tot-mem` are in both.
        let held = list.split("tot-mem=").skip(1).filter_map(|it| it.split(' ').next());
        held.filter_map(|it| it.parse::<usize>().ok()).any(|it| it > 1024 * 1024).then_some(())
    });

    group.primary.kill();
    client.send(&half);
    client.send(b"\r\n");
    client.send_all(&[&["GET", "big"], &["SET", "next", "fine"]]);
    let reply = client.read();
    assert!(reply.to_string().starts_with("-TRYAGAIN Segue: "), "{reply}");
    assert_eq!(client.read(), "small");
    assert_eq!(client.read(), "+OK");
    assert_eq!(group.replicas[0].call(&["GET", "next"]), "fine");
}
