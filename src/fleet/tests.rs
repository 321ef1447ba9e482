//! Processes of a fleet, over the broker in memory.

mod orders;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::members::Members;
use super::*;
use crate::metrics::Metrics;
use crate::producer::SendError;
use crate::record::OwnedRecord;
use crate::supervisor::Entry;

/// A process with a daemon.
struct Process {
    instance: Instance,
    fleet: Fleet,
    _entry: Entry,
}

impl Process {
    fn start(broker: &MemoryBroker, program: &str, id: &str) -> Self {
        let (roster, metrics) = (Roster::default(), Metrics::new());
        let entry = roster.enter("orders".into(), metrics.daemon("orders"));
        let instance = Instance { id: id.to_owned(), ..Instance::this(program, None) };
        let config = FleetConfig::in_memory(broker).every(Duration::from_millis(20));
        let fleet = Fleet::start(config, &instance, roster).expect("a thread");
        Self { instance, fleet, _entry: entry }
    }

    /// Whom it sees in the end.
    async fn sees(&self, expected: &[&str]) {
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        let begun = Instant::now();
        loop {
            let Sighting { others, .. } = self.fleet.look().await;
            let seen: BTreeSet<&str> = others.iter().map(|heard| heard.report.instance.id.as_str()).collect();
            if seen == expected {
                return assert!(!others.iter().any(Heard::is_silent));
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{} sees {seen:?}", self.instance.id);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn processes_of_a_program_see_one_another_until_they_end() {
    let broker = MemoryBroker::new();
    let [one, two, other] = [("shop", "one"), ("shop", "two"), ("billing", "other")]
        .map(|(program, id)| Process::start(&broker, program, id));
    // What nobody understands is passed over.
    for (key, value) in [("three", "{"), ("four", "{\"version\":9}")] {
        broker.produce(DEFAULT_REPORTS, 0, OwnedRecord::new(value).with_key(key));
    }
    one.sees(&["two"]).await;
    two.sees(&["one"]).await;
    other.sees(&[]).await;
    let Sighting { others, trouble } = one.fleet.seen();
    assert_eq!(trouble, None);
    let reported = &others[0].report.daemons;
    assert_eq!((reported.len(), reported[0].daemon.name.as_str()), (1, "orders"));
    drop(two);
    one.sees(&[]).await;
}

#[tokio::test]
async fn what_is_in_the_way_is_told_until_it_is_gone() {
    let broker = MemoryBroker::new();
    broker.create_topic(DEFAULT_REPORTS, 1);
    broker.refuse_sends(Some(SendError::NotAuthorized(DEFAULT_REPORTS.into())));
    let one = Process::start(&broker, "shop", "one");
    let told = async |expected: Option<&str>| {
        let begun = Instant::now();
        loop {
            let trouble = one.fleet.look().await.trouble;
            let is_told = match expected {
                Some(text) => trouble.as_deref().is_some_and(|trouble| trouble.contains(text)),
                None => trouble.is_none(),
            };
            if is_told {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{trouble:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    told(Some("grant this user WRITE")).await;
    broker.refuse_sends(None);
    told(None).await;
}

#[test]
fn who_is_not_heard_of_is_silent_and_then_forgotten() {
    let (mut members, start) = (Members::default(), Instant::now());
    let report = |id: &str| {
        let instance = Instance { id: id.to_owned(), ..Instance::this("shop", None) };
        Some(Report { instance, at: 0, daemons: Vec::new(), daemons_left_out: 0, steered: Steered::default() })
    };
    members.hear("one", report("one"), start);
    members.hear("two", report("two"), start + Duration::from_secs(10));
    let mut told = |seconds: u64| {
        let all = members.all(start + Duration::from_secs(seconds));
        all.iter().map(|heard| (heard.report.instance.id.clone(), heard.is_silent())).collect::<Vec<_>>()
    };
    let of = |id: &str, is_silent: bool| (id.to_owned(), is_silent);
    assert_eq!(told(15), [of("one", false), of("two", false)]);
    assert_eq!(told(16), [of("one", true), of("two", false)]);
    assert_eq!(told(600), [of("two", true)]);
    members.hear("two", None, start);
    assert!(members.all(start).is_empty());
}
