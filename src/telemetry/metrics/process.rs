//! The basics that every Prometheus client exports (`process_*`), and what the logs lost.
//!
//! Read from `/proc/self` at each scrape. Where that cannot be read (no `/proc`, not Linux)
//! the values are zero rather than absent, and the scrape goes on.

use crate::telemetry::logs::Dropped;
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, Metric, MetricFamily, MetricType};
use rustix::process::{Resource, getrlimit};
use std::collections::HashMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Unit of the times in `/proc/PID/stat`; `USER_HZ` is 100 on every architecture that we
/// build for (proc(5), time(7)).
const TICKS_PER_SECOND: f64 = 100.0;

const CPU: Family = ("process_cpu_seconds_total", "Processor time used, user and system.");
const RESIDENT: Family = ("process_resident_memory_bytes", "Resident memory.");
const OPEN_FDS: Family = ("process_open_fds", "File descriptors open now.");
const MAX_FDS: Family = ("process_max_fds", "File descriptors that may be open.");
const THREADS: Family = ("process_threads", "Threads of the process.");
const STARTED: Family = ("process_start_time_seconds", "When the process started, Unix time.");
const DROPPED: Family =
    ("segue_log_lines_dropped_total", "Log lines lost because nobody read them in time.");

type Family = (&'static str, &'static str);

/// Registers the collector.
pub(super) fn register(registry: &Registry, dropped: Dropped) -> prometheus::Result<()> {
    let families = [CPU, RESIDENT, OPEN_FDS, MAX_FDS, THREADS, STARTED, DROPPED];
    let describe = |(name, help): Family| {
        Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())
    };
    let descs = families.into_iter().map(describe).collect::<prometheus::Result<_>>()?;
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    registry.register(Box::new(Process { descs, started: started.as_secs_f64(), dropped }))
}

struct Process {
    descs: Vec<Desc>,
    /// When this was made, moments after the process was.
    started: f64,
    dropped: Dropped,
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let open_fds = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let max_fds = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        vec![
            counter(CPU, cpu_ticks(&stat) as f64 / TICKS_PER_SECOND),
            gauge(RESIDENT, field(&status, "VmRSS:") as f64 * 1024.0),
            gauge(OPEN_FDS, open_fds as f64),
            gauge(MAX_FDS, max_fds as f64),
            gauge(THREADS, field(&status, "Threads:") as f64),
            gauge(STARTED, self.started),
            counter(DROPPED, self.dropped.lines() as f64),
        ]
    }
}

/// The number after `name` in `/proc/PID/status`.
fn field(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|it| it.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// `utime` and `stime` of `/proc/PID/stat`: fields 14 and 15, counted behind the program's
/// name, which stands in parentheses and may itself have spaces and parentheses.
fn cpu_ticks(stat: &str) -> u64 {
    let Some((_, behind_name)) = stat.rsplit_once(')') else { return 0 };
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|it| it.parse::<u64>().ok()).sum()
}

fn counter(family: Family, value: f64) -> MetricFamily {
    let mut counter = proto::Counter::default();
    counter.set_value(value);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    build(family, MetricType::COUNTER, metric)
}

fn gauge(family: Family, value: f64) -> MetricFamily {
    let mut gauge = proto::Gauge::default();
    gauge.set_value(value);
    build(family, MetricType::GAUGE, Metric::from_gauge(gauge))
}

fn build((name, help): Family, kind: MetricType, metric: Metric) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 4 0 99 1 1";
        assert_eq!(cpu_ticks(stat), 42);
        assert_eq!(cpu_ticks("nonsense"), 0);
        let status = "Name:\tsegue\nVmRSS:\t    5120 kB\nThreads:\t4\n";
        assert_eq!(field(status, "VmRSS:"), 5_120);
        assert_eq!(field(status, "Threads:"), 4);
        assert_eq!(field(status, "Absent:"), 0);
    }
}
