//! One request to one response, without a socket: everything that a route can answer.

use super::State;
use super::body::Body;
use super::status::Readiness;
use super::{adopt, switchover};
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, Response, StatusCode};
use prometheus::TEXT_FORMAT;
use serde::Serialize;
use tracing::error;

/// The status page: one file, nothing loaded from anywhere else.
const PAGE: &str = include_str!("page.html");

/// The page may run its own script and ask its own server, and nothing else: what it shows
/// comes from nodes, and must stay text.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
     script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The last transitions of the group.
pub(super) const EVENTS_PATH: &str = "/api/v1/events";

const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

pub(super) type Answer = Response<Body>;

/// Answers a request for `path`.
pub(super) fn answer(state: &State, method: &Method, path: &str) -> Answer {
    let route = match path {
        "/" => page,
        "/metrics" => metrics,
        "/livez" => livez,
        "/readyz" => readyz,
        "/api/v1/status" => status,
        EVENTS_PATH => events,
        // The control socket has answered this already.
        _ if path == adopt::PATH || switchover::kind(path).is_some() => {
            return plain(StatusCode::FORBIDDEN, "this changes state: ask on control.address\n");
        }
        _ => return plain(StatusCode::NOT_FOUND, "no such page\n"),
    };
    // The body of an answer to HEAD is left out by hyper, its length is not.
    if method != Method::GET && method != Method::HEAD {
        return not_allowed("GET, HEAD", "read-only\n");
    }
    route(state)
}

/// Whether `headers` carry `token` as a bearer token (RFC 6750, section 2.1).
pub(super) fn is_authorized(headers: &HeaderMap, token: &str) -> bool {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return false };
    let Some((scheme, given)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
        return false;
    };
    // Looks at every byte whatever they are, so that the time taken tells only the length.
    let differs = given.iter().zip(token.as_bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    scheme.eq_ignore_ascii_case(b"Bearer ") && given.len() == token.len() && differs == 0
}

/// What is answered without the token.
pub(super) fn unauthorized() -> Answer {
    let mut answer = plain(StatusCode::UNAUTHORIZED, "a bearer token is needed\n");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

fn page(_: &State) -> Answer {
    let mut answer = build(StatusCode::OK, HTML, Bytes::from_static(PAGE.as_bytes()));
    let policy = HeaderValue::from_static(PAGE_POLICY);
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    answer
}

fn metrics(state: &State) -> Answer {
    state.metrics.control.show(&state.snapshot.borrow());
    match state.metrics.encode() {
        Ok(text) => build(StatusCode::OK, TEXT_FORMAT, Bytes::from(text)),
        Err(error) => {
            error!(%error, "Could not encode the metrics");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be encoded\n")
        }
    }
}

fn livez(state: &State) -> Answer {
    if state.is_alive() {
        plain(StatusCode::OK, "ok\n")
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, "the control plane has stopped\n")
    }
}

fn readyz(state: &State) -> Answer {
    match state.readiness() {
        Readiness::Ready => plain(StatusCode::OK, "ok\n"),
        Readiness::NotReady(why) => {
            build(StatusCode::SERVICE_UNAVAILABLE, TEXT, Bytes::from(format!("{why}\n")))
        }
    }
}

fn status(state: &State) -> Answer {
    json(&state.status())
}

fn events(state: &State) -> Answer {
    json(&state.recent.list())
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(json) => build(StatusCode::OK, JSON, Bytes::from(json)),
        Err(error) => {
            error!(%error, "Could not encode an answer");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be encoded\n")
        }
    }
}

/// What another method than `allowed` gets.
pub(super) fn not_allowed(allowed: &'static str, text: &'static str) -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, text);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Answer {
    build(status, TEXT, Bytes::from_static(text.as_bytes()))
}

pub(super) fn build(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Each answer is about this moment.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
#[path = "routes_test.rs"]
mod tests;
