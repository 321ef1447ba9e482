//! What is read for an answer: the marks once, and of the letters no more than has to be looked at.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::*;
use crate::dead_letters::shelf::{Batching, Partitions, Polled, Reader, Shelf, Span, Stop, Survey, Writer};
use crate::record::Record;

const MARKS: &str = "orders.dlq.marks";

/// A broker that counts the records that are read of each topic, and whose topics can become others.
#[derive(Clone, Debug)]
struct Counting {
    broker: MemoryBroker,
    read: Arc<Mutex<BTreeMap<Topic, usize>>>,
    /// What a topic is to look like.
    ids: Arc<Mutex<BTreeMap<Topic, TopicId>>>,
    /// Where the marks begin.
    cut: Arc<Mutex<Offset>>,
}

struct CountingReader {
    inner: Box<dyn Reader>,
    counting: Counting,
}

impl Counting {
    fn of(broker: &MemoryBroker) -> (Self, DeadLetters) {
        let (broker, cut) = (broker.clone(), Arc::new(Mutex::new(Offset(0))));
        let counting = Self { broker, read: Arc::default(), ids: Arc::default(), cut };
        let letters = DeadLetters::on(Arc::new(counting.clone()), LETTERS.into());
        (counting, letters)
    }

    /// Records that were read of this topic since this was last asked.
    fn read(&self, topic: &str) -> usize {
        self.read.lock().remove(&Topic::from(topic)).unwrap_or(0)
    }
}

impl Shelf for Counting {
    fn reader(&self, stop: &Stop) -> Result<Box<dyn Reader>, LettersError> {
        Ok(Box::new(CountingReader { inner: self.broker.reader(stop)?, counting: self.clone() }))
    }

    fn writer(&self, letters: &Topic, batching: Batching) -> Result<Box<dyn Writer>, LettersError> {
        self.broker.writer(letters, batching)
    }

    fn create_compacted(&self, topic: &Topic) -> Result<(), LettersError> {
        self.broker.create_compacted(topic)
    }
}

impl Reader for CountingReader {
    fn survey(&mut self, topic: &Topic, of: Partitions) -> Result<Option<Survey>, LettersError> {
        let mut survey = self.inner.survey(topic, of)?;
        if let Some(survey) = &mut survey {
            let other = self.counting.ids.lock().get(topic).cloned();
            survey.id = other.unwrap_or_else(|| survey.id.clone());
            let cut = if topic.as_str() == MARKS { *self.counting.cut.lock() } else { Offset(0) };
            survey.spans.iter_mut().for_each(|span| span.from = span.from.max(cut));
        }
        Ok(survey)
    }

    fn skip_to(&mut self, topic: &Topic, spans: &mut [Span], time: Timestamp) -> Result<(), LettersError> {
        self.inner.skip_to(topic, spans, time)
    }

    fn open(&mut self, topic: &Topic, spans: &[Span]) -> Result<(), LettersError> {
        self.inner.open(topic, spans)
    }

    fn poll(&mut self, until: Instant) -> Result<Polled, LettersError> {
        let polled = self.inner.poll(until)?;
        if let Polled::Record(record) = &polled {
            *self.counting.read.lock().entry(record.topic().clone()).or_default() += 1;
        }
        Ok(polled)
    }

    fn next(&mut self) -> Result<Option<Record>, LettersError> {
        match self.poll(Instant::now())? {
            Polled::Record(record) => Ok(Some(record)),
            Polled::End | Polled::Late => Ok(None),
        }
    }

    fn reached(&self, partition: Partition) -> Option<Offset> {
        self.inner.reached(partition)
    }
}

/// So many letters, one after the other in one partition, of which these are discarded.
async fn discarded(count: i64, which: impl Fn(i64) -> bool) -> (Counting, DeadLetters) {
    let key = |time: i64| if which(time) { "out" } else { "a" };
    let places: Vec<_> = (0..count).map(|time| (0, time, key(time))).collect();
    let (broker, letters) = broker(&places);
    letters.discard(Filter::all().key("out"), "ada", "a test").await.expect("it works");
    Counting::of(&broker)
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn marks_are_read_once_whatever_is_asked() {
    let (counting, letters) = discarded(2_000, |_| true).await;
    let page = letters.page(Filter::all().with_discarded(), None, 10, MINUTE).await.expect("nothing fails");
    assert_eq!((page.letters.len(), counting.read(MARKS)), (10, 2_000));
    let page = letters.page(Filter::all().with_discarded(), page.next, 10, MINUTE).await.expect("nothing fails");
    assert_eq!((page.letters.len(), counting.read(MARKS)), (10, 0), "the second page reads no mark");
    assert_eq!(listed(&letters.clone(), Filter::all()).await, []);
    letters.dry_run(all("r")).await.expect("it works");
    assert_eq!(counting.read(MARKS), 0);
    // What is shown of a mark is read, but not all the others.
    let shown = letters.show(Partition(0), Offset(1_999)).await.expect("it is there");
    assert_eq!(shown.mark.and_then(|mark| mark.reason).as_deref(), Some("a test"));
    assert!(counting.read(MARKS) <= 512, "as many as stand near it");
    // What comes in is read on.
    counting.broker.produce(LETTERS, 0, letter_of(OwnedRecord::new("late").with_key("a")));
    assert_eq!(listed(&letters, Filter::all()).await, [(0, 2_000)]);
    DeadLetters::in_memory(&counting.broker, LETTERS).discard(Filter::all(), "bob", "too").await.expect("it works");
    assert_eq!(listed(&letters, Filter::all()).await, [], "whoever has marked it");
    assert_eq!(counting.read(MARKS), 1);
    let shown = letters.show(Partition(0), Offset(2_000)).await.expect("it is there");
    assert_eq!(shown.mark.and_then(|mark| mark.by).as_deref(), Some("bob"));
}

#[tokio::test]
async fn requests_at_once_read_the_marks_once() {
    let (counting, letters) = discarded(2_000, |offset| offset < 1_999).await;
    let page = || letters.page(Filter::all(), None, 10, MINUTE);
    let pages = tokio::join!(page(), page(), page());
    for page in [pages.0, pages.1, pages.2] {
        assert_eq!(page.expect("nothing fails").letters.len(), 1);
    }
    assert_eq!(counting.read(MARKS), 1_999);
}

#[tokio::test]
async fn a_page_that_has_no_time_for_the_marks_says_so_and_the_next_one_goes_on_with_them() {
    let (counting, letters) = discarded(2_000, |offset| offset < 1_700).await;
    let shown = letters.show_within(Partition(0), Offset(0), Duration::ZERO).await.expect("it is there");
    assert_eq!((shown.entry.mark, shown.marks_left), (None, 1_200));
    let (mut from, mut left, mut found) = (None, Vec::new(), 0);
    loop {
        let page = letters.page(Filter::all(), from, 1_000, Duration::ZERO).await.expect("nothing fails");
        assert!(page.marks_left == 0 || page.letters.is_empty());
        left.push(page.marks_left);
        found += page.letters.len();
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    assert_eq!((&left[..3], found), (&[700, 200, 0][..], 300));
    assert_eq!(counting.read(MARKS), 1_700, "none was read twice");
}

#[tokio::test]
async fn letters_that_are_done_with_are_passed_over_unread() {
    let (counting, letters) =
        discarded(30_000, |offset| !(10_000..10_100).contains(&offset) && !(25_000..29_000).contains(&offset)).await;
    let page = letters.page(Filter::all(), None, 100, MINUTE).await.expect("nothing fails");
    assert_eq!((page.letters[0].offset, page.letters.len()), (Offset(10_000), 100));
    assert_eq!((page.looked_at, counting.read(LETTERS)), (100, 100));
    // Those in between are looked at until it is seen how many they are.
    let page = letters.page(Filter::all(), None, 200, MINUTE).await.expect("nothing fails");
    assert_eq!((page.letters[100].offset, page.looked_at), (Offset(25_000), 700));
    assert_eq!(listed(&letters, Filter::all()).await.len(), 4_100);
    let all = letters.page(Filter::all().with_discarded(), page.next, 50_000, MINUTE).await.expect("nothing fails");
    assert_eq!(all.looked_at, all.letters.len() as u64);
}

#[tokio::test]
async fn marks_of_another_topic_are_not_these_letters() {
    let (counting, letters) = discarded(2_000, |_| true).await;
    assert_eq!(listed(&letters, Filter::all()).await, []);
    // The marks' topic was made anew: it is read from its beginning.
    counting.ids.lock().insert(MARKS.into(), TopicId("other".to_owned()));
    counting.read(MARKS);
    assert_eq!(listed(&letters, Filter::all()).await, []);
    assert_eq!(counting.read(MARKS), 2_000);
    // What was removed of it for its age is no mark any more.
    *counting.cut.lock() = Offset(500);
    assert_eq!(listed(&letters, Filter::all()).await.len(), 500);
    // The letters' topic was made anew: its letters have none.
    counting.ids.lock().insert(LETTERS.into(), TopicId("other".to_owned()));
    assert_eq!(listed(&letters, Filter::all()).await.len(), 2_000);
}

#[tokio::test]
async fn a_mark_that_is_taken_back_is_none() {
    let (counting, letters) = discarded(10, |_| true).await;
    assert_eq!(listed(&letters, Filter::all()).await, []);
    let back = OwnedRecord { value: None, ..OwnedRecord::new("").with_key("memory:0:3") };
    counting.broker.produce(MARKS, 0, back);
    assert_eq!(listed(&letters, Filter::all()).await, [(0, 3)]);
    assert_eq!(letters.show(Partition(0), Offset(3)).await.expect("it is there").mark, None);
}

#[tokio::test]
async fn what_waits_is_counted_without_reading_a_letter_and_by_its_kind_only_what_waits_is_read() {
    let (counting, letters) = discarded(30_000, |offset| offset >= 100).await;
    let waiting = letters.waiting(MINUTE).await.expect("nothing fails");
    assert_eq!((waiting.letters, waiting.marks_left, counting.read(LETTERS)), (Some(100), 0, 0));
    let page = letters.page(Filter::all().with_discarded(), None, 5, MINUTE).await.expect("nothing fails");
    assert_eq!((page.letters.len(), page.waiting), (5, Some(100)), "whatever is asked for");
    counting.read(LETTERS);
    let other = letter_of(OwnedRecord::new("v")).with_header("daemonry-topic", "shipments");
    let other = other.with_header("daemonry-reason", "timeout").with_header("daemonry-failed-at", "1600000000009");
    counting.broker.produce(LETTERS, 1, other.clone().with_header("daemonry-failed-at", "1600000000003"));
    counting.broker.produce(LETTERS, 1, other);
    counting.broker.produce(LETTERS, 2, OwnedRecord::new("no letter"));
    let found = letters.kinds(Filter::all(), None).await.expect("nothing fails");
    let shown = |kind: &Kind| {
        let at = |time: Option<Timestamp>| time.map_or(0, Timestamp::as_millis) % 1_000;
        (kind.origin.to_string(), kind.reason.name(), kind.letters, at(kind.first), at(kind.last))
    };
    let expected = [("orders".to_owned(), "undecodable", 100, 1, 1), ("shipments".to_owned(), "timeout", 2, 3, 9)];
    assert_eq!(found.kinds.iter().map(shown).collect::<Vec<_>>(), expected);
    assert_eq!((found.foreign, found.others, found.left, found.counted()), (1, 0, 0, 103));
    assert_eq!(found.waiting.letters, Some(103));
    assert!(counting.read(LETTERS) < 1_000, "what is done with is passed over");
    let timeouts = letters.kinds(Filter::all().origin("shipments"), Some(MINUTE)).await.expect("nothing fails");
    assert_eq!((timeouts.counted(), timeouts.waiting.letters), (2, Some(103)));
}

#[tokio::test]
async fn what_there_was_no_time_for_is_told() {
    let (_counting, letters) = discarded(2_000, |offset| offset < 1_700).await;
    let early = letters.waiting(Duration::ZERO).await.expect("nothing fails");
    assert_eq!((early.letters, early.marks_left), (None, 1_200));
    let early = letters.kinds(Filter::all(), Some(Duration::ZERO)).await.expect("nothing fails");
    assert_eq!((early.counted(), early.left, early.waiting.marks_left), (0, 2_000, 700));
    letters.waiting(MINUTE).await.expect("nothing fails");
    let first = letters.kinds(Filter::all(), Some(Duration::ZERO)).await.expect("nothing fails");
    assert_eq!((first.counted(), first.left), (1, 299));
}
