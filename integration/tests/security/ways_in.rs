//! Each way in, with a whole process behind it: it handles records, commits, writes dead letters, and stops with code 0.

use anyhow::Result;
use integration::Scenario;
use integration::checker::Order;
use integration::rights::Mechanism;
use integration::secured::{PASSWORD, PLAIN_USER};

use crate::scene::{SOON, Scene, broker, says};

#[test]
fn a_daemon_comes_in_by_sasl_plain() -> Result<()> {
    let mut scene = Scene::open("plain")?;
    scene.come_in(PLAIN_USER, broker()?.sasl("PLAIN", PLAIN_USER, PASSWORD));
    scene.grant_all()?;
    let verdict = scene.handles_records()?;
    assert!(verdict.letters > 0 && verdict.duplicates == 0, "{verdict}");
    Ok(())
}

#[test]
fn a_daemon_comes_in_by_scram_sha_256() -> Result<()> {
    let verdict = Scene::granted("scram256")?.handles_records()?;
    assert!(verdict.letters > 0 && verdict.duplicates == 0, "{verdict}");
    Ok(())
}

#[test]
fn a_daemon_comes_in_by_scram_sha_512() -> Result<()> {
    let mut scene = Scene::granted("scram512")?;
    let user = scene.user.clone();
    broker()?.rights().set_password(&user, Mechanism::ScramSha512, PASSWORD)?;
    scene.come_in(&user, broker()?.sasl(Mechanism::ScramSha512.name(), &user, PASSWORD));
    let verdict = scene.handles_records()?;
    assert!(verdict.letters > 0 && verdict.duplicates == 0, "{verdict}");
    Ok(())
}

#[test]
fn a_daemon_comes_in_by_its_certificate() -> Result<()> {
    let mut scene = Scene::open("certificate")?;
    let entry = broker()?.certified(&scene.user)?;
    // This is what the broker makes of the certificate's subject.
    let user = format!("CN={}", scene.user);
    scene.come_in(&user, entry);
    scene.grant_all()?;
    let verdict = scene.handles_records()?;
    assert!(verdict.letters > 0 && verdict.duplicates == 0, "{verdict}");
    Ok(())
}

#[test]
fn a_daemon_creates_its_dead_letter_topic_if_it_may() -> Result<()> {
    use integration::rights::{Operation, Resource};

    let scenario = Scenario::open_without_letters(&broker()?.bootstrap(), "creates", Order::Key)?;
    let mut scene = Scene::open_in(scenario)?;
    scene.grant_all()?;
    broker()?.rights().grant(&scene.user, Operation::Create, Resource::Topic, &scene.scenario.letter_topic())?;
    let flags = scene.flags()?.with("missing-dead-letter", "create");
    let mut member = scene.scenario.start(&flags)?;
    member.until_log("dead-letter topic created", SOON)?;
    assert_eq!(member.stop(SOON)?, 0);
    scene.scenario.close()
}

#[test]
fn no_log_shows_the_password_however_much_is_logged() -> Result<()> {
    let mut scene = Scene::granted("verbose")?;
    scene.entry = scene.entry.with("debug", "security,broker,protocol,cgrp,conf,admin");
    let flags = scene.flags()?.log("trace");
    let mut member = scene.scenario.start(&flags)?;
    member.until_log("partition assigned", SOON)?;
    assert_eq!(member.stop(SOON)?, 0);
    // That much is logged, so the password would be, if anything did.
    says(&member, &["SASL", "SCRAM-SHA-256"])?;
    scene.scenario.close()
}
