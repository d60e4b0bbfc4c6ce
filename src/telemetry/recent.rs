//! The last transitions of the group, kept in memory: what `segue events` shows.
//!
//! They are the log lines of the journal, taken on their way to the log, whatever `log.level` says:
//! so that each is told in the same words everywhere, and an operator who comes too late finds
//! them without the log.
//!
//! # Deliberately absent
//!
//! Anything else that is logged: sessions come and go by the thousand. And a memory that outlives
//! the process; logs are for that.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Transitions that are kept: a failover has about ten.
pub const KEPT_MAX: usize = 256;

/// Who logs transitions.
pub(super) const JOURNAL: &str = "segue::control::journal";

/// One transition. Fields are only ever added: scripts read this.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Happening {
    /// Its number since the process started, from 1.
    pub seq: u64,
    /// Milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// `ERROR`, `WARN` or `INFO`.
    pub level: String,
    /// What happened.
    pub message: String,
    /// To whom, and why.
    pub fields: BTreeMap<String, String>,
}

/// The transitions that are kept, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Mutex<Ring>>);

#[derive(Debug, Default)]
struct Ring {
    last: u64,
    kept: VecDeque<Happening>,
}

impl Recent {
    /// All that is kept.
    pub fn list(&self) -> Vec<Happening> {
        // A list that somebody panicked over is still a list.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).kept.iter().cloned().collect()
    }

    fn keep(&self, level: &str, message: String, fields: BTreeMap<String, String>) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.last = ring.last.saturating_add(1);
        let seq = ring.last;
        if ring.kept.len() >= KEPT_MAX {
            ring.kept.pop_front();
        }
        let level = level.to_owned();
        ring.kept.push_back(Happening { seq, at_ms, level, message, fields });
    }
}

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        self.keep(event.metadata().level().as_str(), message, fields.0);
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
