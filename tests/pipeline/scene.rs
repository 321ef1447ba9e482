//! A scene: a broker with one topic, pipelines that read it, and a journal of what their handlers did.

use std::sync::Arc;
use std::time::Duration;

use daemonry::handler::{Route, Router, on};
use daemonry::metrics::{DaemonMetrics, Metrics};
use daemonry::pipeline::control::Control;
use daemonry::pipeline::{Beat, Pipeline, PipelineError, PipelineSettings, Stopped};
use daemonry::producer::Producer;
use daemonry::record::{OwnedRecord, Record};
use daemonry::testing::{MemberId, MemoryBroker};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) const TOPIC: &str = "orders";
pub(crate) const LETTERS: &str = "orders.dlq";

/// Longer than anything here may take, in virtual time.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) struct Scene {
    pub(crate) broker: MemoryBroker,
    pub(crate) metrics: Arc<DaemonMetrics>,
    pub(crate) settings: PipelineSettings,
    pub(crate) stop_drain: Duration,
    pub(crate) control: Control,
    /// Told how the reading goes.
    pub(crate) beat: Arc<dyn Fn(Beat) + Send + Sync>,
}

impl Scene {
    /// A topic of so many partitions.
    pub(crate) fn new(partitions: i32) -> Self {
        let broker = MemoryBroker::new();
        broker.create_topic(TOPIC, partitions);
        let settings = PipelineSettings { seed: Some(7), ..PipelineSettings::default() };
        Self {
            broker,
            metrics: Metrics::new().daemon("shop"),
            settings,
            stop_drain: secs(30),
            control: Control::new(),
            beat: Arc::new(|_| {}),
        }
    }

    /// One with these settings.
    pub(crate) fn with(partitions: i32, change: impl FnOnce(&mut PipelineSettings)) -> Self {
        let mut scene = Self::new(partitions);
        change(&mut scene.settings);
        scene
    }

    /// Writes a record with this key; its value is its key and its offset.
    pub(crate) fn write(&self, partition: i32, key: &str) {
        let offset = self.broker.end(TOPIC, partition);
        self.broker.produce(TOPIC, partition, OwnedRecord::new(format!("{key}{offset}")).with_key(key));
    }

    /// Writes `count` records, each with a key of its own.
    pub(crate) fn fill(&self, partition: i32, count: usize) {
        for n in 0..count {
            self.write(partition, &format!("key-{n}-"));
        }
    }

    /// A process that reads the topic with this route.
    pub(crate) fn start<K>(&self, route: Route<(), K>) -> Process {
        self.start_on(route, &Handle::current())
    }

    /// The same, with its handlers on a runtime of their own.
    pub(crate) fn start_on<K>(&self, route: Route<(), K>, handlers: &Handle) -> Process {
        self.run(Router::new().topic(TOPIC, route), handlers)
    }

    /// A process that reads what this router does.
    pub(crate) fn start_router(&self, router: Router) -> Process {
        self.run(router, &Handle::current())
    }

    fn run(&self, router: Router, handlers: &Handle) -> Process {
        let source = self.broker.join(router.subscription());
        let member = source.member();
        let pipeline = Pipeline {
            daemon: "shop".to_owned(),
            source,
            router,
            dead_letters: Arc::new(self.broker.clone()),
            producer: Some(Producer::new(Arc::new(self.broker.clone()))),
            settings: self.settings.clone(),
            metrics: Arc::clone(&self.metrics),
            beat: Arc::clone(&self.beat),
            stop_drain: self.stop_drain,
            control: self.control.clone(),
        };
        let (stop, handlers) = (CancellationToken::new(), handlers.clone());
        let mut running = JoinSet::new();
        let stopped = stop.clone();
        running.spawn(async move { pipeline.run(stopped, &handlers).await });
        Process { member, stop, running }
    }

    /// What is committed for a partition, 0 where nothing is.
    pub(crate) fn committed(&self, partition: i32) -> i64 {
        self.broker.committed(TOPIC, partition).map_or(0, |commit| commit.next.offset().0)
    }

    /// The offsets of the original records of a partition's letters, in the order of the letters.
    pub(crate) fn letters(&self, partition: i32) -> Vec<i64> {
        let letters = self.broker.records(LETTERS, partition);
        letters.iter().map(|(_, letter)| header(letter, "daemonry-offset").parse().unwrap()).collect()
    }
}

/// The value of the last header of this name.
pub(crate) fn header(letter: &OwnedRecord, name: &str) -> String {
    let found = letter.headers.iter().rfind(|(found, _)| found == name.as_bytes());
    String::from_utf8(found.and_then(|(_, value)| value.clone()).unwrap_or_default()).unwrap()
}

/// A pipeline that runs.
pub(crate) struct Process {
    pub(crate) member: MemberId,
    stop: CancellationToken,
    running: JoinSet<Result<Stopped, PipelineError>>,
}

impl Process {
    /// Asks it to stop.
    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Result<Stopped, PipelineError> {
        let ended = timeout(LONG, self.running.join_next()).await.expect("it ends");
        ended.unwrap().expect("it doesn't panic")
    }

    pub(crate) async fn stop(self) -> Result<Stopped, PipelineError> {
        self.begin_stop();
        self.ended().await
    }

    /// Stops it; everything has ended.
    pub(crate) async fn stop_cleanly(self) {
        assert_eq!(self.stop().await, Ok(Stopped::default()));
    }

    /// Kills it: nothing is drained or committed.
    pub(crate) async fn crash(mut self) {
        self.running.shutdown().await;
    }
}

/// An attempt that a handler began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempted {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// How long after the journal was begun.
    pub(crate) at: Duration,
}

/// What the handlers did. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    begun: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    began: Vec<Attempted>,
    ended: Vec<Attempted>,
    running: usize,
    most: usize,
}

/// An attempt that is under way. Dropping it ends it, however the handler goes.
pub(crate) struct Attempting {
    journal: Journal,
    what: Attempted,
}

impl Drop for Attempting {
    fn drop(&mut self) {
        let at = self.journal.begun.elapsed();
        let mut state = self.journal.state.lock();
        state.running -= 1;
        state.ended.push(Attempted { at, ..self.what.clone() });
    }
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), state: Arc::default() }
    }

    /// A handler begins with this record.
    pub(crate) fn begin(&self, record: &Record) -> Attempting {
        let (partition, offset) = (record.partition().0, record.offset().0);
        let what = Attempted { partition, offset, at: self.begun.elapsed() };
        let mut state = self.state.lock();
        state.began.push(what.clone());
        state.running += 1;
        state.most = state.most.max(state.running);
        Attempting { journal: self.clone(), what }
    }

    pub(crate) fn began(&self) -> Vec<Attempted> {
        self.state.lock().began.clone()
    }

    pub(crate) fn ended(&self) -> Vec<Attempted> {
        self.state.lock().ended.clone()
    }

    /// The offsets of a partition in the order in which their attempts began.
    pub(crate) fn offsets(&self, partition: i32) -> Vec<i64> {
        self.began().iter().filter(|one| one.partition == partition).map(|one| one.offset).collect()
    }

    /// When the attempts at this record began.
    pub(crate) fn times(&self, partition: i32, offset: i64) -> Vec<Duration> {
        let of = |one: &&Attempted| (one.partition, one.offset) == (partition, offset);
        self.began().iter().filter(of).map(|one| one.at).collect()
    }

    /// The most attempts that were under way at once.
    pub(crate) fn most(&self) -> usize {
        self.state.lock().most
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// A route that takes so long for each record.
pub(crate) fn sleeping(journal: &Journal, time: Duration) -> Route {
    let seen = journal.clone();
    on(move |record: Record| {
        let attempt = seen.begin(&record);
        async move {
            sleep(time).await;
            drop(attempt);
        }
    })
}

/// Waits until `done`, in virtual time.
pub(crate) async fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(millis(1)).await;
    }
}

/// The record's value as text.
pub(crate) fn text(record: &Record) -> String {
    String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned()
}
