//! What is read from a request: whole, or only its beginning.

use super::*;
use crate::pure::resp::{LINE_MAX, write};
use proptest::{collection::vec, prelude::*};
use redis_protocol::resp2::{decode::decode, types::OwnedFrame};

fn multibulk(args: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    write::request(&mut out, args);
    out
}

const fn ready<'a>(name: &'a [u8], sub: &'a [u8]) -> Head<'a> {
    Head::Ready { name, sub }
}

#[test]
fn shows_arguments() {
    let frame = multibulk(&[b"SET", b"k", b"", b"a\r\nb"]);
    let args = args(&frame);
    assert_eq!((args.len(), args.is_empty()), (4, false));
    assert_eq!(args.name(), b"SET");
    assert_eq!(args.get(2), Some(&b""[..]));
    assert_eq!(args.get(3), Some(&b"a\r\nb"[..]));
    assert_eq!(args.get(4), None);
    assert_eq!((&args).into_iter().count(), 4);
}

#[test]
fn shows_arguments_of_a_line() {
    let args = args(b"set  k \"a b\\x21\" ''\r\n");
    assert_eq!(args.len(), 4);
    assert_eq!(args.name(), b"set");
    assert_eq!(args.get(2), Some(&b"a b!"[..]));
    assert_eq!(args.get(3), Some(&b""[..]));
    assert_eq!(args.get(4), None);
}

#[test]
fn rewrites_lines() {
    assert_eq!(canonical(b"set k \"a b\"\r\n"), multibulk(&[b"set", b"k", b"a b"]));
    assert_eq!(canonical(b"\"\"\n"), multibulk(&[b""]));
    assert_eq!(canonical(b"*1\r\n$4\r\nPING\r\n"), b"*1\r\n$4\r\nPING\r\n");
}

#[test]
fn nothing_is_read_from_nothing() {
    for frame in [&b""[..], b"*", b"*1", b"*1\r\n", b"*1\r\n$", b"*1\r\n$9\r\nPING\r\n", b"*1\r\nx"]
    {
        assert_eq!(args(frame).get(0), None, "{}", frame.escape_ascii());
    }
    assert!(args(b"\r\n").is_empty());
}

#[test]
fn the_head_is_ready_as_soon_as_it_can_be() {
    #[track_caller]
    fn check(args: &[&[u8]], needed: &str, expected: Head<'_>) {
        let frame = multibulk(args);
        assert!(frame.starts_with(needed.as_bytes()));
        for end in 0..frame.len() {
            let expected = if end < needed.len() { Head::NeedMore } else { expected };
            assert_eq!(head(&frame[..end]), expected, "{end}");
        }
        assert_eq!(head(&frame), expected);
    }
    check(&[b"PING"], "*1\r\n$4\r\nPING\r\n", ready(b"PING", b""));
    let big = vec![b'v'; 1_000];
    check(&[b"GET", b"k", &big], "*3\r\n$3\r\nGET\r\n$1\r\nk\r\n", ready(b"GET", b"k"));
    let (edge, long) = (vec![b'n'; NAME_MAX], vec![b'n'; NAME_MAX + 1]);
    let needed = format!("*2\r\n$4\r\nECHO\r\n$64\r\n{}\r\n", "n".repeat(64));
    check(&[b"ECHO", &edge], &needed, ready(b"ECHO", &edge));
    check(&[b"ECHO", &long], "*2\r\n$4\r\nECHO\r\n$65\r\n", ready(b"ECHO", b""));
    check(&[&big, b"k"], "*2\r\n$1000\r\n", ready(b"", b""));
    check(&[&big], "*1\r\n$1000\r\n", ready(b"", b""));
}

#[test]
fn the_head_of_a_line_is_not_looked_at() {
    assert_eq!(head(b""), Head::NeedMore);
    assert_eq!(head(b"PING\r\n"), Head::Inline);
    assert_eq!(head(&[b'a'; LINE_MAX]), Head::Inline);
}

/// The arguments, if `redis-protocol` takes the frame for an array of bulk strings.
fn oracle(input: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let (OwnedFrame::Array(items), len) = decode(input).ok()?? else { return None };
    let args = items
        .into_iter()
        .map(|it| if let OwnedFrame::BulkString(arg) = it { Some(arg) } else { None });
    Some((args.collect::<Option<_>>()?, len))
}

proptest! {
    #[test]
    fn a_decoder_reads_the_same(all in vec(vec(any::<u8>(), 0..100), 1..10)) {
        let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        let frame = multibulk(&all);
        let (expected, len) = oracle(&frame).expect("valid for the decoder");
        prop_assert_eq!(len, frame.len());
        let view = args(&frame);
        prop_assert_eq!(view.iter().collect::<Vec<_>>(), expected);
        for (index, arg) in all.iter().enumerate() {
            prop_assert_eq!(view.get(index), Some(*arg));
        }
    }

    /// A damaged request that both accept has the same end and the same arguments.
    #[test]
    fn a_decoder_never_sees_another_frame(
        all in vec(vec(any::<u8>(), 0..12), 1..5),
        strikes in vec((any::<prop::sample::Index>(), prop::sample::select(b"*$0129-+:\r\n".to_vec())), 0..3),
    ) {
        let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        let mut input = multibulk(&all);
        for (at, byte) in strikes {
            let at = at.index(input.len());
            input[at] = byte;
        }
        prop_assume!(input.starts_with(b"*"));
        if let Scan::Frame { len } = Scanner::new(Limits::DEFAULT).scan(&input)
            && let Some((expected, oracle_len)) = oracle(&input)
        {
            prop_assert_eq!(len, oracle_len);
            let view = args(&input[..len]);
            prop_assert_eq!(view.iter().collect::<Vec<_>>(), expected);
        }
    }

    /// A line and what it is rewritten to have the same arguments, and the rewritten one
    /// passes the scanner.
    #[test]
    fn a_rewritten_line_means_the_same(line in "[ \t'\"\\\\a-cx0-9]{0,30}") {
        let line = format!("{line}\n");
        let mut scanner = Scanner::new(Limits::DEFAULT);
        if let Scan::Frame { .. } = scanner.scan(line.as_bytes()) {
            let array = canonical(line.as_bytes());
            prop_assert_eq!(scanner.scan(&array), Scan::Frame { len: array.len() });
            let (before, after) = (args(line.as_bytes()), args(&array));
            prop_assert_eq!(before.iter().collect::<Vec<_>>(), after.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_panics(input in vec(any::<u8>(), 0..80)) {
        head(&input);
        args(&input).iter().for_each(drop);
        canonical(&input);
    }
}
