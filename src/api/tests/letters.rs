//! Dead letters over HTTP: who sees what of them, and what is done with them.

use axum::http::Method;
use serde_json::{Value, json};

use super::pages::{form, page};
use super::{Answer, Scene, guarded, text};
use crate::api::Role;
use crate::dead_letters::samples::letter_of;
use crate::pipeline::dead_letter::{DeadLetterSink, Letter, PublishError};
use crate::producer::Sent;
use crate::record::{OwnedRecord, Timestamp};
use crate::testing::MemoryBroker;

const LETTERS: &str = "/api/v1/daemons/orders/letters";
pub(super) const TOPIC: &str = "/api/v1/daemons/orders/letters/orders.dlq";

/// A broker with letters of records with these values.
pub(super) fn broker(scene: &Scene, values: &[&str]) -> MemoryBroker {
    let broker = MemoryBroker::new();
    broker.create_topic("orders", 1);
    broker.create_topic("orders.dlq", 2);
    for (index, value) in values.iter().enumerate() {
        let record = OwnedRecord::new(*value).with_key("ada").with_header("trace", "x");
        broker.produce("orders.dlq", i32::try_from(index % 2).expect("few"), letter_of(record));
    }
    scene.control.letters().go_to(&"orders.dlq".into(), &broker);
    broker
}

/// A letter that is written now.
fn letter_now(value: &str) -> OwnedRecord {
    let now = Timestamp::now().as_millis() + 60_000;
    letter_of(OwnedRecord::new(value)).with_header("daemonry-failed-at", now.to_string())
}

/// The answer about a job once it has ended.
fn ended(scene: &Scene, job: &Value) -> Value {
    let job = job.as_str().expect("a job's name");
    let shown = scene.get(&format!("/api/v1/jobs/{job}?wait=true")).json();
    assert!(!shown["ended_at"].is_null(), "it goes on: {shown}");
    shown
}

fn places(answer: &Answer) -> Vec<(i64, i64)> {
    let letters = answer.json()["letters"].as_array().cloned().unwrap_or_default();
    letters.iter().map(|one| (one["partition"].as_i64().unwrap(), one["offset"].as_i64().unwrap())).collect()
}

#[test]
fn letters_are_listed_page_by_page_and_their_records_hidden_from_viewers() {
    let scene = Scene::guarded();
    let _broker = broker(&scene, &["0", "1", "2"]);
    let ask = |role: Role, path: &str| scene.send_as(Some(&text(role)), &Method::GET, path, "");
    let topics = ask(Role::Viewer, LETTERS).json();
    assert_eq!(topics, json!([{"topic": "orders.dlq", "is_readable": true, "waiting": 3}]));

    let (mut all, mut path) = (Vec::new(), format!("{TOPIC}?limit=2"));
    loop {
        let answer = ask(Role::Operator, &path);
        all.extend(places(&answer));
        let next = answer.json()["next"].clone();
        let Some(next) = next.as_str() else { break };
        path = format!("{TOPIC}?limit=2&from={next}");
    }
    all.sort_unstable();
    assert_eq!(all, [(0, 0), (0, 1), (1, 0)]);

    let one = format!("{TOPIC}/1/0");
    let record = json!({
        "key": {"text": "ada"},
        "value": {"text": "1"},
        "headers": [{"name": {"text": "trace"}, "value": {"text": "x"}}],
        "masked": [],
    });
    let shown = ask(Role::Operator, &one).json();
    assert_eq!((&shown["record"], &shown["failure"]["error"]), (&record, &json!("not JSON")));
    let hidden = ask(Role::Viewer, &one);
    assert_eq!((&hidden.json()["record"], &hidden.json()["failure"]["reason"]), (&Value::Null, &json!("undecodable")));
    assert!(!hidden.body.contains("ada"), "{hidden:?}");
    assert!(!ask(Role::Viewer, TOPIC).body.contains("ada"));
    assert_eq!(places(&ask(Role::Viewer, &format!("{TOPIC}?reason=poison"))), []);
    for asking in ["key=ada", "header=trace"] {
        let path = format!("{TOPIC}?{asking}");
        assert_eq!((ask(Role::Viewer, &path).status, ask(Role::Operator, &path).status), (403, 200), "{path}");
    }
}

#[test]
fn masked_fields_are_for_admins_alone() {
    let scene = Scene::with(guarded().mask("card").mask("Trace"));
    let broker = broker(&scene, &["{\"id\":7,\"pay\":[{\"Card\":\"4111 x\"}]}", "card=4111 x"]);
    let ask = |role: Role, path: &str| scene.send_as(Some(&text(role)), &Method::GET, path, "");
    let (json, other) = (format!("{TOPIC}/0/0"), format!("{TOPIC}/1/0"));
    let record = json!({
        "key": {"text": "ada"},
        "value": {"text": "{\"id\":7,\"pay\":[{\"Card\":\"***\"}]}"},
        "headers": [{"name": {"text": "trace"}, "value": {"text": "***"}}],
        "masked": ["value", "header trace"],
    });
    assert_eq!(ask(Role::Operator, &json).json()["record"], record);
    assert_eq!(ask(Role::Operator, &other).json()["record"]["value"], Value::Null);
    let shown = |path: &str| {
        let bearer = format!("Bearer {}", text(Role::Operator));
        scene.send("GET", path, &[("authorization", &bearer), ("accept", "text/html")], "")
    };
    let pages = "/daemons/orders/letters/orders.dlq";
    let page_of = shown(&format!("{pages}/0/0"));
    assert!(page_of.body.contains("Masked, but for admins: value, header trace.") && page_of.body.contains("***"));
    assert!(shown(&format!("{pages}/1/0")).body.contains("hidden as a whole"));
    for path in [TOPIC, &json, &other] {
        assert!(!ask(Role::Operator, path).body.contains("4111 x"), "{path}");
        assert!(ask(Role::Admin, path).body.contains("4111 x"), "{path}");
    }
    for path in [pages, &format!("{pages}/0/0"), &format!("{pages}/1/0")] {
        let page = shown(path);
        assert!(page.status == 200 && !page.body.contains("4111 x"), "{page:?}");
    }
    // Nor is it told by what meets a condition.
    for (asking, status) in
        [("header=TRACE%3Dx", 403), ("header=trace", 403), ("key=%7B%22card%22%3A1%7D", 403), ("key=ada", 200)]
    {
        let path = format!("{TOPIC}?{asking}");
        assert_eq!((ask(Role::Operator, &path).status, ask(Role::Admin, &path).status), (status, 200), "{path}");
    }
    let counted = json!({"which": {"header": "trace=x"}, "reason": "how many?"}).to_string();
    for (role, status) in [(Role::Operator, 403), (Role::Admin, 200)] {
        let path = format!("{TOPIC}/redrives");
        assert_eq!(scene.send_as(Some(&text(role)), &Method::POST, &path, &counted).status, status);
    }
    drop(broker);
}

#[test]
fn redrive_is_counted_then_done_by_its_count_and_never_twice() {
    let scene = Scene::open();
    let broker = broker(&scene, &["0", "1", "2"]);
    let redrives = format!("{TOPIC}/redrives");
    let which = json!({"which": {"partition": 0}, "reason": "mended"});
    let counted = scene.post(&redrives, &which).json();
    let job = counted["job"].as_str().expect("a job's name").to_owned();
    assert_eq!((&counted["executes"], &counted["what"]), (&json!(false), &json!("redrive")));
    let started_at = scene.get("/api/v1/instance").json()["started_at"].as_u64().expect("a time");
    assert_eq!(job, format!("1-{started_at:x}"), "no other process has one of this name");
    let counted = ended(&scene, &counted["job"]);
    assert_eq!((&counted["state"], &counted["counts"]["selected"]), (&json!("done"), &json!(2)));
    assert_eq!(counted["ways"], json!([{"origin": "orders", "target": "orders", "letters": 2}]));
    assert!(broker.records("orders", 0).is_empty(), "it was counted alone");

    let execute = |selected: u64| {
        scene.post(&format!("/api/v1/jobs/{job}/execute"), &json!({"selected": selected, "reason": "they are"}))
    };
    let wrong = execute(3);
    assert!(wrong.status == 409 && wrong.body.contains("has counted 2 letters, not 3"), "{wrong:?}");
    let done = ended(&scene, &execute(2).json()["job"]);
    assert_eq!((&done["state"], &done["counts"]["selected"]), (&json!("done"), &json!(2)));
    assert_eq!(broker.records("orders", 0).len(), 2);
    // What has failed since was not counted.
    broker.produce("orders.dlq", 0, letter_now("3"));
    let again = ended(&scene, &execute(2).json()["job"]);
    assert_eq!(again["counts"]["selected"], 0, "the request is the same");
    assert_eq!(broker.records("orders", 0).len(), 2);

    assert_eq!(places(&scene.get(TOPIC)).len(), 2, "one of another partition, and the new one");
    let mark = scene.get(&format!("{TOPIC}/0/0")).json()["mark"].clone();
    assert_eq!((&mark["kind"], &mark["by"], &mark["target"]), (&json!("redriven"), &json!("local"), &json!("orders")));
    let audit = scene.get("/api/v1/audit").json()["entries"].clone();
    let details: Vec<_> = audit.as_array().unwrap().iter().filter_map(|entry| entry["detail"].as_str()).collect();
    let has = |begin: &str, end: &str| details.iter().any(|told| told.starts_with(begin) && told.ends_with(end));
    let counts = format!("job {job} counts for a re-drive letters of orders.dlq (until=");
    assert!(has(&counts, ", not if re-driven 3 times: mended"), "{details:?}");
    assert!(details.iter().any(|told| told.contains("&partition=0), request api-")), "{details:?}");
    assert!(
        has(
            &format!("job 2-{started_at:x} re-drives letters of orders.dlq (until="),
            ", not if re-driven 3 times: they are"
        ),
        "{details:?}"
    );
}

#[test]
fn letters_are_given_up_for_a_reason() {
    let scene = Scene::open();
    let _broker = broker(&scene, &["0", "1"]);
    let discards = format!("{TOPIC}/discards");
    assert_eq!(scene.post(&discards, &json!({"reason": " ", "execute": true})).status, 400);
    let job = scene.post(&discards, &json!({"reason": "a load test", "execute": true})).json();
    let done = ended(&scene, &job["job"]);
    assert_eq!((&done["state"], &done["counts"]["selected"]), (&json!("done"), &json!(2)));
    assert_eq!(places(&scene.get(TOPIC)), []);
    assert_eq!(places(&scene.get(&format!("{TOPIC}?with_discarded=true"))).len(), 2);
    assert_eq!(scene.get(&format!("{TOPIC}/0/0")).json()["mark"]["reason"], "a load test");
}

#[test]
fn changed_record_is_written_once_and_by_an_admin_alone() {
    let scene = Scene::guarded();
    let broker = broker(&scene, &["{"]);
    let edits = format!("{TOPIC}/0/0/edits");
    let edit = |role: Role, body: Value| scene.send_as(Some(&text(role)), &Method::POST, &edits, &body.to_string());
    let repaired = json!({"value": {"text": "{}"}, "reason": "a comma"});
    assert_eq!(edit(Role::Operator, repaired.clone()).status, 403);
    assert_eq!(edit(Role::Admin, repaired.clone()).json(), json!({"written": true}));
    assert_eq!(edit(Role::Admin, repaired).json(), json!({"written": false}));
    let records = broker.records("orders", 0);
    let [(_, record)] = &records[..] else { panic!("one was written: {records:?}") };
    assert_eq!(record.value.as_deref(), Some(&b"{}"[..]));
    for (body, said) in [
        (json!({"reason": "x"}), "name what to change"),
        (json!({"tombstone": true, "value": {"text": ""}, "reason": "x"}), "a tombstone has no `value`"),
        (json!({"value": {"base64": "?"}, "reason": "x"}), "the base64 of the value is none"),
    ] {
        let refused = edit(Role::Admin, body);
        assert!(refused.status == 400 && refused.body.contains(said), "{refused:?}");
    }
}

#[test]
fn one_job_at_a_time_changes_letters_of_a_topic_and_can_be_stopped() {
    let scene = Scene::open();
    let broker = broker(&scene, &["0", "1", "2"]);
    let redrives = format!("{TOPIC}/redrives");
    let slow = json!({"request": "slow", "per_second": 0.01, "execute": true, "reason": "mended"});
    let job = scene.post(&redrives, &slow).json()["job"].clone();
    let name = job.as_str().expect("a job's name");
    for busy in [
        scene.post(&redrives, &json!({"execute": true, "reason": "x"})),
        scene.post(&format!("{TOPIC}/discards"), &json!({"execute": true, "reason": "x"})),
        scene.post(&format!("{TOPIC}/0/0/edits"), &json!({"tombstone": true, "reason": "x"})),
    ] {
        assert!(
            busy.status == 409 && busy.body.contains(&format!("job {name} changes letters of `orders.dlq` now")),
            "{busy:?}"
        );
    }
    // To count is no change.
    assert_eq!(ended(&scene, &scene.post(&redrives, &json!({"reason": "x"})).json()["job"])["state"], "done");
    assert_eq!(scene.post(&format!("/api/v1/jobs/{name}/stop"), &json!({"reason": "wrong ones"})).status, 200);
    let stopped = ended(&scene, &job);
    assert_eq!((&stopped["state"], &stopped["error"]), (&json!("stopped"), &Value::Null));
    let before = broker.records("orders", 0).len();
    assert!(before < 3, "{before}");
    // It goes on as it was, at its rate; only what was not brought to its end does.
    let resume = |name: &str| scene.post(&format!("/api/v1/jobs/{name}/resume"), &json!({"reason": "it was right"}));
    let on = resume(name).json();
    assert_eq!((&on["request"], &on["executes"]), (&json!("slow"), &json!(true)), "{on}");
    let on = on["job"].as_str().expect("a job's name").to_owned();
    let running = resume(&on);
    assert!(running.status == 409 && running.body.contains("runs still, or is through"), "{running:?}");
    assert_eq!(scene.post(&format!("/api/v1/jobs/{on}/stop"), &json!({"reason": "faster"})).status, 200);
    assert_eq!(ended(&scene, &json!(on))["state"], "stopped");
    let before = broker.records("orders", 0).len();
    assert!(before < 3, "{before}");
    // The same goes on, at another rate.
    let fast = json!({"request": "slow", "execute": true, "reason": "mended"});
    let done = ended(&scene, &scene.post(&redrives, &fast).json()["job"]);
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(broker.records("orders", 0).len(), 3, "each once");
}

#[test]
fn what_is_not_there_or_can_not_be_meant_is_told() {
    let scene = Scene::open();
    let _broker = broker(&scene, &["0"]);
    let redrives = format!("{TOPIC}/redrives");
    let detail = |answer: Answer| (answer.status, answer.json()["detail"].as_str().unwrap_or_default().to_owned());
    for (answer, status, said) in [
        (scene.get(&format!("{LETTERS}/other")), 404, "writes no dead letters to `other` here, it does to: orders.dlq"),
        (scene.get(&format!("{TOPIC}/0/7")), 404, "there is no record at offset 7"),
        (scene.get(&format!("{TOPIC}/x/0")), 400, ""),
        (scene.get(&format!("{TOPIC}?from=here")), 400, "`from` is no place in a topic"),
        (scene.get(&format!("{TOPIC}?limit=0")), 400, "`limit` is 0"),
        (scene.get(&format!("{TOPIC}?sinec=7")), 400, "unknown field `sinec`"),
        (scene.get(&format!("{TOPIC}?reason=luck")), 400, "`reason` is `luck`"),
        (scene.get(&format!("{TOPIC}?until=9007199254740992")), 400, "`until` is no time"),
        (scene.get(&format!("{TOPIC}?partition=-1")), 400, "`partition` and `offset` are 0 or more"),
        (scene.get("/api/v1/jobs/9"), 404, "there is no job `9` in the process"),
        (scene.post(&redrives, &json!({"which": {"sinec": 7}, "reason": "x"})), 400, "unknown field `sinec`"),
        (scene.post(&redrives, &json!({"per_second": 0, "reason": "x"})), 400, "a rate is a number of at least 0.001"),
        (scene.post(&redrives, &json!({"request": "a/b", "reason": "x"})), 400, "`a/b` can't name a request"),
    ] {
        let (found, detail) = detail(answer);
        assert!(found == status && detail.contains(said), "{found} {detail}");
    }
}

/// Something of a program's own.
struct OneWay;

#[async_trait::async_trait]
impl DeadLetterSink for OneWay {
    async fn publish(&self, letter: &Letter<'_>) -> Result<Sent, PublishError> {
        Err(PublishError::UnknownTopic(letter.topic.clone()))
    }
}

#[test]
fn letters_that_nobody_can_read_back_are_named_as_such() {
    let scene = Scene::open();
    scene.control.letters().go_to(&"file".into(), &OneWay);
    assert_eq!(scene.get(LETTERS).json(), json!([{"topic": "file", "is_readable": false, "waiting": null}]));
    let refused = scene.get(&format!("{LETTERS}/file"));
    assert!(refused.status == 409 && refused.body.contains("can't read them back"), "{refused:?}");
    assert!(page(&scene, "/letters").body.contains("can't read them back"));
}

#[test]
fn pages_lead_from_the_letters_to_a_redrive_that_is_confirmed_by_its_count() {
    let scene = Scene::open();
    let broker = broker(&scene, &["{\"id\":0}", "1"]);
    assert!(page(&scene, "/letters").body.contains("href=\"/daemons/orders/letters/orders.dlq\""));
    let list = page(&scene, "/daemons/orders/letters/orders.dlq?reason=&within=&key=ada");
    assert!(list.status == 200 && list.body.contains("href=\"/daemons/orders/letters/orders.dlq/0/0\""), "{list:?}");
    let hidden = "<input type=\"hidden\" name=\"key\" value=\"ada\">";
    assert_eq!(list.body.matches(hidden).count(), 2, "{}", list.body);
    // What is meant stays so when something of it is changed.
    let conditions =
        [("since", "7"), ("until", "99999999999999"), ("origin_partition", "3"), ("partition", "0"), ("offset", "0")];
    let query = serde_urlencoded::to_string(conditions).expect("an address");
    let narrow = page(&scene, &format!("/daemons/orders/letters/orders.dlq?{query}")).body;
    let (_, filter) = narrow.split_once("Which letters").expect("a form");
    let (filter, _) = filter.split_once("</form>").expect("its end");
    for (name, value) in conditions {
        assert!(filter.contains(&format!("name=\"{name}\" value=\"{value}\"")), "{name}: {filter}");
    }
    let one = page(&scene, "/daemons/orders/letters/orders.dlq/0/0");
    assert!(one.body.contains("JSON, 8 bytes") && one.body.contains("&quot;id&quot;: 0"), "{one:?}");

    let redrive = "/daemons/orders/letters/orders.dlq/redrive";
    assert_eq!(form(&scene, redrive, "key=ada&to=&per_second=&cap=").status, 400, "nobody says why");
    let counted = form(&scene, redrive, "key=ada&to=&per_second=&cap=&why=mended");
    let [counts, does] = ["1", "2"].map(|number| {
        let started_at = scene.get("/api/v1/instance").json()["started_at"].as_u64().expect("a time");
        format!("{number}-{started_at:x}")
    });
    assert!(counted.status == 303 && counted.head.contains(&format!("location: /jobs/{counts}")), "{counted:?}");
    ended(&scene, &json!(counts));
    let execute = format!("/jobs/{counts}/execute");
    let job = page(&scene, &format!("/jobs/{counts}"));
    assert!(job.body.contains("Type how many: 2") && !job.body.contains("data-live"), "{job:?}");
    let unsure = form(&scene, &execute, "confirm=two&why=mended");
    assert!(unsure.status == 400 && unsure.body.contains("was not confirmed"), "{unsure:?}");
    assert_eq!(form(&scene, &execute, "confirm=3&why=mended").status, 409);
    assert!(broker.records("orders", 0).is_empty());
    let begun = form(&scene, &execute, "confirm=2&why=mended");
    assert!(begun.status == 303 && begun.head.contains(&format!("location: /jobs/{does}")), "{begun:?}");
    assert_eq!(ended(&scene, &json!(does))["state"], "done");
    assert_eq!(broker.records("orders", 0).len(), 2);
    assert!(page(&scene, "/letters").body.contains("re-drives"));
    let empty = page(&scene, "/daemons/orders/letters/orders.dlq");
    assert!(empty.body.contains("No letter waits here"), "{empty:?}");
}

#[test]
fn value_is_edited_by_a_form_and_keeps_the_ends_of_its_lines() {
    let scene = Scene::open();
    let broker = broker(&scene, &["a\nb"]);
    let edit = |rest: &str| {
        let path = "/daemons/orders/letters/orders.dlq/0/0/edit";
        form(&scene, path, &format!("value=a%0D%0Ac&why=typo&{rest}"))
    };
    assert_eq!(edit("confirm=yes").status, 400);
    assert_eq!(edit("confirm=redrive").status, 303);
    let twice = edit("confirm=redrive");
    assert!(twice.status == 409 && twice.body.contains("was written before"), "{twice:?}");
    let records = broker.records("orders", 0);
    assert_eq!(records.iter().map(|(_, record)| record.value.as_deref()).collect::<Vec<_>>(), [Some(&b"a\nc"[..])]);
    assert!(page(&scene, "/daemons/orders/letters/orders.dlq/0/0").body.contains("with another value"));
}

#[test]
fn what_stands_in_a_letter_does_nothing_on_a_page() {
    let scene = Scene::open();
    let hostile = "<script>alert(1)</script></textarea><img src=x onerror=alert(1)>";
    let broker = broker(&scene, &[hostile]);
    let record = OwnedRecord::new(hostile).with_key(hostile).with_header(hostile, hostile);
    let letter = letter_of(record).with_header("daemonry-error", hostile).with_header("daemonry-handler", hostile);
    broker.produce("orders.dlq", 1, letter);
    for path in ["", "?key=%3Cscript%3E", "?error=%22%3E%3Cimg%20src%3Dx%3E", "/0/0", "/1/0"] {
        let body = page(&scene, &format!("/daemons/orders/letters/orders.dlq{path}")).body;
        assert!(!body.contains("<script>") && !body.contains("<img"), "{path}: {body}");
        assert_eq!(body.matches("<textarea").count(), body.matches("</textarea>").count(), "{path}: {body}");
    }
}

#[test]
fn a_value_of_60_kb_of_json_is_edited_by_a_form_and_its_page_stays_small() {
    let scene = Scene::open();
    // A fifth of it are quotes, of which a page makes six bytes each, and a form three.
    let members: Vec<String> = (0..5_400).map(|number| format!("\"{number:04}\":1")).collect();
    let value = format!("{{{}}}", members.join(","));
    assert!((45_000..61_000).contains(&value.len()), "{}", value.len());
    let larger = value.replace(":1", ":10");
    let broker = broker(&scene, &[&value, &"x".repeat(66_000)]);
    let shown = page(&scene, "/daemons/orders/letters/orders.dlq/0/0");
    assert!(shown.body.contains("<textarea") && shown.body.len() < 200_000, "{} bytes", shown.body.len());
    let too_large = page(&scene, "/daemons/orders/letters/orders.dlq/1/0").body;
    assert!(!too_large.contains("<textarea") && too_large.contains("too large for a form"));
    let sent = serde_urlencoded::to_string([("value", larger.as_str()), ("why", "x"), ("confirm", "redrive")]);
    let sent = sent.expect("it can be sent");
    assert!(sent.len() > 64 * 1024, "{} bytes", sent.len());
    let edited = form(&scene, "/daemons/orders/letters/orders.dlq/0/0/edit", &sent);
    assert_eq!(edited.status, 303, "{edited:?}");
    let written = broker.records("orders", 0);
    assert_eq!(written[0].1.value.as_deref(), Some(larger.as_bytes()));
    // Elsewhere as much as ever.
    let pause = json!({"reason": "x".repeat(70_000)});
    assert_eq!(scene.post("/api/v1/daemons/orders/pause", &pause).status, 413);
}
