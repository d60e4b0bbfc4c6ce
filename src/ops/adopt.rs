//! `POST /api/v1/adopt?node=NODE&dry_run=true&run_id=ID`, on the control socket only.
//!
//! | status | then |
//! |---|---|
//! | 200 | it began, or would have: what is kept and what is discarded |
//! | 400 | the query makes no sense |
//! | 404 | no node of that name |
//! | 409 | something speaks against it; every reason is named, nothing was touched |
//! | 503 | the control plane does not answer |
//!
//! The body is an [`Adoption`](crate::pure::failover::Adoption). That it began is not that it is over: the status tells when the
//! node serves.

use super::routes::{self, Answer};
use super::switchover::{decode, encode};
use crate::control::Request;
use crate::pure::failover::{Adopt, Adopted};
use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::error;

/// Where it is asked for.
pub const PATH: &str = "/api/v1/adopt";

/// The control plane answers from memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Asks the control plane, and answers with what it says.
pub(super) async fn answer(
    requests: &mpsc::Sender<Request>,
    method: &Method,
    query: &str,
) -> Answer {
    if method != Method::POST {
        return routes::not_allowed("POST", "an adoption is asked for with POST\n");
    }
    let Some(ask) = parse(query) else {
        let text = "wants node=NODE, and perhaps run_id=ID, dry_run=true or false\n";
        return routes::plain(StatusCode::BAD_REQUEST, text);
    };
    let (answer, told) = oneshot::channel();
    let is_taken = requests.try_send(Request::Adopt { ask, answer }).is_ok();
    let told = timeout(ANSWER_WITHIN, told).await.ok().and_then(Result::ok);
    let Some(account) = told.filter(|_| is_taken) else {
        let text = "the control plane does not answer\n";
        return routes::plain(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let status = match account.outcome {
        Adopted::Begun | Adopted::DryRun => StatusCode::OK,
        Adopted::Refused => StatusCode::CONFLICT,
        Adopted::NoSuchNode => StatusCode::NOT_FOUND,
    };
    match serde_json::to_vec(&account) {
        Ok(json) => routes::build(status, routes::JSON, Bytes::from(json)),
        Err(error) => {
            error!(%error, "Could not encode an answer");
            let text = "the answer cannot be encoded\n";
            routes::plain(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}

/// The query of an [`Adopt`].
pub fn query(ask: &Adopt) -> String {
    let run_id = ask.run_id.as_ref().map_or_else(String::new, |it| format!("&run_id={it}"));
    format!("node={}&dry_run={}{run_id}", encode(&ask.node), ask.dry_run)
}

fn parse(query: &str) -> Option<Adopt> {
    let mut ask = Adopt::default();
    for pair in query.split('&').filter(|it| !it.is_empty()) {
        let (key, value) = pair.split_once('=')?;
        match key {
            "node" => ask.node = decode(value)?,
            "run_id" => ask.run_id = Some(decode(value)?),
            "dry_run" => ask.dry_run = value.parse().ok()?,
            _ => return None,
        }
    }
    (!ask.node.is_empty()).then_some(ask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::failover::Adoption;

    #[test]
    fn what_is_asked_arrives() {
        let ask = Adopt {
            node: "10.0.0.1:7002 &=".to_owned(),
            run_id: Some("f".repeat(40)),
            dry_run: true,
        };
        assert_eq!(parse(&query(&ask)), Some(ask));
        let ask = Adopt { node: "b".to_owned(), ..Adopt::default() };
        assert_eq!(parse(&query(&ask)), Some(ask));
        for query in ["", "node", "node=", "node=b&dry_run=1", "node=b&force=true"] {
            assert_eq!(parse(query), None, "{query}");
        }
    }

    #[tokio::test]
    async fn only_post_asks_and_each_outcome_has_its_status() {
        let (requests, mut asked) = mpsc::channel::<Request>(1);
        let refused = answer(&requests, &Method::GET, "node=b").await;
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer(&requests, &Method::POST, "").await.status(), StatusCode::BAD_REQUEST);
        for (outcome, status) in [
            (Adopted::Begun, 200),
            (Adopted::DryRun, 200),
            (Adopted::NoSuchNode, 404),
            (Adopted::Refused, 409),
        ] {
            let answered = tokio::spawn({
                let requests = requests.clone();
                async move { answer(&requests, &Method::POST, "node=b").await.status().as_u16() }
            });
            let Some(Request::Adopt { ask, answer }) = asked.recv().await else {
                panic!("an adoption was asked for")
            };
            let (run_id, keys, epoch) = (None, 1, 2);
            let (reasons, others) = (Vec::new(), Vec::new());
            answer
                .send(Adoption { outcome, node: ask.node, run_id, keys, epoch, reasons, others })
                .expect("it waits");
            assert_eq!(answered.await.expect("it ends"), status);
        }
    }
}
