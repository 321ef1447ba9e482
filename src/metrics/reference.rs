//! The reference of the metrics: each with its type, its labels and what it says, from the instruments themselves.

use std::collections::BTreeMap;
use std::fmt::Write;

use prometheus::proto::{MetricFamily, MetricType};

use super::Metrics;
use super::names::{DAEMON, PARTITION, TOPIC};
use crate::record::TopicPartition;

/// What stands above the table.
const HEAD: &str = "# Metrics

What `/metrics` of the admin server exposes, in the text format of Prometheus. Made from the instruments themselves.

`daemon_name` is the daemon's name. A series of a `topic` and `partition` is there while the partition is assigned to the process, and
goes with it; one of a `topic` alone is a route's, by its topic or its pattern's text. All values of the other labels are exposed from the start, so that a rate sees the first event. Those that begin with
`process_` are exposed on Linux.

| metric | type | labels | meaning |
|---|---|---|---|
";

/// Every metric there is, as Markdown.
///
/// ```
/// assert!(daemonry::metrics::reference().contains("| `daemon_queue_depth` | gauge | `daemon_name` |"));
/// ```
pub fn reference() -> String {
    let metrics = Metrics::new();
    let daemon = metrics.daemon("");
    let _partition = daemon.partition(&TopicPartition::new("", 0));
    let _breaker = daemon.circuit_breaker("");
    let mut text = HEAD.to_owned();
    for family in metrics.registry.gather() {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            _ => "gauge",
        };
        let (name, labels) = (family.name(), labels(&family));
        writeln!(text, "| `{name}` | {kind} | {labels} | {} |", family.help())
            .expect("a text takes all that is written");
    }
    text
}

/// A family's labels, with their values where these are known.
fn labels(family: &MetricFamily) -> String {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for label in family.get_metric().iter().flat_map(|metric| metric.get_label()) {
        let values = found.entry(label.name()).or_default();
        if !values.contains(&label.value()) {
            values.push(label.value());
        }
    }
    let labels = found.into_iter().map(|(name, values)| match name {
        DAEMON | TOPIC | PARTITION | "version" => format!("`{name}`"),
        _ => {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{name}`: {}", values.join(", "))
        }
    });
    labels.collect::<Vec<_>>().join("; ")
}
