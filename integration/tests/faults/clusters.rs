//! Three brokers: leaders and coordinators that move, and all of them gone.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::checker::Order;
use integration::patience::{unix_ms, until_true};
use integration::payload::Payload;
use integration::scale::{Scale, seconds};
use integration::{Cluster, Scenario};

use crate::running::Running;

pub(crate) const BROKERS: u16 = 3;
/// One cluster at a time: its brokers have a machine's cores to share.
pub(crate) static ONE: Mutex<()> = Mutex::new(());
/// What progress may take once the brokers are as they ought to be.
const BOUND: Duration = Duration::from_secs(30);

/// On all brokers. Commits are frequent, so that some are on their way whatever happens.
fn start_both(cluster: &Cluster, name: &str) -> Result<Vec<Running>> {
    let mut both = Running::start_both(&cluster.bootstrap(), name, |flags| flags.with("commit-interval-ms", 200))?;
    both.iter_mut().for_each(|each| each.scenario.expect_broken_connections());
    Ok(both)
}

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

    for (mut each, before) in running.into_iter().zip(before) {
        let after = each.rebalances()?;
        ensure!((after - before).abs() < 0.5, "{} rebalances for nothing", after - before);
        let verdict = each.pass()?;
        assert_eq!(verdict.duplicates, 0, "{verdict}");
    }
    Ok(())
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

#[test]
fn coordinator_moves_mid_commit() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let rounds = Scale::of_environment()?.of(2, 12);
    let mut cluster = Cluster::start(BROKERS)?;
    let mut running = start_both(&cluster, "coordinator-moves")?;
    let mut random = fastrand::Rng::with_seed(running[0].scenario.seed());
    for round in 0..rounds {
        let group = running[round % running.len()].scenario.topic().to_owned();
        let coordinator = cluster.coordinator(&group)?;
        // At any time between two commits, or in the middle of one.
        thread::sleep(Duration::from_millis(random.u64(0..400)));
        // One that is stopped hands its groups on, one that is killed does not.
        if random.bool() {
            cluster.broker(coordinator).stop()?
        } else {
            cluster.broker(coordinator).kill()?
        }
        for each in &mut running {
            each.scenario.note_resumption("a coordinator was gone", BOUND);
        }
        running.iter_mut().try_for_each(|each| each.scenario.until_resumed().map(drop))?;
        ensure!(cluster.coordinator(&group)? != coordinator, "the group's coordinator is still {coordinator}");
        cluster.restart_stopped()?;
    }
    for each in running {
        let verdict = each.pass()?;
        assert_eq!(verdict.duplicates, 0, "{verdict}");
    }
    Ok(())
}

#[test]
fn all_brokers_down() -> Result<()> {
    let mut one = Some(ONE.lock().unwrap_or_else(PoisonError::into_inner));
    /// What a process may take to notice.
    const NOTICED: Duration = Duration::from_secs(10);
    /// After this time without a word a member takes itself for lost. A classic group then waits as long for who it was before.
    const SESSION: Duration = Duration::from_secs(45);
    let outage = seconds(15, 600)?;
    let mut cluster = Cluster::start(BROKERS)?;
    let mut running = start_both(&cluster, "all-down")?;
    // A producer gives up earlier than a daemon.
    running.iter_mut().try_for_each(Running::pause)?;

    let killed = unix_ms();
    cluster.kill_all()?;
    for watch in running.iter_mut().flat_map(|each| each.scenario.watches()) {
        watch.until_unready(NOTICED, "no broker of")?;
    }
    let (noticed, down) = (unix_ms(), Instant::now());
    let is_long = outage >= SESSION;
    if is_long {
        // Brokers that are down take nothing of the machine: another cluster may have it meanwhile. If that takes longer, so does this.
        one = None;
    }
    thread::sleep(outage);
    let _one = one.unwrap_or_else(|| ONE.lock().unwrap_or_else(PoisonError::into_inner));
    eprintln!("all-down: for {:?}", down.elapsed());
    let over = unix_ms();
    for watch in running.iter_mut().flat_map(|each| each.scenario.watches()) {
        watch.note_outage(noticed, over, "no broker of");
    }
    cluster.restart_stopped()?;

    for each in &mut running {
        if is_long {
            each.members.iter().for_each(|member| each.scenario.note_gone(member.pid(), killed, SESSION + BOUND));
        }
        each.resume();
        each.scenario.note_resumption("the brokers were back", if is_long { SESSION + BOUND } else { BOUND });
    }
    for mut each in running {
        each.scenario.until_resumed()?;
        let mut restarts = 0.0;
        for member in &mut each.members {
            restarts += member.metric("daemon_restarts_total", "")?;
        }
        ensure!(restarts < 0.5, "{restarts} restarts, where waiting would have done");
        each.pause()?;
        let Running { mut scenario, members, .. } = each;
        let verdict = scenario.finish(members, Duration::from_secs(60))?;
        verdict.ensure_clean()?;
        scenario.vitals().iter().try_for_each(|vitals| vitals.ensure_flat_within(noticed, over))?;
        scenario.close()?;
    }
    Ok(())
}
