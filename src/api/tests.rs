//! The API over HTTP: who is let in, what is refused, and what is done.

mod audited;
mod bounded;
mod commands;
mod doctor;
mod elsewhere;
mod jobs;
mod kinds;
mod large;
mod letters;
mod links;
mod overrides;
mod pages;
mod proxied;
mod slow;
mod topics;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::{Value, json};

use super::access::{Role, Token};
use super::{ApiConfig, ApiConfigError, ApiServer, Instance, routes};
use crate::admin::Health;
use crate::fleet::{Fleet, FleetConfig};
use crate::metrics::Metrics;
use crate::pipeline::control::{Control, Scope};
use crate::record::TopicPartition;
use crate::supervisor::{Entry, Roster};

/// A process with a consumer and a daemon of its own, and its API.
struct Scene {
    server: ApiServer,
    control: Control,
    _entries: [Entry; 2],
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// In lower case.
    head: String,
    /// As it was sent.
    raw: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn text(role: Role) -> String {
    format!("the token of {role}, which is long")
}

/// Waits for something that a page, or an answer, is to be.
fn until<T>(look: impl Fn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain");
        std::thread::park_timeout(Duration::from_millis(250));
    }
}

/// For whoever asks.
fn open() -> ApiConfig {
    ApiConfig::new("127.0.0.1:0".parse().expect("an address"))
}

/// With a token of each role.
fn guarded() -> ApiConfig {
    let config = open();
    let token = |config: ApiConfig, role: Role| config.token(Token::new(format!("a {role}"), role, text(role)));
    Role::ALL.into_iter().fold(config, token)
}

impl Scene {
    fn open() -> Self {
        Self::with(open())
    }

    fn guarded() -> Self {
        Self::with(guarded())
    }

    fn with(config: ApiConfig) -> Self {
        Self::within(config, None)
    }

    /// One of a fleet.
    fn within(config: ApiConfig, fleet: Option<FleetConfig>) -> Self {
        Self::of(config, fleet, Control::new())
    }

    /// One whose consumer is steered by this.
    fn of(config: ApiConfig, fleet: Option<FleetConfig>, control: Control) -> Self {
        Self::running(["orders", "ticker"], config, fleet, control)
    }

    /// One of these daemons, of which the first is a consumer.
    fn running(names: [&'static str; 2], config: ApiConfig, fleet: Option<FleetConfig>, control: Control) -> Self {
        let (roster, metrics) = (Roster::default(), Metrics::new());
        let entries = names.map(|name| roster.enter(name.into(), metrics.daemon(name)));
        entries[0].control().take(&control);
        entries[0].start(Health::new(names[0]));
        let instance = Instance::this("shop", None);
        let fleet = match fleet {
            Some(fleet) => Fleet::start(fleet, &instance, roster.clone()),
            None => Fleet::alone(&instance, roster.clone()),
        };
        let fleet = Arc::new(fleet.expect("a thread"));
        let server = ApiServer::start(config, instance, roster, fleet).expect("a free port");
        Self { server, control, _entries: entries }
    }

    /// Sends this, and more headers.
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.server.address()).expect("it listens");
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        let host = self.server.address().to_string();
        let given = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        for (name, value) in [("host", host.as_str()), ("content-type", "application/json")] {
            if !given(name) {
                request.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        // It may answer before it has read all of it.
        stream.write_all(request.as_bytes()).ok();
        let mut answer = Vec::new();
        let mut read = [0; 4_096];
        // What is live has no end; how it begins is enough.
        let is_whole = |answer: &[u8]| path.starts_with("/live/") && answer.windows(4).any(|end| end == b"\r\n\r\n");
        while !is_whole(&answer)
            && let Ok(length @ 1..) = stream.read(&mut read)
        {
            answer.extend_from_slice(&read[..length]);
        }
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_lowercase(), raw: head.to_owned(), body: body.to_owned() }
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[], &body.to_string())
    }

    /// As whoever has the token of this role; with a wrong one, or with none.
    fn send_as(&self, shown: Option<&str>, method: &Method, path: &str, body: &str) -> Answer {
        let bearer = shown.map(|text| format!("Bearer {text}"));
        let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        self.send(method.as_str(), path, &headers, body)
    }
}

#[test]
fn every_route_lets_those_in_who_have_its_role_and_nobody_else() {
    for endpoint in routes::endpoints() {
        // One for each: nobody may ask one of them as much as all of this.
        let scene = Scene::guarded();
        let names = [
            ("{daemon}", "orders"),
            ("{topic}", "none"),
            ("{partition}", "0"),
            ("{offset}", "0"),
            ("{job}", "1"),
            ("{instance}", "nobody"),
            ("{id}", "none"),
        ];
        let path = names.iter().fold(endpoint.path.to_owned(), |path, (name, value)| path.replace(name, value));
        let ask = |shown: Option<&str>| scene.send_as(shown, &endpoint.method, &path, "{}").status;
        assert_eq!(ask(None), 401, "{path} without a token");
        for role in Role::ALL {
            let status = ask(Some(&text(role)));
            let is_let_in = role >= endpoint.role;
            assert_eq!(status != 403, is_let_in, "{path} as {role}: {status}");
            assert!(status < 500 && status != 401, "{path} as {role}: {status}");
        }
    }
    // Where there is no route nobody is let in either.
    let scene = Scene::guarded();
    assert_eq!(scene.send_as(None, &Method::GET, "/api/v1/nothing", "").status, 401);
    assert_eq!(scene.send_as(None, &Method::GET, "/", "").status, 401);
}

#[test]
fn wrong_token_is_refused_and_cannot_be_guessed_for_long() {
    let scene = Scene::guarded();
    let ask = |shown: &str| scene.send_as(Some(shown), &Method::GET, "/api/v1/me", "").status;
    let statuses: Vec<u16> = (0..12).map(|n| ask(&format!("the token of viewer, which is lonk{n}"))).collect();
    assert_eq!(statuses[0], 401);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn whoever_asks_is_told_who_they_are() {
    let scene = Scene::guarded();
    let me = scene.send_as(Some(&text(Role::Operator)), &Method::GET, "/api/v1/me", "");
    assert_eq!(me.json(), json!({"name": "a operator", "role": "operator"}));
    assert_eq!(Scene::open().get("/api/v1/me").json(), json!({"name": "local", "role": "admin"}));
}

#[test]
fn daemons_are_shown_and_a_name_that_is_none_is_told() {
    let scene = Scene::open();
    let all = scene.get("/api/v1/daemons").json();
    assert_eq!(
        (&all[0]["name"], &all[0]["state"], &all[0]["unready"]),
        (&json!("orders"), &json!("starting"), &json!("starting"))
    );
    assert_eq!(all[0]["consumer"]["now"], Value::Null, "no pipeline runs");
    assert_eq!(all[1]["consumer"], Value::Null, "it reads nothing");
    assert_eq!(scene.get("/api/v1/daemons/orders").json()["name"], "orders");
    let unknown = scene.get("/api/v1/daemons/order");
    assert_eq!(
        (unknown.status, &unknown.json()["detail"]),
        (404, &json!("there is no daemon `order` here, there are: orders, ticker"))
    );
    let own = scene.get("/api/v1/daemons/ticker/partitions");
    assert_eq!(own.status, 409, "{own:?}");
    assert!(unknown.head.contains("content-type: application/problem+json"), "{unknown:?}");
}

#[test]
fn pauses_and_limits_hold_and_stand_in_the_audit_log_with_who_and_why() {
    let scene = Scene::open();
    let pause = json!({"topic": "created", "partition": 3, "reason": "poison"});
    let paused = scene.post("/api/v1/daemons/orders/pause", &pause);
    assert_eq!((paused.status, &paused.json()["paused"]), (200, &json!([{"topic": "created", "partition": 3}])));
    assert!(scene.control.is_paused(&TopicPartition::new("created", 3)));
    let limit = json!({"rate": {"attempts": 100, "interval": 1000}, "reason": "the database"});
    let limited = scene.post("/api/v1/daemons/orders/limits", &limit).json();
    assert_eq!(limited["limits"], json!({"rate": {"attempts": 100, "interval": 1000}, "key_rate": null}));
    let resumed = scene.post("/api/v1/daemons/orders/resume", &json!({"reason": "mended"}));
    assert_eq!(resumed.json()["paused"], json!([]));
    assert!(!scene.control.is_paused(&TopicPartition::new("created", 3)));

    let audit = scene.get("/api/v1/audit").json()["entries"].clone();
    let told: Vec<_> = audit.as_array().into_iter().flatten().map(|entry| entry["detail"].as_str()).collect();
    assert_eq!(
        told,
        [Some("resumed all: mended"), Some("limited to 100 in 1s: the database"), Some("paused created[3]: poison")]
    );
    assert_eq!((&audit[2]["who"], &audit[2]["status"]), (&json!("local"), &json!(200)));
}

#[test]
fn what_is_refused_stands_in_the_audit_log_too() {
    let scene = Scene::guarded();
    let body = json!({"reason": "why not"}).to_string();
    let pause = "/api/v1/daemons/orders/pause";
    assert_eq!(scene.send_as(Some(&text(Role::Viewer)), &Method::POST, pause, &body).status, 403);
    assert!(scene.control.paused().is_empty());
    let audit = scene.send_as(Some(&text(Role::Admin)), &Method::GET, "/api/v1/audit", "").json()["entries"].clone();
    assert_eq!(
        (&audit[0]["who"], &audit[0]["status"], &audit[0]["path"]),
        (&json!("a viewer"), &json!(403), &json!(pause))
    );
}

#[test]
fn seek_of_a_daemon_that_does_not_run_is_a_conflict() {
    let scene = Scene::open();
    let seek = |to: Value| {
        let answer = scene.post(
            "/api/v1/daemons/orders/seek",
            &json!({"topic": "created", "partition": 0, "to": to, "reason": "again"}),
        );
        (answer.status, answer.json()["detail"].as_str().unwrap_or_default().to_owned())
    };
    let (status, detail) = seek(json!("beginning"));
    assert!(status == 409 && detail.contains("does not run"), "{status} {detail}");
    assert_eq!(seek(json!({"offset": 7})).0, 409);
    assert_eq!(seek(json!("middle")).0, 400);
}

#[test]
fn what_can_not_be_meant_is_refused_with_what_is_wrong() {
    let scene = Scene::open();
    let pause = "/api/v1/daemons/orders/pause";
    let refused = |body: &str| {
        let answer = scene.send("POST", pause, &[], body);
        (answer.status, answer.json()["detail"].as_str().unwrap_or_default().to_owned())
    };
    for (body, said) in [
        ("", "EOF"),
        ("{\"reason\": \"x\"", "EOF"),
        ("{}", "missing field `reason`"),
        ("{\"reason\": \"x\", \"topics\": \"a\"}", "unknown field `topics`"),
        ("{\"reason\": \"x\", \"partition\": 3}", "a partition needs its `topic`"),
        ("{\"reason\": \"x\", \"topic\": \"a\", \"partition\": -1}", "there is no partition -1"),
    ] {
        let (status, detail) = refused(body);
        assert!(status == 400 && detail.contains(said), "{body}: {status} {detail}");
    }
    assert!(scene.control.paused().is_empty());
    let kind = scene.send("POST", pause, &[("content-type", "text/plain")], "{\"reason\": \"x\"}");
    assert_eq!(kind.status, 415, "{kind:?}");
    let large = format!("{{\"reason\": \"{}\"}}", "x".repeat(100_000));
    assert_eq!(scene.send("POST", pause, &[], &large).status, 413);
    assert_eq!(scene.get("/api/v1/daemons/orders/partitions?topics=a").status, 400);
    assert_eq!(scene.get("/api/v1/daemons/orders/partitions?held=never").status, 400);
    assert_eq!(scene.get("/api/v1/daemons/%ff").status, 400);
    assert_eq!(scene.get("/api/v1/daemons/..%2f..%2fetc%2fpasswd").status, 404);
    assert_eq!(scene.get("/../../etc/passwd").status, 404);
    let method = scene.send("DELETE", pause, &[], "");
    assert_eq!(method.status, 405, "{method:?}");
}

#[test]
fn other_sites_and_foreign_names_are_kept_out() {
    let scene = Scene::open();
    let body = json!({"reason": "x"}).to_string();
    let pause = |headers: &[(&str, &str)]| scene.send("POST", "/api/v1/daemons/orders/pause", headers, &body).status;
    assert_eq!(pause(&[("origin", "http://evil.example.org")]), 403);
    assert_eq!(pause(&[("sec-fetch-site", "cross-site")]), 403);
    assert_eq!(pause(&[("host", "evil.example.org")]), 421);
    assert!(scene.control.paused().is_empty());
    assert_eq!(scene.send("GET", "/api/v1/daemons", &[("host", "evil.example.org:9466")], "").status, 421);
    assert_eq!(scene.send("GET", "/api/v1/daemons", &[("host", "localhost:1")], "").status, 200);
    let named = Scene::with(ApiConfig::new("127.0.0.1:0".parse().expect("an address")).host("shop.example.org"));
    assert_eq!(named.send("GET", "/api/v1/daemons", &[("host", "shop.example.org")], "").status, 200);
    scene.control.pause(Scope::All);
    let own = format!("http://{}", scene.server.address());
    assert_eq!(pause(&[("origin", &own), ("sec-fetch-site", "same-origin")]), 200);
}

#[test]
fn every_answer_has_its_security_headers() {
    let scene = Scene::guarded();
    for (shown, path) in
        [(Some(text(Role::Viewer)), "/api/v1/daemons"), (None, "/"), (Some(text(Role::Admin)), "/nothing")]
    {
        let answer = scene.send_as(shown.as_deref(), &Method::GET, path, "");
        for header in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: same-origin",
            "cache-control: no-store",
        ] {
            assert!(answer.head.contains(header), "{path}: {header} in {}", answer.head);
        }
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
    }
}

#[test]
fn document_has_every_endpoint_with_its_role_and_its_types() {
    let scene = Scene::open();
    let document = scene.get("/api/v1/openapi.json").json();
    for endpoint in routes::endpoints() {
        if endpoint.response.is_none() {
            assert!(!endpoint.path.starts_with("/api/"), "{} is a page", endpoint.path);
            continue;
        }
        let operation = &document["paths"][endpoint.path][endpoint.method.as_str().to_lowercase()];
        assert_eq!(operation["x-role"], json!(endpoint.role), "{}", endpoint.path);
        assert!(operation["responses"]["200"]["content"]["application/json"]["schema"].is_object(), "{operation}");
        assert_eq!(operation["requestBody"].is_object(), endpoint.method == Method::POST, "{operation}");
        let named = operation["parameters"].as_array().into_iter().flatten().any(|parameter| parameter["in"] == "path");
        assert_eq!(named, endpoint.path.contains('{'), "{operation}");
    }
    // Whatever is referred to is there.
    let text = document.to_string();
    let referred = text.match_indices("#/components/schemas/").map(|(at, prefix)| {
        let name = &text[at + prefix.len()..];
        &name[..name.find('"').unwrap_or(name.len())]
    });
    for name in referred {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    assert!(document["components"]["schemas"]["Daemon"].is_object());
    assert!(!text.contains("#/$defs/"), "what is referred to stands among the components");
    assert_eq!(document["security"], json!([]), "nobody shows a token here");
    let guarded = Scene::guarded();
    let document = guarded.send_as(Some(&self::text(Role::Viewer)), &Method::GET, "/api/v1/openapi.json", "").json();
    assert_eq!(document["security"], json!([{"token": []}]));
}

#[test]
fn configuration_is_shown_to_operators() {
    assert_eq!(Scene::open().get("/api/v1/config").json(), json!({"yaml": null}));
    let config = ApiConfig::new("127.0.0.1:0".parse().expect("an address")).configuration("kafka: <main>\n");
    let scene = Scene::with(config);
    assert_eq!(scene.get("/api/v1/config").json(), json!({"yaml": "kafka: <main>\n"}));
    let page = scene.send("GET", "/config", &[("accept", "text/html")], "");
    assert!(page.body.contains("kafka: &lt;main&gt;"), "{page:?}");
}

#[test]
fn configuration_that_lets_everybody_in_is_refused() {
    let open = |address: &str| ApiConfig::new(address.parse().expect("an address"));
    assert_eq!(open("127.0.0.1:9466").check(), Ok(()));
    assert_eq!(open("[::1]:9466").check(), Ok(()));
    let everywhere = open("0.0.0.0:9466");
    assert_eq!(everywhere.check(), Err(vec![ApiConfigError::Open(everywhere.address)]));
    assert!(everywhere.clone().token(Token::new("ada", Role::Viewer, "x".repeat(16))).check().is_ok());
    let doubtful = open("127.0.0.1:9466").token(Token::new("ada", Role::Viewer, "short")).token(Token::new(
        "bob",
        Role::Admin,
        "short",
    ));
    let errors = doubtful.check().expect_err("they can be guessed, and are the same");
    assert_eq!(errors.len(), 3, "{errors:?}");
}
