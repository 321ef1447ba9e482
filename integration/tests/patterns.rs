//! Topics that patterns find, on a real Kafka: they are there, they come, they go, while the daemon runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use daemonry::daemon::{Consumer, Daemon, DaemonContext, DaemonError, Ended, MissingDeadLetterTopic};
use daemonry::handler::{HandlerError, Router, on};
use daemonry::kafka::{GroupProtocol, KafkaConfig};
use daemonry::pipeline::PipelineSettings;
use daemonry::record::{NextOffset, Partition, Record};
use integration::patience::until_true;
use integration::{Committed, Message, Topics, brokers};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(60);

const PROTOCOLS: [GroupProtocol; 3] = [GroupProtocol::Cooperative, GroupProtocol::Eager, GroupProtocol::Consumer];

/// What the handlers have done: the values, by topic and partition, in the order in which they were handled.
type Journal = Arc<Mutex<BTreeMap<(String, i32), Vec<String>>>>;

/// Topics whose names begin with one that no other test has, and daemons that read them as one group.
struct Scene {
    topics: Topics,
    prefix: String,
    bootstrap: String,
    protocol: GroupProtocol,
    settings: PipelineSettings,
    journal: Journal,
    runtime: Runtime,
}

impl Scene {
    fn new(protocol: GroupProtocol) -> Result<Self> {
        let bootstrap = brokers()?;
        let prefix = (0..10).map(|_| fastrand::lowercase()).collect::<String>();
        let (topics, runtime, journal) = (Topics::connect(&bootstrap)?, Runtime::new()?, Journal::default());
        let settings = PipelineSettings::default();
        Ok(Self { topics, prefix, bootstrap, protocol, settings, journal, runtime })
    }

    fn name(&self, topic: &str) -> String {
        format!("{}.{topic}", self.prefix)
    }

    fn create(&self, topic: &str, partitions: u16) -> Result<()> {
        self.topics.create(&self.name(topic), partitions, &[])
    }

    fn delete(&self, topic: &str) -> Result<()> {
        self.topics.delete(&self.name(topic))
    }

    /// Writes these values, each with its key, to every partition of the topic.
    fn write(&self, topic: &str, values: impl IntoIterator<Item = String>) -> Result<()> {
        let messages: Vec<_> = values.into_iter().map(|value| Message::new(value).key("one")).collect();
        for partition in self.topics.partitions(&self.name(topic))? {
            self.topics.produce_to(&self.name(topic), partition, &messages)?;
        }
        Ok(())
    }

    fn handled(&self, topic: &str, partition: i32) -> Vec<String> {
        let journal = self.journal.lock().expect("no handler panics");
        journal.get(&(self.name(topic), partition)).cloned().unwrap_or_default()
    }

    /// Waits until exactly these values were handled, of each partition in this order.
    fn until_handled(&self, topic: &str, values: impl IntoIterator<Item = String>) -> Result<()> {
        let values: Vec<String> = values.into_iter().collect();
        for Partition(partition) in self.topics.partitions(&self.name(topic))? {
            let done = until_true(LONG, &format!("{topic}[{partition}]"), || {
                Ok(self.handled(topic, partition).len() >= values.len())
            });
            done.with_context(|| format!("{:?}", self.handled(topic, partition)))?;
            let handled = self.handled(topic, partition);
            ensure!(handled == values, "of {topic}[{partition}]: {handled:?}");
        }
        Ok(())
    }

    /// The offsets of the records whose letters are in a topic.
    fn letters(&self, topic: &str) -> Result<Vec<String>> {
        let letters = self.topics.read(&self.name(topic))?.into_iter();
        let offset = |letter: integration::Stored| {
            let value = letter.message.header_values("daemonry-offset").last().flatten().map(<[u8]>::to_vec);
            String::from_utf8(value.unwrap_or_default()).map_err(Into::into)
        };
        letters.map(offset).collect()
    }

    /// All below `<prefix>.orders.`, poison to the dead letters.
    fn router(&self) -> Router {
        let journal = Arc::clone(&self.journal);
        let handle = move |record: Record| {
            let value = String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
            let poison = value.starts_with("poison");
            if !poison {
                let place = (record.topic().to_string(), record.partition().0);
                journal.lock().expect("no handler panics").entry(place).or_default().push(value);
            }
            async move { if poison { Err(HandlerError::poison(anyhow!("bad"))) } else { Ok(()) } }
        };
        Router::new().nest(&format!("{}.", self.prefix), Router::new().pattern(r"orders\.[a-z.]+", on(handle)))
    }

    fn start(&self, router: Router, missing: MissingDeadLetterTopic) -> Running {
        let mut kafka = KafkaConfig::new(&self.bootstrap, &self.prefix);
        (kafka.protocol, kafka.topic_refresh) = (self.protocol, Duration::from_secs(1));
        if self.protocol != GroupProtocol::Consumer {
            kafka = kafka.property("heartbeat.interval.ms", "300");
        }
        let consumer = Consumer::new("orders", kafka, router).settings(self.settings.clone());
        let consumer = Box::new(consumer.missing_dead_letter_topic(missing));
        let context = DaemonContext::detached("orders");
        Running { task: self.runtime.spawn(consumer.run(context.clone())), context }
    }
}

/// A daemon that runs.
struct Running {
    context: DaemonContext,
    task: JoinHandle<Result<Ended, DaemonError>>,
}

impl Running {
    fn until_ready(&self) -> Result<()> {
        until_true(LONG, "the daemon ready", || {
            ensure!(!self.task.is_finished(), "the daemon has ended");
            Ok(self.context.health().is_ready())
        })
    }

    fn end(self, scene: &Scene) -> Result<Result<Ended, DaemonError>> {
        Ok(scene.runtime.block_on(async { tokio::time::timeout(LONG, self.task).await })??)
    }

    fn stop(self, scene: &Scene) -> Result<()> {
        self.context.stop().cancel();
        match self.end(scene)? {
            Ok(Ended::Drained) => Ok(()),
            other => bail!("it ended otherwise: {other:?}"),
        }
    }
}

fn numbers(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|number| number.to_string())
}

fn topics_come_and_go(protocol: GroupProtocol) -> Result<()> {
    let scene = Scene::new(protocol)?;
    scene.create("orders.a", 1)?;
    scene.create("orders.b", 2)?;
    scene.create("bills.a", 1)?;
    for topic in ["orders.a", "orders.b", "bills.a"] {
        scene.write(topic, numbers(0..50))?;
    }
    let daemon = scene.start(scene.router(), MissingDeadLetterTopic::Create);
    scene.until_handled("orders.a", numbers(0..50))?;
    scene.until_handled("orders.b", numbers(0..50))?;

    // One that comes is read from its beginning, and its letters have a topic of their own, with as many partitions.
    scene.create("orders.c", 3)?;
    scene.write("orders.c", numbers(0..30).chain(["poison".to_owned()]).chain(numbers(30..60)))?;
    scene.until_handled("orders.c", numbers(0..60))?;
    assert_eq!(scene.letters("orders.c.dlq")?, ["30", "30", "30"]);
    assert_eq!(scene.topics.partitions(&scene.name("orders.c.dlq"))?.len(), 3);
    assert!(scene.handled("orders.c.dlq", 0).is_empty() && scene.handled("bills.a", 0).is_empty());

    // One that goes takes nothing with it.
    scene.delete("orders.a")?;
    let group = scene.topics.group(&scene.prefix)?;
    for round in 1..4 {
        scene.write("orders.b", numbers(50 * round..50 * (round + 1)))?;
        scene.until_handled("orders.b", numbers(0..50 * (round + 1)))?;
        until_true(LONG, "the commits of what is left", || {
            let committed = group.committed(&scene.name("orders.b"), &[Partition(0), Partition(1)])?;
            Ok(committed.values().filter(|commit| commit.next.offset().0 == i64::from(50 * (round + 1))).count() == 2)
        })?;
    }
    // It is another one when it comes back.
    until_true(LONG, "the topic gone", || Ok(!scene.topics.exists(&scene.name("orders.a"))?))?;
    scene.create("orders.a", 1)?;
    scene.write("orders.a", numbers(100..150))?;
    scene.until_handled("orders.a", numbers(0..50).chain(numbers(100..150)))?;
    daemon.until_ready()?;
    daemon.stop(&scene)
}

#[test]
fn topics_come_and_go_under_the_cooperative_protocol() -> Result<()> {
    topics_come_and_go(GroupProtocol::Cooperative)
}

#[test]
fn topics_come_and_go_under_the_eager_protocol() -> Result<()> {
    topics_come_and_go(GroupProtocol::Eager)
}

#[test]
fn topics_come_and_go_under_the_consumer_protocol() -> Result<()> {
    topics_come_and_go(GroupProtocol::Consumer)
}

#[test]
fn a_daemon_waits_for_topics_and_those_for_places_for_their_letters() -> Result<()> {
    for protocol in PROTOCOLS {
        let scene = Scene::new(protocol)?;
        let daemon = scene.start(scene.router(), MissingDeadLetterTopic::Refuse);
        daemon.until_ready()?;
        scene.create("orders.bare", 1)?;
        scene.write("orders.bare", ["poison".to_owned(), "1".to_owned()])?;
        scene.create("orders.whole.dlq", 1)?;
        scene.create("orders.whole", 1)?;
        scene.write("orders.whole", numbers(0..10))?;
        scene.until_handled("orders.whole", numbers(0..10))?;
        assert!(scene.handled("orders.bare", 0).is_empty(), "nothing is read before its letters can be written");
        scene.create("orders.bare.dlq", 1)?;
        scene.until_handled("orders.bare", numbers(1..2))?;
        assert_eq!(scene.letters("orders.bare.dlq")?, ["0"]);

        // With the last of its topics it leaves its group, and it comes back with the next.
        scene.delete("orders.bare")?;
        scene.delete("orders.whole")?;
        scene.create("orders.next.dlq", 1)?;
        scene.create("orders.next", 1)?;
        scene.write("orders.next", numbers(0..10))?;
        scene.until_handled("orders.next", numbers(0..10))?;
        daemon.stop(&scene)?;
    }
    Ok(())
}

#[test]
fn letters_that_go_elsewhere_are_made_a_place_with_the_first_topic() -> Result<()> {
    let scene = Scene::new(GroupProtocol::Cooperative)?;
    let poisoned = on(async || Err::<(), _>(HandlerError::poison(anyhow!("bad")))).dead_letter(scene.name("failed"));
    let router = Router::new().pattern(format!(r"{}\.orders\..+", scene.prefix), poisoned);
    let daemon = scene.start(router, MissingDeadLetterTopic::Create);
    daemon.until_ready()?;
    assert!(!scene.topics.exists(&scene.name("failed"))?);
    for topic in ["orders.a", "orders.b"] {
        scene.create(topic, 2)?;
        scene.write(topic, numbers(0..1))?;
    }
    until_true(LONG, "a topic for the letters", || scene.topics.exists(&scene.name("failed")))?;
    until_true(LONG, "four letters", || Ok(scene.letters("failed")?.len() == 4))?;
    assert_eq!(scene.topics.partitions(&scene.name("failed"))?.len(), 2);
    assert!(!scene.topics.exists(&scene.name("orders.a.dlq"))?);
    daemon.stop(&scene)
}

#[test]
fn a_commit_for_a_topic_that_is_gone_holds_nobody_up() -> Result<()> {
    for protocol in PROTOCOLS {
        let mut scene = Scene::new(protocol)?;
        eprintln!("{protocol:?}");
        // All that is handled is still to be committed when the topic goes, and there is more time for that than this test has.
        scene.settings.commit_interval = Duration::from_secs(3_600);
        scene.settings.rebalance_drain = Duration::from_secs(600);
        scene.create("orders.a", 1)?;
        scene.create("orders.b", 1)?;
        for topic in ["orders.a", "orders.b"] {
            scene.write(topic, numbers(0..50))?;
        }
        let daemon = scene.start(scene.router(), MissingDeadLetterTopic::Create);
        scene.until_handled("orders.a", numbers(0..50))?;
        scene.until_handled("orders.b", numbers(0..50))?;
        scene.delete("orders.a")?;
        until_true(LONG, "the topic gone", || Ok(!scene.topics.exists(&scene.name("orders.a"))?))?;
        scene.create("orders.c", 1)?;
        scene.write("orders.c", numbers(0..50))?;
        scene.until_handled("orders.c", numbers(0..50))?;
        scene.create("orders.a", 1)?;
        scene.write("orders.a", numbers(50..60))?;
        if let Err(error) = scene.until_handled("orders.a", numbers(0..60)) {
            let ended = daemon.task.is_finished().then(|| scene.runtime.block_on(daemon.task));
            bail!("{error:#}; the daemon has ended: {ended:?}");
        }
        scene.until_handled("orders.b", numbers(0..50))?;
        daemon.stop(&scene)?;
    }
    Ok(())
}

/// Commits that were on their way while a topic went, and came when its namesake was there: whose topics come and go has lost nothing by that.
#[test]
fn a_commit_of_a_topic_that_is_gone_counts_for_no_namesake_of_it() -> Result<()> {
    for protocol in PROTOCOLS {
        let scene = Scene::new(protocol)?;
        eprintln!("{protocol:?}");
        scene.create("orders.a", 2)?;
        scene.write("orders.a", numbers(0..20))?;
        let topic = scene.name("orders.a");
        let former = Committed { next: NextOffset::at(15), metadata: "dm3:00000000.2:".to_owned() };
        scene.topics.group(&scene.prefix)?.commit(&topic, Partition(1), &former)?;
        let daemon = scene.start(scene.router(), MissingDeadLetterTopic::Create);
        scene.until_handled("orders.a", numbers(0..20))?;
        daemon.stop(&scene)?;
    }
    Ok(())
}

#[test]
fn members_share_a_topic_that_appears() -> Result<()> {
    for protocol in PROTOCOLS {
        let scene = Scene::new(protocol)?;
        scene.create("orders.a", 4)?;
        let daemons = [(); 2].map(|()| scene.start(scene.router(), MissingDeadLetterTopic::Create));
        for daemon in &daemons {
            daemon.until_ready()?;
        }
        scene.create("orders.b", 4)?;
        for round in 0..5 {
            scene.write("orders.b", numbers(100 * round..100 * (round + 1)))?;
            // Each value once, through whatever the group does meanwhile.
            scene.until_handled("orders.b", numbers(0..100 * (round + 1)))?;
        }
        for daemon in daemons {
            daemon.stop(&scene)?;
        }
    }
    Ok(())
}

#[test]
fn what_can_not_be_served_is_told_at_the_start() -> Result<()> {
    let refused = |scene: &Scene, router: Router| -> Result<String> {
        match scene.start(router, MissingDeadLetterTopic::Refuse).end(scene)? {
            Err(DaemonError::Config(error)) => Ok(error.to_string()),
            other => bail!("it was not refused: {other:?}"),
        }
    };
    let scene = Scene::new(GroupProtocol::Cooperative)?;
    scene.create("orders.a", 1)?;
    let letters = refused(&scene, scene.router())?;
    let expected = "topic `P.orders.a.dlq` for the dead letters of `P.orders.a` does not exist: create it, name another one with \
                    `dead_letter`, or let the daemon create it with `missing_dead_letter_topic`";
    assert_eq!(letters, expected.replace('P', &scene.prefix));

    let other = Router::new().pattern(format!(r"{}\.[^.]+\.a", scene.prefix), on(async || {}));
    let ambiguous = refused(&scene, scene.router().merge(other))?;
    let expected = r"topic `P.orders.a` matches both patterns `P\.orders\.[a-z.]+` and `P\.[^.]+\.a`: make them differ, or give the topic a route of its own";
    assert_eq!(ambiguous, expected.replace('P', &scene.prefix));

    let named = Router::new().topic(scene.name("orders.a"), on(async || {}).stop_on_failure());
    let missing = Router::new().topic(scene.name("none"), on(async || {}).stop_on_failure());
    assert_eq!(
        refused(&scene, scene.router().merge(named).merge(missing))?,
        "topic `P.none` does not exist: create it, or correct the route's topic".replace('P', &scene.prefix)
    );
    assert!(!scene.topics.exists(&scene.name("orders.a.dlq"))?);

    let fixed = Router::new().pattern(r"orders\..+", on(async || {}).dead_letter(scene.name("failed")));
    let expected = r"topic `P.failed` for the dead letters of `orders\..+` does not exist: create it, name another one with `dead_letter`, or let the daemon create it with `missing_dead_letter_topic`";
    assert_eq!(refused(&scene, fixed)?, expected.replace('P', &scene.prefix));
    Ok(())
}
