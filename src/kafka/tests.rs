//! The source against librdkafka's own mock cluster, which fails on demand.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Err};
use tokio::time::Instant;

use super::{GroupProtocol, KafkaCommitter, KafkaConfig, KafkaProducer, KafkaSource};
use crate::pipeline::demand::{Demand, Share};
use crate::pipeline::source::{CommitError, Committer, Epoch, Event, Source, SourceError};
use crate::pipeline::subscription::Subscription;
use crate::pipeline::tracker::OffsetCommit;
use crate::record::{NextOffset, Topic};

const LONG: Duration = Duration::from_secs(40);

struct Scene {
    source: KafkaSource,
    committer: KafkaCommitter,
    topic: Topic,
    assigned: HashMap<i32, Epoch>,
    offsets: Vec<(i32, i64)>,
    troubles: Vec<String>,
    lost: usize,
    ends: HashMap<i32, i64>,
    /// Last, so that the source can leave.
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Scene {
    /// Two partitions with ten records, and one member.
    async fn new() -> Self {
        Self::on(MockCluster::new(1).expect("a mock cluster")).await
    }

    async fn on(cluster: MockCluster<'static, DefaultProducerContext>) -> Self {
        cluster.create_topic("t", 2, 1).expect("a topic");
        let topic = Topic::from("t");
        // Before there is anybody to be polled: what a source has to say meanwhile may be over by then.
        write(&cluster, &topic, 10).await;
        let mut source = join(&cluster, &topic);
        let committer = source.committer();
        Self {
            cluster,
            source,
            committer,
            topic,
            assigned: HashMap::new(),
            offsets: vec![],
            troubles: vec![],
            lost: 0,
            ends: HashMap::new(),
        }
    }

    async fn write(&self, count: usize) {
        write(&self.cluster, &self.topic, count).await;
    }

    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LONG;
        while !done(self) {
            assert!(Instant::now() < deadline, "in vain: {what}; {:?}, {:?}", self.assigned, self.troubles);
            self.step().await.expect(what);
        }
    }

    async fn step(&mut self) -> Result<(), SourceError> {
        let demand = Demand::new(
            100,
            1 << 20,
            self.assigned.values().map(|epoch| (*epoch, Share { queued: 0, room: 100, brief: false })),
        );
        match self.source.poll(&demand, Duration::from_millis(100)).await {
            Ok(Event::Assigned(ours)) => {
                self.assigned.extend(ours.iter().map(|one| (one.topic_partition.partition.0, one.epoch)));
            }
            Ok(Event::Records(batches)) => {
                let records = batches.iter().flat_map(|batch| &batch.records);
                self.offsets.extend(records.map(|record| (record.partition().0, record.offset().0)));
            }
            Ok(Event::Lost(epochs)) => {
                self.lost += epochs.len();
                self.assigned.retain(|_, epoch| !epochs.contains(epoch));
            }
            Ok(Event::Revoked(revocation)) => {
                self.assigned.retain(|_, epoch| !revocation.epochs().contains(epoch));
                revocation.complete();
            }
            Ok(Event::Ends(ends)) => {
                let place = |epoch: Epoch| self.assigned.iter().find(|(_, of)| **of == epoch).map(|(place, _)| *place);
                self.ends.extend(ends.iter().filter_map(|(epoch, end)| Some((place(*epoch)?, end.0))));
            }
            Ok(Event::Trouble(say)) => self.troubles.extend(say),
            Ok(Event::Missed(missed)) => panic!("{missed:?}, where nothing is removed"),
            Ok(Event::Idle) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn commit(&mut self, next: i64, within: Duration) -> Result<(), CommitError> {
        let commit = OffsetCommit { next: NextOffset::at(next), metadata: String::new() };
        self.committer.commit(vec![(self.assigned[&0], commit)], Instant::now() + within).await
    }
}

async fn write(cluster: &MockCluster<'static, DefaultProducerContext>, topic: &Topic, count: usize) {
    let producer = KafkaProducer::new(&KafkaConfig::new(cluster.bootstrap_servers(), "-")).expect("valid");
    for n in 0..count {
        let key = n.to_string();
        producer.send(topic, Some(key.as_bytes()), Some(b"x"), std::iter::empty(), None).await.expect("written");
    }
}

fn join(cluster: &MockCluster<'static, DefaultProducerContext>, topic: &Topic) -> KafkaSource {
    let mut config = KafkaConfig::new(cluster.bootstrap_servers(), "g");
    config.protocol = GroupProtocol::Consumer;
    KafkaSource::new(&config, Subscription::new().topic(topic.clone(), "test")).expect("valid")
}

#[tokio::test]
async fn a_fetch_that_failed_before_a_rebalance_costs_no_record() {
    let mut scene = Scene::new().await;
    scene.until("ten records", |scene| scene.offsets.len() == 10).await;
    scene.cluster.request_errors(Api::Fetch, &[Err::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 2]);
    scene.until("a word about it", |scene| !scene.troubles.is_empty()).await;
    // It takes one partition over, and for that the client stops fetching the other one for a moment.
    let second = join(&scene.cluster, &scene.topic);
    scene.until("one partition", |scene| scene.assigned.len() == 1).await;
    scene.write(20).await;
    let kept = *scene.assigned.keys().next().expect("one is left");
    let mine = |offset: &&(i32, i64)| offset.0 == kept;
    scene
        .until("all of the kept partition", |scene| {
            let end = scene.ends.get(&kept).copied().unwrap_or_default();
            end > 5 && scene.offsets.iter().filter(mine).any(|(_, offset)| offset + 1 == end)
        })
        .await;
    let read: Vec<i64> = scene.offsets.iter().filter(mine).map(|(_, offset)| *offset).collect();
    assert_eq!(read, (0..scene.ends[&kept]).collect::<Vec<_>>());
    drop(second);
}

#[tokio::test]
async fn a_broker_that_goes_and_comes_back_costs_no_record() {
    let mut scene = Scene::new().await;
    scene.until("ten records", |scene| scene.offsets.len() == 10).await;
    scene.cluster.broker_down(1).expect("down");
    scene.until("a word about it", |scene| !scene.troubles.is_empty()).await;
    scene.cluster.broker_up(1).expect("up");
    scene.write(10).await;
    scene.until("ten more", |scene| scene.offsets.len() == 20).await;
    scene.offsets.sort_unstable();
    scene.offsets.dedup();
    assert_eq!(scene.offsets.len(), 20);
}

#[tokio::test]
async fn errors_of_a_commit_are_told_apart() {
    let mut scene = Scene::new().await;
    scene.until("both partitions", |scene| scene.assigned.len() == 2).await;
    let second = Duration::from_secs(5);
    let cases = [
        (Err::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, CommitError::RebalanceInProgress),
        (Err::RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH, CommitError::RebalanceInProgress),
        (Err::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE, CommitError::MetadataTooLarge),
    ];
    for (error, expected) in cases {
        scene.cluster.request_errors(Api::OffsetCommit, &[error]);
        assert_eq!(scene.commit(1, second).await, Err(expected), "{error:?}");
    }
    scene.cluster.request_errors(Api::OffsetCommit, &[Err::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED]);
    assert!(matches!(scene.commit(1, second).await, Err(CommitError::Retriable(_))));
    scene.cluster.clear_request_errors(Api::OffsetCommit);
    assert_eq!(scene.commit(1, second).await, Ok(()));
    // The last one, since the client ends with it.
    scene.cluster.request_errors(Api::OffsetCommit, &[Err::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID]);
    assert_eq!(scene.commit(1, second).await, Err(CommitError::Fenced));
}

#[tokio::test]
async fn a_late_answer_is_not_taken_for_a_newer_commits() {
    let mut scene = Scene::new().await;
    scene.until("both partitions", |scene| scene.assigned.len() == 2).await;
    scene.cluster.broker_round_trip_time(1, Duration::from_millis(1500)).expect("slow");
    scene.cluster.request_errors(Api::OffsetCommit, &[Err::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE]);
    let abandoned = scene.commit(1, Duration::from_millis(200)).await;
    assert!(matches!(abandoned, Err(CommitError::Retriable(_))), "{abandoned:?}");
    assert_eq!(scene.commit(2, Duration::from_secs(10)).await, Ok(()), "the refusal was the older one's");
}

#[tokio::test]
async fn nothing_is_read_before_the_committed_offset_is_known() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.request_errors(Api::OffsetFetch, &[Err::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 2]);
    let mut scene = Scene::on(cluster).await;
    scene.until("a word about it", |scene| scene.troubles.iter().any(|say| say.contains("committed offsets"))).await;
    assert!(scene.assigned.is_empty() && scene.offsets.is_empty());
    scene.until("ten records", |scene| scene.offsets.len() == 10).await;
}

#[tokio::test]
async fn closing_ends_though_no_broker_is_there() {
    let mut scene = Scene::new().await;
    scene.until("both partitions", |scene| scene.assigned.len() == 2).await;
    scene.cluster.broker_down(1).expect("down");
    let start = Instant::now();
    let _left = scene.source.close(start + Duration::from_secs(2)).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}
