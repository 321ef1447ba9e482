//! What a reviewer looks for in the audit log: who came in, who was turned away and why, and who has seen records.

use axum::http::Method;
use serde_json::{Value, json};

use super::letters::{TOPIC, broker};
use super::pages::form;
use super::*;
use crate::fleet::{DEFAULT_CONTROL, DEFAULT_REPORTS};
use crate::producer::SendError;
use crate::record::{OwnedRecord, Timestamp};
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
            json!(["a viewer", 403, "`a viewer` is viewer, this takes operator", 1]),
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
            json!([
                "a viewer",
                403,
                "what stands in records is hidden from viewers, and no condition tells it: leave out `key` and `header`",
                1
            ]),
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

#[test]
fn what_is_refused_is_written_down_with_what_was_wanted_and_why_it_was_not_done() {
    let scene = Scene::open();
    let _broker = broker(&scene, &["0"]);
    let daemon = |how: &str| format!("/api/v1/daemons/orders/{how}");
    let of_letters = |how: &str| format!("{TOPIC}/{how}");
    let asked = [
        (
            "/api/v1/daemons/order/pause".to_owned(),
            json!({"topic": "created", "partition": 3}),
            "pause created[3]",
            "no daemon `order`",
        ),
        (daemon("resume"), json!({"partition": 3}), "resume", "a partition needs its `topic`"),
        (daemon("limits"), json!({"rate": {"attempts": 0, "interval": 9}}), "limit to 0 in 9ms", "must be 1 at least"),
        (daemon("workers"), json!({"workers": 3, "lasts": 0}), "scale to 3", "30 days at most"),
        (
            daemon("skip"),
            json!({"topic": "created", "partition": 0, "offset": -1}),
            "skip created[0]@-1",
            "there is no record",
        ),
        (
            daemon("seek"),
            json!({"topic": "created", "partition": 0, "to": {"offset": 7}}),
            "seek created[0] to offset 7",
            "does not run",
        ),
        ("/api/v1/overrides/none/lift".to_owned(), json!({}), "lift none", "there is no override `none`"),
        (
            of_letters("redrives"),
            json!({"request": "a/b", "which": {"reason": "poison"}}),
            "re-drive of letters of orders.dlq (reason=poison)",
            "can't name a request",
        ),
        (
            of_letters("discards"),
            json!({"which": {"offset": 1}}),
            "discard of letters of orders.dlq",
            "needs its `partition`",
        ),
        (
            of_letters("0/9/edits"),
            json!({"tombstone": true}),
            "write letter 0:9 of orders.dlq changed",
            "no record at offset 9",
        ),
        (
            "/api/v1/jobs/9/execute".to_owned(),
            json!({"selected": 7}),
            "execute job 9, which has counted 7",
            "there is no job `9`",
        ),
        ("/api/v1/jobs/9/stop".to_owned(), json!({}), "stop job 9", "there is no job `9`"),
        ("/api/v1/jobs/9/resume".to_owned(), json!({}), "resume job 9", "there is no job `9`"),
    ];
    for (index, (path, mut body, wanted, refused)) in asked.into_iter().enumerate() {
        body["reason"] = json!(format!("why {index}"));
        let status = scene.post(&path, &body).status;
        assert!((400..500).contains(&status), "{path}: {status}");
        is_told(&scene, &path, status, &[wanted, &format!("why {index}"), "not done: ", refused]);
    }
}

#[test]
fn what_a_form_is_refused_is_written_down_as_well() {
    let scene = Scene::open();
    let _broker = broker(&scene, &["0"]);
    let daemon = |how: &str| format!("/daemons/orders/{how}");
    let of_letters = |how: &str| daemon(&format!("letters/orders.dlq/{how}"));
    let place = "topic=created&partition=0";
    let asked = [
        (daemon("pause"), "topic=&partition=3&lasts=1".to_owned(), "pause", "needs its `topic`"),
        (daemon("limits"), "rate=x&key_rate=".to_owned(), "limit", "`x` is no"),
        (daemon("workers"), "workers=some".to_owned(), "scale to some", "`some` is no number"),
        (daemon("skip"), format!("{place}&offset=7&confirm=no"), "skip created[0]@7", "not confirmed"),
        (daemon("seek"), format!("{place}&to=end&confirm=no"), "seek created[0] to end", "not confirmed"),
        ("/overrides/none/lift".to_owned(), String::new(), "lift none", "there is no override"),
        (of_letters("redrive"), "offset=1".to_owned(), "re-drive", "needs its `partition`"),
        (of_letters("discard"), "offset=1".to_owned(), "discard", "needs its `partition`"),
        (
            of_letters("0/0/edit"),
            "value=x&confirm=no".to_owned(),
            "write letter 0:0 of orders.dlq changed",
            "not confirmed",
        ),
        ("/jobs/9/execute".to_owned(), "confirm=two".to_owned(), "execute job 9", "there is no job"),
        ("/jobs/9/stop".to_owned(), String::new(), "stop job 9", "there is no job"),
        ("/jobs/9/resume".to_owned(), String::new(), "resume job 9", "there is no job"),
    ];
    for (index, (path, body, wanted, refused)) in asked.into_iter().enumerate() {
        let why = if path.contains("letters") || path.contains("/jobs") { "why" } else { "reason" };
        let status = form(&scene, &path, &format!("{body}&{why}=because+{index}")).status;
        assert!((400..500).contains(&status), "{path}: {status}");
        is_told(&scene, &path, status, &[wanted, &format!("because {index}"), "not done: ", refused]);
    }
}

/// That the latest entry is of this, and has all of these texts.
fn is_told(scene: &Scene, path: &str, status: u16, texts: &[&str]) {
    let entry = scene.get("/api/v1/audit").json()["entries"][0].clone();
    assert_eq!((&entry["path"], &entry["status"], &entry["count"]), (&json!(path), &json!(status), &json!(1)));
    let detail = entry["detail"].as_str().unwrap_or_default();
    for text in texts {
        assert!(detail.contains(text), "{path}: {text} in {detail}");
    }
}

#[test]
fn what_may_be_done_still_is_told_to_all_and_counted_with_no_refusal() {
    let broker = MemoryBroker::new();
    broker.create_topic(DEFAULT_REPORTS, 1);
    let of_fleet = || Scene::within(guarded(), Some(FleetConfig::in_memory(&broker)));
    let [one, two] = [of_fleet(), of_fleet()];
    let ask = |scene: &Scene, path: &str| scene.send_as(Some(&text(Role::Admin)), &Method::GET, path, "").json();
    // A third one has the partition, as it says, and never does anything about it.
    let id = one.audit_shown()["asked"].as_str().expect("a name").to_owned();
    let mut third = ask(&one, &format!("/api/v1/fleet/{id}"));
    third["instance"]["id"] = json!("shop-3");
    third["daemons"][0]["partitions_left_out"] = json!(1);
    let record = OwnedRecord::new(third.to_string()).with_key("shop-3");
    broker.produce(DEFAULT_REPORTS, 0, OwnedRecord { timestamp: Some(Timestamp::now()), ..record });
    until(|| (ask(&one, "/api/v1/fleet")["instances"].as_array()?.len() == 3).then_some(()));

    let seek = r#"{"topic":"created","partition":0,"to":"end","reason":"poison"}"#;
    let path = "/api/v1/daemons/orders/seek";
    let sought = one.send_as(Some(&text(Role::Operator)), &Method::POST, path, seek);
    assert!(sought.status == 409 && sought.body.contains("no process has answered"), "{sought:?}");
    for scene in [&one, &two] {
        let entries = until(|| Some(scene.audit()).filter(|entries| !entries.is_empty()));
        assert_eq!((&entries[0]["status"], &entries[0]["is_open"]), (&json!(409), &json!(true)), "{entries:?}");
        let detail = entries[0]["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with("seek created[0] to end: poison; not known whether it was done: "), "{detail}");
        let page = scene.send_as(Some(&text(Role::Operator)), &Method::GET, "/audit", "").body;
        assert!(page.contains("not known"), "{page}");
    }
}
