//! What librdkafka's memory must survive, on its own mock cluster. Worth most under a sanitizer: `make sanitize`.

mod asking;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DeliveryResult, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr};

use super::*;
use crate::kafka::client::{Destroyed, list};
use crate::kafka::config::KafkaConfig;
use crate::kafka::wake::Wake;
use crate::record::{Header, Record, Topic};

const LONG: Duration = Duration::from_secs(40);
const TOPIC: &str = "t";
/// Around the size from which records are copied.
const SIZES: [usize; 6] = [0, 1, 1023, 1024, 1025, 5000];
const ODD: [Header<'_>; 5] = [
    Header { name: b"plain", value: Some(b"1") },
    Header { name: b"\xff\xfe", value: Some(b"\x00\x01") },
    Header { name: b"", value: None },
    Header { name: b"empty", value: Some(b"") },
    Header { name: b"plain", value: Some(b"2") },
];

/// How often a receipt was made, reported on, and freed.
#[derive(Debug, Default)]
struct Tally {
    made: AtomicUsize,
    reported: AtomicUsize,
    freed: AtomicUsize,
}

impl Tally {
    fn counts(&self) -> (usize, usize, usize) {
        let read = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (read(&self.made), read(&self.reported), read(&self.freed))
    }
}

struct Receipt(Arc<Tally>);

impl Drop for Receipt {
    fn drop(&mut self) {
        self.0.freed.fetch_add(1, Ordering::SeqCst);
    }
}

struct Reports;

impl ClientContext for Reports {}

impl ProducerContext<NoCustomPartitioner> for Reports {
    type DeliveryOpaque = Box<Receipt>;

    fn delivery(&self, _report: &DeliveryResult<'_>, receipt: Box<Receipt>) {
        receipt.0.reported.fetch_add(1, Ordering::SeqCst);
    }
}

/// A mock cluster, and the producer that it belongs to.
struct Broker {
    producer: ThreadedProducer<Reports>,
    tally: Arc<Tally>,
}

impl Broker {
    fn new(properties: &[(&str, &str)]) -> Self {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", "1").set("linger.ms", "0");
        config.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let producer = config.create_with_context(Reports).expect("a producer");
        let broker = Self { producer, tally: Arc::default() };
        broker.cluster().create_topic(TOPIC, 1, 1).expect("a topic");
        broker
    }

    fn cluster(&self) -> MockCluster<'_, Reports> {
        self.producer.client().mock_cluster().expect("the producer has one")
    }

    fn produce(&self, letter: &Letter<'_>) -> Result<(), Code> {
        self.tally.made.fetch_add(1, Ordering::SeqCst);
        produce(&self.producer, letter, Box::new(Receipt(Arc::clone(&self.tally)))).map_err(|refused| refused.code)
    }

    fn write(&self, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) {
        let letter = Letter { topic: TOPIC, key, value, headers, timestamp: None };
        self.produce(&letter).expect("taken");
    }

    /// Small ones and copied ones in turn, with headers, and waits until they are written.
    fn fill(&self, count: usize) {
        for n in 0..count {
            self.write(Some(n.to_string().as_bytes()), Some(&vec![b'x'; SIZES[n % SIZES.len()]]), &ODD);
        }
        self.producer.flush(LONG).expect("written");
    }

    fn consumer(&self) -> Reader {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.cluster().bootstrap_servers())
            .set("group.id", "g")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.queue.backoff.ms", "5");
        let wake = Arc::new(Wake::default());
        wake.adopt_current_thread();
        let (client, destroyed) = Client::new(&config, &KafkaConfig::new("-", "g"), &wake).expect("a consumer");
        Reader { client, destroyed, wake }
    }
}

fn place() -> TopicPartition {
    TopicPartition::new(TOPIC, 0)
}

struct Reader {
    client: Arc<Client>,
    destroyed: Destroyed,
    wake: Arc<Wake>,
}

impl Reader {
    fn take(&self) -> PartitionQueue {
        PartitionQueue::take(&self.client, &place(), Arc::clone(&self.wake).into()).expect("a queue")
    }

    /// How much waits in the queue.
    fn waiting(&self) -> usize {
        let topic = std::ffi::CString::new(TOPIC).expect("no zero byte");
        // SAFETY: the client is live and the topic a C string; the handle is ours, not null since the queue was taken, and given back once.
        unsafe {
            let queue = sys::rd_kafka_queue_get_partition(self.client.native(), topic.as_ptr(), 0);
            let length = sys::rd_kafka_queue_length(queue);
            sys::rd_kafka_queue_destroy(queue);
            length
        }
    }

    fn assign(&self, offset: i64) {
        let partitions = list([(&place(), rdkafka::Offset::Offset(offset))]).expect("a list");
        self.client.consumer().assign(&partitions).expect("assigned");
    }

    fn until<T>(&self, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + LONG;
        loop {
            self.client.serve().expect("no record comes past its queue");
            if let Some(found) = done() {
                return found;
            }
            assert!(Instant::now() < deadline, "in vain: {what}");
            Wake::pause(Duration::from_millis(10));
        }
    }

    fn read(&self, queue: &PartitionQueue, count: usize) -> Vec<Record> {
        let (mut buffer, mut records) = (Buffer::default(), Vec::new());
        self.until("the records", || {
            let read = queue.read(100, 1024, &mut buffer);
            assert!(read.failure.is_none(), "{:?}", read.failure);
            records.extend(read.records);
            (records.len() >= count).then(|| std::mem::take(&mut records))
        })
    }
}

fn check(record: &Record) {
    let n = usize::try_from(record.offset().0).expect("not negative");
    assert_eq!(record.key(), Some(n.to_string().as_bytes()));
    assert_eq!(record.value(), Some(&vec![b'x'; SIZES[n % SIZES.len()]][..]));
    assert!(record.headers().eq(ODD));
}

#[test]
fn records_outlive_their_queue_their_assignment_and_their_group() {
    let broker = Broker::new(&[]);
    broker.fill(30);
    let reader = broker.consumer();
    let queue = reader.take();
    reader.assign(0);
    let records = reader.read(&queue, 30);
    reader.client.consumer().unassign().expect("unassigned");
    drop(queue);
    let Reader { client, destroyed, .. } = reader;
    assert!(client.close(&destroyed, Instant::now() + LONG), "the group is left");
    // Everything is looked at for the first time now, headers too, and freed by a thread that never saw the client.
    thread::spawn(move || records.iter().for_each(check)).join().expect("as they were");
    assert!(destroyed.wait(Instant::now() + LONG), "the client goes with its last record");
}

#[test]
fn a_batch_may_be_dropped_in_any_order_and_on_any_thread() {
    let broker = Broker::new(&[]);
    broker.fill(300);
    let reader = broker.consumer();
    let queue = reader.take();
    reader.assign(0);
    let mut records = reader.read(&queue, 300);
    let clones: Vec<Record> = records.iter().step_by(3).cloned().collect();
    let odd: Vec<Record> = records.extract_if(.., |record| record.offset().0 % 2 == 1).collect();
    drop(queue);
    let Reader { client, destroyed, .. } = reader;
    drop(client);
    thread::scope(|scope| {
        scope.spawn(|| drop(odd));
        scope.spawn(|| records.into_iter().rev().for_each(|record| check(&record)));
    });
    assert!(!destroyed.wait(Instant::now()), "records of it are still held");
    clones.iter().for_each(check);
    drop(clones);
    assert!(destroyed.wait(Instant::now() + LONG));
}

#[test]
fn what_is_detached_keeps_neither_its_batch_nor_its_client() {
    let broker = Broker::new(&[]);
    broker.fill(SIZES.len());
    let reader = broker.consumer();
    let queue = reader.take();
    reader.assign(0);
    let mut records = reader.read(&queue, SIZES.len());
    let Reader { client, destroyed, .. } = reader;
    drop((queue, client));
    records.iter_mut().for_each(Record::detach);
    // These had memory of their own already, and stand in the batch.
    drop(records.split_off(2));
    assert!(destroyed.wait(Instant::now() + LONG));
    records.iter().for_each(check);
}

#[test]
fn two_threads_may_ask_for_the_same_headers_at_once() {
    let broker = Broker::new(&[]);
    broker.fill(600);
    let reader = broker.consumer();
    let queue = reader.take();
    reader.assign(0);
    let records = reader.read(&queue, 600);
    let clones = records.clone();
    let start = Barrier::new(2);
    let read = |records: Vec<Record>| {
        start.wait();
        records.iter().for_each(check);
    };
    thread::scope(|scope| {
        scope.spawn(|| read(records));
        scope.spawn(|| read(clones));
    });
}

#[test]
fn nothing_comes_behind_the_last_header() {
    let broker = Broker::new(&[]);
    broker.fill(SIZES.len());
    broker.write(None, None, &[]);
    let reader = broker.consumer();
    let queue = reader.take();
    reader.assign(0);
    let records = reader.read(&queue, SIZES.len() + 1);
    for record in &records {
        let expected = if record.key().is_some() { ODD.len() } else { 0 };
        let mut headers = record.headers();
        assert_eq!(headers.by_ref().count(), expected);
        // Each further question is for a place still further behind.
        assert!((0..100).all(|_| headers.next().is_none()));
    }
}

#[test]
fn none_and_empty_stay_apart_in_place_and_copied() {
    let broker = Broker::new(&[]);
    let large = vec![b'y'; 2000];
    let keys: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"k"), Some(&large)];
    let all: Vec<_> = keys.iter().flat_map(|key| keys.iter().map(|value| (*key, *value))).collect();
    all.iter().for_each(|(key, value)| broker.write(*key, *value, &[]));
    let reader = broker.consumer();
    let queue = reader.take();
    reader.assign(0);
    let records = reader.read(&queue, all.len());
    let came: Vec<_> = records.iter().map(|record| (record.key(), record.value())).collect();
    assert_eq!(came, all);
}

#[test]
fn a_queue_that_is_given_up_keeps_nothing() {
    let broker = Broker::new(&[]);
    broker.fill(500);
    let reader = broker.consumer();
    let queue = reader.take();
    reader.assign(0);
    let first = reader.read(&queue, 1);
    reader.client.consumer().unassign().expect("unassigned");
    queue.discard();
    first.iter().for_each(check);
    drop(first);
    // Taken again, it starts where it is told to.
    let queue = reader.take();
    reader.assign(400);
    let again = reader.read(&queue, 100);
    assert_eq!(again[0].offset().0, 400);
    let Reader { client, destroyed, .. } = reader;
    drop((queue, again, client));
    assert!(destroyed.wait(Instant::now() + LONG));
}

#[test]
fn a_queue_may_be_dropped_while_records_arrive() {
    let broker = Broker::new(&[]);
    broker.fill(200);
    let reader = broker.consumer();
    for _ in 0..30 {
        let queue = reader.take();
        reader.assign(0);
        let mut buffer = Buffer::default();
        let held = reader.until("a record", || Some(queue.read(5, 1024, &mut buffer)).filter(|read| !read.is_empty()));
        // Its bell goes with it, in the middle of a fetch; records that came from it stay.
        drop(queue);
        broker.write(None, None, &[]);
        held.records.iter().for_each(check);
    }
}

#[test]
fn answers_to_commits_may_come_after_their_queue_is_gone() {
    let broker = Broker::new(&[]);
    let reader = broker.consumer();
    let answers = CommitQueue::new(&reader.client, &reader.wake);
    let offsets = list([(&place(), rdkafka::Offset::Offset(1))]).expect("a list");
    answers.send(&offsets, 7).expect("sent");
    let answer = reader.until("an answer", || answers.next());
    assert_eq!((answer.number, answer.errors), (7, vec![]));
    broker.cluster().broker_round_trip_time(1, Duration::from_millis(300)).expect("slow");
    for number in 0..10 {
        answers.send(&offsets, number).expect("sent");
    }
    drop(answers);
    let later = CommitQueue::new(&reader.client, &reader.wake);
    later.send(&offsets, 99).expect("sent");
    let answer = reader.until("its own answer", || later.next());
    assert_eq!(answer.number, 99, "and no other's");
    // Some more, with the client on its way out.
    later.send(&offsets, 100).expect("sent");
    let Reader { client, destroyed, .. } = reader;
    drop((later, client));
    assert!(destroyed.wait(Instant::now() + LONG));
}

#[test]
fn an_error_may_come_in_the_place_of_a_record() {
    let broker = Broker::new(&[]);
    broker.fill(10);
    let reader = broker.consumer();
    let queue = reader.take();
    reader.assign(1000);
    let mut buffer = Buffer::default();
    let read = reader.until("an error", || Some(queue.read(100, 1024, &mut buffer)).filter(|read| !read.is_empty()));
    assert!(read.records.is_empty(), "{read:?}");
    let failure = read.failure.expect("an error");
    assert_eq!(failure.code, Code::AutoOffsetReset);
    assert!(failure.reason.contains("out of range"), "{}", failure.reason);
    // It goes on elsewhere.
    reader.assign(3);
    reader.read(&queue, 7).iter().for_each(check);
}

#[test]
fn nothing_is_read_behind_an_error() {
    let broker = Broker::new(&[]);
    broker.fill(10);
    let reader = broker.consumer();
    let queue = reader.take();
    broker.cluster().request_errors(Api::Fetch, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    reader.assign(0);
    // Beside them stands what librdkafka tells itself.
    reader.until("an error and ten records", || (reader.waiting() > 10).then_some(()));
    let read = queue.read(100, 1024, &mut Buffer::default());
    assert_eq!(read.failure.as_ref().map(|failure| failure.code), Some(Code::TopicAuthorizationFailed), "{read:?}");
    assert!(read.records.is_empty(), "{read:?}");
}

#[test]
fn an_error_that_nobody_knows_is_told_as_such() {
    /// Higher than any code that this librdkafka has a name for.
    const NEW: [i32; 1] = [9999];
    let broker = Broker::new(&[]);
    let reader = broker.consumer();
    let answers = CommitQueue::new(&reader.client, &reader.wake);
    let offsets = list([(&place(), rdkafka::Offset::Offset(1))]).expect("a list");
    // SAFETY: the cluster belongs to the producer, which lives; the array is read within the call, as plain numbers.
    unsafe {
        let cluster = sys::rd_kafka_handle_mock_cluster(broker.producer.client().native_ptr());
        let errors: *const RDKafkaRespErr = NEW.as_ptr().cast();
        sys::rd_kafka_mock_push_request_errors_array(cluster, Api::OffsetCommit.into(), NEW.len(), errors);
    }
    answers.send(&offsets, 1).expect("sent");
    let answer = reader.until("an answer", || answers.next());
    assert!(!answer.errors.is_empty() && answer.errors.iter().all(|code| *code == Code::Unknown), "{answer:?}");
}

#[test]
fn a_receipt_comes_back_exactly_once_however_its_letter_fares() {
    let broker = Broker::new(&[("message.max.bytes", "2000"), ("message.timeout.ms", "1000")]);
    let letter = Letter { topic: TOPIC, key: Some(b""), value: Some(b"x"), headers: &ODD, timestamp: None };
    // Delivered.
    broker.produce(&letter).expect("taken");
    broker.producer.flush(LONG).expect("written");
    assert_eq!(broker.tally.counts(), (1, 1, 1));
    // Refused, each for another reason, by us or by librdkafka.
    let long = "n".repeat(600);
    let large = vec![0; 3000];
    let refused = [
        Letter { topic: "zero\0byte", ..letter },
        Letter { topic: &long, ..letter },
        Letter { value: Some(&large), ..letter },
    ];
    for (n, letter) in refused.iter().enumerate() {
        broker.produce(letter).expect_err("refused");
        assert_eq!(broker.tally.counts(), (2 + n, 1, 2 + n), "{}", letter.topic);
    }
    // Taken, and never delivered.
    broker.cluster().broker_down(1).expect("down");
    broker.produce(&letter).expect("taken");
    broker.producer.flush(LONG).expect("reported");
    assert_eq!(broker.tally.counts(), (5, 2, 5));
}

#[test]
fn a_full_queue_gives_the_receipt_back() {
    let broker = Broker::new(&[("queue.buffering.max.messages", "3")]);
    broker.cluster().broker_round_trip_time(1, Duration::from_millis(500)).expect("slow");
    let letter = Letter { topic: TOPIC, key: None, value: None, headers: &ODD, timestamp: None };
    let refused = (0..10).filter(|_| broker.produce(&letter) == Err(Code::QueueFull)).count();
    assert!(refused >= 7, "{refused} of 10 were refused");
    assert!(broker.tally.counts().2 >= refused);
    broker.producer.flush(LONG).expect("written");
    assert_eq!(broker.tally.counts(), (10, 10 - refused, 10));
}

#[test]
fn receipts_that_are_out_come_back_when_the_producer_is_dropped() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic(TOPIC, 1, 1).expect("a topic");
    let producer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("enable.idempotence", "true")
        .create_with_context(Reports)
        .expect("a producer");
    let broker = Broker { producer, tally: Arc::default() };
    let write = || (0..50).for_each(|_| broker.write(None, Some(b"x"), &ODD));
    write();
    broker.producer.flush(LONG).expect("written");
    // On their way, and in the queue behind those.
    cluster.broker_round_trip_time(1, Duration::from_secs(5)).expect("slow");
    write();
    write();
    let Broker { producer, tally } = broker;
    drop(producer);
    assert_eq!(tally.counts(), (150, 150, 150));
}
