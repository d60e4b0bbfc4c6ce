//! What is read from replies, and that an independent decoder finds the same frames.

use super::scan_test::{any_damage, any_reply};
use super::*;
use proptest::prelude::*;
use redis_protocol::{resp2, resp3};

#[test]
fn tells_kinds() {
    for (frame, expected) in [
        ("+OK\r\n", Kind::Simple),
        ("-ERR\r\n", Kind::Error),
        ("!3\r\nERR\r\n", Kind::Error),
        (":1\r\n", Kind::Integer),
        ("$1\r\na\r\n", Kind::Bulk),
        ("*0\r\n", Kind::Array),
        ("_\r\n", Kind::Null),
        ("$-1\r\n", Kind::Null),
        ("*-1\r\n", Kind::Null),
        ("#t\r\n", Kind::Boolean),
        (",1.5\r\n", Kind::Double),
        ("(12\r\n", Kind::BigNumber),
        ("=5\r\ntxt:a\r\n", Kind::Verbatim),
        ("%0\r\n", Kind::Map),
        ("~0\r\n", Kind::Set),
        (">0\r\n", Kind::Push),
        ("|1\r\n+a\r\n:1\r\n|0\r\n:2\r\n", Kind::Integer),
    ] {
        assert_eq!(kind(frame.as_bytes()), Some(expected), "{frame}");
        assert_eq!(is_null(frame.as_bytes()), expected == Kind::Null, "{frame}");
    }
    for frame in ["", "x\r\n", "|1\r\n", "|1\r\n+a\r\n:1\r\n"] {
        assert_eq!(kind(frame.as_bytes()), None, "{frame}");
    }
}

#[test]
fn reads_errors() {
    #[track_caller]
    fn check(frame: &str, expected: Option<&str>) {
        assert_eq!(error_text(frame.as_bytes()), expected.map(str::as_bytes), "{frame}");
    }
    check("-READONLY You can't\r\n", Some("READONLY You can't"));
    check("!9\r\nERR a\r\nbc\r\n", Some("ERR a\r\nbc"));
    check("|1\r\n+k\r\n+v\r\n-ERR a\r\n", Some("ERR a"));
    check("-\r\n", Some(""));
    check("+OK\r\n", None);
    check("*1\r\n-ERR a\r\n", None);
    check("", None);
}

#[test]
fn reads_values() {
    #[track_caller]
    fn check(element: &str, expected_text: Option<&str>, expected_int: Option<i64>) {
        let element = element.as_bytes();
        assert_eq!(text(element), expected_text.map(str::as_bytes), "{}", element.escape_ascii());
        assert_eq!(int(element), expected_int, "{}", element.escape_ascii());
    }
    check("+OK\r\n", Some("OK"), None);
    check("$2\r\n17\r\n", Some("17"), Some(17));
    check("$0\r\n\r\n", Some(""), None);
    check("$4\r\n\r\n\r\n\r\n", Some("\r\n\r\n"), None);
    check("=6\r\ntxt:42\r\n", Some("42"), Some(42));
    check("=3\r\ntxt\r\n", None, None);
    check(",3.5\r\n", Some("3.5"), None);
    check("(12\r\n", Some("12"), Some(12));
    check(":-7\r\n", None, Some(-7));
    check("|1\r\n+k\r\n+v\r\n:3\r\n", None, Some(3));
    for element in
        ["$-1\r\n", "_\r\n", "-ERR 1\r\n", "*1\r\n:1\r\n", ":x\r\n", ":1", "$5\r\na\r\n", ""]
    {
        check(element, None, None);
    }
}

#[test]
fn walks_aggregates() {
    #[track_caller]
    fn check(frame: &str, expected: &[&str]) {
        let found: Vec<&[u8]> = items(frame.as_bytes()).collect();
        assert_eq!(found, expected.iter().map(|it| it.as_bytes()).collect::<Vec<_>>(), "{frame}");
    }
    check("*3\r\n:1\r\n*1\r\n+a\r\n$-1\r\n", &[":1\r\n", "*1\r\n+a\r\n", "$-1\r\n"]);
    check("%1\r\n+k\r\n~1\r\n:1\r\n", &["+k\r\n", "~1\r\n:1\r\n"]);
    check("~1\r\n|1\r\n+a\r\n:1\r\n:2\r\n", &["|1\r\n+a\r\n:1\r\n:2\r\n"]);
    check("|1\r\n+a\r\n*1\r\n:9\r\n*1\r\n:2\r\n", &[":2\r\n"]);
    for frame in ["*0\r\n", "*-1\r\n", "+OK\r\n", "$4\r\n:1\r\n\r\n", ""] {
        check(frame, &[]);
    }
}

#[test]
fn names_pushes() {
    assert_eq!(push_name(b">2\r\n$10\r\ninvalidate\r\n_\r\n"), Some(&b"invalidate"[..]));
    assert_eq!(push_name(b">1\r\n+message\r\n"), Some(&b"message"[..]));
    assert_eq!(push_name(b">0\r\n"), None);
    assert_eq!(push_name(b">1\r\n:1\r\n"), None);
    // RESP2 sends messages as arrays, which may as well be the reply of a command.
    assert_eq!(push_name(b"*1\r\n+message\r\n"), None);
}

/// What no decoder may see before the scanner has found a frame: it recurses.
fn frame_len(input: &[u8]) -> Option<usize> {
    match Scanner::new().scan(input) {
        Scan::Frame { len } => Some(len),
        Scan::Partial | Scan::Error(_) => None,
    }
}

proptest! {
    /// Where `redis-protocol` reads a frame, it ends where the scanner says.
    #[test]
    fn a_decoder_finds_the_same_frames(reply in any_reply(), damaged in any_damage()) {
        for input in [&reply, &damaged] {
            let Some(len) = frame_len(input) else { continue };
            if let Ok(Some((_, decoded))) = resp2::decode::decode(input) {
                prop_assert_eq!(decoded, len, "RESP2");
            }
            if let Ok(Some((_, decoded))) = resp3::decode::complete::decode(input)
                // It takes an attribute for a frame of its own.
                && !input.contains(&b'|')
            {
                prop_assert_eq!(decoded, len, "RESP3");
            }
        }
    }
}
