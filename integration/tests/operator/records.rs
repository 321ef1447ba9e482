//! Records as they lie on a real Kafka: by the command line, the API and the pages.

use anyhow::{Context as _, Result, ensure};
use daemonry::record::{Offset, Partition};
use integration::Message;
use integration::patience::until;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use crate::scene::{PATIENCE, Scene, daemonry};
use crate::shop::Shop;

fn offsets(rows: &[Value]) -> Vec<i64> {
    rows.iter().filter_map(|row| row["offset"].as_i64()).collect()
}

/// Writes so many transactions with one record each, of which every other one is undone.
fn transactions(scene: &Scene, count: usize) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &scene.brokers).set("transactional.id", format!("{}-writer", scene.topic));
    let writer: BaseProducer = config.create()?;
    writer.init_transactions(PATIENCE)?;
    for number in 0..count {
        writer.begin_transaction()?;
        let value = number.to_string();
        let record = BaseRecord::<str, str>::to(&scene.topic).partition(2).payload(&value);
        writer.send(record).map_err(|(error, _)| error)?;
        writer.flush(PATIENCE)?;
        if number % 2 == 0 { writer.commit_transaction(PATIENCE)? } else { writer.abort_transaction(PATIENCE)? }
    }
    Ok(())
}

#[test]
fn records_are_walked_forward_and_back_in_no_group_and_without_those_that_were_undone() -> Result<()> {
    let scene = Scene::open("walked")?;
    scene.fill([0, 30, 0])?;
    let ask = |place: &str, more: &[&str]| {
        let place = format!("{}{place}", scene.topic);
        daemonry(&[&["records", &place, "--brokers", &scene.brokers, "-o", "ndjson"][..], more].concat())?.with_code(0)
    };
    let found = |more: &[&str]| ask(":1", more).and_then(|said| said.rows());
    ensure!(offsets(&found(&["--limit=3"])?) == [27, 28, 29], "the last ones");
    ensure!(offsets(&found(&["--limit=3", "--from=beginning"])?) == [0, 1, 2]);
    ensure!(offsets(&found(&["--limit=3", "--before=10"])?) == [7, 8, 9]);
    ensure!(offsets(&found(&["--limit=3", "--from=2000-01-01T00:00:00Z"])?) == [0, 1, 2]);
    ensure!(found(&["--from=2100-01-01T00:00:00Z"])?.is_empty(), "nothing is that young");
    let one = found(&["--limit=1", "--from=7"])?.pop().context("a record")?;
    ensure!(one["value"] == json!({"text": r#"{"id":7}"#}), "{one}");
    ensure!(ask(":1", &["--from=7", "--limit=1"])?.error.contains("before them: --before 7, behind them: --from 8"));
    let extents = ask("", &[])?.rows()?;
    let told: Vec<_> = extents.iter().map(|one| (one["first"].as_i64(), one["end"].as_i64())).collect();
    ensure!(told == [(Some(0), Some(0)), (Some(0), Some(30)), (Some(0), Some(0))], "{told:?}");
    let raw = daemonry(&["records", &format!("{}:1", scene.topic), "--brokers", &scene.brokers, "--from=7", "--raw"])?;
    ensure!(raw.out == r#"{"id":7}"#, "{raw:?}");
    let unknown = daemonry(&["records", &format!("{}:9", scene.topic), "--brokers", &scene.brokers])?;
    ensure!(unknown.code == Some(4) && unknown.error.contains("the topic has 3 partitions"), "{unknown:?}");
    // What was removed isn't there, and where it begins by then is told.
    scene.topics.remove_records(&scene.topic, &[(Partition(1), Offset(20))])?;
    ensure!(offsets(&found(&["--limit=3", "--from=beginning"])?) == [20, 21, 22]);
    ensure!(found(&["--limit=3", "--before=20"])?.is_empty(), "nothing is before it");

    // Each transaction has a marker behind it, and of half of them nothing else is to be seen: back from the end each page gets on, and none is met twice.
    transactions(&scene, 60)?;
    let (mut all, mut before) = (Vec::new(), None::<String>);
    for _ in 0..60 {
        let page = match &before {
            Some(before) => ask(":2", &["--limit=7", before])?,
            None => ask(":2", &["--limit=7"])?,
        };
        all.extend(offsets(&page.rows()?).into_iter().rev());
        let Some((_, rest)) = page.error.split_once("before them: --before ") else { break };
        let offset = rest.split(',').next().context("an offset")?;
        let next = format!("--before={offset}");
        ensure!(before.as_ref() != Some(&next), "it does not get on: {}", page.error);
        before = Some(next);
    }
    let expected: Vec<i64> = (0..30).rev().map(|number| number * 4).collect();
    ensure!(all == expected, "{all:?}");
    let committed = scene.topics.group("daemonry-letters")?.committed(&scene.topic, &[Partition(1), Partition(2)])?;
    ensure!(committed.is_empty(), "somebody has committed: {committed:?}");
    Ok(())
}

#[test]
fn a_daemons_records_are_shown_by_its_api_and_its_pages() -> Result<()> {
    let shop = Shop::open("browsed")?;
    let at = shop.scene.topics.produce_to(
        "orders.created",
        Partition(3),
        &[shop.order(1, 990), Message::new("<script>window.harmed = 1</script>").key("<b>key</b>"), shop.order(3, 990)],
    )?;
    let [first, hostile, last] = [at[0].0, at[1].0, at[2].0];
    until(PATIENCE, "the daemon's topics", || {
        let topics = shop.process.get("/api/v1/topics")?;
        Ok(topics.as_array().is_some_and(|all| all.iter().any(|one| one["topic"] == "orders.created")).then_some(()))
    })?;
    let records = "/api/v1/topics/orders.created/3/records";
    let (_, page) = shop.process.send("GET", &format!("{records}?offset={first}&limit=3"), "")?;
    let found = page["records"].as_array().cloned().unwrap_or_default();
    ensure!(offsets(&found) == [first, hostile, last], "{page}");
    ensure!(found[0]["record"]["key"] == json!({"text": shop.customer}), "{page}");
    let (_, page) = shop.process.send("GET", &format!("{records}?before={last}&limit=2"), "")?;
    ensure!(offsets(page["records"].as_array().context("records")?) == [first, hostile], "{page}");
    let (status, none) = shop.process.send("GET", &format!("{records}?offset=1&before=2"), "")?;
    ensure!(status == 400 && none["detail"].as_str().is_some_and(|why| why.contains("say one of")), "{none}");

    let browser = shop.browser()?;
    browser.goto("/topics")?;
    browser.click("a[href=\"/topics/orders.created\"]")?;
    browser.leaves("/topics")?;
    ensure!(browser.texts("main tbody tr")?.len() == 4, "{}", browser.seen());
    browser.click("a[href=\"/topics/orders.created/3\"]")?;
    browser.leaves("/topics/orders.created")?;
    browser.submit("main form", &[("from", &first.to_string())], "button")?;
    let rows = browser.texts("main tbody tr")?;
    ensure!(rows.len() >= 3 && rows[1].contains("<b>key</b>") && rows[1].contains("<script>"), "{rows:?}");
    // Back over what stands before it, and forward again, by the keys.
    browser.press("b")?;
    let back = format!("/topics/orders.created/3?before={first}");
    if first > 0 {
        until(PATIENCE, "those before", || Ok((browser.at()? == back).then_some(())))?;
        browser.press("n")?;
        until(PATIENCE, "those after", || Ok(browser.seen().contains("<b>key</b>").then_some(())))?;
    }
    browser.goto(&format!("/topics/orders.created/3/{hostile}"))?;
    browser.sees("<script>window.harmed = 1</script>")?;
    ensure!(browser.run("return window.harmed ?? null")?.is_null(), "what somebody wrote has run");
    browser.press("n")?;
    let behind = format!("/topics/orders.created/3?from={}", hostile + 1);
    until(PATIENCE, "those after it", || Ok((browser.at()? == behind).then_some(())))?;
    // What an address can't mean is told as a page.
    browser.goto("/topics/orders.created/3?before=x")?;
    browser.sees("Not understood")?;
    browser.goto("/topics/orders.created/3/999999999")?;
    browser.sees("the partition ends before")?;
    drop(browser);
    shop.stop()
}
