//! `lag`: what groups are behind by.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use daemonry::record::Partition;
use integration::Message;
use integration::patience::until;
use serde_json::Value;

use crate::scene::{PATIENCE, Scene, binary, daemonry};

/// The numbers of a row, in this order: committed, end, lag, finished above, unfinished.
fn numbers(row: &Value) -> [Option<i64>; 5] {
    ["committed", "end", "lag", "finished_above", "unfinished"].map(|key| row[key].as_i64())
}

#[test]
fn partitions_of_a_group_are_shown_with_what_is_committed_and_what_is_not() -> Result<()> {
    let scene = Scene::open("operator-lag")?;
    scene.fill([10, 4, 0])?;
    // 2, 3 and 10 above it are finished.
    scene.commit(0, 0, "dm1:6815c86c:b:BgI")?;
    scene.commit(1, 4, "somebody else's")?;
    let rows = scene.ask("lag", &["--output", "ndjson"])?.with_code(0)?.rows()?;
    ensure!(rows.len() == 3, "{rows:?}");
    ensure!(numbers(&rows[0]) == [Some(0), Some(10), Some(10), Some(3), Some(7)], "{rows:?}");
    ensure!(numbers(&rows[1]) == [Some(4), Some(4), Some(0), Some(0), Some(0)], "{rows:?}");
    ensure!(numbers(&rows[2]) == [None, Some(0), Some(0), Some(0), Some(0)], "{rows:?}");
    let notes = rows.iter().map(|row| row["note"].as_str().unwrap_or_default()).collect::<Vec<_>>();
    ensure!(
        notes[0].is_empty() && notes[1].contains("another program") && notes[2] == "nothing committed",
        "{notes:?}"
    );
    ensure!(rows[0]["state"] == "empty" && rows[0]["member"].is_null(), "{rows:?}");

    let table = scene.ask("lag", &[])?.with_code(0)?.out;
    ensure!(
        table.lines().next().is_some_and(|head| head.starts_with("GROUP")) && table.lines().count() == 4,
        "{table}"
    );
    ensure!(!table.contains('\x1b'), "colours, and nobody to see them: {table:?}");
    let totals = scene.ask("lag", &["--by", "group", "--output", "ndjson"])?.with_code(0)?.rows()?;
    ensure!(totals.len() == 1 && totals[0]["lag"] == 10 && totals[0]["unfinished"] == 7, "{totals:?}");
    ensure!(totals[0]["note"] == "1 without a commit", "{totals:?}");
    scene.ask("lag", &["--max", "10"])?.with_code(0)?;
    scene.ask("lag", &["--max", "9"])?.with_code(1)?;
    Ok(())
}

#[test]
fn a_running_daemon_is_told_with_its_member_and_what_it_has_finished_above() -> Result<()> {
    is_told("classic")
}

#[test]
fn a_running_daemon_is_told_under_kip_848_too() -> Result<()> {
    is_told("consumer")
}

fn is_told(protocol: &str) -> Result<()> {
    let scene = Scene::open("operator-running")?;
    let slow = Message::new(r#"{"id":0,"sleep_ms":600000}"#).key("slow");
    let quick = (1..6).map(|number| Message::new(format!(r#"{{"id":{number}}}"#)).key(format!("key-{number}")));
    let records: Vec<Message> = std::iter::once(slow).chain(quick).collect();
    scene.topics.produce_to(&scene.topic, Partition(0), &records)?;
    let mut daemon = scene.daemon(protocol)?;
    let row = until(PATIENCE, "a commit that remembers what is finished", || {
        let rows = scene.ask("lag", &["--output", "ndjson"])?.with_code(0)?.rows()?;
        Ok(rows.into_iter().find(|row| row["partition"] == 0 && row["finished_above"] == 5))
    })?;
    ensure!(numbers(&row) == [Some(0), Some(6), Some(6), Some(5), Some(1)], "{row}");
    ensure!(row["state"] == "stable" && row["member"]["client"] == "daemonry", "{row}");
    ensure!(row["member"]["host"] == "127.0.0.1", "{row}");

    let table = scene.ask("lag", &[])?.with_code(0)?.out;
    ensure!(table.contains("daemonry@127.0.0.1") && table.contains("stable"), "{table}");
    // It is in the way of a reset, which says so, and of nothing else.
    let reset = ["--topic", &scene.topic, "--to", "earliest"];
    let said = scene.ask("reset-offsets", &reset)?.with_code(0)?;
    ensure!(said.error.contains("has 1 member(s): daemonry@127.0.0.1"), "{said:?}");
    let said = scene.ask("reset-offsets", &[&reset[..], &["--execute", "--yes"]].concat())?.with_code(4)?;
    ensure!(said.error.contains("stop its daemon in every process"), "{said:?}");
    let rows = scene.ask("doctor", &["--output", "ndjson"])?.with_code(0)?.rows()?;
    ensure!(rows.iter().any(|row| row["what"] == "1 member(s), each with partitions"), "{rows:?}");
    daemon.kill()
}

#[test]
fn what_is_watched_is_told_again_and_again_with_its_time() -> Result<()> {
    let scene = Scene::open("operator-watch")?;
    scene.fill([2, 0, 0])?;
    scene.commit(0, 1, "")?;
    let mut command = Command::new(binary("daemonry")?);
    command.args(["lag", "--brokers", &scene.brokers, "--group", &scene.topic, "--by", "group"]);
    let mut watching = command.args(["--watch", "50ms", "--output", "ndjson"]).stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(watching.stdout.take().context("it was asked for")?).lines();
    let rows: Vec<Value> = lines.take(3).map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Result<_>>()?;
    watching.kill()?;
    watching.wait()?;
    ensure!(rows.iter().all(|row| row["lag"] == 1), "{rows:?}");
    ensure!(rows.iter().all(|row| row["at"].as_str().is_some_and(|at| at.ends_with('Z'))), "{rows:?}");
    Ok(())
}

#[test]
fn topics_that_are_gone_and_groups_that_nobody_knows_are_shown_as_such() -> Result<()> {
    let scene = Scene::open("operator-gone")?;
    let said = scene.ask("lag", &["--output", "ndjson"])?.with_code(0)?;
    ensure!(said.rows()?[0]["note"] == "unknown group: it has neither members nor commits", "{said:?}");
    scene.ask("lag", &["--max", "1000"])?.with_code(4)?;
    let missing = scene.ask("lag", &["--topic", "no-such-topic", "--output", "ndjson"])?.with_code(0)?.rows()?;
    ensure!(missing[0]["topic"] == "no-such-topic" && missing[0]["partition"].is_null(), "{missing:?}");
    ensure!(missing[0]["note"].as_str().is_some_and(|note| note.starts_with("there is no such topic")), "{missing:?}");
    Ok(())
}

#[test]
fn brokers_that_do_not_answer_are_told() -> Result<()> {
    let said = daemonry(&["lag", "--brokers", "127.0.0.1:1", "--group", "g", "-X", "socket.timeout.ms=1000"])?;
    let said = said.with_code(4)?;
    ensure!(said.out.contains("127.0.0.1:1"), "{said:?}");
    Ok(())
}

#[test]
fn groups_are_those_of_the_file() -> Result<()> {
    let scene = Scene::open("operator-file")?;
    scene.fill([2, 0, 0])?;
    scene.commit(0, 1, "")?;
    let (brokers, group) = (&scene.brokers, &scene.topic);
    let text = format!(
        "kafka: {{main: {{brokers: \"{brokers}\"}}}}\ndaemons: {{orders: {{cluster: main, group: {group}}}}}\n"
    );
    let file = scene.file("shop.yaml", &text)?;
    let rows = daemonry(&["lag", "--config", &file, "--by", "topic", "--output", "ndjson"])?.with_code(0)?.rows()?;
    ensure!(rows.len() == 1 && rows[0]["daemons"][0] == "orders" && rows[0]["lag"] == 1, "{rows:?}");
    // Groups that don't read a topic are not behind in it.
    let elsewhere = scene.topics.create_fresh("operator-elsewhere", 1)?;
    scene.topics.produce_to(&elsewhere, Partition(0), &[Message::new("unread")])?;
    let said =
        daemonry(&["lag", "--config", &file, "--topic", &elsewhere, "--topic", group, "--max", "1"])?.with_code(0)?;
    ensure!(!said.out.contains(&elsewhere), "{said:?}");
    daemonry(&["lag", "--config", &file, "--topic", &elsewhere, "--max", "1"])?.with_code(4)?;
    Ok(())
}
