//! Commits, from the pipeline's side.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::mailbox::{CommitRequest, Mailbox};
use crate::pipeline::source::{CommitError, Committer, Epoch};
use crate::pipeline::tracker::OffsetCommit;

/// Writes offsets to the group's coordinator. What is no longer assigned is refused here, before the broker is asked.
#[derive(Debug)]
pub struct KafkaCommitter {
    mailbox: Arc<Mailbox>,
}

impl KafkaCommitter {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox }
    }
}

impl Committer for KafkaCommitter {
    type Commit = OffsetCommit;

    async fn commit(&mut self, commits: Vec<(Epoch, OffsetCommit)>, deadline: Instant) -> Result<(), CommitError> {
        if commits.is_empty() {
            return Ok(());
        }
        let (reply, outcome) = oneshot::channel();
        self.mailbox.commit(CommitRequest { commits, reply });
        match timeout_at(deadline, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(CommitError::IllegalGeneration("the Kafka client has ended".to_owned())),
            Err(_) => Err(CommitError::Retriable("the coordinator did not answer in time".to_owned())),
        }
    }
}
