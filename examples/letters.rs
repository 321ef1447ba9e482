//! A tool for dead letters: lists, shows, re-drives, edits and discards those of one topic.
//!
//! ```text
//! letters list     --brokers B --topic T [FILTER]
//! letters show     --brokers B --topic T --partition P --offset O
//! letters count    --brokers B --topic T [FILTER] [--cap N]
//! letters redrive  --brokers B --topic T --request NAME [FILTER] [--to TOPIC] [--per-second N] [--cap N] [--by WHO]
//! letters edit     --brokers B --topic T --partition P --offset O --value TEXT --by WHO
//! letters discard  --brokers B --topic T [FILTER] --by WHO --reason TEXT
//! letters sample   --brokers B --topic T --letters N
//! ```
//!
//! FILTER: `--reason REASON`, `--error TEXT` (is part of it), `--origin TOPIC`, `--key KEY`, `--header NAME=VALUE`, `--since MS`, `--until MS`
//! (milliseconds since 1970 UTC), `--partition P` and `--offset O`, `--with-redriven true`, `--with-discarded true`.
//!
//! `--properties` names a file of librdkafka's properties, `name=value` a line, so that no secret stands on the command line.
//!
//! `count` is a dry run. `redrive` can be killed and run again with the same NAME: it goes on where it was. `sample` writes small letters to
//! try the others with, of records of the topic `sample`, with 1,000 keys; it makes the letters' topic if that is missing.
//!
//! Exit codes: 0 done, 1 with an error on standard error.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use daemonry::dead_letters::{Counts, DeadLetters, Edit, Entry, Filter, Redrive};
use daemonry::kafka::{KafkaAdmin, KafkaConfig, KafkaProducer};
use daemonry::pipeline::dead_letter::Reason;
use daemonry::producer::RecordSink;
use daemonry::record::{Offset, OwnedRecord, Partition, Timestamp, Topic};
use daemonry::telemetry::{self, LogFormat};
use futures_util::{StreamExt, TryStreamExt, stream};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists letters, one a line: partition, offset, when, origin, reason, attempts, re-drives, key, error, mark.
    List {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        which: Which,
    },
    /// Shows one letter with all that is known of it.
    Show {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        place: Place,
    },
    /// Counts what a re-drive would do.
    Count {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        which: Which,
        #[arg(long)]
        cap: Option<u32>,
    },
    /// Writes the records again.
    Redrive {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        which: Which,
        /// The request's name; run again with it, it goes on.
        #[arg(long)]
        request: String,
        /// Another topic than the one that each was read from.
        #[arg(long)]
        to: Option<String>,
        #[arg(long)]
        per_second: Option<f64>,
        #[arg(long)]
        cap: Option<u32>,
        #[arg(long)]
        by: Option<String>,
    },
    /// Writes the record of one letter with another value.
    Edit {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        value: String,
        #[arg(long)]
        by: String,
    },
    /// Gives letters up.
    Discard {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        which: Which,
        #[arg(long)]
        by: String,
        #[arg(long)]
        reason: String,
    },
    /// Writes letters to try the others with.
    Sample {
        #[command(flatten)]
        at: At,
        #[arg(long)]
        letters: u64,
    },
}

#[derive(Args)]
struct At {
    /// Brokers, `host:port`, several with commas.
    #[arg(long)]
    brokers: String,
    /// The letters' topic.
    #[arg(long)]
    topic: String,
    /// A file with properties of librdkafka's, `name=value` a line.
    #[arg(long)]
    properties: Option<PathBuf>,
}

#[derive(Args)]
struct Place {
    #[arg(long)]
    partition: i32,
    #[arg(long)]
    offset: i64,
}

#[derive(Args)]
struct Which {
    #[arg(long)]
    reason: Option<String>,
    #[arg(long)]
    error: Option<String>,
    #[arg(long)]
    origin: Option<String>,
    #[arg(long)]
    key: Option<String>,
    #[arg(long)]
    header: Option<String>,
    #[arg(long)]
    since: Option<i64>,
    #[arg(long)]
    until: Option<i64>,
    #[arg(long)]
    partition: Option<i32>,
    #[arg(long, requires = "partition")]
    offset: Option<i64>,
    #[arg(long)]
    with_redriven: Option<bool>,
    #[arg(long)]
    with_discarded: Option<bool>,
}

impl At {
    fn config(&self) -> Result<KafkaConfig> {
        // No group is joined.
        let mut config = KafkaConfig::new(&self.brokers, "unused");
        if let Some(path) = &self.properties {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                let (name, value) = line.split_once('=').context("a property is `name=value`")?;
                config = config.secret_property(name.trim(), value.trim());
            }
        }
        Ok(config)
    }

    fn open(&self) -> Result<DeadLetters> {
        Ok(DeadLetters::open(&self.config()?, self.topic.as_str())?)
    }
}

impl Which {
    fn filter(self) -> Result<Filter> {
        let mut filter = Filter::all();
        if let Some(reason) = self.reason {
            let known = Reason::ALL.into_iter().find(|known| known.name() == reason);
            let names = || Reason::ALL.map(Reason::name).join(", ");
            filter =
                filter.reason(known.with_context(|| format!("no reason is `{reason}`: it is one of {}", names()))?);
        }
        if let Some(header) = self.header {
            let (name, value) = header.split_once('=').context("a header is `name=value`")?;
            filter = filter.header(name, value);
        }
        let time = |millis| Timestamp::from_millis(millis).context("a time is not negative");
        if let Some(since) = self.since {
            filter = filter.since(time(since)?);
        }
        if let Some(until) = self.until {
            filter = filter.until(time(until)?);
        }
        filter = self.error.into_iter().fold(filter, Filter::error_contains);
        filter = self.origin.into_iter().fold(filter, Filter::origin);
        filter = self.key.into_iter().fold(filter, Filter::key);
        filter = match (self.partition.map(Partition), self.offset.map(Offset)) {
            (Some(partition), Some(offset)) => filter.at(partition, offset),
            (Some(partition), None) => filter.partition(partition),
            (None, _) => filter,
        };
        if self.with_redriven == Some(true) {
            filter = filter.with_redriven();
        }
        if self.with_discarded == Some(true) {
            filter = filter.with_discarded();
        }
        Ok(filter)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    telemetry::init(LogFormat::Human)?;
    let mut out = BufWriter::new(std::io::stdout());
    match Cli::parse().command {
        Command::List { at, which } => {
            let mut listing = at.open()?.list(which.filter()?);
            while let Some(entry) = listing.next().await {
                writeln!(out, "{}", line(&entry?))?;
            }
        }
        Command::Show { at, place } => {
            let shown = at.open()?.show(Partition(place.partition), Offset(place.offset)).await?;
            writeln!(out, "{}", line(&shown.entry))?;
            if let Some(letter) = shown.entry.letter() {
                for (name, value) in &letter.record.headers {
                    writeln!(out, "header {}: {}", text(Some(name)), text(value.as_deref()))?;
                }
                writeln!(out, "value {}", text(letter.record.value.as_deref()))?;
            }
            if let Some(mark) = shown.mark {
                writeln!(out, "mark {mark:?}")?;
            }
        }
        Command::Count { at, which, cap } => {
            let request = cap.into_iter().fold(Redrive::new("count", which.filter()?), Redrive::cap);
            tell(&mut out, "would re-drive", at.open()?.dry_run(request).await?)?;
        }
        Command::Redrive { at, which, request, to, per_second, cap, by } => {
            let request = Redrive::new(request, which.filter()?);
            let request = to.into_iter().fold(request, Redrive::to_topic);
            let request = per_second.into_iter().fold(request, Redrive::per_second);
            let request = cap.into_iter().fold(request, Redrive::cap);
            let request = by.into_iter().fold(request, Redrive::by);
            tell(&mut out, "re-driven", at.open()?.redrive(request).await?)?;
        }
        Command::Edit { at, place, value, by } => {
            let edit = Edit::by(by).value(Some(value.into_bytes()));
            let (partition, offset) = (Partition(place.partition), Offset(place.offset));
            tell(&mut out, "re-driven", at.open()?.redrive_edited(partition, offset, edit).await?)?;
        }
        Command::Discard { at, which, by, reason } => {
            tell(&mut out, "discarded", at.open()?.discard(which.filter()?, by, reason).await?)?;
        }
        Command::Sample { at, letters } => sample(&at, letters).await?,
    }
    out.flush()?;
    Ok(())
}

fn tell(out: &mut impl Write, what: &str, counts: Counts) -> Result<()> {
    writeln!(
        out,
        "{what} {}; left: {} at the cap, {} re-driven before, {} discarded before, {} no letters, {} not meant",
        counts.selected,
        counts.at_cap,
        counts.already_redriven,
        counts.already_discarded,
        counts.foreign,
        counts.unmatched
    )?;
    Ok(())
}

fn line(entry: &Entry) -> String {
    let mark = entry.mark.map(|mark| format!(" {mark:?}")).unwrap_or_default();
    let (partition, offset) = (entry.partition, entry.offset);
    let Some(letter) = entry.letter() else { return format!("{partition} {offset} no letter{mark}") };
    let at = letter.failed_at.map_or(0, Timestamp::as_millis);
    let key = text(letter.record.key.as_deref());
    format!(
        "{partition} {offset} {at} {}@{} {} {} {} {key} {:?}{mark}",
        letter.origin.to_string().escape_debug(),
        letter.offset,
        letter.reason.name(),
        letter.attempts,
        letter.redrives,
        letter.error
    )
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{:?}", String::from_utf8_lossy(bytes)))
}

async fn sample(at: &At, letters: u64) -> Result<()> {
    let (config, topic) = (at.config()?, Topic::from(at.topic.as_str()));
    KafkaAdmin::new(&config)?.create(&topic, 4).await?;
    let producer = KafkaProducer::new(&config)?;
    let started = Instant::now();
    let write = |number: u64| {
        let (producer, topic) = (&producer, &topic);
        async move { producer.write(topic, &letter(number)).await }
    };
    let written = stream::iter(0..letters).map(write).buffer_unordered(10_000);
    let count = written.try_fold(0_u64, async |count, _| Ok(count + 1)).await?;
    if count != letters {
        bail!("{count} of {letters} letters were written");
    }
    tracing::info!(letters, seconds = started.elapsed().as_secs_f64(), "sample letters are written");
    Ok(())
}

/// A letter as a daemon writes it.
fn letter(number: u64) -> OwnedRecord {
    let record = OwnedRecord::new(format!(r#"{{"id":{number}}}"#)).with_key(format!("key-{}", number % 1_000));
    let now = Timestamp::now().as_millis().to_string();
    let number = number.to_string();
    [
        ("daemonry-topic", "sample"),
        ("daemonry-partition", "0"),
        ("daemonry-offset", &number),
        ("daemonry-timestamp", &now),
        ("daemonry-reason", "error"),
        ("daemonry-error", "connection refused"),
        ("daemonry-attempts", "4"),
        ("daemonry-daemon", "sample"),
        ("daemonry-handler", "sample::handle"),
        ("daemonry-failed-at", &now),
    ]
    .into_iter()
    .fold(record, |record, (name, value)| record.with_header(name, value))
}
