//! The committer: decides when what is finished is written back.
//!
//! In between every second or thousand completions, but a while apart, without anybody waiting; on a revocation and at a stop until the source
//! has acknowledged it or the deadline has passed. One commit at a time. What may be committed is the tracker's to say; a commit that
//! fails changes nothing, and the next one covers it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tracing::{debug, info, warn};

use super::PipelineError;
use super::lanes::CommitDue;
use super::shared::Shared;
use super::source::{CommitError, Committer, Epoch, Progress};

/// Between two commits that nobody waits for. Quick handlers have a thousand completions in a millisecond, and a commit costs the broker more
/// than they do.
const APART: Duration = Duration::from_millis(50);
/// How long a commit that nobody waits for may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two tries of a commit that somebody waits for.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks the committer for a commit, and waits for it.
#[derive(Clone, Debug)]
pub(super) struct CommitDesk {
    requests: mpsc::Sender<Request>,
}

/// A commit that somebody waits for.
#[derive(Debug)]
pub(super) struct Request {
    epochs: Vec<Epoch>,
    deadline: Instant,
    reply: oneshot::Sender<Result<(), CommitError>>,
}

impl CommitDesk {
    pub(super) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(64);
        (Self { requests }, receiver)
    }

    /// Commits what is finished of these assignments, trying until the deadline where trying helps.
    pub(super) async fn commit(&self, epochs: Vec<Epoch>, deadline: Instant) -> Result<(), CommitError> {
        let (reply, answer) = oneshot::channel();
        let gone = || CommitError::Retriable("the committer has stopped".to_owned());
        let request = Request { epochs, deadline, reply };
        self.requests.send(request).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Commits for one daemon until the desk is closed, or the source refuses for good.
pub(super) async fn commit<G, C>(
    shared: Arc<Shared<G>>,
    mut committer: C,
    mut requests: mpsc::Receiver<Request>,
    every: Duration,
) -> Result<(), PipelineError>
where
    G: Progress,
    C: Committer<Commit = G::Commit>,
{
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut due, mut soonest) = (false, Instant::now());
    loop {
        let is_time = tokio::select! {
            biased;
            request = requests.recv() => {
                let Some(Request { epochs, deadline, reply }) = request else { return Ok(()) };
                let result = commit_until(&shared, &mut committer, &epochs, deadline).await;
                let fenced = matches!(result, Err(CommitError::Fenced));
                // The drain that asked may have given up at its deadline.
                drop(reply.send(result));
                if fenced {
                    return Err(PipelineError::Fatal(CommitError::Fenced.to_string()));
                }
                false
            }
            () = shared.commit.notified() => {
                let reason = shared.lanes().commit_due();
                match reason {
                    Some(CommitDue::Now) => (due, soonest) = (true, Instant::now()),
                    Some(CommitDue::Soon) => due = true,
                    // It is in a commit that was made since.
                    None => {}
                }
                false
            }
            () = sleep_until(soonest), if due => true,
            _ = ticks.tick() => true,
        };
        if is_time {
            commit_once(&shared, &mut committer).await?;
            (due, soonest) = (false, Instant::now() + APART);
        }
    }
}

/// A commit that nobody waits for: what fails is covered by the next one.
async fn commit_once<G, C>(shared: &Shared<G>, committer: &mut C) -> Result<(), PipelineError>
where
    G: Progress,
    C: Committer<Commit = G::Commit>,
{
    let daemon = shared.daemon.as_str();
    let commits = shared.lanes().commits();
    match write(shared, committer, commits, Instant::now() + PATIENCE).await {
        Ok(()) => Ok(()),
        Err(CommitError::Fenced) => Err(PipelineError::Fatal(CommitError::Fenced.to_string())),
        // The source tells of the loss, or of the rebalance, by an event of its own.
        Err(error @ (CommitError::IllegalGeneration(_) | CommitError::RebalanceInProgress)) => {
            debug!(daemon, %error, "commit refused");
            Ok(())
        }
        Err(error) => {
            warn!(daemon, %error, "commit failed, the next one will cover it");
            Ok(())
        }
    }
}

/// A commit that a drain waits for.
async fn commit_until<G, C>(
    shared: &Shared<G>,
    committer: &mut C,
    epochs: &[Epoch],
    deadline: Instant,
) -> Result<(), CommitError>
where
    G: Progress,
    C: Committer<Commit = G::Commit>,
{
    let mut told = None;
    loop {
        let (commits, forgotten) = shared.lanes().final_commits(epochs);
        shared.meter.forgot(forgotten);
        let error = match write(shared, committer, commits, deadline).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let again = match &error {
            CommitError::Retriable(_) | CommitError::RebalanceInProgress | CommitError::MetadataTooLarge => true,
            // Of several assignments some may still be ours; those that aren't are gone once their loss is told.
            CommitError::IllegalGeneration(_) => true,
            CommitError::Fenced | CommitError::Fatal(_) => false,
        };
        if !again || Instant::now() + PAUSE >= deadline {
            warn!(daemon = shared.daemon.as_str(), %error, "last commit of an assignment failed, what it would have covered will run again");
            return Err(error);
        }
        if told.as_ref() != Some(&error) {
            info!(daemon = shared.daemon.as_str(), %error, "last commit of an assignment failed, it is tried again");
            told = Some(error);
        }
        sleep(PAUSE).await;
    }
}

async fn write<G, C>(
    shared: &Shared<G>,
    committer: &mut C,
    commits: Vec<(Epoch, G::Commit)>,
    deadline: Instant,
) -> Result<(), CommitError>
where
    G: Progress,
    C: Committer<Commit = G::Commit>,
{
    if commits.is_empty() {
        return Ok(());
    }
    let start = Instant::now();
    let result = committer.commit(commits.clone(), deadline).await;
    shared.meter.committed(&result, start.elapsed());
    match &result {
        Ok(()) => shared.change(|lanes| lanes.acknowledge(&commits)),
        Err(error) => {
            if *error == CommitError::MetadataTooLarge {
                shared.lanes().shrink(&commits);
            }
            shared.change(|lanes| lanes.refused(&commits));
        }
    }
    result
}
