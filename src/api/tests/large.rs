//! Pages of a large deployment: five hundred partitions, fifty processes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::pages::page;
use super::{Scene, open, until};
use crate::api::Instance;
use crate::fleet::{DEFAULT_CONTROL, DEFAULT_REPORTS, FleetConfig};
use crate::handler::{HandlerError, ProcessingOrder, Router, on};
use crate::pipeline::control::Scope;
use crate::record::{OwnedRecord, Timestamp, TopicPartition};
use crate::testing::{MemoryBroker, TestDaemon, TestOptions};

const PARTITIONS: i32 = 500;
const PROCESSES: usize = 50;
/// What a page may have, and how long the server may take for 99 of 100.
const BYTES: usize = 200_000;
const P99: Duration = Duration::from_millis(50);
/// Times that each is asked for.
const TIMES: usize = 30;

/// A handler that always fails.
async fn fail() -> Result<(), HandlerError> {
    Err(HandlerError::retry(anyhow::anyhow!("the tax service is down")))
}

/// What operators have ordered: two hundred overrides, and as many commands as are kept, each meant for all processes.
fn order_much(broker: &MemoryBroker) -> usize {
    const OVERRIDES: usize = 200;
    let now = Timestamp::now().as_millis();
    let put = |key: String, value: Value| {
        let record = OwnedRecord::new(value.to_string()).with_key(format!("shop/{key}"));
        broker.produce(DEFAULT_CONTROL, 0, OwnedRecord { timestamp: Some(Timestamp::now()), ..record });
    };
    let reason = "the tax service answers nothing but errors, and each order costs it another one";
    for number in 0..OVERRIDES {
        let id = format!("19dc5a1f0b3-{number:08x}");
        let change =
            json!({"pause": {"topic": "orders.created", "partition": null, "key": format!("customer-{number}")}});
        put(
            id.clone(),
            json!({"override": {
                "id": id, "daemon": "orders", "change": change, "by": "ada", "reason": reason, "at": now, "until": now + 3_600_000,
            }}),
        );
    }
    let meant: Vec<Value> = (0..PROCESSES)
        .map(|number| json!({"id": format!("shop-{number}"), "host": format!("shop-7f5d8c9b44-{number:05}"), "pid": 1}))
        .collect();
    for number in 0..256 {
        let instance = Instance::this("shop", None);
        put(
            format!("command/{number}"),
            json!({
                "id": format!("19dc5a1f0b4-{number:08x}"), "at": now - number, "daemon": "orders", "what": format!("paused orders.created, key customer-{number}"),
                "by": "ada", "reason": reason, "until": now + 3_600_000, "asked": instance, "meant": meant, "stands": {"at": 1_000_000},
            }),
        );
    }
    OVERRIDES
}

#[test]
fn five_hundred_partitions_and_fifty_processes_are_fast_pages_of_less_than_200_kb() {
    let runtime = Runtime::new().expect("threads");
    let daemon = {
        let _within = runtime.enter();
        let route = on(fail).order(ProcessingOrder::Key);
        let options = TestOptions { partitions: PARTITIONS, ..TestOptions::default() };
        TestDaemon::start_with(Router::new().topic("orders.created", route), options)
    };
    for partition in 0..PARTITIONS {
        daemon.broker().produce("orders.created", partition, OwnedRecord::new("paid").with_key("ada"));
    }
    for partition in 0..10 {
        daemon.control().pause(Scope::Partition(TopicPartition::new("orders.created", partition)));
    }
    let broker = MemoryBroker::new();
    broker.create_topic(DEFAULT_REPORTS, 1);
    broker.create_topic(DEFAULT_CONTROL, 1);
    let ordered = order_much(&broker);
    let scene = Scene::of(open(), Some(FleetConfig::in_memory(&broker)), daemon.control().clone());
    until(|| (scene.get("/api/v1/overrides").json()["overrides"].as_array()?.len() == ordered).then_some(()));
    let counting = scene.post(
        "/api/v1/daemons/orders/letters/orders.created.dlq/redrives",
        &json!({"reason": "the tax service is up"}),
    );
    let job = format!("/jobs/{}", counting.json()["job"].as_str().expect("a job's name"));
    let partitions = until(|| {
        let all = scene.get("/api/v1/daemons/orders/partitions").json();
        all.as_array().filter(|all| all.len() == PARTITIONS as usize).cloned()
    });

    // What each of the processes says: a tenth of what this one has would be much already.
    let id = scene.get("/api/v1/instance").json()["id"].as_str().expect("an id").to_owned();
    let this = scene.get(&format!("/api/v1/fleet/{id}")).json();
    for (number, some) in (0..PROCESSES).zip(partitions.chunks(PARTITIONS as usize / PROCESSES)) {
        let mut told = this.clone();
        told["instance"]["id"] = json!(format!("shop-{number}"));
        told["instance"]["host"] = json!(format!("shop-7f5d8c9b44-{number:05}"));
        told["daemons"][0]["partitions"] = Value::from(some);
        let record = OwnedRecord::new(told.to_string()).with_key(format!("shop-{number}"));
        broker.produce(DEFAULT_REPORTS, 0, OwnedRecord { timestamp: Some(Timestamp::now()), ..record });
    }
    until(|| page(&scene, "/fleet").body.contains("51 processes").then_some(()));
    // Whoever asked until now may ask as often as at first again.
    std::thread::park_timeout(Duration::from_secs(4));

    let mut times = Vec::new();
    let pages = ["/", "/daemons/orders", "/fleet", "/fleet/shop-7", "/errors", "/workers", "/config", "/audit"];
    let command = "/commands/19dc5a1f0b4-00000007";
    let records = ["/topics/orders.created", "/topics/orders.created/7", "/topics/orders.created/7/0", command];
    let others = ["/overrides", "/commands", "/topics", "/doctor", "/letters", &job];
    for path in pages.into_iter().chain(others).chain(records) {
        // Nobody may ask as often as all of this takes.
        std::thread::park_timeout(Duration::from_millis(600));
        let mut largest = 0;
        let began = times.len();
        for _ in 0..TIMES {
            let begun = Instant::now();
            let answer = page(&scene, path);
            times.push(begun.elapsed());
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            largest = largest.max(answer.raw.len() + answer.body.len());
        }
        let slowest = times[began..].iter().max().expect("it was asked for");
        eprintln!("{path}: {largest} bytes, {slowest:.1?} at most");
        assert!(largest < BYTES, "{path} has {largest} bytes");
    }
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    eprintln!("p99 of {} pages: {p99:.1?}", times.len());
    assert!(p99 <= P99, "{p99:?}");
}
