//! What a re-drive writes, byte for byte and in which order.

use std::sync::mpsc::channel;

use anyhow::Result;
use daemonry::dead_letters::{Filter, LettersError, Redrive};
use daemonry::record::Partition;
use integration::Message;

use crate::scene::Scene;

#[test]
fn records_go_out_byte_for_byte_with_one_more_header() -> Result<()> {
    let scene = Scene::open("bytes")?;
    let records = [
        Message::new([0xff, 0x00, 0xfe])
            .key([0x00, 0xff])
            .header([0xff, 0xfe], [0x00])
            .header("twice", "1")
            .header("twice", "2"),
        Message::new("").key("").null_header("none"),
        Message::tombstone().key("gone"),
        Message::new("no key").header("daemonry-mine", "kept"),
    ];
    let letter = |record: &Message| scene.letter(record.clone(), "poison", "zero", 1);
    scene.topics.produce(&scene.letters, &records.iter().map(letter).collect::<Vec<_>>())?;
    let letters = scene.dead_letters()?;
    let counts = scene.runtime.block_on(letters.redrive(Redrive::new("r", Filter::all())))?;
    assert_eq!(counts.selected, 4);
    let mut written: Vec<Message> = scene.topics.read(&scene.topic)?.into_iter().map(|stored| stored.message).collect();
    let mut expected: Vec<Message> =
        records.into_iter().map(|record| record.header("daemonry-redrives", "1")).collect();
    written.sort_by(|a, b| a.value.cmp(&b.value));
    expected.sort_by(|a, b| a.value.cmp(&b.value));
    assert_eq!(written, expected);
    Ok(())
}

#[test]
fn keys_keep_their_order_into_the_partitions_that_their_topic_has_now() -> Result<()> {
    let scene = Scene::open("order")?;
    scene.write(2_000, 50)?;
    let letters = scene.dead_letters()?;
    let counts = scene.runtime.block_on(letters.redrive(Redrive::new("r", Filter::all())))?;
    assert_eq!(counts.selected, 2_000);
    scene.written()?.ensure_is(2_000, 50)?;
    // Where a producer puts the keys' next records.
    let stands = scene.topics.read(&scene.topic)?;
    for number in 0..50 {
        let key = format!("key-{number}").into_bytes();
        let (partition, _) = scene.topics.produce(&scene.topic, &[Message::new("0").key(key.clone())])?[0];
        let of_key = stands.iter().find(|stored| stored.message.key.as_ref() == Some(&key)).expect("it was written");
        assert_eq!(of_key.partition, partition);
    }
    Ok(())
}

#[test]
fn a_request_of_other_letters_needs_another_name() -> Result<()> {
    let scene = Scene::open("names")?;
    let letter = || scene.letter(Message::new("1").key("a"), "error", "down", 1);
    scene.topics.produce_to(&scene.letters, Partition(0), &[letter()])?;
    scene.topics.produce_to(&scene.letters, Partition(1), &[letter()])?;
    let letters = scene.dead_letters()?;
    let of = |partition| Redrive::new("r", Filter::all().partition(Partition(partition)));
    assert_eq!(scene.runtime.block_on(letters.redrive(of(0)))?.selected, 1);
    let other = scene.runtime.block_on(letters.redrive(of(1))).expect_err("another one");
    assert_eq!(other.error, LettersError::AnotherRequest("r".to_owned()));
    assert_eq!(scene.topics.read(&scene.topic)?.len(), 1);
    Ok(())
}

#[test]
fn letters_of_several_topics_go_each_to_its_own_or_all_to_another() -> Result<()> {
    let scene = Scene::open("targets")?;
    let other = scene.topics.create_fresh("targets-other", 1)?;
    scene.write(4, 1)?;
    let mut foreign = scene.letter(Message::new("4").key("a"), "error", "down", 1);
    let mut from = |origin: &str| {
        let topic = foreign.headers.iter_mut().find(|(name, _)| name == b"daemonry-topic").expect("it has one");
        topic.1 = Some(origin.into());
        foreign.clone()
    };
    let (tell, left) = channel();
    let letters = scene.dead_letters()?.hearing_of_left(move |left| drop(tell.send(left.why.clone())));
    // Some can't even be asked for.
    for (number, origin) in ["no-such-topic", "a b", "", "a\0b", &"x".repeat(600)].into_iter().enumerate() {
        let offset = scene.topics.produce_to(&scene.letters, Partition(0), &[from(origin)])?[0];
        let this = || Filter::all().at(Partition(0), offset);
        let request = Redrive::new(format!("r-{number}"), this());
        let counts = scene.runtime.block_on(letters.redrive(request))?;
        assert_eq!((counts.selected, counts.unwritten), (0, 1));
        assert_eq!(left.try_iter().collect::<Vec<_>>(), [LettersError::UnknownTopic(origin.into())]);
        scene.runtime.block_on(letters.discard(this(), "ada", "a test"))?;
    }
    scene.topics.produce_to(&scene.letters, Partition(0), &[from("no-such-topic")])?;
    let own = Redrive::new("s", Filter::all().origin(&scene.topic));
    assert_eq!(scene.runtime.block_on(letters.redrive(own))?.selected, 4);
    let elsewhere = Redrive::new("t", Filter::all().with_redriven()).to_topic(&other);
    assert_eq!(scene.runtime.block_on(letters.redrive(elsewhere))?.selected, 5);
    assert_eq!((scene.written()?.count(), scene.topics.read(&other)?.len()), (4, 5));
    Ok(())
}
