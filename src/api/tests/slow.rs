//! Dead letters whose marks take longer to be read than an answer may, or that take longer to be written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::pages::page;
use super::{Scene, until};
use crate::dead_letters::samples::letter_of;
use crate::dead_letters::shelf::{Batching, Partitions, Polled, Progress, Reader, Shelf, Span, Stop, Survey, Writer};
use crate::dead_letters::{DeadLetters, LettersError};
use crate::pipeline::dead_letter::{DeadLetterSink, Letter, PublishError};
use crate::producer::Sent;
use crate::record::{Offset, OwnedRecord, Partition, Record, Timestamp, Topic};
use crate::testing::MemoryBroker;

const TOPIC: &str = "/api/v1/daemons/orders/letters/orders.dlq";

/// A broker that gives no mark away.
#[derive(Clone, Debug)]
struct Slow(MemoryBroker);

struct SlowReader {
    inner: Box<dyn Reader>,
    stop: Stop,
    is_at_marks: bool,
}

impl Shelf for Slow {
    fn reader(&self, stop: &Stop) -> Result<Box<dyn Reader>, LettersError> {
        Ok(Box::new(SlowReader { inner: self.0.reader(stop)?, stop: stop.clone(), is_at_marks: false }))
    }

    fn writer(&self, letters: &Topic, batching: Batching) -> Result<Box<dyn Writer>, LettersError> {
        self.0.writer(letters, batching)
    }

    fn create_compacted(&self, topic: &Topic) -> Result<(), LettersError> {
        self.0.create_compacted(topic)
    }
}

impl Reader for SlowReader {
    fn survey(&mut self, topic: &Topic, of: Partitions) -> Result<Option<Survey>, LettersError> {
        self.inner.survey(topic, of)
    }

    fn skip_to(&mut self, topic: &Topic, spans: &mut [Span], time: Timestamp) -> Result<(), LettersError> {
        self.inner.skip_to(topic, spans, time)
    }

    fn open(&mut self, topic: &Topic, spans: &[Span]) -> Result<(), LettersError> {
        self.is_at_marks = topic.as_str() == "orders.dlq.marks";
        self.inner.open(topic, spans)
    }

    fn poll(&mut self, until: Instant) -> Result<Polled, LettersError> {
        if !self.is_at_marks {
            return self.inner.poll(until);
        }
        self.stop.wait_until(until)?;
        Ok(Polled::Late)
    }

    fn next(&mut self) -> Result<Option<Record>, LettersError> {
        self.inner.next()
    }

    fn reached(&self, partition: Partition) -> Option<Offset> {
        self.inner.reached(partition)
    }
}

#[async_trait::async_trait]
impl DeadLetterSink for Slow {
    async fn publish(&self, letter: &Letter<'_>) -> Result<Sent, PublishError> {
        Err(PublishError::UnknownTopic(letter.topic.clone()))
    }

    fn letters(&self, topic: &Topic) -> Option<DeadLetters> {
        Some(DeadLetters::on(Arc::new(self.clone()), topic.clone()))
    }
}

#[test]
fn a_page_that_is_not_done_in_its_time_says_so_and_where_to_go_on() {
    let scene = Scene::open();
    let broker = MemoryBroker::new();
    broker.create_topic("orders.dlq", 2);
    broker.create_topic("orders.dlq.marks", 1);
    for partition in [0, 1] {
        broker.produce("orders.dlq", partition, letter_of(OwnedRecord::new("{}")));
        broker.produce("orders.dlq.marks", 0, OwnedRecord::new("{}"));
    }
    scene.control.letters().go_to(&"orders.dlq".into(), &Slow(broker));
    let begun = Instant::now();
    // More at once than may read: all are answered.
    let ui = "/daemons/orders/letters/orders.dlq";
    let paths = [TOPIC.to_owned(), format!("{TOPIC}?from=0:1,1:0"), ui.to_owned(), format!("{TOPIC}/0/0")];
    let scene = &scene;
    let answers = std::thread::scope(|threads| {
        let asked = paths
            .each_ref()
            .map(|path| threads.spawn(move || if path == ui { page(scene, path) } else { scene.get(path) }));
        asked.map(|asked| asked.join().expect("it doesn't panic"))
    });
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(answers.each_ref().map(|answer| answer.status), [200; 4], "{answers:?}");
    let [first, later, ui, one] = answers;
    for (answer, next) in [(first, "0:0,1:0"), (later, "0:1,1:0")] {
        let expected = json!({"letters": [], "looked_at": 0, "marks_left": 2, "waiting": null, "next": next});
        assert_eq!(answer.json(), expected);
    }
    assert!(ui.body.contains("about 2 marks are left") && ui.body.contains("The next ones"), "{ui:?}");
    assert_eq!((&one.json()["marks_left"], &one.json()["mark"]), (&json!(2), &json!(null)));
}

/// A broker that takes longer than an answer may to commit what was sent.
#[derive(Clone, Debug)]
struct Late(MemoryBroker);

struct LateWriter(Box<dyn Writer>, Duration);

impl Shelf for Late {
    fn reader(&self, stop: &Stop) -> Result<Box<dyn Reader>, LettersError> {
        self.0.reader(stop)
    }

    fn writer(&self, letters: &Topic, batching: Batching) -> Result<Box<dyn Writer>, LettersError> {
        Ok(Box::new(LateWriter(self.0.writer(letters, batching)?, Duration::ZERO)))
    }

    fn create_compacted(&self, topic: &Topic) -> Result<(), LettersError> {
        self.0.create_compacted(topic)
    }
}

impl Writer for LateWriter {
    fn progress(&mut self, letters: &Topic, request: &str, of: &[Partition]) -> Result<Vec<Progress>, LettersError> {
        self.0.progress(letters, request, of)
    }

    fn learn(&mut self, topic: &Topic) -> Result<(), LettersError> {
        self.0.learn(topic)
    }

    fn send(&mut self, topic: &Topic, record: &OwnedRecord, letter: (Partition, Offset)) -> Result<(), LettersError> {
        self.1 = Duration::from_secs(9);
        self.0.send(topic, record, letter)
    }

    fn commit(&mut self, letters: &Topic, progress: &[Progress]) -> Result<(), LettersError> {
        let until = Instant::now() + self.1;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
        self.0.commit(letters, progress)
    }

    fn settle(&mut self) {
        self.0.settle();
    }
}

#[async_trait::async_trait]
impl DeadLetterSink for Late {
    async fn publish(&self, letter: &Letter<'_>) -> Result<Sent, PublishError> {
        Err(PublishError::UnknownTopic(letter.topic.clone()))
    }

    fn letters(&self, topic: &Topic) -> Option<DeadLetters> {
        Some(DeadLetters::on(Arc::new(self.clone()), topic.clone()))
    }
}

#[test]
fn an_edit_that_is_not_done_in_its_time_and_is_done_later_is_not_called_refused() {
    let scene = Scene::open();
    let broker = MemoryBroker::new();
    broker.create_topic("orders", 1);
    broker.create_topic("orders.dlq", 1);
    broker.produce("orders.dlq", 0, letter_of(OwnedRecord::new("{")));
    scene.control.letters().go_to(&"orders.dlq".into(), &Late(broker.clone()));
    let edit = json!({"value": {"text": "{}"}, "reason": "a comma"});
    let answer = scene.post(&format!("{TOPIC}/0/0/edits"), &edit);
    assert!(answer.status == 503 && answer.body.contains("not known whether the record was written"), "{answer:?}");
    let entry = scene.get("/api/v1/audit").json()["entries"][0].clone();
    assert_eq!((&entry["status"], &entry["is_open"]), (&json!(503), &json!(true)));
    let detail = entry["detail"].as_str().unwrap_or_default();
    assert!(detail.starts_with("write letter 0:0 of orders.dlq changed: a comma; not known whether"), "{detail}");
    until(|| (broker.records("orders", 0).len() == 1).then_some(()));
}
