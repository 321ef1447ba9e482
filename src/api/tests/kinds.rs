//! How many dead letters wait, and of what kinds they are.

use axum::http::Method;
use serde_json::{Value, json};

use super::letters::{TOPIC, broker};
use super::pages::page;
use super::{Scene, guarded, text, until};
use crate::api::Role;
use crate::dead_letters::samples::letter_of;
use crate::record::OwnedRecord;

#[test]
fn what_waits_is_told_with_each_page_and_by_its_kinds_when_asked() {
    let scene = Scene::open();
    let broker = broker(&scene, &["0", "1", "2"]);
    let late = letter_of(OwnedRecord::new("late")).with_header("daemonry-topic", "<b>shipments</b>");
    broker.produce("orders.dlq", 0, late.with_header("daemonry-reason", "timeout"));
    broker.produce("orders.dlq", 1, OwnedRecord::new("no letter"));
    let letters = scene.get(&format!("{TOPIC}?reason=timeout")).json();
    assert_eq!((letters["letters"].as_array().map(Vec::len), &letters["waiting"]), (Some(1), &json!(5)));
    let found = scene.get(&format!("{TOPIC}/kinds")).json();
    let kind = |index: usize| {
        let kind = &found["kinds"][index];
        [&kind["origin"], &kind["reason"], &kind["letters"], &kind["first"]].map(Value::clone)
    };
    assert_eq!(kind(0), [json!("orders"), json!("undecodable"), json!(3), json!(1_600_000_000_001_u64)]);
    assert_eq!(kind(1)[..3], [json!("<b>shipments</b>"), json!("timeout"), json!(1)]);
    let rest = ["others", "no_letters", "left", "waiting", "marks_left"].map(|key| found[key].clone());
    assert_eq!(rest, [0, 1, 0, 5, 0].map(|count| json!(count)));

    let shown = page(&scene, "/letters").body;
    assert!(shown.contains("<td class=\"n\">5</td>"), "{shown}");
    let listed = page(&scene, "/daemons/orders/letters/orders.dlq").body;
    assert!(listed.contains("5 letters wait") && listed.contains("/letters/orders.dlq/kinds?"), "{listed}");
    let kinds = page(&scene, "/daemons/orders/letters/orders.dlq/kinds").body;
    assert!(
        kinds.contains("?reason=timeout&amp;origin=%3Cb%3Eshipments%3C%2Fb%3E") && !kinds.contains("<b>ship"),
        "{kinds}"
    );
    assert!(kinds.contains("no letters") && kinds.contains("5 letters wait"), "{kinds}");
    let one = page(&scene, "/daemons/orders/letters/orders.dlq/kinds?origin=orders&error=").body;
    assert!(one.contains("Of all that wait") && !one.contains("shipments"), "{one}");
    assert_eq!(page(&scene, "/daemons/orders/letters/orders.dlq/kinds?within=1d").status, 400);

    let discard = json!({"reason": "tests", "which": {"origin": "orders"}, "execute": true});
    let job = scene.post(&format!("{TOPIC}/discards"), &discard);
    assert_eq!(job.status, 200, "{job:?}");
    until(|| (scene.get("/api/v1/daemons/orders/letters").json()[0]["waiting"] == json!(2)).then_some(()));
    let left = scene.get(&format!("{TOPIC}/kinds")).json();
    assert_eq!((left["kinds"].as_array().map(Vec::len), &left["waiting"]), (Some(1), &json!(2)));
}

#[test]
fn viewers_count_by_nothing_that_stands_in_records() {
    let scene = Scene::with(guarded().mask("trace"));
    let _broker = broker(&scene, &["0", "1"]);
    let ask = |role: Role, path: &str| scene.send_as(Some(&text(role)), &Method::GET, path, "").status;
    for (conditions, viewer, operator) in [("", 200, 200), ("?key=ada", 403, 200), ("?header=trace", 403, 403)] {
        let path = format!("{TOPIC}/kinds{conditions}");
        assert_eq!((ask(Role::Viewer, &path), ask(Role::Operator, &path)), (viewer, operator), "{path}");
    }
    assert_eq!(ask(Role::Viewer, &format!("{TOPIC}/kinds?since=x")), 400);
    assert_eq!(ask(Role::Viewer, "/api/v1/daemons/orders/letters/none/kinds"), 404);
}
