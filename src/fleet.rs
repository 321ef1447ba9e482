//! The fleet: the processes that run the same program, and what each of them is at.
//!
//! A Kubernetes Service reaches one process only, so each tells of itself in a compacted topic, every five seconds and under its own name; whoever
//! is asked about all of them reads it there. The invariants: nothing of it holds a daemon up, as it has a thread and clients of its own; reports
//! are read only while somebody looks; and where they can't be written or read, that is told, and the process shows itself alone.

mod lookout;
mod members;
mod report;
mod reporter;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::api::Instance;
use crate::dead_letters::shelf::Shelf;
#[cfg(feature = "kafka")]
use crate::kafka::{ConfigError, KafkaConfig, KafkaProducer, KafkaShelf};
use crate::producer::Producer;
use crate::record::Topic;
use crate::supervisor::Roster;
use crate::testing::MemoryBroker;
use lookout::Lookout;
pub(crate) use members::Heard;
pub(crate) use report::{Report, Reported};
use reporter::Reporter;

/// The topic of the reports where nothing else is said.
pub const DEFAULT_REPORTS: &str = "daemonry.reports";

/// How often a process tells of itself.
const EVERY: Duration = Duration::from_secs(5);

/// Where the processes of a program tell of themselves.
///
/// The topic is made where it is missing and this user may: compacted, with one partition. It takes the rights READ and WRITE on it.
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
    producer: Producer,
    shelf: Arc<dyn Shelf>,
    every: Duration,
}

impl FleetConfig {
    /// In [`DEFAULT_REPORTS`] of this cluster; its group doesn't matter.
    ///
    /// # Errors
    /// What librdkafka refuses.
    #[cfg(feature = "kafka")]
    pub fn kafka(config: &KafkaConfig) -> Result<Self, ConfigError> {
        let producer = Producer::new(Arc::new(KafkaProducer::new(config)?));
        Ok(Self::new(producer, Arc::new(KafkaShelf::new(config)?)))
    }

    /// In the same topic of a broker in memory: for tests of programs.
    pub fn in_memory(broker: &MemoryBroker) -> Self {
        Self::new(Producer::new(Arc::new(broker.clone())), Arc::new(broker.clone()))
    }

    fn new(producer: Producer, shelf: Arc<dyn Shelf>) -> Self {
        Self { topic: Topic::from(DEFAULT_REPORTS), producer, shelf, every: EVERY }
    }

    /// In another topic.
    #[must_use]
    pub fn reports(self, topic: impl Into<Topic>) -> Self {
        Self { topic: topic.into(), ..self }
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

/// This process within its fleet. Dropping it takes its report back, and waits for that, two seconds at most.
pub(crate) struct Fleet {
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
    /// Tells of this process from now on.
    pub(crate) fn start(config: FleetConfig, instance: &Instance, roster: Roster) -> io::Result<Self> {
        let lookout = Lookout::new(&config, instance);
        Ok(Self { reporter: Reporter::start(config, instance.clone(), roster)?, lookout })
    }

    /// What is known by now; it is found out more from then on, as long as somebody looks.
    pub(crate) fn seen(&self) -> Sighting {
        self.told(self.lookout.seen())
    }

    /// What is known once it was looked, which takes up to five seconds the first time.
    pub(crate) async fn look(&self) -> Sighting {
        self.told(self.lookout.look().await)
    }

    fn told(&self, sighting: Sighting) -> Sighting {
        let trouble = self.reporter.trouble().or(sighting.trouble);
        Sighting { trouble, ..sighting }
    }
}

/// What is in the way, told in the log when it changes.
#[derive(Debug, Default)]
struct Trouble(Mutex<Option<String>>);

impl Trouble {
    /// How it went this time.
    fn note(&self, now: Result<(), String>) {
        let now = now.err();
        let mut known = self.0.lock();
        if *known == now {
            return;
        }
        match &now {
            Some(trouble) => tracing::warn!(trouble, "the fleet does not hear of this process, or can't be seen"),
            None => tracing::info!("the fleet hears of this process again, and is seen"),
        }
        *known = now;
    }

    fn known(&self) -> Option<String> {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests;
