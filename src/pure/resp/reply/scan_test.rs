//! What the reply scanner accepts, where it sees the end, and what is read from a frame.

use super::*;
use proptest::{collection::vec, prelude::*};

/// Scans `input` in pieces of `size` bytes.
fn scan_in(size: usize, input: &[u8]) -> Scan {
    let mut scanner = Scanner::new();
    let mut end = 0;
    loop {
        end = (end + size).min(input.len());
        let found = scanner.scan(&input[..end]);
        if found != Scan::Partial || end == input.len() {
            return found;
        }
    }
}

#[track_caller]
fn check(input: &[u8], expected: Scan) {
    for size in [usize::MAX / 2, 1, 3] {
        assert_eq!(scan_in(size, input), expected, "{} by {size}", input.escape_ascii());
    }
}

#[track_caller]
fn frame(input: &str) {
    check(input.as_bytes(), Scan::Frame { len: input.len() });
    check(format!("{input}+OK\r\n").as_bytes(), Scan::Frame { len: input.len() });
    check(&input.as_bytes()[..input.len() - 1], Scan::Partial);
}

#[test]
fn finds_the_end_of_resp2() {
    for input in ["+OK\r\n", "+\r\n", "-ERR no\r\n", ":-7\r\n", "$-1\r\n", "*-1\r\n", "$0\r\n\r\n"]
    {
        frame(input);
    }
    frame("$5\r\na\r\nb\r\r\n");
    frame("*0\r\n");
    frame("*2\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n");
    frame("*3\r\n*1\r\n*1\r\n*1\r\n:1\r\n$-1\r\n*-1\r\n");
    frame("+a\rb\nc\r\r\n");
}

#[test]
fn finds_the_end_of_resp3() {
    for input in [
        "_\r\n",
        "#t\r\n",
        ",-inf\r\n",
        ",3.25\r\n",
        "(349\r\n",
        "=5\r\ntxt:a\r\n",
        "!5\r\nERR a\r\n",
    ] {
        frame(input);
    }
    frame("~2\r\n:1\r\n:2\r\n");
    frame("%2\r\n+a\r\n:1\r\n*1\r\n+b\r\n%0\r\n");
    frame(">3\r\n+message\r\n$1\r\nc\r\n$1\r\nm\r\n");
    // What Redis 7.0 makes of SUBSCRIBE inside MULTI: the push is an element.
    frame("*2\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n+PONG\r\n");
}

#[test]
fn an_attribute_belongs_to_what_follows() {
    frame("|1\r\n+ttl\r\n:3600\r\n$1\r\nv\r\n");
    frame("|0\r\n+OK\r\n");
    frame("|1\r\n+a\r\n|1\r\n+b\r\n:1\r\n:2\r\n|0\r\n*1\r\n:3\r\n");
    frame("*2\r\n|1\r\n+a\r\n:1\r\n:2\r\n:3\r\n");
}

#[test]
fn refuses_what_no_server_sends() {
    for input in [
        "$?\r\n", "*?\r\n", "$+1\r\n", "$\r\n", "$-2\r\n", "*-2\r\n", "%-1\r\n", "=-1\r\n",
        "*01\r\n",
    ] {
        check(input.as_bytes(), Scan::Error(ReplyError::InvalidLength));
    }
    for input in
        ["*4294967296\r\n", "%2147483648\r\n", "|2147483648\r\n", "$9223372036854775808\r\n"]
    {
        check(input.as_bytes(), Scan::Error(ReplyError::InvalidLength));
    }
    for input in
        ["*4294967295\r\n", "%2147483647\r\n", "|2147483647\r\n", "$9223372036854775807\r\n"]
    {
        check(input.as_bytes(), Scan::Partial);
    }
    for byte in [b';', b'.', b'\r', b'a', 0, 255] {
        check(&[byte], Scan::Error(ReplyError::UnknownType(byte)));
        let nested = [b"*1\r\n", &[byte][..]].concat();
        check(&nested, Scan::Error(ReplyError::UnknownType(byte)));
    }
    check(b"*1\r+", Scan::Error(ReplyError::InvalidCrlf));
    check(b"$1\r\nabc", Scan::Error(ReplyError::InvalidCrlf));
    check(b"$1\r\na\rb", Scan::Error(ReplyError::InvalidCrlf));
    check(&[b"*", &[b'1'; NUMBER_MAX][..]].concat(), Scan::Partial);
    check(&[b"*", &[b'1'; NUMBER_MAX + 1][..]].concat(), Scan::Error(ReplyError::InvalidLength));
}

#[test]
fn limits_depth_and_nothing_else() {
    let nested = |depth: usize| format!("{}:1\r\n", "*1\r\n".repeat(depth));
    frame(&nested(INLINE_MAX));
    frame(&nested(INLINE_MAX + 1));
    frame(&nested(DEPTH_MAX));
    check(nested(DEPTH_MAX + 1).as_bytes(), Scan::Error(ReplyError::TooDeep));
    // Wide at every level, so that the way back up is walked as well.
    frame(&format!("{}{}", "*3\r\n:1\r\n".repeat(20), ":2\r\n".repeat(21)));
    let twice = format!("*2\r\n{}{}", nested(100), nested(127));
    frame(&twice);
}

#[test]
fn streams_a_payload_that_never_fits() {
    let mut scanner = Scanner::new();
    assert_eq!(scanner.first_byte(), None);
    let head = b"*2\r\n:1\r\n$1073741824\r\n";
    assert_eq!(scanner.scan(head), Scan::Partial);
    assert_eq!(scanner.first_byte(), Some(b'*'));
    assert!(!scanner.is_push() && !scanner.is_idle());
    assert_eq!(scanner.remaining_min(head.len()), (1 << 30) + 2);
    scanner.consumed(scanner.passable(head.len()));
    let chunk = vec![b'*'; 1 << 20];
    for _ in 0..1_024 {
        assert_eq!(scanner.scan(&chunk), Scan::Partial);
        scanner.consumed(scanner.passable(chunk.len()));
    }
    assert_eq!(scanner.remaining_min(0), 2);
    assert_eq!(scanner.scan(b"\r\n>1\r\n"), Scan::Frame { len: 2 });
    assert!(scanner.is_idle() && scanner.steps < 100);
    assert_eq!(scanner.scan(b">1\r\n"), Scan::Partial);
    assert!(scanner.is_push());
}

#[test]
fn repeats_its_error() {
    let mut scanner = Scanner::new();
    assert_eq!(scanner.scan(b"x"), Scan::Error(ReplyError::UnknownType(b'x')));
    assert_eq!(scanner.scan(b"+OK\r\n"), Scan::Error(ReplyError::UnknownType(b'x')));
    assert_eq!(scanner.passable(5), 0);
}

/// Replies of any shape, attributes included; `depth` levels at most.
pub(super) fn any_reply() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "+OK\r\n",
            ":12\r\n",
            "_\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "*0\r\n",
            "#t\r\n",
            ",1.5\r\n",
            "-ERR x\r\n"
        ])
        .prop_map(|it| it.as_bytes().to_vec()),
        (prop::sample::select(vec!['$', '=', '!']), vec(any::<u8>(), 0..30)).prop_map(
            |(marker, payload)| {
                [format!("{marker}{}\r\n", payload.len()).as_bytes(), &payload, b"\r\n"].concat()
            }
        ),
    ];
    leaf.prop_recursive(12, 64, 5, |inner| {
        (prop::sample::select(vec!['*', '~', '>', '%', '|']), vec(inner, 0..6)).prop_map(
            |(marker, mut items)| {
                let count = match marker {
                    '%' => {
                        items.truncate(items.len() / 2 * 2);
                        items.len() / 2
                    }
                    '|' => {
                        items.resize(items.len() / 2 * 2 + 1, b":1\r\n".to_vec());
                        items.len() / 2
                    }
                    _ => items.len(),
                };
                [format!("{marker}{count}\r\n").into_bytes(), items.concat()].concat()
            },
        )
    })
}

/// Every end that a scanner sees when `input` arrives in pieces that end at `cuts`.
fn ends(input: &[u8], cuts: &[usize], streaming: bool) -> (Vec<usize>, Option<ReplyError>) {
    let mut scanner = Scanner::new();
    let mut found = Vec::new();
    let mut start = 0;
    for &end in cuts.iter().chain([&input.len()]) {
        loop {
            match scanner.scan(&input[start..end]) {
                Scan::Frame { len } => {
                    start += len;
                    found.push(start);
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

/// Replies with some bytes overwritten.
pub(super) fn any_damage() -> impl Strategy<Value = Vec<u8>> {
    let strikes = vec(
        (any::<prop::sample::Index>(), prop::sample::select(b"*$%|>+:-\r\n019?x".to_vec())),
        0..4,
    );
    (vec(any_reply(), 1..4), strikes).prop_map(|(replies, strikes)| {
        let mut input = replies.concat();
        for (at, byte) in strikes {
            let at = at.index(input.len());
            input[at] = byte;
        }
        input
    })
}

proptest! {
    #[test]
    fn whole_replies_are_found(replies in vec(any_reply(), 1..5)) {
        let mut expected = Vec::new();
        for reply in &replies {
            expected.push(expected.last().copied().unwrap_or(0) + reply.len());
        }
        prop_assert_eq!(ends(&replies.concat(), &[], false), (expected, None));
    }

    #[test]
    fn any_cuts_give_the_same_ends(
        (input, cuts) in any_damage().prop_flat_map(|it| { let len = it.len(); (Just(it), any_cuts(len)) }),
        streaming: bool,
    ) {
        prop_assert_eq!(ends(&input, &cuts, streaming), ends(&input, &[], false));
    }

    #[test]
    fn the_remainder_is_a_lower_bound(reply in any_reply(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(reply.len());
        let mut scanner = Scanner::new();
        prop_assert_eq!(scanner.scan(&reply[..cut]), Scan::Partial);
        prop_assert!(scanner.remaining_min(cut) <= (reply.len() - cut) as u64);
        prop_assert!(scanner.remaining_min(cut) >= 1);
    }

    #[test]
    fn nothing_panics(input in vec(any::<u8>(), 0..64), damaged in any_damage()) {
        for input in [&input, &damaged] {
            Scanner::new().scan(input);
            let (_, _, _) = (kind(input), error_text(input), push_name(input));
            let (_, _, _) = (text(input), int(input), is_null(input));
            items(input).for_each(drop);
        }
    }

    /// The elements of an aggregate are its frame without the header.
    #[test]
    fn items_are_the_rest_of_the_frame(reply in any_reply()) {
        let elements: Vec<u8> = items(&reply).collect::<Vec<_>>().concat();
        prop_assert!(reply.ends_with(&elements));
        for element in items(&reply) {
            prop_assert_eq!(Scanner::new().scan(element), Scan::Frame { len: element.len() });
        }
    }
}
