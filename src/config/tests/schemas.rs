//! That the schema tells the truth: what the check takes it takes, and what the check refuses by a key or a type it refuses too.

use serde_json::Value;

use super::{REST, loaded, with_program};
use crate::config::{Fault, deserialize::Reader, key::KeyPath, schema, yaml};

fn json(text: &str) -> Value {
    let mut faults: Vec<Fault> = Vec::new();
    let tree = yaml::parse("shop.yaml", text, &mut faults).unwrap_or_else(|fault| panic!("{fault}"));
    serde::Deserialize::deserialize(Reader::new(&tree, KeyPath::default())).expect("any value is JSON")
}

fn is_valid(text: &str) -> bool {
    let schema = with_program(schema);
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    validator.is_valid(&json(text))
}

#[track_caller]
fn both_take(text: &str) {
    if let Err(faults) = loaded(text, &[], &[]) {
        panic!("the check refuses it: {faults}");
    }
    assert!(is_valid(text), "the schema refuses it: {text}");
}

#[track_caller]
fn both_refuse(text: &str) {
    let text =
        if text.contains("kafka") || text.contains("daemons") { text.to_owned() } else { format!("{text}{REST}") };
    assert!(loaded(&text, &[], &[]).is_err(), "the check takes it: {text}");
    assert!(!is_valid(&text), "the schema takes it: {text}");
}

#[test]
fn schema_is_one() {
    assert!(jsonschema::meta::is_valid(&with_program(schema)));
}

#[test]
fn what_can_work_is_valid() {
    both_take(REST);
    both_take(&format!(
        "log: {{format: json, filter: debug}}\nstop: {{drain: 1min30s, grace: 500ms}}\nadmin: {{address: \"[::]:80\"}}{REST}"
    ));
    both_take(&format!(
        "stop: {{drain: \"${{DRAIN:-30s}}\"}}\nrestart: {{max: \"${{MAX:-3}}\"}}\nlog: {{format: \"${{F:-json}}\"}}{REST}"
    ));
    both_take("kafka: {main: {brokers: \"a:1\", group: g, start: latest, metadata_limit: 4096B, properties: {a.b: 1, c: true, client.id: x}}}\ndaemons: {orders: {}, ticker: {}}".replace("a.b: 1, c: true, ", "fetch.min.bytes: 1, socket.keepalive.enable: true, ").as_str());
    both_take(
        "kafka: {main: {brokers: \"a:1\", group: g}}\ndaemons:\n  ticker:\n  orders: {workers: 3, high_mark: 0.9, topics: {orders.created: {order: key, timeout: 3s, retries: {max: 0, jitter: 0}}}}",
    );
    both_take(&format!("app: {{currency: USD}}{REST}"));
    both_take(
        "kafka: {main: {brokers: \"a:1\", group: g}}\ndaemons: {ticker: {}, orders: {workers: 64, queue_records: 200, scaling: {mode: latency, min: 4, cool_down: 5s, tolerance: 2}}}",
    );
}

#[test]
fn sample_is_valid() {
    let reads = |topic| crate::handler::Router::<()>::new().topic(topic, crate::handler::on(super::handle));
    let (orders, shipments) = (reads("orders.created"), reads("shipments.requested"));
    let reads = crate::config::Reads::Topics;
    let daemons = vec![("orders", reads(&orders)), ("shipments", reads(&shipments))];
    let schema = schema(&crate::config::Program { name: "handlers", daemons, app: None });
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    let sample = json(include_str!("../../../config/shop.yaml"));
    assert!(
        validator.is_valid(&sample),
        "{:?}",
        validator.iter_errors(&sample).map(|error| error.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn what_is_refused_by_key_or_type_is_not_valid() {
    for text in [
        "amdin: {}",
        "log: json",
        "log: {format: xml}",
        "log: {filter: 5}",
        "log: {colour: red}",
        "admin: {enabled: yes}",
        "admin: {address: here}",
        "stop: {drain: 30}",
        "stop: {drain: 30 s}",
        "stop: {drain: \"\"}",
        "restart: {max: -1}",
        "restart: {max: many}",
        "app: 5",
        "daemons: {orders: {}, tikcer: {}}",
        "daemons: {orders: {workers: 0}, ticker: {}}",
        "daemons: {orders: {workers: \"3\"}, ticker: {}}",
        "daemons: {orders: {wrokers: 3}, ticker: {}}",
        "daemons: {orders: {scaling: {mode: auto}}, ticker: {}}",
        "daemons: {orders: {scaling: {mode: queue, min: 0}}, ticker: {}}",
        "daemons: {orders: {scaling: {mode: queue, shrink_by: 2}}, ticker: {}}",
        "daemons: {orders: {queue_bytes: 64}, ticker: {}}",
        "daemons: {orders: {high_mark: 1.5}, ticker: {}}",
        "daemons: {orders: {handler_threads: 0}, ticker: {}}",
        "daemons: {orders: {missing_dead_letter_topic: ignore}, ticker: {}}",
        "daemons: {orders: {topics: {orders.create: {}}}, ticker: {}}",
        "daemons: {orders: {topics: {orders.created: {order: Sometimes}}}, ticker: {}}",
        "daemons: {orders: {topics: {orders.created: {retries: {jitter: 2}}}}, ticker: {}}",
        "daemons: {orders: {}, ticker: {workers: 3}}",
        "kafka: {main: {broker: a}}",
        "kafka: {main: {brokers: [a, b]}}",
        "kafka: {main: {protocol: classic}}",
        "kafka: {main: {security: tls}}",
        "kafka: {main: {sasl: {mechanism: GSSAPI}}}",
        "kafka: {main: {sasl: {password: 12345}}}",
        "kafka: {main: {tls: {ca: x}}}",
        "kafka: {main: {properties: {client.rack: [a]}}}",
    ] {
        both_refuse(text);
    }
}
