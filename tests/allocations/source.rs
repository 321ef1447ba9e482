//! The in-memory source, whose own allocations don't count: what is asked about is the pipeline above it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use daemonry::pipeline::demand::Demand;
use daemonry::pipeline::source::{CommitError, Committer, Epoch, Event, Source, SourceError};
use daemonry::pipeline::tracker::{OffsetCommit, OffsetTracker};
use daemonry::testing::{MemoryCommitter, MemorySource};
use tokio::time::Instant;

use crate::counting::uncounted;

pub(crate) struct Uncounted<T>(pub(crate) T);

impl Source for Uncounted<MemorySource> {
    type Progress = OffsetTracker;
    type Committer = Uncounted<MemoryCommitter>;

    async fn poll(&mut self, demand: &Demand, timeout: Duration) -> Result<Event<OffsetTracker>, SourceError> {
        without_counting(self.0.poll(demand, timeout)).await
    }

    fn committer(&mut self) -> Uncounted<MemoryCommitter> {
        Uncounted(self.0.committer())
    }

    async fn close(self, deadline: Instant) -> Result<(), SourceError> {
        self.0.close(deadline).await
    }
}

impl Committer for Uncounted<MemoryCommitter> {
    type Commit = OffsetCommit;

    async fn commit(&mut self, commits: Vec<(Epoch, OffsetCommit)>, deadline: Instant) -> Result<(), CommitError> {
        without_counting(self.0.commit(commits, deadline)).await
    }
}

async fn without_counting<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|cx| uncounted(|| work.as_mut().poll(cx))).await
}
