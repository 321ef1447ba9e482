//! One scenario: a topic of its own with its group, ledger, dead letters and commits under watch, and the processes that share them.
//!
//! What it needs for a verdict it collects itself. Its directory, with the ledger and the logs, stays where the scenario failed.

mod conduct;
mod judging;
mod losing;
mod operator;
mod settling;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Result;
use daemonry::record::Partition;
use tempfile::TempDir;

use crate::checker::{Crash, Former, Moment, Order, Produced, Reason, Resumption, Sought, Vitals};
use crate::figures::Figures;
use crate::ledger::{self, Ledger};
use crate::load::{self, Load};
use crate::member::{Flags, Member};
use crate::message::Stored;
use crate::patience::unix_ms;
use crate::payload::{Mix, Payload, Payloads};
use crate::sampler::Sampler;
use crate::seed;
use crate::topics::Topics;
use crate::vitals::Watch;
use crate::writer::Writer;

/// Broker-side times, so that a letter's timestamp says when it was there.
const LETTER_SETTINGS: [(&str, &str); 1] = [("message.timestamp.type", "LogAppendTime")];
/// Partitions of a scenario's topic.
pub const PARTITIONS: u16 = 8;
/// Partitions of a dead-letter topic.
const LETTER_PARTITIONS: u16 = 4;
/// Processes end within this after SIGTERM when nothing blocks.
pub const STOP: Duration = Duration::from_secs(30);

/// A running scenario.
#[derive(Debug)]
pub struct Scenario {
    name: String,
    seed: u64,
    /// When it began, milliseconds since 1970.
    since_ms: u64,
    bootstrap: String,
    order: Order,
    topics: Topics,
    topic: String,
    directory: Option<TempDir>,
    ledger: Ledger,
    // Taken when it is stopped.
    sampler: Option<Sampler>,
    flags: Flags,
    /// The processes that were started, and where they log to.
    started: Vec<(u32, PathBuf)>,
    /// The most memory that each of them held.
    peaks: Vec<Arc<AtomicU64>>,
    /// Once it was judged.
    figures: Option<Figures>,
    expected_errors: Vec<String>,
    other_reasons: Vec<Reason>,
    produced: Vec<Produced>,
    /// What partitions were that are no longer the same.
    former: Vec<Former>,
    early_letters: Vec<Stored>,
    crashes: Vec<Crash>,
    seeks: Vec<Sought>,
    late_commits: Vec<(u64, u64)>,
    resumptions: Vec<Resumption>,
    watches: Vec<Watch>,
    vitals: Vec<Vitals>,
}

impl Scenario {
    /// A scenario on the brokers at `bootstrap`: a fresh topic with 8 partitions and its dead-letter topic.
    ///
    /// The seed for everything at random is that of this [run](seed), by the name.
    ///
    /// # Errors
    /// When the topics can't be created.
    pub fn open(bootstrap: &str, name: &str, order: Order) -> Result<Self> {
        let scenario = Self::open_without_letters(bootstrap, name, order)?;
        scenario.create_letters()?;
        Ok(scenario)
    }

    /// As [`open`](Self::open), without a dead-letter topic.
    ///
    /// # Errors
    /// When the topic can't be created.
    pub fn open_without_letters(bootstrap: &str, name: &str, order: Order) -> Result<Self> {
        let seed = seed::of_scenario(name)?;
        let since_ms = unix_ms();
        let topics = Topics::connect(bootstrap)?;
        let topic = topics.create_fresh(name, PARTITIONS)?;
        let directory = tempfile::Builder::new().prefix(&format!("daemonry-{topic}-")).tempdir()?;
        eprintln!("{name}: ledger and logs in {}", directory.path().display());
        let ledger = Ledger::at(directory.path().join("ledger"));
        let sampler = Some(Sampler::start(&topics, &topic, &topic, ledger.path())?);
        let flags = Flags::default()
            .with("brokers", bootstrap)
            .with("topic", &topic)
            .with("group", &topic)
            .with("ledger", ledger.path().display())
            .with("order", order.name())
            .with("workers", 16)
            .with("retries", 3)
            .with("backoff-ms", 20)
            // Records that fail for ever may stand at the head of each partition.
            .with("patience-ms", 2_000);
        Ok(Self {
            name: name.to_owned(),
            seed,
            since_ms,
            bootstrap: bootstrap.to_owned(),
            order,
            topics,
            topic,
            directory: Some(directory),
            ledger,
            sampler,
            flags,
            started: Vec::new(),
            peaks: Vec::new(),
            figures: None,
            // Records ask for panics, and they are caught.
            other_reasons: Vec::new(),
            expected_errors: vec!["the record asked ".to_owned()],
            produced: Vec::new(),
            former: Vec::new(),
            early_letters: Vec::new(),
            crashes: Vec::new(),
            seeks: Vec::new(),
            late_commits: Vec::new(),
            resumptions: Vec::new(),
            watches: Vec::new(),
            vitals: Vec::new(),
        })
    }

    /// The seed of everything at random in it.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The topic, which is also the group's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The dead-letter topic.
    pub fn letter_topic(&self) -> String {
        format!("{}.dlq", self.topic)
    }

    /// Where its ledger and its logs are.
    pub fn directory(&self) -> &Path {
        self.path()
    }

    /// Hands on its cluster.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The flags that its processes are started with unless a test changes some: 16 workers, 3 retries from 20 ms on, 2 s of patience.
    pub fn flags(&self) -> Flags {
        self.flags.clone()
    }

    /// Creates the dead-letter topic.
    ///
    /// # Errors
    /// When it exists.
    pub fn create_letters(&self) -> Result<()> {
        self.topics.create(&self.letter_topic(), LETTER_PARTITIONS, &LETTER_SETTINGS)
    }

    /// Deletes the dead-letter topic; its letters still count for the verdict.
    ///
    /// # Errors
    /// When there is none.
    pub fn delete_letters(&mut self) -> Result<()> {
        self.early_letters.extend(self.topics.read(&self.letter_topic())?);
        self.topics.delete(&self.letter_topic())
    }

    /// Has the dead-letter topic take letters of so many bytes at most.
    ///
    /// # Errors
    /// When it is refused.
    pub fn bound_letters(&self, bytes: usize) -> Result<()> {
        let bytes = bytes.to_string();
        self.topics.set(&self.letter_topic(), &[LETTER_SETTINGS[0], ("max.message.bytes", &bytes)])
    }

    /// Starts a process.
    ///
    /// # Errors
    /// When it can't be run.
    pub fn start(&mut self, flags: &Flags) -> Result<Member> {
        let log = self.path().join(format!("member-{}.log", self.started.len() + 1));
        let member = Member::start(flags, log.clone())?;
        self.started.push((member.pid(), log));
        self.peaks.push(member.peak());
        Ok(member)
    }

    /// Where its ledger is now, and when.
    pub fn moment(&self) -> Moment {
        // It isn't there before the first success.
        let ledger_bytes = fs::metadata(self.ledger.path()).map_or(0, |file| file.len());
        Moment { ledger_bytes, unix_ms: unix_ms() }
    }

    /// Notes a seek, for the verdict.
    pub(crate) fn note_sought(&mut self, sought: Sought) {
        // They are answered in another order.
        let at = self.seeks.partition_point(|before| before.asked.unix_ms <= sought.asked.unix_ms);
        self.seeks.insert(at, sought);
    }

    fn path(&self) -> &Path {
        self.directory.as_ref().expect("the directory goes with the scenario").path()
    }

    /// Writes payloads.
    ///
    /// # Errors
    /// When one is not acknowledged.
    pub fn produce(&mut self, payloads: impl IntoIterator<Item = Payload>) -> Result<()> {
        let produced = load::write(&mut Writer::connect(&self.bootstrap)?, &self.topic, None, payloads)?;
        self.produced.extend(produced);
        Ok(())
    }

    /// Writes payloads to one partition.
    ///
    /// # Errors
    /// When one is not acknowledged.
    pub fn produce_to(&mut self, partition: Partition, payloads: impl IntoIterator<Item = Payload>) -> Result<()> {
        let mut writer = Writer::connect(&self.bootstrap)?;
        self.produced.extend(load::write(&mut writer, &self.topic, Some(partition), payloads)?);
        Ok(())
    }

    /// Writes payloads to one partition, in one batch that is compressed by this codec.
    ///
    /// # Errors
    /// When one is not acknowledged.
    pub fn produce_compressed(
        &mut self,
        codec: &str,
        partition: Partition,
        payloads: impl IntoIterator<Item = Payload>,
    ) -> Result<()> {
        let payloads: Vec<Payload> = payloads.into_iter().collect();
        let mut writer = Writer::compressing(&self.bootstrap, codec, payloads.len())?;
        self.produced.extend(load::write(&mut writer, &self.topic, Some(partition), payloads)?);
        Ok(())
    }

    /// Starts to write mixed payloads, `rate` a second.
    pub fn load(&self, rate: u32, mix: Mix) -> Load {
        Load::start(&self.bootstrap, &self.topic, rate, Payloads::new(self.seed, mix))
    }

    /// Ends a load; what it wrote counts.
    ///
    /// # Errors
    /// When not all of it was acknowledged.
    pub fn unload(&mut self, load: Load) -> Result<()> {
        self.produced.extend(load.stop()?);
        Ok(())
    }

    /// The ledger so far.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn entries(&mut self) -> Result<&[ledger::Entry]> {
        self.ledger.read()
    }
}
