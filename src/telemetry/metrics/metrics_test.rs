//! The conventions, held over the whole registry.

use super::*;
use crate::pure::session::Tally;
use crate::pure::topology::SignalKind;
use crate::pure::topology::snapshot::{Health, NodeStatus, Role, Snapshot};
use crate::pure::topology::{Epoch, NodeId};
use prometheus::proto::MetricType;
use std::collections::BTreeMap;
use std::time::Duration;

fn metrics() -> Metrics {
    Metrics::new(["a", "b"], Dropped::default()).expect("registers")
}

/// Value of the series that starts with `series` up to its value, as a scrape shows it.
#[track_caller]
fn scraped(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.encode().expect("encodes");
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in:\n{text}")).parse().expect("a number")
}

#[test]
fn names_follow_the_convention() {
    for family in metrics().registry.gather() {
        let name = family.name();
        assert!(name.starts_with("segue_") || name.starts_with("process_"), "{name}: prefix");
        assert!(family.help().ends_with('.'), "{name}: help is a sentence");
        let counter = family.get_field_type() == MetricType::COUNTER;
        assert_eq!(name.ends_with("_total"), counter, "{name}: _total is for counters");
        if family.get_field_type() == MetricType::HISTOGRAM {
            assert!(name.ends_with("_seconds") || name.ends_with("_bytes"), "{name}: unit");
        }
    }
}

#[test]
fn every_series_is_there_at_zero_before_the_first_event() {
    let metrics = metrics();
    let _worker = metrics.worker();
    for family in metrics.registry.gather() {
        let name = family.name();
        assert!(!family.get_metric().is_empty(), "{name}: no series");
        if name.starts_with("process_") || name == "segue_build_info" {
            continue;
        }
        for metric in family.get_metric() {
            let value = metric.get_counter().get_value()
                + metric.get_gauge().get_value()
                + metric.get_histogram().get_sample_sum();
            assert!(value.abs() < f64::EPSILON, "{name}: starts at {value}");
        }
    }
    for series in [
        "segue_sessions_closed_total{reason=\"unrestorable\"}",
        "segue_commands_replayed_total{class=\"read\"}",
        "segue_hold_seconds_bucket{le=\"+Inf\"}",
        "segue_failovers_total{outcome=\"promoted\"}",
        "segue_probes_total{node=\"b\",result=\"timeout\"}",
    ] {
        assert!(scraped(&metrics, series).abs() < f64::EPSILON, "{series}");
    }
}

#[test]
fn the_process_describes_itself() {
    let metrics = metrics();
    for series in ["process_resident_memory_bytes", "process_open_fds", "process_max_fds"] {
        assert!(scraped(&metrics, series) > 0.0, "{series}");
    }
    let build = format!(
        "segue_build_info{{commit=\"{COMMIT}\",version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    assert!(scraped(&metrics, &build) > 0.0);
}

#[test]
fn a_scrape_sums_what_the_workers_counted() {
    let metrics = metrics();
    let (one, two) = (metrics.worker(), metrics.worker());
    one.session_opened();
    two.session_opened();
    two.session_opened();
    two.session_closed(Closed::Drain);
    one.bytes.add(Direction::NodeOut, 40);
    two.bytes.add(Direction::NodeOut, 2);
    one.hold_commands.set(1);
    one.hold_commands.set(0);
    two.hold_commands.set(1);
    two.hold_bytes.set(11);
    one.hold_seconds.observe(Duration::from_millis(30));
    one.commands_refused.inc(Refused::Full);

    let check = |series: &str, expected: f64| {
        assert!((scraped(&metrics, series) - expected).abs() < 1e-9, "{series}");
    };
    check("segue_sessions_open", 2.0);
    check("segue_sessions_accepted_total", 3.0);
    check("segue_sessions_closed_total{reason=\"drain\"}", 1.0);
    check("segue_sessions_closed_total{reason=\"client\"}", 0.0);
    check("segue_bytes_total{direction=\"node_out\"}", 42.0);
    check("segue_commands_refused_total{reason=\"full\"}", 1.0);
    check("segue_hold_seconds_bucket{le=\"0.025\"}", 0.0);
    check("segue_hold_seconds_bucket{le=\"0.05\"}", 1.0);
    check("segue_hold_seconds_count", 1.0);
    check("segue_hold_seconds_sum", 0.03);
    let totals = Totals { sessions_open: 2, hold_commands: 1, hold_bytes: 11, ..Totals::default() };
    assert_eq!(metrics.totals(), totals);
}

#[test]
fn each_count_of_a_session_reaches_a_series_of_its_own() {
    // Different numbers, so that two that were swapped are seen.
    let tally = Tally {
        reads: 1,
        writes: 2,
        connection: 3,
        held: 4,
        released: 5,
        replayed_reads: 6,
        replayed_writes: 7,
        uncertain: 8,
        refused_timeout: 9,
        refused_full: 10,
        refused_policy: 11,
        refused_streamed: 12,
        proofs: [13, 14, 15, 16, 17, 27],
        restored: 18,
        restore_failures: 19,
        transactions_replayed: 20,
        watches_broken: 21,
        blocking_reissued: 22,
        subscription_gaps: 23,
        invalidations: 24,
        scans_restarted: 25,
        scripts_reloaded: 26,
        guarded_writes: 28,
        unguarded_writes: 29,
        guarded_reads: 30,
        unguarded_reads: 31,
        subscribers_late: 32,
    };
    let metrics = metrics();
    metrics.worker().add(&tally);
    let counts: [(&str, f64); 32] = [
        ("requests_total{class=\"read\"}", 1.0),
        ("requests_total{class=\"write\"}", 2.0),
        ("requests_total{class=\"connection\"}", 3.0),
        ("commands_held_total", 4.0),
        ("commands_released_total", 5.0),
        ("commands_replayed_total{class=\"read\"}", 6.0),
        ("commands_replayed_total{class=\"write\"}", 7.0),
        ("commands_uncertain_total", 8.0),
        ("commands_refused_total{reason=\"timeout\"}", 9.0),
        ("commands_refused_total{reason=\"full\"}", 10.0),
        ("commands_refused_total{reason=\"policy\"}", 11.0),
        ("commands_refused_total{reason=\"streamed\"}", 12.0),
        ("nonexecution_proofs_total{kind=\"readonly\"}", 13.0),
        ("nonexecution_proofs_total{kind=\"masterdown\"}", 14.0),
        ("nonexecution_proofs_total{kind=\"loading\"}", 15.0),
        ("nonexecution_proofs_total{kind=\"redirect\"}", 16.0),
        ("nonexecution_proofs_total{kind=\"unblocked\"}", 17.0),
        ("nonexecution_proofs_total{kind=\"noreplicas\"}", 27.0),
        ("sessions_restored_total", 18.0),
        ("session_restore_failures_total", 19.0),
        ("transactions_replayed_total", 20.0),
        ("watches_aborted_total", 21.0),
        ("blocking_reissued_total", 22.0),
        ("subscription_gaps_total", 23.0),
        ("tracking_invalidations_total", 24.0),
        ("scans_restarted_total", 25.0),
        ("scripts_reloaded_total", 26.0),
        ("guarded_writes_total{outcome=\"confirmed\"}", 28.0),
        ("guarded_writes_total{outcome=\"uncertain\"}", 29.0),
        ("guarded_reads_total{outcome=\"confirmed\"}", 30.0),
        ("guarded_reads_total{outcome=\"uncertain\"}", 31.0),
        ("subscribers_late_total", 32.0),
    ];
    for (series, count) in counts {
        let value = scraped(&metrics, &format!("segue_{series}"));
        assert!((value - count).abs() < f64::EPSILON, "{series}: {value}");
    }
}

#[test]
fn limits_are_those_of_the_configuration() {
    let metrics = metrics();
    let config = "\
        group: { name: main, nodes: [{ name: a, address: 127.0.0.1:7001 }] }\n\
        hold: { timeout: 2500ms, max_bytes: 1MiB }\n\
        sessions: { max: 100, max_in_flight: 64KiB, max_query_buffer: 128KiB }\n";
    metrics.limits.show(&Config::parse(config).expect("a configuration"), 90);
    let check = |series: &str, expected: f64| {
        assert!((scraped(&metrics, series) - expected).abs() < 1e-9, "{series}");
    };
    check("segue_sessions_max", 90.0);
    check("segue_hold_max_bytes", 1_048_576.0);
    check("segue_hold_max_seconds", 2.5);
    check("segue_session_in_flight_max_bytes", 65_536.0);
    check("segue_session_query_buffer_max_bytes", 131_072.0);
}

#[test]
fn the_control_plane_counts_by_label() {
    let metrics = metrics();
    metrics.control.failover_ended(FailoverOutcome::Recovered);
    metrics.control.phase_ended(FailoverPhase::Promote, Duration::from_millis(4));
    metrics.control.repointed(Repointed::Unknown);
    metrics.control.signalled(SignalKind::NotPrimary);
    let node = metrics.control.node(NodeId(1)).expect("configured");
    node.probed(ProbeResult::Refused, Duration::from_micros(300));
    assert!(metrics.control.node(NodeId(2)).is_none(), "a discovered node has no series");

    for series in [
        "segue_failovers_total{outcome=\"recovered\"}",
        "segue_failover_phase_seconds_bucket{phase=\"promote\",le=\"0.005\"}",
        "segue_repoints_total{outcome=\"unknown\"}",
        "segue_signals_total{kind=\"not_primary\"}",
        "segue_probes_total{node=\"b\",result=\"refused\"}",
        "segue_probe_seconds_count{node=\"b\"}",
    ] {
        assert!((scraped(&metrics, series) - 1.0).abs() < f64::EPSILON, "{series}");
    }
}

#[test]
fn gauges_say_what_the_snapshot_says() {
    let status = |name: &str, role, health| NodeStatus {
        name: name.to_owned(),
        address: "127.0.0.1:7001".to_owned(),
        resolved: None,
        configured: true,
        role,
        health,
        reason: None,
        run_id: None,
        replid: None,
        offset: Some(1_000),
        lag_bytes: Some(7),
        link_up: None,
        silent_ms: None,
    };
    let metrics = metrics();
    metrics.control.show(&Snapshot {
        epoch: Epoch(3).0,
        gate_open: true,
        nodes: vec![
            status("b", Role::Primary, Health::Up),
            status("a", Role::Replica, Health::Suspect),
            status("stranger:1", Role::Replica, Health::Up),
        ],
        ..Snapshot::default()
    });
    let check = |series: &str, expected: f64| {
        assert!((scraped(&metrics, series) - expected).abs() < 1e-9, "{series}");
    };
    check("segue_topology_epoch", 3.0);
    check("segue_gate_open", 1.0);
    check("segue_node_up{node=\"b\"}", 1.0);
    check("segue_node_up{node=\"a\"}", 0.0);
    check("segue_node_primary{node=\"b\"}", 1.0);
    check("segue_node_primary{node=\"a\"}", 0.0);
    check("segue_node_lag_bytes{node=\"a\"}", 7.0);
    check("segue_node_offset_bytes{node=\"a\"}", 1_000.0);
    let text = metrics.encode().expect("encodes");
    assert!(!text.contains("stranger"), "no label from what a node said");
}

/// Name to (type, labels), as the registry has it.
fn exported() -> BTreeMap<String, (String, String)> {
    let mut exported = BTreeMap::new();
    for family in metrics().registry.gather() {
        let labels = family.get_metric().first().expect("a series").get_label();
        let mut labels: Vec<_> = labels.iter().map(|it| it.name().to_owned()).collect();
        labels.sort();
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        exported.insert(family.name().to_owned(), (kind, labels.join(", ")));
    }
    exported
}

/// The same from the tables of `docs/metrics.md`: `| name | type | labels | meaning |`.
fn documented() -> BTreeMap<String, (String, String)> {
    let page = include_str!("../../../docs/metrics.md");
    let mut documented = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        let [_, name, kind, labels, meaning, _] = &cells[..] else { continue };
        if !name.starts_with("segue_") && !name.starts_with("process_") {
            continue;
        }
        // `reason` (`max`, `min`): only the names before the parentheses.
        let names = labels.split(';').map(|it| it.split('(').next().unwrap_or_default().trim());
        let mut names: Vec<_> = names.filter(|it| !it.is_empty()).collect();
        names.sort_unstable();
        assert!(meaning.ends_with('.'), "{name}: its meaning is a sentence");
        let row = (kind.clone(), names.join(", "));
        assert!(documented.insert(name.clone(), row).is_none(), "{name}: stands there twice");
    }
    documented
}

#[test]
fn the_page_and_the_registry_agree() {
    let (exported, documented) = (exported(), documented());
    for (name, what) in &exported {
        assert_eq!(documented.get(name), Some(what), "{name}: documented against exported");
    }
    for name in documented.keys() {
        assert!(exported.contains_key(name), "{name} is documented and not exported");
    }
}

#[test]
fn the_page_names_every_label_value() {
    let page = include_str!("../../../docs/metrics.md");
    for family in metrics().registry.gather() {
        let name = format!("`{}`", family.name());
        let row = page.lines().find(|line| line.contains(&name)).unwrap_or_default();
        for pair in family.get_metric().iter().flat_map(|it| it.get_label()) {
            if ["node", "version", "commit"].contains(&pair.name()) {
                continue;
            }
            let value = format!("`{}`", pair.value());
            assert!(row.contains(&value), "{name}: {value} is not documented");
        }
    }
}
