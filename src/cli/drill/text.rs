//! The account of a drill as text.

use super::account::{Account, Mode, Node, Waits};
use std::fmt::{self, Write as _};

/// A table of what was seen, and the verdict.
pub(super) fn render(account: &Account) -> String {
    let mut text = String::from("The account\n");
    for (label, value) in lines(account) {
        let _infallible = writeln!(text, "    {label:<20} {value}");
    }
    for node in &account.nodes {
        let _infallible = writeln!(text, "    {:<20} {}", format!("node {}", node.name), Row(node));
    }
    text.push('\n');
    text.push_str(&verdict(account));
    text
}

fn lines(account: &Account) -> Vec<(&'static str, String)> {
    let name = |it: &Option<String>| it.clone().unwrap_or_else(|| "nobody".to_owned());
    let mut lines = vec![
        (
            "load",
            format!(
                "{} clients, {} writes and {} reads in {:.1} s",
                account.clients, account.writes, account.reads, account.seconds
            ),
        ),
        (
            "primary",
            format!(
                "{} before, {} after",
                name(&account.primary_before),
                name(&account.primary_after)
            ),
        ),
    ];
    for change in &account.changes {
        let (from, to) = (name(&change.from), name(&change.to));
        lines.push(("commands held", format!("{} from {from} to {to}", change.held_ms)));
    }
    lines.extend([
        ("longest wait", format!("{} of any client for one answer", account.after.longest_ms)),
        (
            "waits",
            format!("{} before; {} from then on", Spread(account.before), Spread(account.after)),
        ),
        (
            "without a write",
            format!("{}; {} before", account.without_write_ms, account.without_write_before_ms),
        ),
        ("disconnections", account.disconnections.to_string()),
    ]);
    if account.errors.is_empty() {
        lines.push(("errors", "0".to_owned()));
    }
    lines
        .extend(account.errors.iter().map(|(what, count)| ("errors", format!("{count} x {what}"))));
    lines.push((
        "uncertain writes",
        format!("{}, of which {} had run", account.uncertain, account.uncertain_ran),
    ));
    if account.unknown > 0 {
        lines.push(("without an answer", format!("{} writes", account.unknown)));
    }
    lines.push((
        "acknowledged writes",
        format!("{}, of which {} are lost", account.acknowledged, account.lost),
    ));
    lines.push((
        "queue",
        format!("{} elements lost, {} delivered twice", account.queue_lost, account.queue_repeated),
    ));
    lines.push(("messages", format!("{} missed", account.messages_missed)));
    lines
}

fn verdict(account: &Account) -> String {
    if !account.is_kept() {
        let list: String = account.broken.iter().map(|it| format!("\n  * {it}")).collect();
        return format!("BROKEN:{list}");
    }
    let lost = account.lost + account.queue_lost;
    match account.mode {
        Mode::Switchover => "Every promise was kept.".to_owned(),
        Mode::Failover | Mode::Watch if lost == 0 => {
            "Every promise was kept, and no acknowledged write was lost.".to_owned()
        }
        Mode::Failover | Mode::Watch => format!(
            "Every promise was kept. {lost} acknowledged writes went with the old primary: replication \
             is asynchronous."
        ),
    }
}

struct Spread(Waits);

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Waits { p50_ms, p99_ms, longest_ms } = self.0;
        write!(f, "p50 {p50_ms}, p99 {p99_ms}, longest {longest_ms}")
    }
}

struct Row<'a>(&'a Node);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Node { role_before, role_after, full_resyncs, partial_resyncs, remark, .. } = self.0;
        write!(f, "{role_before} before, {role_after} after; ")?;
        match (full_resyncs, partial_resyncs) {
            (Some(full), Some(partial)) => {
                write!(f, "gave {full} full and {partial} partial resynchronisations")
            }
            (Some(_) | None, Some(_) | None) => {
                let why = remark.as_deref().unwrap_or("not asked");
                write!(f, "resynchronisations not known ({why})")
            }
        }
    }
}
