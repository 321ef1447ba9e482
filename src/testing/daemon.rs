//! A daemon in memory: a router under the whole pipeline, on a broker in memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::broker::MemoryBroker;
use crate::dead_letters::DeadLetter;
use crate::handler::Router;
use crate::metrics::{DaemonMetrics, MessageStatus, Metrics};
use crate::pipeline::control::Control;
use crate::pipeline::{Pipeline, PipelineError, PipelineSettings, Stopped};
use crate::producer::Producer;
use crate::record::{NextOffset, Offset, OwnedRecord, TopicPartition};

/// Longer than any test waits, in virtual time.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// A daemon that runs in memory: your router under the whole pipeline, as it would run on Kafka. Made by [`TestDaemon::start`].
///
/// With the clock paused (`#[tokio::test(start_paused = true)]`) retries, timeouts and batches take no time, and always go the same way.
/// Topics that the router reads by their names, and those for their dead letters, are there from the start; others are made with
/// [`MemoryBroker::create_topic`], also while it runs: one that matches a pattern of the router is read from then on. Faults are injected
/// through the [`broker`](Self::broker).
///
/// ```
/// use daemonry::handler::{HandlerError, Router, on, extract::Text};
/// use daemonry::record::OwnedRecord;
/// use daemonry::testing::TestDaemon;
///
/// async fn store(Text(number): Text) -> Result<(), HandlerError> {
///     number.parse::<u64>().map_err(HandlerError::poison)?;
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let daemon = TestDaemon::start(Router::new().topic("numbers", on(store)));
/// daemon.send("numbers", OwnedRecord::new("7").with_key("a"));
/// daemon.send("numbers", OwnedRecord::new("seven").with_key("a"));
/// daemon.settled().await;
///
/// assert_eq!(daemon.counts().succeeded, 1);
/// let letters = daemon.letters("numbers");
/// assert_eq!((letters.len(), letters[0].offset.0, letters[0].attempts), (1, 1, 1));
/// assert!(letters[0].error.contains("invalid digit"));
/// daemon.stop().await;
/// # }
/// ```
#[derive(Debug)]
pub struct TestDaemon {
    broker: MemoryBroker,
    router: Router,
    settings: PipelineSettings,
    metrics: Arc<DaemonMetrics>,
    control: Control,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    tasks: JoinSet<Result<Stopped, PipelineError>>,
}

/// How a [`TestDaemon`] is set up.
#[derive(Clone, Debug)]
pub struct TestOptions {
    /// Partitions of each topic that is read (default: 1).
    pub partitions: i32,
    /// Bounds and times (default: those of a daemon, with a fixed seed for the jitter).
    pub settings: PipelineSettings,
}

impl Default for TestOptions {
    fn default() -> Self {
        Self { partitions: 1, settings: PipelineSettings { seed: Some(1), ..PipelineSettings::default() } }
    }
}

/// What was counted so far, as the metrics count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records whose handler succeeded.
    pub succeeded: u64,
    /// Records that were passed over, by a filter or by their handler.
    pub skipped: u64,
    /// Records whose dead letter was written.
    pub dead_lettered: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Failed attempts that were followed by another.
    pub retries: u64,
}

impl TestDaemon {
    /// Starts a daemon with this router.
    ///
    /// # Panics
    /// Outside of a tokio runtime, and where the router can't be served: says why.
    pub fn start(router: Router) -> Self {
        Self::start_with(router, TestOptions::default())
    }

    /// The same, set up otherwise.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_with(router: Router, options: TestOptions) -> Self {
        let TestOptions { partitions, settings } = options;
        if let Err(error) = Pipeline::<super::MemorySource>::check(&router, &settings) {
            panic!("the daemon can't be started: {error}");
        }
        let broker = MemoryBroker::new();
        for (topic, letters) in router.topics_and_letters() {
            broker.create_topic(topic.as_str(), partitions);
            if let Some(letters) = letters {
                broker.create_topic(letters.as_str(), partitions);
            }
        }
        let metrics = Metrics::new().daemon("test");
        let control = Control::new();
        let mut daemon = Self { broker, router, settings, metrics, control, running: None };
        daemon.begin();
        daemon
    }

    fn begin(&mut self) {
        let pipeline = Pipeline {
            daemon: "test".to_owned(),
            source: self.broker.join(self.router.subscription()),
            router: self.router.clone(),
            dead_letters: Arc::new(self.broker.clone()),
            producer: Some(Producer::new(Arc::new(self.broker.clone()))),
            settings: self.settings.clone(),
            metrics: Arc::clone(&self.metrics),
            beat: Arc::new(|_| {}),
            stop_drain: Duration::from_secs(30),
            control: self.control.clone(),
        };
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let stopped = stop.clone();
        tasks.spawn(async move { pipeline.run(stopped, &Handle::current()).await });
        self.running = Some(Running { stop, tasks });
    }

    /// The broker under it, for what isn't here: several members, faults, records of other topics.
    pub fn broker(&self) -> &MemoryBroker {
        &self.broker
    }

    /// What steers the daemon while it runs.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Writes a record to the partition of its key, and answers its offset there.
    ///
    /// # Panics
    /// Where there is no such topic.
    pub fn send(&self, topic: &str, record: OwnedRecord) -> Offset {
        let sent = self.broker.append(&topic.into(), &record);
        sent.unwrap_or_else(|error| panic!("a test's record can't be written: {error}")).offset
    }

    /// Waits until all that was sent is finished and committed. With the clock paused that takes no time.
    ///
    /// # Panics
    /// Where it isn't after a day, or the daemon has failed: says what is left.
    pub async fn settled(&self) {
        let begun = Instant::now();
        loop {
            let left: Vec<String> =
                self.unfinished().iter().map(|(place, at)| format!("{place} from {at} on")).collect();
            if left.is_empty() {
                return;
            }
            let failed = self.running.as_ref().is_some_and(|running| running.tasks.is_empty());
            assert!(!failed && begun.elapsed() < LONG, "not all is finished: {}", left.join(", "));
            // The longer it takes, the less a little more matters.
            sleep((begun.elapsed() / 100).max(Duration::from_millis(1))).await;
        }
    }

    /// Each partition that isn't committed to its end, and where that stands.
    fn unfinished(&self) -> Vec<(TopicPartition, NextOffset)> {
        let topics = self.broker.topics().into_iter().filter(|topic| self.router.is_read(topic));
        let places = topics.flat_map(|topic| {
            let partitions = self.broker.partitions(topic.as_str());
            (0..partitions).map(move |partition| TopicPartition::new(topic.as_str(), partition))
        });
        let behind = places.filter_map(|place| {
            let (topic, partition) = (place.topic.as_str(), place.partition.0);
            let committed = self.broker.committed(topic, partition).map_or(NextOffset::at(0), |commit| commit.next);
            (committed.offset() < self.broker.end(topic, partition)).then_some((place, committed))
        });
        behind.collect()
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let of = |status| self.metrics.messages.of(status).get();
        Counts {
            succeeded: of(MessageStatus::Success),
            skipped: of(MessageStatus::Skipped),
            dead_lettered: of(MessageStatus::DeadLettered),
            failed_attempts: of(MessageStatus::Failed),
            retries: of(MessageStatus::Retried),
        }
    }

    /// The daemon's metrics.
    pub fn metrics(&self) -> &DaemonMetrics {
        &self.metrics
    }

    /// The dead letters of a topic's records, in the order in which they were written, partition by partition.
    ///
    /// # Panics
    /// Where one of them isn't a dead letter: something else has written to that topic.
    pub fn letters(&self, topic: &str) -> Vec<DeadLetter> {
        let letters = self.router.letters_of(&topic.into());
        let letters = letters.map_or_else(Vec::new, |letters| self.sent(letters.as_str()));
        let read = |letter: Arc<OwnedRecord>| DeadLetter::of(&letter).expect("what is there is a dead letter");
        letters.into_iter().map(read).filter(|letter| letter.origin.topic.as_str() == topic).collect()
    }

    /// The records of a topic, partition by partition: what handlers have produced.
    pub fn sent(&self, topic: &str) -> Vec<Arc<OwnedRecord>> {
        let partitions = self.broker.partitions(topic);
        let records = (0..partitions).flat_map(|partition| self.broker.records(topic, partition));
        records.map(|(_, record)| record).collect()
    }

    /// Stops it as a signal would, and says what is left after 30 s: handlers that have not ended, or a commit that failed for 5 s more.
    ///
    /// # Errors
    /// Why it had failed before.
    ///
    /// # Panics
    /// Where it doesn't end, or panicked.
    pub async fn stop(mut self) -> Result<Stopped, PipelineError> {
        self.end().await
    }

    async fn end(&mut self) -> Result<Stopped, PipelineError> {
        let Some(mut running) = self.running.take() else { return Ok(Stopped::default()) };
        running.stop.cancel();
        let ended = timeout(LONG, running.tasks.join_next()).await.expect("a daemon that is stopped ends");
        ended.expect("it is one task").expect("the daemon doesn't panic")
    }

    /// Stops it, and starts another that goes on from what is committed.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    ///
    /// # Panics
    /// As [`stop`](Self::stop).
    pub async fn restart(&mut self) -> Result<Stopped, PipelineError> {
        let ended = self.end().await;
        self.begin();
        ended
    }

    /// Kills it, with nothing drained or committed, and starts another that goes on from what was committed.
    pub async fn crash(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.tasks.shutdown().await;
        }
        self.begin();
    }
}
