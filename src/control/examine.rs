//! What only a switchover wants to know of the nodes, asked once for each: `maxmemory`, and
//! whether Segue's user may do it.
//!
//! What a node does not say (an ACL forbids the question) speaks neither for nor against it.

use super::executor::connect;
use crate::config::Credentials;
use crate::net::call::Connection;
use crate::pure::failover::{Checked, NodeSpec};
use crate::pure::resp::reply::{error_text, items, text};
use crate::pure::session::GUARD_CHANNEL;
use crate::pure::topology::NodeId;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A node that needs longer has other troubles, and those are known.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// What changes a node's role.
const ROLE: &[&[u8]] = &[b"REPLICAOF", b"NO", b"ONE"];

/// What keeps those away from the old primary who bypass Segue, and lets them in again.
const PAUSE: [&[&[u8]]; 2] = [&[b"CLIENT", b"PAUSE", b"1", b"WRITE"], &[b"CLIENT", b"UNPAUSE"]];

/// What confirms guarded writes there.
const GUARD: [&[&[u8]]; 3] =
    [&[b"ROLE"], &[b"WAIT", b"1", b"1"], &[b"SPUBLISH", GUARD_CHANNEL, b""]];

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
    let (denied, pause_denied, guard_denied) = (Vec::new(), Vec::new(), Vec::new());
    let mut checked = Checked { node, maxmemory, denied, pause_denied, guard_denied };
    if let Some(user) = text(user).filter(|it| error_text(it).is_none()) {
        checked.denied = not_allowed(&mut connection, user, &[ROLE]).await;
        checked.pause_denied = not_allowed(&mut connection, user, &PAUSE).await;
        checked.guard_denied = not_allowed(&mut connection, user, &GUARD).await;
    }
    Some(checked)
}

/// Why `user` may not use these commands, in the node's words.
async fn not_allowed(
    connection: &mut Connection,
    user: &[u8],
    commands: &[&[&[u8]]],
) -> Vec<String> {
    let dry_run: [&[u8]; 3] = [b"ACL", b"DRYRUN", user];
    let questions: Vec<Vec<&[u8]>> = commands.iter().map(|it| [&dry_run, *it].concat()).collect();
    let questions: Vec<&[&[u8]]> = questions.iter().map(Vec::as_slice).collect();
    let Ok(replies) = connection.call(&questions, ANSWER_MAX).await else { return Vec::new() };
    let said = replies.iter().filter(|it| error_text(it).is_none()).filter_map(|it| text(it));
    let against = said.filter(|it| *it != b"OK");
    against.map(|it| String::from_utf8_lossy(it).into_owned()).collect()
}
