//! Records of the topics that daemons read: who sees them, page by page, and what is left of it.

use std::sync::LazyLock;

use axum::http::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::pages::{form, page};
use super::{Scene, guarded, open, text, until};
use crate::api::Role;
use crate::handler::{Router, on};
use crate::record::{OwnedRecord, Timestamp};
use crate::testing::{TestDaemon, TestOptions};

/// What the daemons of these tests run on.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads"));

async fn handle() {}

/// A daemon that reads `orders`, of so many partitions.
pub(super) fn daemon(partitions: i32) -> TestDaemon {
    let _within = RUNTIME.enter();
    let options = TestOptions { partitions, ..TestOptions::default() };
    TestDaemon::start_with(Router::new().topic("orders", on(handle)), options)
}

/// One that has handled some records, with an API.
fn scene(config: crate::api::ApiConfig, count: i64) -> (Scene, TestDaemon) {
    let daemon = daemon(1);
    for number in 0..count {
        let record =
            OwnedRecord::new(format!("{{\"id\":{number},\"card\":4111}}")).with_key("ada").with_header("trace", "x");
        let timestamp = Timestamp::from_millis(1_700_000_000_000 + number * 1_000);
        daemon.broker().produce("orders", 0, OwnedRecord { timestamp, ..record });
    }
    let scene = Scene::of(config, None, daemon.control().clone());
    until(|| daemon.control().reading().and(daemon.control().view()));
    (scene, daemon)
}

const RECORDS: &str = "/api/v1/topics/orders/0/records";

fn offsets(answer: &Value) -> Vec<i64> {
    answer["records"].as_array().into_iter().flatten().filter_map(|one| one["offset"].as_i64()).collect()
}

#[test]
fn records_are_walked_from_an_offset_a_time_or_the_end_and_back() {
    let (scene, daemon) = scene(open(), 10);
    let topics = scene.get("/api/v1/topics").json();
    assert_eq!(topics, json!([{"topic": "orders", "daemons": ["orders"]}]));
    assert_eq!(scene.get("/api/v1/topics/orders").json(), json!([{"partition": 0, "first": 0, "end": 10}]));
    let ask = |query: &str| scene.get(&format!("{RECORDS}?limit=3{query}")).json();
    let last = ask("");
    assert_eq!((offsets(&last), &last["before"], &last["next"]), (vec![7, 8, 9], &json!(7), &json!(10)));
    assert_eq!(offsets(&ask("&before=7")), [4, 5, 6]);
    assert_eq!(offsets(&ask("&offset=0")), [0, 1, 2]);
    assert_eq!(offsets(&ask("&time=1700000005500")), [6, 7, 8]);
    let one = &last["records"][2];
    assert_eq!(one["timestamp"], json!(1_700_000_009_000_u64));
    assert_eq!(one["record"]["value"], json!({"text": "{\"id\":9,\"card\":4111}"}));
    assert_eq!(
        (&one["record"]["key"], &one["record"]["headers"][0]["name"]),
        (&json!({"text": "ada"}), &json!({"text": "trace"}))
    );
    for (path, status, said) in [
        (format!("{RECORDS}?offset=1&before=2"), 400, "say one of"),
        (format!("{RECORDS}?offset=-1"), 400, "no offset below 0"),
        (format!("{RECORDS}?limit=501"), 400, "between 1 and 500"),
        ("/api/v1/topics/bills/0/records".to_owned(), 404, "there are: orders"),
        ("/api/v1/topics/orders/7/records".to_owned(), 404, "the topic has 1 partitions"),
    ] {
        let refused = scene.get(&path);
        assert!(refused.status == status && refused.body.contains(said), "{path}: {refused:?}");
    }
    // Nobody else has joined its group. What it has is looked at once in a while.
    let held = until(|| daemon.control().view().map(|view| view.partitions.len()).filter(|held| *held > 0));
    assert_eq!(held, 1);
}

#[test]
fn records_are_for_operators_masked_as_letters_are_and_each_look_is_in_the_audit_log() {
    let (scene, _daemon) = scene(guarded().mask("card"), 1);
    let ask = |role: Role, path: &str| scene.send_as(Some(&text(role)), &Method::GET, path, "");
    for path in ["/api/v1/topics", RECORDS, "/topics", "/topics/orders/0", "/topics/orders/0/0"] {
        let refused = ask(Role::Viewer, path);
        assert!(refused.status == 403 && !refused.body.contains("4111"), "{path}: {refused:?}");
        assert!(!ask(Role::Operator, path).body.contains("4111"), "{path}");
    }
    let masked = ask(Role::Operator, RECORDS).json();
    assert_eq!(masked["records"][0]["record"]["masked"], json!(["value"]), "{masked}");
    for path in [RECORDS, "/topics/orders/0", "/topics/orders/0/0"] {
        assert!(ask(Role::Admin, path).body.contains("4111"), "{path}");
    }
    let entries = ask(Role::Admin, "/api/v1/audit").json()["entries"].as_array().cloned().unwrap_or_default();
    let saw = |who: &str, path: &str| {
        entries.iter().any(|entry| entry["detail"] == "saw records" && entry["who"] == who && entry["path"] == path)
    };
    for who in ["a operator", "a admin"] {
        for path in [RECORDS, "/topics/orders/0", "/topics/orders/0/0"] {
            assert!(saw(who, path), "{who} {path}: {entries:?}");
        }
    }
    assert!(!saw("a operator", "/topics"), "which topics there are is none of what stands in records");
}

#[test]
fn pages_lead_from_a_topic_to_a_record_and_show_what_others_wrote_as_text() {
    let (scene, daemon) = scene(open(), 3);
    let hostile = OwnedRecord::new("<script>alert(1)</script>").with_key("<img src=x>");
    daemon.broker().produce("orders", 0, hostile);
    let body = page(&scene, "/topics").body;
    assert!(body.contains("href=\"/topics/orders\"") && body.contains("href=\"/daemons/orders\""), "{body}");
    assert!(page(&scene, "/topics/orders").body.contains("href=\"/topics/orders/0\""));
    let list = page(&scene, "/topics/orders/0").body;
    assert!(list.contains("href=\"/topics/orders/0/3\"") && list.contains("href=\"/topics/orders/0/0\""), "{list}");
    assert!(!list.contains("<script>alert") && !list.contains("<img") && list.contains("&lt;script&gt;"), "{list}");
    let from = page(&scene, "/topics/orders/0?from=2").body;
    assert!(from.contains("/topics/orders/0?before=2") && !from.contains("href=\"/topics/orders/0/1\""), "{from}");
    assert!(page(&scene, "/topics/orders/0?from=2023-11-14T22:13:21Z").body.contains("href=\"/topics/orders/0/1\""));
    assert_eq!(page(&scene, "/topics/orders/0?from=yesterday").status, 400);
    let one = page(&scene, "/topics/orders/0/2").body;
    assert!(one.contains("&quot;id&quot;: 2") && one.contains("JSON, ") && one.contains("trace"), "{one}");
    // From a record whoever is on call comes to what can be done about it: the forms are about it.
    assert!(one.contains("href=\"/daemons/orders?at=orders/0&amp;offset=2\""), "{one}");
    let forms = page(&scene, "/daemons/orders?at=orders/0&offset=2").body;
    for field in ["name=\"offset\" value=\"2\"", "name=\"to\" value=\"2\"", "name=\"partition\" value=\"0\""] {
        assert!(forms.contains(field), "{field}: {forms}");
    }
    assert!(!page(&scene, "/topics/orders/0/3").body.contains("<script>alert"));
    let gone = page(&scene, "/topics/orders/0/99");
    assert!(gone.status == 404 && gone.body.contains("the partition ends before 4"), "{gone:?}");
}

#[test]
fn a_seek_to_a_time_asks_for_the_count_of_its_records() {
    let (scene, daemon) = scene(open(), 10);
    until(|| {
        let view = daemon.control().view()?;
        view.partitions.first()?.reach.committed.filter(|next| next.offset().0 == 10)
    });
    until(|| (scene.get("/api/v1/daemons/orders/partitions").json()[0]["committed"] == 10).then_some(()));
    let to = "2023-11-14T22:13:24Z";
    let stake = |to: &str| scene.get(&format!("/api/v1/daemons/orders/seek?topic=orders&partition=0&to={to}")).json();
    assert_eq!(stake(to), json!({"records": 6, "effect": "again"}));
    assert_eq!(stake("2030-01-01T00:00:00Z"), json!({"records": 0, "effect": "again"}));
    assert_eq!(stake("beginning"), json!({"records": 10, "effect": "again"}));
    let seek = |rest: &str| {
        form(&scene, "/daemons/orders/seek", &format!("topic=orders&partition=0&to={to}&reason=again{rest}"))
    };
    let asks = seek("");
    assert!(asks.body.contains("Type 6") && asks.body.contains("6 records"), "{asks:?}");
    let refused = seek("&asked=6&confirm=seek");
    assert!(refused.status == 400 && refused.body.contains("typing `6`"), "{refused:?}");
    let done = seek("&asked=6&confirm=6");
    assert!(done.status == 303, "{done:?}");
    // They are handled again.
    until(|| (daemon.counts().succeeded == 16).then_some(()));
}
