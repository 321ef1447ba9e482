//! What is listed and shown.

use anyhow::Result;
use daemonry::dead_letters::{Content, Filter, LettersError};
use daemonry::pipeline::dead_letter::Reason;
use daemonry::record::{Offset, Partition, Timestamp};
use integration::Message;
use integration::patience::unix_ms;

use crate::scene::{Scene, places};

#[test]
fn letters_are_listed_and_filtered() -> Result<()> {
    let scene = Scene::open("list")?;
    let now = unix_ms();
    let letters = [
        scene.letter(Message::new("a").key("ada").header("trace", "x"), "poison", "order id is zero", now - 60_000),
        scene.letter(Message::new("b").key("bob"), "timeout", "took 30 s", now),
        scene.letter(Message::tombstone(), "undecodable", "no value", now + 60_000),
        Message::new("foreign").key("ada"),
    ];
    let stands = scene.topics.produce(&scene.letters, &letters)?;
    let is = |filter: Filter, expected: &[usize]| -> Result<()> {
        let mut found = places(&scene.list(filter.clone())?);
        let mut expected: Vec<_> = expected.iter().map(|index| stands[*index]).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{filter:?}");
        Ok(())
    };
    let time = |millis: u64| Timestamp::from_millis(i64::try_from(millis).expect("it fits")).expect("not negative");
    is(Filter::all(), &[0, 1, 2, 3])?;
    is(Filter::all().reason(Reason::Poison).reason(Reason::Timeout), &[0, 1])?;
    is(Filter::all().error_contains("zero"), &[0])?;
    is(Filter::all().key("ada"), &[0, 3])?;
    is(Filter::all().header("trace", "x"), &[0])?;
    is(Filter::all().origin(&scene.topic), &[0, 1, 2])?;
    is(Filter::all().since(time(now)), &[1, 2])?;
    is(Filter::all().until(time(now + 1)), &[0, 1])?;
    is(Filter::all().since(time(now + 600_000)), &[])?;
    is(Filter::all().at(stands[1].0, stands[1].1), &[1])?;
    let own = Filter::all().partition(stands[0].0);
    let expected: Vec<usize> = (0..4).filter(|index| stands[*index].0 == stands[0].0).collect();
    is(own, &expected)?;
    Ok(())
}

#[test]
fn a_time_in_the_middle_of_the_topic_begins_there() -> Result<()> {
    let scene = Scene::open("since")?;
    let old = scene.letter(Message::new("old").key("a"), "error", "down", 1_000);
    scene.topics.produce_to(&scene.letters, Partition(0), &vec![old; 100])?;
    // Letters that say of themselves that they are from the future; the record's own time is what the brokers look up.
    let far = Timestamp::now().as_millis() + 120_000;
    let since = |millis| Filter::all().since(Timestamp::from_millis(millis).expect("not negative"));
    let young = scene.letter(Message::new("young").key("a"), "error", "down", far);
    scene.topics.produce_to(&scene.letters, Partition(1), &[young])?;
    // Asked from a time on that no record has, nothing is even read.
    assert_eq!(scene.list(since(i64::try_from(far)? + 1))?.len(), 0);
    assert_eq!(scene.list(since(1_001))?.len(), 1);
    assert_eq!(scene.list(since(1_000))?.len(), 101);
    Ok(())
}

#[test]
fn one_letter_is_shown_whole_and_a_missing_one_is_an_error() -> Result<()> {
    let scene = Scene::open("show")?;
    let message =
        Message::new([0xff, 0x00]).key("").header([0xfe], "x").null_header("none").header("daemonry-other", "mine");
    let letter = scene.letter(message, "panic", "index out of bounds", 1_234);
    scene.topics.produce_to(&scene.letters, Partition(1), &[letter, Message::new("foreign")])?;
    let letters = scene.dead_letters()?;
    let show = |partition, offset| scene.runtime.block_on(letters.show(Partition(partition), Offset(offset)));

    let shown = show(1, 0)?;
    let letter = shown.entry.letter().expect("it is one").clone();
    assert_eq!(
        (letter.origin.topic.as_str(), letter.origin.partition, letter.offset),
        (scene.topic.as_str(), Partition(3), Offset(41))
    );
    assert_eq!((letter.reason, letter.attempts, letter.redrives), (Reason::Panic, 4, 0));
    assert_eq!(letter.failed_at.map(Timestamp::as_millis), Some(1_234));
    assert_eq!((letter.record.key, letter.record.value), (Some(vec![]), Some(vec![0xff, 0x00])));
    let headers = vec![
        (vec![0xfe], Some(b"x".to_vec())),
        (b"none".to_vec(), None),
        (b"daemonry-other".to_vec(), Some(b"mine".to_vec())),
    ];
    assert_eq!(letter.record.headers, headers);
    assert!(shown.mark.is_none());
    assert!(matches!(show(1, 1)?.entry.content, Content::Foreign { .. }));

    let behind = show(1, 2).expect_err("behind the end");
    assert!(behind.to_string().ends_with("the partition has offsets 0 to 2, without the latter"), "{behind}");
    assert!(matches!(show(9, 0), Err(LettersError::NotFound { .. })));
    Ok(())
}

#[test]
fn a_topic_that_is_missing_and_one_that_is_empty_are_told_apart() -> Result<()> {
    let scene = Scene::open("missing")?;
    assert_eq!(scene.list(Filter::all())?, []);
    let missing = scene.dead_letters_of("no-such-topic.dlq")?;
    let error = scene.runtime.block_on(async { missing.list(Filter::all()).next().await }).expect("something comes");
    let error = error.expect_err("there is no such topic");
    assert_eq!(error.to_string(), "there is no topic `no-such-topic.dlq`: check its name, or create it");
    let discarded = scene.runtime.block_on(missing.discard(Filter::all(), "ada", "none")).expect_err("no such topic");
    assert!(matches!(discarded.error, LettersError::UnknownTopic(_)), "{discarded}");
    assert!(!scene.topics.exists("no-such-topic.dlq.marks")?, "it has no effect");
    Ok(())
}

#[test]
fn brokers_that_are_not_there_are_named() -> Result<()> {
    use daemonry::dead_letters::DeadLetters;
    use daemonry::kafka::KafkaConfig;

    let scene = Scene::open("nobody")?;
    let nobody = DeadLetters::open(&KafkaConfig::new("127.0.0.1:1", "unused"), "orders.dlq")?;
    let error = scene.runtime.block_on(nobody.show(Partition(0), Offset(0))).expect_err("nobody answers");
    assert!(matches!(error, LettersError::Unavailable(_)) && error.to_string().contains("`127.0.0.1:1`"), "{error}");
    Ok(())
}
