//! One scenario: a topic of its own with its group, ledger, dead letters and commits under watch, and the processes that share them.
//!
//! What it needs for a verdict it collects itself. Its directory, with the ledger and the logs, stays where the scenario failed.

mod conduct;
mod operator;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use daemonry::record::{Offset, Partition};
use tempfile::TempDir;

use crate::checker::{
    Crash, Evidence, Fate, Moment, Order, Owed, Produced, Resumption, Sought, Verdict, Vitals, judge, origin, owed,
};
use crate::ledger::{self, Ledger};
use crate::load::{self, Load};
use crate::member::{Flags, Member};
use crate::message::Stored;
use crate::patience::{unix_ms, until, until_true};
use crate::payload::{Mix, Payload, Payloads};
use crate::sampler::Sampler;
use crate::scale;
use crate::topics::Topics;
use crate::vitals::Watch;
use crate::writer::Writer;

/// Broker-side times, so that a letter's timestamp says when it was there.
const LETTER_SETTINGS: [(&str, &str); 1] = [("message.timestamp.type", "LogAppendTime")];
/// Partitions of a scenario's topic.
pub const PARTITIONS: u16 = 8;
/// Partitions of a dead-letter topic.
const LETTER_PARTITIONS: u16 = 4;
/// How long a success may stay uncommitted before a crash: the commit interval of a second, and a rebalance in which commits are refused.
const UNCOMMITTED: Duration = Duration::from_secs(8);
/// Processes end within this after SIGTERM when nothing blocks.
pub const STOP: Duration = Duration::from_secs(30);

/// A running scenario.
#[derive(Debug)]
pub struct Scenario {
    name: String,
    seed: u64,
    bootstrap: String,
    order: Order,
    topics: Topics,
    topic: String,
    directory: Option<TempDir>,
    ledger: Ledger,
    // Taken when it is stopped.
    sampler: Option<Sampler>,
    flags: Flags,
    started: usize,
    produced: Vec<Produced>,
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
    /// The seed for everything at random comes from `DAEMONRY_SEED`, or else from the system; it is printed.
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
        let seed = scale::seed()?;
        let topics = Topics::connect(bootstrap)?;
        let topic = topics.create_fresh(name, PARTITIONS)?;
        let directory = tempfile::Builder::new().prefix(&format!("daemonry-{topic}-")).tempdir()?;
        eprintln!("{name}: seed {seed}, ledger and logs in {}", directory.path().display());
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
            bootstrap: bootstrap.to_owned(),
            order,
            topics,
            topic,
            directory: Some(directory),
            ledger,
            sampler,
            flags,
            started: 0,
            produced: Vec::new(),
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

    /// Starts a process.
    ///
    /// # Errors
    /// When it can't be run.
    pub fn start(&mut self, flags: &Flags) -> Result<Member> {
        self.started += 1;
        let log = self.path().join(format!("member-{}.log", self.started));
        Member::start(flags, log)
    }

    /// Where its ledger is now, and when.
    pub(crate) fn moment(&self) -> Moment {
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

    /// Kills a process with SIGKILL.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(&mut self, mut member: Member) -> Result<()> {
        self.note_killed(member.pid());
        member.kill()
    }

    /// Notes a process that is killed with SIGKILL at this moment.
    pub fn note_killed(&mut self, pid: u32) {
        let unix_ms = unix_ms();
        // What it had handed to its connection may arrive a little later.
        self.crashes.push(Crash { pid, unix_ms, last_letter_ms: unix_ms + 1_000 });
    }

    /// Notes a process that its group has given up, so that its last commit failed: what it finished since the one before may run
    /// again, as after a crash.
    pub fn note_gone(&mut self, pid: u32, unix_ms: u64) {
        // Alive, it may still finish what it had begun.
        self.crashes.push(Crash { pid, unix_ms, last_letter_ms: u64::MAX });
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

    /// Waits for lines of the ledger that satisfy a condition.
    ///
    /// # Errors
    /// When they don't in time.
    pub fn until_ledger(
        &mut self,
        deadline: Duration,
        what: &str,
        mut enough: impl FnMut(&[ledger::Entry]) -> bool,
    ) -> Result<()> {
        until_true(deadline, what, || Ok(enough(self.ledger.read()?)))
    }

    /// Waits until `count` more successes stand in the ledger.
    ///
    /// # Errors
    /// When they don't in time.
    pub fn until_more(&mut self, count: usize, deadline: Duration) -> Result<()> {
        let enough = self.entries()?.len() + count;
        self.until_ledger(deadline, &format!("{count} more successes"), |entries| entries.len() >= enough)
    }

    /// Waits until a process has written to the ledger.
    ///
    /// # Errors
    /// When it doesn't in time, or has ended.
    pub fn until_works(&mut self, member: &mut Member, deadline: Duration) -> Result<()> {
        let (pid, log) = (member.pid(), member.log_path().to_owned());
        until_true(deadline, &format!("the first success of process {pid}, log {}", log.display()), || {
            if let Some(status) = member.ended()? {
                anyhow::bail!("process {pid} ended ({status}), log {}", log.display());
            }
            Ok(self.ledger.read()?.iter().any(|entry| entry.pid == pid))
        })
    }

    /// Waits until all that was produced is in the ledger or a dead letter.
    ///
    /// # Errors
    /// When it isn't in time; says what is missing.
    pub fn settle(&mut self, deadline: Duration) -> Result<()> {
        self.settle_where(deadline, |_| true)
    }

    /// As [`settle`](Self::settle), for some of the records.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    pub fn settle_where(&mut self, deadline: Duration, mut chosen: impl FnMut(&Produced) -> bool) -> Result<()> {
        let (mut successes, mut letters) = (BTreeMap::new(), BTreeMap::new());
        for produced in self.produced.iter().filter(|produced| chosen(produced)) {
            let place = (produced.stored.partition, produced.stored.offset);
            let since = match owed(&self.seeks, place.0, place.1) {
                Owed::Nothing => continue,
                Owed::Once => Moment::default(),
                Owed::Since(moment) => moment,
            };
            match produced.fate {
                Fate::Success => successes.insert(place, since.ledger_bytes),
                Fate::Letter => letters.insert(place, since.unix_ms),
            };
        }
        let mut seen = 0;
        let settled = until(deadline, "the rest of the records", || {
            for entry in &self.ledger.read()?[seen..] {
                seen += 1;
                if let Entry::Occupied(open) = successes.entry((entry.partition, entry.offset))
                    && *open.get() <= entry.at
                {
                    open.remove();
                }
            }
            if !successes.is_empty() {
                return Ok(None);
            }
            if !letters.is_empty() {
                for letter in self.topics.read(&self.letter_topic())?.iter().chain(&self.early_letters) {
                    let origin = origin(letter).context("a letter without its origin")?;
                    if let Entry::Occupied(open) = letters.entry(origin)
                        && letter.unix_ms.is_some_and(|written| *open.get() <= written.cast_unsigned())
                    {
                        open.remove();
                    }
                }
            }
            Ok(letters.is_empty().then_some(()))
        });
        if settled.is_err()
            && let Err(error) = self.note_letters()
        {
            // What is missing is the news, and not that there may be no topic of letters.
            eprintln!("{}: {error:#}", self.name);
        }
        settled.with_context(|| {
            let first = |places: &BTreeMap<_, _>| format!("{:?}", places.keys().take(5).collect::<Vec<_>>());
            // Letters are looked at once all successes are there.
            let missing = match successes.len() {
                0 => format!("{} letters are missing, the first of them {}", letters.len(), first(&letters)),
                count => format!("{count} successes are missing, the first of them {}", first(&successes)),
            };
            format!("{}: not settled: {missing}; ledger and logs in {}", self.name, self.path().display())
        })
    }

    /// Writes down where each letter stands and what it is the letter of, beside the logs that say where the brokers acknowledged it.
    fn note_letters(&self) -> Result<()> {
        let mut lines = String::new();
        for letter in self.topics.read(&self.letter_topic())? {
            let place = (letter.partition.0, letter.offset.0);
            writeln!(lines, "{place:?} at {:?} is of {:?}", letter.unix_ms, origin(&letter))?;
        }
        fs::write(self.path().join("letters.txt"), lines).context("cannot write down the letters")
    }

    /// Waits until the group has committed to the end of each partition, whatever that is worth.
    ///
    /// # Errors
    /// When it hasn't in time.
    pub fn until_committed_to_the_end(&self, deadline: Duration) -> Result<()> {
        let ends = self.topics.ends(&self.topic)?;
        let partitions: Vec<Partition> = ends.keys().copied().collect();
        let group = self.topics.group(&self.topic)?;
        until_true(deadline, "commits to the end of each partition", || {
            let committed = group.committed(&self.topic, &partitions)?;
            let at_end = |(partition, end): (&Partition, &Offset)| {
                end.0 == 0 || committed.get(partition).is_some_and(|committed| committed.next.offset() >= *end)
            };
            Ok(ends.iter().all(at_end))
        })
    }

    /// Settles, stops the processes, each of which must end with code 0, and judges.
    ///
    /// # Errors
    /// When it doesn't settle, or a process doesn't end well. A verdict with violations is none.
    pub fn finish(&mut self, members: Vec<Member>, deadline: Duration) -> Result<Verdict> {
        self.settle(deadline)?;
        self.stop_watches()?;
        let mut members = members;
        for member in &mut members {
            member.signal(rustix::process::Signal::TERM)?;
        }
        for member in &mut members {
            let code = member.wait(STOP)?;
            ensure!(code == 0, "process {} ended with code {code}, log {}", member.pid(), member.log_path().display());
        }
        self.judge()
    }

    /// Judges what was seen. The commits are looked at no longer.
    ///
    /// # Errors
    /// When the evidence can't be read.
    pub fn judge(&mut self) -> Result<Verdict> {
        let sampler = self.sampler.take().context("a scenario is judged once")?;
        let samples = sampler.stop()?;
        let mut letters = std::mem::take(&mut self.early_letters);
        let letter_topic = self.letter_topic();
        if self.topics.exists(&letter_topic)? {
            letters.extend(self.topics.read(&letter_topic)?);
        }
        let evidence = Evidence {
            order: self.order,
            produced: std::mem::take(&mut self.produced),
            ledger: self.ledger.read()?.to_vec(),
            letters,
            samples,
            crashes: self.crashes.clone(),
            seeks: std::mem::take(&mut self.seeks),
            late_commits: std::mem::take(&mut self.late_commits),
            uncommitted: UNCOMMITTED,
            resumptions: std::mem::take(&mut self.resumptions),
            vitals: self.vitals.clone(),
        };
        let verdict = judge(&evidence);
        eprintln!("{}: {verdict}", self.name);
        Ok(verdict)
    }

    /// Ends a scenario that went as it ought to: its topics and its directory go.
    ///
    /// # Errors
    /// When a topic can't be deleted.
    pub fn close(mut self) -> Result<()> {
        let letter_topic = self.letter_topic();
        if self.topics.exists(&letter_topic)? {
            self.topics.delete(&letter_topic)?;
        }
        self.topics.delete(&self.topic)?;
        drop(self.directory.take());
        Ok(())
    }

    /// [`finish`](Self::finish), a clean verdict, and [`close`](Self::close).
    ///
    /// # Errors
    /// When anything is wrong.
    pub fn pass(mut self, members: Vec<Member>, deadline: Duration) -> Result<Verdict> {
        let verdict = self.finish(members, deadline)?;
        verdict.ensure_clean().with_context(|| format!("{}: seed {}", self.name, self.seed))?;
        self.close()?;
        Ok(verdict)
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if let Some(directory) = self.directory.take() {
            let kept: PathBuf = directory.keep();
            eprintln!("{}: failed with seed {}; ledger and logs are kept in {}", self.name, self.seed, kept.display());
        }
    }
}
