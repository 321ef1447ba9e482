//! Links to records: who is led to one, and to which.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};

use super::{Scene, guarded, text, until};
use crate::api::Role;
use crate::dead_letters::samples::letter_of;
use crate::fleet::{DEFAULT_REPORTS, FleetConfig};
use crate::record::{OwnedRecord, Timestamp};
use crate::testing::MemoryBroker;

/// What a live page sends first.
fn live(scene: &Scene, role: Role, path: &str) -> String {
    let mut stream = TcpStream::connect(scene.server.address()).expect("it listens");
    let (host, token) = (scene.server.address(), text(role));
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let (mut told, mut read) = (Vec::new(), [0; 4_096]);
    loop {
        let text = String::from_utf8_lossy(&told);
        if let Some((_, event)) = text.split_once("data:")
            && event.contains("\n\n")
        {
            return event.to_owned();
        }
        let length = stream.read(&mut read).expect("it goes on");
        assert!(length > 0, "{path} as {role}: {text}");
        told.extend_from_slice(&read[..length]);
    }
}

#[test]
fn nobody_is_led_to_a_record_that_they_are_refused_or_that_is_not_to_be_had_here() {
    let broker = MemoryBroker::new();
    broker.create_topic(DEFAULT_REPORTS, 1);
    let daemon = super::topics::daemon(1);
    daemon.broker().create_topic("orders.dlq", 1);
    daemon.broker().produce("orders.dlq", 0, letter_of(OwnedRecord::new("{}")));
    let fleet = FleetConfig::in_memory(&broker).every(Duration::from_millis(20));
    let scene = Scene::of(guarded(), Some(fleet), daemon.control().clone());
    let ask = |role: Role, path: &str| scene.send_as(Some(&text(role)), &Method::GET, path, "");
    until(|| daemon.control().reading().and(daemon.control().view()));
    daemon.control().letters().go_to(&"orders.dlq".into(), daemon.broker());

    // Another process reads what this one does, and one topic more.
    let id = ask(Role::Viewer, "/api/v1/instance").json()["id"].as_str().expect("an id").to_owned();
    let mut told = ask(Role::Viewer, &format!("/api/v1/fleet/{id}")).json();
    (told["instance"]["id"], told["instance"]["host"]) = (json!("other"), json!("other"));
    let (topics, now) = (["orders", "bills"], Timestamp::now().as_millis());
    told["daemons"][0]["attempts"] = topics
        .iter()
        .map(|topic| {
            json!({
                "worker": 0, "handler": "h", "topic": topic, "partition": 0, "offset": 7, "runs": 9, "timeout": null,
                "overdue": false,
            })
        })
        .collect();
    told["daemons"][0]["failures"] = topics
        .iter()
        .map(|topic| {
            json!({
                "fingerprint": topic, "topic": topic, "handler": "h", "reason": "error", "pattern": "no", "count": 1,
                "first": now, "last": now, "example": {"partition": 0, "offset": 7, "attempt": 1, "error": "no"},
            })
        })
        .collect();
    let partition = |topic: &&str| {
        json!({
            "topic": topic, "partition": 0, "lag": 0, "behind": 0, "position": 0, "committed": 0, "oldest_unfinished": 7,
            "unfinished": 0, "queued": 0, "parked": 0, "busy": 0, "lanes": 0, "deepest_lane": 0, "held": null,
            "stalled": null, "probation": false, "waits": null, "silent": false, "finished": 0, "uncommitted": 0,
            "finished_ahead": 0,
        })
    };
    told["daemons"][0]["partitions"] = topics.iter().map(partition).collect::<Value>();
    let record = OwnedRecord::new(told.to_string()).with_key("other");
    broker.produce(DEFAULT_REPORTS, 0, OwnedRecord { timestamp: Some(Timestamp::now()), ..record });
    until(|| (ask(Role::Viewer, "/api/v1/fleet").json()["instances"].as_array()?.len() == 2).then_some(()));

    let [to_orders, to_bills] = topics.map(|topic| format!("href=\"/topics/{topic}/"));
    let check = |role: Role, path: &str, body: &str| {
        assert!(body.contains("orders"), "{path} as {role}: {body}");
        assert_eq!(body.contains(&to_orders), role >= Role::Operator, "{path} as {role}: {body}");
        assert!(!body.contains(&to_bills), "{path} as {role}: {body}");
    };
    for path in ["/workers", "/errors", "/daemons/orders", "/fleet/other"] {
        // Whoever may see the most looks first: what was rendered for them is shown to nobody else.
        for role in [Role::Admin, Role::Viewer, Role::Operator] {
            check(role, path, &ask(role, path).body);
            check(role, path, &live(&scene, role, &format!("/live{path}")));
        }
    }
    let letter = "/daemons/orders/letters/orders.dlq/0/0";
    for role in [Role::Admin, Role::Viewer] {
        check(role, letter, &ask(role, letter).body);
    }
    let refused = ask(Role::Admin, "/api/v1/audit").json()["entries"].as_array().cloned().unwrap_or_default();
    let refused: Vec<_> = refused.iter().filter(|entry| entry["status"] == 403).collect();
    assert!(refused.is_empty(), "{refused:?}");
}
