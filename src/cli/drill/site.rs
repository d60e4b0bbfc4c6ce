//! Where the clients of a drill connect, as whom, and which keys they use: every one of them starts
//! with the prefix of this run, has a time to live, and can be named without looking for it.

use crate::net::converse::{Conversation, Peer};
use crate::ops::client::Address;
use crate::pure::resp::reply::error_text;
use secrecy::{ExposeSecret, SecretString};
use std::io;
use std::time::Duration;

/// How long a connection may take; Segue accepts at once.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// What `CLIENT LIST` shows for the clients of a drill.
const CLIENT_NAME: &str = "segue-drill";

/// See the header.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) connect: Address,
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretString>,
    pub(super) db: u32,
    /// With the run's id; ends with a colon.
    pub(super) prefix: String,
    pub(super) run: String,
    /// The second safety net: seconds after which a key is gone by itself.
    pub(super) ttl_secs: u64,
    /// How long an answer may take: longer than Segue holds anything.
    pub(super) patience: Duration,
}

/// Why a client could not log in.
#[derive(Debug)]
pub(super) enum Unfit {
    /// There is no connection.
    Io(io::Error),
    /// It was told no.
    Denied(String),
}

impl Site {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// See [`Unfit`].
    pub(super) async fn open(&self) -> Result<Conversation, Unfit> {
        let peer = match &self.connect {
            Address::Tcp(address) => Peer::Tcp(address),
            Address::Unix(path) => Peer::Unix(path),
        };
        let mut link = Conversation::open(peer, CONNECT_WITHIN).await.map_err(Unfit::Io)?;
        let mut commands = Vec::new();
        if let Some(password) = &self.password {
            let user = self.user.as_deref();
            let words = ["AUTH"].into_iter().chain(user).chain([password.expose_secret()]);
            commands.push(words.map(str::to_owned).collect());
        }
        if self.db != 0 {
            commands.push(command(["SELECT", &self.db.to_string()]));
        }
        let replies = link.call(&commands, self.patience).await.map_err(Unfit::Io)?;
        if let Some(text) = replies.iter().find_map(|it| error_text(it)) {
            return Err(Unfit::Denied(String::from_utf8_lossy(text).into_owned()));
        }
        // An ACL may forbid it, which does not matter.
        let name = command(["CLIENT", "SETNAME", CLIENT_NAME]);
        link.call(&[name], self.patience).await.map_err(Unfit::Io)?;
        Ok(link)
    }

    /// The key of a part of a write.
    pub(super) fn key(&self, client: u16, n: u32, part: u8) -> String {
        format!("{}{client}:{n}:{part}", self.prefix)
    }

    /// The value that belongs there, and nowhere else.
    pub(super) fn value(&self, client: u16, n: u32, part: u8) -> String {
        format!("{}:{client}:{n}:{part}", self.run)
    }

    pub(super) fn set(&self, client: u16, n: u32, part: u8) -> Vec<String> {
        let (key, value) = (self.key(client, n, part), self.value(client, n, part));
        command(["SET", &key, &value, "EX", &self.ttl_secs.to_string()])
    }

    pub(super) fn queue(&self) -> String {
        format!("{}queue", self.prefix)
    }

    pub(super) fn channel(&self) -> String {
        format!("{}news", self.prefix)
    }
}

pub(super) fn command<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}
