//! Asks a primary for its commands, so that those of modules and of newer servers are known.
//! Until it has answered, an unknown command counts as a write.

use crate::config::Credentials;
use crate::net::call::Connection;
use crate::pure::command::{Table, parse};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, warn};

/// The reply is large, and nobody waits for it.
const LIMIT: Duration = Duration::from_secs(5);

const ATTEMPTS_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Learns the commands of the node at `addr` and hands the table out.
pub(super) async fn learn(
    addr: SocketAddr,
    credentials: Option<Credentials>,
    table: watch::Sender<Arc<Table>>,
) {
    for _ in 0..ATTEMPTS_MAX {
        match ask(addr, credentials.as_ref()).await {
            Ok(learnt) => {
                table.send_replace(Arc::new(learnt));
                return;
            }
            Err(error) => debug!(%addr, error, "Commands not learnt"),
        }
        sleep(PAUSE).await;
    }
    warn!(%addr, "The primary does not tell its commands; those of modules count as writes");
}

async fn ask(addr: SocketAddr, credentials: Option<&Credentials>) -> Result<Table, String> {
    let mut connection =
        Connection::open(addr, credentials, LIMIT).await.map_err(|error| error.to_string())?;
    let replies =
        connection.call(&[&[b"COMMAND"]], LIMIT).await.map_err(|error| error.to_string())?;
    let learnt = replies.first().and_then(|it| parse(it)).ok_or("the reply to COMMAND is none")?;
    let mut table = Table::builtin();
    table.learn(learnt);
    Ok(table)
}
