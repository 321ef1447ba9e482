//! Commands: what was ordered, by whom and why, and what each process has made of it.

use serde_json::{Value, json};

use super::pages::page;
use super::{Scene, open, until};
use crate::fleet::{DEFAULT_REPORTS, FleetConfig};
use crate::record::{OwnedRecord, Timestamp};
use crate::testing::MemoryBroker;

fn listed(scene: &Scene) -> Vec<Value> {
    scene.get("/api/v1/commands").json()["commands"].as_array().cloned().unwrap_or_default()
}

/// What it came to in each process, by what its name begins with.
fn states(command: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let instances = command["instances"].as_array().into_iter().flatten();
    instances.map(|one| (text(&one["state"]), text(&one["why"]))).collect()
}

#[test]
fn what_is_ordered_of_a_process_that_is_alone_is_listed_with_who_and_why() {
    let scene = Scene::open();
    let post = |how: &str, body: Value| scene.post(&format!("/api/v1/daemons/orders/{how}"), &body);
    assert_eq!(post("pause", json!({"topic": "created", "reason": "poison", "lasts": 60_000})).status, 200);
    let id = scene.get("/api/v1/overrides").json()["overrides"][0]["id"].as_str().expect("it stands").to_owned();
    assert_eq!(scene.post(&format!("/api/v1/overrides/{id}/lift"), &json!({"reason": "mended"})).status, 200);
    let seek = json!({"topic": "created", "partition": 0, "to": "end", "reason": "again"});
    assert_eq!(post("seek", seek).status, 409, "no pipeline runs");
    // What can't be meant was never ordered.
    assert_eq!(post("pause", json!({"reason": ""})).status, 400);

    let all = listed(&scene);
    let told: Vec<_> = all.iter().map(|one| (one["what"].as_str(), one["reason"].as_str())).collect();
    assert_eq!(
        told,
        [
            (Some("seek created[0] to end"), Some("again")),
            (Some("lifted pause created, which local had ordered"), Some("mended")),
            (Some("paused created"), Some("poison")),
        ]
    );
    let counts = |one: &Value| (one["acknowledged"].as_u64(), one["of"].as_u64());
    assert_eq!(
        all.iter().map(counts).collect::<Vec<_>>(),
        [(Some(0), Some(1)), (Some(1), Some(1)), (Some(1), Some(1))]
    );
    let [(state, why)] = &states(&all[0])[..] else { panic!("{}", all[0]) };
    assert!(state == "refused" && why.contains("does not run"), "{state} {why}");
    assert_eq!(states(&all[1]), [], "in the list they are those alone that have not acknowledged it");
    let lasts = all[2]["until"].as_u64().zip(all[2]["at"].as_u64()).map(|(until, at)| until - at);
    assert_eq!((lasts, &all[1]["until"]), (Some(60_000), &Value::Null));

    let one = scene.get(&format!("/api/v1/commands/{}", all[2]["id"].as_str().expect("a name"))).json();
    assert_eq!(states(&one), [("acknowledged".to_owned(), String::new())]);
    let unknown = scene.get("/api/v1/commands/none");
    assert!(unknown.status == 404 && unknown.body.contains("the latest 256 are kept"), "{unknown:?}");
    assert_eq!(scene.get("/api/v1/commands?limit=1").json()["commands"].as_array().map(Vec::len), Some(1));
    assert_eq!(scene.get("/api/v1/commands?limit=0").status, 400);

    let body = page(&scene, "/commands").body;
    for told in ["paused created", "poison", "lifted pause created", "0 of 1", "1 of 1", "does not run"] {
        assert!(body.contains(told), "{told}: {body}");
    }
    let body = page(&scene, &format!("/commands/{}", all[0]["id"].as_str().expect("a name"))).body;
    assert!(body.contains("refused") && body.contains("does not run"), "{body}");
}

#[test]
fn each_process_says_what_it_has_made_of_a_command() {
    let broker = MemoryBroker::new();
    let fleet = || Some(FleetConfig::in_memory(&broker).every(std::time::Duration::from_millis(20)));
    let [one, two] = [(); 2].map(|()| Scene::within(open(), fleet()));
    until(|| (one.get("/api/v1/fleet").json()["instances"].as_array()?.len() == 2).then_some(()));
    // One that has not read what is ordered, and never will; and one that has another daemon.
    let id = one.get("/api/v1/instance").json()["id"].as_str().expect("an id").to_owned();
    let own = one.get(&format!("/api/v1/fleet/{id}")).json();
    let tell = |id: &str, daemon: &str, read: i64| {
        let mut told = own.clone();
        (told["instance"]["id"], told["instance"]["host"]) = (json!(id), json!(id));
        (told["daemons"][0]["daemon"]["name"], told["steered"]["read"]) = (json!(daemon), json!(read));
        let record = OwnedRecord::new(told.to_string()).with_key(id);
        broker.produce(DEFAULT_REPORTS, 0, OwnedRecord { timestamp: Some(Timestamp::now()), ..record });
    };
    tell("deaf", "orders", 0);
    tell("other", "bills", 1_000);
    until(|| (one.get("/api/v1/fleet").json()["instances"].as_array()?.len() == 4).then_some(()));
    let paused = one.post("/api/v1/daemons/orders/pause", &json!({"topic": "created", "reason": "poison"})).json();
    let reached = paused["reached"].as_array().cloned().unwrap_or_default();
    let of = |id: &str| reached.iter().find(|one| one["instance"] == id).cloned().unwrap_or_default();
    assert_eq!((&of("deaf")["obeys"], &of("other")["lacks"]), (&json!(false), &json!("it has no daemon `orders`")));

    // Whichever is asked knows it, by what all of them tell by then.
    let command = until(|| listed(&two).into_iter().next());
    assert_eq!((&command["by"], &command["reason"]), (&json!("local"), &json!("poison")));
    let name = command["id"].as_str().expect("a name").to_owned();
    let state = |scene: &Scene, id: &str| {
        let command = scene.get(&format!("/api/v1/commands/{name}")).json();
        let found = command["instances"].as_array()?.iter().find(|one| one["instance"] == id)?.clone();
        Some((found["state"].as_str()?.to_owned(), found["why"].as_str().unwrap_or_default().to_owned()))
    };
    for scene in [&one, &two] {
        until(|| state(scene, &id).filter(|(state, _)| state == "acknowledged"));
        assert_eq!(state(scene, "deaf"), Some(("not_heard".to_owned(), String::new())));
        let lacks = "it has no daemon `orders`".to_owned();
        assert_eq!(state(scene, "other"), Some(("refused".to_owned(), lacks)));
    }
    // It reads on, and the other one ends.
    tell("deaf", "orders", 1_000);
    broker.produce(DEFAULT_REPORTS, 0, OwnedRecord { value: None, ..OwnedRecord::new("") }.with_key("other"));
    until(|| state(&two, "deaf").filter(|(state, _)| state == "acknowledged"));
    until(|| state(&two, "other").filter(|(state, why)| state == "gone" && why.contains("any more")));
    let body = page(&two, "/commands").body;
    assert!(body.contains("3 of 3") && body.contains("1 ended"), "{body}");

    // What has come since has read what was ordered, and what holds counts for it as for the others: after a deployment nothing looks as if it had failed.
    tell("new", "orders", 1_000);
    tell("late", "orders", 0);
    until(|| state(&two, "new").filter(|(state, _)| state == "acknowledged"));
    until(|| state(&two, "late").filter(|(state, _)| state == "not_heard"));
    let counts = |command: &Value| ["acknowledged", "of", "ended"].map(|key| command[key].as_u64().unwrap_or(99));
    let command = listed(&two).remove(0);
    assert_eq!((counts(&command), states(&command).len()), ([4, 5, 1], 1), "{command}");
    // What was to be done once is nobody's who came later.
    let seek = json!({"topic": "created", "partition": 0, "to": "end", "reason": "again"});
    assert_eq!(one.post("/api/v1/daemons/orders/seek", &seek).status, 409, "it does not run");
    tell("later", "orders", 1_000);
    until(|| state(&two, "later").filter(|(state, _)| state == "acknowledged"));
    let sought = until(|| listed(&two).into_iter().find(|command| command["what"] == "seek created[0] to end"));
    let id = sought["id"].as_str().expect("a name");
    let sought = two.get(&format!("/api/v1/commands/{id}")).json();
    assert!(
        sought["instances"].as_array().is_some_and(|all| all.iter().all(|one| one["instance"] != "later")),
        "{sought}"
    );
}

#[test]
fn what_isnt_there_is_paused_nowhere_and_who_has_it_not_is_told() {
    let broker = MemoryBroker::new();
    let fleet = || Some(FleetConfig::in_memory(&broker).every(std::time::Duration::from_millis(20)));
    let daemon = super::topics::daemon(2);
    let [one, two] = [(); 2].map(|()| Scene::of(open(), fleet(), daemon.control().clone()));
    until(|| (one.get("/api/v1/fleet").json()["instances"].as_array()?.len() == 2).then_some(()));
    until(|| (two.get("/api/v1/daemons/orders/partitions").json().as_array()?.len() == 2).then_some(()));
    let pause = |body: Value| {
        let paused = one.post("/api/v1/daemons/orders/pause", &body);
        let told = one.get("/api/v1/audit").json()["entries"][0]["detail"].as_str().unwrap_or_default().to_owned();
        (paused.json(), told)
    };
    let (paused, told) = pause(json!({"topic": "orders", "partition": 1, "reason": "x"}));
    assert_eq!(paused["reached"][0].get("lacks"), None, "{paused}");
    assert_eq!(told, "paused orders[1], in 2 of 2 processes: x");
    let (paused, told) = pause(json!({"topic": "order", "reason": "x"}));
    assert_eq!(paused["reached"][1]["lacks"], "its `orders` does not read `order`", "{paused}");
    assert!(
        told.starts_with("paused order, in 0 of 2 processes; ") && told.contains("and 1 more have it not"),
        "{told}"
    );
    let (paused, told) = pause(json!({"topic": "orders", "partition": 7, "reason": "x"}));
    assert_eq!(paused["reached"][0]["lacks"], "no process has orders[7] now", "{paused}");
    assert!(told.starts_with("paused orders[7], in 0 of 2 processes; "), "{told}");
}
