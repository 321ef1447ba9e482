//! Which letters: of which topic, and which of them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, value_parser};

use super::super::ReadFile;
use super::super::again::Again;
use super::super::cluster::ClusterArgs;
use super::super::failure::Failure;
use super::super::moment::Moment;
use crate::config::DeployedConsumer;
use crate::dead_letters::{DeadLetters, Filter, place_of};
use crate::handler::letters_of;
use crate::pipeline::dead_letter::Reason;
use crate::record::{Offset, Partition, Topic};

/// Of which topic.
#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct LettersArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The letters' topic
    #[arg(long, short, value_name = "TOPIC", conflicts_with_all = ["of", "daemon"])]
    topic: Option<String>,
    /// The topic whose records they were, instead of their own
    #[arg(long, value_name = "TOPIC")]
    of: Option<String>,
    /// The daemon that wrote them, by its name in the file
    #[arg(long, value_name = "NAME", requires = "config")]
    daemon: Option<String>,
}

impl LettersArgs {
    pub(super) fn open(&self, read: &ReadFile<'_>) -> Result<DeadLetters, Failure> {
        let target = self.cluster.target(read)?;
        let topic = self.topic(&target.consumers)?;
        Ok(DeadLetters::open(&target.kafka, topic)?)
    }

    /// With the topic that was found.
    pub(super) fn again(&self, topic: &Topic, again: &mut Again) {
        self.cluster.again(again);
        again.options("topic", [topic]);
    }

    fn topic(&self, consumers: &[(String, DeployedConsumer)]) -> Result<Topic, Failure> {
        if let Some(topic) = &self.topic {
            return Ok(Topic::from(topic.as_str()));
        }
        let is_meant = |name: &String| self.daemon.as_ref().is_none_or(|daemon| daemon == name);
        let meant = || consumers.iter().filter(|(name, _)| is_meant(name));
        if let (Some(daemon), 0) = (&self.daemon, meant().count()) {
            let names = consumers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Failure::usage(format!(
                "the file has no daemon `{daemon}` that reads this cluster, it has: {names}"
            )));
        }
        let all = meant().flat_map(|(_, consumer)| consumer.topics.iter().flatten());
        let read: Vec<_> = all.filter(|read| self.of.as_ref().is_none_or(|of| read.topic.as_str() == of)).collect();
        let letters: BTreeSet<&Topic> = read.iter().filter_map(|read| read.letters.as_ref()).collect();
        let mut letters = letters.into_iter();
        match (letters.next(), letters.next(), &self.of) {
            (Some(one), None, _) => Ok(one.clone()),
            (Some(one), Some(other), _) => {
                let rest = letters.map(|topic| format!(", {topic}")).collect::<String>();
                Err(Failure::usage(format!("say which letters with `--topic`, there are: {one}, {other}{rest}")))
            }
            // Nobody knows better: where they go unless something else is said.
            (None, _, Some(of)) if read.is_empty() => Ok(letters_of(&Topic::from(of.as_str()))),
            (None, _, Some(of)) => Err(Failure::usage(format!("records of `{of}` become no dead letters"))),
            (None, ..) if meant().any(|(_, consumer)| consumer.topics.is_none()) => Err(Failure::usage(
                "say which letters, with `--topic` or `--of`: what a daemon reads, its own program knows alone",
            )),
            (None, ..) => Err(Failure::usage(
                "say which letters: their topic with `--topic`, or with `--of` the topic whose records they were",
            )),
        }
    }
}

/// The place of one letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub(super) struct PlaceArgs {
    /// Its partition of the letters' topic
    #[arg(value_parser = value_parser!(i32).range(0..))]
    partition: i32,
    /// Its offset there
    #[arg(value_parser = value_parser!(i64).range(0..))]
    offset: i64,
}

impl PlaceArgs {
    pub(super) fn partition(self) -> Partition {
        Partition(self.partition)
    }

    pub(super) fn offset(self) -> Offset {
        Offset(self.offset)
    }
}

/// A place of the letters' topic, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spot(Partition, Offset);

impl FromStr for Spot {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        place_of(text)
            .map(|(partition, offset)| Self(partition, offset))
            .ok_or("allowed: as in `2:41`, a partition and an offset")
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0, self.1)
    }
}

/// Which of the topic's letters.
#[derive(Debug, PartialEq, Eq, Args)]
#[command(next_help_heading = "Which letters")]
pub(super) struct FilterArgs {
    /// Those that failed at this time or later: `2026-11-26T18:00:00Z`, or how long ago, as `2h`
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Those that failed before this time
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Those with this reason; can be repeated
    #[arg(long, value_name = "REASON", value_parser = reasons())]
    reason: Vec<Reason>,
    /// Those with this text in their error
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Those of records of this topic
    #[arg(long, value_name = "TOPIC")]
    origin: Option<String>,
    /// Those of records of this partition of their topic
    #[arg(long, value_name = "PARTITION", value_parser = value_parser!(i32).range(0..))]
    origin_partition: Option<i32>,
    /// Those of records with this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Those of records with this header; can be repeated
    #[arg(long, value_name = "NAME[=VALUE]")]
    header: Vec<String>,
    /// Those in this partition of the letters' topic
    #[arg(long, value_name = "PARTITION", value_parser = value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// The one at this offset of that partition; can be repeated
    #[arg(long, value_name = "OFFSET", requires = "partition", value_parser = value_parser!(i64).range(0..))]
    offset: Vec<i64>,
    /// Not the one at this place of the letters' topic; can be repeated
    #[arg(long, value_name = "PARTITION:OFFSET")]
    except: Vec<Spot>,
    /// Those too that were re-driven
    #[arg(long)]
    with_redriven: bool,
    /// Those too that were discarded
    #[arg(long)]
    with_discarded: bool,
}

fn reasons() -> impl TypedValueParser<Value = Reason> {
    let named = |name: String| Reason::ALL.into_iter().find(|reason| reason.name() == name);
    PossibleValuesParser::new(Reason::ALL.map(Reason::name))
        .map(move |name| named(name).expect("the parser lets names of reasons through alone"))
}

impl FilterArgs {
    pub(super) fn filter(&self) -> Filter {
        let mut filter = self.reason.iter().fold(Filter::all(), |filter, reason| filter.reason(*reason));
        filter = self.since.iter().fold(filter, |filter, since| filter.since(since.0));
        filter = self.until.iter().fold(filter, |filter, until| filter.until(until.0));
        filter = self.error.iter().fold(filter, Filter::error_contains);
        filter = self.origin.iter().fold(filter, |filter, origin| filter.origin(origin.as_str()));
        filter = self.origin_partition.map(Partition).into_iter().fold(filter, Filter::origin_partition);
        filter = self.key.iter().fold(filter, |filter, key| filter.key(key.as_str()));
        filter = self.header.iter().fold(filter, |filter, header| match header.split_once('=') {
            Some((name, value)) => filter.header(name, value),
            None => filter.has_header(header.as_str()),
        });
        if let Some(partition) = self.partition.map(Partition) {
            let places = self.offset.iter().map(|offset| Offset(*offset));
            filter = match self.offset.is_empty() {
                true => filter.partition(partition),
                false => places.fold(filter, |filter, offset| filter.at(partition, offset)),
            };
        }
        filter = self.except.iter().fold(filter, |filter, spot| filter.except(spot.0, spot.1));
        filter = if self.with_redriven { filter.with_redriven() } else { filter };
        if self.with_discarded { filter.with_discarded() } else { filter }
    }

    pub(super) fn again(&self, again: &mut Again) {
        again
            .options("since", self.since)
            .options("until", self.until)
            .options("reason", self.reason.iter().map(|reason| reason.name()))
            .options("error", &self.error)
            .options("origin", &self.origin)
            .options("origin-partition", self.origin_partition)
            .options("key", &self.key)
            .options("header", &self.header)
            .options("partition", self.partition)
            .options("offset", &self.offset)
            .options("except", &self.except)
            .flag("with-redriven", self.with_redriven)
            .flag("with-discarded", self.with_discarded);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::DeployedTopic;
    use crate::kafka::KafkaConfig;
    use crate::record::Timestamp;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        letters: LettersArgs,
        #[command(flatten)]
        filter: FilterArgs,
    }

    fn line(arguments: &[&str]) -> Result<Line, String> {
        let always = ["dlq", "--config", "shop.yaml"];
        Line::try_parse_from(always.iter().chain(arguments)).map_err(|error| error.to_string())
    }

    /// The letters' topic, or what is said instead.
    fn found(arguments: &[&str]) -> String {
        let consumer = |topics: Option<&[(&str, Option<&str>)]>| {
            let read = |(topic, letters): &(&str, Option<&str>)| DeployedTopic {
                topic: Topic::from(*topic),
                letters: letters.map(Topic::from),
            };
            DeployedConsumer {
                cluster: "main".to_owned(),
                kafka: KafkaConfig::new("localhost:9092", "shop"),
                topics: topics.map(|topics| topics.iter().map(read).collect()),
            }
        };
        let consumers = [
            ("bills".to_owned(), consumer(Some(&[("bills", Some("failed")), ("refunds", Some("failed"))]))),
            ("orders".to_owned(), consumer(Some(&[("orders", Some("orders.dlq")), ("eu", Some("eu.dlq"))]))),
            ("strict".to_owned(), consumer(Some(&[("strict", None)]))),
            ("unknown".to_owned(), consumer(None)),
        ];
        match line(arguments).expect("it is well formed").letters.topic(&consumers) {
            Ok(topic) => topic.to_string(),
            Err(Failure::Usage(said)) => said,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn letters_are_found_by_their_topic_by_that_of_their_records_and_by_their_daemon() {
        assert_eq!(found(&["--topic", "any"]), "any");
        assert_eq!(found(&["--of", "refunds"]), "failed");
        assert_eq!(found(&["--of", "eu", "--daemon", "orders"]), "eu.dlq");
        assert_eq!(found(&["--of", "new"]), "new.dlq");
        assert_eq!(found(&["--daemon", "bills"]), "failed");
    }

    #[test]
    fn where_it_is_not_clear_which_letters_are_meant_the_choice_is_told() {
        assert_eq!(found(&["--daemon", "orders"]), "say which letters with `--topic`, there are: eu.dlq, orders.dlq");
        assert_eq!(found(&[]), "say which letters with `--topic`, there are: eu.dlq, failed, orders.dlq");
        assert_eq!(
            found(&["--daemon", "order"]),
            "the file has no daemon `order` that reads this cluster, it has: bills, orders, strict, unknown"
        );
        assert_eq!(found(&["--of", "strict"]), "records of `strict` become no dead letters");
        let said = "say which letters: their topic with `--topic`, or with `--of` the topic whose records they were";
        assert_eq!(found(&["--daemon", "strict"]), said);
        let said = "say which letters, with `--topic` or `--of`: what a daemon reads, its own program knows alone";
        assert_eq!(found(&["--daemon", "unknown"]), said);
    }

    #[test]
    fn conditions_become_a_filter() {
        let filter = line(&[
            "--since=1970-01-01T00:00:01Z",
            "--until=1970-01-01T00:00:02Z",
            "--reason=poison",
            "--reason=timeout",
            "--error=down",
            "--origin=orders",
            "--origin-partition=3",
            "--key=ada",
            "--header=trace",
            "--header=origin=load=test",
            "--partition=1",
            "--offset=7",
            "--offset=9",
            "--except=1:8",
            "--except=2:0",
            "--with-redriven",
            "--with-discarded",
        ]);
        let time = |millis| Timestamp::from_millis(millis).expect("not negative");
        let expected = Filter::all()
            .since(time(1_000))
            .until(time(2_000))
            .reason(Reason::Poison)
            .reason(Reason::Timeout)
            .error_contains("down")
            .origin("orders")
            .origin_partition(Partition(3))
            .key("ada")
            .has_header("trace")
            .header("origin", "load=test")
            .at(Partition(1), Offset(7))
            .at(Partition(1), Offset(9))
            .except(Partition(1), Offset(8))
            .except(Partition(2), Offset(0))
            .with_redriven()
            .with_discarded();
        assert_eq!(filter.expect("it is well formed").filter.filter(), expected);
        let whole = line(&["--partition=1"]).expect("it is well formed").filter.filter();
        assert_eq!(whole, Filter::all().partition(Partition(1)));
    }

    #[test]
    fn what_no_condition_can_be_is_told_with_what_can() {
        let refused = |arguments: &[&str]| line(arguments).expect_err("it can't be meant");
        assert!(refused(&["--reason", "bad luck"]).contains("undecodable, poison, not_retryable"));
        assert!(refused(&["--since", "yesterday"]).contains("allowed: a time as in `2026-11-26T18:00:00Z`"));
        assert!(refused(&["--partition", "x"]).contains("invalid value 'x' for '--partition <PARTITION>'"));
        for wrong in ["7", "1:", "1:-1", "-1:1", "x:1"] {
            assert!(refused(&[&format!("--except={wrong}")]).contains("allowed: as in `2:41`"), "{wrong}");
        }
        assert!(refused(&["--offset", "7"]).contains("--partition <PARTITION>"));
        assert!(refused(&["--topic", "a", "--of", "b"]).contains("cannot be used with"));
    }
}
