//! Writes records in transactions, with a request's progress in each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset as Place;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::producer::{Producer, ThreadedProducer};
use tracing::{debug, warn};

use super::transaction::{Sent, Transaction};
use super::{ASK, PATIENCE, PREFIX, code_of, failed, lonely, unusable};
use crate::dead_letters::LettersError;
use crate::dead_letters::shelf::{Batching, Progress, Writer};
use crate::kafka::callbacks::{Callbacks, UNPROVEN};
use crate::kafka::client::{Client, list};
use crate::kafka::config::KafkaConfig;
use crate::kafka::context::Signal;
use crate::kafka::describe::describe;
use crate::kafka::native::{Letter, committed, produce};
use crate::kafka::wake::Wake;
use crate::record::{Header, NextOffset, Offset, OwnedRecord, Partition, Topic, TopicPartition};

/// How long a transaction may be open. It is for a second, and then for as long as the brokers need.
const TRANSACTION: Duration = Duration::from_secs(20);
/// How long its end may take, through an outage of brokers.
const END: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct KafkaWriter {
    /// Handed to a thread of its own when this is dropped: its end waits for its threads.
    producer: Option<ThreadedProducer<Callbacks<Transaction>>>,
    config: KafkaConfig,
    letters: Topic,
    /// The request's group, if it is one.
    group: Option<Arc<Client>>,
    /// Topics that were seen to be there.
    known: HashSet<Topic>,
    is_open: bool,
    /// How far the last transaction wrote.
    last: HashMap<(Topic, Partition), Offset>,
}

impl KafkaWriter {
    pub(super) fn new(config: &KafkaConfig, letters: &Topic, batching: Batching) -> Result<Self, LettersError> {
        let mut properties = config.producer_properties();
        let millis = TRANSACTION.as_millis().to_string();
        properties
            .set("transactional.id", format!("{PREFIX}{letters}"))
            .set("transaction.timeout.ms", &millis)
            .set("delivery.timeout.ms", &millis)
            // Many small letters together; the transaction ends with a flush, which waits for nothing.
            .set("linger.ms", "5");
        if batching == Batching::Alone {
            properties.set("batch.num.messages", "1");
        }
        let callbacks = Callbacks::new(config, Transaction::default());
        let producer: ThreadedProducer<Callbacks<Transaction>> =
            properties.create_with_context(callbacks).map_err(|error| unusable(config.refused(&error)))?;
        let config = config.clone();
        let (letters, known, last) = (letters.clone(), HashSet::new(), HashMap::new());
        let producer = Some(producer);
        let this = Self { producer, config, letters, group: None, known, is_open: false, last };
        this.retried(|producer| producer.init_transactions(PATIENCE)).map_err(|error| this.failed(&error))?;
        Ok(this)
    }

    fn producer(&self) -> &ThreadedProducer<Callbacks<Transaction>> {
        self.producer.as_ref().expect("taken only when this is dropped")
    }

    fn reports(&self) -> &Transaction {
        &self.producer().context().reports
    }

    /// Asks again where librdkafka says that this is fine.
    fn retried(
        &self,
        mut call: impl FnMut(&ThreadedProducer<Callbacks<Transaction>>) -> KafkaResult<()>,
    ) -> KafkaResult<()> {
        let deadline = Instant::now() + END;
        loop {
            match call(self.producer()) {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                    debug!(%error, "a step of a transaction is tried again");
                }
                outcome => return outcome,
            }
        }
    }

    fn failed(&self, error: &KafkaError) -> LettersError {
        let replaced = |code| matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch);
        if self.producer().client().fatal_error().is_some_and(|(code, _)| replaced(code)) {
            return LettersError::Replaced;
        }
        // librdkafka refuses all that follows a failure before it tells of that.
        self.reports().wait_until(Instant::now() + PATIENCE);
        let failure = self.reports().failure.lock().clone();
        match failure {
            Some((code, Sent { partition, offset, target })) => match code {
                Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => {
                    LettersError::TooLarge { partition, offset, target }
                }
                Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                    LettersError::UnknownTopic(target)
                }
                Code::TopicAuthorizationFailed => forbidden(&target),
                code => self.failed_with(code),
            },
            None => self.failed_with(code_of(error)),
        }
    }

    fn failed_with(&self, code: Code) -> LettersError {
        failed(code, "the letters' records can't be written", &self.producer().context().obstacles, &self.config)
    }

    fn begin(&mut self) -> Result<(), LettersError> {
        if !self.is_open {
            self.producer().begin_transaction().map_err(|error| self.failed(&error))?;
            self.is_open = true;
        }
        Ok(())
    }
}

fn forbidden(topic: &Topic) -> LettersError {
    LettersError::NotAuthorized { operation: "WRITE", resource: format!("topic `{topic}`") }
}

impl Writer for KafkaWriter {
    fn progress(
        &mut self,
        letters: &Topic,
        request: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Progress>, LettersError> {
        let config = lonely(&self.config, format!("{PREFIX}{letters}.{request}"));
        let mut properties = config.consumer().map_err(unusable)?;
        properties.set("isolation.level", "read_committed");
        let client = Client::new(&properties, &config, &Arc::new(Wake::default()));
        let (client, _destroyed) = client.map_err(|error| unusable(config.refused(&error)))?;
        let places =
            partitions.iter().map(|partition| TopicPartition { topic: letters.clone(), partition: *partition });
        let places: Vec<TopicPartition> = places.collect();
        let what = "can't ask how far the request got";
        let failed = |code| failed(code, what, client.obstacles(), &config);
        let asked =
            list(places.iter().map(|place| (place, Place::Invalid))).map_err(|error| failed(code_of(&error)))?;
        let deadline = Instant::now() + END;
        let answer = loop {
            let code = match client.consumer().committed_offsets(asked.clone(), ASK) {
                Ok(answer) => break answer,
                Err(error) => code_of(&error),
            };
            // Without a coordinator it is only a time that passed; why there is none is told by the way.
            drop(client.serve());
            let mut signals = std::iter::from_fn(|| client.consumer().context().next_signal());
            if signals.any(|signal| matches!(signal, Signal::Error(Code::GroupAuthorizationFailed, _))) {
                return Err(failed(Code::GroupAuthorizationFailed));
            }
            // A cluster's first commit has it make the topic for them first.
            if !is_passing(code) || Instant::now() >= deadline {
                return Err(failed(code));
            }
            debug!(%code, "the request's progress can't be asked for yet");
            Wake::pause(Duration::from_millis(100));
        };
        let mut progress = Vec::new();
        for found in committed(&answer) {
            if let Some(code) = found.error {
                return Err(failed(code));
            }
            if let Some(next) = found.offset {
                let (partition, next) = (found.place.partition, NextOffset::at(next));
                progress.push(Progress { partition, next, note: found.metadata });
            }
        }
        self.group = Some(client);
        Ok(progress)
    }

    /// A topic that isn't there would hold up the transaction until its time is over.
    fn learn(&mut self, topic: &Topic) -> Result<(), LettersError> {
        if self.known.contains(topic) {
            return Ok(());
        }
        let described = describe(self.producer().client(), std::slice::from_ref(topic), PATIENCE);
        let described = described.map_err(|code| self.failed_with(code))?;
        let Some(described) = described.into_iter().next() else {
            return Err(LettersError::UnknownTopic(topic.clone()));
        };
        match described.partitions {
            Ok(_) if described.rights.is_some_and(|rights| !rights.write) => Err(forbidden(topic)),
            Ok(_) => {
                self.known.insert(topic.clone());
                Ok(())
            }
            Err(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::InvalidTopic) => {
                Err(LettersError::UnknownTopic(topic.clone()))
            }
            Err(Code::TopicAuthorizationFailed) => Err(forbidden(topic)),
            Err(code) => Err(self.failed_with(code)),
        }
    }

    fn send(&mut self, topic: &Topic, record: &OwnedRecord, letter: (Partition, Offset)) -> Result<(), LettersError> {
        self.learn(topic)?;
        self.begin()?;
        let headers: Vec<Header<'_>> =
            record.headers.iter().map(|(name, value)| Header { name, value: value.as_deref() }).collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let out = Letter { topic: topic.as_str(), key, value, headers: &headers, timestamp: record.timestamp };
        let (partition, offset) = letter;
        let sent = Sent { partition, offset, target: topic.clone() };
        // First, since its report may be there before the call returns.
        self.reports().sent();
        produce(self.producer(), &out, Box::new(sent)).map_err(|refused| {
            self.reports().landed();
            match refused.code {
                Code::MessageSizeTooLarge => LettersError::TooLarge { partition, offset, target: topic.clone() },
                code => self.failed(&KafkaError::MessageProduction(code)),
            }
        })
    }

    fn commit(&mut self, letters: &Topic, progress: &[Progress]) -> Result<(), LettersError> {
        let group = self.group.as_ref().filter(|_| !progress.is_empty()).cloned();
        if group.is_none() && !self.is_open {
            return Ok(());
        }
        self.begin()?;
        if !self.reports().wait_until(Instant::now() + END) {
            return Err(self.failed_with(Code::MessageTimedOut));
        }
        // Any other failure fails librdkafka's transaction, too.
        if self.reports().is_unproven() {
            return Err(self.failed_with(UNPROVEN));
        }
        if let Some(group) = group {
            let places: Vec<TopicPartition> = progress
                .iter()
                .map(|progress| TopicPartition { topic: letters.clone(), partition: progress.partition })
                .collect();
            let nexts = progress.iter().map(|progress| Place::Offset(progress.next.offset().0));
            let offsets = list(places.iter().zip(nexts)).and_then(|offsets| {
                for (place, progress) in places.iter().zip(progress) {
                    let element = offsets.find_partition(place.topic.as_str(), place.partition.0);
                    element.ok_or(KafkaError::Global(Code::UnknownPartition))?.set_metadata(&progress.note);
                }
                Ok(offsets)
            });
            let offsets = offsets.map_err(|error| self.failed(&error))?;
            let Some(metadata) = group.consumer().group_metadata() else {
                return Err(LettersError::Unavailable("the client has no group".to_owned()));
            };
            let sent = self.retried(|producer| producer.send_offsets_to_transaction(&offsets, &metadata, PATIENCE));
            sent.map_err(|error| self.failed(&error))?;
        }
        self.retried(|producer| producer.commit_transaction(END)).map_err(|error| self.failed(&error))?;
        self.is_open = false;
        let written = std::mem::take(&mut *self.reports().written.lock());
        self.last = written;
        Ok(())
    }

    /// The coordinator answers a commit before it has written the markers, and what they don't stand behind yet isn't read.
    fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        for ((topic, partition), offset) in std::mem::take(&mut self.last) {
            let is_there = || {
                let ends = self.producer().client().fetch_watermarks(topic.as_str(), partition.0, PATIENCE);
                ends.is_ok_and(|(_, end)| end > offset.0)
            };
            while !is_there() && Instant::now() < deadline {
                Wake::pause(Duration::from_millis(5));
            }
        }
    }
}

/// Whether the coordinator only isn't there yet, or still ends a transaction.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::WaitingForCoordinator
            | Code::UnstableOffsetCommit
            | Code::OperationTimedOut
    )
}

impl Drop for KafkaWriter {
    fn drop(&mut self) {
        let Some(producer) = self.producer.take() else { return };
        if self.is_open && producer.client().fatal_error().is_none() {
            // Else readers of committed records would wait until its time is over.
            if let Err(error) = producer.abort_transaction(PATIENCE) {
                let topic = self.letters.as_str();
                warn!(topic, %error, "a transaction could not be undone, the brokers will do it");
            }
        }
        drop(std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || drop(producer)));
    }
}
