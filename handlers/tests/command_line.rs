//! The program as its users run it: what it says, and its exit codes.

use std::path::Path;
use std::process::{Command, Output, Stdio};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/shop.yaml");

fn handlers(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handlers"));
    for name in ["KAFKA_BROKERS", "KAFKA_GROUP", "ADMIN_ADDRESS", "API_ADDRESS", "RUST_LOG"] {
        command.env_remove(name);
    }
    command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null()).output().expect("it runs")
}

/// Exit code, standard output, standard error.
fn said(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = handlers(arguments, variables);
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    (status.code(), text(stdout), text(stderr))
}

fn written(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("shop.yaml");
    std::fs::write(&path, text).expect("it can be written");
    let path = path.to_str().expect("a path that is text").to_owned();
    (directory, path)
}

#[test]
fn check_of_the_sample_says_ok_and_ends_with_0() {
    let said = said(&["check", "--config", SAMPLE], &[]);
    assert_eq!(
        said,
        (Some(0), "ok: 2 daemons (orders, shipments) on 2 topics, 1 cluster (main)\n".to_owned(), String::new())
    );
}

#[test]
fn check_tells_every_error_and_ends_with_2_as_run_does() {
    let (_directory, path) = written(
        "\
kafka:
  main: {broker: localhost:9092}
daemons:
  orders:
    workers: 60
    topics:
      orders.created: {order: Sometimes}
  shipments: {enabled: false}
",
    );
    let expected = format!(
        "\
{path}:2:3: kafka.main.brokers: is empty, name one at least as `host:port`
{path}:2:10: kafka.main.broker: unknown key, did you mean `brokers`? allowed: brokers, expected_partitions, group, instance_id, instance_wait, \
max_poll_interval, metadata_limit, out_of_range, properties, protocol, recreated, sasl, security, session_timeout, start, tls, topic_refresh, truncated
{path}:4:3: daemons.orders.group: is missing: name the consumer group here, or in `kafka.main.group` for all daemons of the cluster
{path}:5:14: daemons.orders.queue_records: is `100`, the default, allowed: at least twice `workers`
{path}:7:31: daemons.orders.topics.\"orders.created\".order: is `Sometimes`, allowed: partition, key, unordered
DAEMONRY__DAEMONS__ORDER__WORKERS: names no name below `daemons`: `order` is unknown, did you mean `orders`? allowed: orders, shipments
handlers: 6 errors in the configuration
"
    );
    let variables = [("DAEMONRY__DAEMONS__ORDER__WORKERS", "3")];
    for command in [&["check"][..], &["run"], &["config", "print"]] {
        let arguments: Vec<&str> = command.iter().copied().chain(["--config", &path]).collect();
        assert_eq!(said(&arguments, &variables), (Some(2), String::new(), expected.clone()), "{command:?}");
    }
}

#[test]
fn file_that_is_not_there_ends_with_2() {
    for command in ["check", "run"] {
        let (code, output, errors) = said(&[command, "--config", "nowhere.yaml"], &[]);
        assert_eq!((code, output.as_str()), (Some(2), ""));
        assert_eq!(
            errors,
            "nowhere.yaml: can't be read: No such file or directory (os error 2)\nhandlers: 1 error in the configuration\n"
        );
    }
}

#[test]
fn command_line_that_is_none_ends_with_2_and_help_with_0() {
    for arguments in [&[][..], &["runn"], &["run"], &["config"], &["check", "--config"], &["demo", "--what"]] {
        let (code, output, errors) = said(arguments, &[]);
        assert_eq!((code, output.as_str(), errors.is_empty()), (Some(2), "", false), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["run", "--help"], &["config", "--help"]] {
        let (code, output, errors) = said(arguments, &[]);
        assert_eq!((code, output.is_empty(), errors.as_str()), (Some(0), false, ""), "{arguments:?}");
    }
}

#[test]
fn print_shows_what_is_in_force() {
    let variables = [
        ("KAFKA_BROKERS", "kafka:9092"),
        ("DAEMONRY__DAEMONS__ORDERS__WORKERS", "32"),
        ("DAEMONRY__KAFKA__MAIN__SECURITY", "sasl_plaintext"),
        ("DAEMONRY__KAFKA__MAIN__SASL__MECHANISM", "PLAIN"),
        ("DAEMONRY__KAFKA__MAIN__SASL__USERNAME", "shop"),
        ("DAEMONRY__KAFKA__MAIN__SASL__PASSWORD", "c4n4ry"),
    ];
    let flags = ["config", "print", "--config", SAMPLE, "--set", "daemons.orders.topics.orders.created.retries.max=9"];
    let (code, output, errors) = said(&flags, &variables);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    for line in ["brokers: kafka:9092", "workers: 32", "max: 9", "dead_letter: orders.created.dlq", "password: \"***\""]
    {
        assert!(output.contains(line), "no `{line}` in\n{output}");
    }
    assert!(!output.contains("c4n4ry"), "{output}");
    // It can be used as it is.
    let (_directory, path) = written(&output);
    assert_eq!(said(&["check", "--config", &path], &[]).0, Some(0));
}

#[test]
fn schema_and_reference_are_printed() {
    let (code, output, errors) = said(&["config", "schema"], &[]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let schema: serde_json::Value = serde_json::from_str(&output).expect("it is JSON");
    assert!(schema["properties"]["daemons"]["properties"]["orders"]["properties"]["workers"].is_object(), "{output}");

    let (code, output, errors) = said(&["config", "reference"], &[]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md");
    assert_eq!(output, std::fs::read_to_string(committed).expect("it is there"));
}
