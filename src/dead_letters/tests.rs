//! The whole of it on the broker in memory.

mod reading;

use super::samples::letter_of;
use super::*;
use crate::producer::SendError;
use crate::record::{OwnedRecord, Timestamp};

const LETTERS: &str = "orders.dlq";

/// A broker with letters: `(partition, time, key)` each, the value is their number.
fn broker(letters: &[(i32, i64, &str)]) -> (MemoryBroker, DeadLetters) {
    let broker = MemoryBroker::new();
    broker.create_topic(LETTERS, 3);
    broker.create_topic("orders", 2);
    broker.create_topic("repaired", 1);
    for (number, (partition, time, key)) in letters.iter().enumerate() {
        let letter = letter_of(OwnedRecord::new(number.to_string()).with_key(*key));
        broker.produce(LETTERS, *partition, OwnedRecord { timestamp: Timestamp::from_millis(*time), ..letter });
    }
    let letters = DeadLetters::in_memory(&broker, LETTERS);
    (broker, letters)
}

/// The values of a topic's records with this key, in their order.
fn values(broker: &MemoryBroker, topic: &str, key: &str) -> Vec<String> {
    let records = (0..broker.partitions(topic)).flat_map(|partition| broker.records(topic, partition));
    let of_key = records.filter(|(_, record)| record.key.as_deref() == Some(key.as_bytes()));
    of_key
        .map(|(_, record)| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned())
        .collect()
}

async fn listed(letters: &DeadLetters, filter: Filter) -> Vec<(i32, i64)> {
    let mut listing = letters.list(filter);
    let mut places = Vec::new();
    while let Some(entry) = listing.next().await {
        let entry = entry.expect("nothing fails");
        places.push((entry.partition.0, entry.offset.0));
    }
    places
}

fn all(request: &str) -> Redrive {
    Redrive::new(request, Filter::all())
}

#[tokio::test]
async fn letters_are_listed_by_their_time_and_in_the_order_of_each_partition() {
    let (_broker, letters) = broker(&[(0, 5, "a"), (0, 1, "a"), (1, 2, "b"), (2, 9, "c"), (1, 7, "b")]);
    assert_eq!(listed(&letters, Filter::all()).await, [(1, 0), (0, 0), (0, 1), (1, 1), (2, 0)]);
    assert_eq!(listed(&letters, Filter::all().key("b").partition(Partition(1))).await, [(1, 0), (1, 1)]);
    assert_eq!(listed(&letters, Filter::all().at(Partition(0), Offset(1))).await, [(0, 1)]);
    assert_eq!(listed(&letters, Filter::all().at(Partition(0), Offset(2))).await, []);
}

#[tokio::test]
async fn pages_have_every_letter_once_however_they_are_cut() {
    let (broker, letters) = broker(&[(0, 5, "a"), (0, 1, "a"), (1, 2, "b"), (2, 9, "c"), (1, 7, "b"), (0, 8, "x")]);
    let minute = Duration::from_secs(60);
    for (size, time, pages) in [(2, minute, 4), (4, minute, 2), (100, minute, 1), (100, Duration::ZERO, 7)] {
        let (mut places, mut from, mut count) = (Vec::new(), None, 0);
        loop {
            let page = letters.page(Filter::all(), from, size, time).await.expect("nothing fails");
            assert!(page.letters.len() <= size);
            places.extend(page.letters.iter().map(|entry| (entry.partition.0, entry.offset.0)));
            count += 1;
            let Some(next) = page.next else { break };
            from = Some(next.to_string().parse().expect("it was written so"));
        }
        assert_eq!(places, listed(&letters, Filter::all()).await, "{size} in {time:?}");
        assert_eq!(count, pages, "{size} in {time:?}");
    }
    // Where a page ended is where it goes on, with what has come since.
    let first = letters.page(Filter::all().key("b"), None, 2, minute).await.expect("nothing fails");
    broker.produce(LETTERS, 2, letter_of(OwnedRecord::new("later").with_key("b")));
    let second = letters.page(Filter::all().key("b"), first.next, 2, minute).await.expect("nothing fails");
    assert_eq!((first.letters.len(), second.letters.len(), second.next), (2, 1, None));
}

#[tokio::test]
async fn a_key_that_moved_to_another_partition_keeps_its_order() {
    let (broker, letters) = broker(&[(2, 1, "a"), (2, 2, "a"), (0, 3, "a"), (0, 4, "a")]);
    assert_eq!(letters.redrive(all("r")).await.expect("it works").selected, 4);
    assert_eq!(values(&broker, "orders", "a"), ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn a_request_writes_each_record_once_however_often_it_is_run() {
    let (broker, letters) = broker(&[(0, 1, "a"), (1, 2, "b")]);
    assert_eq!(letters.redrive(all("r")).await.map(|counts| counts.selected), Ok(2));
    assert_eq!(letters.redrive(all("r")).await, Ok(Counts::default()));
    // Nor does another one, unless it is asked to.
    let again = letters.redrive(all("s")).await.expect("it works");
    assert_eq!((again.selected, again.already_redriven), (0, 2));
    assert_eq!(values(&broker, "orders", "a").len(), 1);
    let meant = Redrive::new("t", Filter::all().with_redriven().key("a"));
    assert_eq!(letters.redrive(meant.clone()).await.map(|counts| counts.selected), Ok(1));
    assert_eq!(letters.redrive(meant).await.map(|counts| counts.selected), Ok(0));
    assert_eq!(values(&broker, "orders", "a").len(), 2);
}

#[tokio::test]
async fn letters_that_come_in_later_are_not_the_requests_own() {
    let (broker, letters) = broker(&[(0, 1, "a")]);
    letters.redrive(all("r")).await.expect("it works");
    broker.produce(LETTERS, 0, letter_of(OwnedRecord::new("late").with_key("a")));
    assert_eq!(letters.redrive(all("r")).await, Ok(Counts::default()));
    assert_eq!(letters.redrive(all("s")).await.map(|counts| counts.selected), Ok(1));
}

#[tokio::test]
async fn a_request_that_was_interrupted_goes_on_where_it_was() {
    let places: Vec<_> = (0..1_200).map(|time| (0, time, "a")).collect();
    let (broker, letters) = broker(&places);
    // It is told to stop while its second transaction is open.
    let slow =
        tokio::time::timeout(std::time::Duration::from_millis(200), letters.redrive(all("r").per_second(2_000.0)));
    drop(slow.await);
    let done = values(&broker, "orders", "a").len();
    assert!(done < 1_200, "{done}");
    letters.redrive(all("r")).await.expect("it works");
    let expected: Vec<_> = (0..1_200).map(|number| number.to_string()).collect();
    assert_eq!(values(&broker, "orders", "a"), expected);
}

#[tokio::test]
async fn what_was_begun_with_another_selection_is_refused() {
    let (_broker, letters) = broker(&[(0, 1, "a")]);
    letters.redrive(all("r")).await.expect("it works");
    let other = letters.redrive(Redrive::new("r", Filter::all().key("b"))).await.expect_err("another one");
    assert_eq!(other.error, LettersError::AnotherRequest("r".to_owned()));
    let faster = letters.redrive(all("r").per_second(10.0).by("ada")).await;
    assert_eq!(faster, Ok(Counts::default()), "how fast it goes may change");
}

#[tokio::test]
async fn a_name_is_taken_wherever_its_letters_lie_and_if_there_are_none() {
    let (broker, letters) = broker(&[(0, 1, "a"), (1, 2, "b")]);
    letters.redrive(Redrive::new("r", Filter::all().partition(Partition(0)))).await.expect("it works");
    let other = letters.redrive(Redrive::new("r", Filter::all().partition(Partition(1)))).await;
    assert_eq!(other.expect_err("another one").error, LettersError::AnotherRequest("r".to_owned()));
    // What it would have meant comes in later.
    let early = || Redrive::new("early", Filter::all().partition(Partition(2)));
    assert_eq!(letters.redrive(early()).await.map(|counts| counts.selected), Ok(0));
    broker.produce(LETTERS, 2, letter_of(OwnedRecord::new("late").with_key("c")));
    assert_eq!(letters.redrive(early()).await, Ok(Counts::default()));
    assert_eq!(letters.redrive(all("late")).await.map(|counts| counts.selected), Ok(2));
}

#[tokio::test]
async fn a_dry_run_counts_and_does_nothing() {
    let (broker, letters) = broker(&[(0, 1, "a"), (0, 2, "b"), (1, 3, "a")]);
    broker.produce(LETTERS, 1, OwnedRecord::new("foreign").with_key("a"));
    broker.produce(LETTERS, 1, letter_of(OwnedRecord::new("v").with_key("a").with_header("daemonry-redrives", "3")));
    letters.discard(Filter::all().at(Partition(0), Offset(0)), "ada", "a test").await.expect("it works");
    let counts = letters.dry_run(Redrive::new("r", Filter::all().key("a"))).await.expect("it works");
    let expected =
        Counts { selected: 1, at_cap: 1, already_discarded: 1, foreign: 1, unmatched: 1, ..Counts::default() };
    assert_eq!(counts, expected);
    assert_eq!(values(&broker, "orders", "a"), Vec::<String>::new());
    // And it is what is done.
    let done = letters.redrive(Redrive::new("r", Filter::all().key("a"))).await;
    assert_eq!(done, Ok(expected));
    assert_eq!(values(&broker, "orders", "a"), ["2"]);
}

#[tokio::test]
async fn a_plan_says_where_records_come_from_and_go_to() {
    let (broker, letters) = broker(&[(0, 1, "a"), (0, 2, "b"), (1, 3, "a")]);
    let elsewhere = letter_of(OwnedRecord::new("v").with_key("c")).with_header("daemonry-topic", "bills");
    broker.produce(LETTERS, 1, elsewhere);
    let way = |origin: &str, target: &str, letters| Way { origin: origin.into(), target: target.into(), letters };
    let plan = letters.plan(all("r")).await.expect("it works");
    assert_eq!((plan.counts.selected, plan.others), (4, 0));
    assert_eq!(plan.ways, [way("orders", "orders", 3), way("bills", "bills", 1)]);
    let plan = letters.plan(all("r").to_topic("repaired")).await.expect("it works");
    assert_eq!(plan.ways, [way("orders", "repaired", 3), way("bills", "repaired", 1)]);
    let refused = letters.plan(all("no name")).await.expect_err("it has a space");
    assert!(matches!(refused, LettersError::Unusable(_)), "{refused}");
}

#[tokio::test]
async fn whoever_watches_hears_of_each_transaction_and_can_end_it_there() {
    let places: Vec<_> = (0..12_000).map(|time| (0, time, "a")).collect();
    let (broker, letters) = broker(&places);
    let (told, heard) = std::sync::mpsc::channel();
    let watched = letters.clone().watched(move |counts| {
        told.send(counts.selected).expect("it is listened to");
        if counts.selected < 10_000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    watched.plan(all("r")).await.expect_err("it is ended at ten thousand");
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), (1..=20).map(|look| look * 500).collect::<Vec<_>>());
    let interrupted = watched.redrive(all("r")).await.expect_err("it is ended at ten thousand");
    assert_eq!((interrupted.error, interrupted.counts.selected), (LettersError::Stopped, 10_000));
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [5_000, 10_000]);
    assert_eq!(values(&broker, "orders", "a").len(), 10_000, "what it was told of is written, and nothing else");
    assert_eq!(letters.redrive(all("r")).await.map(|counts| counts.selected), Ok(2_000));
}

#[tokio::test]
async fn a_discarded_letter_is_hidden_and_says_why() {
    let (_broker, letters) = broker(&[(0, 1, "a"), (0, 2, "b")]);
    let counts = letters.discard(Filter::all().key("a"), "ada", "load test").await.expect("it works");
    assert_eq!((counts.selected, counts.unmatched), (1, 1));
    assert_eq!(listed(&letters, Filter::all()).await, [(0, 1)]);
    assert_eq!(listed(&letters, Filter::all().with_discarded()).await, [(0, 0), (0, 1)]);
    let shown = letters.show(Partition(0), Offset(0)).await.expect("it is there");
    let mark = shown.mark.expect("it was discarded");
    assert_eq!(
        (mark.kind, mark.by.as_deref(), mark.reason.as_deref()),
        (MarkKind::Discarded, Some("ada"), Some("load test"))
    );
    assert_eq!(shown.entry.mark, Some(MarkKind::Discarded));
    assert!(mark.at().is_some_and(|at| at <= Timestamp::now()));
}

#[tokio::test]
async fn a_letter_that_is_not_there_is_an_error_that_says_so() {
    let (broker, letters) = broker(&[(0, 1, "a"), (0, 2, "a")]);
    broker.skip_offsets(LETTERS, 0, 3);
    broker.produce(LETTERS, 0, OwnedRecord::new("foreign"));
    let error = |partition, offset| {
        let letters = letters.clone();
        async move { letters.show(Partition(partition), Offset(offset)).await.expect_err("nothing there").to_string() }
    };
    assert_eq!(
        error(0, 6).await,
        "there is no record at offset 6 of orders.dlq[0]: the partition has offsets 0 to 6, without the latter"
    );
    assert!(error(0, 3).await.contains("compacted away"), "{}", error(0, 3).await);
    assert!(error(7, 0).await.contains("the topic has 3 partitions"), "{}", error(7, 0).await);
    let foreign = letters.show(Partition(0), Offset(5)).await.expect("a record is there");
    assert!(matches!(foreign.entry.content, Content::Foreign { .. }));
    let edited = letters.redrive_edited(Partition(0), Offset(5), Edit::by("ada")).await.expect_err("no letter");
    assert!(matches!(edited.error, LettersError::NotALetter { .. }), "{edited}");
    let missing = DeadLetters::in_memory(&broker, "missing");
    assert_eq!(missing.show(Partition(0), Offset(0)).await, Err(LettersError::UnknownTopic("missing".into())));
    assert!(matches!(missing.list(Filter::all()).next().await, Some(Err(LettersError::UnknownTopic(_)))));
    let redriven = missing.redrive(all("r")).await.expect_err("no topic");
    assert_eq!((redriven.error, broker.partitions("missing.marks")), (LettersError::UnknownTopic("missing".into()), 0));
}

#[tokio::test]
async fn an_edited_letter_is_written_once_and_its_mark_says_what_was_changed() {
    let (broker, letters) = broker(&[(0, 1, "a")]);
    let edit = || Edit::by("ada").value(Some(b"repaired".to_vec()));
    letters.redrive(all("r")).await.expect("it works");
    assert_eq!(letters.redrive_edited(Partition(0), Offset(0), edit()).await.map(|counts| counts.selected), Ok(1));
    assert_eq!(letters.redrive_edited(Partition(0), Offset(0), edit()).await, Ok(Counts::default()));
    assert_eq!(values(&broker, "orders", "a"), ["0", "repaired"]);
    let mark = letters.show(Partition(0), Offset(0)).await.expect("it is there").mark.expect("it was re-driven");
    assert_eq!(
        (mark.kind, mark.by.as_deref(), mark.edited),
        (MarkKind::Redriven, Some("ada"), vec!["value".to_owned()])
    );
}

#[tokio::test]
async fn records_may_go_to_another_topic() {
    let (broker, letters) = broker(&[(0, 1, "a")]);
    letters.redrive(all("r").to_topic("repaired")).await.expect("it works");
    assert_eq!((values(&broker, "repaired", "a").len(), values(&broker, "orders", "a").len()), (1, 0));
    let nowhere = letters.redrive(Redrive::new("s", Filter::all().with_redriven()).to_topic("nowhere")).await;
    let nowhere = nowhere.expect_err("no such topic");
    assert_eq!(nowhere.to_string(), "there is no topic `nowhere`: check its name, or create it", "nothing was done");
    assert_eq!((nowhere.error, nowhere.counts.selected), (LettersError::UnknownTopic("nowhere".into()), 0));
}

/// The same, with the letters that it has left.
fn heard(letters: &DeadLetters) -> (DeadLetters, std::sync::mpsc::Receiver<(i32, i64, LettersError)>) {
    let (told, heard) = std::sync::mpsc::channel();
    let letters = letters.clone().hearing_of_left(move |left| {
        told.send((left.partition.0, left.offset.0, left.why.clone())).expect("it is listened to");
    });
    (letters, heard)
}

#[tokio::test]
async fn no_record_goes_where_the_marks_are() {
    let (broker, letters) = broker(&[(0, 1, "a")]);
    let forged = letter_of(OwnedRecord::new("{}").with_key("memory:0:0"));
    broker.produce(LETTERS, 1, forged.with_header("daemonry-topic", "orders.dlq.marks"));
    let (letters, left) = heard(&letters);
    let counts = letters.redrive(all("r")).await.expect("the other one can be done");
    assert_eq!((counts.selected, counts.unwritten), (1, 1));
    let said = "the record of the letter at offset 0 of partition 1 can't go to `orders.dlq.marks`, where the letters' marks are: \
                name another topic, or discard the letter";
    assert_eq!(left.try_iter().collect::<Vec<_>>(), [(1, 0, LettersError::Unusable(said.to_owned()))]);
    letters.discard(Filter::all().at(Partition(1), Offset(0)), "ada", "forged").await.expect("it works");
    assert_eq!(letters.redrive(all("again")).await.map(|counts| (counts.selected, counts.unwritten)), Ok((0, 0)));
    let there = letters.redrive(Redrive::new("s", Filter::all().with_redriven()).to_topic("orders.dlq.marks")).await;
    assert!(matches!(there.expect_err("it is refused").error, LettersError::Unusable(_)));
}

#[tokio::test]
async fn a_letter_that_is_too_large_is_named() {
    let (broker, letters) = broker(&[(0, 1, "a")]);
    broker.refuse_sends(Some(SendError::TooLarge("orders".into())));
    let (partition, offset, target) = (Partition(0), Offset(0), "orders".into());
    let large = LettersError::TooLarge { partition, offset, target };
    let (letters, left) = heard(&letters);
    let counts = letters.redrive(all("r")).await.expect("it is left");
    assert_eq!((counts.selected, counts.unwritten), (0, 1));
    assert_eq!(left.try_iter().collect::<Vec<_>>(), [(0, 0, large.clone())]);
    let edited = letters.redrive_edited(Partition(0), Offset(0), Edit::by("ada").value(None)).await;
    assert_eq!(edited.expect_err("it is about this letter alone").error, large);
    broker.refuse_sends(None);
    assert_eq!(letters.redrive(all("again")).await.map(|counts| counts.selected), Ok(1));
}

#[tokio::test]
async fn letters_that_cant_be_done_are_left_told_and_passed_over() {
    let (broker, letters) = broker(&[(0, 1, "a"), (0, 2, "b")]);
    let gone = || letter_of(OwnedRecord::new("v").with_key("gone")).with_header("daemonry-topic", "gone");
    broker.produce(LETTERS, 0, gone());
    broker.produce(LETTERS, 0, OwnedRecord::new("foreign"));
    broker.produce(LETTERS, 1, gone());
    broker.produce(LETTERS, 1, letter_of(OwnedRecord::new("last").with_key("c")));
    let (letters, left) = heard(&letters);
    let counts = letters.redrive(all("r")).await.expect("it goes on");
    assert_eq!((counts.selected, counts.unwritten, counts.foreign), (3, 2, 1));
    assert_eq!((values(&broker, "orders", "a").len(), values(&broker, "orders", "c").len()), (1, 1));
    let mut left: Vec<_> = left.try_iter().collect();
    left.sort_unstable_by_key(|(partition, offset, _)| (*partition, *offset));
    let places: Vec<_> = left.iter().map(|(partition, offset, _)| (*partition, *offset)).collect();
    assert_eq!(places, [(0, 2), (0, 3), (1, 0)]);
    assert_eq!(left[0].2, LettersError::UnknownTopic("gone".into()));
    assert!(matches!(left[1].2, LettersError::NotALetter { .. }), "{:?}", left[1]);
    // They are where they were, and the next one meets them; not who leaves them out, nor who has found them a place.
    assert_eq!(listed(&letters, Filter::all()).await, [(0, 2), (0, 3), (1, 0)]);
    assert_eq!(letters.redrive(all("s")).await.map(|counts| counts.unwritten), Ok(2));
    let but = Filter::all().except(Partition(0), Offset(2)).except(Partition(0), Offset(3));
    let counts = letters.redrive(Redrive::new("t", but).to_topic("repaired")).await.expect("it works");
    assert_eq!((counts.selected, counts.unwritten, counts.foreign, counts.unmatched), (1, 0, 0, 2));
    broker.create_topic("gone", 1);
    assert_eq!(letters.redrive(all("u")).await.map(|counts| (counts.selected, counts.unwritten)), Ok((1, 0)));
    assert_eq!((values(&broker, "gone", "gone").len(), values(&broker, "repaired", "gone").len()), (1, 1));
}

#[tokio::test]
async fn a_listing_that_is_let_go_ends_its_thread() {
    let places: Vec<_> = (0..5_000).map(|time| (0, time, "a")).collect();
    let (_broker, letters) = broker(&places);
    let mut listing = letters.list(Filter::all());
    assert!(listing.next().await.is_some_and(|entry| entry.is_ok()));
    drop(listing);
    // The runtime waits for its threads when it ends.
}
