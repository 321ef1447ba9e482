//! The event thread: it alone talks to the consumer, except that the poll of the source reads the partitions' queues.
//!
//! Owner of the session. It never blocks on the network, never waits for the pipeline, and never spins: with nothing to do it
//! pauses until a queue, an errand or the pipeline wakes it. The invariant: polling goes on whatever the pipeline does, so
//! the membership outlives any handler.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use tracing::{error, info, warn};

use super::client::{Client, Destroyed};
use super::mailbox::{CloseRequest, Wishes};
use super::obstacles::REFUSALS;
use super::session::{BEAT, Halt, Session, Surroundings};
use super::trouble::Until;
use super::wake::Wake;
use crate::pipeline::seek::SeekError;
use crate::pipeline::source::{CommitError, SourceError};

/// The pause before a client is made anew; doubles up to the other.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A session that lived as long as this was a good one.
const GOOD: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct EventThread {
    properties: ClientConfigDebug,
    around: Surroundings,
    session: Option<Session>,
    since: Instant,
    again: Instant,
    pause: Duration,
    taken: Option<Taken>,
    /// How often the brokers have refused us.
    refusals: u32,
    /// Nothing is read any more; commits and rebalances go on until the source is closed.
    failed: bool,
}

/// Since when another member has gone by this one's instance id.
#[derive(Debug)]
struct Taken {
    since: Instant,
    /// How many assignments there had been by then: with another one it is over.
    assignments: u64,
}

/// librdkafka's properties; not shown, since there are secrets among them.
struct ClientConfigDebug(ClientConfig);

impl std::fmt::Debug for ClientConfigDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientConfig")
    }
}

impl EventThread {
    /// The thread of a source whose first client is made already.
    pub(super) fn new(
        properties: ClientConfig,
        around: Surroundings,
        client: Arc<Client>,
        destroyed: Destroyed,
    ) -> Self {
        let session = Session::new(client, destroyed, &around);
        Self {
            properties: ClientConfigDebug(properties),
            around,
            session: Some(session),
            since: Instant::now(),
            again: Instant::now(),
            pause: PAUSE,
            taken: None,
            refusals: 0,
            failed: false,
        }
    }

    /// Runs until the source is closed.
    pub(super) fn run(mut self) {
        self.around.wake.adopt_current_thread();
        let mailbox = Arc::clone(&self.around.mailbox);
        if catch_unwind(AssertUnwindSafe(move || self.work())).is_err() {
            error!("the thread of the Kafka client panicked");
            mailbox.fail(SourceError::Failed("the thread of the Kafka client panicked".to_owned()));
        }
        mailbox.end(SourceError::Failed("the Kafka client has ended".to_owned()));
    }

    fn work(&mut self) {
        loop {
            let wishes = self.around.mailbox.take_wishes();
            if let Some(close) = self.take_up(wishes) {
                return self.close(close);
            }
            match self.turn() {
                Ok(()) => Wake::pause(self.session.as_ref().map_or(BEAT, Session::pause)),
                Err(Halt::Rebuild(reason)) => self.rebuild(&reason),
                Err(Halt::Taken(reason)) => self.wait_for_the_other(reason),
                Err(Halt::Refused(_)) if self.failed => Wake::pause(BEAT),
                Err(Halt::Refused(reason)) => self.refused(reason),
                // Said already; the same reason comes again as long as the client is there.
                Err(Halt::Fail(_)) if self.failed => Wake::pause(BEAT),
                Err(Halt::Fail(error)) => self.fail(error),
            }
        }
    }

    fn fail(&mut self, error: SourceError) {
        error!(%error, "the Kafka source can't go on");
        self.failed = true;
        self.around.mailbox.fail(error);
    }

    /// Tries again a few times, with a client each, since one that was refused says so only now and then.
    fn refused(&mut self, reason: String) {
        self.refusals += 1;
        if self.refusals < REFUSALS {
            self.rebuild(&reason);
        } else {
            self.fail(SourceError::Misconfigured(reason));
        }
    }

    /// Tries again until the other one has left, but not for ever.
    fn wait_for_the_other(&mut self, reason: String) {
        let assignments = self.around.assignments();
        let taken = self.taken.take_if(|taken| taken.assignments == assignments);
        let taken = self.taken.insert(taken.unwrap_or_else(|| Taken { since: Instant::now(), assignments }));
        if !self.failed && taken.since.elapsed() >= self.around.config.instance_wait {
            self.fail(SourceError::Fatal(reason));
        } else {
            // It is gone all of a sudden, and nobody should wait long for that.
            self.pause = PAUSE;
            self.rebuild(&reason);
        }
    }

    fn take_up(&mut self, wishes: Wishes) -> Option<CloseRequest> {
        for request in wishes.commits {
            match &mut self.session {
                Some(session) => session.commit(request),
                None => drop(
                    request.reply.send(Err(CommitError::IllegalGeneration("the client is being made anew".to_owned()))),
                ),
            }
        }
        for seek in wishes.seeks {
            match &mut self.session {
                Some(session) => session.seek(seek, &self.around),
                None => {
                    let place = seek.topic_partition().clone();
                    seek.refuse(SeekError::NotAssigned(place));
                }
            }
        }
        wishes.close
    }

    fn turn(&mut self) -> Result<(), Halt> {
        if self.session.is_none() && !self.failed && Instant::now() >= self.again {
            self.begin()?;
        }
        self.session.as_mut().map_or(Ok(()), |session| session.turn(&mut self.around))
    }

    fn begin(&mut self) -> Result<(), Halt> {
        let (client, destroyed) = Client::new(&self.properties.0, &self.around.config, &self.around.wake)
            .map_err(|error| Halt::Rebuild(self.around.config.refused(&error).to_string()))?;
        info!("the Kafka client is made anew");
        self.session = Some(Session::new(client, destroyed, &self.around));
        self.since = Instant::now();
        Ok(())
    }

    fn rebuild(&mut self, reason: &str) {
        warn!(error = reason, "the Kafka client can't go on and is made anew");
        if self.since.elapsed() > GOOD {
            self.pause = PAUSE;
        }
        self.again = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if let Some(session) = self.session.take() {
            session.abandon(reason, &mut self.around);
        }
        if !self.failed {
            self.around.mailbox.trouble(Until::Assigned, reason);
        }
    }

    fn close(&mut self, request: CloseRequest) {
        let left = self.session.take().is_none_or(|session| session.close(request.deadline, &mut self.around));
        let outcome = if left {
            Ok(())
        } else {
            Err(SourceError::Transient(
                "the group could not be left in time, it will miss this member only at the session timeout".to_owned(),
            ))
        };
        // Whoever asked may be gone.
        drop(request.reply.send(outcome));
    }
}
