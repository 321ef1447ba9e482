//! The fleet: the processes that run the same program, what each of them is at, and what operators have ordered of all of them.
//!
//! A Kubernetes Service reaches one process only, so each tells of itself in a compacted topic, every five seconds and under its own name; whoever
//! is asked about all of them reads it there. What operators order stands in another such topic, which all of them read: a process that begins is as
//! they want it from its first record on, and each tells in its report how far it has read. What was done in each of them stands there too. The invariants: nothing of it holds a daemon up, as it has
//! threads and clients of its own; reports are read only while somebody looks; and where they can't be written or read, that is told, and the process
//! shows and steers itself alone.

mod helm;
mod lacks;
mod log;
mod lookout;
mod members;
mod orders;
mod overrides;
mod report;
mod reporter;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::api::{AuditEntry, Instance};
use crate::dead_letters::LettersError;
use crate::dead_letters::shelf::Shelf;
#[cfg(feature = "kafka")]
use crate::kafka::{ConfigError, KafkaConfig, KafkaProducer, KafkaShelf};
use crate::producer::Producer;
use crate::record::Topic;
use crate::supervisor::Roster;
use crate::testing::MemoryBroker;
use helm::Helm;
#[cfg(test)]
use helm::OrderTrouble;
pub(crate) use helm::{Carried, Command, Deed, Meant, Stands};
pub(crate) use lacks::lacking;
use lookout::Lookout;
pub(crate) use members::Heard;
pub(crate) use orders::{LONGEST, NotSought, Order, Outcome, Reached, tally};
#[cfg(all(test, feature = "cli"))]
pub(crate) use overrides::Override;
pub(crate) use overrides::{Change, Seek, Standing};
pub(crate) use report::{Report, Reported, Steered};
use reporter::Reporter;

/// The topic of the reports where nothing else is said.
pub const DEFAULT_REPORTS: &str = "daemonry.reports";

/// The topic of what operators order where nothing else is said.
pub const DEFAULT_CONTROL: &str = "daemonry.control";

/// Why nobody else is shown where there is no fleet.
const ALONE: &str = "no fleet is configured: with `fleet: {enabled: true}` all processes of the program are shown here";

/// How long daemons wait for what operators have changed before they start without it.
const SETTLED: Duration = Duration::from_secs(5);

/// How often a process tells of itself.
const EVERY: Duration = Duration::from_secs(5);

/// Where the processes of a program tell of themselves, and where what operators order stands.
///
/// The topics are made where they are missing and this user may: compacted, with one partition. It takes the rights READ and WRITE on them.
///
/// ```no_run
/// use daemonry::fleet::FleetConfig;
/// use daemonry::kafka::KafkaConfig;
/// use daemonry::supervisor::Supervisor;
///
/// # fn main() -> Result<(), daemonry::kafka::ConfigError> {
/// let kafka = KafkaConfig::new("localhost:9092", "shop");
/// let supervisor = Supervisor::new().program("shop").fleet(FleetConfig::kafka(&kafka)?);
/// # drop(supervisor);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FleetConfig {
    topic: Topic,
    control: Topic,
    producer: Producer,
    shelf: Arc<dyn Shelf>,
    every: Duration,
}

impl FleetConfig {
    /// In [`DEFAULT_REPORTS`] and [`DEFAULT_CONTROL`] of this cluster; its group doesn't matter.
    ///
    /// # Errors
    /// What librdkafka refuses.
    #[cfg(feature = "kafka")]
    pub fn kafka(config: &KafkaConfig) -> Result<Self, ConfigError> {
        let producer = Producer::new(Arc::new(KafkaProducer::new(config)?));
        Ok(Self::new(producer, Arc::new(KafkaShelf::new(config)?)))
    }

    /// In the same topics of a broker in memory: for tests of programs.
    pub fn in_memory(broker: &MemoryBroker) -> Self {
        Self::new(Producer::new(Arc::new(broker.clone())), Arc::new(broker.clone()))
    }

    fn new(producer: Producer, shelf: Arc<dyn Shelf>) -> Self {
        let (topic, control) = (Topic::from(DEFAULT_REPORTS), Topic::from(DEFAULT_CONTROL));
        Self { topic, control, producer, shelf, every: EVERY }
    }

    /// They tell of themselves in another topic.
    #[must_use]
    pub fn reports(self, topic: impl Into<Topic>) -> Self {
        Self { topic: topic.into(), ..self }
    }

    /// What operators order stands in another topic.
    #[must_use]
    pub fn control(self, topic: impl Into<Topic>) -> Self {
        Self { control: topic.into(), ..self }
    }

    #[cfg(test)]
    pub(crate) fn every(self, every: Duration) -> Self {
        Self { every, ..self }
    }
}

impl fmt::Debug for FleetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetConfig").field("topic", &self.topic).field("every", &self.every).finish_non_exhaustive()
    }
}

/// This process within its fleet.
pub(crate) struct Fleet {
    /// `None` where no fleet is configured: then what is ordered here reaches this process alone.
    others: Option<Others>,
    helm: Helm,
    instance: Instance,
}

/// What the others hear of this process, and it of them. Dropping it takes the report back, and waits for that, two seconds at most.
struct Others {
    reporter: Reporter,
    lookout: Lookout,
}

/// What is known of the other processes.
#[derive(Debug, Default)]
pub(crate) struct Sighting {
    /// In the order of their names.
    pub(crate) others: Vec<Heard>,
    /// Why some may be missing here, or this one where they are asked.
    pub(crate) trouble: Option<String>,
}

impl Fleet {
    /// Tells of this process from now on, and has it do what operators have ordered.
    pub(crate) fn start(config: FleetConfig, instance: &Instance, roster: Roster) -> io::Result<Self> {
        let lookout = Lookout::new(&config, instance);
        let log = (config.producer.clone(), Arc::clone(&config.shelf));
        let helm = Helm::start(config.control.clone(), log, instance, roster.clone(), false)?;
        let reporter = Reporter::start(config, instance.clone(), roster, helm.steering())?;
        Ok(Self { others: Some(Others { reporter, lookout }), helm, instance: instance.clone() })
    }

    /// Has this process do what operators order here, until its end. It tells nobody.
    pub(crate) fn alone(instance: &Instance, roster: Roster) -> io::Result<Self> {
        let broker = MemoryBroker::new();
        let log = (Producer::new(Arc::new(broker.clone())), Arc::new(broker) as Arc<dyn Shelf>);
        let helm = Helm::start(Topic::from(DEFAULT_CONTROL), log, instance, roster, true)?;
        Ok(Self { others: None, helm, instance: instance.clone() })
    }

    /// Whether this process is the only one that what is ordered here can reach.
    pub(crate) fn is_alone(&self) -> bool {
        self.others.is_none()
    }

    /// Waits until it is known what operators have changed, five seconds at most: daemons start as they are to be.
    pub(crate) async fn settled(&self) {
        self.helm.settled(SETTLED).await;
    }

    /// What is known by now; it is found out more from then on, as long as somebody looks.
    pub(crate) fn seen(&self) -> Sighting {
        match &self.others {
            Some(others) => self.told(others.lookout.seen()),
            None => Sighting { others: Vec::new(), trouble: Some(ALONE.to_owned()) },
        }
    }

    /// What is known once it was looked, which takes up to five seconds the first time.
    pub(crate) async fn look(&self) -> Sighting {
        match &self.others {
            Some(others) => self.told(others.lookout.look().await),
            None => self.seen(),
        }
    }

    /// Tells the others, some day, of what was done here.
    pub(crate) fn did(&self, entry: AuditEntry) {
        if !self.is_alone() {
            self.helm.did(Deed { instance: self.instance.clone(), entry });
        }
    }

    /// What was done in the other processes, those that have ended too, and why some of it may be missing.
    pub(crate) async fn deeds(&self) -> (Vec<Deed>, Option<String>) {
        if self.is_alone() {
            return (Vec::new(), None);
        }
        let unknown = self.helm.refresh().await.err().map(|why| why.to_string());
        let (mut deeds, trouble) = self.helm.deeds();
        deeds.retain(|deed| deed.instance.id != self.instance.id);
        (deeds, trouble.or(unknown))
    }

    /// What was ordered in all processes, the latest first, and why some of it may be missing.
    pub(crate) async fn commands(&self) -> (Vec<Command>, Option<String>) {
        let unknown = self.helm.refresh().await.err().map(|why| why.to_string());
        let (commands, trouble) = self.helm.commands();
        (commands, trouble.or(unknown))
    }

    fn told(&self, sighting: Sighting) -> Sighting {
        let trouble = self.others.as_ref().and_then(|others| others.reporter.trouble());
        let trouble = trouble.or(sighting.trouble).or_else(|| self.helm.trouble());
        Sighting { trouble, ..sighting }
    }
}

/// What is in the way, told in the log when it changes.
#[derive(Debug)]
struct Trouble {
    /// What that means.
    what: &'static str,
    known: Mutex<Option<String>>,
}

impl Trouble {
    fn of(what: &'static str) -> Self {
        Self { what, known: Mutex::new(None) }
    }

    /// How it went this time.
    fn note(&self, now: Result<(), String>) {
        let now = now.err();
        let (what, mut known) = (self.what, self.known.lock());
        if *known == now {
            return;
        }
        match &now {
            Some(trouble) => tracing::warn!(trouble, "fleet: {what}"),
            None => tracing::info!("fleet: no longer so: {what}"),
        }
        *known = now;
    }

    fn known(&self) -> Option<String> {
        self.known.lock().clone()
    }
}

/// Makes the topic, unless it is there.
async fn make(topic: &Topic, shelf: Arc<dyn Shelf>) -> Result<(), String> {
    let made = {
        let topic = topic.clone();
        tokio::task::spawn_blocking(move || shelf.create_compacted(&topic)).await
    };
    match made {
        Ok(Ok(())) => Ok(()),
        Ok(Err(LettersError::NoMarks { topic, reason })) => Err(format!(
            "topic `{topic}` is missing, and can't be created: {reason}; create it with `cleanup.policy=compact` and one partition"
        )),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
