//! `records`: records of a topic as they lie there, read in no group.

use std::time::Duration;

use clap::{Args, value_parser};
use console::truncate_str;
use serde::Serialize;

use super::ReadFile;
use super::chosen::Chosen;
use super::cluster::ClusterArgs;
use super::console::{Console, OutputArgs};
use super::failure::Failure;
use super::moment::Moment;
use super::rows::{Cell, Column, Row};
use super::work::block_on;
use crate::api::shown::Destination;
use crate::payload::{Bytes, inline};
use crate::record::{Offset, Partition, Timestamp, Topic};
use crate::records::{Extent, Found, Records as Shelf, Start};
use crate::shutdown::Exit;

/// How long it may take to read a page.
const PATIENCE: Duration = Duration::from_secs(30);
/// How wide a key is in a table, and a value.
const KEY: usize = 24;
const VALUE: usize = 80;

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Records {
    /// The partition, as in `orders:3`; of a topic alone it is told what its partitions hold
    #[arg(value_name = "TOPIC[:PARTITION]")]
    place: Chosen,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Where it begins: `beginning`, `end`, an offset, or a time as in `2026-11-26T18:00:00Z`; with `end` they are the last ones
    #[arg(long, value_name = "PLACE", default_value = "end", conflicts_with = "before")]
    from: String,
    /// Those before this offset
    #[arg(long, value_name = "OFFSET", value_parser = value_parser!(i64).range(0..))]
    before: Option<i64>,
    /// No more than so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Writes the bytes of the first one's value, and nothing else
    #[arg(long, conflicts_with = "output")]
    raw: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// A record of the answer.
#[derive(Debug, Serialize)]
struct RecordRow {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Option<Moment>,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<HeaderRow>,
}

#[derive(Debug, Serialize)]
struct HeaderRow {
    name: Bytes,
    value: Option<Bytes>,
}

/// A partition of the answer.
#[derive(Debug, Serialize)]
struct ExtentRow {
    partition: i32,
    /// None of both where no broker leads it, or the one that does says nothing.
    first: Option<i64>,
    end: Option<i64>,
}

impl RecordRow {
    fn of(topic: &Topic, partition: Partition, Found { offset, record, .. }: &Found) -> Self {
        let header = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| HeaderRow {
            name: Bytes::of(name),
            value: value.as_deref().map(Bytes::of),
        };
        Self {
            topic: topic.to_string(),
            partition: partition.0,
            offset: offset.0,
            timestamp: record.timestamp.map(Moment),
            key: record.key.as_deref().map(Bytes::of),
            value: record.value.as_deref().map(Bytes::of),
            headers: record.headers.iter().map(header).collect(),
        }
    }
}

impl Row for RecordRow {
    const HEAD: &'static [Column] = &[
        Column::number("OFFSET"),
        Column::text("TIME"),
        Column::text("KEY"),
        Column::number("HEADERS"),
        Column::text("VALUE"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let cut = |bytes: &Option<Bytes>, width| {
            let bytes = bytes.clone().and_then(Bytes::bytes);
            bytes.map(|bytes| truncate_str(&inline(&bytes), width, "…").into_owned())
        };
        vec![
            self.offset.into(),
            Cell::of(self.timestamp),
            Cell::of(cut(&self.key, KEY)),
            self.headers.len().into(),
            Cell::of(cut(&self.value, VALUE)),
        ]
    }
}

impl Row for ExtentRow {
    const HEAD: &'static [Column] = &[Column::number("PARTITION"), Column::number("FIRST"), Column::number("END")];

    fn cells(&self) -> Vec<Cell> {
        vec![self.partition.into(), Cell::of(self.first), Cell::of(self.end)]
    }
}

impl Records {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let shelf = Shelf::kafka(&self.cluster.target(read)?.kafka)?;
        let mut console = Console::new(&self.output);
        let Chosen { topic, partitions } = &self.place;
        let mut partitions = partitions.iter();
        let partition = match (partitions.next(), partitions.next()) {
            (Some(partition), None) => *partition,
            (None, _) => return extents(&shelf, topic, &mut console),
            (Some(_), Some(_)) => return Err(Failure::usage("one partition at a time, as in `orders:3`")),
        };
        let (start, limit) = (self.start()?, if self.raw { 1 } else { self.limit as usize });
        let page = block_on(async { Ok(shelf.page(topic.clone(), partition, start, limit, PATIENCE).await?) })?;
        if self.raw {
            let first = page.records.first();
            let value = first.and_then(|found| found.record.value.as_deref());
            if value.is_none() {
                console.note(if first.is_some() {
                    "the record has no value, it is a tombstone"
                } else {
                    "no record is there"
                });
            }
            return console.bytes(value.unwrap_or_default());
        }
        let rows: Vec<RecordRow> = page.records.iter().map(|found| RecordRow::of(topic, partition, found)).collect();
        console.answer(&rows, "no record is there")?;
        let before =
            page.before.map_or("nothing is before them".to_owned(), |before| format!("before them: --before {before}"));
        console.note(&format!("offsets {} to {}; {before}, behind them: --from {}", page.first, page.end, page.next));
        if page.is_late {
            console.note("the brokers are slow: there may be more here than was read in time");
        }
        Ok(Exit::Drained)
    }

    fn start(&self) -> Result<Start, Failure> {
        if let Some(before) = self.before {
            return Ok(Start::Before(Offset(before)));
        }
        Ok(match self.from.parse::<Destination>().map_err(Failure::usage)? {
            Destination::Beginning => Start::Beginning,
            Destination::End => Start::End,
            Destination::Offset(offset @ 0..) => Start::Offset(Offset(offset)),
            Destination::Offset(_) => return Err(Failure::usage("there is no offset below 0")),
            Destination::Time(millis) => {
                let time = Timestamp::from_millis(millis);
                Start::Time(time.ok_or_else(|| Failure::usage("there is no record of before 1970"))?)
            }
        })
    }
}

/// What a topic's partitions hold.
fn extents(shelf: &Shelf, topic: &Topic, console: &mut Console) -> Result<Exit, Failure> {
    let extents = block_on(async { Ok(shelf.partitions(topic.clone()).await?) })?;
    let row = |one: &Extent| ExtentRow {
        partition: one.partition.0,
        first: one.offsets.map(|(first, _)| first.0),
        end: one.offsets.map(|(_, end)| end.0),
    };
    console.answer(&extents.iter().map(row).collect::<Vec<_>>(), "it has no partition")?;
    let unanswered = extents.iter().filter(|one| one.offsets.is_none()).count();
    if unanswered > 0 {
        console.note(&format!("no broker answers for {unanswered} of them now"));
    }
    console.note(&format!("say which one, as in `{topic}:0`"));
    Ok(Exit::Drained)
}
