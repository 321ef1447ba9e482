//! The Kafka source: the pipeline's side of it.
//!
//! Owner: the reader. It holds the mailbox and the event thread's handle. Records are read here, by what the event thread says is assigned;
//! all else that is Kafka happens on that thread.

use std::pin::Pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::committer::KafkaCommitter;
use super::config::{ConfigError, KafkaConfig};
use super::mailbox::{CloseRequest, Mailbox};
use super::reading::Reading;
use super::selection::{Admit, Selection};
use super::session::Surroundings;
use super::thread::EventThread;
use super::wake::Wake;
use crate::pipeline::demand::Demand;
use crate::pipeline::seek::Seek;
use crate::pipeline::source::{Event, Source, SourceError};
use crate::pipeline::subscription::Subscription;
use crate::pipeline::tracker::OffsetTracker;
use crate::records::Records;

/// How long a source that is dropped, and not closed, goes on trying to leave its group. Nobody waits for it.
const ABANDONED: Duration = Duration::from_secs(5);

/// Records from Kafka topics, read as a member of a consumer group.
///
/// ```no_run
/// use daemonry::kafka::{KafkaConfig, KafkaSource};
/// use daemonry::pipeline::subscription::Subscription;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = KafkaConfig::new("localhost:9092", "shop").property("client.rack", "a");
/// let source = KafkaSource::new(&config, Subscription::new().topic("orders", "key"))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct KafkaSource {
    mailbox: Arc<Mailbox>,
    reading: Arc<Reading>,
    wake: Arc<Wake>,
    thread: Option<JoinHandle<()>>,
    ended: CancellationToken,
    records: Records,
    /// Goes off when a poll's time is over, or before: setting it for each would be work for each message.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl KafkaSource {
    /// A member of the group, which starts to connect at once. That the topics exist is found out while it is polled.
    ///
    /// # Errors
    /// Every fault of the configuration at once, each with what to do.
    pub fn new(config: &KafkaConfig, subscription: Subscription) -> Result<Self, ConfigError> {
        Self::with_admission(config, subscription, None)
    }

    /// The same, where somebody else too has to be asked about topics that a pattern has found.
    pub(crate) fn with_admission(
        config: &KafkaConfig,
        subscription: Subscription,
        admit: Option<Arc<Admit>>,
    ) -> Result<Self, ConfigError> {
        let properties = config.consumer()?;
        if subscription.is_empty() {
            return Err(ConfigError::one("no topic is subscribed, name one at least"));
        }
        let records = Records::kafka(config)?;
        let wake = Arc::new(Wake::default());
        let (client, destroyed) = Client::new(&properties, config, &wake).map_err(|error| config.refused(&error))?;
        let mailbox = Arc::new(Mailbox::new(Arc::clone(&wake)));
        let reading = Arc::new(Reading::new(Arc::clone(mailbox.arrived())));
        let around = Surroundings::new(
            config.clone(),
            Selection::new(subscription, admit),
            Arc::clone(&mailbox),
            Arc::clone(&reading),
            Arc::clone(&wake),
        );
        let thread = EventThread::new(properties, around, client, destroyed);
        // What the thread logs belongs to whoever made the source.
        let (span, ended) = (tracing::Span::current(), CancellationToken::new());
        let end = ended.clone().drop_guard();
        let work = move || {
            let _end = end;
            span.in_scope(|| thread.run());
        };
        let thread = thread::Builder::new()
            .name("kafka-events".to_owned())
            .spawn(work)
            .map_err(|error| ConfigError::one(format!("no thread could be started for the Kafka client: {error}")))?;
        Ok(Self { mailbox, reading, wake, thread: Some(thread), ended, records, alarm: None })
    }

    /// Cancelled when its client has left the group, or has given up trying to, some time after it was closed or dropped.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// What there is, without waiting: what the event thread tells first, then records.
    fn next(&self, demand: &Demand) -> Option<Result<Event<OffsetTracker>, SourceError>> {
        // In this order: what is assigned once this is let go can't be read before it was told.
        let assignment = self.reading.try_read();
        if let Some(told) = self.mailbox.next() {
            return Some(told);
        }
        let mut assignment = assignment?;
        if demand.is_none() {
            return None;
        }
        let batches = assignment.read(demand);
        if assignment.has_faults() {
            self.wake.wake();
        }
        (!batches.is_empty()).then_some(Ok(Event::Records(batches)))
    }

    fn ask_to_close(&self, deadline: std::time::Instant) -> oneshot::Receiver<Result<(), SourceError>> {
        let (reply, outcome) = oneshot::channel();
        self.mailbox.close(CloseRequest { deadline, reply });
        outcome
    }
}

impl Source for KafkaSource {
    type Progress = OffsetTracker;
    type Committer = KafkaCommitter;

    async fn poll(&mut self, demand: &Demand, timeout: Duration) -> Result<Event<OffsetTracker>, SourceError> {
        if let Some(next) = self.next(demand) {
            return next;
        }
        let deadline = Instant::now() + timeout;
        loop {
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if alarm.is_elapsed() || alarm.deadline() > deadline {
                alarm.as_mut().reset(deadline);
            }
            // What arrives in between is not slept over: it is remembered until somebody waits.
            tokio::select! {
                biased;
                () = self.mailbox.arrived().notified() => {}
                () = alarm => {}
            }
            if let Some(next) = self.next(demand) {
                return next;
            }
            if Instant::now() >= deadline {
                return Ok(Event::Idle);
            }
        }
    }

    fn committer(&mut self) -> KafkaCommitter {
        KafkaCommitter::new(Arc::clone(&self.mailbox))
    }

    fn seek(&mut self, seek: Seek) {
        self.mailbox.seek(seek);
    }

    fn records(&self) -> Option<Records> {
        Some(self.records.clone())
    }

    async fn close(mut self, deadline: Instant) -> Result<(), SourceError> {
        let outcome = self.ask_to_close(deadline.into_std());
        // From here on the thread ends by itself; it is not joined, since nothing can be done about one that hangs.
        drop(self.thread.take());
        // A moment more than the thread has, so that its own word is heard.
        match timeout_at(deadline + Duration::from_millis(250), outcome).await {
            Ok(Ok(outcome)) => outcome,
            // It had ended before, and said so to whoever polled.
            Ok(Err(_)) => Ok(()),
            Err(_) => Err(SourceError::Transient(
                "the Kafka client did not end in time, its group will miss it only at the session timeout".to_owned(),
            )),
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        if self.thread.is_some() {
            drop(self.ask_to_close(std::time::Instant::now() + ABANDONED));
        }
    }
}
