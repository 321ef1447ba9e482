//! Leaders that move between three brokers, also those of a topic that is made anew meanwhile.

use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::checker::Order;
use integration::patience::until_true;
use integration::payload::Payload;
use integration::scale::Scale;
use integration::{Cluster, Scenario};

use crate::clusters::{BROKERS, ONE, start_both};
use crate::running::Running;

/// What progress may take once the brokers are as they ought to be.
const BOUND: Duration = Duration::from_secs(30);

#[test]
fn leader_moves_every_5_s() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    const EVERY: Duration = Duration::from_secs(5);
    let moves = Scale::of_environment()?.of(4, 36);
    let cluster = Cluster::start(BROKERS)?;
    let mut running = start_both(&cluster, "leader-moves")?;
    let mut before = Vec::new();
    for each in &mut running {
        before.push(each.rebalances()?);
    }

    let mut due = Instant::now();
    for _ in 0..moves {
        for each in &mut running {
            cluster.move_leaders(each.scenario.topic())?;
            each.scenario.note_resumption("the leaders moved", 2 * EVERY);
        }
        running.iter_mut().try_for_each(|each| each.scenario.until_resumed().map(drop))?;
        due += EVERY;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }

    for (each, before) in running.iter_mut().zip(before) {
        let after = each.rebalances()?;
        ensure!((after - before).abs() < 0.5, "{} rebalances for nothing", after - before);
    }
    Running::pass_without_repeats(running)
}

/// A topic that was made anew counts its leaders from the first one again. librdkafka takes what it is told of them for older than what it
/// knows, and goes on asking those of the old topic.
#[test]
#[ignore = "of `make faults`: it takes long"]
fn dead_letter_topic_made_anew_with_other_leaders() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = Cluster::start(BROKERS)?;
    let mut scenario = Scenario::open(&cluster.bootstrap(), "letters-anew", Order::Key)?;
    let letters = scenario.letter_topic();
    // More often than the new topic's, which one move below may follow.
    for _ in 0..3 {
        cluster.move_leaders(&letters)?;
    }
    let poison = |ids: std::ops::Range<u64>| ids.map(|id| Payload::poison(id, &format!("key-{}", id % 40)));
    let flags = scenario.flags();
    let member = scenario.start(&flags)?;
    scenario.produce(poison(0..200))?;
    scenario.settle(BOUND)?;
    let leaders = cluster.leaders(&letters)?;

    scenario.delete_letters()?;
    until_true(BOUND, "the end of the topic", || Ok(!scenario.topics().exists(&letters)?))?;
    scenario.create_letters()?;
    if cluster.leaders(&letters)? == leaders {
        cluster.move_leaders(&letters)?;
    }
    scenario.produce(poison(200..400))?;
    scenario.settle(Duration::from_secs(75))?;

    let log = member.log()?;
    let said = log.lines().filter(|line| line.contains("the producer is made anew")).count();
    ensure!(said == 1, "the producer was made anew {said} times, log {}", member.log_path().display());
    let verdict = scenario.pass(vec![member], BOUND)?;
    assert_eq!((verdict.letters, verdict.duplicates), (400, 0), "{verdict}");
    Ok(())
}

/// The same of a topic that is read.
#[test]
#[ignore = "of `make faults`: it takes long"]
fn topic_made_anew_with_other_leaders() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = Cluster::start(BROKERS)?;
    for protocol in ["classic", "consumer"] {
        let mut scenario = Scenario::open(&cluster.bootstrap(), &format!("topic-anew.{protocol}"), Order::Key)?;
        let topic = scenario.topic().to_owned();
        let records = |ids: std::ops::Range<u64>| ids.map(|id| Payload::obeyed(id, &format!("key-{}", id % 50), ""));
        let flags = scenario.flags().with("recreated", "earliest").with("group-protocol", protocol);
        let member = scenario.start_watched(&flags)?;
        scenario.produce(records(0..100))?;
        scenario.settle(BOUND)?;
        for _ in 0..3 {
            cluster.move_leaders(&topic)?;
        }
        scenario.produce(records(100..900))?;
        scenario.settle(BOUND)?;
        let leaders = cluster.leaders(&topic)?;

        scenario.expect_error("the topic was deleted and made anew, what was unread of the former one is lost");
        scenario.make_anew(BOUND)?;
        if cluster.leaders(&topic)? == leaders {
            cluster.move_leaders(&topic)?;
        }
        scenario.note_resumption("the topic was made anew", 2 * BOUND);
        scenario.produce(records(1_000..1_400))?;
        scenario.settle(2 * BOUND)?;
        scenario.until_committed_to_the_end(BOUND)?;
        let verdict = scenario.pass(vec![member], BOUND)?;
        assert_eq!((verdict.successes, verdict.duplicates), (1_300, 0), "{protocol}: {verdict}");
    }
    Ok(())
}
