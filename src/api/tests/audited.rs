//! What a reviewer looks for in the audit log: who came in, who was turned away and why, and who has seen records.

use axum::http::Method;
use serde_json::{Value, json};

use super::letters::{TOPIC, broker};
use super::*;
use crate::fleet::DEFAULT_CONTROL;
use crate::producer::SendError;
use crate::testing::MemoryBroker;

impl Scene {
    /// The audit log, as an admin sees it.
    fn audit(&self) -> Vec<Value> {
        self.audit_shown()["entries"].as_array().cloned().unwrap_or_default()
    }

    fn audit_shown(&self) -> Value {
        self.send_as(Some(&text(Role::Admin)), &Method::GET, "/api/v1/audit", "").json()
    }

    fn sign_in(&self, token: &str) -> Answer {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", "/login", &form, &serde_urlencoded::to_string([("token", token)]).expect("a form"))
    }
}

/// Of each entry, the latest first: who, the status, the detail and how often.
fn told(entries: &[Value]) -> Vec<Value> {
    entries.iter().map(|entry| json!([entry["who"], entry["status"], entry["detail"], entry["count"]])).collect()
}

#[test]
fn sign_ins_are_written_down_and_what_nobody_has_too() {
    let scene = Scene::guarded();
    assert_eq!(scene.sign_in(&text(Role::Operator)).status, 303);
    assert_eq!(scene.sign_in("nobody has this one here").status, 401);
    assert_eq!(scene.send_as(Some("nor has anybody this one"), &Method::GET, "/api/v1/me", "").status, 401);
    assert_eq!(scene.send_as(None, &Method::GET, "/api/v1/me", "").status, 401);
    let entries = scene.audit();
    assert_eq!(
        told(&entries),
        [
            // Of one address and one minute: what it was is told of the first.
            json!([null, 401, "a sign-in with a token that nobody has", 2]),
            json!(["a operator", 200, "signed in", 1]),
        ],
        "who shows nothing was only asked for it"
    );
    assert!(!entries.iter().any(|entry| entry.to_string().contains("has this one")), "no token is in it");
    let cookie = scene.sign_in(&text(Role::Operator)).raw;
    let (_, cookie) = cookie.split_once("set-cookie: ").expect("a cookie");
    let cookie = cookie.split(';').next().expect("its value").to_owned();
    assert_eq!(scene.send("POST", "/logout", &[("cookie", &cookie)], "").status, 303);
    assert_eq!(told(&scene.audit())[0], json!(["a operator", 200, "signed out", 1]));
}

#[test]
fn what_is_turned_away_at_the_gate_is_written_down_with_why() {
    let scene = Scene::guarded();
    let pause = "/api/v1/daemons/orders/pause";
    assert_eq!(scene.send("POST", pause, &[("origin", "http://evil.example.org")], "{}").status, 403);
    assert_eq!(scene.send("GET", "/api/v1/daemons", &[("host", "evil.example.org")], "").status, 421);
    let config = Some(text(Role::Viewer));
    assert_eq!(scene.send_as(config.as_deref(), &Method::GET, "/api/v1/config", "").status, 403);
    let entries = scene.audit();
    assert_eq!(
        told(&entries),
        [
            json!(["a viewer", 403, null, 1]),
            json!([null, 421, "came by the name `evil.example.org`", 1]),
            json!([null, 403, "sent by `http://evil.example.org`", 1]),
        ]
    );
    assert_eq!(entries[0]["path"], "/api/v1/config");
    assert!(entries.iter().all(|entry| entry["from"].as_str().is_some_and(|from| from.starts_with("127.0.0.1:"))));
}

#[test]
fn who_asks_too_often_is_one_entry_and_pushes_nothing_out() {
    let scene = Scene::open();
    assert_eq!(scene.post("/api/v1/daemons/orders/pause", &json!({"reason": "real"})).status, 200);
    let refused = (0..300).filter(|_| scene.get("/api/v1/me").status == 429).count();
    assert!(refused > 0);
    let entries = until(|| {
        let answer = scene.get("/api/v1/audit");
        (answer.status == 200).then(|| answer.json()["entries"].as_array().cloned().unwrap_or_default())
    });
    assert_eq!((&entries[0]["status"], &entries[0]["detail"]), (&json!(429), &json!("asked too often")));
    assert!(entries[0]["count"].as_u64() >= Some(refused as u64));
    assert_eq!(entries[1]["detail"], "paused all: real");
    assert_eq!(entries.len(), 2);
}

#[test]
fn who_has_seen_records_is_written_down_and_who_could_not_is_not() {
    let scene = Scene::guarded();
    let _broker = broker(&scene, &["0", "1"]);
    let ask = |role: Role, path: &str| scene.send_as(Some(&text(role)), &Method::GET, path, "").status;
    let (one, page) = (format!("{TOPIC}/1/0"), "/daemons/orders/letters/orders.dlq");
    assert_eq!((ask(Role::Viewer, &one), ask(Role::Viewer, page)), (200, 200));
    assert_eq!(scene.audit(), Vec::<Value>::new(), "nothing of records was shown");
    assert_eq!((ask(Role::Operator, &one), ask(Role::Operator, page), ask(Role::Operator, &one)), (200, 200, 200));
    assert_eq!(ask(Role::Operator, "/api/v1/daemons/orders/letters"), 200, "topics are no records");
    assert_eq!(ask(Role::Operator, &format!("{TOPIC}/kinds")), 200, "nor are counts");
    assert_eq!(ask(Role::Operator, &format!("{TOPIC}/1/99")), 404);
    assert_eq!(ask(Role::Viewer, &format!("{TOPIC}?key=ada")), 403);
    let entries = scene.audit();
    assert_eq!(
        told(&entries),
        [
            json!(["a viewer", 403, null, 1]),
            json!(["a operator", 200, "saw records", 2]),
            json!(["a operator", 200, "saw records", 1]),
        ]
    );
    assert_eq!((&entries[1]["path"], &entries[2]["path"]), (&json!(one), &json!(page)));
}

#[test]
fn what_was_done_in_one_process_is_shown_by_all_and_after_its_end_what_was_refused_by_that_one_alone() {
    let broker = MemoryBroker::new();
    let of_fleet = || Scene::within(guarded(), Some(FleetConfig::in_memory(&broker)));
    let [one, two] = [of_fleet(), of_fleet()];
    let pause = "/api/v1/daemons/orders/pause";
    let ask =
        |role: Role| one.send_as(Some(&text(role)), &Method::POST, pause, r#"{"reason":"the tax service"}"#).status;
    assert_eq!((ask(Role::Viewer), ask(Role::Operator)), (403, 200));
    let id = one.audit_shown()["asked"].clone();
    assert_eq!(told(&one.audit()).len(), 2);
    let seen_by = |scene: &Scene| {
        let entries = until(|| Some(scene.audit()).filter(|entries| !entries.is_empty()));
        // With how many processes have heard of it by then.
        let detail = entries[0]["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with("paused all") && detail.ends_with(": the tax service"), "{detail}");
        assert_eq!((entries.len(), &entries[0]["who"], &entries[0]["instance"]["id"]), (1, &json!("a operator"), &id));
        let page = scene.send_as(Some(&text(Role::Operator)), &Method::GET, "/audit?text=TAX", "").body;
        assert!(page.contains(": the tax service") && page.contains("all processes"), "{page}");
        let none = scene.send_as(Some(&text(Role::Operator)), &Method::GET, "/audit?text=nobody", "").body;
        assert!(none.contains("None has this text."), "{none}");
        // A viewer asks another page in vain, and hears nothing of it by what processes tell of themselves.
        let fleet = scene.send_as(Some(&text(Role::Viewer)), &Method::GET, "/api/v1/fleet", "").body;
        assert!(!fleet.contains("tax service"), "{fleet}");
    };
    seen_by(&two);
    drop(one);
    seen_by(&of_fleet());
}

#[test]
fn what_could_not_be_told_is_told_once_it_can_and_said_until_then() {
    let broker = MemoryBroker::new();
    let of_fleet = || Scene::within(guarded(), Some(FleetConfig::in_memory(&broker)));
    let [one, two] = [of_fleet(), of_fleet()];
    broker.refuse_sends(Some(SendError::NotAuthorized(DEFAULT_CONTROL.into())));
    let scale = r#"{"workers":1,"reason":"slowly"}"#;
    let path = "/api/v1/daemons/orders/workers";
    assert_eq!(one.send_as(Some(&text(Role::Operator)), &Method::POST, path, scale).status, 200);
    let trouble = until(|| one.audit_shown()["trouble"].as_str().map(str::to_owned));
    assert!(trouble.contains("grant this user WRITE"), "{trouble}");
    broker.refuse_sends(None);
    let entries = until(|| Some(two.audit()).filter(|entries| !entries.is_empty()));
    assert_eq!(told(&entries).len(), 1);
    until(|| one.audit_shown()["trouble"].is_null().then_some(()));
}
