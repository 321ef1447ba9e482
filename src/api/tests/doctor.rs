//! The doctor: has it look, and sees what it has found.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;
use crate::api::{Finding, Severity};

impl Scene {
    /// What the doctor is at once it has looked.
    fn examined(&self) -> Value {
        until(|| {
            let shown = self.get("/api/v1/doctor").json();
            (shown["looks_since"].is_null() && !shown["last"].is_null()).then_some(shown)
        })
    }
}

#[test]
fn what_is_found_is_shown_the_worst_first() {
    let scene = Scene::with(open().doctor(async || {
        Ok(vec![
            Finding::new(Severity::Ok, "brokers", "main", "all answer"),
            Finding::new(Severity::Error, "topics", "orders", "is missing").to_do("make <it>"),
            Finding::new(Severity::Warning, "letters", "orders.dlq", "keeps a day"),
        ])
    }));
    let before = scene.get("/api/v1/doctor").json();
    assert_eq!(before, json!({"unavailable": null, "looks_since": null, "last": null}));
    assert!(scene.get("/doctor").body.contains("Nobody has asked yet"));
    assert_eq!(scene.post("/api/v1/doctor", &json!({})).status, 200);
    let last = &scene.examined()["last"];
    let severities: Vec<&Value> =
        last["findings"].as_array().expect("a list").iter().map(|one| &one["severity"]).collect();
    assert_eq!(severities, ["error", "warning", "ok"]);
    assert_eq!(
        last["findings"][0],
        json!({
            "severity": "error", "check": "topics", "where": "orders", "what": "is missing", "do": "make <it>"
        })
    );
    let page = scene.get("/doctor").body;
    assert!(page.contains("1 errors, 1 warnings, 0 that can't be known, 1 as they should be"), "{page}");
    assert!(page.contains("make &lt;it&gt;"), "{page}");
}

#[test]
fn it_looks_once_however_many_ask() {
    let (count, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let scene = Scene::with(open().doctor({
        let (count, go) = (Arc::clone(&count), Arc::clone(&go));
        move || {
            let (count, go) = (Arc::clone(&count), Arc::clone(&go));
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                go.notified().await;
                Ok(Vec::new())
            }
        }
    }));
    for _ in 0..3 {
        let shown = scene.post("/api/v1/doctor", &json!({})).json();
        assert!(shown["looks_since"].is_u64(), "{shown}");
    }
    assert!(scene.get("/doctor").body.contains("It has been looking for"));
    go.notify_one();
    assert_eq!(scene.examined()["last"]["findings"], json!([]));
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // And once more, for whoever asks then.
    scene.post("/api/v1/doctor", &json!({}));
    go.notify_one();
    scene.examined();
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn why_it_can_not_look_is_told() {
    let scene = Scene::with(open().doctor(async || Err("no broker answers".to_owned())));
    scene.post("/api/v1/doctor", &json!({}));
    assert_eq!(scene.examined()["last"]["trouble"], "no broker answers");
    let scene = Scene::with(open().doctor(async || panic!("a bug")));
    scene.post("/api/v1/doctor", &json!({}));
    assert_eq!(scene.examined()["last"]["trouble"], "it panicked: a bug");
    assert!(scene.get("/doctor").body.contains("It could not look at all: it panicked: a bug"));
}

#[test]
fn a_program_without_a_file_says_who_can_look() {
    let scene = Scene::with(open());
    let refused = scene.post("/api/v1/doctor", &json!({}));
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("has its configuration in its code"), "{refused:?}");
    let page = scene.get("/doctor").body;
    assert!(page.contains("has its configuration in its code") && !page.contains("Look now"), "{page}");
}
