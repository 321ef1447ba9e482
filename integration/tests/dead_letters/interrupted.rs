//! Processes of `daemonry dlq redrive` that are killed or stopped, and requests that get into one another's way.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use daemonry::dead_letters::{Filter, LettersError, Redrive};
use integration::Member;
use integration::patience::until_true;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::scene::{PATIENCE, Scene};

/// Far more than five runs at 200 a second get through with.
const LETTERS: usize = 10_000;
const KEYS: usize = 40;

/// A re-drive that is slow enough to be interrupted; its request has a name of its own making.
fn slowly(scene: &Scene) -> Result<Command> {
    scene.operator("redrive", &["--per-second=200", "--execute", "--yes", "--output=json"])
}

/// The command line that goes on with it, as it was told to whoever ran it.
fn told(process: &Member) -> Result<String> {
    let log = process.log()?;
    let line = log.lines().skip_while(|line| *line != "if it is interrupted, this goes on:").nth(1);
    line.map(str::to_owned).with_context(|| format!("it doesn't say how to go on: {log}"))
}

fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {line}")]).stdin(Stdio::null());
    command
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
    let (mut open, mut again) = (0, String::new());
    for round in 0..5 {
        let before = scene.written()?.count();
        let command = if round == 0 { slowly(&scene)? } else { shell(&again) };
        let mut process = Member::run(command, directory.path().join(format!("{round}.log")))?;
        // In the middle of a transaction, for the most part.
        until_true(PATIENCE, "some more records", || {
            anyhow::ensure!(process.ended()?.is_none(), "it ended: {}", process.log()?);
            Ok(scene.written()?.count() > before)
        })?;
        let more = Duration::from_millis(random.u64(0..1_000));
        drop(process.wait(more).expect_err("it has far to go"));
        process.kill()?;
        let line = told(&process)?;
        anyhow::ensure!(round == 0 || line == again, "it went on as something else: {line}");
        again = line;
        open += usize::from(is_transaction_open(&scene)?);
    }
    assert!(open > 0, "no kill left a transaction open");
    let killed = scene.written()?.count();
    assert!(killed < LETTERS, "all {killed} are written, so nothing was interrupted");
    // How fast it goes is no part of what it is.
    let again = again.replace(" --per-second=200", "");
    let mut process = Member::run(shell(&again), directory.path().join("last.log"))?;
    assert_eq!(process.wait(PATIENCE)?, 0, "{}", process.log()?);
    scene.written()?.ensure_is(LETTERS, KEYS)?;
    // It is through, and all of it is marked.
    let mut process = Member::run(shell(&again), directory.path().join("again.log"))?;
    assert_eq!(process.wait(PATIENCE)?, 0, "{}", process.log()?);
    assert!(process.log()?.contains(r#"{"outcome":"redriven","letters":0,"#), "{}", process.log()?);
    assert_eq!(scene.written()?.count(), LETTERS);
    assert_eq!(scene.list(Filter::all())?.len(), 0);
    Ok(())
}

#[test]
fn a_redrive_that_is_stopped_leaves_nothing_open_and_says_how_to_go_on() -> Result<()> {
    let scene = Scene::open("stopped")?;
    scene.write(2_000, KEYS)?;
    let directory = tempfile::tempdir()?;
    let mut process = Member::run(slowly(&scene)?, directory.path().join("stopped.log"))?;
    until_true(PATIENCE, "some records", || Ok(scene.written()?.count() > 0))?;
    assert_eq!(process.stop(PATIENCE)?, 4, "{}", process.log()?);
    anyhow::ensure!(!is_transaction_open(&scene)?, "a transaction is open");
    let (done, log) = (scene.written()?.count(), process.log()?);
    let said =
        format!("error: stopped: {done} of 2000 letters were done, this goes on behind them:\n{}\n", told(&process)?);
    assert!(log.ends_with(&said), "{log}");
    let again = told(&process)?.replace(" --per-second=200", "");
    let mut process = Member::run(shell(&again), directory.path().join("again.log"))?;
    assert_eq!(process.wait(PATIENCE)?, 0, "{}", process.log()?);
    scene.written()?.ensure_is(2_000, KEYS)
}

#[test]
fn a_redrive_that_waits_for_its_next_letter_can_be_stopped() -> Result<()> {
    let scene = Scene::open("waits")?;
    scene.write(3, 1)?;
    let directory = tempfile::tempdir()?;
    let slower = scene.operator("redrive", &["--per-second=0.001", "--execute", "--yes"])?;
    let mut process = Member::run(slower, directory.path().join("waits.log"))?;
    until_true(PATIENCE, "the first record", || Ok(scene.written()?.count() == 1))?;
    // It is told of the first one's transaction before it waits for a thousand seconds.
    assert_eq!(process.stop(PATIENCE)?, 4, "{}", process.log()?);
    assert!(process.log()?.contains("error: stopped: 1 of 3 letters were done"), "{}", process.log()?);
    anyhow::ensure!(!is_transaction_open(&scene)?, "a transaction is open");
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
