//! A topic with its letters, and hands on both.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use daemonry::dead_letters::{DeadLetters, Entry, Filter};
use daemonry::kafka::KafkaConfig;
use daemonry::record::{Offset, Partition};
use integration::letter::letter_of;
use integration::member::binary;
use integration::{Message, Stored, Topics, brokers};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Scene {
    pub(crate) topics: Topics,
    pub(crate) brokers: String,
    /// The records' topic, of four partitions.
    pub(crate) topic: String,
    /// The letters' topic, of three.
    pub(crate) letters: String,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl Scene {
    pub(crate) fn open(name: &str) -> Result<Self> {
        let brokers = brokers()?;
        let topics = Topics::connect(&brokers)?;
        let topic = topics.create_fresh(name, 4)?;
        let letters = format!("{topic}.dlq");
        topics.create(&letters, 3, &[])?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { topics, brokers, topic, letters, runtime })
    }

    pub(crate) fn dead_letters(&self) -> Result<DeadLetters> {
        self.dead_letters_of(&self.letters)
    }

    pub(crate) fn dead_letters_of(&self, topic: &str) -> Result<DeadLetters> {
        Ok(DeadLetters::open(&KafkaConfig::new(&self.brokers, "unused"), topic)?)
    }

    /// The message of a letter of this message, as a daemon writes it.
    pub(crate) fn letter(&self, message: Message, reason: &str, error: &str, failed_at: u64) -> Message {
        letter_of(message, &self.topic, reason, error, failed_at)
    }

    /// A process of `daemonry dlq` that deals with the letters.
    pub(crate) fn operator(&self, command: &str, arguments: &[&str]) -> Result<Command> {
        let mut process = Command::new(binary("daemonry")?);
        process.args(["dlq", command, "--brokers", &self.brokers, "--topic", &self.letters]).args(arguments);
        process.env("USER", "ada").stdin(Stdio::null());
        Ok(process)
    }

    /// What that answers.
    pub(crate) fn dlq(&self, command: &str, arguments: &[&str]) -> Result<Answer> {
        self.dlq_with(&[], command, arguments)
    }

    /// The same with more in its environment.
    pub(crate) fn dlq_with(&self, env: &[(&str, &str)], command: &str, arguments: &[&str]) -> Result<Answer> {
        let output = self.operator(command, arguments)?.envs(env.iter().copied()).output()?;
        let text = |bytes| String::from_utf8(bytes).context("it says what is no text");
        let code = output.status.code().context("it was killed")?;
        Ok(Answer { code, out: text(output.stdout)?, said: text(output.stderr)? })
    }

    /// Writes `count` plain letters with so many keys, the value of each its number.
    pub(crate) fn write(&self, count: usize, keys: usize) -> Result<()> {
        let message = |number: usize| Message::new(number.to_string()).key(format!("key-{}", number % keys));
        let letters: Vec<Message> =
            (0..count).map(|number| self.letter(message(number), "error", "down", 1_000)).collect();
        self.topics.produce(&self.letters, &letters)?;
        Ok(())
    }

    /// All that is listed.
    pub(crate) fn list(&self, filter: Filter) -> Result<Vec<Entry>> {
        let letters = self.dead_letters()?;
        self.runtime.block_on(async {
            let mut listing = letters.list(filter);
            let mut entries = Vec::new();
            while let Some(entry) = listing.next().await {
                entries.push(entry?);
            }
            Ok(entries)
        })
    }

    /// The numbers that were written to the topic for each key, in the order of their partition, which each key has one of.
    pub(crate) fn written(&self) -> Result<Written> {
        let mut written = Written::default();
        for Stored { partition, message, .. } in self.topics.read(&self.topic)? {
            let number = String::from_utf8(message.value.context("it has a value")?)?.parse()?;
            let (place, numbers) =
                written.0.entry(message.key.context("it has a key")?).or_insert_with(|| (partition, Vec::new()));
            anyhow::ensure!(*place == partition, "a key stands in two partitions");
            numbers.push(number);
        }
        Ok(written)
    }
}

/// How a process ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    /// To standard output.
    pub(crate) out: String,
    /// To standard error.
    pub(crate) said: String,
}

/// Numbers by key.
#[derive(Debug, Default)]
pub(crate) struct Written(std::collections::BTreeMap<Vec<u8>, (Partition, Vec<usize>)>);

impl Written {
    pub(crate) fn count(&self) -> usize {
        self.0.values().map(|(_, numbers)| numbers.len()).sum()
    }

    /// Each of the numbers once, and those of a key in their order.
    pub(crate) fn ensure_is(&self, count: usize, keys: usize) -> Result<()> {
        for (key, (_, numbers)) in &self.0 {
            let key = String::from_utf8_lossy(key);
            anyhow::ensure!(numbers.is_sorted(), "out of order: {key} {numbers:?}");
        }
        let mut all: Vec<usize> = self.0.values().flat_map(|(_, numbers)| numbers.iter().copied()).collect();
        all.sort_unstable();
        let (wanted, keys_seen) = ((0..count).collect::<Vec<_>>(), self.0.len());
        anyhow::ensure!(all == wanted, "{} written, {count} expected once each", all.len());
        anyhow::ensure!(keys_seen == keys, "{keys_seen} keys");
        Ok(())
    }
}

/// Where entries stand.
pub(crate) fn places(entries: &[Entry]) -> Vec<(Partition, Offset)> {
    entries.iter().map(|entry| (entry.partition, entry.offset)).collect()
}
