//! `lag`: how far groups are behind.

mod row;
mod total;

use std::fmt;

use clap::{Args, ValueEnum};

use self::row::PartitionRow;
use self::total::{GroupRow, TopicRow, Total};
use super::ReadFile;
use super::cluster::ClusterArgs;
use super::console::{Console, OutputArgs};
use super::failure::Failure;
use super::moment::Moment;
use super::standing::{Only, Standing, Subject, ask, wanted};
use super::work::block_on;
use crate::config::Period;
use crate::kafka::{AdminError, GroupPhase, KafkaAdmin};
use crate::record::{Timestamp, Topic};
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Lag {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The group; can be repeated. By default those of the file's daemons
    #[arg(long, short, value_name = "GROUP")]
    group: Vec<String>,
    /// This topic alone; can be repeated. By default all that a group has committed or is known to read
    #[arg(long, short, value_name = "TOPIC")]
    topic: Vec<String>,
    /// What a row is about
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = By::Partition)]
    by: By,
    /// Looks again and again, every 2s unless another period is given
    #[arg(long, short, value_name = "PERIOD", num_args = 0..=1, default_missing_value = "2s")]
    watch: Option<Period>,
    /// Ends with 1 where a partition has a larger lag than this, with 4 where that can't be told
    #[arg(long, value_name = "RECORDS", conflicts_with = "watch")]
    max: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Partition,
    Topic,
    Group,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Partition => "partition",
            Self::Topic => "topic",
            Self::Group => "group",
        })
    }
}

/// A group, and what came of asking about it.
struct Looked {
    /// Where there are several.
    cluster: Option<String>,
    subject: Subject,
    standing: Result<Standing, AdminError>,
    /// When it was asked, where that is repeated.
    at: Option<Timestamp>,
}

impl Looked {
    /// Whether the group has neither members nor commits, as one whose name is misspelt.
    fn is_unknown(&self) -> bool {
        let Ok(Standing { state, places }) = &self.standing else { return false };
        matches!(state.phase, GroupPhase::Dead | GroupPhase::Unknown)
            && state.members.is_empty()
            && places.iter().all(|place| place.committed.is_none())
    }
}

/// A cluster, and the groups of it that are asked about.
struct Asked {
    name: Option<String>,
    admin: KafkaAdmin,
    subjects: Vec<Subject>,
}

impl Lag {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let mut console = Console::new(&self.output);
        if self.watch.is_some() && console.is_closed() {
            return Err(Failure::usage(
                "what is watched has no end, which one JSON array needs: say `--output ndjson`",
            ));
        }
        let wanted = wanted(self.cluster.targets(read)?, &self.group)?;
        block_on(async {
            let several = wanted.len() > 1;
            let clusters = wanted.into_iter().map(|(target, subjects)| {
                let name = target.name.filter(|_| several);
                Ok(Asked { name, admin: KafkaAdmin::new(&target.kafka)?, subjects })
            });
            let clusters = clusters.collect::<Result<Vec<_>, Failure>>()?;
            let Some(Period(period)) = self.watch else {
                let looked = self.look(&clusters, None).await;
                self.show(&looked, &mut console)?;
                return Ok(self.exit(&looked));
            };
            loop {
                let now = Timestamp::now();
                let looked = self.look(&clusters, Some(now)).await;
                console.again(&Moment(now).in_seconds())?;
                self.show(&looked, &mut console)?;
                tokio::time::sleep(period).await;
            }
        })
    }

    async fn look(&self, clusters: &[Asked], at: Option<Timestamp>) -> Vec<Looked> {
        let topics: Vec<Topic> = self.topic.iter().map(Topic::from).collect();
        let only = match (topics.is_empty(), self.group.is_empty()) {
            (true, _) => Only::Read,
            // Of many groups those that read it are meant.
            (false, true) => Only::ReadOf(&topics),
            (false, false) => Only::Named(&topics),
        };
        let mut looked = Vec::new();
        for Asked { name, admin, subjects } in clusters {
            let there = admin.topics().await;
            for subject in subjects {
                let standing = match &there {
                    Ok(topics) => ask(admin, subject, only, topics).await,
                    Err(error) => Err(error.clone()),
                };
                let is_meant =
                    !matches!((only, &standing), (Only::ReadOf(_), Ok(standing)) if standing.places.is_empty());
                looked.extend(is_meant.then(|| Looked {
                    cluster: name.clone(),
                    subject: subject.clone(),
                    standing,
                    at,
                }));
            }
        }
        looked
    }

    fn show(&self, looked: &[Looked], console: &mut Console) -> Result<(), Failure> {
        let nothing = "nothing to show of these groups";
        match self.by {
            By::Partition => console.answer(&looked.iter().flat_map(PartitionRow::of).collect::<Vec<_>>(), nothing),
            By::Topic => {
                let rows = looked.iter().flat_map(Total::by_topic).map(TopicRow);
                console.answer(&rows.collect::<Vec<_>>(), nothing)
            }
            By::Group => {
                let rows = looked.iter().map(Total::of_group).map(GroupRow);
                console.answer(&rows.collect::<Vec<_>>(), nothing)
            }
        }
    }

    fn exit(&self, looked: &[Looked]) -> Exit {
        let standings: Vec<&Standing> = looked.iter().filter_map(|one| one.standing.as_ref().ok()).collect();
        let mut lags = standings.iter().flat_map(|standing| standing.places.iter().map(super::standing::Place::lag));
        let is_told = standings.len() == looked.len();
        match self.max {
            _ if !is_told => Exit::Failed,
            None => Exit::Drained,
            Some(max) if lags.clone().flatten().any(|lag| lag > max) => Exit::Found,
            // Whoever asks by script must not take silence, or a name that is misspelt, for good news.
            Some(_) if looked.is_empty() || lags.any(|lag| lag.is_none()) || looked.iter().any(Looked::is_unknown) => {
                Exit::Failed
            }
            Some(_) => Exit::Drained,
        }
    }
}

#[cfg(test)]
mod tests;
