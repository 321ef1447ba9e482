//! A group and its partitions as whoever operates it sees them: from outside, without taking part.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Offset as At;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::admin::{AdminError, KafkaAdmin};
use super::callbacks::Callbacks;
use super::client::list;
use super::native::{self, Committed, Isolation};
use crate::pipeline::metadata::{MetadataWarning, finished_above};
use crate::record::{NextOffset, Offset, Timestamp, TopicPartition};

/// How long the brokers may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before a coordinator is looked for again.
const MOVING: Duration = Duration::from_millis(200);

/// A group as its coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupState {
    /// What it is at.
    pub(crate) phase: GroupPhase,
    /// Whether it is one of KIP-848.
    pub(crate) is_consumer: bool,
    /// Who is in it.
    pub(crate) members: Vec<GroupMember>,
    /// Whether we may join it and commit for it; `None` where the brokers don't tell.
    pub(crate) may_read: Option<bool>,
}

/// What a group is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Serialize))]
#[cfg_attr(feature = "cli", serde(rename_all = "snake_case"))]
pub(crate) enum GroupPhase {
    /// Its partitions are being distributed.
    Rebalancing,
    /// They are distributed.
    Stable,
    /// It has no members, and commits maybe.
    Empty,
    /// The coordinator knows nothing of it.
    Dead,
    /// The brokers don't tell, or have another word for it, as KIP-848 for its rebalances.
    Unknown,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupMember {
    /// What its coordinator calls it.
    pub(crate) id: String,
    /// Its `client.id`.
    pub(crate) client: String,
    /// Its `group.instance.id`, if it is a static one.
    pub(crate) instance: Option<String>,
    /// Where its connection comes from.
    pub(crate) host: String,
    /// What it has.
    pub(crate) partitions: Vec<TopicPartition>,
}

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupCommit {
    /// The offset to read next.
    pub(crate) next: NextOffset,
    /// How many records above it are remembered as finished, or why that can't be told.
    pub(crate) finished_above: Result<u64, MetadataWarning>,
}

/// A place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OffsetAt {
    /// Its first record's.
    First,
    /// That which the next record will get.
    End,
    /// The first record's that is as old or newer.
    Time(Timestamp),
}

/// The offset of a place, none where a time has no record; or why it isn't known.
pub(crate) type Found = Result<Option<Offset>, String>;

impl GroupState {
    /// Of one that nobody has heard of.
    fn unknown(phase: GroupPhase) -> Self {
        Self { phase, is_consumer: false, members: Vec::new(), may_read: None }
    }
}

impl KafkaAdmin {
    /// Who is in a group, and what it is at.
    ///
    /// # Errors
    /// Where its coordinator does not say.
    pub(crate) async fn group(&self, group: &str) -> Result<GroupState, AdminError> {
        let name = group.to_owned();
        match self.of_group(group, move |client| native::group(client, &name, PATIENCE)).await? {
            Ok(state) => Ok(state),
            Err(Code::GroupIdNotFound) => Ok(GroupState::unknown(GroupPhase::Dead)),
            Err(Code::UnsupportedFeature | Code::UnsupportedVersion) => Ok(GroupState::unknown(GroupPhase::Unknown)),
            Err(code) => Err(refused(group, "DESCRIBE", code)),
        }
    }

    /// Everything that a group has committed.
    ///
    /// # Errors
    /// Where its coordinator does not say.
    pub(crate) async fn commits(&self, group: &str) -> Result<BTreeMap<TopicPartition, GroupCommit>, AdminError> {
        let name = group.to_owned();
        let commits = match self.of_group(group, move |client| native::commits(client, &name, PATIENCE)).await? {
            Ok(commits) => commits,
            Err(Code::GroupIdNotFound) => Vec::new(),
            Err(code) => return Err(refused(group, "DESCRIBE", code)),
        };
        let mut read = BTreeMap::new();
        for Committed { place, offset, metadata, error, .. } in commits {
            if let Some(code) = error {
                return Err(AdminError::Unavailable(format!(
                    "nobody says what group `{group}` committed for {place}: {code}"
                )));
            }
            if let Some(offset) = offset {
                let finished_above = finished_above(&metadata, Offset(offset));
                read.insert(place, GroupCommit { next: NextOffset::at(offset), finished_above });
            }
        }
        Ok(read)
    }

    /// Where that place is in each of these partitions, all of which must have leaders.
    ///
    /// # Errors
    /// Where no broker says anything.
    pub(crate) async fn offsets(
        &self,
        places: &[TopicPartition],
        at: OffsetAt,
    ) -> Result<BTreeMap<TopicPartition, Found>, AdminError> {
        if places.is_empty() {
            return Ok(BTreeMap::new());
        }
        let at = match at {
            OffsetAt::First => At::Beginning,
            OffsetAt::End => At::End,
            OffsetAt::Time(time) => At::Offset(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
        };
        let question = list(places.iter().map(|place| (place, at))).map_err(unsaid)?;
        let answer =
            self.ask(move |client| native::offsets(client, &question, Isolation::Uncommitted, PATIENCE)).await?;
        let found = answer.into_iter().map(|Committed { place, offset, error, .. }| {
            let found = error.map_or(Ok(offset.map(Offset)), |code| Err(code.to_string()));
            (place, found)
        });
        Ok(found.collect())
    }

    /// Commits these offsets for a group that has no members, without metadata; answers with those that were refused, and why.
    ///
    /// # Errors
    /// Where its coordinator refuses all, or does not say whether it took them.
    pub(crate) async fn commit(
        &self,
        group: &str,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<BTreeMap<TopicPartition, String>, AdminError> {
        let offsets = list(offsets.iter().map(|(place, offset)| (place, At::Offset(offset.0)))).map_err(unsaid)?;
        let name = group.to_owned();
        let taken = match self.of_group(group, move |client| native::commit(client, &name, &offsets, PATIENCE)).await? {
            Ok(taken) => taken,
            Err(code) => return Err(refused(group, "READ", code)),
        };
        let refused = taken.into_iter().filter_map(|one| Some((one.place, say(one.error?))));
        Ok(refused.collect())
    }

    /// Asks a group's coordinator, and asks again while it moves. What it says against the group is an answer too.
    async fn of_group<T: Send + 'static>(
        &self,
        group: &str,
        question: impl Fn(&Client<Callbacks<()>>) -> Result<T, Code> + Clone + Send + 'static,
    ) -> Result<Result<T, Code>, AdminError> {
        if group.is_empty() || group.contains('\0') {
            return Err(refused(group, "DESCRIBE", Code::InvalidGroupId));
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let question = question.clone();
            let answer = self.ask(move |client| match question(client) {
                Ok(answer) => Ok(Ok(answer)),
                Err(code) if is_silence(code) => Err(code),
                Err(code) => Ok(Err(code)),
            });
            match answer.await? {
                Err(code) if is_moving(code) && Instant::now() < deadline => tokio::time::sleep(MOVING).await,
                answer => return Ok(answer),
            }
        }
    }
}

/// Whether an error says that nobody has answered.
fn is_silence(code: Code) -> bool {
    matches!(
        code,
        Code::OperationTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::Authentication
            | Code::SSL
    )
}

/// Whether an error says that the group has no coordinator at the moment.
fn is_moving(code: Code) -> bool {
    matches!(code, Code::NotCoordinator | Code::CoordinatorNotAvailable | Code::CoordinatorLoadInProgress)
}

fn refused(group: &str, operation: &'static str, code: Code) -> AdminError {
    match code {
        Code::GroupAuthorizationFailed => AdminError::NotAuthorizedForGroup { group: group.to_owned(), operation },
        code => AdminError::Unavailable(format!("group `{group}`: {}", say(code))),
    }
}

/// Why a commit, or a question about a group, was refused.
fn say(code: Code) -> String {
    match code {
        Code::UnknownMemberId | Code::NonEmptyGroup | Code::StaleMemberEpoch | Code::IllegalGeneration => {
            "it has members again: stop them first".to_owned()
        }
        Code::TopicAuthorizationFailed => "not authorised for the topic: grant this user READ on it".to_owned(),
        code => code.to_string(),
    }
}

fn unsaid(error: rdkafka::error::KafkaError) -> AdminError {
    AdminError::Unavailable(error.to_string())
}
