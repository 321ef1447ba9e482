//! What is counted and measured. All metric names of the project stand in one file, `names.rs`.
//!
//! One [`Metrics`] a process owns the registry; each daemon gets its [`DaemonMetrics`], whose labels are resolved once, so
//! that counting is an atomic addition. The invariant: every label is bounded. Offsets, keys and payloads never are labels;
//! a topic's partition is one only while a [`PartitionMetrics`] of it lives.

mod instrument;
mod labels;
mod lag;
mod names;
mod process;
mod reference;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use instrument::{Counter, DurationHistogram, Gauge, Label, PerLabel, SecondsGauge, Tally};
pub use labels::{
    BreakerState, CommitStatus, DaemonPhase, DeadLetterFailure, DeadLetterReason, HoldReason, LossCause, MessageStatus,
    RebalanceKind, ScalingDirection, ScalingReason,
};

pub use lag::PartitionMetrics;

use crate::record::TopicPartition;
use lag::Lag;
use names::*;
use process::Process;
pub use reference::reference;

/// Upper bounds in seconds: 100 µs to half an hour.
const PROCESSING_BUCKETS: [f64; 23] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0, 600.0, 1_200.0, 1_800.0,
];

/// The metrics of one process. Cloning gives another handle of the same.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    daemons: Arc<Mutex<HashMap<String, Arc<DaemonMetrics>>>>,
}

impl Metrics {
    /// Those of a process without daemons yet.
    ///
    /// ```
    /// use daemonry::metrics::{MessageStatus, Metrics};
    ///
    /// let metrics = Metrics::new();
    /// metrics.daemon("orders").messages.of(MessageStatus::Success).add(500);
    /// assert!(metrics.render().contains(r#"daemon_messages_processed_total{daemon_name="orders",status="success"} 500"#));
    /// ```
    pub fn new() -> Self {
        let registry = Registry::new();
        let build = Opts::new(BUILD.0, BUILD.1).const_label("version", env!("CARGO_PKG_VERSION"));
        let build = IntGauge::with_opts(build).expect("a metric's name is well formed");
        build.set(1);
        registry.register(Box::new(build)).expect("the registry is empty");
        Process::register(&registry);
        Self { registry, daemons: Arc::default() }
    }

    /// The metrics of the daemon of this name; the same ones at each call, so that they outlive a restart.
    pub fn daemon(&self, name: &str) -> Arc<DaemonMetrics> {
        let mut daemons = self.daemons.lock();
        let metrics =
            daemons.entry(name.to_owned()).or_insert_with(|| Arc::new(DaemonMetrics::register(&self.registry, name)));
        Arc::clone(metrics)
    }

    /// Everything, in the text format of Prometheus.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("a family without metrics is not gathered")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("daemons", &self.daemons.lock().keys()).finish_non_exhaustive()
    }
}

/// The metrics of one daemon. Made by [`Metrics::daemon`].
#[derive(Debug)]
pub struct DaemonMetrics {
    /// Records and attempts, by how they ended.
    pub messages: PerLabel<MessageStatus, Counter>,
    /// How long one attempt of a handler took.
    pub processing: DurationHistogram,
    /// Records in the lanes: ready and running.
    pub queue_depth: Gauge,
    /// Bytes of the records in the lanes.
    pub queue_bytes: Gauge,
    /// How many records the lanes take.
    pub queue_capacity: Gauge,
    /// Records that wait for a retry, with their lane's successors.
    pub parked_records: Gauge,
    /// Bytes of the parked records.
    pub parked_bytes: Gauge,
    /// How many workers may be at something.
    pub workers: Gauge,
    /// How many there are at least.
    pub workers_min: Gauge,
    /// How many there are at most.
    pub workers_max: Gauge,
    /// Decisions about how many there are to be, one a second where they follow what there is to do.
    pub scaling: PerLabel<ScalingDirection, PerLabel<ScalingReason, Counter>>,
    /// Workers that run records now.
    pub workers_busy: Gauge,
    /// Handlers that run now.
    pub in_flight: Gauge,
    /// Handlers that run past their timeout.
    pub handlers_overdue: Gauge,
    /// Handlers that ran past their timeout without ending, each once.
    pub handlers_overdue_total: Counter,
    /// How long ago the oldest unfinished record was read.
    pub oldest_unfinished: SecondsGauge,
    /// Partitions that are assigned now.
    pub partitions_assigned: Gauge,
    /// Partitions whose records run one at a time, as the process has ended without warning.
    pub partitions_on_probation: Gauge,
    /// Retries that were scheduled.
    pub retries: Counter,
    /// Acknowledged dead letters.
    pub dead_letters: PerLabel<DeadLetterReason, Counter>,
    /// Dead letters that could not be published, each time.
    pub dead_letter_failures: PerLabel<DeadLetterFailure, Counter>,
    /// Commits.
    pub commits: PerLabel<CommitStatus, Counter>,
    /// How long a commit took.
    pub commit_duration: DurationHistogram,
    /// Finished records that no acknowledged commit covers yet.
    pub uncommitted: Gauge,
    /// Offsets above the oldest unfinished record that need no work any more.
    pub window: Gauge,
    /// Metadata of the largest commit that was acknowledged last.
    pub commit_metadata_bytes: Gauge,
    /// Changes of the assignment.
    pub rebalances: PerLabel<RebalanceKind, Counter>,
    /// Partitions whose next offset was gone and that went on elsewhere, each time.
    pub resets: PerLabel<LossCause, Counter>,
    /// Offsets that were lost by that, as far as they can be counted.
    pub missed_offsets: PerLabel<LossCause, Counter>,
    /// Restarts after a failure.
    pub restarts: Counter,
    /// 1 for the state that it is in, 0 for each other one.
    pub state: PerLabel<DaemonPhase, Gauge>,
    /// 1 while reading is held back because the lanes are full.
    pub backpressure: Gauge,
    /// How often backpressure went on or off.
    pub backpressure_changes: Counter,
    /// Partitions that aren't read now.
    pub partitions_held: PerLabel<HoldReason, Gauge>,
    /// Runs of finished records that no longer fitted a commit.
    pub forgotten_runs: Counter,
    lag: Arc<Lag>,
    breaker_open: IntGaugeVec,
    breaker_changes: IntCounterVec,
}

impl DaemonMetrics {
    fn register(registry: &Registry, daemon: &str) -> Self {
        let family = Family { registry, daemon };
        Self {
            messages: family.counters(MESSAGES),
            processing: family.histogram(PROCESSING),
            queue_depth: family.gauge(QUEUE_DEPTH),
            queue_bytes: family.gauge(QUEUE_BYTES),
            queue_capacity: family.gauge(QUEUE_CAPACITY),
            parked_records: family.gauge(PARKED_RECORDS),
            parked_bytes: family.gauge(PARKED_BYTES),
            workers: family.gauge(WORKERS),
            workers_min: family.gauge(WORKERS_MIN),
            workers_max: family.gauge(WORKERS_MAX),
            scaling: family.counters_of_two(SCALING),
            workers_busy: family.gauge(WORKERS_BUSY),
            in_flight: family.gauge(IN_FLIGHT),
            handlers_overdue: family.gauge(OVERDUE),
            handlers_overdue_total: family.counter(OVERDUE_TOTAL),
            oldest_unfinished: family.seconds(OLDEST_UNFINISHED),
            partitions_assigned: family.gauge(PARTITIONS),
            partitions_on_probation: family.gauge(ON_PROBATION),
            retries: family.counter(RETRIES),
            dead_letters: family.counters(DEAD_LETTERS),
            dead_letter_failures: family.counters(DEAD_LETTER_FAILURES),
            commits: family.counters(COMMITS),
            commit_duration: family.histogram(COMMIT_DURATION),
            uncommitted: family.gauge(UNCOMMITTED),
            window: family.gauge(WINDOW),
            commit_metadata_bytes: family.gauge(METADATA),
            rebalances: family.counters(REBALANCES),
            resets: family.counters(RESETS),
            missed_offsets: family.counters(MISSED_OFFSETS),
            restarts: family.counter(RESTARTS),
            state: PerLabel::new(|phase| family.gauge_with(STATE, Some(phase))),
            backpressure: family.gauge(BACKPRESSURE),
            backpressure_changes: family.counter(BACKPRESSURE_CHANGES),
            partitions_held: PerLabel::new(|reason| family.gauge_with(HELD, Some(reason))),
            forgotten_runs: family.counter(FORGOTTEN_RUNS),
            lag: Arc::new(family.lag()),
            breaker_open: family.register(IntGaugeVec::new(family.plain(BREAKER_OPEN), &[TOPIC])),
            breaker_changes: family
                .register(IntCounterVec::new(family.plain(BREAKER_CHANGES), &[TOPIC, BreakerState::NAME])),
        }
    }

    /// The metrics of a partition. They are exposed until the last handle for this partition is dropped, so that a partition
    /// that comes back before its old assignment is forgotten keeps them.
    pub fn partition(&self, topic_partition: &TopicPartition) -> PartitionMetrics {
        self.lag.hold(topic_partition.clone())
    }

    /// The metrics of a route's circuit breaker, by the topic that it is for or its pattern's text. Exposed from then on.
    pub fn circuit_breaker(&self, route: &str) -> CircuitBreakerMetrics {
        let changes = |state: BreakerState| Counter(self.breaker_changes.with_label_values(&[route, state.value()]));
        CircuitBreakerMetrics {
            open: Gauge(self.breaker_open.with_label_values(&[route])),
            changes: PerLabel::new(changes),
        }
    }

    /// Records between what is finished and the ends of all assigned partitions.
    pub fn lag_messages(&self) -> u64 {
        self.lag.total()
    }
}

/// The metrics of a route's circuit breaker.
#[derive(Debug)]
pub struct CircuitBreakerMetrics {
    /// 1 while it is open or half-open.
    pub open: Gauge,
    /// How often it became what.
    pub changes: PerLabel<BreakerState, Counter>,
}

/// Makes and registers the instruments of one daemon.
struct Family<'a> {
    registry: &'a Registry,
    daemon: &'a str,
}

impl Family<'_> {
    fn opts<L: Label>(&self, (name, help): Name, label: Option<L>) -> Opts {
        let opts = Opts::new(name, help).const_label(DAEMON, self.daemon);
        match label {
            Some(label) => opts.const_label(L::NAME, label.value()),
            None => opts,
        }
    }

    fn plain(&self, name: Name) -> Opts {
        self.opts(name, None::<MessageStatus>)
    }

    /// Names and labels are constants, and each daemon is registered once: nothing here can fail on what users bring.
    fn register<T: Collector + Clone + 'static>(&self, instrument: prometheus::Result<T>) -> T {
        let instrument = instrument.expect("a metric's name is well formed");
        self.registry.register(Box::new(instrument.clone())).expect("a metric is registered once for each daemon");
        instrument
    }

    fn counter(&self, name: Name) -> Counter {
        Counter(self.register(IntCounter::with_opts(self.plain(name))))
    }

    fn counters<L: Label>(&self, name: Name) -> PerLabel<L, Counter> {
        PerLabel::new(|label| Counter(self.register(IntCounter::with_opts(self.opts(name, Some(label))))))
    }

    fn counters_of_two<A: Label, B: Label>(&self, name: Name) -> PerLabel<A, PerLabel<B, Counter>> {
        let counter = |one, other: B| {
            let opts = self.opts(name, Some(one)).const_label(B::NAME, other.value());
            Counter(self.register(IntCounter::with_opts(opts)))
        };
        PerLabel::new(|one: A| PerLabel::new(|other| counter(one, other)))
    }

    fn gauge(&self, name: Name) -> Gauge {
        self.gauge_with(name, None::<HoldReason>)
    }

    fn gauge_with<L: Label>(&self, name: Name, label: Option<L>) -> Gauge {
        Gauge(self.register(IntGauge::with_opts(self.opts(name, label))))
    }

    fn seconds(&self, name: Name) -> SecondsGauge {
        SecondsGauge(self.register(prometheus::Gauge::with_opts(self.plain(name))))
    }

    fn histogram(&self, name: Name) -> DurationHistogram {
        let opts = HistogramOpts { common_opts: self.plain(name), buckets: PROCESSING_BUCKETS.to_vec() };
        DurationHistogram(self.register(Histogram::with_opts(opts)))
    }

    fn lag(&self) -> Lag {
        Lag::new(
            self.register(IntGaugeVec::new(self.plain(LAG_MESSAGES), &[TOPIC, PARTITION])),
            self.register(GaugeVec::new(self.plain(LAG_SECONDS), &[TOPIC, PARTITION])),
            self.register(IntGaugeVec::new(self.plain(STALLED), &[TOPIC, PARTITION])),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pipeline::source::CommitError;

    /// The value of the line that starts with exactly this name and these labels.
    fn value(metrics: &Metrics, series: &str) -> Option<String> {
        let text = metrics.render();
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
    }

    #[test]
    fn messages_are_exposed_by_the_exact_name_from_the_start() {
        let metrics = Metrics::new();
        metrics.daemon("orders").messages.of(MessageStatus::DeadLettered).add(2);
        metrics.daemon("orders").messages.of(MessageStatus::DeadLettered).add(3);
        let of = |status: &str| {
            value(&metrics, &format!("daemon_messages_processed_total{{daemon_name=\"orders\",status=\"{status}\"}}"))
        };
        assert_eq!(of("dead_lettered").as_deref(), Some("5"));
        for status in ["success", "skipped", "failed", "retried"] {
            assert_eq!(of(status).as_deref(), Some("0"), "{status}");
        }
    }

    #[test]
    fn daemons_share_a_family_and_keep_their_own_counts() {
        let metrics = Metrics::new();
        metrics.daemon("orders").queue_depth.set(7);
        metrics.daemon("audit").queue_depth.add(2);
        metrics.daemon("audit").queue_depth.sub(1);
        assert_eq!(metrics.render().matches("# TYPE daemon_queue_depth gauge").count(), 1);
        assert_eq!(value(&metrics, r#"daemon_queue_depth{daemon_name="orders"}"#).as_deref(), Some("7"));
        assert_eq!(value(&metrics, r#"daemon_queue_depth{daemon_name="audit"}"#).as_deref(), Some("1"));
    }

    #[test]
    fn histogram_is_exposed_with_cumulative_buckets_sum_and_count() {
        let metrics = Metrics::new();
        let processing = &metrics.daemon("orders").processing;
        let mut tally = processing.tally();
        tally.observe_many(Duration::from_micros(100), 4);
        tally.observe_many(Duration::from_millis(750), 2);
        tally.observe(Duration::from_secs(1_800));
        tally.flush();
        processing.observe(Duration::from_secs(7_200));
        let bucket = |le: &str| {
            let series = format!("daemon_processing_duration_seconds_bucket{{daemon_name=\"orders\",le=\"{le}\"}}");
            value(&metrics, &series).unwrap_or_else(|| panic!("no bucket {le} in\n{}", metrics.render()))
        };
        assert_eq!([bucket("0.0001"), bucket("0.5"), bucket("1")], ["4", "4", "6"]);
        assert_eq!([bucket("1200"), bucket("1800"), bucket("+Inf")], ["6", "7", "8"]);
        assert_eq!(
            value(&metrics, r#"daemon_processing_duration_seconds_count{daemon_name="orders"}"#).as_deref(),
            Some("8")
        );
        let sum = value(&metrics, r#"daemon_processing_duration_seconds_sum{daemon_name="orders"}"#)
            .expect("a sum is exposed");
        assert!((sum.parse::<f64>().expect("a number") - 9_001.500_4).abs() < 1e-9);
        assert!(metrics.render().contains("# TYPE daemon_processing_duration_seconds histogram"));
    }

    #[test]
    fn tally_is_seen_after_its_flush_and_once_only() {
        let metrics = Metrics::new();
        let processing = &metrics.daemon("orders").processing;
        let mut tally = processing.tally();
        tally.observe_many(Duration::from_millis(1), 3);
        assert_eq!(processing.count(), 0);
        tally.flush();
        tally.flush();
        assert_eq!(processing.count(), 3);
        tally.observe(Duration::from_millis(1));
        drop(tally);
        assert_eq!(processing.count(), 4);
    }

    #[test]
    fn partition_is_exposed_until_its_last_handle_is_gone() {
        let metrics = Metrics::new();
        let daemon = metrics.daemon("orders");
        let place = TopicPartition::new("created", 3);
        let series = r#"daemon_lag_messages{daemon_name="orders",partition="3",topic="created"}"#;
        let old = daemon.partition(&place);
        old.lag_messages.set(12);
        old.lag_seconds.set(Duration::from_millis(1_500));
        assert_eq!(value(&metrics, series).as_deref(), Some("12"));
        assert!(metrics.render().contains(r#"topic="created"} 1.5"#));
        daemon.partition(&TopicPartition::new("created", 4)).lag_messages.set(100);
        assert_eq!(daemon.lag_messages(), 12, "what is given up doesn't count");

        let new = daemon.partition(&place);
        drop(old);
        assert_eq!(value(&metrics, series).as_deref(), Some("12"));
        drop(new);
        assert_eq!(value(&metrics, series), None);
        assert!(!metrics.render().contains(r#""created""#));
    }

    #[test]
    fn every_label_value_has_its_own_place() {
        fn check<L: Label>() {
            for (index, label) in L::ALL.iter().enumerate() {
                assert_eq!(label.index(), index);
            }
        }
        check::<MessageStatus>();
        check::<DeadLetterReason>();
        check::<DeadLetterFailure>();
        check::<CommitStatus>();
        check::<RebalanceKind>();
        check::<HoldReason>();
        check::<LossCause>();
        check::<DaemonPhase>();
        check::<ScalingDirection>();
        check::<ScalingReason>();
    }

    #[test]
    fn failed_commits_and_held_partitions_are_counted_by_reason() {
        let metrics = Metrics::new();
        let daemon = metrics.daemon("orders");
        daemon.commits.of(CommitStatus::from(&CommitError::Fenced)).add(1);
        daemon.partitions_held.of(HoldReason::Window).set(2);
        assert_eq!(
            value(&metrics, r#"daemon_commits_total{daemon_name="orders",status="fenced"}"#).as_deref(),
            Some("1")
        );
        assert_eq!(
            value(&metrics, r#"daemon_partitions_held{daemon_name="orders",reason="window"}"#).as_deref(),
            Some("2")
        );
    }
}
