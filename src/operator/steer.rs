//! `pause`, `resume`, `rate`, `scale`, `seek`: steer a daemon of a running program, and `overrides`, `lift`: what is changed so.

use std::num::NonZeroUsize;

use clap::Args;
use serde::Serialize;

use super::ReadFile;
use super::agent::{ApiArgs, encoded};
use super::chosen::Chosen;
use super::console::{ConsentArgs, Console, OutputArgs};
use super::failure::Failure;
use super::moment::Moment;
use super::rows::{Cell, Column, Row, Tone};
use crate::api::shown::{
    Destination, LimitChange, RateLimit, ScopeChange, SeekRequest, SkipRequest, Sought, StakeShown, Steered,
    WorkersChange,
};
use crate::config::{PerTime, Period};
use crate::fleet::{Reached, tally};
use crate::record::{Partition, Timestamp, Topic};
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    lasts: Lasts,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    what: What,
}

/// A daemon, or a part of what it reads.
#[derive(Debug, PartialEq, Eq, Args)]
struct What {
    /// The daemon
    daemon: String,
    /// A topic of it, or some of its partitions as in `orders:0,3`; by default all of it
    #[arg(value_name = "TOPIC[:P,…]")]
    place: Option<Chosen>,
    /// A key of the topic alone: what its route orders by
    #[arg(long, requires = "place")]
    key: Option<String>,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct Why {
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
}

/// Why something is changed, of which process, and how that is answered.
#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct Asked {
    #[command(flatten)]
    pub(super) why: Why,
    #[command(flatten)]
    pub(super) api: ApiArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl Asked {
    /// Has a daemon changed, and tells how it is steered then.
    fn change(&self, daemon: &str, how: &str, change: &impl Serialize, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        tell(&self.output, self.api.agent(read)?.post(&path(daemon, how), change)?)
    }
}

/// Where a daemon is steered.
fn path(daemon: &str, how: &str) -> String {
    format!("/api/v1/daemons/{}/{how}", encoded(daemon))
}

/// How long what is changed holds.
#[derive(Debug, PartialEq, Eq, Args)]
struct Lasts {
    /// For how long, as in `30min`, `2h`, `7d`: a day where nothing is said, 30 days at most
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<Period>,
}

impl Lasts {
    fn millis(&self) -> Option<u64> {
        self.lasts.map(|Period(time)| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Scale {
    /// The daemon
    daemon: String,
    /// How many workers may be at something at once in each process, up to what is configured; `off` takes back what operators have said
    workers: String,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    lasts: Lasts,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Rate {
    /// The daemon
    daemon: String,
    /// How many attempts may begin, as in `100/s` or `20/1min`; `off` takes back what operators have limited. Without, that stays as it is
    #[arg(required_unless_present = "key")]
    rate: Option<String>,
    /// The same for each single key
    #[arg(long, value_name = "RATE")]
    key: Option<String>,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    lasts: Lasts,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Skip {
    /// The daemon
    daemon: String,
    /// The partition, as in `orders:3`
    partition: String,
    /// The record's offset there
    offset: i64,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    lasts: Lasts,
    #[command(flatten)]
    consent: ConsentArgs,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Seek {
    /// The daemon
    daemon: String,
    /// The partition, as in `orders:3`
    partition: String,
    /// Where it goes on: `beginning`, `end`, an offset, a time as in `2026-11-26T18:00:00Z`, or `@` and milliseconds since 1970 UTC
    to: String,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    consent: ConsentArgs,
}

/// How a daemon is steered now.
#[derive(Serialize)]
struct SteeredRow {
    paused: Vec<String>,
    rate: Option<String>,
    key_rate: Option<String>,
    workers: Option<usize>,
    /// Until when what was changed holds, in milliseconds since 1970 UTC.
    until: Option<u64>,
    /// The processes that are heard of, and whether they are known to do so.
    reached: Vec<Reached>,
    /// Why it may not hold in all processes, or why that is not known.
    trouble: Option<String>,
}

impl SteeredRow {
    fn of(steered: Steered) -> Self {
        let shown =
            |limit: RateLimit| format!("{}/{:?}", limit.attempts, std::time::Duration::from_millis(limit.interval));
        Self {
            paused: steered.paused.iter().map(ToString::to_string).collect(),
            rate: steered.limits.rate.map(shown),
            key_rate: steered.limits.key_rate.map(shown),
            workers: steered.workers.map(NonZeroUsize::get),
            until: steered.until,
            reached: steered.reached,
            trouble: steered.trouble,
        }
    }
}

impl Row for SteeredRow {
    const HEAD: &'static [Column] = &[
        Column::text("PAUSED"),
        Column::text("RATE"),
        Column::text("RATE OF A KEY"),
        Column::number("WORKERS"),
        Column::text("UNTIL"),
        Column::text("PROCESSES"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let paused = (!self.paused.is_empty()).then(|| self.paused.join(", "));
        let until = self.until.and_then(|until| Timestamp::from_millis(i64::try_from(until).ok()?));
        let (obey, all) = tally(&self.reached);
        vec![
            Cell::of(paused),
            Cell::of(self.rate.clone()),
            Cell::of(self.key_rate.clone()),
            Cell::of(self.workers),
            Cell::of(until.map(|until| Moment(until).in_seconds())),
            Cell::new(format!("{obey}/{all}")).tone(if obey < all { Tone::Warning } else { Tone::Plain }),
        ]
    }
}

impl Row for Sought {
    const HEAD: &'static [Column] = &[Column::number("NEXT")];

    fn cells(&self) -> Vec<Cell> {
        vec![self.next.into()]
    }
}

impl Pause {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        self.what.change("pause", self.lasts.millis(), read)
    }
}

impl Resume {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        self.what.change("resume", None, read)
    }
}

impl What {
    fn change(self, how: &str, lasts: Option<u64>, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let reason = &self.asked.why.reason;
        let change = |topic: Option<&Topic>, partition: Option<Partition>| ScopeChange {
            topic: topic.map(Topic::to_string),
            partition: partition.map(|partition| partition.0),
            key: self.key.clone(),
            reason: reason.clone(),
            lasts,
        };
        let changes: Vec<ScopeChange> = match &self.place {
            Some(Chosen { topic, partitions }) if !partitions.is_empty() => {
                partitions.iter().map(|partition| change(Some(topic), Some(*partition))).collect()
            }
            place => vec![change(place.as_ref().map(|chosen| &chosen.topic), None)],
        };
        let (agent, path) = (self.asked.api.agent(read)?, path(&self.daemon, how));
        let mut last: Option<Steered> = None;
        for (done, change) in changes.iter().enumerate() {
            let steered: Steered = agent.post(&path, change).map_err(|failure| match done {
                0 => failure,
                _ => Failure::new(format!("{failure}; of the partitions the first {done} are done")),
            })?;
            // What one of them is in trouble with all are.
            let trouble = last.and_then(|last| last.trouble);
            last = Some(Steered { trouble: trouble.or(steered.trouble), ..steered });
        }
        match last {
            Some(steered) => tell(&self.asked.output, steered),
            None => Err(Failure::usage("no partition is named")),
        }
    }
}

impl Rate {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let named = |text: &Option<String>| text.as_deref().map(rate).transpose();
        let (rate, key_rate) = (named(&self.rate)?, named(&self.key)?);
        let reason = self.asked.why.reason.clone();
        let change = LimitChange { rate, key_rate, reason, lasts: self.lasts.millis() };
        self.asked.change(&self.daemon, "limits", &change, read)
    }
}

impl Skip {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let (topic, partition) = one_partition(&self.partition)?;
        Console::new(&self.asked.output).consent(
            &self.consent,
            &format!("{topic}:{partition} offset {} of `{}` is never handled", self.offset, self.daemon),
            "skip",
        )?;
        let (offset, lasts) = (self.offset, self.lasts.millis());
        let request = SkipRequest { topic, partition, offset, reason: self.asked.why.reason.clone(), lasts };
        self.asked.change(&self.daemon, "skip", &request, read)
    }
}

impl Scale {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let workers = match self.workers.as_str() {
            "off" => None,
            text => Some(text.parse().map_err(|_| {
                Failure::usage(format!("`{text}` is no number of workers, allowed: 1 or more, or `off`"))
            })?),
        };
        let reason = self.asked.why.reason.clone();
        let change = WorkersChange { workers, reason, lasts: self.lasts.millis() };
        self.asked.change(&self.daemon, "workers", &change, read)
    }
}

impl Seek {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let (topic, partition) = one_partition(&self.partition)?;
        let to = destination(&self.to)?;
        let mut console = Console::new(&self.asked.output);
        let agent = self.asked.api.agent(read)?;
        if !self.consent.is_given() {
            let query = [("topic", topic.as_str()), ("partition", &partition.to_string()), ("to", &self.to)];
            let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
            let stake = agent.get_if_told(&format!("{}?{}", path(&self.daemon, "seek"), query.join("&")))?;
            let (about, word) = about(stake.as_ref());
            let (daemon, to) = (&self.daemon, &self.to);
            let question = format!("{topic}:{partition} of `{daemon}` goes on at {to}, and that is committed: {about}");
            console.consent(&self.consent, &question, &word)?;
        }
        let request = SeekRequest { topic, partition, to, reason: self.asked.why.reason };
        let sought: Sought = agent.post(&path(&self.daemon, "seek"), &request)?;
        console.answer([&sought], "")?;
        Ok(Exit::Drained)
    }
}

/// What a seek is about, and what is to be typed for it. A process of an older version tells nothing of that.
fn about(stake: Option<&StakeShown>) -> (String, String) {
    let unknown = "how many records that is about is not known";
    match stake {
        Some(&StakeShown { records: Some(records), effect: Some(effect) }) => {
            (format!("{records} records {}", effect.said()), records.to_string())
        }
        Some(_) => (unknown.to_owned(), "seek".to_owned()),
        None => (
            format!("{unknown}, as the process that is asked is of an older version: `lag` tells it"),
            "seek".to_owned(),
        ),
    }
}

fn tell(output: &OutputArgs, steered: Steered) -> Result<Exit, Failure> {
    let row = SteeredRow::of(steered);
    let mut console = Console::new(output);
    console.answer([&row], "")?;
    Ok(holds(&console, &row.reached, row.trouble.as_deref()))
}

/// Whether an order holds in all processes that are heard of: a script goes on by the exit code.
pub(super) fn holds(console: &Console, reached: &[Reached], trouble: Option<&str>) -> Exit {
    if let Some(trouble) = trouble {
        console.note(trouble);
    }
    for (instance, why) in reached.iter().filter_map(|one| Some((&one.instance, one.lacks.as_ref()?))) {
        console.note(&format!("{instance}: {why}"));
    }
    let (obey, all) = tally(reached);
    if trouble.is_none() && obey == all { Exit::Drained } else { Exit::Found }
}

/// The one partition that this names.
fn one_partition(text: &str) -> Result<(String, i32), Failure> {
    let named = text.parse().ok().and_then(|Chosen { topic, partitions }| {
        let mut named = partitions.iter();
        named.next().filter(|_| named.next().is_none()).map(|partition| (topic.to_string(), partition.0))
    });
    named.ok_or_else(|| Failure::usage(format!("`{text}` is no partition, allowed: as in `orders:3`")))
}

fn rate(text: &str) -> Result<Option<RateLimit>, Failure> {
    if text == "off" {
        return Ok(None);
    }
    let PerTime(rate) = text
        .parse()
        .map_err(|_| Failure::usage(format!("`{text}` is no rate, allowed: as in `100/s`, `20/1min`, or `off`")))?;
    Ok(Some(RateLimit::of(rate)))
}

fn destination(text: &str) -> Result<Destination, Failure> {
    text.parse().map_err(|error: String| Failure::usage(error))
}

#[cfg(test)]
mod tests;
