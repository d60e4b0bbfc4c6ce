//! What the request scanner accepts, where it sees the end, and what it says otherwise.
//!
//! The rows of refused requests were sent to redis-server 7.0.15 and valkey-server 9.1.2;
//! where only one of them refuses, the row says so.

use super::*;
use crate::pure::resp::write;
use proptest::{collection::vec, prelude::*};

/// Scans `input` in pieces of `size` bytes.
fn scan_in(size: usize, input: &[u8]) -> Scan {
    let mut scanner = Scanner::new(Limits::DEFAULT);
    let mut end = 0;
    loop {
        end = (end + size).min(input.len());
        let found = scanner.scan(&input[..end]);
        if found != Scan::Partial || end == input.len() {
            return found;
        }
    }
}

/// Whole, byte by byte, and in threes: always the same.
#[track_caller]
fn check(input: &[u8], expected: Scan) {
    for size in [usize::MAX / 2, 1, 3] {
        assert_eq!(scan_in(size, input), expected, "{} by {size}", input.escape_ascii());
    }
}

#[track_caller]
fn frame(input: &str) {
    check(input.as_bytes(), Scan::Frame { len: input.len() });
    let followed = format!("{input}*1\r\n$4\r\nPING\r\n");
    check(followed.as_bytes(), Scan::Frame { len: input.len() });
    let cut = &input.as_bytes()[..input.len() - 1];
    check(cut, Scan::Partial);
}

#[track_caller]
fn ignored(input: &str) {
    check(input.as_bytes(), Scan::Ignored { len: input.len() });
}

#[track_caller]
fn refused(input: impl AsRef<[u8]>, text: &str) {
    let input = input.as_ref();
    let Scan::Error(error) = scan_in(usize::MAX / 2, input) else {
        panic!("{} is accepted", input.escape_ascii());
    };
    let expected =
        if text.is_empty() { String::new() } else { format!("-ERR Protocol error: {text}\r\n") };
    assert_eq!(String::from_utf8_lossy(&error.reply()), expected, "{}", input.escape_ascii());
    check(input, Scan::Error(error));
}

#[test]
fn finds_the_end_of_arrays() {
    frame("*1\r\n$4\r\nPING\r\n");
    frame("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    frame("*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n");
    frame("*1\r\n$0\r\n\r\n");
    frame("*2\r\n$4\r\nECHO\r\n$12\r\n*1\r\n$4\r\nPING\r\n");
    frame("*1\r\n$4\r\nHOST\r\n");
    frame("*1\r\n$6\r\nPOSTAL\r\n");
    frame("*1\r\n$6\r\nHOST:x\r\n");
    // Only as a command is it an attack.
    frame("*2\r\n$4\r\nECHO\r\n$4\r\nPOST\r\n");
    frame("ECHO host:\r\n");
}

#[test]
fn finds_the_end_of_lines() {
    frame("PING\r\n");
    frame("PING\n");
    frame("PING\r\r\n");
    frame("PING\rX\n");
    frame("ECHO \"a b\"\r\n");
    frame("$4\r\n");
    frame("GET / HTTP/1.1\r\n");
}

#[test]
fn ignores_what_servers_ignore() {
    for input in ["\r\n", "\n", "  \r\n", "\r\r\n", "\t\x0b\x0c\n"] {
        ignored(input);
    }
    for input in ["*0\r\n", "*-1\r\n", "*-10\r\n", "*-9223372036854775808\r\n"] {
        ignored(input);
    }
}

#[test]
fn refuses_counts_in_the_words_of_the_servers() {
    for count in ["", "-", "-0", "00", "01", "+1", " 1", "1 ", "a", "1\n$4\nPING\n"] {
        refused(format!("*{count}\r\n"), "invalid multibulk length");
    }
    check(b"*2147483647\r\n", Scan::Partial);
    for count in ["2147483648", "-9223372036854775809", "99999999999999999999"] {
        refused(format!("*{count}\r\n"), "invalid multibulk length");
    }
}

#[test]
fn refuses_lengths_in_the_words_of_the_servers() {
    for len in ["", "-1", "-0", "04", "+4", " 4", "4 ", "x", "9223372036854775808"] {
        refused(format!("*1\r\n${len}\r\n"), "invalid bulk length");
    }
    check(b"*1\r\n$536870912\r\n", Scan::Partial);
    refused("*1\r\n$536870913\r\n", "invalid bulk length");
    refused("*1\r\n:4\r\nPING\r\n", "expected '$', got ':'");
    refused("*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'");
    refused("*1\r\n\r\n", "expected '$', got ' '");
    refused("*1\r\n\n\r\n", "expected '$', got ' '");
    refused("*1\r\n\0\r\n", "expected '$', got '\0'");
    refused("*1\r\nX1\rY", "expected '$', got 'X'");
    // Not before the line has ended.
    for input in ["*1\r\nX", "*1\r\nX1\r", "*1\r\n\r"] {
        check(input.as_bytes(), Scan::Partial);
    }
}

/// Valkey 9.1 alone: Redis 7.0 takes any byte in these places.
#[test]
fn refuses_line_ends_that_redis_would_not_look_at() {
    for input in [
        "*1\rX$4\r\nPING\r\n",
        "*0\rX",
        "*a\rX",
        "*1\r\n$4\rXPING\r\n",
        "*1\r\n$4\r\nPINGxx",
        "*1\r\n$4\r\nPING\rX",
        "*1\r\n$4\r\nPINGX\n",
        "*1\r\n$4\r\nPING\n\n",
    ] {
        refused(input, "invalid CRLF in request");
    }
}

#[test]
fn refuses_quotes_and_nul_in_lines() {
    refused("ECHO \"a\r\n", "unbalanced quotes in request");
    refused("ECHO 'a'b c\r\n", "unbalanced quotes in request");
    // The servers wait for 64 KiB first, because the line end is hidden from them.
    refused("PI\0NG\r\n", "too big inline request");
    refused("\0", "too big inline request");
}

#[test]
fn closes_without_a_word_on_browsers() {
    for input in ["POST / HTTP/1.1\r\n", "Host: localhost\r\n", "\"post\"\n"] {
        refused(input, "");
    }
    refused("*1\r\n$4\r\nPoSt", "");
    refused("*2\r\n$5\r\nhost:\r\n$1\r\na\r\n", "");
    refused("*1\r\n$6\r\nPOST\0x", "");
    refused("*1\r\n$7\r\nHOST:\0x", "");
}

#[test]
fn limits_lines() {
    let line = |len: usize| vec![b'a'; len];
    let ended = |len: usize| [line(len), b"\n".to_vec()].concat();
    let is = |input: &[u8], expected| assert_eq!(scan_in(4_096, input), expected);
    is(&line(LINE_MAX), Scan::Partial);
    is(&ended(LINE_MAX), Scan::Frame { len: LINE_MAX + 1 });
    is(&line(LINE_MAX + 1), Scan::Error(ProtocolError::TooBigInline));
    // Whether a longer line ends in the same read must not matter, as it does in 7.0.
    is(&ended(LINE_MAX + 1), Scan::Error(ProtocolError::TooBigInline));

    let count = |len: usize| [b"*".to_vec(), vec![b'1'; len - 1]].concat();
    is(&count(LINE_MAX), Scan::Partial);
    is(&count(LINE_MAX + 1), Scan::Error(ProtocolError::TooBigCount));
    let length = |len: usize| [b"*1\r\n$".to_vec(), vec![b'1'; len - 1]].concat();
    is(&length(LINE_MAX), Scan::Partial);
    is(&length(LINE_MAX + 1), Scan::Error(ProtocolError::TooBigLength));
}

#[test]
fn limits_strangers() {
    let scan = |input: &str| Scanner::new(Limits::UNAUTHENTICATED).scan(input.as_bytes());
    assert_eq!(scan("*10\r\n"), Scan::Partial);
    assert_eq!(scan("*11\r\n"), Scan::Error(ProtocolError::UnauthenticatedCount));
    assert_eq!(scan("*2147483648\r\n"), Scan::Error(ProtocolError::InvalidCount));
    assert_eq!(scan("*1\r\n$16384\r\n"), Scan::Partial);
    assert_eq!(scan("*1\r\n$16385\r\n"), Scan::Error(ProtocolError::UnauthenticatedLength));
    assert_eq!(scan("*1\r\n$-1\r\n"), Scan::Error(ProtocolError::InvalidLength));
}

#[test]
fn repeats_its_error() {
    let mut scanner = Scanner::new(Limits::DEFAULT);
    let expected = Scan::Error(ProtocolError::InvalidCount);
    assert_eq!(scanner.scan(b"*x\r\n"), expected);
    assert_eq!(scanner.scan(b"*x\r\n*1\r\n$4\r\nPING\r\n"), expected);
    assert_eq!(scanner.passable(4), 0);
}

/// A payload of half a gigabyte passes through a buffer of nothing.
#[test]
fn streams_a_payload_that_never_fits() {
    let mut scanner = Scanner::new(Limits::DEFAULT);
    let head = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n";
    assert_eq!(scanner.scan(head), Scan::Partial);
    assert_eq!(scanner.passable(head.len()), head.len());
    assert_eq!(scanner.remaining_min(head.len()), 536_870_912 + 2);
    scanner.consumed(head.len());

    let chunk = vec![b'*'; 1 << 20];
    for sent in 1..=512_u64 {
        assert_eq!(scanner.scan(&chunk), Scan::Partial);
        assert_eq!(scanner.passable(chunk.len()), chunk.len());
        scanner.consumed(chunk.len());
        assert_eq!(scanner.remaining_min(0), 536_870_912 - (sent << 20) + 2);
    }
    assert_eq!(scanner.scan(b"\r\nPING\r\n"), Scan::Frame { len: 2 });
    assert!(scanner.is_idle());
    assert!(scanner.steps < 100, "looked into the payload");
}

#[test]
fn never_streams_a_line() {
    let mut scanner = Scanner::new(Limits::DEFAULT);
    assert_eq!(scanner.scan(b"PING"), Scan::Partial);
    assert_eq!(scanner.passable(4), 0);
    assert!(!scanner.is_idle());
}

fn any_args() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..40), 1..8)
}

/// Bytes that get somewhere: fragments of the protocol, shuffled.
fn any_soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "*1\r\n", "*2\r\n", "$4\r\n", "$0\r\n", "PING", "ECHO", "\r\n", "\n", "\r", " ", "\"",
            "'", "*", "$", "-1", "*0\r\n", "post", "1",
        ])
        .prop_map(|it| it.as_bytes().to_vec()),
        vec(any::<u8>(), 0..3),
    ];
    vec(piece, 0..24).prop_map(|it| it.concat())
}

/// Every end that a scanner sees when `input` arrives in pieces that end at `cuts`, and
/// what it passes on before.
fn ends(
    input: &[u8],
    cuts: &[usize],
    streaming: bool,
) -> (Vec<(usize, bool)>, Option<ProtocolError>) {
    let mut scanner = Scanner::new(Limits::DEFAULT);
    let mut found = Vec::new();
    let mut start = 0;
    for &end in cuts.iter().chain([&input.len()]) {
        loop {
            match scanner.scan(&input[start..end]) {
                Scan::Frame { len } => {
                    start += len;
                    found.push((start, true));
                }
                Scan::Ignored { len } => {
                    start += len;
                    found.push((start, false));
                }
                Scan::Error(error) => return (found, Some(error)),
                Scan::Partial => break,
            }
        }
        if streaming {
            let passable = scanner.passable(end - start);
            scanner.consumed(passable);
            start += passable;
        }
    }
    assert!(scanner.steps <= input.len(), "looked at a byte twice");
    (found, None)
}

fn any_cuts(len: usize) -> impl Strategy<Value = Vec<usize>> {
    vec(0..=len, 0..12).prop_map(|mut it| {
        it.sort_unstable();
        it
    })
}

proptest! {
    #[test]
    fn any_cuts_give_the_same_ends(
        (input, cuts) in any_soup().prop_flat_map(|it| { let len = it.len(); (Just(it), any_cuts(len)) }),
        streaming: bool,
    ) {
        prop_assert_eq!(ends(&input, &cuts, streaming), ends(&input, &[], false));
    }

    #[test]
    fn what_is_written_is_found_and_read_back(all in vec(any_args(), 1..5)) {
        let mut input = Vec::new();
        let mut expected = Vec::new();
        for args in &all {
            let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            prop_assume!(!is_attack(args[0]));
            write::request(&mut input, &args);
            expected.push((input.len(), true));
        }
        let (found, error) = ends(&input, &[], false);
        prop_assert_eq!(error, None);
        prop_assert_eq!(&found, &expected);
        let mut start = 0;
        for ((end, _), args) in found.into_iter().zip(&all) {
            let frame = &input[start..end];
            let read: Vec<Vec<u8>> = super::args(frame).iter().map(<[u8]>::to_vec).collect();
            prop_assert_eq!(&read, args);
            start = end;
        }
    }

    /// `remaining_min` is never more than what does remain, and exact inside a payload
    /// of the last argument.
    #[test]
    fn the_remainder_is_a_lower_bound(args in any_args(), cut in any::<prop::sample::Index>()) {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        prop_assume!(!is_attack(args[0]));
        let mut input = Vec::new();
        write::request(&mut input, &args);
        let cut = cut.index(input.len());
        let mut scanner = Scanner::new(Limits::DEFAULT);
        prop_assert_eq!(scanner.scan(&input[..cut]), Scan::Partial);
        let remaining = (input.len() - cut) as u64;
        prop_assert!(scanner.remaining_min(cut) <= remaining);
        let last = args[args.len() - 1].len();
        if args.len() > 1 && remaining <= last as u64 + 2 {
            prop_assert_eq!(scanner.remaining_min(cut), remaining);
        }
        let before = scanner.remaining_min(cut);
        let passed = scanner.passable(cut);
        scanner.consumed(passed);
        prop_assert_eq!(scanner.remaining_min(cut - passed), before);
    }
}
