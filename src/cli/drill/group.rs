//! The group of a drill as its operator sees it: whether it is well, who is primary, and how its
//! replicas synchronised.

use crate::config::Credentials;
use crate::net::call::Connection;
use crate::ops::status::Status;
use crate::pure::resp::reply::{error_text, text};
use crate::pure::topology::snapshot::{Health, NodeStatus, Role};
use std::collections::BTreeMap;
use std::time::Duration;

/// A node that is well answers `INFO` at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Everything that speaks against a drill now: sentences, none if the group is well.
pub(super) fn troubles(status: &Status) -> Vec<String> {
    let mut troubles = Vec::new();
    if status.draining {
        troubles.push("Segue is on its way out".to_owned());
    }
    if !status.snapshot.gate_open || status.snapshot.phase != "steady" {
        let why = status.snapshot.reason.as_deref().unwrap_or("no reason is given");
        troubles.push(format!("commands are held ({}): {why}", status.snapshot.phase));
    }
    let nodes = &status.snapshot.nodes;
    if nodes.len() < 2 {
        troubles.push("there is no replica that could take over".to_owned());
    }
    let primary = status.snapshot.primary.as_deref();
    for node in nodes {
        let name = &node.name;
        let why = node.reason.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
        if node.health != Health::Up {
            troubles.push(format!("{name} is not up{why}"));
        } else if Some(name.as_str()) == primary {
            if node.role != Role::Primary {
                troubles.push(format!("{name} serves and does not say that it is a primary"));
            }
        } else if node.role != Role::Replica || node.link_up != Some(true) {
            troubles.push(format!("{name} is not a replica in step{why}"));
        }
    }
    troubles
}

/// How often a node gave a replica a full copy, and how often the rest of what it had, since it
/// started.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Counters {
    pub(super) run_id: String,
    pub(super) full: u64,
    pub(super) partial: u64,
}

/// The counters of every node, or why one does not tell them.
pub(super) type Resyncs = BTreeMap<String, Result<Counters, String>>;

/// Asks each node itself, with Segue's own credentials.
pub(super) async fn resyncs(status: &Status, credentials: Option<&Credentials>) -> Resyncs {
    let mut counters = Resyncs::new();
    for node in &status.snapshot.nodes {
        counters.insert(node.name.clone(), ask(node, credentials).await);
    }
    counters
}

async fn ask(node: &NodeStatus, credentials: Option<&Credentials>) -> Result<Counters, String> {
    let addr = node.resolved.ok_or("Segue has no connection to it")?;
    let opened = Connection::open(addr, credentials, ANSWER_WITHIN).await;
    let mut connection = opened.map_err(|error| error.to_string())?;
    let info: &[&[u8]] = &[b"INFO", b"everything"];
    let replies = connection.call(&[info], ANSWER_WITHIN).await;
    let replies = replies.map_err(|error| error.to_string())?;
    let reply = replies.first().ok_or("it gave no answer")?;
    if let Some(error) = error_text(reply) {
        return Err(String::from_utf8_lossy(error).into_owned());
    }
    let info = text(reply).map(|it| String::from_utf8_lossy(it).into_owned()).unwrap_or_default();
    parse(&info).ok_or_else(|| "its INFO does not count resynchronisations".to_owned())
}

fn parse(info: &str) -> Option<Counters> {
    let field = |name: &str| {
        info.lines()
            .filter_map(|it| it.split_once(':'))
            .find(|it| it.0 == name)
            .map(|it| it.1.trim())
    };
    Some(Counters {
        run_id: field("run_id")?.to_owned(),
        full: field("sync_full")?.parse().ok()?,
        partial: field("sync_partial_ok")?.parse().ok()?,
    })
}

/// What was added between two looks at a node; all of it, if the process is another one.
pub(super) fn added(
    before: Option<&Result<Counters, String>>,
    after: &Result<Counters, String>,
) -> Result<(u64, u64), String> {
    let after = after.as_ref().map_err(Clone::clone)?;
    let before = match before {
        Some(Ok(before)) => before,
        Some(Err(why)) => return Err(format!("not asked before: {why}")),
        None => return Err("not known before".to_owned()),
    };
    Ok(if before.run_id == after.run_id {
        (after.full.saturating_sub(before.full), after.partial.saturating_sub(before.partial))
    } else {
        (after.full, after.partial)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(run_id: &str, full: u64, partial: u64) -> Result<Counters, String> {
        Ok(Counters { run_id: run_id.to_owned(), full, partial })
    }

    #[test]
    fn counts_what_was_added_and_starts_anew_with_another_process() {
        let before = counters("a", 3, 5);
        assert_eq!(added(Some(&before), &counters("a", 3, 7)), Ok((0, 2)));
        assert_eq!(added(Some(&before), &counters("b", 1, 0)), Ok((1, 0)));
        let unknown = Err("no connection".to_owned());
        assert_eq!(added(Some(&before), &unknown), Err("no connection".to_owned()));
        assert!(added(None, &before).is_err());
    }

    #[test]
    fn reads_what_servers_say() {
        let info = "# Server\r\nrun_id:abc\r\n# Stats\r\nsync_full:2\r\nsync_partial_ok:11\r\n";
        assert_eq!(parse(info), counters("abc", 2, 11).ok());
        assert_eq!(parse("run_id:abc\r\n"), None);
    }
}
