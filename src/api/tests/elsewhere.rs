//! Daemons that run in another process of the fleet: whichever process is asked steers them.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::fleet::FleetConfig;
use crate::pipeline::control::Rate;
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
