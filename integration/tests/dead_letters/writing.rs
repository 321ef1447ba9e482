//! Rates, counts, discards and edits.

use std::time::{Duration, Instant};

use anyhow::Result;
use daemonry::dead_letters::{Edit, Filter, LettersError, MarkKind, Redrive};
use daemonry::record::{Offset, Partition};
use integration::Message;

use crate::scene::Scene;

#[test]
fn the_rate_holds_and_no_transaction_is_open_meanwhile() -> Result<()> {
    let scene = Scene::open("rate")?;
    scene.write(60, 5)?;
    let letters = scene.dead_letters()?;
    let start = Instant::now();
    let slow = Redrive::new("slow", Filter::all()).per_second(20.0);
    let counts = scene.runtime.block_on(letters.redrive(slow))?;
    assert_eq!(counts.selected, 60);
    // The first goes at once, and some 50 ms may be caught up with.
    let least = Duration::from_millis(59 * 50 - 100);
    assert!(start.elapsed() >= least, "{:?}", start.elapsed());
    scene.written()?.ensure_is(60, 5)?;

    // So slow that each goes by itself: it can be read by those who read committed records only.
    scene.write(3, 1)?;
    let slow = Redrive::new("slower", Filter::all()).per_second(0.5);
    let under_way = letters.redrive(slow);
    scene.runtime.block_on(async {
        let stopped = tokio::time::timeout(Duration::from_millis(3_000), under_way).await;
        assert!(stopped.is_err(), "it takes four seconds");
    });
    let count = scene.written()?.count();
    assert!((61..63).contains(&count), "{count} are there to be read");
    Ok(())
}

#[test]
fn a_dry_run_counts_what_a_redrive_does() -> Result<()> {
    let scene = Scene::open("dry")?;
    scene.write(10, 2)?;
    let tired = scene.letter(Message::new("10").key("key-0").header("daemonry-redrives", "2"), "error", "down", 1);
    scene.topics.produce(&scene.letters, &[tired, Message::new("foreign").key("key-0")])?;
    let letters = scene.dead_letters()?;
    let request = || Redrive::new("r", Filter::all().key("key-0")).cap(2);
    let dry = scene.runtime.block_on(letters.dry_run(request()))?;
    assert_eq!((dry.selected, dry.at_cap, dry.foreign, dry.unmatched), (5, 1, 1, 5));
    assert_eq!(scene.written()?.count(), 0);
    assert!(!scene.topics.exists(&format!("{}.marks", scene.letters))?, "nor is anything made");
    assert_eq!(scene.runtime.block_on(letters.redrive(request()))?, dry);
    assert_eq!(scene.written()?.count(), 5);
    let again = scene.runtime.block_on(letters.dry_run(request()))?;
    assert_eq!((again.selected, again.already_redriven, again.at_cap), (0, 5, 1));
    // The cap is the request's.
    let more = Redrive::new("s", Filter::all().key("key-0")).cap(3);
    assert_eq!(scene.runtime.block_on(letters.redrive(more))?.selected, 1);
    Ok(())
}

#[test]
fn discarded_letters_are_hidden_until_they_are_asked_for() -> Result<()> {
    let scene = Scene::open("discard")?;
    scene.write(20, 2)?;
    let letters = scene.dead_letters()?;
    let counts = scene.runtime.block_on(letters.discard(Filter::all().key("key-1"), "ada", "orders of a test"))?;
    assert_eq!((counts.selected, counts.unmatched), (10, 10));
    assert_eq!(scene.list(Filter::all())?.len(), 10);
    let all = scene.list(Filter::all().with_discarded())?;
    assert_eq!(all.iter().filter(|entry| entry.mark == Some(MarkKind::Discarded)).count(), 10);
    let one = all.iter().find(|entry| entry.mark.is_some()).expect("ten are");
    let mark = scene.runtime.block_on(letters.show(one.partition, one.offset))?.mark.expect("it has one");
    assert_eq!((mark.by.as_deref(), mark.reason.as_deref()), (Some("ada"), Some("orders of a test")));
    let counts = scene.runtime.block_on(letters.redrive(Redrive::new("r", Filter::all())))?;
    assert_eq!((counts.selected, counts.already_discarded), (10, 10));
    assert_eq!(scene.written()?.count(), 10);
    Ok(())
}

#[test]
fn an_edited_letter_goes_out_once_with_its_change_recorded() -> Result<()> {
    let scene = Scene::open("edit")?;
    let letter = scene.letter(Message::new("{").key("a").header("trace", "x"), "undecodable", "not JSON", 1);
    scene.topics.produce_to(&scene.letters, Partition(2), &[letter])?;
    let letters = scene.dead_letters()?;
    let edit = || Edit::by("ada").value(Some(b"{}".to_vec()));
    let edited = || scene.runtime.block_on(letters.redrive_edited(Partition(2), Offset(0), edit()));
    assert_eq!((edited()?.selected, edited()?.selected), (1, 0));
    let written = scene.topics.read(&scene.topic)?;
    assert_eq!(written.len(), 1);
    let message = &written[0].message;
    assert_eq!((message.key.as_deref(), message.value.as_deref()), (Some(&b"a"[..]), Some(&b"{}"[..])));
    let header = |name| message.header_values(name).flatten().map(String::from_utf8_lossy).collect::<Vec<_>>();
    assert_eq!(
        (header("trace"), header("daemonry-edited-by"), header("daemonry-redrives")),
        (vec!["x".into()], vec!["ada".into()], vec!["1".into()])
    );
    assert_eq!(header("daemonry-edited-from"), [format!("{}:2:0", scene.letters)]);
    // The bytes as they were are where they were.
    let shown = scene.runtime.block_on(letters.show(Partition(2), Offset(0)))?;
    assert_eq!(shown.entry.letter().and_then(|letter| letter.record.value.as_deref()), Some(&b"{"[..]));
    assert_eq!(shown.mark.map(|mark| mark.edited), Some(vec!["value".to_owned()]));
    Ok(())
}

#[test]
fn a_topic_made_anew_begins_without_marks() -> Result<()> {
    let scene = Scene::open("anew")?;
    scene.write(10, 2)?;
    let letters = scene.dead_letters()?;
    scene.runtime.block_on(letters.discard(Filter::all(), "ada", "a test"))?;
    assert_eq!(scene.list(Filter::all())?.len(), 0);
    let begun = Redrive::new("r", Filter::all().with_discarded().key("key-0"));
    scene.runtime.block_on(letters.redrive(begun.clone()))?;
    scene.topics.delete(&scene.letters)?;
    integration::patience::until_true(crate::scene::PATIENCE, "the end of the topic", || {
        Ok(!scene.topics.exists(&scene.letters)?)
    })?;
    scene.topics.create(&scene.letters, 3, &[])?;
    scene.write(10, 2)?;
    assert_eq!(scene.list(Filter::all())?.len(), 10);
    let stale = scene.runtime.block_on(letters.redrive(begun));
    // Deleting a topic deletes what groups committed for it, sooner or later: then it is a new request.
    match stale {
        Ok(counts) => assert_eq!(counts.selected, 5),
        Err(interrupted) => assert_eq!(interrupted.error, LettersError::AnotherRequest("r".to_owned())),
    }
    Ok(())
}

#[test]
fn a_record_that_is_too_large_is_named_and_small_company_goes_through() -> Result<()> {
    let scene = Scene::open("large")?;
    scene.topics.set(&scene.topic, &[("max.message.bytes", "20000")])?;
    // Together they are far too large for one batch, one by one they are not.
    let filler = "x".repeat(5_000);
    let small = |number: u32| {
        scene.letter(Message::new(number.to_string()).key("a").header("filler", filler.as_str()), "error", "down", 1)
    };
    scene.topics.produce_to(&scene.letters, Partition(0), &(0..50).map(small).collect::<Vec<_>>())?;
    let letters = scene.dead_letters()?;
    let counts = scene.runtime.block_on(letters.redrive(Redrive::new("small", Filter::all())))?;
    assert_eq!(counts.selected, 50);
    scene.written()?.ensure_is(50, 1)?;

    let large = || scene.letter(Message::new("x".repeat(50_000)).key("a"), "error", "down", 1);
    let larger = scene.letter(Message::new("x".repeat(60_000)).key("a"), "error", "down", 1);
    scene.topics.produce_to(&scene.letters, Partition(0), &[small(50), large(), small(51), larger, small(52)])?;
    let (told, left) = std::sync::mpsc::channel();
    let letters = letters.hearing_of_left(move |left| drop(told.send(left.clone())));
    let counts = scene.runtime.block_on(letters.redrive(Redrive::new("large", Filter::all())))?;
    assert_eq!((counts.selected, counts.unwritten, counts.already_redriven), (3, 2, 50));
    scene.written()?.ensure_is(53, 1)?;
    let left: Vec<_> = left.try_iter().map(|left| (left.partition, left.offset, left.why)).collect();
    let partition = Partition(0);
    let expected = [51, 53].map(Offset).map(|offset| {
        let error = LettersError::TooLarge { partition, offset, target: scene.topic.as_str().into() };
        (partition, offset, error)
    });
    assert_eq!(left, expected, "each once, in their order");
    let waiting: Vec<_> = scene.list(Filter::all())?.iter().map(|entry| entry.offset).collect();
    assert_eq!(waiting, [Offset(51), Offset(53)], "they are where they were");
    // The request is through, and another one meets them again.
    let again = |name: &str| scene.runtime.block_on(letters.redrive(Redrive::new(name, Filter::all())));
    assert_eq!((again("large")?.unwritten, again("again")?.unwritten), (0, 2));
    // As it says.
    scene.runtime.block_on(letters.discard(Filter::all().at(partition, Offset(51)), "ada", "too large"))?;
    scene.topics.set(&scene.topic, &[("max.message.bytes", "200000")])?;
    let counts = integration::patience::until(crate::scene::PATIENCE, "the topic to take it", || {
        let name = format!("raised-{}", fastrand::u32(..));
        Ok(Some(again(&name)?).filter(|counts| counts.unwritten == 0))
    })?;
    assert_eq!((counts.selected, counts.already_discarded), (1, 1));
    assert_eq!(scene.topics.read(&scene.topic)?.len(), 54);
    Ok(())
}
