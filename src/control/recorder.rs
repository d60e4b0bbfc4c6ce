//! Logs at TRACE what the brain is told and what it decides, so that what happened can be
//! replayed: see [`record`](crate::pure::failover::record).

use super::Settings;
use crate::pure::failover::record::{Beginning, Moment};
use crate::pure::failover::{Action, Event};
use crate::pure::time::Time;
use serde::Serialize;
use tracing::{Level, enabled, trace, warn};

/// Whether anybody wants to know.
pub(super) fn is_on() -> bool {
    enabled!(Level::TRACE)
}

/// A brain begins.
pub(super) fn begin(at: Time, settings: &Settings) {
    if is_on() {
        write(&Beginning {
            at,
            group: settings.group.clone(),
            params: settings.params.clone(),
            nodes: settings.nodes.clone(),
        });
    }
}

/// A brain has taken `event` and wants `actions`.
pub(super) fn record(at: Time, event: Event, actions: &[Action]) {
    write(&Moment::new(at, event, actions));
}

fn write(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(record) => trace!(record, "Decided"),
        Err(error) => warn!(%error, "A decision could not be recorded"),
    }
}
