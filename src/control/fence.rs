//! Carries fences out: the only code of Segue that sets `min-replicas-to-write`.
//!
//! `min-replicas-*` and `min-slaves-*` are the same settings under two names; the servers accept
//! both, and answer under the one that was asked for.

use super::executor::{connect, persist};
use crate::config::Credentials;
use crate::net::call::{CallError, Connection};
use crate::pure::failover::{Endpoint, Fence, Fenced, Fencing};
use crate::pure::resp::reply::{error_text, items, text};
use std::time::Duration;

/// How long one question or order may take.
const ANSWER_MAX: Duration = Duration::from_secs(1);

const MIN_REPLICAS: &[u8] = b"min-replicas-to-write";
const MAX_LAG: &[u8] = b"min-replicas-max-lag";

/// Carries `fencing` out at `address`.
pub(super) async fn carry_out(
    fencing: Fencing,
    address: &Endpoint,
    credentials: Option<&Credentials>,
) -> Fenced {
    match attempt(fencing, address, credentials).await {
        Ok(before) => Fenced::Done(before),
        Err(outcome) => outcome,
    }
}

async fn attempt(
    fencing: Fencing,
    address: &Endpoint,
    credentials: Option<&Credentials>,
) -> Result<Option<Fence>, Fenced> {
    let mut connection = connect(address, credentials).await.map_err(Fenced::Unknown)?;
    let found = read(&mut connection).await?;
    let wanted = match fencing {
        Fencing::Set(ours) if found == ours => return Ok(None),
        Fencing::Set(ours) => ours,
        // Somebody has changed it since: it is theirs now.
        Fencing::PutBack { ours, .. } if found != ours => return Ok(None),
        Fencing::PutBack { before, .. } => before,
    };
    write(&mut connection, wanted).await?;
    if matches!(fencing, Fencing::PutBack { .. }) {
        // Orders to the node may have written our value into its file meanwhile.
        tokio::spawn(persist(connection));
    }
    Ok(Some(found))
}

async fn read(connection: &mut Connection) -> Result<Fence, Fenced> {
    let question: &[&[u8]] = &[b"CONFIG", b"GET", MIN_REPLICAS, MAX_LAG];
    let replies = connection.call(&[question], ANSWER_MAX).await.map_err(unknown)?;
    let Some(reply) = replies.first() else {
        return Err(Fenced::Unknown("no answer to CONFIG GET".to_owned()));
    };
    if let Some(error) = error_text(reply) {
        return Err(refused("CONFIG GET", error));
    }
    let words: Vec<_> = items(reply).filter_map(text).collect();
    let of = |name: &[u8]| -> Option<u64> {
        let value = words.chunks_exact(2).find(|it| it.first() == Some(&name))?.get(1)?;
        String::from_utf8_lossy(value).parse().ok()
    };
    match (of(MIN_REPLICAS), of(MAX_LAG)) {
        (Some(min_replicas), Some(max_lag_secs)) => Ok(Fence { min_replicas, max_lag_secs }),
        _ => Err(Fenced::Refused("CONFIG GET does not tell min-replicas-to-write".to_owned())),
    }
}

async fn write(connection: &mut Connection, fence: Fence) -> Result<(), Fenced> {
    let (min, lag) = (fence.min_replicas.to_string(), fence.max_lag_secs.to_string());
    let order: &[&[u8]] =
        &[b"CONFIG", b"SET", MIN_REPLICAS, min.as_bytes(), MAX_LAG, lag.as_bytes()];
    let replies = connection.call(&[order], ANSWER_MAX).await.map_err(unknown)?;
    match replies.first().and_then(|it| error_text(it)) {
        Some(error) => Err(refused("CONFIG SET", error)),
        None => Ok(()),
    }
}

fn unknown(error: CallError) -> Fenced {
    match error {
        CallError::Denied { text, .. } => Fenced::Refused(text),
        error @ (CallError::Dial(_)
        | CallError::Lost { .. }
        | CallError::Timeout { .. }
        | CallError::Protocol { .. }
        | CallError::TooLong { .. }) => Fenced::Unknown(error.to_string()),
    }
}

fn refused(command: &str, error: &[u8]) -> Fenced {
    Fenced::Refused(format!("{command}: {}", String::from_utf8_lossy(error)))
}
