//! Cells that one thread writes and a scrape reads.
//!
//! A count is a relaxed load and a relaxed store, not a locked addition: with a single
//! writer nothing is lost, and the cache line stays with the writer's core. A second writer
//! would lose counts (it could do no other harm), so each worker owns its cells.
//!
//! A scrape reads cells one after the other while they move: two series of one scrape may
//! be a few events apart, each by itself never goes back.

use super::labels::Label;
use prometheus::proto::{self, Metric, MetricType};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Only ever grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts `count`.
    pub fn add(&self, count: u64) {
        self.0.store(self.read().wrapping_add(count), Ordering::Relaxed);
    }

    /// The count so far.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one family, one for each value of its label.
#[derive(Debug)]
pub struct CounterBy<L: Label>(L::Counters);

impl<L: Label> Default for CounterBy<L> {
    fn default() -> Self {
        Self(L::Counters::default())
    }
}

impl<L: Label> CounterBy<L> {
    /// Counts one.
    pub fn inc(&self, label: L) {
        self.add(label, 1);
    }

    /// Counts `count`.
    pub fn add(&self, label: L, count: u64) {
        if let Some(counter) = self.0.as_ref().get(label.index()) {
            counter.add(count);
        }
    }

    /// The count of one label so far.
    pub fn read(&self, label: L) -> u64 {
        self.0.as_ref().get(label.index()).map_or(0, Counter::read)
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Makes it `value`.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// One less.
    pub fn dec(&self) {
        self.sub(1);
    }

    /// `amount` more.
    pub fn add(&self, amount: u64) {
        self.store(self.0.load(Ordering::Relaxed).wrapping_add(amount));
    }

    /// `amount` less. Going below zero is a bug of the caller; it shows as a negative value.
    pub fn sub(&self, amount: u64) {
        self.store(self.0.load(Ordering::Relaxed).wrapping_sub(amount));
    }

    /// What it stands at.
    pub fn read(&self) -> i64 {
        self.0.load(Ordering::Relaxed).cast_signed()
    }

    fn store(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Upper edges of the buckets in microseconds. A request takes some tens or hundreds of them, a
/// switchover some milliseconds, a failover some hundreds: all need edges around them.
const EDGES_US: [u64; 18] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// A distribution of durations, in seconds when exported.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each edge, not cumulative, and a last one for what is longer.
    buckets: [Counter; EDGES_US.len() + 1],
    sum_us: Counter,
}

/// Distributions of one family, one for each value of its label.
#[derive(Debug)]
pub struct HistogramBy<L: Label>(L::Histograms);

impl<L: Label> Default for HistogramBy<L> {
    fn default() -> Self {
        Self(L::Histograms::default())
    }
}

impl<L: Label> HistogramBy<L> {
    /// Counts `count` observations.
    pub fn observe(&self, label: L, length: Duration, count: u64) {
        if let Some(histogram) = self.0.as_ref().get(label.index()) {
            histogram.observe_many(length, count);
        }
    }
}

impl Histogram {
    /// Counts one observation.
    pub fn observe(&self, length: Duration) {
        self.observe_many(length, 1);
    }

    /// Counts `count` observations.
    pub fn observe_many(&self, length: Duration, count: u64) {
        let length_us = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        // An edge is inclusive, as Prometheus' `le` is.
        let at = EDGES_US.partition_point(|edge_us| *edge_us < length_us);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.add(count);
        }
        self.sum_us.add(length_us.saturating_mul(count));
    }
}

/// A cell that can be summed over the workers and exported.
pub(super) trait Exported: 'static {
    const TYPE: MetricType;

    /// The family's series, each the sum of what the workers have.
    fn sum<'a>(workers: impl Iterator<Item = &'a Self> + Clone) -> Vec<Metric>;
}

impl Exported for Counter {
    const TYPE: MetricType = MetricType::COUNTER;

    fn sum<'a>(workers: impl Iterator<Item = &'a Self> + Clone) -> Vec<Metric> {
        vec![counter(workers.map(Self::read).fold(0, u64::wrapping_add))]
    }
}

impl<L: Label> Exported for CounterBy<L> {
    const TYPE: MetricType = MetricType::COUNTER;

    fn sum<'a>(workers: impl Iterator<Item = &'a Self> + Clone) -> Vec<Metric> {
        let series = L::VALUES.iter().enumerate().map(|(at, value)| {
            let counts = workers.clone().filter_map(|it| it.0.as_ref().get(at));
            labelled::<L>(counter(counts.map(Counter::read).fold(0, u64::wrapping_add)), value)
        });
        series.collect()
    }
}

impl Exported for Gauge {
    const TYPE: MetricType = MetricType::GAUGE;

    fn sum<'a>(workers: impl Iterator<Item = &'a Self> + Clone) -> Vec<Metric> {
        let sum = workers.map(Self::read).fold(0, i64::wrapping_add);
        let mut gauge = proto::Gauge::default();
        gauge.set_value(sum as f64);
        vec![Metric::from_gauge(gauge)]
    }
}

impl Exported for Histogram {
    const TYPE: MetricType = MetricType::HISTOGRAM;

    fn sum<'a>(workers: impl Iterator<Item = &'a Self> + Clone) -> Vec<Metric> {
        let count = |at: usize| {
            let counts = workers.clone().filter_map(|it| it.buckets.get(at));
            counts.map(Counter::read).fold(0, u64::wrapping_add)
        };
        let mut total = 0_u64;
        let mut buckets = Vec::new();
        for (at, &edge_us) in EDGES_US.iter().enumerate() {
            total = total.wrapping_add(count(at));
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(edge_us as f64 / 1e6);
            bucket.set_cumulative_count(total);
            buckets.push(bucket);
        }
        // The bucket without an edge is the encoder's to write. The count is what the buckets
        // add up to, so that one scrape never contradicts itself.
        total = total.wrapping_add(count(EDGES_US.len()));
        let sum_us = workers.map(|it| it.sum_us.read()).fold(0, u64::wrapping_add);
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(total);
        histogram.set_sample_sum(sum_us as f64 / 1e6);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        vec![metric]
    }
}

impl<L: Label> Exported for HistogramBy<L> {
    const TYPE: MetricType = MetricType::HISTOGRAM;

    fn sum<'a>(workers: impl Iterator<Item = &'a Self> + Clone) -> Vec<Metric> {
        let series = L::VALUES.iter().enumerate().flat_map(|(at, value)| {
            let histograms = workers.clone().filter_map(move |it| it.0.as_ref().get(at));
            Histogram::sum(histograms).into_iter().map(|it| labelled::<L>(it, value))
        });
        series.collect()
    }
}

fn labelled<L: Label>(mut metric: Metric, value: &str) -> Metric {
    let mut pair = proto::LabelPair::default();
    pair.set_name(L::NAME.to_owned());
    pair.set_value(value.to_owned());
    metric.set_label(vec![pair]);
    metric
}

fn counter(value: u64) -> Metric {
    let mut counter = proto::Counter::default();
    counter.set_value(value as f64);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_belongs_to_the_bucket_below_it() {
        let cells = [Histogram::default(), Histogram::default()];
        cells[0].observe(Duration::ZERO);
        cells[0].observe(Duration::from_millis(1));
        cells[1].observe(Duration::from_micros(1_001));
        cells[1].observe(Duration::from_secs(31));
        let [metric] = &Histogram::sum(cells.iter())[..] else { panic!("one series") };
        let buckets = metric.get_histogram().get_bucket();
        let counts: Vec<_> = buckets.iter().map(proto::Bucket::cumulative_count).collect();
        assert_eq!(counts, [1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!(metric.get_histogram().get_sample_count(), 4);
        assert!((metric.get_histogram().get_sample_sum() - 31.002_001).abs() < 1e-9);
    }

    #[test]
    fn a_gauge_is_summed_over_workers_whoever_went_up_and_whoever_went_down() {
        let cells = [Gauge::default(), Gauge::default()];
        cells[0].add(5);
        cells[1].dec();
        let [metric] = &Gauge::sum(cells.iter())[..] else { panic!("one series") };
        assert!((metric.get_gauge().get_value() - 4.0).abs() < f64::EPSILON);
    }
}
