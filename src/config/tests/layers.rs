//! What counts more: defaults, file, environment, command line.

use super::{REST, check_with, loaded};
use crate::config::Config;
use crate::telemetry::LogFormat;

#[track_caller]
fn config(text: &str, variables: &[(&str, &str)], flags: &[&str]) -> Config {
    match loaded(&format!("{text}{REST}"), variables, flags) {
        Ok(loaded) => loaded.config,
        Err(faults) => panic!("{faults}"),
    }
}

#[test]
fn later_sources_count_more() {
    let workers = |text: &str, variables: &[(&str, &str)], flags: &[&str]| {
        let text = format!(
            "kafka: {{main: {{brokers: \"a:1\", group: shop}}}}\ndaemons: {{ticker: {{}}, orders: {{{text}}}}}\n"
        );
        let loaded = loaded(&text, variables, flags).unwrap_or_else(|faults| panic!("{faults}"));
        loaded.config.consumers["orders"].pipeline.workers
    };
    let variables = [("DAEMONRY__DAEMONS__ORDERS__WORKERS", "30")];
    assert_eq!(workers("", &[], &[]), 10);
    assert_eq!(workers("workers: 20", &[], &[]), 20);
    assert_eq!(workers("workers: 20", &variables, &[]), 30);
    assert_eq!(workers("workers: 20", &variables, &["daemons.orders.workers=40"]), 40);
    assert_eq!(workers("workers: 20", &variables, &["daemons.orders.workers=40", "daemons.orders.workers=50"]), 50);
    // Empty: nothing was said.
    assert_eq!(workers("workers: \"${WORKERS:-20}\"", &[], &[]), 20);
    assert_eq!(workers("workers: \"${WORKERS:-20}\"", &[("WORKERS", "25")], &[]), 25);
}

#[test]
fn log_filter_of_the_environment_counts_more_than_the_file() {
    let text = "log: {filter: warn, format: json}";
    assert_eq!(config(text, &[], &[]).log_filter, "warn");
    assert_eq!(config(text, &[("RUST_LOG", "debug")], &[]).log_filter, "debug");
    assert_eq!(config(text, &[("RUST_LOG", "")], &[]).log_filter, "warn");
    assert_eq!(config(text, &[("RUST_LOG", "debug"), ("DAEMONRY__LOG__FILTER", "info")], &[]).log_filter, "info");
    assert_eq!(config(text, &[("RUST_LOG", "debug")], &["log.filter=trace"]).log_filter, "trace");
    assert_eq!(config(text, &[], &[]).log_format, LogFormat::Json);
}

#[test]
fn each_loss_has_a_policy_of_its_own() {
    use crate::kafka::LossPolicy::{Earliest, Latest, Stop};
    let policies = |text: &str, variables: &[(&str, &str)], flags: &[&str]| {
        let text = format!(
            "kafka: {{main: {{brokers: \"a:1\", group: shop{text}}}}}\ndaemons: {{orders: {{}}, ticker: {{}}}}\n"
        );
        let loaded = loaded(&text, variables, flags).unwrap_or_else(|faults| panic!("{faults}"));
        let kafka = loaded.config.kafka("main").expect("it is configured");
        (kafka.out_of_range, kafka.truncated, kafka.recreated)
    };
    assert_eq!(policies("", &[], &[]), (Stop, Stop, Stop));
    let text = ", out_of_range: earliest, truncated: latest, recreated: earliest";
    assert_eq!(policies(text, &[], &[]), (Earliest, Latest, Earliest));
    let variables = [("DAEMONRY__KAFKA__MAIN__TRUNCATED", "earliest")];
    assert_eq!(policies(text, &variables, &["kafka.main.recreated=stop"]), (Earliest, Earliest, Stop));
}

#[test]
fn names_with_dots_and_dashes_are_found() {
    let kafka = "kafka: {main-eu.1: {brokers: \"a:1\", group: shop}}\ndaemons: {orders: {}, ticker: {}}\n";
    for (variables, flags) in [
        (&[("DAEMONRY__KAFKA__MAIN_EU_1__BROKERS", "b:2")][..], &[][..]),
        (&[], &["kafka.main-eu.1.brokers=b:2"]),
        (&[], &["kafka.\"main-eu.1\".brokers=b:2"]),
    ] {
        let loaded = loaded(kafka, variables, flags).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(loaded.config.kafka("main-eu.1").map(|kafka| kafka.brokers.as_str()), Some("b:2"));
    }
    for (variables, flags) in [
        (&[("DAEMONRY__DAEMONS__ORDERS__TOPICS__ORDERS_CREATED__RETRIES__MAX", "9")][..], &[][..]),
        (&[], &["daemons.orders.topics.orders.created.retries.max=9"]),
        (&[], &["daemons.orders.topics.\"orders.created\".retries.max=9"]),
    ] {
        let config = config("", variables, flags);
        assert_eq!(config.consumers["orders"].changes["orders.created"].max_retries, Some(9));
    }
    for (variables, flags) in [
        (&[("DAEMONRY__KAFKA__MAIN__PROPERTIES__CLIENT_RACK", "b")][..], &[][..]),
        (&[], &["kafka.main.properties.client.rack=b"]),
        (&[], &["kafka.main.properties.\"client.rack\"=b"]),
    ] {
        let shown = format!("{:?}", config("", variables, flags).kafka("main"));
        assert!(shown.contains("\"client.rack\": \"b\""), "{shown}");
    }
}

#[test]
fn own_section_can_be_set_too() {
    let variables = [("DAEMONRY__APP__CURRENCY", "USD"), ("DAEMONRY__APP__LOG__LEVEL", "high")];
    check_with(&format!("app: {{}}{REST}"), &variables, &["app.prices.tea=4"], "ok");
    check_with(
        &format!("app: {{}}{REST}"),
        &[("DAEMONRY__APP__CURENCY", "USD")],
        &[],
        "DAEMONRY__APP__CURENCY: app.curency: unknown key, did you mean `currency`? allowed: address, api_key, currency, hosts, log, prices, secrets",
    );
}

#[test]
fn values_are_taken_as_they_are() {
    let config =
        config("", &[("DAEMONRY__KAFKA__MAIN__GROUP", "a$${b}"), ("DAEMONRY__KAFKA__MAIN__INSTANCE_ID", "007")], &[]);
    let kafka = config.kafka("main").expect("it is there");
    assert_eq!((kafka.group.as_str(), kafka.instance_id.as_deref()), ("a$${b}", Some("007")));
}

#[test]
fn empty_value_leaves_the_default() {
    let text = "kafka:\n  main:\n    brokers: a:1\n    group: shop\n    instance_id: ${INSTANCE:-}\ndaemons: {orders: {}, ticker: {}}\n";
    let loaded = loaded(text, &[], &[]);
    let loaded = loaded.unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(loaded.config.kafka("main").and_then(|kafka| kafka.instance_id.clone()), None);
}

#[test]
fn variables_that_name_nothing_are_told() {
    let check = |name: &str, expected: &str| check_with(REST, &[(name, "1")], &[], &format!("{name}: {expected}"));
    check(
        "DAEMONRY__DAEMON__ORDERS__WORKERS",
        "names no key: `daemon` is unknown, did you mean `daemons`? allowed: admin, api, daemons, fleet, kafka, log, restart, stop, app",
    );
    check(
        "DAEMONRY__DAEMONS__ORDER__WORKERS",
        "names no name below `daemons`: `order` is unknown, did you mean `orders`? allowed: orders, ticker",
    );
    check("DAEMONRY__KAFKA__OTHER__BROKERS", "names no name below `kafka`: `other` is unknown, allowed: main");
    check(
        "DAEMONRY__DAEMONS__ORDERS__TOPICS__ORDERS__TIMEOUT",
        "names no name below `daemons.orders.topics`: `orders` is unknown, allowed: orders.cancelled, orders.created",
    );
    check("DAEMONRY__LOG", "names the section `log`, allowed: one of its keys filter, format");
    check("DAEMONRY__DAEMONS", "names the section `daemons`, allowed: a name below it, and then a key");
    check("DAEMONRY__LOG__FORMAT__X", "goes on after `log.format`, which is a single value: end it there");
    check(
        "DAEMONRY__DAEMONS__ORDERS__TOPICS__ORDERS_CREATED__ORDER",
        "daemons.orders.topics.\"orders.created\".order: is `1`, allowed: partition, key, unordered",
    );
    check(
        "DAEMONRY__STOP__DRAIN",
        "stop.drain: is `1`, allowed: a duration with its unit, as in `30s`, `500ms`, `10min` or `1h30min`",
    );
}

#[test]
fn flags_that_name_nothing_are_told() {
    let check = |flag: &str, expected: &str| check_with(REST, &[], &[flag], &format!("--set: {expected}"));
    check("daemons.orders.workers", "has no `=`, allowed: KEY=VALUE, as in `daemons.orders.workers=32`");
    check(
        "daemons.orders.wrokers=3",
        "names no key below `daemons.orders`: `wrokers` is unknown, did you mean `workers`? allowed: cluster, commit_after, commit_interval, crash_quarantine, enabled, group, handler_threads, high_mark, low_mark, missing_dead_letter_topic, overrides, parked_bytes, parked_records, queue_bytes, queue_records, read_error_wait, read_timeout, rebalance_drain, scaling, stall_after, topics, workers",
    );
    check(
        "=3",
        "names the section ``, allowed: one of its keys admin, api, daemons, fleet, kafka, log, restart, stop, app",
    );
    check("daemons.orders.workers=many", "daemons.orders.workers: is `many`, allowed: a whole number, 0 or more");
}

#[test]
fn override_stands_in_for_a_variable_that_is_missing() {
    check_with(&format!("log: {{filter: \"${{NONE}}\"}}{REST}"), &[("RUST_LOG", "info")], &[], "ok");
}

#[test]
fn default_settings_are_the_codes() {
    let config = config("", &[], &[]);
    let orders = &config.consumers["orders"];
    assert_eq!(orders.pipeline, crate::pipeline::PipelineSettings::default());
    assert_eq!(orders.changes, crate::config::RouteChanges::new());
    assert_eq!(config.restart, crate::supervisor::RestartPolicy::default());
    let kafka = crate::kafka::KafkaConfig::new("localhost:9092", "shop").property("security.protocol", "plaintext");
    assert_eq!(format!("{:?}", orders.kafka), format!("{kafka:?}"));
    assert_eq!(
        (config.admin, config.drain.as_secs(), config.grace.as_secs()),
        (Some(crate::admin::DEFAULT_ADDRESS), 30, 12)
    );
}

#[test]
fn each_daemon_reads_its_own_cluster_as_a_member_of_its_own_group() {
    let router = || crate::handler::Router::<()>::new().topic("a", crate::handler::on(super::handle));
    let (orders, audit) = (router(), router());
    let daemons =
        vec![("orders", crate::config::Reads::Topics(&orders)), ("audit__v2", crate::config::Reads::Topics(&audit))];
    let program = crate::config::Program { name: "shop", daemons, app: None };
    let text = "\
kafka:
  default: {brokers: \"a:1\", group: shop}
  eu: {brokers: \"b:2\", security: sasl_plaintext, sasl: {mechanism: PLAIN, username: u, password: p}}
daemons:
  orders: {}
  audit__v2: {cluster: eu, group: audit}
";
    // Two underscores of a name's own are no end of it.
    let variables = [("DAEMONRY__DAEMONS__AUDIT__V2__WORKERS", "3")].into();
    let sources = crate::config::Sources { file: "shop.yaml", text, variables: &variables, flags: &[] };
    let config = crate::config::load(sources, &program).unwrap_or_else(|faults| panic!("{faults}")).config;
    let of = |daemon: &str| config.kafka_of(daemon).expect("it is a consumer").clone();
    assert_eq!((of("orders").brokers, of("orders").group), ("a:1".to_owned(), "shop".to_owned()));
    assert_eq!((of("audit__v2").brokers, of("audit__v2").group), ("b:2".to_owned(), "audit".to_owned()));
    assert_eq!(config.consumers["audit__v2"].pipeline.workers, 3);
    assert!(of("audit__v2").properties().any(|property| property == ("security.protocol", "sasl_plaintext")));
    assert!(!of("orders").properties().any(|property| property.0.starts_with("sasl")));
}
