//! A histogram of durations that takes many observations at once.
//!
//! The histogram of `prometheus` searches its buckets one by one and touches four shared atomics for each observation; here a
//! worker keeps a [`Tally`] of its own and adds it to the shared histogram once a run of records. The invariant: the
//! count is the sum of the buckets, so what is exposed never contradicts itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::core::{Atomic, AtomicF64, Collector, Desc};
use prometheus::proto::{Bucket, LabelPair, Metric, MetricFamily, MetricType};

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;

/// The upper bounds of the buckets, in nanoseconds: 100 µs to half an hour. What is longer is counted behind the last.
const BOUNDS: [u64; 23] = [
    100 * MICROSECOND,
    250 * MICROSECOND,
    500 * MICROSECOND,
    MILLISECOND,
    2_500 * MICROSECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
    2_500 * MILLISECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
    120 * SECOND,
    300 * SECOND,
    600 * SECOND,
    1_200 * SECOND,
    1_800 * SECOND,
];

/// The bounds, and what lies above all of them.
const BUCKETS: usize = BOUNDS.len() + 1;

/// The first bucket whose bound is not below the duration.
fn bucket(duration: Duration) -> usize {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    BOUNDS.partition_point(|bound| *bound < nanos)
}

#[derive(Debug)]
struct Shared {
    counts: [AtomicU64; BUCKETS],
    seconds: AtomicF64,
}

/// How long something took, counted in fixed buckets. Cloning gives another handle of the same histogram.
#[derive(Clone, Debug)]
pub struct DurationHistogram {
    shared: Arc<Shared>,
}

impl DurationHistogram {
    pub(super) fn new() -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        Self { shared: Arc::new(Shared { counts, seconds: AtomicF64::new(0.0) }) }
    }

    /// `n` things took `duration` each.
    pub fn observe_many(&self, duration: Duration, n: u64) {
        if n > 0 {
            self.shared.counts[bucket(duration)].fetch_add(n, Ordering::Relaxed);
            self.shared.seconds.inc_by(duration.as_secs_f64() * n as f64);
        }
    }

    /// A tally for one worker, to be flushed now and then.
    pub fn tally(&self) -> Tally {
        Tally { histogram: self.clone(), counts: [0; BUCKETS], seconds: 0.0 }
    }

    /// How many durations were observed.
    pub fn count(&self) -> u64 {
        self.shared.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// Observations of one worker that the shared histogram hasn't seen yet. Dropping it flushes it.
#[derive(Debug)]
pub struct Tally {
    histogram: DurationHistogram,
    counts: [u64; BUCKETS],
    seconds: f64,
}

impl Tally {
    /// Something took `duration`. Touches nothing that is shared.
    pub fn observe(&mut self, duration: Duration) {
        self.counts[bucket(duration)] += 1;
        self.seconds += duration.as_secs_f64();
    }

    /// Adds what was observed to the shared histogram.
    pub fn flush(&mut self) {
        let mut any = false;
        for (mine, shared) in self.counts.iter_mut().zip(&self.histogram.shared.counts) {
            if *mine > 0 {
                shared.fetch_add(std::mem::take(mine), Ordering::Relaxed);
                any = true;
            }
        }
        if any {
            self.histogram.shared.seconds.inc_by(std::mem::take(&mut self.seconds));
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.flush();
    }
}

/// What the registry sees of a histogram.
pub(super) struct HistogramCollector {
    pub(super) desc: Desc,
    pub(super) histogram: DurationHistogram,
}

impl Collector for HistogramCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let shared = &self.histogram.shared;
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for (bound, count) in BOUNDS.iter().zip(&shared.counts) {
            cumulative += count.load(Ordering::Relaxed);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64 / SECOND as f64);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        let mut histogram = prometheus::proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(cumulative + shared.counts[BOUNDS.len()].load(Ordering::Relaxed));
        histogram.set_sample_sum(shared.seconds.get());

        let labels: Vec<LabelPair> = self.desc.const_label_pairs.clone();
        let mut metric = Metric::from_label(labels);
        metric.set_histogram(histogram);
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(histogram: &DurationHistogram) -> Vec<u64> {
        histogram.shared.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn bounds_grow_from_100_microseconds_to_half_an_hour() {
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
        assert_eq!((BOUNDS[0], BOUNDS[BOUNDS.len() - 1]), (100_000, 1_800 * SECOND));
    }

    #[test]
    fn duration_on_a_bound_belongs_to_it_and_one_above_to_the_next() {
        for (index, bound) in BOUNDS.iter().enumerate() {
            assert_eq!(bucket(Duration::from_nanos(bound - 1)), index);
            assert_eq!(bucket(Duration::from_nanos(*bound)), index);
            assert_eq!(bucket(Duration::from_nanos(bound + 1)), index + 1);
        }
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::MAX), BOUNDS.len());
    }

    #[test]
    fn many_at_once_count_as_many_alone() {
        let (batch, single) = (DurationHistogram::new(), DurationHistogram::new());
        batch.observe_many(Duration::from_millis(3), 5);
        for _ in 0..5 {
            single.observe_many(Duration::from_millis(3), 1);
        }
        assert_eq!(counts(&batch), counts(&single));
        assert!((batch.shared.seconds.get() - 0.015).abs() < 1e-12);
        assert!((single.shared.seconds.get() - 0.015).abs() < 1e-12);
    }

    #[test]
    fn tally_is_seen_after_its_flush_and_once_only() {
        let histogram = DurationHistogram::new();
        let mut tally = histogram.tally();
        tally.observe(Duration::from_millis(1));
        tally.observe(Duration::from_secs(4_000));
        assert_eq!(histogram.count(), 0);
        tally.flush();
        tally.flush();
        assert_eq!(histogram.count(), 2);
        tally.observe(Duration::from_millis(1));
        drop(tally);
        assert_eq!(histogram.count(), 3);
        assert!((histogram.shared.seconds.get() - 4_000.002).abs() < 1e-9);
    }
}
