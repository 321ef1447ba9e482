//! Workers that follow what there is to do, on a real Kafka: they do as much as if there were always the most of them, and go again.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use daemonry::daemon::{Consumer, Daemon, DaemonContext, DaemonError, Ended};
use daemonry::handler::{Router, on};
use daemonry::kafka::KafkaConfig;
use daemonry::metrics::{MessageStatus, ScalingDirection, ScalingReason};
use daemonry::pipeline::{PipelineSettings, Scaling};
use daemonry::record::Record;
use integration::patience::until_true;
use integration::{Message, Topics, brokers};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

const MOST: usize = 64;
const RECORDS: usize = 80_000;
const HANDLER: Duration = Duration::from_millis(20);
/// For how long it is measured how much is done.
const MEASURED: Duration = Duration::from_secs(6);
/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(120);

struct Daemons {
    topic: String,
    runtime: Runtime,
}

struct Running {
    context: DaemonContext,
    task: JoinHandle<Result<Ended, DaemonError>>,
}

impl Daemons {
    fn start(&self, group: &str, scaling: Option<Scaling>) -> Result<Running> {
        let handle = |_: Record| async { tokio::time::sleep(HANDLER).await };
        let router = Router::new().topic(self.topic.as_str(), on(handle));
        let settings =
            PipelineSettings { workers: MOST, queue_records: MOST * 8, scaling, ..PipelineSettings::default() };
        let kafka = KafkaConfig::new(brokers()?, format!("{}.{group}", self.topic));
        let consumer = Box::new(Consumer::new(group, kafka, router).settings(settings));
        let context = DaemonContext::detached(group);
        Ok(Running { task: self.runtime.spawn(consumer.run(context.clone())), context })
    }
}

impl Running {
    fn workers(&self) -> i64 {
        self.context.metrics().workers.get()
    }

    fn handled(&self) -> u64 {
        self.context.metrics().messages.of(MessageStatus::Success).get()
    }

    fn decided(&self, direction: ScalingDirection, reason: ScalingReason) -> u64 {
        self.context.metrics().scaling.of(direction).of(reason).get()
    }

    /// Records in a second, once all workers are there and have been for a moment.
    fn rate(&self) -> Result<u64> {
        until_true(LONG, "all workers", || Ok(self.workers() == 64 && self.handled() > 0))?;
        thread::sleep(Duration::from_secs(2));
        let (before, start) = (self.handled(), Instant::now());
        thread::sleep(MEASURED);
        let (handled, time) = (self.handled() - before, start.elapsed());
        ensure!(self.handled() < RECORDS as u64, "too few records to measure with");
        Ok(handled * 1_000 / u64::try_from(time.as_millis())?)
    }

    fn stop(self, daemons: &Daemons) -> Result<()> {
        self.context.stop().cancel();
        match daemons.runtime.block_on(async { tokio::time::timeout(LONG, self.task).await })?? {
            Ok(Ended::Drained) => Ok(()),
            other => bail!("it ended otherwise: {other:?}"),
        }
    }
}

#[test]
fn workers_between_2_and_64_do_as_much_as_64_and_go_when_there_is_nothing_to_do() -> Result<()> {
    let topics = Topics::connect(brokers()?)?;
    let topic = topics.create_fresh("scaling", 8)?;
    topics.create(&format!("{topic}.dlq"), 1, &[])?;
    let messages: Vec<_> = (0..RECORDS).map(|n| Message::new("x").key(format!("key-{n}"))).collect();
    for messages in messages.chunks(10_000) {
        topics.produce(&topic, messages)?;
    }
    let daemons = Daemons { topic, runtime: Runtime::new()? };

    let fixed = daemons.start("fixed", None)?;
    let of_fixed = fixed.rate()?;
    fixed.stop(&daemons)?;

    let shrink_after = Duration::from_secs(3);
    let scaled = daemons.start("scaled", Some(Scaling { shrink_after, ..Scaling::by_queue() }))?;
    let began = Instant::now();
    until_true(LONG, "some workers", || Ok(scaled.workers() > 0))?;
    let of_scaled = scaled.rate()?;
    eprintln!("{of_fixed} records/s with 64 workers, {of_scaled} with 2 to 64");
    ensure!(of_scaled * 10 >= of_fixed * 9, "{of_scaled} records/s where 64 workers do {of_fixed}");
    until_true(LONG, "the end", || Ok(scaled.handled() == RECORDS as u64))?;
    eprintln!("all of them after {:?}", began.elapsed());
    until_true(LONG, "the fewest workers", || Ok(scaled.workers() == 2))?;
    ensure!(scaled.decided(ScalingDirection::Grow, ScalingReason::HandlerBound) >= 5, "it grew otherwise");
    ensure!(scaled.decided(ScalingDirection::Shrink, ScalingReason::SourceBound) >= 5, "it shrank otherwise");
    scaled.stop(&daemons)
}
