//! `reset-offsets`: has a group go on at another place.
//!
//! The invariants: nothing is written unless it is asked for, by `--execute`, and the group has nobody in it; the brokers see to that
//! too. The commit's metadata is not written again: it says which records above the old place are finished, and whoever goes back
//! wants them to run again.

mod plan;
mod to;

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use self::plan::{Lookup, Step};
use self::to::To;
use super::ReadFile;
use super::chosen::Chosen;
use super::cluster::ClusterArgs;
use super::console::{ConsentArgs, Console, OutputArgs};
use super::failure::Failure;
use super::rows::{Cell, Column, Row, Tone};
use super::standing::{NO_PARTITION, Only, Place, Standing, Subject, ask, named, wanted};
use super::work::block_on;
use crate::kafka::{GroupState, KafkaAdmin, OffsetAt};
use crate::record::{Offset, Partition, Topic, TopicPartition};
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct ResetOffsets {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The group
    #[arg(long, short, value_name = "GROUP")]
    group: String,
    /// The topic, or some of its partitions as in `orders:0,3`; can be repeated
    #[arg(long, short, value_name = "TOPIC[:P,…]", required = true)]
    topic: Vec<Chosen>,
    /// Where it is to go on: `earliest`, `latest`, an offset, `+N` or `-N` from where it is, the first record of a time (RFC 3339) or
    /// later, or where another group is, as `group:NAME`
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    to: To,
    /// Does it. Without, it is only shown what would be done
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A partition of the plan.
#[derive(Debug, Serialize)]
struct StepRow {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    /// Null where it is left as it is.
    to: Option<i64>,
    /// Those that run again; negative: those that are passed over.
    records: i64,
    forgotten: u64,
    note: Option<String>,
}

impl StepRow {
    fn of(step: &Step) -> Self {
        let count = |records: u64| i64::try_from(records).unwrap_or(i64::MAX);
        Self {
            topic: step.place.topic.to_string(),
            partition: step.place.partition.0,
            committed: step.committed.map(|offset| offset.0),
            to: step.to.map(|offset| offset.0),
            records: count(step.again) - count(step.skipped),
            forgotten: step.forgotten,
            note: step.note.clone(),
        }
    }
}

impl Row for StepRow {
    const HEAD: &'static [Column] = &[
        Column::text("TOPIC"),
        Column::number("PARTITION"),
        Column::number("COMMITTED"),
        Column::number("WOULD BE"),
        Column::number("RECORDS"),
        Column::number("FORGOTTEN"),
        Column::text("NOTE"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let records = if self.records == 0 { "0".to_owned() } else { format!("{:+}", self.records) };
        vec![
            Cell::new(&self.topic),
            self.partition.into(),
            Cell::of(self.committed),
            Cell::of(self.to),
            // What is passed over is never done.
            Cell::new(records).tone(if self.records < 0 { Tone::Bad } else { Tone::Plain }),
            self.forgotten.into(),
            Cell::new(self.note.as_deref().unwrap_or_default()).tone(Tone::Warning),
        ]
    }
}

/// A partition afterwards.
#[derive(Debug, Serialize)]
struct DoneRow {
    topic: String,
    partition: i32,
    before: Option<i64>,
    /// As it was read back.
    committed: Option<i64>,
    error: Option<String>,
}

impl Row for DoneRow {
    const HEAD: &'static [Column] = &[
        Column::text("TOPIC"),
        Column::number("PARTITION"),
        Column::number("BEFORE"),
        Column::number("COMMITTED"),
        Column::text("ERROR"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::new(&self.topic),
            self.partition.into(),
            Cell::of(self.before),
            Cell::of(self.committed),
            Cell::new(self.error.as_deref().unwrap_or_default()).tone(Tone::Bad),
        ]
    }
}

impl ResetOffsets {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let mut wanted = wanted(self.cluster.targets(read)?, std::slice::from_ref(&self.group))?;
        if wanted.len() > 1 {
            let say =
                format!("daemons of several clusters have the group `{}`: say which with `--cluster`", self.group);
            return Err(Failure::usage(say));
        }
        let target = wanted.pop().ok_or_else(|| Failure::usage("no cluster is known"))?.0;
        block_on(self.reset(KafkaAdmin::new(&target.kafka)?))
    }

    async fn reset(self, admin: KafkaAdmin) -> Result<Exit, Failure> {
        let mut console = Console::new(&self.output);
        let standing = self.stand(&admin).await?;
        let steps = self.plan(&admin, &standing).await?;
        let rows: Vec<StepRow> = steps.iter().map(StepRow::of).collect();
        if !self.execute || console.is_for_people() {
            console.answer(&rows, "no partition")?;
        }
        if !self.execute {
            if !standing.state.members.is_empty() {
                console.note(&busy(&self.group, &standing.state));
            }
            console.note("nothing was done: say `--execute` to do it");
            return Ok(Exit::Drained);
        }
        if let Some(step) = steps.iter().find(|step| step.is_unclear) {
            let note = step.note.as_deref().unwrap_or_default();
            return Err(Failure::new(format!("{}: {note}; nothing was done", step.place)));
        }
        if !standing.state.members.is_empty() {
            return Err(Failure::new(busy(&self.group, &standing.state)));
        }
        let goals: Vec<(TopicPartition, Offset)> =
            steps.iter().filter_map(|step| Some((step.place.clone(), step.to?))).collect();
        if goals.is_empty() {
            console.note("there is nothing to do");
            return Ok(Exit::Drained);
        }
        console.consent(&self.consent, &self.question(&steps, goals.len()), &goals.len().to_string())?;
        let refused = admin.commit(&self.group, &goals).await?;
        // Not as it was sent, but as it is now.
        let after = admin.commits(&self.group).await?;
        let rows: Vec<DoneRow> = steps
            .iter()
            .filter_map(|step| {
                let goal = step.to?;
                let committed = after.get(&step.place).map(|commit| commit.next.offset());
                let other = (committed != Some(goal))
                    .then(|| "something else is committed: who else commits for this group?".to_owned());
                Some(DoneRow {
                    topic: step.place.topic.to_string(),
                    partition: step.place.partition.0,
                    before: step.committed.map(|offset| offset.0),
                    committed: committed.map(|offset| offset.0),
                    error: refused.get(&step.place).cloned().or(other),
                })
            })
            .collect();
        let is_done = rows.iter().all(|row| row.error.is_none());
        if console.is_for_people() {
            console.note("what is committed now, as it was read back:");
        }
        console.answer(&rows, "no partition")?;
        Ok(if is_done { Exit::Drained } else { Exit::Failed })
    }

    /// Where the group stands in the partitions that are meant.
    async fn stand(&self, admin: &KafkaAdmin) -> Result<Standing, Failure> {
        let only: Vec<Topic> = self.topic.iter().map(|chosen| chosen.topic.clone()).collect();
        let topics = admin.topics().await?;
        for chosen in &self.topic {
            let Some(there) = topics.iter().find(|state| state.topic == chosen.topic) else {
                let topic = &chosen.topic;
                return Err(Failure::usage(format!("there is no topic `{topic}`, or this user may not see it")));
            };
            let is_there = |number: &&Partition| there.partitions.iter().all(|state| state.partition != **number);
            if let Some(number) = chosen.partitions.iter().find(is_there) {
                let (topic, count) = (&chosen.topic, there.partitions.len());
                return Err(Failure::usage(format!(
                    "topic `{topic}` has no partition {number}, but {count} of them from 0"
                )));
            }
        }
        let subject = Subject { group: self.group.clone(), ..Subject::default() };
        let mut standing = ask(admin, &subject, Only::Named(&only), &topics).await?;
        standing.places.retain(|place| self.is_meant(&place.place));
        Ok(standing)
    }

    fn is_meant(&self, place: &TopicPartition) -> bool {
        place.partition != Partition(NO_PARTITION)
            && self.topic.iter().any(|chosen| {
                let all = chosen.partitions.is_empty();
                chosen.topic == place.topic && (all || chosen.partitions.contains(&place.partition))
            })
    }

    async fn plan(&self, admin: &KafkaAdmin, standing: &Standing) -> Result<Vec<Step>, Failure> {
        let places = &standing.places;
        let lookups: BTreeMap<TopicPartition, Lookup> = match &self.to {
            To::Time(time) => {
                let led = places.iter().filter(|place| place.span.is_ok()).map(|place| place.place.clone());
                let found = admin.offsets(&led.collect::<Vec<_>>(), OffsetAt::Time(*time)).await?;
                found.into_iter().map(|(place, found)| (place, Lookup::Time(found))).collect()
            }
            To::Group(other) => {
                let commits = admin.commits(other).await?;
                if commits.is_empty() {
                    return Err(Failure::usage(format!("group `{other}` has committed nothing")));
                }
                let of = |place: &Place| {
                    let committed = commits.get(&place.place).map(|commit| commit.next.offset());
                    (place.place.clone(), Lookup::Other(committed))
                };
                places.iter().map(of).collect()
            }
            _ => BTreeMap::new(),
        };
        let step = |place: &Place| {
            let lookup = lookups.get(&place.place).cloned().unwrap_or(Lookup::None);
            Step::of(place, &self.to, lookup)
        };
        Ok(places.iter().map(step).collect())
    }

    fn question(&self, steps: &[Step], partitions: usize) -> String {
        let sum = |of: fn(&Step) -> u64| steps.iter().map(of).sum::<u64>();
        let (again, skipped, forgotten) =
            (sum(|step| step.again), sum(|step| step.skipped), sum(|step| step.forgotten));
        let group = &self.group;
        format!(
            "group `{group}` goes on elsewhere in {partitions} partition(s): up to {again} record(s) run again, up to {skipped} \
             are passed over, {forgotten} that are remembered as finished are forgotten"
        )
    }
}

/// Who is in the group, and what to do about it.
fn busy(group: &str, state: &GroupState) -> String {
    let members: Vec<String> = state.members.iter().map(named).collect();
    format!(
        "group `{group}` has {} member(s): {}; stop its daemon in every process, or have it go on elsewhere while it runs: `seek`",
        members.len(),
        members.join(", ")
    )
}
