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
use crate::pure::topology::{Link, Report, RunId};
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
    if let Order::Promote { follows, process, .. } = order
        && let Some(outcome) = look_again(&mut connection, follows.as_ref(), *process).await
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
/// promoted another one and told this one to follow that; or it was restarted, and what answers
/// is not what was chosen. The command that comes next goes to the process that answers here. One
/// that loads, or does not say what it is, was not told now, and may have been told before.
async fn look_again(
    connection: &mut Connection,
    follows: Option<&Endpoint>,
    process: Option<RunId>,
) -> Option<Outcome> {
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
    let Some(report) = report else {
        return Some(Outcome::NotSent("it does not say what it is".to_owned()));
    };
    settled(&report, follows, process)
}

/// What comes of a promotion without ordering it; nothing if it is to be ordered.
fn settled(report: &Report, follows: Option<&Endpoint>, process: Option<RunId>) -> Option<Outcome> {
    if process.is_some_and(|it| it != report.run_id) {
        return Some(Outcome::Refused("it was restarted since it was chosen".to_owned()));
    }
    if report.loading {
        return Some(Outcome::NotSent("it is loading its data set".to_owned()));
    }
    match (report.link(), follows) {
        (None, _) => Some(Outcome::Done),
        (Some(link), Some(then)) if (&link.host, link.port) != (&then.host, then.port) => {
            let Link { host, port, .. } = link;
            let reason = format!("it follows {host}:{port} by now: somebody else has decided");
            Some(Outcome::Refused(reason))
        }
        (Some(_), _) => None,
    }
}

/// Lets a node remember its role over a restart, where its configuration file may be written.
/// Where it may not, nothing is lost: a node that comes back wrong is put right.
pub(super) async fn persist(mut connection: Connection) {
    if let Err(error) = connection.call(&[&[b"CONFIG", b"REWRITE"]], ORDER_MAX).await {
        debug!(%error, "CONFIG REWRITE has no answer");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "run_id:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nrole:slave\r\n\
        master_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:down\r\n\
        master_link_down_since_seconds:1\r\nmaster_sync_in_progress:0\r\n\
        slave_read_repl_offset:100\r\nslave_repl_offset:100\r\nslave_priority:100\r\n\
        master_replid:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n\
        master_replid2:0000000000000000000000000000000000000000\r\n\
        master_repl_offset:100\r\nsecond_repl_offset:-1\r\nloading:0\r\n";

    fn of(host: &str) -> Endpoint {
        Endpoint { host: host.to_owned(), port: 6379 }
    }

    #[test]
    fn only_the_process_that_was_chosen_is_promoted() {
        let report = Report::parse(INFO).expect("a replica");
        let then = of("10.0.0.1");
        let other = RunId::parse(&"c".repeat(40));
        assert_eq!(settled(&report, Some(&then), Some(report.run_id)), None);
        let refused = settled(&report, Some(&then), other);
        assert!(matches!(refused, Some(Outcome::Refused(why)) if why.contains("restarted")));
        let refused = settled(&report, Some(&of("10.0.0.2")), Some(report.run_id));
        assert!(matches!(refused, Some(Outcome::Refused(why)) if why.contains("10.0.0.1:6379")));
    }
}
