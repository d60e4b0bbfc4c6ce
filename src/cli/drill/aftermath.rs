//! After a drill: looks for every acknowledged write through Segue, and removes every key.
//!
//! Keys are named one by one, as the clients named them; nothing is searched for in the data of
//! others. What cannot be removed has a time to live.

use super::history::{Outcome, Seen};
use super::site::{Site, Unfit, command};
use crate::net::converse::Conversation;
use crate::pure::resp::reply::{error_text, is_null, text};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Commands in one pipeline, and keys in one `UNLINK`.
const BATCH: usize = 200;

/// What is there of one client's writes, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// All of its keys.
    pub(super) whole: BTreeSet<u32>,
    /// One of its two keys.
    pub(super) torn: BTreeSet<u32>,
    /// A key with a value that was never written there.
    pub(super) wrong: BTreeSet<u32>,
}

/// What is there, by client.
pub(super) type Findings = BTreeMap<u16, Found>;

/// Looks for every write that may have run.
///
/// # Errors
///
/// A sentence, if that cannot be said of every one.
pub(super) async fn look(site: &Site, seen: &[Seen]) -> Result<Findings, String> {
    let mut link = open(site).await?;
    let mut findings = Findings::new();
    for it in seen {
        let found = findings.entry(it.client).or_default();
        let mut present = BTreeMap::<u32, u8>::new();
        let may_have_run = it.writes.iter().filter(|it| it.outcome != Outcome::Failed);
        let keys: Vec<(u32, u8)> =
            may_have_run.flat_map(|write| (0..it.parts).map(|part| (write.n, part))).collect();
        for batch in keys.chunks(BATCH) {
            let key = |&(n, part): &(u32, u8)| command(["GET", &site.key(it.client, n, part)]);
            let commands: Vec<_> = batch.iter().map(key).collect();
            let replies = call(&mut link, site, &commands).await?;
            for (&(n, part), reply) in batch.iter().zip(&replies) {
                if is_null(reply) {
                    continue;
                }
                let value = site.value(it.client, n, part);
                if text(reply) == Some(value.as_bytes()) {
                    *present.entry(n).or_default() += 1;
                } else {
                    found.wrong.insert(n);
                }
            }
        }
        for (n, parts) in present {
            if parts == it.parts {
                found.whole.insert(n)
            } else {
                found.torn.insert(n)
            };
        }
    }
    Ok(findings)
}

/// Removes every key of the run: `begun` says how many writes each client has begun.
///
/// # Errors
///
/// A sentence, if something is left.
pub(super) async fn clean(site: &Site, begun: &[u32]) -> Result<(), String> {
    let mut link = open(site).await?;
    let mut keys = vec![site.queue()];
    for (client, count) in (0_u16..).zip(begun) {
        // The first one sets two keys at a time; the queue and the channel have none.
        let parts = if client == 0 { 2 } else { 1 };
        let named = (0..*count).flat_map(|n| (0..parts).map(move |part| (n, part)));
        keys.extend(named.map(|(n, part)| site.key(client, n, part)));
    }
    for batch in keys.chunks(BATCH) {
        let words = ["UNLINK".to_owned()].into_iter().chain(batch.iter().cloned());
        call(&mut link, site, &[words.collect()]).await?;
    }
    Ok(())
}

/// Whether a client may do all that the drill does.
///
/// # Errors
///
/// The command that failed, and what was answered.
pub(super) async fn rehearse(site: &Site) -> Result<(), (String, Unfit)> {
    let mut link = site.open().await.map_err(|error| ("the log-in".to_owned(), error))?;
    let (key, value, queue) = (site.key(0, 0, 0), site.value(0, 0, 0), site.queue());
    let ttl = site.ttl_secs.to_string();
    let steps = [
        command(["SET", &key, &value, "EX", &ttl]),
        command(["GET", &key]),
        command(["MULTI"]),
        command(["EXEC"]),
        command(["RPUSH", &queue, "0"]),
        command(["EXPIRE", &queue, &ttl]),
        command(["BLPOP", &queue, "1"]),
        command(["PUBLISH", &site.channel(), "0"]),
        command(["UNLINK", &key, &queue]),
        command(["SUBSCRIBE", &site.channel()]),
    ];
    for step in steps {
        let name = step.first().cloned().unwrap_or_default();
        let replies = link.call(&[step], site.patience).await;
        let replies = replies.map_err(|error| (name.clone(), Unfit::Io(error)))?;
        if let Some(text) = replies.iter().find_map(|it| error_text(it)) {
            return Err((name, Unfit::Denied(String::from_utf8_lossy(text).into_owned())));
        }
    }
    Ok(())
}

async fn open(site: &Site) -> Result<Conversation, String> {
    site.open().await.map_err(|error| match error {
        Unfit::Io(error) => format!("no connection: {error}"),
        Unfit::Denied(text) => text,
    })
}

async fn call(
    link: &mut Conversation,
    site: &Site,
    commands: &[Vec<String>],
) -> Result<Vec<Bytes>, String> {
    let replies = link.call(commands, site.patience).await;
    let replies = replies.map_err(|error| format!("no answer: {error}"))?;
    match replies.iter().find_map(|it| error_text(it)) {
        None => Ok(replies),
        Some(text) => Err(String::from_utf8_lossy(text).into_owned()),
    }
}
