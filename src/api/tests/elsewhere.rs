//! Daemons that run in another process of the fleet: whichever process is asked steers them.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde_json::{Value, json};

use super::pages::page;
use super::*;
use crate::fleet::{DEFAULT_REPORTS, FleetConfig};
use crate::pipeline::control::Rate;
use crate::record::{OwnedRecord, Timestamp};
use crate::testing::MemoryBroker;

#[test]
fn whichever_process_is_asked_steers_what_another_one_runs() {
    let broker = MemoryBroker::new();
    let fleet = || Some(FleetConfig::in_memory(&broker).every(Duration::from_millis(20)));
    let one = Scene::within(open(), fleet());
    // One that has other daemons, and one where it has not begun.
    let others = [["bills", "clock"], ["bills", "orders"]];
    for asked in others.map(|names| Scene::running(names, open(), fleet(), Control::new())) {
        until(|| (asked.get("/api/v1/fleet").json()["instances"].as_array()?.len() >= 2).then_some(()));
        let post = |how: &str, body: Value| asked.post(&format!("/api/v1/daemons/orders/{how}"), &body);
        let paused = post("pause", json!({"topic": "created", "reason": "poison"}));
        assert_eq!(paused.status, 200, "{paused:?}");
        let paused = paused.json();
        assert_eq!(
            (&paused["paused"], &paused["trouble"]),
            (&json!([{"topic": "created", "partition": null}]), &Value::Null)
        );
        assert_eq!(one.control.paused(), [Scope::Topic("created".into())]);
        let limited = post("limits", json!({"rate": {"attempts": 5, "interval": 1_000}, "reason": "slowly"}));
        assert_eq!(limited.json()["limits"]["rate"]["attempts"], 5, "{limited:?}");
        assert_eq!(one.control.rate().map(Rate::attempts), Some(5));
        let scaled = post("workers", json!({"workers": 2, "reason": "slowly"}));
        assert_eq!(scaled.json()["workers"], 2, "{scaled:?}");
        assert_eq!(one.control.workers(), NonZeroUsize::new(2));
        let skipped = post("skip", json!({"topic": "created", "partition": 0, "offset": 7, "reason": "poison"}));
        assert_eq!(skipped.status, 200, "{skipped:?}");
        let sought = post("seek", json!({"topic": "created", "partition": 0, "to": "end", "reason": "x"}));
        assert!(
            sought.status == 409 && sought.body.contains("no process that is heard of has created[0]"),
            "{sought:?}"
        );
        assert_eq!(post("resume", json!({"reason": "mended"})).json()["paused"], json!([]));
        for (how, body) in
            [("limits", json!({"rate": null, "reason": "x"})), ("workers", json!({"workers": null, "reason": "x"}))]
        {
            assert_eq!(post(how, body).status, 200);
        }
        assert_eq!((one.control.paused(), one.control.rate(), one.control.workers()), (Vec::new(), None, None));

        let unknown = asked.post("/api/v1/daemons/order/pause", &json!({"reason": "x"}));
        assert!(unknown.status == 404 && unknown.body.contains("there is no daemon `order`"), "{unknown:?}");
    }
}

#[test]
fn failures_of_the_same_kind_are_one_row_however_many_processes_have_them() {
    let broker = MemoryBroker::new();
    broker.create_topic(DEFAULT_REPORTS, 1);
    let one = Scene::within(open(), Some(FleetConfig::in_memory(&broker)));
    let id = one.get("/api/v1/instance").json()["id"].as_str().expect("a name").to_owned();
    let own = one.get(&format!("/api/v1/fleet/{id}")).json();
    let now = Timestamp::now().as_millis();
    // Two have the same, and one of them has another as well.
    for (number, count, first, last) in [(1_u64, 40, 7_200_000, 60_000), (2, 2, 90_000, 30_000)] {
        let mut told = own.clone();
        told["instance"]["id"] = json!(format!("shop-{number}"));
        told["instance"]["host"] = json!(format!("host-{number}"));
        let failure = |fingerprint: &str, error: &str| {
            json!({
                "fingerprint": fingerprint, "topic": "created", "handler": "create", "reason": "error", "pattern": error,
                "count": count, "first": now - first, "last": now - last,
                "example": {"partition": number, "offset": 7, "attempt": 1, "error": format!("{error} of {number}")},
            })
        };
        let mut failures = vec![failure("aa", "no tax")];
        failures.extend((number == 2).then(|| failure("bb", "no disk")));
        told["daemons"][0]["failures"] = Value::from(failures);
        let record = OwnedRecord::new(told.to_string()).with_key(format!("shop-{number}"));
        broker.produce(DEFAULT_REPORTS, 0, OwnedRecord { timestamp: Some(Timestamp::now()), ..record });
    }
    until(|| (one.get("/api/v1/fleet").json()["instances"].as_array()?.len() == 3).then_some(()));
    for path in ["/errors", "/daemons/orders"] {
        let body = page(&one, path).body;
        let rows: Vec<&str> =
            body.split("<tr>").filter(|row| row.contains("no tax") || row.contains("no disk")).collect();
        let [tax, disk] = &rows[..] else { panic!("{path}: {rows:?}") };
        for told in [">42<", "in 2 processes", "no tax of 2", "2 h 0 min ago", "30 s ago"] {
            assert!(tax.contains(told), "{path}: {told} in {tax}");
        }
        assert!(disk.contains(">2<") && disk.contains("host-2 · "), "{path}: {disk}");
    }
}
