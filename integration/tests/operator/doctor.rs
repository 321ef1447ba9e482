//! `doctor`: what it finds on brokers that are well, and on such as aren't.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use daemonry::record::{Offset, Partition};
use integration::patience::until_true;
use integration::rights::{Operation, Resource};
use integration::secured::{PASSWORD, PLAIN_USER};
use integration::{Broker, BrokerOptions, SecuredBroker, Topics};
use rustix::process::Signal;
use serde_json::Value;

use crate::scene::{PATIENCE, Said, Scene, daemonry, program};

pub(crate) const NDJSON: [&str; 2] = ["--output", "ndjson"];

/// Severity and what was found, of those of a check that say `part` of where or what.
pub(crate) fn found<'r>(rows: &'r [Value], check: &str, part: &str) -> Vec<&'r str> {
    let says = |row: &&Value| {
        let said = |key: &str| row[key].as_str().is_some_and(|text| text.contains(part));
        row["check"] == check && (said("where") || said("what"))
    };
    rows.iter().filter(says).filter_map(|row| row["severity"].as_str()).collect()
}

#[test]
fn a_cluster_and_a_group_that_are_well_are_told_check_by_check() -> Result<()> {
    let scene = Scene::open("operator-doctor")?;
    scene.fill([4, 0, 0])?;
    (0..3).try_for_each(|partition| scene.commit(partition, 0, ""))?;
    let rows = scene.ask("doctor", &NDJSON)?.with_code(0)?.rows()?;
    for (check, part) in
        [("brokers", "1 of 1"), ("rights", ""), ("progress", "4 record(s) behind"), ("settings", "commits fit")]
    {
        ensure!(found(&rows, check, part) == ["ok"], "{check}: {rows:?}");
    }
    ensure!(found(&rows, "topics", "one replica") == ["warning"], "{rows:?}");
    ensure!(found(&rows, "group", "nobody is in it") == ["warning"], "{rows:?}");
    ensure!(found(&rows, "dead letters", "") == ["unknown"], "{rows:?}");
    let said = scene.ask("doctor", &["--replicas", "4"])?.with_code(0)?;
    ensure!(said.out.contains("4 processes are to share 3 partition(s)"), "{said:?}");
    ensure!(said.error.contains("0 error(s), 3 warning(s)"), "{said:?}");
    Ok(())
}

#[test]
fn records_that_are_gone_unread_or_will_be_are_told() -> Result<()> {
    let scene = Scene::open("operator-retention")?;
    scene.fill([10, 10, 0])?;
    (0..3).try_for_each(|partition| scene.commit(partition, 0, ""))?;
    scene.topics.remove_records(&scene.topic, &[(Partition(0), Offset(3))])?;
    let rows = scene.ask("doctor", &NDJSON)?.with_code(1)?.rows()?;
    ensure!(found(&rows, "progress", "up to 3 record(s) were removed") == ["error"], "{rows:?}");
    // The brokers look once in five minutes what is to be removed.
    scene.topics.set(&scene.topic, &[("retention.ms", "1000")])?;
    until_true(PATIENCE, "a warning of records that are as old as they may get", || {
        let rows = scene.ask("doctor", &NDJSON)?.with_code(1)?.rows()?;
        Ok(found(&rows, "progress", &format!("{}[1]", scene.topic)) == ["warning"])
    })
}

#[test]
fn the_program_knows_where_its_letters_go_and_how_long_it_takes_to_stop() -> Result<()> {
    let scene = Scene::open("operator-program")?;
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/shop.yaml");
    let missing = format!("{}.nowhere", scene.topic);
    let ask = |grace: &str, protocol: &str| -> Result<Said> {
        let settings = [
            format!("kafka.main.brokers={}", scene.brokers),
            format!("kafka.main.group={}", scene.topic),
            format!("kafka.main.protocol={protocol}"),
        ];
        let set = settings.iter().flat_map(|setting| ["--set", setting]);
        let arguments = ["doctor", "--config", config, "--grace-period", grace];
        // A topic's dots would part keys in `--set`.
        let variables = [("DAEMONRY__DAEMONS__ORDERS__TOPICS__ORDERS_CREATED__DEAD_LETTER", missing.as_str())];
        program("handlers", &arguments.into_iter().chain(set).chain(NDJSON).collect::<Vec<_>>(), &variables)
    };
    let rows = ask("45s", "consumer")?.with_code(1)?.rows()?;
    ensure!(found(&rows, "dead letters", &missing) == ["error"], "{rows:?}");
    ensure!(found(&rows, "stop", "") == ["ok"], "{rows:?}");
    ensure!(found(&rows, "group", "protocol").is_empty(), "these brokers have it: {rows:?}");
    let rows = ask("42s", "cooperative")?.with_code(1)?.rows()?;
    ensure!(found(&rows, "stop", "killed after 42s") == ["error"], "{rows:?}");
    Ok(())
}

#[test]
fn a_listener_that_sends_clients_elsewhere_is_found() -> Result<()> {
    // Nobody listens there.
    let broker = Broker::start(BrokerOptions::default().listener_behind("ELSEWHERE", 1))?;
    let named = broker.listener("ELSEWHERE");
    let rows = daemonry(&["doctor", "--brokers", &named, "--output", "ndjson"])?.with_code(1)?.rows()?;
    let advertised = found(&rows, "brokers", "the cluster tells clients to go there");
    ensure!(advertised == ["error"], "{rows:?}");
    daemonry(&["doctor", "--brokers", &broker.bootstrap()])?.with_code(0)?;
    Ok(())
}

#[test]
fn rights_that_are_missing_are_told_and_passwords_that_are_wrong() -> Result<()> {
    let secured = SecuredBroker::start()?;
    let topics = Topics::connect(secured.bootstrap())?;
    let topic = topics.create_fresh("operator-rights", 1)?;
    let (file, directory) = ("properties", tempfile::tempdir()?);
    let ask = |password: &str, command: &str, directory: &Path| -> Result<Said> {
        let entry = secured.sasl("PLAIN", PLAIN_USER, password);
        let properties = entry.write(directory, file)?;
        let properties = properties.to_str().context("a path that is text")?;
        let arguments = [command, "--brokers", entry.address(), "--properties", properties, "--group", &topic];
        daemonry(&[&arguments[..], &NDJSON].concat())
    };
    let said = ask("wrong", "doctor", directory.path())?.with_code(1)?;
    ensure!(found(&said.rows()?, "brokers", "check `sasl.username`, `sasl.password`") == ["error"], "{said:?}");
    ensure!(!said.out.contains(PASSWORD), "{said:?}");

    let said = ask(PASSWORD, "doctor", directory.path())?.with_code(1)?;
    let rows = said.rows()?;
    ensure!(found(&rows, "rights", "grant this user DESCRIBE on the group") == ["error"], "{rows:?}");
    let said = ask(PASSWORD, "lag", directory.path())?.with_code(4)?;
    ensure!(said.out.contains("grant this user DESCRIBE on the group"), "{said:?}");

    // May ask, and no more.
    secured.rights().grant(PLAIN_USER, Operation::Describe, Resource::Group, &topic)?;
    secured.rights().grant(PLAIN_USER, Operation::Describe, Resource::Topic, &topic)?;
    let group = topics.group(&topic)?;
    let next = daemonry::record::NextOffset::at(0);
    group.commit(&topic, Partition(0), &integration::Committed { next, metadata: String::new() })?;
    let rows = ask(PASSWORD, "doctor", directory.path())?.with_code(1)?.rows()?;
    ensure!(found(&rows, "rights", "this user may not read it") == ["error"], "{rows:?}");
    ensure!(found(&rows, "rights", "neither join the group nor commit") == ["error"], "{rows:?}");
    ensure!(found(&rows, "settings", "") == ["unknown"], "{rows:?}");
    Ok(())
}

#[test]
fn a_group_that_waits_for_a_member_which_does_not_answer_is_stuck() -> Result<()> {
    let scene = Scene::open("operator-stuck")?;
    scene.fill([4, 4, 4])?;
    let mut frozen = scene.daemon("classic")?;
    let group = |what: &str, part: &str, severity: &str| {
        until_true(PATIENCE, what, || {
            let rows = scene.ask("doctor", &NDJSON)?.rows()?;
            Ok(found(&rows, "group", part) == [severity])
        })
    };
    group("a group that is well", "each with partitions", "ok")?;
    // It is waited for until its session is over, as whoever joins wants a part of what it has.
    frozen.signal(Signal::STOP)?;
    let mut newcomer = scene.daemon("classic")?;
    group("a group that is stuck", "it has been distributing its partitions for 10s or longer", "warning")?;
    let said = scene.ask("doctor", &[])?;
    ensure!(said.code == Some(0) && said.out.contains("look for a member that"), "{said:?}");
    frozen.signal(Signal::CONT)?;
    group("a group that has settled", "2 member(s), each with partitions", "ok")?;
    for member in [&mut frozen, &mut newcomer] {
        ensure!(member.stop(PATIENCE)? == 0, "log {}", member.log_path().display());
    }
    Ok(())
}

#[test]
fn the_topics_of_a_fleet_and_of_marks_are_looked_at() -> Result<()> {
    let scene = Scene::open("operator-fleet-topics")?;
    let [reports, control, letters] = ["reports", "control", "dlq"].map(|kind| format!("{}.{kind}", scene.topic));
    let ask = |code: i32| -> Result<Vec<Value>> {
        let text = format!(
            "kafka: {{main: {{brokers: \"{}\", group: {}}}}}\nfleet: {{enabled: true, reports: {reports}, control: {control}}}\ndaemons: {{orders: {{topics: {{orders.created: {{dead_letter: {letters}}}}}}}, shipments: {{enabled: false}}}}",
            scene.brokers, scene.topic
        );
        let file = scene.file("fleet.yaml", &text)?;
        program("handlers", &[&["doctor", "--config", &file][..], &NDJSON].concat(), &[])?.with_code(code)?.rows()
    };
    scene.topics.create("orders.created", 4, &[]).ok();
    scene.topics.create(&letters, 4, &[("retention.ms", "-1")])?;
    // Before the first process they are not there yet.
    let rows = ask(0)?;
    for topic in [&reports, &control] {
        ensure!(found(&rows, "fleet", topic) == ["warning"], "{topic}: {rows:?}");
    }
    scene.topics.create(&reports, 1, &[("cleanup.policy", "compact")])?;
    scene.topics.create(&control, 2, &[("cleanup.policy", "delete")])?;
    scene.topics.create(
        &format!("{letters}.marks"),
        1,
        &[("cleanup.policy", "delete"), ("retention.ms", "86400000")],
    )?;
    let rows = ask(1)?;
    ensure!(found(&rows, "fleet", &reports) == ["ok"], "{rows:?}");
    ensure!(found(&rows, "fleet", "only the first one is read") == ["error"], "{rows:?}");
    ensure!(found(&rows, "fleet", "it is not compacted") == ["error"], "{rows:?}");
    ensure!(found(&rows, "dead letters", "once a mark is removed by age") == ["error"], "{rows:?}");
    scene.topics.delete(&control)?;
    until_true(PATIENCE, "the end of the topic", || Ok(!scene.topics.exists(&control)?))?;
    scene.topics.create(&control, 1, &[("cleanup.policy", "compact")])?;
    scene.topics.set(&format!("{letters}.marks"), &[("cleanup.policy", "compact")])?;
    let rows = ask(0)?;
    ensure!(found(&rows, "fleet", &control) == ["ok"], "{rows:?}");
    ensure!(found(&rows, "dead letters", "it remembers what became of the letters") == ["ok"], "{rows:?}");
    Ok(())
}
