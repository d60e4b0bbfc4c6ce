//! What a node has said before its epoch ends reaches the client, whether or not anybody has been
//! told that it is there.

use super::session;
use super::upstream::shared::stage_test::{STALL_MIN, gate, pair, route};
use crate::net::Stream;
use crate::pure::topology::{Epoch, Gate, Route};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

const SUBSCRIBE: &[u8] = b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n";
const CONFIRMED: &[u8] = b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";
const MESSAGE: &[u8] = b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n";
const INCR: &[u8] = b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";

async fn is_read(stream: &mut TcpStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, expected);
}

/// A client asks `request`, and then its node's epoch ends in the very moment in which `words` have
/// come, without a turn of the loop in between; before that, the node answers `first`.
async fn last_words(request: &[u8], first: &[u8], words: &[u8]) {
    let test = async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let gate = gate(addr, STALL_MIN);
        let (mut client, near) = pair().await;
        spawn_local(session::serve(Rc::clone(&gate), 1, Stream::Tcp(near), None));
        client.write_all(request).await.unwrap();
        let (mut node, _) = listener.accept().await.unwrap();
        is_read(&mut node, request).await;
        node.write_all(first).await.unwrap();
        is_read(&mut client, first).await;
        node.writable().await.unwrap();

        assert_eq!(node.try_write(words).unwrap(), words.len());
        let held = Route { version: 2, epoch: Epoch(2), gate: Gate::Held, ..route(addr) };
        gate.set_route(held);
        is_read(&mut client, words).await;
    };
    LocalSet::new().run_until(timeout(PATIENCE, test)).await.expect("it was not heard");
}

#[tokio::test]
async fn the_last_message_of_a_subscriber_is_heard() {
    last_words(SUBSCRIBE, CONFIRMED, MESSAGE).await;
}

#[tokio::test]
async fn the_last_answer_on_a_shared_connection_is_heard() {
    last_words(INCR, b"", b":7\r\n").await;
}
