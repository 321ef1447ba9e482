//! `reset-offsets`: what it shows, what it does, and what it leaves alone.

use anyhow::{Result, ensure};
use daemonry::record::Partition;
use serde_json::Value;

use crate::scene::{Scene, daemonry};

fn numbers(row: &Value, keys: [&str; 4]) -> [Option<i64>; 4] {
    keys.map(|key| row[key].as_i64())
}

const STEP: [&str; 4] = ["committed", "to", "records", "forgotten"];

impl Scene {
    fn reset(&self, topic: &str, to: &str, more: &[&str]) -> Result<Vec<Value>> {
        let arguments = ["--topic", topic, "--to", to, "--output", "ndjson"];
        self.ask("reset-offsets", &[&arguments, more].concat())?.with_code(0)?.rows()
    }

    /// What is committed, with its metadata.
    fn committed(&self, partition: i32) -> Result<Option<(i64, String)>> {
        let partition = Partition(partition);
        let committed = self.group.committed(&self.topic, &[partition])?;
        Ok(committed.get(&partition).map(|commit| (commit.next.offset().0, commit.metadata.clone())))
    }
}

#[test]
fn what_would_be_done_is_shown_and_nothing_is_done() -> Result<()> {
    let scene = Scene::open("operator-plan")?;
    scene.fill([10, 4, 0])?;
    scene.commit(0, 5, "dm1:6815c86c:b:BgI")?;
    let rows = scene.reset(&scene.topic, "earliest", &[])?;
    ensure!(rows.len() == 3, "{rows:?}");
    ensure!(numbers(&rows[0], STEP) == [Some(5), Some(0), Some(5), Some(3)], "{rows:?}");
    ensure!(numbers(&rows[1], STEP) == [None, Some(0), Some(0), Some(0)], "{rows:?}");
    let rows = scene.reset(&format!("{}:0", scene.topic), "+100", &[])?;
    ensure!(rows.len() == 1 && numbers(&rows[0], STEP) == [Some(5), Some(10), Some(-5), Some(3)], "{rows:?}");
    ensure!(rows[0]["note"] == "there is no offset 105: the end", "{rows:?}");
    ensure!(scene.committed(0)? == Some((5, "dm1:6815c86c:b:BgI".to_owned())), "it was only to be shown");
    Ok(())
}

#[test]
fn a_group_goes_on_where_it_is_told_to_and_forgets_what_it_remembered() -> Result<()> {
    let scene = Scene::open("operator-reset")?;
    scene.fill([10, 4, 0])?;
    scene.commit(0, 5, "dm1:6815c86c:b:BgI")?;
    let partition = format!("{}:0", scene.topic);
    let done = scene.reset(&partition, "-2", &["--execute", "--yes"])?;
    ensure!(done.len() == 1 && done[0]["before"] == 5 && done[0]["committed"] == 3, "{done:?}");
    ensure!(scene.committed(0)? == Some((3, String::new())), "{:?}", scene.committed(0)?);
    ensure!(scene.committed(1)?.is_none(), "it was not meant");

    // Again: it is there already.
    let again =
        scene.ask("reset-offsets", &["--topic", &partition, "--to", "3", "--execute", "--yes"])?.with_code(0)?;
    ensure!(again.error.contains("there is nothing to do"), "{again:?}");
    // All of it.
    scene.reset(&scene.topic, "latest", &["--execute", "--yes"])?;
    let ends = [0, 1, 2].map(|partition| scene.committed(partition).ok().flatten().map(|(next, _)| next));
    ensure!(ends == [Some(10), Some(4), Some(0)], "{ends:?}");
    Ok(())
}

#[test]
fn a_time_and_another_group_say_where_too() -> Result<()> {
    let scene = Scene::open("operator-time")?;
    scene.fill([3, 0, 0])?;
    scene.commit(0, 3, "")?;
    let partition = format!("{}:0", scene.topic);
    let rows = scene.reset(&partition, "2001-09-09T01:46:40Z", &[])?;
    ensure!(numbers(&rows[0], STEP) == [Some(3), Some(0), Some(3), Some(0)], "{rows:?}");
    let rows = scene.reset(&partition, "2200-01-01T00:00:00Z", &[])?;
    ensure!(rows[0]["to"].is_null() && rows[0]["note"] == "no record is so young: the end", "{rows:?}");

    let other = format!("{}-other", scene.topic);
    let from = format!("group:{}", scene.topic);
    let arguments = ["--topic", &partition, "--to", &from, "--execute", "--yes", "--output", "ndjson"];
    let asked = ["reset-offsets", "--brokers", &scene.brokers, "--group", &other];
    let rows = daemonry(&[&asked[..], &arguments].concat())?.with_code(0)?.rows()?;
    ensure!(rows[0]["before"].is_null() && rows[0]["committed"] == 3, "{rows:?}");
    Ok(())
}

#[test]
fn what_can_not_be_meant_is_refused() -> Result<()> {
    let scene = Scene::open("operator-refused")?;
    let refused = |topic: &str, more: &[&str], code| {
        scene.ask("reset-offsets", &[&["--topic", topic, "--to", "earliest"], more].concat())?.with_code(code)
    };
    ensure!(refused("no-such-topic", &[], 2)?.error.contains("there is no topic `no-such-topic`"));
    let said = refused(&format!("{}:7", scene.topic), &[], 2)?;
    ensure!(said.error.contains("has no partition 7, but 3 of them from 0"), "{said:?}");
    // Nobody is here to be asked.
    let said = refused(&scene.topic, &["--execute"], 4)?;
    ensure!(said.error.contains("say `--yes`") && said.error.contains("in 3 partition(s)"), "{said:?}");
    ensure!(scene.committed(0)?.is_none());
    Ok(())
}
