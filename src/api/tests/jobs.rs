//! What is told of work on dead letters: to whom, and how it ended.

use super::letters::{TOPIC, broker};
use super::*;

/// As whoever has this role, asks for this, a page where it is one.
fn ask(scene: &Scene, role: Role, path: &str) -> Answer {
    let bearer = format!("Bearer {}", text(role));
    let accept = if path.starts_with("/api") { "application/json" } else { "text/html" };
    scene.send("GET", path, &[("authorization", &bearer), ("accept", accept)], "")
}

fn post(scene: &Scene, role: Role, path: &str, body: &Value) -> Answer {
    scene.send_as(Some(&text(role)), &Method::POST, path, &body.to_string())
}

/// The name of the job that begins so, once it has ended.
fn job(scene: &Scene, role: Role, path: &str, body: &Value) -> String {
    let begun = post(scene, role, path, body);
    assert_eq!(begun.status, 200, "{begun:?}");
    let name = begun.json()["job"].as_str().expect("a job's name").to_owned();
    let ended = ask(scene, role, &format!("/api/v1/jobs/{name}?wait=true")).json();
    assert!(!ended["ended_at"].is_null(), "it goes on: {ended}");
    name
}

/// What the audit log says, the latest first, as an operator reads it.
fn audit(scene: &Scene) -> Vec<String> {
    let entries = ask(scene, Role::Operator, "/api/v1/audit").json()["entries"].clone();
    let details = entries.as_array().into_iter().flatten().filter_map(|entry| entry["detail"].as_str());
    details.map(str::to_owned).collect()
}

#[test]
fn conditions_are_shown_to_those_alone_who_may_ask_them() {
    let scene = Scene::with(guarded().mask("card").mask("trace"));
    let _broker = broker(&scene, &["{\"card\":4111}"]);
    let redrives = format!("{TOPIC}/redrives");
    let which = json!({"which": {"key": "{\"card\":4111}", "header": "trace=4111"}, "reason": "why"});
    let name = job(&scene, Role::Admin, &redrives, &which);
    let plain = job(&scene, Role::Operator, &redrives, &json!({"which": {"key": "ada"}, "reason": "why"}));
    for path in
        ["/api/v1/jobs".to_owned(), format!("/api/v1/jobs/{name}"), format!("/jobs/{name}"), "/letters".to_owned()]
    {
        for role in [Role::Viewer, Role::Operator] {
            let shown = ask(&scene, role, &path);
            assert!(shown.status == 200 && !shown.body.contains("4111"), "{path} as {role}: {shown:?}");
        }
    }
    let of = |role: Role, name: &str| ask(&scene, role, &format!("/api/v1/jobs/{name}")).json()["which"].clone();
    for (role, key, header) in [
        (Role::Viewer, "***", "***"),
        (Role::Operator, "***", "trace=***"),
        (Role::Admin, "{\"card\":4111}", "trace=4111"),
    ] {
        let which = of(role, &name);
        assert_eq!((&which["key"], &which["header"]), (&json!(key), &json!(header)), "{role}");
    }
    assert_eq!((&of(Role::Viewer, &plain)["key"], &of(Role::Operator, &plain)["key"]), (&json!("***"), &json!("ada")));
    assert!(ask(&scene, Role::Admin, &format!("/jobs/{name}")).body.contains("4111"));

    // Nor is it anybody's to do, or to go on with, who could not have asked for it.
    let execute = json!({"selected": 0, "reason": "why"});
    let refused = post(&scene, Role::Operator, &format!("/api/v1/jobs/{name}/execute"), &execute);
    assert!(refused.status == 403 && refused.body.contains("masked"), "{refused:?}");
    assert_eq!(post(&scene, Role::Admin, &format!("/api/v1/jobs/{name}/execute"), &execute).status, 200);
    let told = audit(&scene);
    assert!(told.iter().all(|told| !told.contains("4111")), "{told:?}");
    assert!(told.iter().any(|told| told.contains("key=***&header=trace%3D***")), "{told:?}");
    assert!(told.iter().any(|told| told.contains("key=ada")), "{told:?}");
}

#[test]
fn what_an_admin_has_begun_is_no_operators_to_go_on_with() {
    let scene = Scene::with(guarded().mask("trace"));
    let _broker = broker(&scene, &["{}", "{}", "{}"]);
    let slow = json!({"which": {"header": "trace=x"}, "per_second": 0.01, "execute": true, "reason": "why"});
    let begun = post(&scene, Role::Admin, &format!("{TOPIC}/redrives"), &slow).json();
    let name = begun["job"].as_str().expect("a job's name");
    let of = |how: &str| format!("/api/v1/jobs/{name}/{how}");
    assert_eq!(post(&scene, Role::Operator, &of("stop"), &json!({"reason": "too slow"})).status, 200);
    ask(&scene, Role::Admin, &format!("/api/v1/jobs/{name}?wait=true"));
    assert_eq!(post(&scene, Role::Operator, &of("resume"), &json!({"reason": "on"})).status, 403);
    let on = post(&scene, Role::Admin, &of("resume"), &json!({"reason": "on"})).json();
    let on = on["job"].as_str().expect("a job's name");
    assert_eq!(post(&scene, Role::Admin, &format!("/api/v1/jobs/{on}/stop"), &json!({"reason": "x"})).status, 200);
}

#[test]
fn what_it_takes_to_go_on_with_a_job_is_told_and_how_it_ended() {
    let scene = Scene::guarded();
    let broker = broker(&scene, &["0", "1", "2", "3", "4"]);
    broker.create_topic("again", 1);
    let redrives = format!("{TOPIC}/redrives");
    let whole = json!({
        "which": {"partition": 0}, "request": "mended-7", "to": "again", "per_second": 50.0, "cap": 2, "reason": "the tax service",
    });
    let counted = job(&scene, Role::Operator, &redrives, &whole);
    let told = audit(&scene);
    assert!(
        told[1].starts_with(&format!("job {counted} counts for a re-drive letters of orders.dlq (until=")),
        "{told:?}"
    );
    assert!(
        told[1].ends_with(
            "&partition=0), request mended-7, to again, 50 a second, not if re-driven 2 times: the tax service"
        ),
        "{told:?}"
    );
    assert_eq!(told[0], format!("job {counted} is done: 3 letters of orders.dlq counted for a re-drive"));
    let executed = job(
        &scene,
        Role::Operator,
        &format!("/api/v1/jobs/{counted}/execute"),
        &json!({"selected": 3, "reason": "now"}),
    );
    assert_eq!(audit(&scene)[0], format!("job {executed} is done: 3 letters of orders.dlq re-driven"));
    let discards = format!("{TOPIC}/discards");
    let counted = job(&scene, Role::Operator, &discards, &json!({"reason": "a load test"}));
    assert!(
        audit(&scene)[1].starts_with(&format!("job {counted} counts for a discard letters")),
        "{:?}",
        audit(&scene)
    );

    // One that can't go on says why, and what was done before.
    broker.refuse_sends(Some(crate::producer::SendError::NotAuthorized("again".into())));
    let failed = job(&scene, Role::Operator, &redrives, &json!({"to": "again", "execute": true, "reason": "on"}));
    let told = audit(&scene);
    assert!(told[0].starts_with(&format!("job {failed} has failed: 0 letters of orders.dlq re-driven: ")), "{told:?}");
    broker.refuse_sends(None);
    let slow = json!({"to": "again", "request": "slow", "per_second": 0.01, "execute": true, "reason": "mended"});
    let begun = post(&scene, Role::Operator, &redrives, &slow).json();
    let name = begun["job"].as_str().expect("a job's name");
    assert_eq!(
        post(&scene, Role::Operator, &format!("/api/v1/jobs/{name}/stop"), &json!({"reason": "wrong"})).status,
        200
    );
    ask(&scene, Role::Operator, &format!("/api/v1/jobs/{name}?wait=true"));
    let entry = until(|| {
        let entries = ask(&scene, Role::Operator, "/api/v1/audit").json()["entries"].as_array()?.clone();
        let ended = format!("job {name} is stopped: ");
        entries.into_iter().find(|entry| entry["detail"].as_str().is_some_and(|told| told.starts_with(&ended)))
    });
    assert_eq!((&entry["who"], &entry["path"]), (&json!("a operator"), &json!(format!("/api/v1/jobs/{name}"))));
}
