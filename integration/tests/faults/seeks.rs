//! Seeks on purpose, and what may happen in the middle of one.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use daemonry::record::{Offset, Partition};
use integration::checker::{Order, Verdict};
use integration::payload::{Mix, Payload, Payloads};
use integration::scenario::STOP;
use integration::{Scenario, Seeking, brokers};
use rustix::process::Signal;

use crate::side_by_side::{Setting, side_by_side};

const SOON: Duration = Duration::from_secs(30);
/// What drains may take, and a bit.
const DRAIN: Duration = Duration::from_secs(40);

/// One member at a time, under both protocols.
const ONE: [Setting; 2] = [
    Setting { protocol: "classic", members: 1, order: Order::Key },
    Setting { protocol: "consumer", members: 1, order: Order::Partition },
];
/// Two members, under both protocols.
const TWO: [Setting; 2] = [
    Setting { protocol: "classic", members: 2, order: Order::Partition },
    Setting { protocol: "consumer", members: 2, order: Order::Key },
];

/// A partition, and a place in it: every other time one that was handled.
fn anywhere(scenario: &mut Scenario, random: &mut fastrand::Rng) -> Result<(Partition, Offset)> {
    let ends = scenario.topics().ends(scenario.topic())?;
    let (&partition, end) = ends.iter().nth(random.usize(0..ends.len())).context("a topic has partitions")?;
    let handled =
        scenario.entries()?.iter().filter(|entry| entry.partition == partition).map(|entry| entry.offset).max();
    let last = handled.filter(|_| random.bool()).unwrap_or(*end);
    Ok((partition, Offset(random.i64(0..=last.0))))
}

/// A scenario with more records than are handled at once, so that a seek forward has something to leave out.
fn backlog(setting: Setting, name: &str) -> Result<Scenario> {
    let mut scenario = Scenario::open(&brokers()?, &setting.name(name), setting.order)?;
    let mix = Mix { slow: 70, ..Mix::default() };
    scenario.produce(Payloads::new(scenario.seed(), mix).take(6_000).collect::<Vec<_>>())?;
    Ok(scenario)
}

/// Kills the one process soon after it was asked to seek, again and again. What was answered must hold for the next process.
fn killed_in_a_seek(setting: Setting) -> Result<Verdict> {
    const KILLS: usize = 8;
    let mut scenario = backlog(setting, "seek.kill9")?;
    let mut random = fastrand::Rng::with_seed(scenario.seed());
    // Each life ends in its first moments, while the same record may run alone: of that a quarantine could make a letter.
    let flags = setting.flags(&scenario).with("workers", 4).with("crash-limit", 0).steered();
    let mut answered = 0;
    for round in 0..KILLS {
        let mut member = scenario.start(&flags)?;
        scenario.until_works(&mut member, DRAIN)?;
        let (partition, place) = anywhere(&mut scenario, &mut random)?;
        let seeking = Seeking::ask(&scenario, &mut member, partition, place.0)?;
        // Every second one lives until the answer is there, and no longer.
        let end = Instant::now() + Duration::from_millis(if round % 2 == 0 { random.u64(0..150) } else { 20_000 });
        while Instant::now() < end && member.answers(&format!("seek {partition} {place}"))?.is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        let log = member.log_path().to_owned();
        let pid = member.pid();
        scenario.note_killed(pid);
        member.signal(Signal::KILL)?;
        ensure!(member.wait(SOON).is_err(), "it ended before it was killed, log {}", log.display());
        answered += usize::from(matches!(seeking.give_up(&mut scenario, &member)?, Some(Ok(_))));
    }
    eprintln!("{answered} of {KILLS} seeks were answered");
    ensure!(answered >= KILLS / 4, "only {answered} seeks were answered");
    let heir = scenario.start(&flags.with("workers", 16))?;
    scenario.pass(vec![heir], Duration::from_secs(90))
}

#[test]
#[ignore = "of `make faults`: it takes long"]
fn kill9_in_the_middle_of_a_seek() -> Result<()> {
    side_by_side(&ONE, killed_in_a_seek).map(drop)
}

/// Stops the one process in the middle of a seek, again and again.
fn stopped_in_a_seek(setting: Setting) -> Result<Verdict> {
    let mut scenario = backlog(setting, "seek.sigterm")?;
    let mut random = fastrand::Rng::with_seed(scenario.seed());
    let flags = setting.flags(&scenario).with("workers", 4).steered();
    for _ in 0..6 {
        let mut member = scenario.start(&flags)?;
        scenario.until_works(&mut member, DRAIN)?;
        let (partition, place) = anywhere(&mut scenario, &mut random)?;
        let seeking = Seeking::ask(&scenario, &mut member, partition, place.0)?;
        thread::sleep(Duration::from_millis(random.u64(0..80)));
        let before = Instant::now();
        let code = member.stop(STOP)?;
        ensure!(code == 0, "process {} ended with code {code}, log {}", member.pid(), member.log_path().display());
        ensure!(before.elapsed() < Duration::from_secs(10), "it took {:?}", before.elapsed());
        seeking.give_up(&mut scenario, &member)?;
    }
    let heir = scenario.start(&flags.with("workers", 16))?;
    scenario.pass(vec![heir], Duration::from_secs(90))
}

#[test]
fn sigterm_in_the_middle_of_a_seek() -> Result<()> {
    side_by_side(&ONE, stopped_in_a_seek).map(drop)
}

#[test]
fn sigterm_while_a_seek_waits_for_a_handler() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "seek.sigterm.slow", Order::Partition)?;
    scenario.produce_to(Partition(0), (0..20).map(|id| Payload::obeyed(id, "any", "")))?;
    scenario.produce_to(Partition(0), [Payload::obeyed(20, "any", "\"sleep_ms\":4000")])?;
    scenario.produce_to(Partition(0), (21..40).map(|id| Payload::obeyed(id, "any", "")))?;
    let flags = scenario.flags().steered();
    let mut member = scenario.start(&flags)?;
    scenario.until_more(20, SOON)?;

    let seeking = Seeking::ask(&scenario, &mut member, Partition(0), 5)?;
    member.until_log("partitions revoked, draining", SOON)?;
    let before = Instant::now();
    assert_eq!(member.stop(STOP)?, 0);

    assert!(before.elapsed() < Duration::from_secs(8), "it took {:?}", before.elapsed());
    seeking.give_up(&mut scenario, &member)?;
    let heir = scenario.start(&flags)?;
    scenario.pass(vec![heir], SOON)?;
    Ok(())
}

/// Members that join and leave while partitions are asked, of whoever may have them, to go on elsewhere.
fn moved_in_a_seek(setting: Setting) -> Result<Verdict> {
    const ROUNDS: usize = 14;
    let mut scenario = Scenario::open(&brokers()?, &setting.name("seek.rebalance"), setting.order)?;
    let mut random = fastrand::Rng::with_seed(scenario.seed());
    let flags = setting.flags(&scenario).steered();
    let load = scenario.load(150, Mix { slow: 60, ..Mix::default() });
    let mut running = Vec::new();
    for _ in 0..setting.members {
        running.push(scenario.start(&flags)?);
    }
    for member in &mut running {
        scenario.until_works(member, DRAIN)?;
    }
    let (mut moved, mut refused) = (0, BTreeSet::new());
    for round in 0..ROUNDS {
        let mut leaver = None;
        if round % 2 == 0 {
            running.push(scenario.start(&flags)?);
        } else {
            let mut member = running.remove(0);
            member.signal(Signal::TERM)?;
            leaver = Some(member);
        }
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(random.u64(0..300)));
            let (partition, place) = anywhere(&mut scenario, &mut random)?;
            let mut asked = Vec::new();
            for member in running.iter_mut().chain(&mut leaver) {
                if member.ended()?.is_some() {
                    continue;
                }
                asked.push((member.pid(), Seeking::ask(&scenario, member, partition, place.0)));
            }
            for (pid, seeking) in asked {
                let member =
                    running.iter().chain(&leaver).find(|member| member.pid() == pid).context("it was asked")?;
                match seeking {
                    // It has ended meanwhile.
                    Err(_) => {}
                    Ok(seeking) if leaver.as_ref().is_some_and(|leaver| leaver.pid() == pid) => {
                        thread::sleep(Duration::from_millis(100));
                        seeking.give_up(&mut scenario, member)?;
                    }
                    Ok(seeking) => match seeking.answer(&mut scenario, member, DRAIN)? {
                        Ok(_) => moved += 1,
                        Err(reason) => drop(refused.insert(reason.replace(&partition.to_string(), "_"))),
                    },
                }
            }
        }
        if let Some(mut leaver) = leaver {
            let code = leaver.wait(STOP)?;
            ensure!(code == 0, "process {} ended with code {code}, log {}", leaver.pid(), leaver.log_path().display());
        }
    }
    eprintln!("{}: {moved} seeks, refused: {refused:?}", setting.protocol);
    ensure!(moved > ROUNDS, "only {moved} seeks were done");
    scenario.unload(load)?;
    scenario.pass(running, Duration::from_secs(90))
}

#[test]
#[ignore = "of `make faults`: it takes long"]
fn seeks_while_members_join_and_leave() -> Result<()> {
    side_by_side(&TWO, moved_in_a_seek).map(drop)
}
