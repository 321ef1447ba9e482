//! Overrides: what is changed is listed with who, why and until when, and taken back by its name.

use std::io::Write as _;
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::{Value, json};

use super::pages::{form, page};
use super::{Scene, text};
use crate::api::{ApiConfig, Role};
use crate::fleet::{DEFAULT_REPORTS, FleetConfig};
use crate::pipeline::control::{Rate, Scope};
use crate::record::{OwnedRecord, Timestamp, TopicPartition};
use crate::testing::MemoryBroker;

const DAY: u64 = 24 * 3_600_000;

fn listed(scene: &Scene) -> Vec<Value> {
    scene.get("/api/v1/overrides").json()["overrides"].as_array().cloned().unwrap_or_default()
}

fn detail(answer: &super::Answer) -> (u16, String) {
    (answer.status, answer.json()["detail"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn what_is_changed_is_listed_the_latest_first_and_lifted_by_its_name() {
    let scene = Scene::open();
    let paused = scene.post(
        "/api/v1/daemons/orders/pause",
        &json!({"topic": "created", "key": "customer-7", "reason": "poison", "lasts": 60_000}),
    );
    assert_eq!(paused.json()["paused"], json!([{"topic": "created", "partition": null, "key": "customer-7"}]));
    assert_eq!(paused.json()["reached"][0]["obeys"], json!(true));
    assert_eq!(paused.json()["trouble"], Value::Null);
    assert_eq!(scene.control.paused(), [Scope::Key("created".into(), b"customer-7".to_vec())]);
    let scaled = scene.post("/api/v1/daemons/orders/workers", &json!({"workers": 3, "reason": "the database"})).json();
    assert_eq!(scaled["workers"], json!(3));
    assert_eq!(scene.control.workers(), NonZeroUsize::new(3));

    let all = listed(&scene);
    let lasts = |of: &Value| of["until"].as_u64().zip(of["at"].as_u64()).map(|(until, at)| until - at);
    assert_eq!(all.iter().map(lasts).collect::<Vec<_>>(), [Some(DAY), Some(60_000)]);
    assert_eq!((&all[0]["change"], &all[0]["by"]), (&json!({"workers": 3}), &json!("local")));
    assert_eq!((&all[1]["reason"], &all[1]["daemon"]), (&json!("poison"), &json!("orders")));
    assert!(scene.get("/api/v1/overrides").json()["alone"].is_string(), "it says that it holds here alone");

    let lift = format!("/api/v1/overrides/{}/lift", all[0]["id"].as_str().expect("a name"));
    let lifted = scene.post(&lift, &json!({"reason": "mended"}));
    assert_eq!(lifted.json()["lifted"]["id"], all[0]["id"]);
    assert_eq!(scene.control.workers(), None);
    assert_eq!(listed(&scene).len(), 1);
    let (status, told) = detail(&scene.post(&lift, &json!({"reason": "again"})));
    assert!(status == 404 && told.contains("/api/v1/overrides"), "{status} {told}");
    assert_eq!(
        scene.get("/api/v1/audit").json()["entries"][1]["detail"],
        json!("lifted workers 3 of orders, by local: mended")
    );
    scene.post("/api/v1/daemons/orders/resume", &json!({"topic": "created", "reason": "mended"}));
    assert!(listed(&scene).is_empty() && scene.control.paused().is_empty());
}

#[test]
fn a_later_limit_takes_the_place_of_an_earlier_one_and_leaves_the_other_as_it_is() {
    let scene = Scene::open();
    let limit = |body: Value| scene.post("/api/v1/daemons/orders/limits", &body);
    let per_second = |attempts: u32| json!({"attempts": attempts, "interval": 1_000});
    let limits = || [scene.control.rate(), scene.control.key_rate()].map(|rate| rate.map(Rate::attempts));
    limit(json!({"rate": per_second(100), "key_rate": per_second(5), "reason": "the database"}));
    assert_eq!(limits(), [Some(100), Some(5)]);
    limit(json!({"rate": per_second(10), "reason": "slower"}));
    assert_eq!((limits(), listed(&scene).len()), ([Some(10), Some(5)], 2));
    let told = |scene: &Scene| scene.get("/api/v1/audit").json()["entries"][0]["detail"].clone();
    assert_eq!(told(&scene), json!("limited to 10 in 1s: slower"));
    limit(json!({"key_rate": per_second(2), "reason": "one customer"}));
    assert_eq!((limits(), listed(&scene).len()), ([Some(10), Some(2)], 2));
    // What is null is taken back, what is not there stays.
    assert_eq!(limit(json!({"rate": null, "reason": "mended"})).json()["until"], Value::Null);
    assert_eq!((limits(), listed(&scene).len()), ([None, Some(2)], 1));
    assert_eq!(told(&scene), json!("limited to none: mended"));
    let nothing = limit(json!({"reason": "mended"}));
    assert!(nothing.status == 400 && nothing.body.contains("null takes one back"), "{nothing:?}");
    assert_eq!(limit(json!({"rate": per_second(1), "key_rate": null, "reason": "mended"})).status, 200);
    assert_eq!((limits(), listed(&scene).len()), ([Some(1), None], 1));
}

#[test]
fn form_of_the_limits_has_what_holds_and_changes_what_was_changed_in_it_alone() {
    let scene = Scene::open();
    let path = "/daemons/orders/limits";
    let limits = || [scene.control.rate(), scene.control.key_rate()].map(|rate| rate.map(Rate::attempts));
    let odd = json!({"rate": {"attempts": 20, "interval": 60_000}, "key_rate": {"attempts": 5, "interval": 1_000}, "reason": "x"});
    scene.post("/api/v1/daemons/orders/limits", &odd);
    scene.post("/api/v1/daemons/orders/workers", &json!({"workers": 3, "reason": "x"}));
    let body = page(&scene, "/daemons/orders").body;
    for field in ["name=\"rate\" value=\"20/1min\"", "name=\"key_rate\" value=\"5\"", "name=\"workers\" value=\"3\""] {
        assert!(body.contains(field), "{field} in {body}");
    }
    // Meanwhile somebody else has changed the other one.
    scene
        .post("/api/v1/daemons/orders/limits", &json!({"key_rate": {"attempts": 9, "interval": 1_000}, "reason": "x"}));
    let shown = "was_rate=20%2F1min&was_key_rate=5&reason=x";
    assert_eq!(form(&scene, path, &format!("rate=10&key_rate=5&{shown}")).status, 303);
    assert_eq!(limits(), [Some(10), Some(9)]);
    assert_eq!(form(&scene, path, &format!("rate=20%2F1min&key_rate=&{shown}")).status, 303);
    assert_eq!(limits(), [Some(10), None]);
    // Nothing is changed: that may be to have it for longer.
    assert_eq!(form(&scene, path, "rate=10&key_rate=&was_rate=10&was_key_rate=&reason=x").status, 303);
    assert_eq!((limits(), listed(&scene).len()), ([Some(10), None], 2));
    let nothing = form(&scene, path, "rate=&key_rate=&was_rate=&was_key_rate=&reason=x");
    assert!(nothing.status == 400 && nothing.body.contains("no rate"), "{nothing:?}");
    let wrong = form(&scene, path, &format!("rate=many&key_rate=5&{shown}"));
    assert!(wrong.status == 400 && wrong.body.contains("`many` is no rate"), "{wrong:?}");
}

#[test]
fn what_can_not_be_is_refused_and_changes_nothing() {
    let scene = Scene::open();
    for (what, body, told) in [
        ("pause", json!({"reason": "x", "lasts": 0}), "30 days at most"),
        ("pause", json!({"reason": "x", "lasts": 31 * DAY}), "30 days at most"),
        ("pause", json!({"key": "a", "reason": "x"}), "a key needs its `topic`"),
        ("pause", json!({"topic": "t", "partition": 1, "key": "a", "reason": "x"}), "can't be meant at once"),
        ("pause", json!({"topic": "t", "partition": -1, "reason": "x"}), "no partition -1"),
        ("workers", json!({"workers": 0, "reason": "x"}), "nonzero"),
        ("limits", json!({"rate": {"attempts": 0, "interval": 1_000}, "reason": "x"}), "must be 1 at least"),
        ("skip", json!({"topic": "t", "partition": 0, "offset": -1, "reason": "x"}), "no record t[0]@-1"),
        ("skip", json!({"topic": "t", "partition": 0, "offset": 1}), "reason"),
        ("pause", json!({"reason": ""}), "say in `reason` why"),
        ("resume", json!({"reason": " "}), "say in `reason` why"),
        ("limits", json!({"rate": null, "reason": " "}), "say in `reason` why"),
        ("workers", json!({"workers": null, "reason": "\t"}), "say in `reason` why"),
        ("skip", json!({"topic": "t", "partition": 0, "offset": 1, "reason": ""}), "say in `reason` why"),
        ("seek", json!({"topic": "t", "partition": 0, "to": "end", "reason": ""}), "say in `reason` why"),
    ] {
        let (status, detail) = detail(&scene.post(&format!("/api/v1/daemons/orders/{what}"), &body));
        assert!((400..500).contains(&status) && detail.contains(told), "{what} {body}: {status} {detail}");
    }
    for what in ["pause", "workers"] {
        let own = scene.post(&format!("/api/v1/daemons/ticker/{what}"), &json!({"reason": "x"}));
        assert_eq!(own.status, 409, "it reads nothing: {own:?}");
    }
    assert!(listed(&scene).is_empty());
}

#[test]
fn nobody_takes_back_without_saying_why_and_it_stands() {
    let scene = Scene::open();
    scene.post("/api/v1/daemons/orders/pause", &json!({"reason": "x"}));
    let id = listed(&scene)[0]["id"].as_str().expect("a name").to_owned();
    let (status, told) = detail(&scene.post(&format!("/api/v1/overrides/{id}/lift"), &json!({"reason": " "})));
    assert!(status == 400 && told.contains("say in `reason` why"), "{status} {told}");
    assert_eq!(form(&scene, &format!("/overrides/{id}/lift"), "reason=").status, 400);
    assert_eq!(form(&scene, "/daemons/orders/pause", "topic=&partition=&reason=+").status, 400);
    assert_eq!(listed(&scene).len(), 1);
}

#[test]
fn pages_tell_what_was_done_and_nothing_else_that_an_address_says() {
    let scene = Scene::open();
    let told = form(&scene, "/daemons/orders/pause", "topic=&partition=&reason=why");
    let (_, location) = told.raw.split_once("location: ").expect("somewhere to go");
    let notice = "role=\"status\"";
    let done = page(&scene, location.lines().next().expect("an address")).body;
    assert!(done.contains(notice) && done.contains("paused all"), "{done}");
    for other in ["done=call+0800+123", "done=", "done=p"] {
        for path in ["/daemons/orders", "/overrides"] {
            let body = page(&scene, &format!("{path}?{other}")).body;
            assert!(!body.contains(notice) && !body.contains("0800"), "{path}?{other}: {body}");
        }
    }
}

#[test]
fn pages_limit_scale_skip_and_take_back() {
    let scene = Scene::open();
    let done = |path: &str, body: &str, told: &str| {
        let answer = form(&scene, path, body);
        assert!(answer.status == 303 && answer.head.contains(told), "{path}: {answer:?}");
    };
    done("/daemons/orders/limits", "rate=20&key_rate=&reason=slow&lasts=1800000", "done=limited+to+20+in+1s");
    done("/daemons/orders/workers", "workers=2&reason=slow&lasts=1800000", "done=scaled+to+2+in+each+process");
    let skip = "topic=created&partition=3&offset=42&reason=poison";
    assert_eq!(form(&scene, "/daemons/orders/skip", &format!("{skip}&confirm=no")).status, 400);
    done("/daemons/orders/skip", &format!("{skip}&confirm=skip"), "done=skip+created%5b3%5d%4042");
    done(
        "/daemons/orders/pause",
        "topic=created&partition=&key=a%3Cb&reason=%3Cb%3Ewhy&lasts=7200000",
        "done=paused+created",
    );
    let wrong = form(&scene, "/daemons/orders/workers", "workers=some&reason=x");
    assert!(wrong.status == 400 && wrong.body.contains("`some` is no number"), "{wrong:?}");

    for path in ["/overrides", "/daemons/orders"] {
        let body = page(&scene, path).body;
        for told in ["20 in 1s", "workers 2", "skip created[3]@42", "pause created, key a&lt;b", "&lt;b&gt;why"] {
            assert!(body.contains(told), "{path} lacks {told}: {body}");
        }
    }
    let of = listed(&scene).into_iter().find(|of| of["change"]["workers"] == 2).expect("it stands");
    let lift = format!("/overrides/{}/lift", of["id"].as_str().expect("a name"));
    done(&lift, "reason=mended", "location: /overrides?done=lifted+workers+2+of+orders");
    assert_eq!(form(&scene, &lift, "reason=again").status, 404);
    assert_eq!(scene.control.workers(), None);
    assert_eq!(scene.control.rate().map(Rate::attempts), Some(20));
    assert!(!scene.control.is_paused(&TopicPartition::new("created", 3)));
}

#[test]
fn viewers_see_what_is_changed_and_can_not_take_it_back() {
    let scene = Scene::guarded();
    let send =
        |role: Role, method: Method, path: &str, body: &str| scene.send_as(Some(&text(role)), &method, path, body);
    send(Role::Operator, Method::POST, "/api/v1/daemons/orders/pause", r#"{"reason":"why"}"#);
    let shown = send(Role::Viewer, Method::GET, "/api/v1/overrides", "").json();
    assert_eq!(shown["overrides"][0]["by"], json!("a operator"));
    let lift = format!("/api/v1/overrides/{}/lift", shown["overrides"][0]["id"].as_str().expect("a name"));
    assert_eq!(send(Role::Viewer, Method::POST, &lift, r#"{"reason":"why"}"#).status, 403);
    assert_eq!(scene.control.paused(), [Scope::All]);
    assert_eq!(send(Role::Operator, Method::POST, &lift, r#"{"reason":"why"}"#).status, 200);
    assert!(scene.control.paused().is_empty());
}

#[test]
fn who_hangs_up_in_the_middle_of_a_change_is_in_the_audit_log_and_it_is_done() {
    let broker = MemoryBroker::new();
    broker.create_topic(DEFAULT_REPORTS, 1);
    let config = ApiConfig::new("127.0.0.1:0".parse().expect("an address"));
    let scene = Scene::within(config, Some(FleetConfig::in_memory(&broker)));
    // Another process, which never says that it obeys: so the answer takes its time.
    let id = scene.get("/api/v1/instance").json()["id"].as_str().expect("a name").to_owned();
    let mut other = scene.get(&format!("/api/v1/fleet/{id}")).json();
    other["instance"]["id"] = json!("shop-1");
    other["steered"]["read"] = Value::Null;
    let record = OwnedRecord::new(other.to_string()).with_key("shop-1");
    broker.produce(DEFAULT_REPORTS, 0, OwnedRecord { timestamp: Some(Timestamp::now()), ..record });
    let until = |what: &str, is: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::park_timeout(Duration::from_millis(100));
        }
    };
    until("it is known", &|| {
        scene.get("/api/v1/fleet").json()["instances"].as_array().is_some_and(|all| all.len() == 2)
    });

    let body = r#"{"reason":"gone"}"#;
    let mut stream = TcpStream::connect(scene.server.address()).expect("it listens");
    write!(
        stream,
        "POST /api/v1/daemons/orders/pause HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it takes it");
    until("it is paused", &|| !scene.control.paused().is_empty());
    drop(stream);
    until("it is in the log", &|| scene.get("/api/v1/audit").json()["entries"][0]["detail"].is_string());
    let detail = scene.get("/api/v1/audit").json()["entries"][0]["detail"].clone();
    assert_eq!(detail, json!("paused all, in 1 of 2 processes: gone"));
}
