//! How far behind a daemon is, as its metrics tell.

use std::sync::Arc;
use std::time::Duration;

use daemonry::handler::{Router, on};
use daemonry::kafka::{KafkaConfig, KafkaProducer, KafkaSource};
use daemonry::metrics::{MessageStatus, Metrics};
use daemonry::pipeline::control::{Control, Scope};
use daemonry::pipeline::{Pipeline, PipelineError, PipelineSettings, Stopped};
use daemonry::record::{Record, Topic};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::member::{LONG, config, fill, topic, unique};

/// A pipeline with metrics of its own, whose handlers do nothing.
struct Process {
    metrics: Metrics,
    control: Control,
    stop: CancellationToken,
    running: JoinSet<Result<Stopped, PipelineError>>,
}

impl Process {
    fn start(settings: &KafkaConfig, topic: &Topic, control: Control) -> Self {
        let router = Router::new().topic(topic.as_str(), on(|_: Record| async {}));
        let subscription = router.subscription();
        let metrics = Metrics::new();
        let pipeline = Pipeline {
            daemon: "shop".to_owned(),
            source: KafkaSource::new(settings, subscription).expect("valid"),
            router,
            dead_letters: Arc::new(KafkaProducer::new(settings).expect("valid")),
            producer: None,
            settings: PipelineSettings::default(),
            metrics: metrics.daemon("shop"),
            beat: Arc::new(|_| {}),
            stop_drain: Duration::from_secs(5),
            control: control.clone(),
        };
        let (stop, mut running) = (CancellationToken::new(), JoinSet::new());
        let stopped = stop.clone();
        running.spawn(async move { pipeline.run(stopped, &Handle::current()).await });
        Self { metrics, control, stop, running }
    }

    /// The series of this metric: partition and value.
    fn series(&self, name: &str) -> Vec<(i32, f64)> {
        let text = self.metrics.render();
        let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        let mut series: Vec<(i32, f64)> = lines
            .map(|line| {
                let partition = line.split("partition=\"").nth(1).and_then(|rest| rest.split('"').next());
                let value = line.rsplit(' ').next();
                let parsed = (partition.and_then(|text| text.parse().ok()), value.and_then(|text| text.parse().ok()));
                parsed.0.zip(parsed.1).expect("a partition and a value")
            })
            .collect();
        series.sort_by_key(|(partition, _)| *partition);
        series
    }

    /// Waits until the series of this metric are as they should be.
    async fn until(&self, name: &str, holds: impl Fn(&[(i32, f64)]) -> bool) {
        let deadline = Instant::now() + LONG;
        while !holds(&self.series(name)) {
            assert!(Instant::now() < deadline, "in vain: {name} is {:?}", self.series(name));
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        self.running.join_next().await.expect("it runs").expect("it doesn't panic").expect("it ends well");
    }
}

#[tokio::test]
async fn a_paused_partition_falls_behind_in_records_and_in_seconds_and_catches_up() {
    let topic = topic("lag", 1).await;
    let process = Process::start(&config(&unique("g")), &topic, Control::new());
    fill(&topic, 10).await;
    let daemon = process.metrics.daemon("shop");
    let handled = || daemon.messages.of(MessageStatus::Success).get() == 10;
    process.until("daemon_lag_messages", |series| handled() && series == [(0, 0.0)]).await;
    process.control.pause(Scope::All);
    let paused = Instant::now();
    fill(&topic, 20_000).await;
    process.until("daemon_lag_messages", |series| series == [(0, 20_000.0)]).await;
    process.until("daemon_lag_seconds", |series| matches!(series, [(0, seconds)] if *seconds > 4.0)).await;
    let age = process.series("daemon_lag_seconds")[0].1;
    assert!(age <= paused.elapsed().as_secs_f64() + 1.0, "{age}");
    process.control.resume(&Scope::All);
    process.until("daemon_lag_messages", |series| series == [(0, 0.0)]).await;
    process.until("daemon_lag_seconds", |series| series == [(0, 0.0)]).await;
    process.stop().await;
}

#[tokio::test]
async fn the_series_of_a_partition_go_with_it() {
    let topic = topic("lag-moves", 2).await;
    let settings = config(&unique("g"));
    let first = Process::start(&settings, &topic, Control::new());
    first.until("daemon_lag_messages", |series| series.len() == 2).await;
    let second = Process::start(&settings, &topic, Control::new());
    second.until("daemon_lag_messages", |series| series.len() == 1).await;
    let gone = second.series("daemon_lag_messages")[0].0;
    first.until("daemon_lag_messages", |series| matches!(series, [(kept, _)] if *kept != gone)).await;
    assert_eq!(first.series("daemon_lag_seconds").len(), 1);
    second.stop().await;
    first.until("daemon_lag_messages", |series| series.len() == 2).await;
    first.stop().await;
}
