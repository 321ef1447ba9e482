//! Handlers that take three times as long as a member may go without a poll, on a real Kafka: async ones and such that block their threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use daemonry::daemon::{Consumer, Daemon, DaemonContext, DaemonError, Ended};
use daemonry::handler::extract::Cancellation;
use daemonry::handler::{Router, on, on_blocking};
use daemonry::kafka::{GroupProtocol, KafkaConfig};
use daemonry::metrics::RebalanceKind;
use daemonry::pipeline::PipelineSettings;
use daemonry::record::{Partition, Record};
use integration::patience::until_true;
use integration::{Message, Topics, brokers};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// As short as brokers allow by default; librdkafka wants no shorter time between polls.
const SESSION: Duration = Duration::from_secs(6);
const JOB: Duration = Duration::from_secs(18);
/// How long started handlers may go on when their partition is revoked.
const DRAIN: Duration = Duration::from_secs(3);
/// How often a job that blocks looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);
/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(90);
/// Records beside each job, each with a key of its own.
const OTHERS: usize = 40;

/// An attempt at a job.
#[derive(Clone, Debug)]
struct Attempt {
    member: usize,
    began: Instant,
    requested: Option<Instant>,
    gone: Option<Instant>,
    ended: Option<Instant>,
}

/// A partition, by its topic.
type Place = (String, i32);

#[derive(Debug, Default)]
struct Journal {
    jobs: Mutex<BTreeMap<Place, Vec<Attempt>>>,
    others: Mutex<BTreeMap<Place, usize>>,
}

impl Journal {
    fn begin(&self, place: &Place, member: usize) -> usize {
        let mut jobs = lock(&self.jobs);
        let attempts = jobs.entry(place.clone()).or_default();
        attempts.push(Attempt { member, began: Instant::now(), requested: None, gone: None, ended: None });
        attempts.len() - 1
    }

    fn note(&self, place: &Place, attempt: usize, note: impl FnOnce(&mut Attempt)) {
        if let Some(attempt) = lock(&self.jobs).get_mut(place).and_then(|attempts| attempts.get_mut(attempt)) {
            note(attempt);
        }
    }

    fn attempts(&self, place: &Place) -> Vec<Attempt> {
        lock(&self.jobs).get(place).cloned().unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is not a job takes no time.
fn is_job(record: &Record, journal: &Journal, place: &Place) -> bool {
    let is_job = record.value() == Some(b"job");
    if !is_job {
        *lock(&journal.others).entry(place.clone()).or_default() += 1;
    }
    is_job
}

fn place(record: &Record) -> Place {
    (record.topic().to_string(), record.partition().0)
}

/// Two topics of two partitions, with a job at the beginning of each; the one's handlers wait, the other's block.
struct Scene {
    topics: Topics,
    waiting: String,
    blocking: String,
    kafka: KafkaConfig,
    journal: Arc<Journal>,
    runtime: Runtime,
}

impl Scene {
    fn new(protocol: GroupProtocol) -> Result<Self> {
        let topics = Topics::connect(brokers()?)?;
        let (waiting, blocking) = (topics.create_fresh("jobs.waiting", 2)?, topics.create_fresh("jobs.blocking", 2)?);
        for topic in [&waiting, &blocking] {
            topics.create(&format!("{topic}.dlq"), 1, &[])?;
            let others = (0..OTHERS).map(|n| Message::new("other").key(format!("other-{n}")));
            let messages: Vec<_> = [Message::new("job").key("job")].into_iter().chain(others).collect();
            for partition in [Partition(0), Partition(1)] {
                topics.produce_to(topic, partition, &messages)?;
            }
        }
        let mut kafka = KafkaConfig::new(brokers()?, &waiting);
        kafka.protocol = protocol;
        kafka.max_poll_interval = Some(SESSION);
        if protocol != GroupProtocol::Consumer {
            kafka.session_timeout = Some(SESSION);
            kafka = kafka.property("heartbeat.interval.ms", "500");
        }
        Ok(Self { topics, waiting, blocking, kafka, journal: Arc::default(), runtime: Runtime::new()? })
    }

    fn places(&self) -> Vec<Place> {
        let of = |topic: &String| [0, 1].map(|partition| (topic.clone(), partition));
        [&self.waiting, &self.blocking].into_iter().flat_map(of).collect()
    }

    fn router(&self, member: usize) -> Router {
        let journal = Arc::clone(&self.journal);
        let waits = move |record: Record, cancellation: Cancellation| {
            let (journal, place) = (Arc::clone(&journal), place(&record));
            async move {
                if !is_job(&record, &journal, &place) {
                    return;
                }
                let attempt = journal.begin(&place, member);
                let hears = async {
                    cancellation.requested().await;
                    journal.note(&place, attempt, |attempt| attempt.requested = Some(Instant::now()));
                    cancellation.gone().await;
                    journal.note(&place, attempt, |attempt| attempt.gone = Some(Instant::now()));
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = tokio::time::sleep(JOB) => {}
                    () = hears => {}
                }
                journal.note(&place, attempt, |attempt| attempt.ended = Some(Instant::now()));
            }
        };
        let journal = Arc::clone(&self.journal);
        let blocks = move |record: Record, cancellation: Cancellation| {
            let place = place(&record);
            if !is_job(&record, &journal, &place) {
                return;
            }
            let (attempt, began) = (journal.begin(&place, member), Instant::now());
            while began.elapsed() < JOB {
                thread::sleep(LOOK);
                if cancellation.is_requested() {
                    journal.note(&place, attempt, |attempt| {
                        attempt.requested = attempt.requested.or(Some(Instant::now()))
                    });
                }
                if cancellation.is_gone() {
                    journal.note(&place, attempt, |attempt| attempt.gone = attempt.gone.or(Some(Instant::now())));
                }
            }
            journal.note(&place, attempt, |attempt| attempt.ended = Some(Instant::now()));
        };
        Router::new()
            .topic(self.waiting.as_str(), on(waits).no_timeout())
            .topic(self.blocking.as_str(), on_blocking(blocks).no_timeout())
    }

    fn start(&self, member: usize) -> Running {
        let settings = PipelineSettings { rebalance_drain: DRAIN, ..PipelineSettings::default() };
        let consumer = Box::new(Consumer::new("jobs", self.kafka.clone(), self.router(member)).settings(settings));
        let context = DaemonContext::detached("jobs");
        Running { task: self.runtime.spawn(consumer.run(context.clone())), context }
    }

    fn until_others_are_handled(&self) -> Result<()> {
        until_true(LONG, "what is beside the jobs", || {
            let others = lock(&self.journal.others);
            Ok(self.places().iter().all(|place| others.get(place).is_some_and(|count| *count >= OTHERS)))
        })
    }

    fn until_jobs_begin(&self) -> Result<()> {
        until_true(LONG, "the jobs", || Ok(self.places().iter().all(|place| !self.journal.attempts(place).is_empty())))
    }

    fn until_all_is_committed(&self) -> Result<()> {
        let group = self.topics.group(&self.waiting)?;
        until_true(LONG, "the commits", || {
            let mut all = true;
            for topic in [&self.waiting, &self.blocking] {
                let committed = group.committed(topic, &[Partition(0), Partition(1)])?;
                let end = i64::try_from(OTHERS + 1)?;
                all &= committed.values().filter(|commit| commit.next.offset().0 == end).count() == 2;
            }
            Ok(all)
        })
    }
}

/// A member that runs.
struct Running {
    context: DaemonContext,
    task: JoinHandle<Result<Ended, DaemonError>>,
}

impl Running {
    fn rebalances(&self, kind: RebalanceKind) -> u64 {
        self.context.metrics().rebalances.of(kind).get()
    }

    fn stop(self, scene: &Scene) -> Result<()> {
        self.context.stop().cancel();
        match scene.runtime.block_on(async { tokio::time::timeout(LONG, self.task).await })?? {
            Ok(Ended::Drained) => Ok(()),
            other => bail!("it ended otherwise: {other:?}"),
        }
    }
}

fn a_job_keeps_the_membership(protocol: GroupProtocol) -> Result<()> {
    let scene = Scene::new(protocol)?;
    let member = scene.start(0);
    scene.until_jobs_begin()?;
    let began = Instant::now();
    scene.until_others_are_handled()?;
    ensure!(began.elapsed() < JOB / 2, "the others waited for {:?}", began.elapsed());
    scene.until_all_is_committed()?;
    for place in scene.places() {
        let attempts = scene.journal.attempts(&place);
        let [only] = &attempts[..] else { bail!("{place:?} has {attempts:?}") };
        let ended = only.ended.is_some_and(|ended| ended >= only.began + JOB);
        ensure!(ended && only.requested.is_none() && only.gone.is_none(), "{only:?}");
    }
    let lost = (member.rebalances(RebalanceKind::Revoked), member.rebalances(RebalanceKind::Lost));
    ensure!(lost == (0, 0), "revoked and lost: {lost:?}");
    member.stop(&scene)
}

fn a_job_whose_partition_moves_is_told(protocol: GroupProtocol) -> Result<()> {
    let scene = Scene::new(protocol)?;
    let first = scene.start(0);
    scene.until_jobs_begin()?;
    thread::sleep(Duration::from_secs(2));
    let second = scene.start(1);
    scene.until_all_is_committed()?;
    let mut moved = 0;
    for place in scene.places() {
        let attempts = scene.journal.attempts(&place);
        let (of_first, of_second): (Vec<_>, Vec<_>) = attempts.iter().cloned().partition(|attempt| attempt.member == 0);
        for own in [&of_first, &of_second] {
            let beside = own.windows(2).any(|pair| pair[0].ended.is_none_or(|ended| ended > pair[1].began));
            ensure!(!beside, "a job runs twice at once in one process: {own:?}");
        }
        let Some(job) = of_first.first() else { bail!("{place:?} did not begin with the first member") };
        let Some(begun_again) = of_second.first() else {
            let told = of_first.len() == 1 && (job.requested.is_some() || job.gone.is_some());
            ensure!(!told || protocol == GroupProtocol::Eager, "it stayed, and was told otherwise: {job:?}");
            continue;
        };
        moved += 1;
        let (Some(requested), Some(gone), Some(ended)) = (job.requested, job.gone, job.ended) else {
            bail!("{place:?} moved, and its job was not told: {job:?}")
        };
        ensure!(gone >= requested + DRAIN - Duration::from_millis(200), "it had no time to end: {job:?}");
        // It hears of it up to a look later than it is so.
        ensure!(begun_again.began + LOOK * 5 >= gone, "the next owner began it before: {attempts:?}");
        ensure!(ended >= job.began + JOB, "nothing ended it: {job:?}");
    }
    ensure!(moved > 0, "nothing moved");
    ensure!(first.rebalances(RebalanceKind::Lost) == 0, "the first member was thrown out");
    second.stop(&scene)?;
    first.stop(&scene)
}

#[test]
fn a_job_keeps_the_membership_under_the_cooperative_protocol() -> Result<()> {
    a_job_keeps_the_membership(GroupProtocol::Cooperative)
}

#[test]
fn a_job_keeps_the_membership_under_the_consumer_protocol() -> Result<()> {
    a_job_keeps_the_membership(GroupProtocol::Consumer)
}

#[test]
fn a_job_whose_partition_moves_is_told_under_the_cooperative_protocol() -> Result<()> {
    a_job_whose_partition_moves_is_told(GroupProtocol::Cooperative)
}

#[test]
fn a_job_whose_partition_moves_is_told_under_the_eager_protocol() -> Result<()> {
    a_job_whose_partition_moves_is_told(GroupProtocol::Eager)
}

#[test]
fn a_job_whose_partition_moves_is_told_under_the_consumer_protocol() -> Result<()> {
    a_job_whose_partition_moves_is_told(GroupProtocol::Consumer)
}
