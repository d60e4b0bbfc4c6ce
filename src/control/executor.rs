//! Carries out orders: the only code of Segue that sends `REPLICAOF`, `CLIENT PAUSE` and
//! `CLIENT KILL`.
//!
//! Each order has a connection of its own and one deadline. The outcome is told as it is known:
//! *done* and *refused* are the node's words; *not sent* means that the order did not leave
//! this process; anything after the first byte left is *unknown*.

use crate::config::Credentials;
use crate::net::call::{CallError, Connection};
use crate::net::resolve;
use crate::pure::failover::{Endpoint, Order, Outcome};
use crate::pure::resp::reply::{error_text, text};
use crate::pure::topology::{Link, Report};
use std::time::Duration;
use tracing::debug;

/// How long one order may take: some probes' worth. A server that is well answers within
/// milliseconds.
const ORDER_MAX: Duration = Duration::from_secs(1);

/// Carries `order` out at `address`.
///
/// # Cancel safety
///
/// Dropping the future leaves the outcome unknown.
pub(super) async fn execute(
    order: &Order,
    address: &Endpoint,
    credentials: Option<&Credentials>,
) -> Outcome {
    let mut connection = match connect(address, credentials).await {
        Ok(connection) => connection,
        Err(reason) => return Outcome::NotSent(reason),
    };
    if let Order::Promote { follows, .. } = order
        && let Some(outcome) = look_again(&mut connection, follows.as_ref()).await
    {
        return outcome;
    }
    let words = words(order);
    let command: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    let replies = match connection.call(&[&command], ORDER_MAX).await {
        Ok(replies) => replies,
        Err(error) => {
            debug!(%error, "An order has no answer");
            return Outcome::Unknown;
        }
    };
    if let Some(error) = replies.first().and_then(|it| error_text(it)) {
        return Outcome::Refused(String::from_utf8_lossy(error).into_owned());
    }
    if matches!(order, Order::Reconnect { .. })
        && replies.first().is_none_or(|it| **it == *b":0\r\n")
    {
        return Outcome::Refused("it has no connection to its primary".to_owned());
    }
    match order {
        Order::Promote { .. } | Order::Follow { .. } => {
            tokio::spawn(persist(connection));
        }
        Order::Pause { .. } | Order::Unpause { .. } | Order::Reconnect { .. } => {}
    }
    Outcome::Done
}

/// The command that carries `order` out.
fn words(order: &Order) -> Vec<String> {
    match order {
        Order::Promote { .. } => vec!["REPLICAOF".into(), "NO".into(), "ONE".into()],
        Order::Follow { target, .. } => {
            vec!["REPLICAOF".into(), target.host.clone(), target.port.to_string()]
        }
        Order::Pause { span, .. } => {
            let ms = span.as_millis().to_string();
            vec!["CLIENT".into(), "PAUSE".into(), ms, "WRITE".into()]
        }
        Order::Unpause { .. } => vec!["CLIENT".into(), "UNPAUSE".into()],
        Order::Reconnect { .. } => {
            vec!["CLIENT".into(), "KILL".into(), "TYPE".into(), "master".into()]
        }
    }
}

pub(super) async fn connect(
    address: &Endpoint,
    credentials: Option<&Credentials>,
) -> Result<Connection, String> {
    let found =
        resolve(&address.host, address.port, ORDER_MAX).await.map_err(|error| error.to_string())?;
    let mut reason = "it has no address".to_owned();
    for addr in found {
        match Connection::open(addr, credentials, ORDER_MAX).await {
            Ok(connection) => return Ok(connection),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

/// The last look at a candidate before it is promoted. Somebody else may have done it, or have
/// promoted another one and told this one to follow that.
async fn look_again(connection: &mut Connection, follows: Option<&Endpoint>) -> Option<Outcome> {
    let info: &[&[u8]] = &[b"INFO", b"server", b"replication", b"persistence", b"keyspace"];
    let replies = match connection.call(&[info], ORDER_MAX).await {
        Ok(replies) => replies,
        Err(error @ CallError::Denied { .. }) => return Some(Outcome::Refused(error.to_string())),
        Err(error) => return Some(Outcome::NotSent(error.to_string())),
    };
    let report = replies
        .first()
        .and_then(|it| text(it))
        .and_then(|it| Report::parse(&String::from_utf8_lossy(it)).ok());
    match report {
        None => Some(Outcome::Refused("it does not say what it is".to_owned())),
        Some(report) if report.loading => {
            Some(Outcome::Refused("it is loading its data set".to_owned()))
        }
        Some(report) => match (report.link(), follows) {
            (None, _) => Some(Outcome::Done),
            (Some(link), Some(then)) if (&link.host, link.port) != (&then.host, then.port) => {
                let Link { host, port, .. } = link;
                let reason = format!("it follows {host}:{port} by now: somebody else has decided");
                Some(Outcome::Refused(reason))
            }
            (Some(_), _) => None,
        },
    }
}

/// Lets a node remember its role over a restart, where its configuration file may be written.
/// Where it may not, nothing is lost: a node that comes back wrong is put right.
pub(super) async fn persist(mut connection: Connection) {
    if let Err(error) = connection.call(&[&[b"CONFIG", b"REWRITE"]], ORDER_MAX).await {
        debug!(%error, "CONFIG REWRITE has no answer");
    }
}
