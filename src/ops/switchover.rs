//! `POST /api/v1/switchover?to=NODE&timeout=5s&dry_run=true`, on the control socket only; and
//! `/api/v1/failover`, which is asked and answered the same way and takes the primary for lost.
//! `POST /api/v1/hold?timeout=5s` and `/api/v1/release` are answered with one line.
//!
//! | status | then |
//! |---|---|
//! | 200 | it began, or would have: a line of JSON for each phase; the last one tells the outcome |
//! | 400 | the query makes no sense |
//! | 404 | no node of that name |
//! | 409 | something speaks against it; every reason is named, nothing was touched |
//! | 503 | the control plane does not answer |
//!
//! A client that goes away does not stop what was begun.

use super::routes::{self, Answer};
use crate::control::{Change, Kind, Request};
use crate::pure::failover::{Ask, Progress, Verdict};
use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::error;

/// Where a switchover is asked for.
pub const PATH: &str = "/api/v1/switchover";

/// Where a failover is ordered.
pub const FAILOVER_PATH: &str = "/api/v1/failover";

/// Where commands are held and let go.
pub const HOLD_PATH: &str = "/api/v1/hold";
/// See [`HOLD_PATH`].
pub const RELEASE_PATH: &str = "/api/v1/release";

/// Where `kind` is asked for.
pub(super) const fn path(kind: Kind) -> &'static str {
    match kind {
        Kind::Switchover => PATH,
        Kind::Failover => FAILOVER_PATH,
        Kind::Hold => HOLD_PATH,
        Kind::Release => RELEASE_PATH,
    }
}

/// What is asked for at `path`.
pub(super) fn kind(path: &str) -> Option<Kind> {
    match path {
        PATH => Some(Kind::Switchover),
        FAILOVER_PATH => Some(Kind::Failover),
        HOLD_PATH => Some(Kind::Hold),
        RELEASE_PATH => Some(Kind::Release),
        _ => None,
    }
}

/// The longest time-out that may be asked for.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// The shortest: less is a mistake.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// Without `timeout=`.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Lines of one account; there are fewer phases.
const LINES_MAX: usize = 32;

/// The first line comes when the nodes have answered, or had half a second for it.
const FIRST_WITHIN: Duration = Duration::from_secs(3);

const LINES: &str = "application/x-ndjson";

/// Asks the control plane, and answers with what it tells.
pub(super) async fn answer(
    requests: &mpsc::Sender<Request>,
    kind: Kind,
    method: &Method,
    query: &str,
) -> Answer {
    if method != Method::POST {
        return routes::not_allowed("POST", "what changes something is asked for with POST\n");
    }
    let Some(ask) = parse(query) else {
        let text = "wants to=NODE, timeout=100ms..60s, dry_run=true or false\n";
        return routes::plain(StatusCode::BAD_REQUEST, text);
    };
    let (tell, mut told) = mpsc::channel(LINES_MAX);
    let is_taken = requests.try_send(Request::Change(Change { kind, ask, tell })).is_ok();
    let first = timeout(FIRST_WITHIN, told.recv()).await.ok().flatten().filter(|_| is_taken);
    let Some(first) = first else {
        let text = "the control plane does not answer\n";
        return routes::plain(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let status = match &first {
        Progress::Ended(account) => match account.outcome {
            Verdict::NoSuchNode => StatusCode::NOT_FOUND,
            Verdict::Refused => StatusCode::CONFLICT,
            Verdict::Done | Verdict::DryRun | Verdict::RolledBack | Verdict::Unfinished => {
                StatusCode::OK
            }
        },
        Progress::Began { .. } | Progress::Phase(_) => StatusCode::OK,
    };
    let (lines, body) = mpsc::channel(LINES_MAX);
    tokio::spawn(async move {
        let mut next = Some(first);
        while let Some(progress) = next {
            if lines.send(line(&progress)).await.is_err() {
                return;
            }
            next = told.recv().await;
        }
    });
    routes::build(status, LINES, body)
}

fn line(progress: &Progress) -> Bytes {
    match serde_json::to_vec(progress) {
        Ok(mut json) => {
            json.push(b'\n');
            json.into()
        }
        Err(error) => {
            error!(%error, "Could not encode a line");
            Bytes::new()
        }
    }
}

/// The query of an [`Ask`].
pub(super) fn query(ask: &Ask) -> String {
    let to = ask.to.as_ref().map_or_else(String::new, |it| format!("to={}&", encode(it)));
    let timeout = ask.timeout.as_millis();
    format!("{to}timeout={timeout}ms&dry_run={}", ask.dry_run)
}

fn parse(query: &str) -> Option<Ask> {
    let mut ask = Ask { timeout: TIMEOUT, ..Ask::default() };
    for pair in query.split('&').filter(|it| !it.is_empty()) {
        let (key, value) = pair.split_once('=')?;
        match key {
            "to" => ask.to = Some(decode(value)?),
            "timeout" => ask.timeout = humantime::parse_duration(value).ok()?,
            "dry_run" => ask.dry_run = value.parse().ok()?,
            _ => return None,
        }
    }
    (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&ask.timeout).then_some(ask)
}

/// Percent-encoding of everything that is not unreserved (RFC 3986, section 2.3).
pub(super) fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first == b'%' {
            let (digits, more) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = more;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_arrives() {
        let ask = Ask {
            to: Some("10.0.0.1:7002 ä&=%".to_owned()),
            timeout: Duration::from_millis(2_500),
            dry_run: true,
            findings: Vec::new(),
        };
        assert_eq!(parse(&query(&ask)), Some(ask));
    }

    #[test]
    fn nonsense_is_not_asked() {
        assert_eq!(parse("").map(|it| it.timeout), Some(TIMEOUT));
        for query in ["to", "to=%zz", "to=%e", "timeout=soon", "timeout=2m", "timeout=1ms", "x=y"] {
            assert_eq!(parse(query), None, "{query}");
        }
    }

    #[tokio::test]
    async fn only_post_asks_and_a_reason_against_it_is_a_conflict() {
        let (requests, mut asked) = mpsc::channel::<Request>(1);
        let kind = Kind::Failover;
        let refused = answer(&requests, kind, &Method::GET, "").await;
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        let nonsense = answer(&requests, kind, &Method::POST, "to").await;
        assert_eq!(nonsense.status(), StatusCode::BAD_REQUEST);
        for (outcome, status) in [(Verdict::Refused, 409), (Verdict::NoSuchNode, 404)] {
            let answered = tokio::spawn({
                let requests = requests.clone();
                async move { answer(&requests, kind, &Method::POST, "to=b").await.status().as_u16() }
            });
            let Some(Request::Change(request)) = asked.recv().await else {
                panic!("a change was asked for")
            };
            assert_eq!((request.kind, request.ask.to.as_deref()), (kind, Some("b")));
            let account = crate::pure::failover::Account {
                outcome,
                from: None,
                to: None,
                epoch: 1,
                reasons: Vec::new(),
                warnings: Vec::new(),
                phases: Vec::new(),
                held_ms: crate::pure::failover::Millis::default(),
                total_ms: crate::pure::failover::Millis::default(),
            };
            request.tell.send(Progress::Ended(account)).await.expect("listens");
            drop(request);
            assert_eq!(answered.await.expect("answers"), status);
        }
    }
}
