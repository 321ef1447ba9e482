//! What stands in `deploy/` fits the program: its configuration can work, the pod is given the time that a stop may take, probes and
//! alerts ask for what there is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use daemonry::metrics::Metrics;
use daemonry::record::TopicPartition;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn read(path: &str) -> String {
    let path = deploy().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the program says of the cluster's configuration, and whether it succeeded.
fn handlers(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handlers"));
    command.args(arguments).arg("--config").arg(deploy().join("k8s/shop.yaml")).env_clear().stdin(Stdio::null());
    let output = command.output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("it is text"))
}

/// The values of all lines `key: value`, whatever their indent.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines()
        .filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix(key)?.strip_prefix(": "))
        .collect()
}

#[test]
fn cluster_configuration_can_work() {
    let (ok, said) = handlers(&["check"]);
    assert!(ok, "{said}");
}

#[test]
fn cluster_is_answered_at_the_port_of_the_pod_and_a_stop_fits_its_grace_period() {
    let (ok, printed) = handlers(&["config", "print"]);
    assert!(ok, "{printed}");
    let deployment = read("k8s/deployment.yaml");
    let port = values(&deployment, "containerPort")[0];
    // The API is for whoever is in the pod: it asks nobody who they are.
    assert_eq!(values(&printed, "address"), [format!("0.0.0.0:{port}"), "127.0.0.1:9466".to_owned()]);

    let seconds = |text: &str| text.trim_end_matches('s').parse::<u32>().expect("seconds");
    let stop = seconds(values(&printed, "drain")[0]) + seconds(values(&printed, "grace")[0]);
    let grace = seconds(values(&deployment, "terminationGracePeriodSeconds")[0]);
    assert!(stop < grace, "the program may take {stop} s, and is killed after {grace} s");
    assert!(stop < seconds(values(&read("compose.yml"), "stop_grace_period")[0]));
}

#[test]
fn alerts_name_metrics_that_there_are() {
    let metrics = Metrics::new();
    let _partition = metrics.daemon("orders").partition(&TopicPartition::new("orders.created", 0));
    let _breaker = metrics.daemon("orders").circuit_breaker("orders.created");
    let exposed = metrics.render();
    let mut named = 0;
    for expression in values(&read("prometheus/alerts.yml"), "expr") {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("daemon_") && *word != "daemon_name") {
            named += 1;
            assert!(exposed.contains(&format!("# TYPE {name} ")), "there is no metric `{name}`");
        }
        for label in expression.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            assert!(label.starts_with("job=") || exposed.contains(label), "no series has {label}");
        }
    }
    assert!(named >= 5, "only {named} were found");
}

#[test]
fn each_alert_has_its_section_in_the_runbook() {
    let alerts = read("prometheus/alerts.yml");
    let runbook = read("../docs/runbook.md");
    let names = values(&alerts, "alert");
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(runbook.lines().any(|line| line == format!("## {name}")), "{name}");
    }
}

#[test]
fn scaling_follows_the_groups_and_the_topics_that_are_read() {
    let (_, printed) = handlers(&["config", "print"]);
    let scaled = read("k8s/scaled-object.yaml");
    let (groups, topics) = (values(&scaled, "consumerGroup"), values(&scaled, "topic"));
    assert_eq!((groups.len(), topics.len()), (2, 2), "a trigger for each daemon");
    assert!(groups.iter().all(|group| values(&printed, "group").contains(group)), "{groups:?} in {printed}");
    assert!(topics.iter().all(|topic| printed.contains(&format!("{topic}:"))), "{topics:?} in {printed}");
    let brokers = values(&printed, "brokers")[0];
    assert!(values(&scaled, "bootstrapServers").iter().all(|server| *server == brokers), "{brokers}");
}
