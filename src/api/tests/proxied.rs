//! Through a proxy: who asks is told apart all the same, and nobody is believed who is none.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};

use super::{Scene, guarded, open, text};
use crate::api::{ApiConfig, Network, Role};

fn trusting(config: ApiConfig) -> ApiConfig {
    config.trusted_proxy("127.0.0.0/8".parse::<Network>().expect("a network"))
}

/// Asks as a proxy does for somebody.
fn for_client(scene: &Scene, client: &str, path: &str) -> u16 {
    scene.send("GET", path, &[("x-forwarded-for", client)], "").status
}

#[test]
fn who_asks_too_often_through_a_proxy_keeps_nobody_else_out() {
    let scene = Scene::with(trusting(open()));
    let statuses: Vec<u16> = (0..300).map(|_| for_client(&scene, "198.51.100.7", "/api/v1/me")).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(for_client(&scene, "198.51.100.8", "/api/v1/me"), 200);
    // What nobody is believed for counts for whoever is connected.
    let plain = Scene::open();
    let statuses: Vec<u16> =
        (0..300).map(|n| for_client(&plain, &format!("198.51.100.{}", n % 250), "/api/v1/me")).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn the_audit_log_and_failed_sign_ins_are_of_whom_the_proxy_asks_for() {
    let scene = Scene::with(trusting(guarded()));
    let wrong = |client: &str| {
        let headers = [("x-forwarded-for", client), ("authorization", "Bearer a token that nobody has")];
        scene.send("GET", "/api/v1/me", &headers, "").status
    };
    let statuses: Vec<u16> = (0..12).map(|_| wrong("198.51.100.7")).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(wrong("198.51.100.8"), 401, "another one may try");
    let bearer = format!("Bearer {}", text(Role::Operator));
    let headers = [("forwarded", "for=\"[2001:db8::7]:4711\";proto=https"), ("authorization", bearer.as_str())];
    let body = json!({"reason": "x"}).to_string();
    assert_eq!(scene.send("POST", "/api/v1/daemons/orders/pause", &headers, &body).status, 200);
    let entries = scene.send_as(Some(&text(Role::Admin)), &Method::GET, "/api/v1/audit", "").json()["entries"].clone();
    let from: Vec<&str> = entries.as_array().into_iter().flatten().filter_map(|entry| entry["from"].as_str()).collect();
    assert!(from.contains(&"2001:db8::7") && from.contains(&"198.51.100.7"), "{from:?}");
}

/// A live page, begun and left open.
fn watch(scene: &Scene, role: Role, client: &str) -> (TcpStream, u16) {
    let mut stream = TcpStream::connect(scene.server.address()).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("it can be set");
    let (host, token) = (scene.server.address(), text(role));
    let head = format!(
        "GET /live/overview HTTP/1.1\r\nhost: {host}\r\nx-forwarded-for: {client}\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it is sent");
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).expect("it answers");
    let status = String::from_utf8_lossy(&begun[9..]).parse().expect("a status");
    (stream, status)
}

#[test]
fn live_pages_are_counted_by_the_person_wherever_they_come_from() {
    let scene = Scene::with(trusting(guarded()));
    let mut open: Vec<_> = (0..16).map(|n| watch(&scene, Role::Viewer, &format!("198.51.100.{n}"))).collect();
    assert!(open.iter().all(|(_, status)| *status == 200));
    assert_eq!(watch(&scene, Role::Viewer, "203.0.113.9").1, 429, "whatever address that is");
    assert_eq!(watch(&scene, Role::Operator, "198.51.100.1").1, 200, "and not anybody else at the same");
    drop(open.pop());
    super::until(|| (watch(&scene, Role::Viewer, "203.0.113.9").1 == 200).then_some(()));
    let me = scene.send_as(Some(&text(Role::Viewer)), &Method::GET, "/api/v1/me", "");
    assert_eq!((me.status, &me.json()["role"]), (200, &Value::from("viewer")), "what is no live page is answered");
}
