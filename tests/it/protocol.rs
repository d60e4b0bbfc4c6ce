//! Malformed input: Segue answers byte for byte what the server answers, and closes as it does.

use crate::harness::{Client, Kind, Proxy, Server, Value, encode};
use std::net::SocketAddr;

on_both!(
    malformed_frames_are_answered_as_the_server_does,
    well_formed_oddities_are_answered_as_the_server_does,
    limits_before_authentication_are_the_servers,
    a_zero_byte_where_a_line_is_expected_ends_the_session,
    what_only_one_kind_of_server_accepts_is_refused,
    garbage_harms_nobody,
);

/// Longer than the 64 KiB that a server grants an unfinished line.
const TOO_LONG: usize = 80 * 1024;

/// What Segue says where one kind of server would have gone on.
const STRICTER: [&[u8]; 2] = [
    b"-ERR Protocol error: invalid CRLF in request\r\n",
    b"-ERR Protocol error: unbalanced quotes in request\r\n",
];

/// What is answered to `input` until the peer closes. With `then_finish` the client says that it
/// has nothing more to send; without, the peer must close by itself or the test hangs up loudly.
fn answer(addr: SocketAddr, input: &[u8], then_finish: bool) -> Vec<u8> {
    let mut client = Client::connect(addr).expect("accepted");
    // The peer may close before it has read all; what it answered can still be read.
    let _ = client.try_send(input);
    if then_finish {
        client.finish_sending();
    }
    client.read_to_end()
}

#[track_caller]
fn check_alike(node: &Server, proxy: &Proxy, input: &[u8], then_finish: bool) {
    let direct = answer(node.addr(), input, then_finish);
    let through = answer(proxy.addr(), input, then_finish);
    assert_eq!(
        String::from_utf8_lossy(&through),
        String::from_utf8_lossy(&direct),
        "through Segue (left) and directly (right), for {:?}",
        String::from_utf8_lossy(&input[..input.len().min(120)]),
    );
}

/// As [`check_alike`], but Segue may stop at what only one kind of server takes.
#[track_caller]
fn check_alike_or_stricter(node: &Server, proxy: &Proxy, input: &[u8]) {
    let through = answer(proxy.addr(), input, true);
    let Some(before) = STRICTER.iter().find_map(|it| through.strip_suffix(*it)) else {
        return check_alike(node, proxy, input, true);
    };
    let direct = answer(node.addr(), input, true);
    assert!(direct.starts_with(before), "{:?}", String::from_utf8_lossy(input));
}

/// Goal: every protocol error has the server's own text, after the replies of what came before,
/// and then the connection closes; what follows is not looked at.
///
/// Method: the same bytes to the node and to Segue; both must close by themselves.
fn malformed_frames_are_answered_as_the_server_does(kind: Kind) {
    let node = Server::primary(kind);
    let proxy = Proxy::start(&[&node]);
    let long = |head: &str, byte: &str| format!("{head}{}", byte.repeat(TOO_LONG)).into_bytes();
    let inputs: Vec<Vec<u8>> = vec![
        b"*x\r\n".to_vec(),
        b"*01\r\n".to_vec(),
        b"*+1\r\n".to_vec(),
        b"* 1\r\n".to_vec(),
        b"*1 \r\n".to_vec(),
        b"*2147483648\r\n".to_vec(),
        b"*99999999999999999999\r\n".to_vec(),
        b"*1\r\nPING\r\n".to_vec(),
        b"*1\r\n:4\r\n".to_vec(),
        b"*2\r\n$4\r\nECHO\r\n*1\r\n".to_vec(),
        b"*1\r\n\r\n".to_vec(),
        b"*1\r\n$-1\r\n".to_vec(),
        b"*1\r\n$x\r\n".to_vec(),
        b"*1\r\n$04\r\nPING\r\n".to_vec(),
        b"*1\r\n$4x\r\nPING\r\n".to_vec(),
        b"*1\r\n$536870913\r\n".to_vec(),
        b"*1\r\n$99999999999999999999\r\n".to_vec(),
        long("*", "1"),
        long("*1\r\n$", "1"),
        long("", "x"),
        b"GET \"k\r\n".to_vec(),
        b"GET 'k\r\n".to_vec(),
        b"POST / HTTP/1.1\r\n".to_vec(),
        b"Host: localhost\r\n".to_vec(),
        [encode(&["PING"]), encode(&["ECHO", "first"]), b"*x\r\nPING\r\n".to_vec()].concat(),
        [encode(&["SET", "k", "v"]), encode(&["GET", "k"]), b"GET 'k\r\nGET k\r\n".to_vec()]
            .concat(),
    ];
    for input in inputs {
        check_alike(&node, &proxy, &input, false);
    }
    if kind == Kind::Valkey {
        check_alike(&node, &proxy, b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n", false);
    }
    // A browser. The server drops the reply to its first line, now and then: only the end counts.
    node.call(&["SET", "hosts", "0"]);
    answer(proxy.addr(), b"GET / HTTP/1.1\r\nHost: segue\r\n\r\nINCR hosts\r\n", false);
    assert_eq!(node.call(&["GET", "hosts"]), "0");
    assert_eq!(proxy.client().call(&["PING"]), "+PONG");
}

/// Goal: what a server tolerates, Segue tolerates, with the same answer.
///
/// Method: as above, but the client ends the connection.
fn well_formed_oddities_are_answered_as_the_server_does(kind: Kind) {
    let node = Server::primary(kind);
    let proxy = Proxy::start(&[&node]);
    let name = "N".repeat(300);
    let inputs: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\r\n\r\nPING\r\n".to_vec(),
        b"PING\nPING\r\n".to_vec(),
        b"  PING  \r\n".to_vec(),
        b"*0\r\nPING\r\n".to_vec(),
        b"*-1\r\nPING\r\n".to_vec(),
        b"*-10\r\n*1\r\n$4\r\nping\r\n".to_vec(),
        b"*1\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n".to_vec(),
        b"\"PING\"\r\n'PING'\r\n".to_vec(),
        b"ECHO \"a\\n\\r\\t\\b\\a\\x41\\q\\\"\"\r\n".to_vec(),
        b"ECHO 'a\\'b\\n'\r\n".to_vec(),
        b"ECHO ''\r\nECHO \"\"\r\n".to_vec(),
        b"SET inline \"v\"\r\nGET inline\r\nDEL inline\r\n".to_vec(),
        b"NOSUCH one two\r\nGET\r\nGET a b\r\nCLIENT\r\nCLIENT NOSUCH\r\nOBJECT nosuch k\r\n"
            .to_vec(),
        [encode(&[&name, &name, &name]), encode(&["PING"])].concat(),
        encode(&["two\r\nlines", "three\r\nmore"]),
        b"*1\r\n$6\r\n\xff\xfe\x00\r\n\x80\r\n".to_vec(),
        b"*3\r\n$3\r\nSET\r\n$1\r\nk".to_vec(),
        b"*3\r\n$3\r\nSET\r\n".to_vec(),
        b"*2\r\n$4\r\nEC".to_vec(),
        b"PIN".to_vec(),
        b"*1".to_vec(),
        encode(&["HELLO", "4"]),
        encode(&["HELLO", "x"]),
        [encode(&["SELECT", "99"]), encode(&["SELECT", "x"]), encode(&["PING"])].concat(),
        [encode(&["PING"]), encode(&["QUIT"]), encode(&["PING"])].concat(),
    ];
    for input in inputs {
        check_alike(&node, &proxy, &input, true);
    }
}

/// Goal: before a client has authenticated, the server's stricter limits hold.
///
/// Method: as above, against a node with a password; Segue has it, the client does not.
fn limits_before_authentication_are_the_servers(kind: Kind) {
    let mut node = Server::reserve(kind, &["--requirepass", "secret"]);
    node.log_in_with("secret");
    node.start();
    let proxy = Proxy::over(&[&node]).with_password("secret").start();
    proxy.wait_ready();
    for input in [b"*11\r\n".to_vec(), b"*1\r\n$16385\r\n".to_vec()] {
        check_alike(&node, &proxy, &input, false);
    }
    for input in [
        b"PING\r\nGET k\r\n".to_vec(),
        b"NOSUCH\r\nGET\r\n".to_vec(),
        [encode(&["AUTH", "wrong"]), encode(&["GET", "k"])].concat(),
        [encode(&["HELLO", "3"]), encode(&["GET", "k"])].concat(),
        [encode(&["AUTH", "secret"]), encode(&["GET", "k"])].concat(),
        encode(&["QUIT"]),
    ] {
        check_alike(&node, &proxy, &input, true);
    }
}

/// Goal: a deviation on purpose. A group may have both kinds of server, one after the other, so a
/// frame that only one of them takes is refused, with the words of the one that refuses it.
///
/// Method: Redis skips what follows a payload without looking, Valkey joins quoted words; neither
/// is forwarded.
fn what_only_one_kind_of_server_accepts_is_refused(kind: Kind) {
    let node = Server::primary(kind);
    let proxy = Proxy::start(&[&node]);
    let [line_end, quotes] = STRICTER;
    assert_eq!(answer(proxy.addr(), b"*1\r\n$4\r\nPINGxxINCR n\r\n", false), line_end);
    assert_eq!(answer(proxy.addr(), b"*1\r\n$4\rxPING\r\nINCR n\r\n", false), line_end);
    assert_eq!(answer(proxy.addr(), b"ECHO \"a\"b\r\nINCR n\r\n", false), quotes);
    assert_eq!(answer(proxy.addr(), b"GET \"k\\\"\r\nINCR n\r\n", false), quotes);
    assert_eq!(node.call(&["EXISTS", "n"]), ":0");
}

/// Goal: a deviation on purpose. A zero byte hides the end of a line from the servers' scanners, which
/// then wait for 64 KiB of a line that cannot end; Segue says so at once and closes.
///
/// Method: a TLS greeting and lines with such a byte; nothing of them reaches the node.
fn a_zero_byte_where_a_line_is_expected_ends_the_session(kind: Kind) {
    let node = Server::primary(kind);
    let proxy = Proxy::start(&[&node]);
    let inputs: [&[u8]; 4] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PI\x00NG\r\nINCR n\r\n",
        b"*1\r\n\x00\r\nINCR n\r\n",
        b"*1\x00\r\n$4\r\nPING\r\nINCR n\r\n",
    ];
    for input in inputs {
        let text = String::from_utf8_lossy(&answer(proxy.addr(), input, false)).into_owned();
        assert!(text.starts_with("-ERR Protocol error: ") && text.ends_with("\r\n"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    assert_eq!(node.call(&["EXISTS", "n"]), ":0");
}

/// Goal: no bytes whatever harm another session or make Segue say something else than the server.
///
/// Method: a fixed sequence of blobs, half of them noise, half near the protocol, to both, beside
/// a session that goes on working.
fn garbage_harms_nobody(kind: Kind) {
    const NEAR: &[u8] = b"**$$::+-\r\n\r\n\r\n 0123456PINGECHO\"'\\x";
    let node = Server::primary(kind);
    let proxy = Proxy::start(&[&node]);
    let mut client = proxy.client();
    let mut state = 42_u64;
    let mut draw = move || {
        // Knuth's MMIX generator; its high bits are the good ones.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for round in 0..150 {
        let length = 1 + draw() % 400;
        let blob: Vec<u8> = (0..length)
            // Zero bytes have a test of their own; Valkey loses 0xff from inline words.
            .map(|_| {
                if round % 2 == 0 { draw() as u8 } else { NEAR[draw() % NEAR.len()] }.clamp(1, 254)
            })
            .collect();
        check_alike_or_stricter(&node, &proxy, &blob);
        assert_eq!(client.call(&["ECHO", &round.to_string()]), round.to_string().as_str());
    }
    assert_eq!(client.call(&["DBSIZE"]), Value::Integer(0).to_string().as_str());
}
