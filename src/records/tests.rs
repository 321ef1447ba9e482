//! Pages of records on the broker in memory.

use parking_lot::Mutex;

use super::*;
use crate::dead_letters::shelf::{Batching, Writer};

const MINUTE: Duration = Duration::from_secs(60);

/// A partition with so many records, a second apart each; offsets 5 to 14 have none.
fn records(count: usize) -> Records {
    let broker = MemoryBroker::new();
    broker.create_topic("orders", 2);
    for number in 0..count {
        if number == 5 {
            broker.skip_offsets("orders", 1, 10);
        }
        let time = i64::try_from(number).expect("few") * 1_000;
        let record = OwnedRecord { timestamp: Timestamp::from_millis(time), ..OwnedRecord::new(number.to_string()) };
        broker.produce("orders", 1, record);
    }
    Records::in_memory(&broker)
}

async fn page(records: &Records, start: Start, size: usize) -> RecordsPage {
    records.page("orders", Partition(1), start, size, MINUTE).await.expect("nothing fails")
}

fn offsets(page: &RecordsPage) -> Vec<i64> {
    page.records.iter().map(|found| found.offset.0).collect()
}

#[tokio::test]
async fn a_partition_is_walked_forward_and_back_over_its_gaps() {
    let records = records(8);
    let first = page(&records, Start::Beginning, 3).await;
    assert_eq!((offsets(&first), first.before, first.next), (vec![0, 1, 2], None, Offset(3)));
    assert_eq!((first.first, first.end), (Offset(0), Offset(18)));
    let second = page(&records, Start::Offset(first.next), 3).await;
    assert_eq!((offsets(&second), second.before, second.next), (vec![3, 4, 15], Some(Offset(3)), Offset(16)));
    let last = page(&records, Start::Offset(second.next), 3).await;
    assert_eq!((offsets(&last), last.next), (vec![16, 17], Offset(18)));
    let end = page(&records, Start::Offset(last.next), 3).await;
    assert_eq!((offsets(&end), end.before, end.next), (vec![], Some(Offset(18)), Offset(18)));
    let latest = page(&records, Start::End, 2).await;
    assert_eq!((offsets(&latest), latest.before), (vec![16, 17], Some(Offset(16))));
    let before = page(&records, Start::Before(Offset(15)), 2).await;
    assert_eq!((offsets(&before), before.before), (vec![3, 4], Some(Offset(3))));
    let before = page(&records, Start::Before(Offset(2)), 5).await;
    assert_eq!((offsets(&before), before.before), (vec![0, 1], None));
}

#[tokio::test]
async fn a_page_begins_at_a_time_and_where_an_offset_is_none_of_the_partitions() {
    let records = records(8);
    let time = |millis| Start::Time(Timestamp::from_millis(millis).expect("not negative"));
    assert_eq!(offsets(&page(&records, time(5_500), 10).await), [16, 17]);
    assert_eq!(offsets(&page(&records, time(99_000), 10).await), Vec::<i64>::new());
    assert_eq!(offsets(&page(&records, Start::Offset(Offset(99)), 10).await), Vec::<i64>::new());
    assert_eq!(offsets(&page(&records, Start::Before(Offset(99)), 1).await), [17]);
    let missing = records.page("orders", Partition(7), Start::End, 1, MINUTE).await.expect_err("no such partition");
    assert!(missing.to_string().contains("the topic has 2 partitions"), "{missing}");
    let missing = records.page("bills", Partition(0), Start::End, 1, MINUTE).await;
    assert_eq!(missing.expect_err("no such topic"), LettersError::UnknownTopic("bills".into()));
    let extents = records.partitions("orders").await.expect("it is there");
    let ends: Vec<_> = extents.iter().map(|one| (one.partition.0, one.offsets.map(|(_, end)| end.0))).collect();
    assert_eq!(ends, [(0, Some(0)), (1, Some(18))]);
}

#[tokio::test]
async fn a_page_is_bounded_by_its_bytes_and_has_a_record_however_large() {
    let broker = MemoryBroker::new();
    broker.create_topic("orders", 2);
    for _ in 0..3 {
        broker.produce("orders", 1, OwnedRecord::new("x".repeat(BYTES)));
    }
    let records = Records::in_memory(&broker);
    let first = page(&records, Start::Beginning, 10).await;
    assert_eq!((offsets(&first), first.next), (vec![0], Offset(1)));
    let last = page(&records, Start::End, 10).await;
    assert_eq!((offsets(&last), last.before), (vec![2], Some(Offset(2))), "it ends where it is to");
}

/// A broker of which is known what was read; nobody leads the partitions that are named so, and it gives no more than so many records in one reading.
#[derive(Clone, Debug)]
struct Watched {
    broker: MemoryBroker,
    leaderless: Option<Partition>,
    most: usize,
    /// So many offsets without a record are passed in one reading.
    passes: Option<i64>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    opened: Vec<Span>,
    records: usize,
}

struct WatchedReader {
    inner: Box<dyn Reader>,
    shelf: Watched,
    left: usize,
    reached: Option<Offset>,
}

impl Watched {
    fn of(broker: &MemoryBroker) -> Self {
        Self { broker: broker.clone(), leaderless: None, most: usize::MAX, passes: None, seen: Arc::default() }
    }

    fn records(&self) -> Records {
        Records { shelf: Arc::new(self.clone()) }
    }
}

impl Shelf for Watched {
    fn reader(&self, stop: &Stop) -> Result<Box<dyn Reader>, LettersError> {
        let inner = self.broker.reader(stop)?;
        Ok(Box::new(WatchedReader { inner, shelf: self.clone(), left: self.most, reached: None }))
    }

    fn writer(&self, letters: &Topic, batching: Batching) -> Result<Box<dyn Writer>, LettersError> {
        self.broker.writer(letters, batching)
    }

    fn create_compacted(&self, topic: &Topic) -> Result<(), LettersError> {
        self.broker.create_compacted(topic)
    }
}

impl Reader for WatchedReader {
    fn survey(&mut self, topic: &Topic, of: Partitions) -> Result<Option<Survey>, LettersError> {
        let mut survey = self.inner.survey(topic, of)?;
        if let (Some(survey), Some(leaderless)) = (&mut survey, self.shelf.leaderless)
            && survey.spans.iter().any(|span| span.partition == leaderless)
        {
            match of {
                Partitions::Led => survey.spans.retain(|span| span.partition != leaderless),
                _ => return Err(LettersError::Unavailable("nobody leads it".to_owned())),
            }
        }
        Ok(survey)
    }

    fn skip_to(&mut self, topic: &Topic, spans: &mut [Span], time: Timestamp) -> Result<(), LettersError> {
        self.inner.skip_to(topic, spans, time)
    }

    fn open(&mut self, topic: &Topic, spans: &[Span]) -> Result<(), LettersError> {
        self.shelf.seen.lock().opened.extend(spans);
        self.reached = spans.first().map(|span| span.from);
        self.inner.open(topic, spans)
    }

    fn poll(&mut self, until: Instant) -> Result<Polled, LettersError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(Polled::Late) };
        if let (Some(passes), Some(reached)) = (self.shelf.passes, self.reached)
            && self.inner.reached(Partition(1)).is_some_and(|next| next.0 > reached.0 + passes)
        {
            self.reached = Some(Offset(reached.0 + passes));
            return Ok(Polled::Late);
        }
        let polled = self.inner.poll(until)?;
        if matches!(polled, Polled::Record(_)) {
            self.left = left;
            self.reached = self.inner.reached(Partition(1)).or(self.reached);
            self.shelf.seen.lock().records += 1;
        }
        Ok(polled)
    }

    fn next(&mut self) -> Result<Option<Record>, LettersError> {
        self.inner.next()
    }

    fn reached(&self, partition: Partition) -> Option<Offset> {
        if self.shelf.passes.is_some() { self.reached } else { self.inner.reached(partition) }
    }
}

/// So many records, then so many offsets without one.
fn gap(records: usize, gap: i64) -> MemoryBroker {
    let broker = MemoryBroker::new();
    broker.create_topic("orders", 2);
    for number in 0..records {
        broker.produce("orders", 1, OwnedRecord::new(number.to_string()));
    }
    broker.skip_offsets("orders", 1, gap);
    broker
}

#[tokio::test]
async fn a_partition_that_nobody_leads_hides_no_other_one() {
    let shelf = Watched { leaderless: Some(Partition(0)), ..Watched::of(&gap(3, 0)) };
    let records = shelf.records();
    assert_eq!(offsets(&page(&records, Start::End, 5).await), [0, 1, 2]);
    let time = Timestamp::from_millis(0).expect("a time");
    records.offset_at("orders", Partition(1), time).await.expect("it is led");
    let extents = records.partitions("orders").await.expect("the others are told");
    let told: Vec<_> = extents.iter().map(|one| (one.partition.0, one.offsets)).collect();
    assert_eq!(told, [(0, None), (1, Some((Offset(0), Offset(3))))]);
    records.page("orders", Partition(0), Start::End, 5, MINUTE).await.expect_err("nobody leads it");
}

#[tokio::test]
async fn over_a_long_stretch_without_a_record_each_offset_is_looked_at_once() {
    let shelf = Watched::of(&gap(8, 100_000_000));
    let found = page(&shelf.records(), Start::End, 3).await;
    assert_eq!((offsets(&found).last(), found.is_late), (Some(&7), false));
    let mut opened = std::mem::take(&mut shelf.seen.lock().opened);
    assert!(opened.len() < 30, "{}", opened.len());
    opened.sort_by_key(|span| span.from);
    assert!(opened.is_sorted_by(|one, other| one.end <= other.from), "{opened:?}");
}

#[tokio::test]
async fn of_many_records_before_a_long_stretch_without_one_few_are_read() {
    let shelf = Watched::of(&gap(300_000, 1_000_000));
    let found = page(&shelf.records(), Start::End, 3).await;
    assert_eq!((offsets(&found).last(), found.next), (Some(&299_999), Offset(1_300_000)));
    assert!(shelf.seen.lock().records < 10 * CROWD, "{}", shelf.seen.lock().records);
}

#[tokio::test]
async fn however_little_time_there_is_each_page_before_another_gets_on() {
    let records = records(8);
    let (mut start, mut found) = (Start::End, Vec::new());
    for _ in 0..20 {
        let page = records.page("orders", Partition(1), start, 2, Duration::ZERO).await.expect("nothing fails");
        found.extend(offsets(&page).into_iter().rev());
        let Some(before) = page.before else { break };
        if let Start::Before(last) = start {
            assert!(before < last, "{before} after {last}");
        }
        start = Start::Before(before);
    }
    assert_eq!(found, [17, 16, 15, 4, 3, 2, 1, 0]);
    // Of a stretch that can't be read in time, what was read is shown, and what follows it is led to.
    let shelf = Watched { most: 2, ..Watched::of(&gap(10, 0)) };
    let late = page(&shelf.records(), Start::End, 4).await;
    assert_eq!((offsets(&late), late.is_late), (vec![6, 7], true));
    assert_eq!((late.before, late.next), (Some(Offset(6)), Offset(8)));
}

#[tokio::test]
async fn over_a_long_stretch_without_a_record_each_page_behind_another_gets_on() {
    let broker = gap(2, 1_000);
    broker.produce("orders", 1, OwnedRecord::new("behind it"));
    let shelf = Watched { passes: Some(300), ..Watched::of(&broker) };
    let records = shelf.records();
    let (mut from, mut found, mut late) = (0, Vec::new(), 0);
    for _ in 0..10 {
        let page = page(&records, Start::Offset(Offset(from)), 2).await;
        found.extend(offsets(&page));
        late += usize::from(page.is_late);
        if !page.is_late && page.next >= page.end {
            break;
        }
        assert!(page.next.0 > from, "{} after {from}", page.next);
        from = page.next.0;
    }
    assert_eq!((found, late), (vec![0, 1, 1_002], 3));
}
