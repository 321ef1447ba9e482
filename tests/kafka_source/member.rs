//! A member of a group, driven by hand: what the pipeline's reader would do, one step at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use daemonry::kafka::{GroupProtocol, KafkaAdmin, KafkaCommitter, KafkaConfig, KafkaProducer, KafkaSource};
use daemonry::pipeline::demand::{Demand, Share};
use daemonry::pipeline::source::{CommitError, Committer, Epoch, Event, Revocation, Source, SourceError};
use daemonry::pipeline::subscription::Subscription;
use daemonry::pipeline::tracker::{OffsetCommit, OffsetTracker};
use daemonry::record::{Header, NextOffset, Record, Topic};
use tokio::time::{Instant, timeout};

/// Longer than anything here may take.
pub(crate) const LONG: Duration = Duration::from_secs(40);

/// All three ways in which the members of a group agree.
pub(crate) const PROTOCOLS: [GroupProtocol; 3] =
    [GroupProtocol::Cooperative, GroupProtocol::Eager, GroupProtocol::Consumer];

pub(crate) fn brokers() -> String {
    std::env::var("KAFKA_BROKERS")
        .expect("KAFKA_BROKERS names no broker: start one and set it to its host:port, or run `make test`")
}

/// A name that no other test uses.
pub(crate) fn unique(stem: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
    format!("{stem}-{}-{nanos}-{count}", std::process::id())
}

pub(crate) fn config(group: &str) -> KafkaConfig {
    KafkaConfig::new(brokers(), group)
}

/// A new topic of so many partitions.
pub(crate) async fn topic(stem: &str, partitions: usize) -> Topic {
    let topic = Topic::from(unique(stem));
    let admin = KafkaAdmin::new(&config("-")).expect("valid");
    admin.create(&topic, partitions).await.expect("the topic is made");
    let deadline = Instant::now() + LONG;
    while admin.partitions(&topic).await.expect("the cluster answers") != Some(partitions) {
        assert!(Instant::now() < deadline, "the topic does not come up");
    }
    topic
}

/// Writes `count` records, keyed by their number, with that number as the value.
pub(crate) async fn fill(topic: &Topic, count: usize) {
    fill_with(topic, count, |n| n.to_string().into_bytes()).await;
}

pub(crate) async fn fill_with(topic: &Topic, count: usize, value: impl Fn(usize) -> Vec<u8>) {
    let producer = KafkaProducer::new(&config("-")).expect("valid");
    for start in (0..count).step_by(1000) {
        let sends = (start..count.min(start + 1000)).map(|n| {
            let (producer, value) = (&producer, value(n));
            async move {
                let key = format!("key-{n}");
                producer.send(topic, Some(key.as_bytes()), Some(&value), std::iter::empty::<Header<'_>>(), None).await
            }
        });
        for sent in futures_util::future::join_all(sends).await {
            sent.expect("written");
        }
    }
}

pub(crate) struct Member {
    pub(crate) source: KafkaSource,
    pub(crate) committer: KafkaCommitter,
    /// What is assigned, by partition.
    pub(crate) assigned: BTreeMap<i32, Epoch>,
    /// How its progress looked when it was assigned.
    pub(crate) resumed: HashMap<Epoch, OffsetTracker>,
    pub(crate) records: Vec<Record>,
    pub(crate) revoked: Vec<Revocation>,
    pub(crate) lost: Vec<Epoch>,
    pub(crate) missed: Vec<Option<u64>>,
    pub(crate) troubles: Vec<String>,
    pub(crate) ends: HashMap<Epoch, i64>,
    /// Partitions that are asked for nothing.
    pub(crate) held: Vec<i32>,
    /// How much each poll asks for.
    pub(crate) appetite: usize,
    pub(crate) bytes: usize,
    /// Whether revocations are completed at once.
    pub(crate) obliging: bool,
}

impl Member {
    pub(crate) fn join(config: &KafkaConfig, topic: &Topic) -> Self {
        let subscription = Subscription::new().topic(topic.clone(), "test");
        let mut source = KafkaSource::new(config, subscription).expect("a valid configuration");
        let committer = source.committer();
        Self {
            source,
            committer,
            assigned: BTreeMap::new(),
            resumed: HashMap::new(),
            records: Vec::new(),
            revoked: Vec::new(),
            lost: Vec::new(),
            missed: Vec::new(),
            troubles: Vec::new(),
            ends: HashMap::new(),
            held: Vec::new(),
            appetite: 1000,
            bytes: 1 << 30,
            obliging: true,
        }
    }

    pub(crate) fn demand(&self) -> Demand {
        let open = self.assigned.iter().filter(|(partition, _)| !self.held.contains(partition));
        Demand::new(
            self.appetite,
            self.bytes,
            open.map(|(_, epoch)| (*epoch, Share { queued: 0, room: self.appetite, brief: false })),
        )
    }

    /// One poll. Trouble is noted, an error returned.
    pub(crate) async fn step(&mut self) -> Result<(), SourceError> {
        let demand = self.demand();
        match self.source.poll(&demand, Duration::from_millis(100)).await {
            Ok(Event::Assigned(assigned)) => {
                for one in assigned {
                    self.assigned.insert(one.topic_partition.partition.0, one.epoch);
                    self.resumed.insert(one.epoch, one.progress);
                }
            }
            Ok(Event::Records(batches)) => {
                let mut left = demand;
                for batch in batches {
                    let bytes = batch.records.iter().map(Record::size).sum();
                    assert!(batch.records.len() <= left.records(batch.epoch), "more records than were asked for");
                    left.take(batch.epoch, batch.records.len(), bytes);
                    self.records.extend(batch.records);
                }
            }
            Ok(Event::Revoked(revocation)) => {
                let epochs = revocation.epochs().to_vec();
                self.assigned.retain(|_, epoch| !epochs.contains(epoch));
                if self.obliging { revocation.complete() } else { self.revoked.push(revocation) }
            }
            Ok(Event::Lost(epochs)) => {
                self.assigned.retain(|_, epoch| !epochs.contains(epoch));
                self.lost.extend(epochs);
            }
            Ok(Event::Missed(missed)) => self.missed.push(missed.offsets),
            Ok(Event::Ends(ends)) => self.ends.extend(ends.into_iter().map(|(epoch, end)| (epoch, end.0))),
            Ok(Event::Trouble(say)) => self.troubles.extend(say),
            Ok(Event::Idle) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Polls until `done`, which has to happen soon.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LONG;
        while !done(self) {
            assert!(
                Instant::now() < deadline,
                "in vain: {what}; assigned {:?}, {} records, {:?}",
                self.assigned,
                self.records.len(),
                self.troubles
            );
            self.step().await.expect(what);
        }
    }

    /// Polls for so long, whatever comes.
    pub(crate) async fn linger(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.step().await.expect("no lasting trouble");
        }
    }

    pub(crate) async fn commit(&mut self, partition: i32, next: i64, metadata: &str) -> Result<(), CommitError> {
        self.commit_epoch(self.assigned[&partition], next, metadata).await
    }

    pub(crate) async fn commit_epoch(&mut self, epoch: Epoch, next: i64, metadata: &str) -> Result<(), CommitError> {
        let commit = OffsetCommit { next: NextOffset::at(next), metadata: metadata.to_owned() };
        self.committer.commit(vec![(epoch, commit)], Instant::now() + Duration::from_secs(10)).await
    }

    /// Closes, and says how long it took.
    pub(crate) async fn close(self) -> Duration {
        let start = Instant::now();
        timeout(LONG, self.source.close(start + Duration::from_secs(10)))
            .await
            .expect("closing ends")
            .expect("the group is left");
        start.elapsed()
    }
}

/// Polls both until `done`.
pub(crate) async fn both(a: &mut Member, b: &mut Member, what: &str, done: impl Fn(&Member, &Member) -> bool) {
    let deadline = Instant::now() + LONG;
    while !done(a, b) {
        assert!(Instant::now() < deadline, "in vain: {what}; {:?} and {:?}", a.assigned, b.assigned);
        let (left, right) = tokio::join!(a.step(), b.step());
        left.expect(what);
        right.expect(what);
    }
}
