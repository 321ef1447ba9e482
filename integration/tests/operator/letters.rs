//! Work on dead letters that is asked of a process's API, through the end of that process.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use integration::Message;
use integration::patience::until;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::process::Process;
use crate::scene::PATIENCE;
use crate::shop::Shop;

const LETTERS: u32 = 2_000;

#[test]
fn a_redrive_whose_process_is_killed_goes_on_in_another_one_without_a_second_copy() -> Result<()> {
    let mut shop = Shop::open("killed-job")?;
    let orders: Vec<_> = (0..LETTERS).map(|id| shop.order(id, 0)).collect();
    shop.write(&orders)?;
    // Where nobody handles them again.
    let target = shop.scene.topics.create_fresh("redriven", 3)?;
    let letters = format!("/api/v1{}", shop.all_letters());
    let mine = json!({"key": shop.customer});
    let redrives = format!("{letters}/redrives");
    // It knows its letters once it has begun.
    let ask = |process: &Process, body: &Value| {
        until(PATIENCE, "a job", || {
            let (status, answer) = process.send("POST", &redrives, &body.to_string())?;
            ensure!(matches!(status, 200 | 409), "{status} {answer}");
            Ok((status == 200).then_some(answer))
        })
    };
    let ended = |process: &Process, job: &Value| -> Result<Value> {
        let path = format!("/api/v1/jobs/{}?wait=true", job["job"].as_str().context("a job")?);
        until(PATIENCE, "the job's end", || {
            let (_, job) = process.send("GET", &path, "")?;
            Ok(Some(job).filter(|job| !job["ended_at"].is_null()))
        })
    };
    until(PATIENCE, "all letters", || {
        let counted = ask(&shop.process, &json!({"which": mine, "reason": "counted"}))?;
        let counted = ended(&shop.process, &counted)?;
        Ok((counted["counts"]["selected"] == LETTERS).then_some(()))
    })?;
    let written = || -> Result<BTreeMap<Vec<u8>, usize>> {
        let mut copies = BTreeMap::new();
        for record in shop.scene.topics.read(&target)? {
            *copies.entry(record.message.value.context("a value")?).or_default() += 1;
        }
        Ok(copies)
    };
    let order = json!({"request": "again", "which": mine, "to": target, "per_second": 200.0, "execute": true, "reason": "mended"});

    let (mut random, mut process) = (fastrand::Rng::new(), None::<Process>);
    for round in 1..=3 {
        let before = written()?.len();
        {
            let at = process.as_ref().unwrap_or(&shop.process);
            let job = ask(at, &order)?;
            ensure!(job["request"] == "again", "{job}");
        }
        until(PATIENCE, "some more records", || Ok((written()?.len() > before).then_some(())))?;
        // In the middle of a transaction, for the most part.
        let member = &mut process.as_mut().unwrap_or(&mut shop.process).member;
        let more = Duration::from_millis(random.u64(0..1_000));
        drop(member.wait(more).expect_err("it runs on"));
        member.kill()?;
        process = Some(shop.again(round)?);
    }
    let process = process.context("it was killed three times")?;
    let copies = written()?;
    ensure!((1..LETTERS as usize).contains(&copies.len()), "{} were written, so nothing was interrupted", copies.len());
    // What another process has begun is asked for under its name; how fast is no part of what it is.
    let mut rest = order.clone();
    rest["per_second"] = Value::Null;
    let done = ended(&process, &ask(&process, &rest)?)?;
    ensure!(done["state"] == "done", "{done}");
    let copies = written()?;
    let twice = copies.values().filter(|count| **count > 1).count();
    ensure!(copies.len() == LETTERS as usize && twice == 0, "{} written, {twice} of them more than once", copies.len());
    // It is through, and each has its mark.
    let again = ended(&process, &ask(&process, &order)?)?;
    ensure!(again["state"] == "done" && again["counts"]["selected"] == 0, "{again}");
    let (_, waiting) = process.send("GET", &format!("{letters}?key={}", shop.customer), "")?;
    ensure!(waiting["letters"] == json!([]), "{waiting}");
    Ok(())
}

#[test]
fn what_a_redrive_has_left_is_named_on_its_page_which_leads_to_each_and_to_the_others() -> Result<()> {
    let shop = Shop::open("left-page")?;
    shop.write(&[shop.order(1, 0), shop.order(2, 0)])?;
    let browser = shop.browser()?;
    let rows = |browser: &Browser| browser.texts("main .scroll tbody tr");
    until(PATIENCE, "two letters", || {
        browser.goto(&shop.letters())?;
        Ok((rows(&browser)?.len() == 2).then_some(()))
    })?;
    let foreign = [Message::new("no letter").key(shop.customer.as_str())];
    let places = shop.scene.topics.produce(&format!("{}.dlq", shop.scene.topic), &foreign)?;
    let place = format!("{}:{}", places[0].0, places[0].1);
    let order =
        json!({"which": {"key": shop.customer}, "execute": true, "to": "shipments.requested", "reason": "again"});
    let redrives = format!("/api/v1{}/redrives", shop.all_letters());
    let (status, job) = shop.process.send("POST", &redrives, &order.to_string())?;
    ensure!(status == 200, "{status} {job}");
    let path = format!("/jobs/{}", job["job"].as_str().context("a job")?);
    browser.goto(&path)?;
    until(PATIENCE, "the job's end", || Ok(browser.text("main .state")?.eq("done").then_some(())))?;
    browser.sees("Left where they are")?;
    browser.sees(&place)?;
    browser.click("main .scroll:not(.narrow) tbody a")?;
    browser.leaves(&path)?;
    browser.sees("No letter")?;
    // The others are the same without it: none waits any more.
    browser.goto(&path)?;
    browser.click("main p.faint a")?;
    browser.leaves(&path)?;
    ensure!(rows(&browser)?.is_empty() && browser.at()?.contains("except="), "{}", browser.seen());
    drop(browser);
    shop.stop()
}
