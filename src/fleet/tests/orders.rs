//! What operators order, in processes of a fleet and in one that is alone.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::api::shown::{Destination, RateLimit, Scope};
use crate::dead_letters::shelf::{Batching, Reader, Stop, Writer};
use crate::pipeline::control::{self, Control};
use crate::record::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn order(changes: Vec<Change>, lasts: Duration) -> Order {
    let (daemon, what, about) = ("orders".to_owned(), "changed".to_owned(), Scope::default());
    Order { daemon, what, about, changes, by: "ada".to_owned(), reason: "why".to_owned(), lasts }
}

fn pause() -> Change {
    Change::Pause(Scope::default())
}

fn workers(number: usize) -> Change {
    Change::Workers(NonZeroUsize::new(number).expect("above 0"))
}

/// A process with a daemon that is steered.
struct Shop {
    fleet: Fleet,
    control: Control,
    _entry: Entry,
}

impl Shop {
    fn start(broker: Option<&MemoryBroker>, id: &str) -> Self {
        let (roster, metrics, control) = (Roster::default(), Metrics::new(), Control::new());
        let entry = roster.enter("orders".into(), metrics.daemon("orders"));
        entry.control().take(&control);
        let instance = Instance { id: id.to_owned(), ..Instance::this("shop", None) };
        let fleet = match broker {
            Some(broker) => {
                let config = FleetConfig::in_memory(broker).every(Duration::from_millis(50));
                Fleet::start(config, &instance, roster)
            }
            None => Fleet::alone(&instance, roster),
        };
        Self { fleet: fleet.expect("a thread"), control, _entry: entry }
    }

    /// Waits until it is steered like this.
    async fn until(&self, what: &str, is: impl Fn(&Control) -> bool) {
        let begun = Instant::now();
        while !is(&self.control) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {:?}", self.control);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn names(reached: &[Reached]) -> Vec<(&str, bool)> {
    reached.iter().map(|one| (one.instance.as_str(), one.obeys)).collect()
}

#[tokio::test]
async fn one_process_is_asked_and_all_do_it_and_whoever_begins_later_does_from_its_beginning() {
    let broker = MemoryBroker::new();
    let [one, two] = ["one", "two"].map(|id| Shop::start(Some(&broker), id));
    // It is known that there is another one.
    while one.fleet.look().await.others.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let Outcome { reached, trouble, .. } = one.fleet.order(order(vec![pause()], DAY), |_| false).await;
    assert_eq!((names(&reached), trouble), (vec![("one", true), ("two", true)], None));
    for each in [&one, &two] {
        assert_eq!(each.control.paused(), [control::Scope::All]);
        let standing = each.fleet.standing();
        let [Standing { of, here_alone: false }] = &standing[..] else { panic!("{standing:?}") };
        assert_eq!((&*of.by, &*of.reason, of.until - of.at), ("ada", "why", 24 * 3_600_000));
    }

    let late = Shop::start(Some(&broker), "late");
    late.fleet.settled().await;
    assert_eq!(late.control.paused(), [control::Scope::All]);

    // Another one than who has ordered it takes it back.
    let id = late.fleet.standing()[0].of.id.clone();
    let (lifted, _) = late.fleet.lift(&id, "ada", "mended").await.expect("it stands");
    assert_eq!(lifted.of.change, pause());
    for each in [&one, &two, &late] {
        each.until("goes on", |control| control.paused().is_empty()).await;
    }
    assert!(one.fleet.lift(&id, "ada", "mended").await.is_none());
}

#[tokio::test]
async fn fifty_processes_obey_one_order_and_each_is_known_to() {
    const PROCESSES: usize = 50;
    let broker = MemoryBroker::new();
    let shops: Vec<Shop> =
        (0..PROCESSES).map(|number| Shop::start(Some(&broker), &format!("shop-{number:02}"))).collect();
    let begun = Instant::now();
    while shops[7].fleet.look().await.others.len() < PROCESSES - 1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "they are not heard of");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begun = Instant::now();
    let Outcome { reached, trouble, .. } = shops[7].fleet.order(order(vec![workers(3)], DAY), |_| false).await;
    eprintln!("fifty processes obey within {:.1?}", begun.elapsed());
    assert_eq!((reached.len(), reached.iter().filter(|one| one.obeys).count()), (PROCESSES, PROCESSES), "{reached:?}");
    assert_eq!(trouble, None);
    assert!(shops.iter().all(|shop| shop.control.workers() == NonZeroUsize::new(3)));
    let id = shops[49].fleet.standing()[0].of.id.clone();
    let (_, Outcome { reached, .. }) = shops[0].fleet.lift(&id, "ada", "mended").await.expect("it stands");
    assert!(reached.iter().all(|one| one.obeys), "{reached:?}");
    assert!(shops.iter().all(|shop| shop.control.workers().is_none()));
}

#[tokio::test]
async fn another_programs_orders_and_what_nobody_understands_are_passed_over() {
    let broker = MemoryBroker::new();
    let other = OwnedRecord::new(
        r#"{"override":{"id":"a","daemon":"orders","change":{"workers":1},"by":"b","reason":"c","at":0,"until":99999999999999}}"#,
    );
    broker.produce(DEFAULT_CONTROL, 0, other.with_key("billing/a"));
    for (key, value) in [("shop/b", "{"), ("shop/c", r#"{"override":{"id":"c","change":"later"}}"#), ("shop", "{}")] {
        broker.produce(DEFAULT_CONTROL, 0, OwnedRecord::new(value).with_key(key));
    }
    let one = Shop::start(Some(&broker), "one");
    one.fleet.settled().await;
    assert_eq!((one.control.workers(), one.fleet.standing()), (None, Vec::new()));
    one.fleet.order(order(vec![workers(3)], DAY), |_| false).await;
    assert_eq!(one.control.workers(), NonZeroUsize::new(3));
}

#[tokio::test]
async fn alone_it_holds_here_and_ends_by_itself_when_its_time_is_over() {
    let one = Shop::start(None, "one");
    one.fleet.settled().await;
    let limit = Change::Rate(RateLimit { attempts: 5, interval: 1_000 });
    let begun = Instant::now();
    let Outcome { reached, trouble, .. } =
        one.fleet.order(order(vec![limit], Duration::from_millis(300)), |_| false).await;
    assert_eq!((names(&reached), trouble), (vec![("one", true)], None));
    assert_eq!(one.control.rate().map(control::Rate::attempts), Some(5));
    // Nobody else looks, and nothing else happens.
    one.until("no limit", |control| control.rate().is_none()).await;
    assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
    assert!(one.fleet.standing().is_empty());
}

#[tokio::test]
async fn a_change_takes_the_place_of_what_it_replaces() {
    let one = Shop::start(None, "one");
    one.fleet.order(order(vec![workers(3), pause()], DAY), |_| false).await;
    one.fleet.order(order(vec![workers(2)], DAY), |change| matches!(change, Change::Workers(_))).await;
    let changes: Vec<Change> = one.fleet.standing().into_iter().map(|known| known.of.change).collect();
    assert_eq!(changes, [pause(), workers(2)]);
    assert_eq!(one.control.workers(), NonZeroUsize::new(2));
}

#[tokio::test]
async fn what_can_not_be_written_holds_here_alone_and_says_so() {
    let broker = MemoryBroker::new();
    let one = Shop::start(Some(&broker), "one");
    one.fleet.settled().await;
    broker.refuse_sends(Some(SendError::NotAuthorized(DEFAULT_CONTROL.into())));
    let Outcome { reached, trouble, .. } = one.fleet.order(order(vec![workers(3)], DAY), |_| false).await;
    let Some(OrderTrouble::Unwritten(trouble)) = trouble else { panic!("it could not be written: {trouble:?}") };
    assert!(trouble.contains(DEFAULT_CONTROL), "{trouble}");
    assert_eq!(names(&reached), [("one", true)]);
    assert_eq!(one.control.workers(), NonZeroUsize::new(3));
    let standing = one.fleet.standing();
    let [Standing { of, here_alone: true }] = &standing[..] else { panic!("{standing:?}") };
    one.fleet.lift(&of.id, "ada", "mended").await.expect("it stands");
    assert_eq!(one.control.workers(), None);
}

#[tokio::test]
async fn nobody_who_has_the_partition_is_told_at_once() {
    let broker = MemoryBroker::new();
    let [one, two] = ["one", "two"].map(|id| Shop::start(Some(&broker), id));
    let begun = Instant::now();
    let seek = Seek {
        daemon: "orders".to_owned(),
        topic: "created".to_owned(),
        partition: 3,
        to: Destination::Beginning,
        by: "ada".to_owned(),
        reason: "again".to_owned(),
    };
    let went = one.fleet.seek(seek, None).await;
    let why = went.expect_err("nobody has it");
    assert_eq!((why.to_string(), why.is_open()), ("no process that is heard of has created[3] now".to_owned(), false));
    assert!(begun.elapsed() < Duration::from_secs(6));
    assert!(two.fleet.standing().is_empty());
}

#[tokio::test]
async fn what_was_over_long_ago_is_taken_out_of_the_log_by_whoever_begins() {
    let broker = MemoryBroker::new();
    let hours_ago = |hours: u64| Timestamp::now().as_millis() - hours * 3_600_000;
    let entry = |id: &str, until: u64| {
        let value = format!(
            r#"{{"override":{{"id":"{id}","daemon":"orders","change":{{"workers":1}},"by":"b","reason":"c","at":0,"until":{until}}}}}"#
        );
        broker.produce(DEFAULT_CONTROL, 0, OwnedRecord::new(value).with_key(format!("shop/{id}")));
    };
    entry("old", hours_ago(2));
    // What is named otherwise than its key says takes nothing else with it.
    let until = hours_ago(2);
    let foreign = format!(
        r#"{{"errand":{{"id":"late","daemon":"orders","topic":"t","partition":0,"to":"end","by":"b","reason":"c","until":{until}}}}}"#
    );
    broker.produce(DEFAULT_CONTROL, 0, OwnedRecord::new(foreign).with_key("shop/foreign"));
    // By another clock it may hold still.
    entry("late", hours_ago(0) - 1_000);
    let one = Shop::start(Some(&broker), "one");
    one.fleet.settled().await;
    assert_eq!((one.control.workers(), one.fleet.standing()), (None, Vec::new()));
    let begun = Instant::now();
    let gone = loop {
        let records = broker.records(DEFAULT_CONTROL, 0);
        let gone: Vec<_> = records.iter().filter(|(_, record)| record.value.is_none()).collect();
        if let [(_, gone)] = gone[..] {
            break gone.key.clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{records:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(gone.as_deref(), Some(b"shop/old".as_slice()));
}

/// A cluster that can't be read the first so many times.
#[derive(Debug)]
struct Faulty {
    broker: MemoryBroker,
    faults: AtomicUsize,
}

impl Shelf for Faulty {
    fn reader(&self, stop: &Stop) -> Result<Box<dyn Reader>, LettersError> {
        let is_over = self.faults.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        if is_over { self.broker.reader(stop) } else { Err(LettersError::Unavailable("no broker answers".to_owned())) }
    }

    fn writer(&self, letters: &Topic, batching: Batching) -> Result<Box<dyn Writer>, LettersError> {
        self.broker.writer(letters, batching)
    }

    fn create_compacted(&self, topic: &Topic) -> Result<(), LettersError> {
        self.broker.create_compacted(topic)
    }
}

/// A process of whose cluster so many readings fail, where operators have scaled its daemon.
fn begun_in_trouble(faults: usize) -> Shop {
    let broker = MemoryBroker::new();
    let entry = r#"{"override":{"id":"a","daemon":"orders","change":{"workers":3},"by":"b","reason":"c","at":0,"until":99999999999999}}"#;
    broker.produce(DEFAULT_CONTROL, 0, OwnedRecord::new(entry).with_key("shop/a"));
    let (roster, metrics, control) = (Roster::default(), Metrics::new(), Control::new());
    let daemon = roster.enter("orders".into(), metrics.daemon("orders"));
    daemon.control().take(&control);
    let shelf = Faulty { broker: broker.clone(), faults: AtomicUsize::new(faults) };
    let config = FleetConfig { shelf: Arc::new(shelf), ..FleetConfig::in_memory(&broker) };
    let fleet = Fleet::start(config, &Instance::this("shop", None), roster).expect("a thread");
    Shop { fleet, control, _entry: daemon }
}

#[tokio::test]
async fn what_can_not_be_read_at_first_is_read_before_daemons_start() {
    let begun = Instant::now();
    let one = begun_in_trouble(2);
    one.fleet.settled().await;
    assert_eq!(one.control.workers(), NonZeroUsize::new(3));
    assert!(begun.elapsed() < SETTLED, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn daemons_wait_for_what_can_not_be_read_for_as_long_as_they_may_and_no_longer() {
    let patience = Duration::from_millis(700);
    let one = begun_in_trouble(usize::MAX);
    // It is known by then that something is in the way.
    while one.fleet.trouble().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begun = Instant::now();
    one.fleet.helm.settled(patience).await;
    assert!(begun.elapsed() >= patience && begun.elapsed() < SETTLED, "{:?}", begun.elapsed());
    assert_eq!(one.control.workers(), None);
}

#[tokio::test]
async fn a_seek_whose_order_may_have_been_written_is_not_refused() {
    let broker = MemoryBroker::new();
    broker.create_topic(DEFAULT_REPORTS, 1);
    let one = Shop::start(Some(&broker), "one");
    // Another process may have the partition, as it says.
    let (roster, metrics) = (Roster::default(), Metrics::new());
    let _orders = roster.enter("orders".into(), metrics.daemon("orders"));
    let two = Instance { id: "two".to_owned(), ..Instance::this("shop", None) };
    let mut report = Report::whole(&two, &roster, Steered::default());
    report.daemons[0].partitions_left_out = 1;
    let record = OwnedRecord::new(serde_json::to_vec(&report).expect("JSON")).with_key("two");
    broker.produce(DEFAULT_REPORTS, 0, OwnedRecord { timestamp: Some(Timestamp::now()), ..record });
    while one.fleet.look().await.others.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It is written at once, and acknowledged too late.
    broker.delay_sends(Duration::from_secs(60));
    let (daemon, topic, by, reason) = ("orders".to_owned(), "created".to_owned(), "ada".to_owned(), "why".to_owned());
    let seek = Seek { daemon, topic, partition: 3, to: Destination::End, by, reason };
    let why = one.fleet.seek(seek, None).await.expect_err("nobody has answered");
    assert!(why.is_open() && why.to_string().contains("not acknowledged within 4s"), "{why:?}");
    let Outcome { trouble, .. } = one.fleet.order(order(vec![workers(3)], DAY), |_| false).await;
    let trouble = trouble.expect("it was not acknowledged");
    assert!(trouble.to_string().contains("whether for the others is not known"), "{trouble}");
    assert_eq!(one.control.workers(), NonZeroUsize::new(3));
}

#[tokio::test]
async fn the_latest_command_is_the_first_within_a_millisecond_too() {
    let one = Shop::start(None, "one");
    for number in 1..=200 {
        let what = number.to_string();
        one.fleet.order(Order { what, ..order(Vec::new(), DAY) }, |_| false).await;
    }
    let (commands, _) = one.fleet.commands().await;
    let told: Vec<_> = commands.iter().map(|one| one.what.parse::<u32>().expect("a number")).collect();
    assert_eq!(told, (1..=200).rev().collect::<Vec<_>>());
}
