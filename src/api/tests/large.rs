//! Pages of a large deployment: five hundred partitions, fifty processes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::pages::page;
use super::{Scene, open, until};
use crate::fleet::{DEFAULT_REPORTS, FleetConfig};
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
    let scene = Scene::of(open(), Some(FleetConfig::in_memory(&broker)), daemon.control().clone());
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
    for path in ["/", "/daemons/orders", "/fleet", "/fleet/shop-7", "/errors", "/workers"] {
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
