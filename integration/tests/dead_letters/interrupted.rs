//! Processes of `examples/letters` that are killed, and requests that get into one another's way.

use std::time::Duration;

use anyhow::Result;
use daemonry::dead_letters::{Filter, LettersError, Redrive};
use integration::patience::until_true;
use integration::{Flags, Member};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::scene::{PATIENCE, Scene};

/// Far more than five runs at 200 a second get through with.
const LETTERS: usize = 10_000;
const KEYS: usize = 40;

fn flags(scene: &Scene) -> Flags {
    Flags::default()
        .command("redrive")
        .with("brokers", &scene.brokers)
        .with("topic", &scene.letters)
        .with("request", "killed")
}

/// Whether records stand in the topic that readers of committed ones don't get to.
fn is_transaction_open(scene: &Scene) -> Result<bool> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &scene.brokers).set("isolation.level", "read_uncommitted");
    let reader: BaseConsumer = config.create()?;
    for (partition, end) in scene.topics.ends(&scene.topic)? {
        if reader.fetch_watermarks(&scene.topic, partition.0, PATIENCE)?.1 > end.0 {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn a_redrive_that_is_killed_goes_on_without_a_second_copy() -> Result<()> {
    let scene = Scene::open("killed")?;
    scene.write(LETTERS, KEYS)?;
    let directory = tempfile::tempdir()?;
    let mut random = fastrand::Rng::new();
    let mut open = 0;
    for round in 0..5 {
        let before = scene.written()?.count();
        let flags = flags(&scene).with("per-second", 200);
        let mut process = Member::start_example("letters", &flags, directory.path().join(format!("{round}.log")))?;
        // In the middle of a transaction, for the most part.
        until_true(PATIENCE, "some more records", || {
            anyhow::ensure!(process.ended()?.is_none(), "it ended: {}", process.log()?);
            Ok(scene.written()?.count() > before)
        })?;
        let more = Duration::from_millis(random.u64(0..1_000));
        drop(process.wait(more).expect_err("it has far to go"));
        process.kill()?;
        open += usize::from(is_transaction_open(&scene)?);
    }
    assert!(open > 0, "no kill left a transaction open");
    let killed = scene.written()?.count();
    assert!(killed < LETTERS, "all {killed} are written, so nothing was interrupted");
    let mut process = Member::start_example("letters", &flags(&scene), directory.path().join("last.log"))?;
    assert_eq!(process.wait(PATIENCE)?, 0, "{}", process.log()?);
    scene.written()?.ensure_is(LETTERS, KEYS)?;
    // It is through, and all of it is marked.
    let mut process = Member::start_example("letters", &flags(&scene), directory.path().join("again.log"))?;
    assert_eq!(process.wait(PATIENCE)?, 0, "{}", process.log()?);
    assert!(process.log()?.contains("re-driven 0; left: 0 at the cap"), "{}", process.log()?);
    assert_eq!(scene.written()?.count(), LETTERS);
    assert_eq!(scene.list(Filter::all())?.len(), 0);
    Ok(())
}

#[test]
fn of_two_requests_the_later_one_goes_on_alone() -> Result<()> {
    let scene = Scene::open("two")?;
    scene.write(LETTERS, KEYS)?;
    let letters = scene.dead_letters()?;
    let first = letters.redrive(Redrive::new("first", Filter::all()).per_second(500.0));
    let second = async {
        let begun = || async { scene.written().is_ok_and(|written| written.count() > 0) };
        while !begun().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        letters.redrive(Redrive::new("second", Filter::all())).await
    };
    let (first, second) = scene.runtime.block_on(async { tokio::join!(first, second) });
    let first = first.expect_err("the other one took over");
    assert_eq!(first.error, LettersError::Replaced);
    let second = second?;
    // No letter by both, though both meant all of them.
    scene.written()?.ensure_is(LETTERS, KEYS)?;
    assert_eq!(second.selected + second.already_redriven, u64::try_from(LETTERS)?);
    assert!(first.counts.selected > 0 && second.already_redriven >= first.counts.selected, "{first} {second:?}");
    // And the first one, run again, finds nothing left to do.
    let again = scene.runtime.block_on(letters.redrive(Redrive::new("first", Filter::all())))?;
    assert_eq!(again.selected, 0);
    Ok(())
}
