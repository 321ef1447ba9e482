//! What an operator's command line takes, and what it says where it can't.

use std::path::PathBuf;

use clap::ValueEnum;

use super::*;
use crate::kafka::EmbeddedCluster;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("shop.yaml");
    std::fs::write(&path, text).expect("it can be written");
    (directory, path)
}

/// What is wrong with a command line that names a cluster.
fn refused(arguments: &[&str]) -> String {
    let arguments = ["daemonry", "topics"].iter().chain(arguments).copied();
    let CommandLine { request } = CommandLine::try_parse_from(arguments).expect("it is well formed");
    let Request::Topics(topics) = request else { panic!("other words were written") };
    let failure = topics.run(&of_any_program).expect_err("it can't be meant");
    let mut said = Vec::new();
    assert_eq!(failure.tell(&mut said), Exit::Misconfigured);
    String::from_utf8(said).expect("it is text")
}

#[test]
fn command_line_is_well_formed() {
    CommandLine::command().debug_assert();
}

#[test]
fn which_cluster_is_meant_must_be_clear() {
    let (_directory, path) =
        file("kafka: {one: {brokers: a:1}, two: {brokers: b:1}}\ndaemons: {orders: {}}\napp: {x: 1}");
    let path = path.to_str().expect("a path that is text");
    assert_eq!(refused(&["--config", path]), "error: say which cluster with `--cluster`, the file has: one, two\n");
    let said = refused(&["--config", path, "--cluster", "three"]);
    assert_eq!(said, "error: the file has no cluster `three`, it has: one, two\n");
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_place() {
    let (_directory, path) = file("kafka: {one: {broker: a:1}}");
    let path = path.to_str().expect("a path that is text");
    let said = refused(&["--config", path]);
    assert!(said.contains(&format!("{path}:1:15: kafka.one.broker: unknown key, did you mean `brokers`?")), "{said}");
}

#[test]
fn properties_can_stand_in_a_file_and_are_not_shown() {
    let (_directory, path) = file("# how to come in\nsecurity.protocol = plaintext\nsasl.password hush");
    let path = path.to_str().expect("a path that is text");
    let said = refused(&["--brokers", "localhost:9092", "--properties", path]);
    assert_eq!(said, format!("error: {path}:3: has no `=`, allowed: key=value\n"));
    let said = refused(&["--brokers", "localhost:9092", "-X", "no.such.property=true"]);
    assert!(said.contains("no.such.property"), "{said}");
}

#[test]
fn one_of_file_and_brokers_is_needed() {
    for arguments in [&["daemonry", "topics"][..], &["daemonry", "topics", "--config", "x", "--brokers", "y"]] {
        assert!(CommandLine::try_parse_from(arguments).is_err(), "{arguments:?}");
        assert_eq!(run_with(arguments), Exit::Misconfigured);
    }
    let told = CommandLine::try_parse_from(["daemonry", "topics"]).expect_err("no way in").to_string();
    assert!(told.contains("--config <FILE>|--brokers <HOST:PORT>"), "{told}");
}

#[test]
fn what_belongs_to_a_file_is_refused_without_one_and_the_other_way_round() {
    let (brokers, file) = (["--brokers", "b:1"], ["--config", "x.yaml"]);
    for (cluster, more) in [
        (brokers, ["--set", "a=b"]),
        (brokers, ["--cluster", "main"]),
        (file, ["--property", "a=b"]),
        (file, ["--properties", "x"]),
    ] {
        let arguments = [&["daemonry", "topics"][..], &cluster, &more].concat();
        assert!(CommandLine::try_parse_from(&arguments).is_err(), "{arguments:?}");
    }
}

#[test]
fn topics_of_a_cluster_are_listed() {
    let cluster = EmbeddedCluster::start(&[("orders", 4)]).expect("a cluster");
    let done = |arguments: &[&str]| {
        run_with(["daemonry", "topics", "--brokers", &cluster.brokers()].iter().chain(arguments).copied())
    };
    assert_eq!(done(&[]), Exit::Drained);
    assert_eq!(done(&["nothing-like-it", "--output", "json"]), Exit::Drained);
    assert_eq!(run_with(["daemonry", "man", "topics"]), Exit::Drained);
    assert_eq!(run_with(["daemonry", "man", "nothing"]), Exit::Misconfigured);
}

#[test]
fn completions_know_every_command_and_the_options_of_each() {
    assert_eq!(run_with(["daemonry", "completions", "bash"]), Exit::Drained);
    for shell in Shell::value_variants() {
        let script = String::from_utf8(script(command_line(), *shell)).expect("it is text");
        for command in command_line().get_subcommands() {
            assert!(script.contains(command.get_name()), "{shell} lacks {}", command.get_name());
            for option in command.get_arguments().filter_map(|option| option.get_long()) {
                assert!(script.contains(option), "{shell} lacks `--{option}` of {}", command.get_name());
            }
        }
        assert!(script.contains("redrive") && script.contains("daemonry"), "{shell}: {script}");
    }
}

/// What a command line of a program, or of whoever has none, says of itself when it is asked `arguments`.
fn help(command: clap::Command, arguments: &[&str]) -> String {
    command.try_get_matches_from(arguments).expect_err("help is told as an error").render().to_string()
}

#[test]
fn exit_codes_are_told_by_help_and_manual_pages() {
    let (done, unfinished) =
        ("1         done, and something was found", "3         the time passed with work unfinished");
    for arguments in
        [&["daemonry", "--help"][..], &["daemonry", "doctor", "--help"], &["daemonry", "dlq", "ls", "--help"]]
    {
        let said = help(command_line(), arguments);
        assert!(said.contains(done) && !said.contains(unfinished), "{said}");
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command_line()).render(&mut page).expect("a page");
    assert!(String::from_utf8_lossy(&page).contains("the answer to a question was no"));
}

#[test]
fn config_print_shows_what_is_in_force_of_any_program_without_secrets() {
    let text = "kafka: {main: {brokers: a:1, group: shop, properties: {sasl.password: hush}}}\ndaemons: {orders: {workers: 3}}\napp: {mine: 1}";
    let (_directory, path) = file(text);
    let print = |set: &[&str]| {
        let set = set.iter().map(|set| (*set).to_owned()).collect();
        let sources = config::Config::Print(File { path: path.clone(), set });
        sources.text()
    };
    let printed = print(&["daemons.orders.workers=32"]).expect("it is right");
    assert!(
        printed.contains("workers: 32") && printed.contains("mine: 1") && printed.contains("drain: 30s"),
        "{printed}"
    );
    assert!(!printed.contains("hush"), "{printed}");
    let Err(Failure::Configuration(faults)) = print(&["daemons.orders.worker=32"]) else { panic!("it was taken") };
    assert!(faults.to_string().contains("did you mean `workers`?"), "{faults}");
    let arguments = ["daemonry", "config", "print", "--config", "nowhere.yaml"];
    assert_eq!(run_with(arguments), Exit::Misconfigured);
}

#[test]
fn config_schema_takes_what_any_program_may_be_configured_with() {
    let schema: serde_json::Value =
        serde_json::from_str(&config::Config::Schema.text().expect("there is one")).expect("it is JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let right = serde_json::json!({
        "kafka": {"main": {"brokers": "a:1", "group": "shop"}},
        "daemons": {"orders": {"workers": 3, "topics": {"orders.created": {"timeout": "3s"}}}, "others": null},
        "app": {"mine": 1},
    });
    assert!(
        validator.is_valid(&right),
        "{:?}",
        validator.iter_errors(&right).map(|error| error.to_string()).collect::<Vec<_>>()
    );
    for wrong in [serde_json::json!({"daemons": {"orders": {"worker": 3}}}), serde_json::json!({"kafk": {}})] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}
