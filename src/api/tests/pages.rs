//! The pages: who sees them, that what others wrote does nothing there, and what their forms do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::Instant;

use super::{Answer, Scene, open, text, until};
use crate::api::state::Api;
use crate::api::ui::events;
use crate::api::{ApiConfig, Instance, Role};
use crate::fleet::{DEFAULT_REPORTS, Fleet, FleetConfig};
use crate::handler::{Router, on};
use crate::pipeline::control::Scope;
use crate::record::{OwnedRecord, Timestamp, TopicPartition};
use crate::supervisor::Roster;
use crate::testing::{MemoryBroker, TestDaemon};

const HTML: (&str, &str) = ("accept", "text/html");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

pub(super) fn page(scene: &Scene, path: &str) -> Answer {
    scene.send("GET", path, &[HTML], "")
}

pub(super) fn form(scene: &Scene, path: &str, body: &str) -> Answer {
    scene.send("POST", path, &[HTML, FORM], body)
}

#[test]
fn pages_show_the_daemons_and_load_nothing_from_elsewhere() {
    let scene = Scene::open();
    let overview = page(&scene, "/");
    assert!(overview.status == 200 && overview.head.contains("text/html"), "{overview:?}");
    assert!(overview.body.contains("href=\"/daemons/orders\"") && overview.body.contains("ticker"), "{overview:?}");
    for path in ["/", "/daemons/orders", "/workers", "/errors?text=down", "/letters", "/config", "/audit", "/doctor"] {
        let body = page(&scene, path).body;
        assert!(!body.contains("http://") && !body.contains("https://") && !body.contains("style="), "{path}: {body}");
        assert_eq!(body.matches("<script").count(), 1, "{path}: {body}");
    }
    for (path, kind) in [("/assets/app.css", "text/css"), ("/assets/live.js", "text/javascript")] {
        let asset = page(&scene, path);
        assert!(asset.status == 200 && asset.head.contains(&format!("content-type: {kind}")), "{path}: {}", asset.head);
    }
    assert_eq!(page(&scene, "/assets/../app.css").status, 404);
    let unknown = page(&scene, "/daemons/nobody");
    assert!(unknown.status == 404 && unknown.body.contains("there is no daemon"), "{unknown:?}");
}

#[test]
fn what_others_have_written_is_shown_as_text() {
    let scene = Scene::open();
    scene.control.pause(Scope::Topic("<img src=x onerror=alert(1)>\"'&".into()));
    for path in ["/daemons/orders", "/daemons/orders?done=%3Cscript%3Ealert(1)%3C/script%3E", "/daemons/%3Cscript%3E"] {
        let body = page(&scene, path).body;
        assert!(!body.contains("<img") && !body.contains("<script>"), "{path}: {body}");
    }
    assert!(page(&scene, "/daemons/orders").body.contains("&lt;img src=x onerror=alert(1)&gt;&quot;'&amp;"));
}

#[tokio::test(start_paused = true)]
async fn live_page_is_rendered_each_second_and_ends_before_its_connection_does() {
    let begun = Instant::now();
    let (config, instance) = (ApiConfig::new("127.0.0.1:0".parse().expect("an address")), Instance::this("shop", None));
    let fleet = Fleet::alone(&instance, Roster::default()).expect("a thread");
    let api = Api::new(config, instance, Roster::default(), Arc::new(fleet), Value::Null);
    let rendered = AtomicU32::new(0);
    let render = move |_: &Api| {
        let times = rendered.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(maud::html! { "time " (times) })
    };
    let events: Vec<_> = events(api, render).collect().await;
    assert_eq!((events.len(), begun.elapsed()), (8, Duration::from_secs(8)));
}

#[test]
fn fleet_shows_every_process_whichever_is_asked() {
    let broker = MemoryBroker::new();
    let config = || ApiConfig::new("127.0.0.1:0".parse().expect("an address"));
    let of_fleet = || Scene::within(config(), Some(FleetConfig::in_memory(&broker).every(Duration::from_millis(20))));
    let [one, two] = [of_fleet(), of_fleet()];
    let id = |scene: &Scene| scene.get("/api/v1/instance").json()["id"].as_str().expect("an id").to_owned();
    assert_ne!(id(&one), id(&two));
    for (asked, other) in [(&one, &two), (&two, &one)] {
        let begun = Instant::now();
        let instances = loop {
            let fleet = asked.get("/api/v1/fleet").json();
            assert_eq!(fleet["trouble"], Value::Null);
            let instances = fleet["instances"].as_array().expect("a list").clone();
            if instances.len() == 2 {
                break instances;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{instances:?}");
            std::thread::park_timeout(Duration::from_millis(100));
        };
        let shown = |index: usize, key: &str| &instances[index][key];
        assert_eq!((shown(0, "is_this"), &shown(0, "instance")["id"]), (&json!(true), &json!(id(asked))));
        assert_eq!((shown(1, "is_this"), &shown(1, "instance")["id"]), (&json!(false), &json!(id(other))));
        assert_eq!(shown(1, "daemons")[0]["daemon"]["name"], "orders");
        let told = asked.get(&format!("/api/v1/fleet/{}", id(other))).json();
        assert_eq!(
            (&told["instance"]["id"], &told["daemons"][0]["daemon"]["name"]),
            (&json!(id(other)), &json!("orders"))
        );
        assert_eq!(asked.get(&format!("/api/v1/fleet/{}", id(asked))).json()["instance"]["id"], json!(id(asked)));
        for (path, shown) in [("/", "2 processes"), ("/daemons/orders", ", this process"), ("/workers", "workers are")]
        {
            let body = page(asked, path).body;
            assert!(body.contains(shown), "{path}: {body}");
        }
        let list = page(asked, "/fleet");
        let none = page(asked, "/fleet?text=nothing-of-this-name");
        assert!(none.body.contains("None is as the filter asks") && none.body.contains("2 processes"), "{none:?}");
        for id in [id(asked), id(other)] {
            assert!(list.body.contains(&format!("href=\"/fleet/{id}\"")), "{list:?}");
            let one = page(asked, &format!("/fleet/{id}"));
            assert!(one.status == 200 && one.body.contains("<h2>orders</h2>"), "{one:?}");
        }
    }
    let nobody = one.get("/api/v1/fleet/nobody");
    assert!(nobody.status == 404 && nobody.body.contains("nothing was heard of a process `nobody`"), "{nobody:?}");
    assert_eq!(page(&one, "/fleet/nobody").status, 404);
}

#[test]
fn process_without_a_fleet_shows_itself_and_says_how_to_have_one() {
    let scene = Scene::open();
    let fleet = scene.get("/api/v1/fleet").json();
    assert_eq!(fleet["instances"].as_array().map(Vec::len), Some(1));
    assert!(fleet["trouble"].as_str().is_some_and(|trouble| trouble.contains("`fleet: {enabled: true}`")), "{fleet}");
    assert!(page(&scene, "/fleet").body.contains("fleet: {enabled: true}"));
}

#[test]
fn forms_do_what_they_say_and_tell_it() {
    let scene = Scene::open();
    let paused = form(&scene, "/daemons/orders/pause", "topic=created&partition=3&reason=poison");
    assert_eq!(paused.status, 303, "{paused:?}");
    assert!(paused.head.contains("location: /daemons/orders?done=paused+created%5b3%5d"), "{}", paused.head);
    assert!(scene.control.is_paused(&TopicPartition::new("created", 3)));
    assert!(page(&scene, "/audit").body.contains("paused created[3]: poison"));
    assert_eq!(form(&scene, "/daemons/orders/resume", "topic=&partition=&reason=mended").status, 303);
    assert!(scene.control.paused().is_empty());
    let partition = form(&scene, "/daemons/orders/pause", "topic=created&partition=x&reason=poison");
    assert!(partition.status == 400 && partition.body.contains("`x` is no partition"), "{partition:?}");
    let seek =
        |rest: &str| form(&scene, "/daemons/orders/seek", &format!("topic=created&partition=0&reason=again&{rest}"));
    let unsure = seek("to=beginning&confirm=sek");
    assert!(unsure.status == 400 && unsure.body.contains("was not confirmed"), "{unsure:?}");
    assert_eq!(seek("to=middle&confirm=seek").status, 400);
    assert_eq!(seek("to=middle").status, 400);
    // Nobody knows where the partition stands.
    let asks = seek("to=2026-11-26T18:00:00Z");
    assert!(asks.status == 200 && asks.body.contains("Type seek") && asks.body.contains("It is not known"), "{asks:?}");
    let counted = seek("to=0&asked=17&confirm=seek");
    assert!(counted.status == 400 && counted.body.contains("by typing `17`"), "{counted:?}");
    assert_eq!(seek("to=7&confirm=seek").status, 409, "it does not run");
    let elsewhere = scene.send(
        "POST",
        "/daemons/orders/pause",
        &[FORM, ("origin", "http://evil.example.org")],
        "topic=&partition=&reason=x",
    );
    assert_eq!(elsewhere.status, 403);
}

#[test]
fn whoever_signs_in_is_known_by_a_cookie_that_no_script_reads() {
    let scene = Scene::guarded();
    let stranger = page(&scene, "/");
    assert!(stranger.status == 401 && stranger.body.contains("name=\"token\""), "{stranger:?}");
    assert!(!stranger.body.contains("orders"), "{stranger:?}");
    assert_eq!(page(&scene, "/assets/app.css").status, 200);
    let wrong = form(&scene, "/login", "token=nobody-has-this-one");
    assert!(wrong.status == 401 && wrong.body.contains("Nobody has this token"), "{wrong:?}");

    let token = text(Role::Viewer).replace(' ', "+").replace(',', "%2C");
    let signed_in = form(&scene, "/login", &format!("token={token}"));
    assert_eq!(signed_in.status, 303, "{signed_in:?}");
    let cookie = signed_in.raw.lines().find_map(|line| line.split_once("set-cookie: ")).map(|(_, cookie)| cookie);
    let cookie = cookie.expect("it sets a cookie").to_owned();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().expect("it has a value").to_owned();
    let with_cookie = |method: &str, path: &str, body: &str| {
        scene.send(method, path, &[HTML, FORM, ("cookie", &format!("other=1; {cookie}"))], body)
    };
    let overview = with_cookie("GET", "/", "");
    assert!(overview.status == 200 && overview.body.contains("a viewer (viewer)"), "{overview:?}");
    assert!(!overview.body.contains("/audit"), "a viewer has no such page");
    assert!(!with_cookie("GET", "/daemons/orders", "").body.contains("Pause"), "a viewer steers nothing");
    assert_eq!(with_cookie("GET", "/audit", "").status, 403);
    assert_eq!(with_cookie("POST", "/daemons/orders/pause", "topic=&partition=&reason=x").status, 403);
    assert!(scene.control.paused().is_empty());
    let signed_out = with_cookie("POST", "/logout", "");
    assert!(signed_out.raw.contains("Max-Age=0"), "{signed_out:?}");
}

#[test]
fn what_another_process_leaves_out_is_told_with_how_much_it_is_and_where_it_is_seen() {
    let broker = MemoryBroker::new();
    broker.create_topic(DEFAULT_REPORTS, 1);
    let scene = Scene::within(open(), Some(FleetConfig::in_memory(&broker)));
    let id = scene.get("/api/v1/instance").json()["id"].as_str().expect("an id").to_owned();
    let mut told = scene.get(&format!("/api/v1/fleet/{id}")).json();
    (told["instance"]["id"], told["instance"]["host"]) = (json!("other"), json!("shop-7f5d"));
    for (part, left_out) in [("partitions", 1_700), ("attempts", 37), ("failures", 5)] {
        told["daemons"][0][format!("{part}_left_out")] = json!(left_out);
    }
    let record = OwnedRecord::new(told.to_string()).with_key("other");
    broker.produce(DEFAULT_REPORTS, 0, OwnedRecord { timestamp: Some(Timestamp::now()), ..record });
    let shown = until(|| Some(page(&scene, "/daemons/orders").body).filter(|body| body.contains("shop-7f5d")));
    for part in ["1\u{202f}700 more partitions", "37 more handlers", "5 more groups of failed attempts"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.contains("tells of 0 of 1\u{202f}700 of orders") && shown.contains("ps DAEMON --api URL"), "{shown}");
    for (path, part) in [("/workers", "37 more"), ("/errors", "5 more groups"), ("/fleet/other", "700 more partitions")]
    {
        let body = page(&scene, path).body;
        assert!(body.contains(part), "{path}: {body}");
    }
    let all = scene.get("/api/v1/daemons/orders/fleet").json();
    assert_eq!(all["instances"][1]["reported"]["attempts_left_out"], json!(37));
}

#[test]
fn a_page_that_has_nothing_to_show_says_why() {
    let scene = Scene::open();
    for (path, status, title, why) in [
        ("/daemons/orders/letters/orders.dlq", 409, "Nothing to show", "`orders` has not begun yet"),
        ("/daemons/orders/letters/orders.dlq/kinds", 409, "Nothing to show", "`orders` has not begun yet"),
        ("/daemons/ticker/letters/orders.dlq", 409, "Nothing to show", "unless it reads no topics"),
        ("/daemons/nobody", 404, "Not found", "there is no daemon `nobody`"),
        ("/jobs/none", 404, "Not found", "job"),
        ("/fleet/nobody", 404, "Not found", "nothing was heard of"),
    ] {
        let answer = page(&scene, path);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.body.contains(&format!("<h1>{title}</h1>")) && answer.body.contains(why), "{path}: {answer:?}");
    }
    // What is no page because of what its address says is told as well, and no less to whoever may not see it.
    for (path, why) in [
        ("/topics/orders/0?before=x", "before"),
        ("/topics/orders/x", "partition"),
        ("/audit?before=yesterday", "before"),
        ("/daemons/orders/letters/orders.dlq/0/-x", "offset"),
    ] {
        let answer = page(&scene, path);
        assert!(answer.status == 400 && answer.head.contains("text/html"), "{path}: {answer:?}");
        assert!(answer.body.contains("<h1>Not understood</h1>") && answer.body.contains(why), "{path}: {answer:?}");
    }
    let guarded = Scene::guarded();
    let refused = guarded.send_as(Some(&text(Role::Viewer)), &axum::http::Method::GET, "/topics", "");
    assert!(refused.status == 403 && refused.body.contains("<h1>Not allowed</h1>"), "{refused:?}");
    let api = scene.get("/api/v1/topics/orders/x");
    assert!(api.status == 400 || api.status == 404, "{api:?}");
    assert!(api.head.contains("application/problem+json"), "{api:?}");
    // Nor where there is no page at all.
    for (method, status, title) in [("GET", 404, "Not found"), ("POST", 404, "Not done")] {
        let answer = scene.send(method, "/nothing", &[HTML], "");
        assert!(answer.status == status && answer.body.contains(&format!("<h1>{title}</h1>")), "{answer:?}");
    }
    assert!(scene.get("/nothing").head.contains("application/problem+json"), "a program asks");
    // What somebody wanted done was not.
    let pause = form(&scene, "/daemons/nobody/pause", "topic=&partition=&reason=x");
    assert!(pause.body.contains("<h1>Not done</h1>"), "{pause:?}");
}

#[test]
fn what_a_form_can_not_mean_is_told_as_a_page_and_written_down() {
    let scene = Scene::open();
    let large = format!("reason={}", "x".repeat(70_000));
    let kind = [HTML, ("content-type", "application/json")];
    for (path, headers, body, status, why) in [
        ("/daemons/orders/pause", [HTML, FORM], "partition=&reason=x", 400, "missing field `topic`"),
        ("/daemons/orders/limits", [HTML, FORM], "rate=5&reason=x", 400, "missing field `key_rate`"),
        ("/daemons/orders/workers", [HTML, FORM], "workers=2", 400, "missing field `reason`"),
        ("/daemons/orders/skip", [HTML, FORM], "topic=a&partition=0", 400, "missing field `offset`"),
        ("/daemons/orders/seek", [HTML, FORM], "topic=a", 400, "missing field"),
        ("/daemons/orders/pause", [HTML, FORM], "topic=&partition=&reason=x&lasts=long", 400, "lasts"),
        ("/overrides/none/lift", [HTML, FORM], "", 400, "missing field `reason`"),
        ("/daemons/orders/letters/orders.dlq/0/0/edit", [HTML, FORM], "value=x", 400, "missing field `why`"),
        ("/jobs/9/execute", [HTML, FORM], "why=x", 400, "missing field `confirm`"),
        ("/jobs/9/stop", [HTML, FORM], "", 400, "missing field `why`"),
        ("/jobs/9/resume", [HTML, FORM], "", 400, "missing field `why`"),
        ("/daemons/orders/pause", kind, "{}", 415, "application/x-www-form-urlencoded"),
        ("/daemons/orders/pause", [HTML, FORM], &large, 413, "length limit exceeded"),
    ] {
        let answer = scene.send("POST", path, &headers, body);
        assert!(answer.status == status && answer.head.contains("text/html"), "{path}: {answer:?}");
        let body = answer.body.replace("&quot;", "\"");
        assert!(body.contains("<h1>Not done</h1>") && body.contains(why), "{path}: {answer:?}");
        let entry = scene.get("/api/v1/audit").json()["entries"][0].clone();
        assert_eq!((&entry["path"], &entry["status"]), (&json!(path), &json!(status)));
        assert!(entry["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{path}: {entry}");
    }
    // Who had signed in and is known no more is asked for their token, and for nothing that only a program can give.
    let forgotten = form(&Scene::guarded(), "/daemons/orders/pause", "topic=&partition=&reason=x");
    assert!(forgotten.status == 401 && forgotten.body.contains("Token, as configured"), "{forgotten:?}");
}

#[test]
fn a_handler_that_overstays_its_timeout_is_told_until_it_has_ended() {
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("threads");
    let (ends, end) = channel::<()>();
    let end = Arc::new(Mutex::new(end));
    let blocks = move || {
        let end = Arc::clone(&end);
        async move { _ = end.lock().recv() }
    };
    let daemon = {
        let _within = runtime.enter();
        TestDaemon::start(Router::new().topic("orders", on(blocks).timeout(Duration::from_millis(50))))
    };
    daemon.broker().produce("orders", 0, OwnedRecord::new("1"));
    let scene = Scene::of(open(), None, daemon.control().clone());
    let workers =
        until(|| Some(page(&scene, "/workers").body).filter(|body| body.contains("1 overstay their timeout")));
    assert!(workers.contains("<tr class=\"bad\">") && workers.contains("/topics/orders/0/0"), "{workers}");
    let its = page(&scene, "/daemons/orders").body;
    assert!(its.contains("Handlers that run (1)") && its.contains("<tr class=\"bad\">"), "{its}");
    drop(ends);
    until(|| (!page(&scene, "/workers").body.contains("overstay their timeout, and")).then_some(()));
}
