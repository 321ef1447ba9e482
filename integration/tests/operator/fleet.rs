//! Processes that see one another through Kafka alone, and are steered through it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use daemonry::record::Partition;
use integration::Message;
use integration::patience::until;
use serde_json::{Value, json};

use crate::process::Process;
use crate::scene::{PATIENCE, Scene};

/// How many there are.
const PROCESSES: usize = 5;
/// How long one that was killed may be believed to be there. Whoever looks for the first time reads back no more than a minute.
const SILENT: Duration = Duration::from_secs(40);

#[test]
fn each_process_shows_all_of_them_and_tells_those_that_ended_from_those_that_were_killed() -> Result<()> {
    let (scene, directory) = (Scene::open("fleet")?, tempfile::tempdir()?);
    // What the program reads; another test may have made it.
    scene.topics.create("orders.created", 4, &[]).ok();
    let processes = (0..PROCESSES).map(|number| Process::start(&scene, number, directory.path()));
    let mut processes = processes.collect::<Result<Vec<_>>>()?;
    let mut all: BTreeMap<u64, bool> = processes.iter().map(|process| (process.pid(), false)).collect();
    for process in &processes {
        process.knows(&all, PATIENCE)?;
    }

    // Whoever is asked has each partition of all of them, once, with who has it and since when.
    for process in &processes {
        until(PATIENCE, "each partition once", || {
            let rows = process.rows(&["ps", "orders", "--fleet"])?;
            let mut partitions: Vec<i64> = rows.iter().filter_map(|row| row["partition"].as_i64()).collect();
            partitions.sort_unstable();
            let of: BTreeSet<&str> = rows.iter().filter_map(|row| row["process"].as_str()).collect();
            Ok((partitions == [0, 1, 2, 3] && of.len() == 4).then_some(()))
        })?;
    }
    let reports = processes[0].rows(&["ps", "--fleet"])?;
    ensure!(reports.iter().all(|row| row["instance"]["program_version"] == env!("CARGO_PKG_VERSION")), "{reports:?}");
    for report in &reports {
        let id = report["instance"]["id"].as_str().context("it has a name")?;
        let told = processes[1].get(&format!("/api/v1/fleet/{id}"))?;
        let rebalances = told["daemons"][0]["rebalances"].as_array().context("a list")?;
        // Who has partitions was given some; which of the five has none is the group's choice.
        let has = told["daemons"][0]["daemon"]["consumer"]["now"]["partitions"].as_u64().unwrap_or(0);
        ensure!(has == 0 || rebalances.iter().any(|one| one["kind"] == "assigned"), "{told}");
    }

    let mut stopped = processes.pop().context("five were started")?;
    let code = stopped.member.stop(PATIENCE)?;
    ensure!(code == 0, "it ended with {code}: {}", stopped.member.log()?);
    all.remove(&stopped.pid());
    let begun = Instant::now();
    processes[0].knows(&all, PATIENCE)?;
    eprintln!("stopped: gone {:.1?} after its end", begun.elapsed());

    let mut killed = processes.pop().context("four are left")?;
    killed.member.kill()?;
    all.insert(killed.pid(), true);
    let begun = Instant::now();
    processes[1].knows(&all, SILENT)?;
    eprintln!("killed: silent {:.1?} after its end", begun.elapsed());
    // Whoever asks for the first time hears of it, too.
    let late = Process::start(&scene, PROCESSES, directory.path())?;
    all.insert(late.pid(), false);
    late.knows(&all, PATIENCE)
}

/// What the partitions of what the program reads are committed at for the scene's group; 0 where they are not.
fn committed(scene: &Scene) -> Result<Vec<i64>> {
    let partitions: Vec<Partition> = (0..4).map(Partition).collect();
    let group = scene.topics.group(&scene.topic)?;
    let all = group.committed("orders.created", &partitions)?;
    Ok(partitions.iter().map(|one| all.get(one).map_or(0, |committed| committed.next.offset().0)).collect())
}

/// Writes a few orders to each partition.
fn write(scene: &Scene) -> Result<()> {
    for partition in (0..4).map(Partition) {
        let orders: Vec<Message> = (0..5).map(|id| Message::new(format!(r#"{{"id":{id}}}"#))).collect();
        scene.topics.produce_to("orders.created", partition, &orders)?;
    }
    Ok(())
}

/// Everything that is there is committed.
fn caught_up(scene: &Scene) -> Result<()> {
    until(PATIENCE, "all is committed", || {
        let ends: Vec<i64> = scene.topics.ends("orders.created")?.values().map(|end| end.0).collect();
        Ok(committed(scene)?.iter().zip(&ends).all(|(committed, end)| committed >= end).then_some(()))
    })
}

#[test]
fn one_process_is_asked_and_all_do_it_through_restarts_and_rebalances() -> Result<()> {
    let (scene, directory) = (Scene::open("steered-fleet")?, tempfile::tempdir()?);
    scene.topics.create("orders.created", 4, &[]).ok();
    let start = |number: usize| Process::start(&scene, number, directory.path());
    let mut processes = (0..3).map(start).collect::<Result<Vec<_>>>()?;
    let all: BTreeMap<u64, bool> = processes.iter().map(|process| (process.pid(), false)).collect();
    processes[0].knows(&all, PATIENCE)?;
    write(&scene)?;
    caught_up(&scene)?;

    let (asked, begun) = (processes[0].pid(), Instant::now());
    let paused = processes[0].row(&["pause", "orders", "--reason", "the database", "--for", "1h"])?;
    eprintln!("paused in all three within {:.1?}", begun.elapsed());
    let obeys: Vec<bool> =
        paused["reached"].as_array().context("processes")?.iter().map(|one| one["obeys"] == true).collect();
    ensure!(obeys == [true, true, true], "{paused}");
    for process in &processes {
        let consumer = &process.daemon()?["consumer"];
        ensure!(consumer["paused"] == json!([{"topic": null, "partition": null}]), "{consumer}");
    }

    // All of them are replaced, one by `kill -9`: what was ordered stays, and nothing of it is handled meanwhile.
    write(&scene)?;
    let before = committed(&scene)?;
    let mut killed = processes.pop().context("three were started")?;
    killed.member.kill()?;
    for mut process in processes {
        ensure!(process.member.stop(PATIENCE)? == 0, "{}", process.member.log()?);
    }
    let processes = (3..5).map(start).collect::<Result<Vec<_>>>()?;
    let partitions = |process: &Process| Ok(process.daemon()?["consumer"]["now"]["partitions"].as_u64().unwrap_or(0));
    until(PATIENCE, "they have the partitions", || {
        let all: u64 = processes.iter().map(partitions).sum::<Result<u64>>()?;
        Ok((all == 4).then_some(()))
    })?;
    let standing = processes[1].row(&["overrides"])?;
    ensure!(standing["by"] == "local" && standing["reason"] == "the database", "{standing}");
    // Who did it is known to those that have begun since, with the process that was asked and has ended.
    for process in &processes {
        let audit = process.rows(&["audit"])?;
        let is_it = |entry: &&Value| entry["detail"].as_str().is_some_and(|detail| detail.starts_with("paused all"));
        let done: Vec<_> = audit.iter().filter(is_it).map(|entry| entry["instance"]["pid"].as_u64()).collect();
        ensure!(done == [Some(asked)], "{audit:?}");
    }
    let lasts = standing["until"].as_u64().zip(standing["at"].as_u64()).map(|(until, at)| until - at);
    ensure!(lasts == Some(3_600_000), "{standing}");
    let after = committed(&scene)?;
    ensure!(after == before, "handled though it is paused: {before:?} {after:?}");

    // Another one than who was asked before takes it back. Until the one that was killed is known to be silent, nobody knows whether it obeys.
    let silent = [(killed.pid(), true)];
    let all = processes.iter().map(|process| (process.pid(), false)).chain(silent).collect();
    processes[0].knows(&all, SILENT)?;
    let id = standing["id"].as_str().context("it has a name")?;
    processes[0].row(&["lift", id, "--reason", "mended"])?;
    caught_up(&scene)?;

    // Any of them has a partition go on elsewhere, whoever has it.
    let handled = |process: &Process| Ok(process.daemon()?["consumer"]["counts"].clone());
    let counts = || processes.iter().map(handled).collect::<Result<Vec<_>>>();
    let before = counts()?;
    for process in &processes {
        let sought = process.row(&["seek", "orders", "orders.created:2", "beginning", "--yes", "--reason", "again"])?;
        ensure!(sought["next"] == 0, "{sought}");
    }
    caught_up(&scene)?;
    until(PATIENCE, "its records are handled again", || Ok((counts()? != before).then_some(())))?;
    let nobody = processes[0].ask(&["seek", "orders", "orders.created:99", "end", "--yes", "--reason", "again"])?;
    ensure!(
        nobody.code == Some(4) && nobody.error.contains("no process that is heard of has orders.created[99] now"),
        "{nobody:?}"
    );

    // A number of workers holds for its time, in all of them.
    let workers = |process: &Process| Ok(process.daemon()?["consumer"]["now"]["workers"].as_u64());
    let everywhere = |expected: u64| {
        let all = processes.iter().map(workers).collect::<Result<Vec<_>>>()?;
        Ok(all.iter().all(|number| *number == Some(expected)).then_some(()))
    };
    let configured = workers(&processes[0])?.context("it runs")?;
    processes[1].row(&["scale", "orders", "2", "--reason", "the database", "--for", "6s"])?;
    until(PATIENCE, "two workers in each", || everywhere(2))?;
    let begun = Instant::now();
    until(PATIENCE, "as many workers as are configured", || everywhere(configured))?;
    eprintln!("as configured again {:.1?} after two were seen", begun.elapsed());
    ensure!(processes[0].rows(&["overrides"])?.is_empty());
    let too_many = processes[0].ask(&["scale", "orders", "100000", "--reason", "more"])?;
    ensure!(too_many.code == Some(2) && too_many.error.contains("workers at most"), "{too_many:?}");
    Ok(())
}
