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
            // Nobody will ever answer again.
            Ok(Err(_)) => Err(CommitError::Fatal("the Kafka client has ended".to_owned())),
            Err(_) => Err(CommitError::Retriable("the coordinator did not answer in time".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::kafka::wake::Wake;
    use crate::pipeline::source::SourceError;
    use crate::record::NextOffset;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_has_ended_is_not_asked_again() {
        let mailbox = Arc::new(Mailbox::new(Arc::new(Wake::default())));
        let mut committer = KafkaCommitter::new(Arc::clone(&mailbox));
        let commit = || vec![(Epoch(1), OffsetCommit { next: NextOffset::at(7), metadata: String::new() })];
        let far = Instant::now() + Duration::from_secs(3_600);
        let asked = committer.commit(commit(), far);
        let ends = async { mailbox.end(SourceError::Failed("the thread panicked".to_owned())) };
        let (before, ()) = tokio::join!(asked, ends);
        let after = committer.commit(commit(), far).await;
        for outcome in [before, after] {
            assert!(matches!(outcome, Err(CommitError::Fatal(_))), "it would be tried again: {outcome:?}");
        }
        assert!(Instant::now() < far, "nobody waits for an answer");
    }
}
