//! `topics`: which topics a cluster has.

use clap::Args;
use serde::Serialize;

use super::ReadFile;
use super::cluster::{ClusterArgs, Target};
use super::console::{Console, OutputArgs};
use super::failure::Failure;
use super::rows::{Cell, Column, Row, Tone};
use super::work::block_on;
use crate::config::DeployedConsumer;
use crate::kafka::{KafkaAdmin, TopicState};
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Topics {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Those alone whose names contain this
    filter: Option<String>,
    /// Those too that the brokers keep for themselves
    #[arg(long)]
    internal: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// A topic of the answer.
#[derive(Debug, Serialize)]
struct TopicRow {
    topic: String,
    partitions: usize,
    /// Of the partition with the fewest.
    replicas: usize,
    /// Partitions with a replica that is not in sync.
    under_replicated: usize,
    /// Partitions that nobody leads.
    leaderless: usize,
    /// The file's daemons that read it by its name.
    daemons: Vec<String>,
}

impl Row for TopicRow {
    const HEAD: &'static [Column] = &[
        Column::text("TOPIC"),
        Column::number("PARTITIONS"),
        Column::number("REPLICAS"),
        Column::number("UNDER-REPLICATED"),
        Column::number("LEADERLESS"),
        Column::text("DAEMONS"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let count = |number: usize, tone| Cell::from(number).tone(if number > 0 { tone } else { Tone::Plain });
        vec![
            Cell::new(&self.topic),
            self.partitions.into(),
            self.replicas.into(),
            count(self.under_replicated, Tone::Warning),
            count(self.leaderless, Tone::Bad),
            Cell::new(self.daemons.join(", ")),
        ]
    }
}

impl Topics {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let target = self.cluster.target(read)?;
        let topics = block_on(async { KafkaAdmin::new(&target.kafka)?.topics().await.map_err(Failure::from) })?;
        let is_wanted = |topic: &TopicState| {
            let name = topic.topic.as_str();
            (self.internal || !name.starts_with("__")) && self.filter.as_deref().is_none_or(|part| name.contains(part))
        };
        let mut rows: Vec<TopicRow> =
            topics.iter().filter(|topic| is_wanted(topic)).map(|topic| row(topic, &target)).collect();
        rows.sort_by(|one, other| one.topic.cmp(&other.topic));
        Console::new(&self.output).answer(&rows, "no topic that is visible to this user")?;
        Ok(Exit::Drained)
    }
}

fn row(state: &TopicState, target: &Target) -> TopicRow {
    let partitions = &state.partitions;
    let reads = |consumer: &DeployedConsumer| consumer.topics.iter().flatten().any(|read| read.topic == state.topic);
    TopicRow {
        topic: state.topic.to_string(),
        partitions: partitions.len(),
        replicas: partitions.iter().map(|partition| partition.replicas).min().unwrap_or(0),
        under_replicated: partitions.iter().filter(|partition| partition.in_sync < partition.replicas).count(),
        leaderless: partitions.iter().filter(|partition| !partition.has_leader).count(),
        daemons: target.consumers.iter().filter(|(_, one)| reads(one)).map(|(name, _)| name.clone()).collect(),
    }
}
