//! Pages of what may be as much as anybody likes: thousands of entries, letters of megabytes. Each has less than 200 KB, and a way to the rest.

use serde_json::{Value, json};

use super::letters::broker;
use super::pages::page;
use super::{Scene, open, until};
use crate::dead_letters::samples::letter_of;
use crate::fleet::{DEFAULT_CONTROL, FleetConfig};
use crate::record::{OwnedRecord, Timestamp};
use crate::testing::MemoryBroker;

/// What a page may have.
const BYTES: usize = 200_000;

/// A page that is not too large.
fn bounded(scene: &Scene, path: &str) -> String {
    let answer = page(scene, path);
    let size = answer.raw.len() + answer.body.len();
    eprintln!("{path}: {size} bytes");
    assert!(answer.status == 200 && size < BYTES, "{path} has {size} bytes: {}", answer.status);
    answer.body
}

/// The address that a link of the audit log's page with such a text leads to.
fn link(body: &str, text: &str) -> Option<String> {
    let (before, _) = body.split_once(&format!(">{text}</a>"))?;
    let (_, href) = before.rsplit_once("href=\"")?;
    Some(format!("/audit{}", href.split('"').next()?.replace("&amp;", "&")))
}

/// A process of which another one has done as much as is kept, each thing with a detail of this, a minute before the next.
fn audited(detail: &str) -> Scene {
    let broker = MemoryBroker::new();
    broker.create_topic(DEFAULT_CONTROL, 1);
    let scene = Scene::within(open(), Some(FleetConfig::in_memory(&broker)));
    let mut instance = scene.get("/api/v1/instance").json();
    instance["id"] = json!("other");
    let now = Timestamp::now().as_millis();
    for number in 0..256_u64 {
        let mut deed = json!({
            "at": now - 60_000 * (number + 1), "count": 1, "who": "ada", "from": "10.0.0.1:4711", "method": "POST",
            "path": "/api/v1/daemons/orders/pause", "detail": format!("number {number}: {detail}"), "status": 200,
        });
        deed["instance"] = instance.clone();
        broker.produce(DEFAULT_CONTROL, 0, OwnedRecord::new(deed.to_string()).with_key(format!("shop/audit/{number}")));
    }
    until(|| (scene.get("/api/v1/audit").json()["entries"].as_array()?.len() == 256).then_some(()));
    scene
}

#[test]
fn audit_is_shown_page_by_page() {
    let scene = audited("why");
    let first = bounded(&scene, "/audit?text=number");
    assert_eq!(first.matches("number ").count(), 200);
    assert!(first.contains("number 0:") && !first.contains("number 200:") && link(&first, "Newer").is_none());
    let older = link(&first, "Older").expect("there are more");
    let second = bounded(&scene, &older);
    assert!(second.contains("number 200:") && second.contains("number 255:") && !second.contains("number 199:"));
    assert!(link(&second, "Older").is_none() && second.contains("value=\"number\""), "{second}");
    let newer = link(&second, "Newer").expect("there are newer ones");
    assert!(bounded(&scene, &newer).contains("number 0:"));

    let details = |shown: &Value| -> Vec<String> {
        let entries = shown["entries"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["detail"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let (mut all, mut path) = (Vec::new(), "/api/v1/audit?limit=100".to_owned());
    loop {
        let shown = scene.get(&path).json();
        all.extend(details(&shown));
        let Some(next) = shown["next"].as_u64() else { break };
        path = format!("/api/v1/audit?limit=100&before={next}");
    }
    assert_eq!(all, (0..256).map(|number| format!("number {number}: why")).collect::<Vec<_>>());
    assert_eq!(scene.get("/api/v1/audit").json()["next"], Value::Null, "all of it");
    for wrong in ["limit=0", "limit=many", "after=7"] {
        assert_eq!(scene.get(&format!("/api/v1/audit?{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn entries_as_long_as_they_may_be_are_fewer_a_page_and_none_is_left_out() {
    let scene = audited(&"<\"'&>".repeat(190));
    let (mut seen, mut path) = (0, "/audit".to_owned());
    loop {
        let body = bounded(&scene, &path);
        seen += body.matches("number ").count();
        let Some(older) = link(&body, "Older") else { break };
        path = older;
    }
    assert_eq!(seen, 256);
}

#[test]
fn letter_of_megabytes_is_shown_in_part_and_says_where_all_of_it_is() {
    let scene = Scene::open();
    let broker = broker(&scene, &["{}"]);
    let members: Vec<String> = (0..100_000).map(|number| format!("\"<member {number}>\":\"&\"")).collect();
    let json = format!("{{{}}}", members.join(","));
    let line = "<&\">".repeat(250_000);
    let bytes: Vec<u8> = (0..500_000_u32).map(|number| (number % 251) as u8).collect();
    let headers = (0..3_000).fold(OwnedRecord::new("{}"), |record, number| {
        record.with_header(format!("header-{number}"), "<\"value\">".repeat(10))
    });
    let long = OwnedRecord::new("{}").with_key("<key>".repeat(100_000)).with_header("long", "\"x\"".repeat(100_000));
    let error = letter_of(OwnedRecord::new("{}")).with_header("daemonry-error", "<error>".repeat(50_000));
    let records = [OwnedRecord::new(json), OwnedRecord::new(line), OwnedRecord::new(bytes), headers, long];
    for record in records.into_iter().map(letter_of).chain([error]) {
        broker.produce("orders.dlq", 0, record);
    }
    let whole = "href=\"/api/v1/daemons/orders/letters/orders.dlq/0/";
    for (offset, shown) in
        (1..=6).zip(["&lt;member 0&gt;", "&lt;&amp;&quot;&gt;", "00000000", "header-0", "&lt;key&gt;", "&lt;error&gt;"])
    {
        let body = bounded(&scene, &format!("/daemons/orders/letters/orders.dlq/0/{offset}"));
        assert!(body.contains(shown) && body.contains(whole), "{offset}: {}", &body[..2_000]);
    }
    let headers = bounded(&scene, "/daemons/orders/letters/orders.dlq/0/4");
    assert!(headers.contains("more headers"), "{headers}");
    let large = bounded(&scene, "/daemons/orders/letters/orders.dlq/0/1");
    assert!(large.contains("Its first 64 KiB") && !large.contains("<textarea"), "no form takes as much");
    let small = bounded(&scene, "/daemons/orders/letters/orders.dlq/0/0");
    assert!(!small.contains(whole) && small.contains("<textarea"), "{small}");
    bounded(&scene, "/daemons/orders/letters/orders.dlq");
}
