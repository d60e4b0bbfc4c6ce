//! What only a switchover wants to know of the nodes, asked once for each: `maxmemory`, and
//! whether Segue's user may do it.
//!
//! What a node does not say (an ACL forbids the question) speaks neither for nor against it.

use super::executor::connect;
use crate::config::Credentials;
use crate::net::call::Connection;
use crate::pure::failover::{Checked, NodeSpec};
use crate::pure::resp::reply::{error_text, items, text};
use crate::pure::topology::NodeId;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A node that needs longer has other troubles, and those are known.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// Asks every node at the same time.
pub(super) async fn examine(
    nodes: Vec<(NodeId, NodeSpec)>,
    credentials: Option<Credentials>,
) -> Vec<Checked> {
    let mut asked = JoinSet::new();
    for (node, spec) in nodes {
        let credentials = credentials.clone();
        asked.spawn(async move { timeout(ANSWER_MAX, ask(node, &spec, credentials)).await });
    }
    let mut found = Vec::new();
    while let Some(answer) = asked.join_next().await {
        if let Ok(Ok(Some(checked))) = answer {
            found.push(checked);
        }
    }
    found
}

async fn ask(node: NodeId, spec: &NodeSpec, credentials: Option<Credentials>) -> Option<Checked> {
    let mut connection = connect(&spec.address, credentials.as_ref()).await.ok()?;
    let replies = connection
        .call(&[&[b"CONFIG", b"GET", b"maxmemory"], &[b"ACL", b"WHOAMI"]], ANSWER_MAX)
        .await
        .ok()?;
    let [memory, user] = replies.as_slice() else { return None };
    let maxmemory =
        items(memory).nth(1).and_then(text).and_then(|it| String::from_utf8_lossy(it).parse().ok());
    let denied = match text(user) {
        Some(user) if error_text(user).is_none() => denied(&mut connection, user).await,
        Some(_) | None => None,
    };
    Some(Checked { node, maxmemory, denied: denied.into_iter().collect() })
}

/// Why `user` may not change the node's role, if so.
async fn denied(connection: &mut Connection, user: &[u8]) -> Option<String> {
    let question: &[&[u8]] = &[b"ACL", b"DRYRUN", user, b"REPLICAOF", b"NO", b"ONE"];
    let replies = connection.call(&[question], ANSWER_MAX).await.ok()?;
    let reply = replies.first()?;
    if error_text(reply).is_some() {
        return None;
    }
    text(reply).filter(|it| *it != b"OK").map(|it| String::from_utf8_lossy(it).into_owned())
}
