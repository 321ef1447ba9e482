//! Commits, from the event thread's side.
//!
//! One is under way at a time, and the next waits for its answer, even where nobody waits for that any more: an older commit
//! never lands on a newer one, unless a network has held it back that delivers it after all, or a broker reads it only then. Each has a number,
//! so that no answer is ever taken for another's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::assignment::Assignment;
use super::client::Client;
use super::faults;
use super::mailbox::CommitRequest;
use super::native::{Answer, CommitQueue, set_leader_epochs};
use super::pulse::SILENCE;
use super::session::Surroundings;
use super::trouble::Until;
use crate::pipeline::source::{CommitError, Epoch};
use crate::record::{NextOffset, Topic, TopicPartition};

/// librdkafka answers every commit, at the latest when it has given up on the coordinator. If not, the client is broken.
const LOST_ANSWER: Duration = Duration::from_secs(120);

/// See the module.
#[derive(Debug)]
pub(super) struct Commits {
    waiting: VecDeque<CommitRequest>,
    under_way: Option<UnderWay>,
    sent: usize,
    /// Assignments of which the coordinator has taken a commit since that was last asked.
    taken: Vec<Epoch>,
    /// The brokers have refused metadata for its length: nothing is added to it any more.
    plain: bool,
    queue: CommitQueue,
}

#[derive(Debug)]
struct UnderWay {
    number: usize,
    reply: oneshot::Sender<Result<(), CommitError>>,
    epochs: Vec<Epoch>,
    /// What to say of the partitions that were left out, if any.
    refusal: Option<CommitError>,
    since: Instant,
}

impl Commits {
    /// The commits of a client whose answers come into `queue`.
    pub(super) fn new(queue: CommitQueue) -> Self {
        Self { waiting: VecDeque::new(), under_way: None, sent: 0, taken: Vec::new(), plain: false, queue }
    }

    /// Takes up a commit.
    pub(super) fn push(&mut self, request: CommitRequest) {
        self.waiting.push_back(request);
    }

    /// Takes the answers, and sends the next commit off, if none is under way. Says whether the coordinator doesn't know a topic.
    pub(super) fn advance(&mut self, client: &Client, assignment: &Assignment, around: &Surroundings) -> bool {
        let mut unknown = false;
        while let Some(answer) = self.queue.next() {
            self.plain |= answer.errors.contains(&Code::OffsetMetadataTooLarge);
            unknown |= answer.errors.contains(&Code::UnknownTopicOrPartition);
            // The group's heartbeats are refused as well then, but of those librdkafka says nothing before the session is over.
            if answer.errors.contains(&Code::GroupAuthorizationFailed) {
                around.mailbox.trouble(Until::Assigned, faults::group_forbidden(&around.config));
            }
            self.answered(&answer, assignment);
        }
        while self.under_way.is_none()
            && let Some(request) = self.waiting.pop_front()
        {
            // Its owner has given up; it may have put newer positions into a later one.
            if !request.reply.is_closed() {
                self.send(request, client, assignment, around);
            }
        }
        unknown
    }

    fn send(&mut self, request: CommitRequest, client: &Client, assignment: &Assignment, around: &Surroundings) {
        if client.assignment_lost() {
            return answer(
                request.reply,
                Err(CommitError::IllegalGeneration("the group took the assignment away".to_owned())),
            );
        }
        let places = assignment.places();
        let (mut owned, gone): (Vec<_>, Vec<_>) =
            request.commits.iter().partition(|(epoch, _)| places.contains_key(epoch));
        // What is gone with its topic has no offset any more: it would be refused for as long as somebody waits for it.
        let is_gone = |topic: &Topic| around.selection.has_given_up(topic) || around.topics.is_void(topic);
        owned.retain(|(epoch, _)| !is_gone(&places[epoch].topic));
        // The broker would take a commit for a partition that another member has by now: it only asks for the generation.
        let refusal = (!gone.is_empty()).then(|| {
            CommitError::IllegalGeneration(format!(
                "{} of {} partitions are assigned no longer",
                gone.len(),
                request.commits.len()
            ))
        });
        if owned.is_empty() {
            return answer(request.reply, refusal.map_or(Ok(()), Err));
        }
        let limit = if self.plain { 0 } else { around.config.metadata_limit };
        let list = owned.iter().map(|(epoch, commit)| {
            let origin = around.origin(&places[epoch].topic);
            (
                places[epoch],
                commit.next,
                origin.beside(&commit.metadata, limit).unwrap_or_else(|| commit.metadata.clone()),
            )
        });
        self.sent += 1;
        let (number, unusable) = (self.sent, |_| Code::InvalidArgument);
        let sent = offsets(list).map_err(unusable).and_then(|list| {
            set_leader_epochs(&list, owned.iter().map(|(epoch, commit)| assignment.leader_epoch(*epoch, commit.next)));
            self.queue.send(&list, number)
        });
        match sent {
            Ok(()) => {
                let epochs = owned.iter().map(|(epoch, _)| *epoch).collect();
                self.under_way =
                    Some(UnderWay { number, reply: request.reply, epochs, refusal, since: Instant::now() });
            }
            Err(code) => answer(request.reply, classify(code, true).map_or(Ok(()), Err)),
        }
    }

    /// The coordinator has answered.
    fn answered(&mut self, outcome: &Answer, assignment: &Assignment) {
        let Some(commit) = self.under_way.take_if(|commit| commit.number == outcome.number) else { return };
        let places = assignment.places();
        let owned = commit.epochs.iter().all(|epoch| places.contains_key(epoch));
        let worst = outcome.errors.iter().filter_map(|code| classify(*code, owned)).max_by_key(severity);
        if worst.is_none() {
            self.taken.extend(commit.epochs);
        }
        answer(commit.reply, worst.or(commit.refusal).map_or(Ok(()), Err));
    }

    /// Assignments of which a commit was taken since this was last asked.
    pub(super) fn take_taken(&mut self) -> Vec<Epoch> {
        std::mem::take(&mut self.taken)
    }

    /// Whether the answer to a commit is overdue. What brokers that say nothing at all owe is not.
    pub(super) fn is_stuck(&mut self, heard: Instant) -> bool {
        let Some(commit) = &mut self.under_way else { return false };
        if heard.elapsed() > SILENCE {
            commit.since = Instant::now();
        }
        commit.since.elapsed() > LOST_ANSWER
    }

    /// Answers all with `error`: the client is gone.
    pub(super) fn abandon(&mut self, error: &CommitError) {
        let under_way = self.under_way.take().map(|commit| commit.reply);
        let replies = under_way.into_iter().chain(self.waiting.drain(..).map(|request| request.reply));
        replies.for_each(|reply| answer(reply, Err(error.clone())));
    }
}

/// Nobody may wait any more.
fn answer(reply: oneshot::Sender<Result<(), CommitError>>, outcome: Result<(), CommitError>) {
    drop(reply.send(outcome));
}

/// What librdkafka takes. The metadata is set once for each partition: setting it twice leaks the first.
pub(super) fn offsets<'a>(
    commits: impl Iterator<Item = (&'a TopicPartition, NextOffset, String)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (place, next, metadata) in commits {
        let mut element = list.add_partition(place.topic.as_str(), place.partition.0);
        element.set_offset(Offset::Offset(next.offset().0))?;
        if !metadata.is_empty() {
            element.set_metadata(metadata);
        }
    }
    Ok(list)
}

/// What an error means for the pipeline; `None` where it means nothing. `owned`: the partitions are all still ours. Then
/// an old generation only tells that a rebalance has passed by while the commit was on its way, and it will work the next time.
fn classify(code: Code, owned: bool) -> Option<CommitError> {
    Some(match code {
        Code::NoError | Code::NoOffset => return None,
        Code::RebalanceInProgress => CommitError::RebalanceInProgress,
        Code::IllegalGeneration | Code::StaleMemberEpoch if owned => CommitError::RebalanceInProgress,
        Code::IllegalGeneration
        | Code::StaleMemberEpoch
        | Code::FencedMemberEpoch
        | Code::UnknownMemberId
        | Code::AssignmentLost => CommitError::IllegalGeneration(code.to_string()),
        Code::FencedInstanceId => CommitError::Fenced,
        Code::OffsetMetadataTooLarge => CommitError::MetadataTooLarge,
        Code::Fatal => CommitError::Fatal(code.to_string()),
        Code::GroupAuthorizationFailed => {
            CommitError::Retriable("not authorised, grant this user READ on its group".to_owned())
        }
        Code::TopicAuthorizationFailed => {
            CommitError::Retriable("not authorised, grant this user READ on the topic".to_owned())
        }
        _ => CommitError::Retriable(code.to_string()),
    })
}

/// Which error to tell where there are several.
fn severity(error: &CommitError) -> u8 {
    match error {
        CommitError::Retriable(_) => 0,
        CommitError::RebalanceInProgress => 1,
        CommitError::MetadataTooLarge => 2,
        CommitError::IllegalGeneration(_) => 3,
        CommitError::Fatal(_) => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_generation_is_tried_again_as_long_as_the_partitions_are_ours() {
        assert_eq!(classify(Code::IllegalGeneration, true), Some(CommitError::RebalanceInProgress));
        assert!(matches!(classify(Code::IllegalGeneration, false), Some(CommitError::IllegalGeneration(_))));
        assert!(matches!(classify(Code::UnknownMemberId, true), Some(CommitError::IllegalGeneration(_))));
    }

    #[test]
    fn a_commit_without_offsets_is_no_error() {
        assert_eq!(classify(Code::NoOffset, true), None);
    }

    #[test]
    fn what_nobody_knows_is_tried_again() {
        assert!(matches!(classify(Code::Unknown, true), Some(CommitError::Retriable(_))));
        assert!(matches!(classify(Code::WaitingForCoordinator, true), Some(CommitError::Retriable(_))));
    }
}
