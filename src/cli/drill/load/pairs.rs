//! The clients that come in pairs: one gives, and the other waits for it.

use super::super::history::{Outcome, Seen};
use super::super::site::command;
use super::client::Client;
use crate::pure::resp::reply::{int, is_null, items, text};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::timeout;

/// How long the waiting command waits at the node, in seconds; so long lasts the end of a drill.
const BLOCK_SECS: &str = "1";

/// How long a subscriber waits for the last messages.
const LAST_MESSAGES: Duration = Duration::from_millis(500);

impl Client {
    /// Pushes to the queue in each turn.
    pub(super) async fn push(mut self, every: Duration) -> Seen {
        let mut pace = self.pace(every);
        while self.turn(&mut pace).await {
            let (n, queue) = (self.begin(1), self.site.queue());
            let push = command(["RPUSH", &queue, &n.to_string()]);
            // An emptied list is gone with its time to live.
            let expire = command(["EXPIRE", &queue, &self.site.ttl_secs.to_string()]);
            let answer = self.call(&[push, expire]).await;
            let mut replies = answer.replies.unwrap_or_default().into_iter();
            if self.judge("push", replies.next().as_ref()) == Outcome::Acknowledged {
                self.seen.given.insert(n);
            }
            let _counted = self.judge("push", replies.next().as_ref());
        }
        self.seen
    }

    /// Takes from the queue until nothing is left and nobody gives any more.
    pub(super) async fn pop(mut self) -> Seen {
        loop {
            let was_stopped = self.is_stopped();
            let pop = command(["BLPOP", &self.site.queue(), BLOCK_SECS]);
            let answer = self.call(&[pop]).await;
            // It waits by design; that is no wait for an answer.
            self.seen.waits.pop();
            let reply = answer.replies.and_then(|it| it.into_iter().next());
            let taken = reply.as_ref().and_then(|it| int(items(it).nth(1)?));
            if let Some(n) = taken.and_then(|it| u32::try_from(it).ok()) {
                *self.seen.taken.entry(n).or_default() += 1;
                continue;
            }
            let is_empty = reply.as_ref().is_some_and(|it| is_null(it));
            if !is_empty && reply.is_some() {
                let _counted = self.judge("blocking", reply.as_ref());
            }
            if was_stopped {
                return self.seen;
            }
        }
    }

    /// Publishes in each turn.
    pub(super) async fn publish(mut self, every: Duration) -> Seen {
        let mut pace = self.pace(every);
        while self.turn(&mut pace).await {
            let n = self.begin(1);
            let publish = command(["PUBLISH", &self.site.channel(), &n.to_string()]);
            let answer = self.call(&[publish]).await;
            let reply = answer.replies.and_then(|it| it.into_iter().next());
            let outcome = self.judge("publish", reply.as_ref());
            let is_heard = reply.as_ref().and_then(|it| int(it)).is_some_and(|it| it > 0);
            if outcome == Outcome::Acknowledged && is_heard {
                self.seen.given.insert(n);
            }
        }
        self.seen
    }

    /// Is subscribed until nobody publishes any more.
    pub(super) async fn listen(mut self) -> Seen {
        loop {
            let subscribe = command(["SUBSCRIBE", &self.site.channel()]);
            let answer = self.call(&[subscribe]).await;
            if answer.replies.is_some() && self.messages().await {
                return self.seen;
            }
            if self.is_stopped() {
                return self.seen;
            }
        }
    }

    /// Takes messages; true at the end, false when the connection was lost.
    async fn messages(&mut self) -> bool {
        loop {
            let Some(link) = &mut self.link else { return false };
            let was_stopped = *self.stop.borrow();
            match timeout(LAST_MESSAGES, link.receive()).await {
                Ok(Ok(message)) => self.message(&message),
                Ok(Err(error)) => {
                    self.lost(&error).await;
                    return false;
                }
                Err(_silence) if was_stopped => return true,
                Err(_silence) => {}
            }
        }
    }

    fn message(&mut self, message: &Bytes) {
        let mut parts = items(message);
        if parts.next().and_then(text) != Some(b"message") {
            return;
        }
        if let Some(n) = parts.nth(1).and_then(int).and_then(|it| u32::try_from(it).ok()) {
            *self.seen.taken.entry(n).or_default() += 1;
        }
    }
}
