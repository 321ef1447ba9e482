//! What the checker judges by: everything that was seen from outside the processes under test.

use std::collections::BTreeMap;
use std::time::Duration;

use daemonry::record::{Offset, Partition};

use super::Coverage;
use super::conduct::{Resumption, Vitals};
use super::history::appended;
use super::seeks::Sought;
use crate::ledger::Entry;
use crate::message::Stored;

/// What ought to become of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Its handler succeeds at last, and says so in the ledger.
    Success,
    /// It becomes a dead letter, and this is why.
    Letter(Reason),
}

/// Why a record becomes a dead letter, in the words of the letter's header `daemonry-reason`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Its handler says that no attempt will succeed.
    Poison,
    /// Its handler fails each time.
    Error,
    /// Its handler panics each time.
    Panic,
    /// Its handler takes longer than it may, each time.
    Timeout,
    /// The process ends each time.
    Crash,
}

impl Reason {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Poison => "poison",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::Crash => "crash",
        }
    }
}

/// An acknowledged record, and what ought to become of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Produced {
    /// Where it stands, and its bytes.
    pub stored: Stored,
    /// The `id` in its value, where there is one.
    pub id: Option<u64>,
    /// What ought to become of it.
    pub fate: Fate,
    /// When it had been acknowledged, milliseconds since 1970; at the latest.
    pub acknowledged_ms: u64,
}

impl Produced {
    /// Its id, as the ledger has it.
    pub fn told_id(&self) -> String {
        self.id.map_or_else(|| "-".to_owned(), |id| id.to_string())
    }
}

/// Which records wait for one another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// All of a partition.
    Partition,
    /// Those of a key; those without one, of their partition.
    Key,
    /// None.
    Unordered,
}

impl Order {
    /// The word for `--order`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Key => "key",
            Self::Unordered => "unordered",
        }
    }
}

/// The group's commits at one moment, and how much was finished a little later.
///
/// The commits are read first: what they cover must have been finished before, so that it stands in the part of the ledger that is
/// measured afterwards. The other way round a record finished in between would accuse.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// What was committed.
    pub committed: BTreeMap<Partition, Coverage>,
    /// Under which leader what was committed last was read, where that was told: to their log, and to nobody who asks for the commits.
    pub leader_epochs: BTreeMap<Partition, i32>,
    /// The length of the ledger after that, in bytes.
    pub ledger_bytes: u64,
    /// The time after that, milliseconds since 1970. Letters appended later were not there.
    pub unix_ms: u64,
}

/// A process that ended without warning, or that its group took for dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crash {
    /// Which one.
    pub pid: u32,
    /// When, milliseconds since 1970; at the latest.
    pub unix_ms: u64,
    /// Until when something that it was at then may still end, and be written down: soon after it has gone, or has heard that it is given up.
    /// Nothing that is later is excused by this.
    pub until_ms: u64,
}

/// What a process has logged that needs an explanation.
#[derive(Clone, Debug)]
pub struct Log {
    /// Which process.
    pub pid: u32,
    /// Its lines of the level ERROR, and what its panics said.
    pub errors: Vec<String>,
    /// The records whose letters it could not write, as far as it was told, once for each time: they may be there all the same.
    pub unwritten: Vec<(Partition, Offset)>,
    /// The records whose letters it has written, and when it was told so, in milliseconds since 1970.
    pub letters: Vec<((Partition, Offset), u64)>,
    /// For each commit that was waited for in vain, when it may land on a newer one, in milliseconds since 1970: a broker may have it before it still.
    pub unanswered: Vec<(u64, u64)>,
}

impl Log {
    /// Reads what a process has logged.
    pub fn of(pid: u32, text: &str) -> Self {
        let mut lines = text.lines().peekable();
        let (mut errors, mut unwritten) = (Vec::new(), Vec::new());
        let (mut letters, mut unanswered) = (Vec::new(), Vec::new());
        while let Some(line) = lines.next() {
            if line.contains("dead letter can't be written") {
                unwritten.extend(place_in(line));
            } else if line.contains("record is a dead letter") {
                letters.extend(place_in(line).zip(time_of(line)));
            }
            unanswered.extend(unanswered_in(line));
            if line.contains("panicked at ") {
                // Where, and on the next line why.
                let why = lines.next_if(|next| !next.contains("panicked at ")).unwrap_or_default();
                errors.push(format!("{line} {why}"));
            } else if line.split_whitespace().take(2).any(|word| word == "ERROR") {
                errors.push(line.to_owned());
            }
        }
        Self { pid, errors, unwritten, letters, unanswered }
    }
}

/// When a commit may land that this line tells was waited for in vain.
fn unanswered_in(line: &str) -> Option<(u64, u64)> {
    /// A broker that is slow to read takes it in this time, in milliseconds.
    const LATE: u64 = 10_000;
    /// The client goes on waiting for one that nobody waits for any more.
    const CLIENT: u64 = 30_000;
    let line = Some(line).filter(|line| line.contains("commit failed"))?;
    let since = time_of(line)?;
    if line.contains("TimedOut") {
        return Some((since, since + LATE));
    }
    line.contains("the coordinator did not answer in time").then_some((since, since + CLIENT + LATE))
}

/// When a line was logged, in milliseconds since 1970.
fn time_of(line: &str) -> Option<u64> {
    let time: jiff::Timestamp = line.split_whitespace().next()?.parse().ok()?;
    time.as_millisecond().try_into().ok()
}

/// Of which record a line of a log is.
fn place_in(line: &str) -> Option<(Partition, Offset)> {
    let field = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    Some((Partition(field("partition")?.parse().ok()?), Offset(field("offset")?.parse().ok()?)))
}

/// Everything that a verdict rests on.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What the records were to wait for.
    pub order: Order,
    /// Every acknowledged record.
    pub produced: Vec<Produced>,
    /// The ledger, in the order of its lines.
    pub ledger: Vec<Entry>,
    /// The dead-letter topic, partition by partition in the order of offsets; its timestamps are those of the broker's append.
    pub letters: Vec<Stored>,
    /// The commits as they were seen over time, in order.
    pub samples: Vec<Sample>,
    /// The same after each commit that the brokers took, as their log of them has it: all there were, and not only those that were seen.
    pub commits: Vec<Sample>,
    /// Where each partition ends, once all is done.
    pub ends: BTreeMap<Partition, Offset>,
    /// What the processes have logged; of each that there was.
    pub logs: Vec<Log>,
    /// Texts of errors that belong to what happened.
    pub expected_errors: Vec<String>,
    /// Reasons that letters may give in the place of their records' own, as the last attempt failed for another one.
    pub other_reasons: Vec<Reason>,
    /// The processes that were killed; all others ended gracefully, or not at all.
    pub crashes: Vec<Crash>,
    /// The seeks that were asked for, in order; not those that were refused.
    pub seeks: Vec<Sought>,
    /// Times, in milliseconds since 1970, in which a commit may land that a network had held back, on a newer one. One that comes after it
    /// puts that right.
    pub late_commits: Vec<(u64, u64)>,
    /// How long a success may stay uncommitted: after a crash nothing that is older may run again.
    pub uncommitted: Duration,
    /// From when on progress had to go on.
    pub resumptions: Vec<Resumption>,
    /// What was seen of the processes that were watched.
    pub vitals: Vec<Vitals>,
}

impl Evidence {
    /// How often a process was told that the letter of this record was not written, and wrote it again.
    pub(super) fn unwritten(&self, place: (Partition, Offset)) -> usize {
        self.logs.iter().flat_map(|log| &log.unwritten).filter(|unwritten| **unwritten == place).count()
    }

    /// Whether this was written by a process that its group had given up before: a handler that was in flight then, and ended soon after.
    pub(super) fn by_a_zombie(&self, entry: &Entry) -> bool {
        let of_it = |crash: &&Crash| crash.pid == entry.pid;
        self.crashes.iter().filter(of_it).any(|crash| (crash.unix_ms..=crash.until_ms).contains(&entry.unix_ms))
    }

    /// The same for a letter: one that it says that it has written, and that came while something could come of it still.
    pub(super) fn is_of_a_zombie(&self, letter: &Stored) -> bool {
        let (Some(place), at) = (origin(letter), appended(letter)) else { return false };
        let tells = |crash: &Crash| {
            let logs = self.logs.iter().filter(|log| log.pid == crash.pid);
            logs.flat_map(|log| &log.letters).any(|(told, ms)| *told == place && *ms >= crash.unix_ms)
        };
        self.crashes.iter().any(|crash| (crash.unix_ms..=crash.until_ms).contains(&at) && tells(crash))
    }
}

/// Where a letter's record stood, by the headers that were added last.
pub fn origin(letter: &Stored) -> Option<(Partition, Offset)> {
    Some((
        Partition(last(letter, "daemonry-partition")?.parse().ok()?),
        Offset(last(letter, "daemonry-offset")?.parse().ok()?),
    ))
}

fn last<'a>(letter: &'a Stored, name: &'a str) -> Option<&'a str> {
    std::str::from_utf8(letter.message.header_values(name).last()??).ok()
}

#[cfg(test)]
impl Evidence {
    /// Of a run in which nothing happened, for tests that say what did.
    pub(super) fn none(order: Order) -> Self {
        Self {
            order,
            produced: Vec::new(),
            ledger: Vec::new(),
            letters: Vec::new(),
            samples: Vec::new(),
            commits: Vec::new(),
            ends: BTreeMap::new(),
            logs: Vec::new(),
            expected_errors: Vec::new(),
            other_reasons: Vec::new(),
            crashes: Vec::new(),
            seeks: Vec::new(),
            late_commits: Vec::new(),
            uncommitted: std::time::Duration::from_secs(1),
            resumptions: Vec::new(),
            vitals: Vec::new(),
        }
    }
}
