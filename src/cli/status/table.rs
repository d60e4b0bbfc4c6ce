//! The status as text for a terminal: facts first, then one line a node.

use crate::ops::status::{Guarded, Status};
use crate::pure::topology::snapshot::{FailoverAccount, Health, NodeStatus, Role, Snapshot};
use std::fmt::Write as _;
use std::time::Duration;

const HEADINGS: [&str; 8] = ["NODE", "ADDRESS", "ROLE", "HEALTH", "LAG", "LINK", "SILENT", ""];

/// The whole text, with a line break at its end.
pub(super) fn render(status: &Status) -> String {
    let snapshot = &status.snapshot;
    let mut text = String::new();
    let mut fact = |name: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<10}{}", printable(&value));
    };
    fact("group", with_phase(snapshot));
    fact("primary", snapshot.primary.clone().unwrap_or_else(|| "none".to_owned()));
    fact("gate", gate(snapshot));
    fact("epoch", snapshot.epoch.to_string());
    fact("sessions", format!("{} of {}", status.sessions.open, status.sessions.max));
    let held = &status.held;
    let (used, max) = (bytes(held.bytes), bytes(held.max_bytes));
    fact("held", format!("{} commands, {used} of {max}", held.commands));
    for listener in &status.listeners {
        if let Some(promise) = &listener.guarded {
            fact("guarded", guarded(&listener.address, promise));
        }
    }
    let draining = if status.draining { ", draining" } else { "" };
    let up = time(status.uptime_ms);
    fact("segue", format!("{} ({}), up {up}{draining}", status.version, status.commit));
    text.push('\n');
    text.push_str(&nodes(&snapshot.nodes));
    if !snapshot.strangers.is_empty() {
        let names = printable(&snapshot.strangers.join(", "));
        let _ = writeln!(text, "\nreported by the primary, not configured: {names}");
    }
    if !snapshot.conflicts.is_empty() {
        let names = printable(&snapshot.conflicts.join(", "));
        let _ = writeln!(text, "\nclaim to be primary, and wait for `segue adopt`: {names}");
    }
    if let Some(account) = &snapshot.last_failover {
        let _ = writeln!(text, "\nlast failover: {}", printable(&failover(account)));
    }
    text
}

fn with_phase(snapshot: &Snapshot) -> String {
    if snapshot.phase.is_empty() {
        snapshot.group.clone()
    } else {
        format!("{} ({})", snapshot.group, snapshot.phase)
    }
}

fn gate(snapshot: &Snapshot) -> String {
    match (&snapshot.reason, snapshot.gate_open) {
        (None, true) => "open".to_owned(),
        (None, false) => "held".to_owned(),
        (Some(reason), true) => format!("open: {reason}"),
        (Some(reason), false) => format!("held: {reason}"),
    }
}

fn guarded(address: &str, promise: &Guarded) -> String {
    let Guarded { replicas, timeout_ms, reads_confirmed } = promise;
    let plural = if *replicas == 1 { "" } else { "s" };
    let reads = if *reads_confirmed { "writes and reads" } else { "writes" };
    format!("{address}: {reads} by {replicas} replica{plural} within {}", time(*timeout_ms))
}

fn failover(account: &FailoverAccount) -> String {
    let FailoverAccount { epoch, from, to, held_ms, outcome } = account;
    let from = from.as_deref().unwrap_or("?");
    let to = to.as_deref().unwrap_or("nobody");
    format!("{from} to {to}, {outcome}, epoch {epoch}, commands held for {}", time(*held_ms))
}

/// One line a node, columns as wide as their widest cell.
fn nodes(nodes: &[NodeStatus]) -> String {
    let headings = HEADINGS.map(str::to_owned);
    let rows: Vec<_> = std::iter::once(headings).chain(nodes.iter().map(cells)).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths = std::array::from_fn::<_, { HEADINGS.len() }, _>(width);
    let mut text = String::new();
    for row in &rows {
        let padded = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = padded.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn cells(node: &NodeStatus) -> [String; HEADINGS.len()] {
    let role = match node.role {
        Role::Primary => "primary",
        Role::Replica => "replica",
        Role::Unknown => "unknown",
    };
    let health = match node.health {
        Health::Unknown => "unknown",
        Health::Up => "up",
        Health::Suspect => "suspect",
        Health::Down => "down",
    };
    let link = match node.link_up {
        Some(true) => "up",
        Some(false) => "down",
        None => "-",
    };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let configured = if node.configured { "" } else { " (discovered)" };
    [
        printable(&format!("{}{configured}", node.name)),
        printable(&node.address),
        role.to_owned(),
        health.to_owned(),
        or_dash(node.lag_bytes.map(bytes)),
        link.to_owned(),
        or_dash(node.silent_ms.map(time)),
        printable(node.reason.as_deref().unwrap_or_default()),
    ]
}

/// `text` with nothing in it that a terminal would obey: error texts and names come from
/// nodes, and a node may be anybody.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1_024 {
        return format!("{count} B");
    }
    let mut amount = count as f64;
    let mut name = "B";
    for unit in UNITS {
        if amount < 1_024.0 {
            break;
        }
        amount /= 1_024.0;
        name = unit;
    }
    format!("{amount:.1} {name}")
}

/// Two units at most: nobody reads the milliseconds of a day.
fn time(length_ms: u64) -> String {
    if length_ms < 1_000 {
        return format!("{length_ms}ms");
    }
    if length_ms < 60_000 {
        let tenths = length_ms / 100;
        return format!("{}.{}s", tenths / 10, tenths % 10);
    }
    let seconds = length_ms / 1_000;
    let grain = if seconds < 3_600 {
        1
    } else if seconds < 86_400 {
        60
    } else {
        3_600
    };
    humantime::format_duration(Duration::from_secs(seconds / grain * grain)).to_string()
}

#[cfg(test)]
#[path = "table_test.rs"]
mod tests;
