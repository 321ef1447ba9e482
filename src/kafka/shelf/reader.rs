//! Reads partitions side by side, from one offset to another, and puts their records in the order of their times.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset as Place;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::{ASK, PATIENCE, code_of, failed, unusable};
use crate::dead_letters::shelf::{Partitions, Polled, Reader, Span, Stop, Survey};
use crate::dead_letters::{LettersError, TopicId};
use crate::kafka::client::{Client, list};
use crate::kafka::config::KafkaConfig;
use crate::kafka::describe::describe;
use crate::kafka::native::{self, Buffer, Committed, Isolation, PartitionQueue, position};
use crate::kafka::wake::Wake;
use crate::record::{Offset, Partition, Record, Timestamp, Topic, TopicPartition};

/// How many records of a partition are taken at a time.
const BATCH: usize = 500;
/// How soon a question is asked again that nobody could answer just now.
const AGAIN: Duration = Duration::from_millis(100);
/// How long nothing may come although there is something.
const STALLED: Duration = Duration::from_secs(60);
/// How long to wait for a bell that may have been missed.
const LOOK: Duration = Duration::from_millis(20);

/// See the module. Owned by the thread that made it.
#[derive(Debug)]
pub(super) struct KafkaReader {
    // Before the client, whose queues they are.
    strands: Vec<Strand>,
    buffer: Buffer,
    client: Arc<Client>,
    config: KafkaConfig,
    wake: Arc<Wake>,
    stop: Stop,
}

/// One partition that is being read.
#[derive(Debug)]
struct Strand {
    queue: PartitionQueue,
    place: TopicPartition,
    /// No record below this one may come any more.
    next: Offset,
    end: Offset,
    read: VecDeque<Record>,
    /// Nothing is to come behind what was read.
    is_through: bool,
}

impl KafkaReader {
    pub(super) fn new(config: KafkaConfig, stop: Stop) -> Result<Self, LettersError> {
        let wake = Arc::new(Wake::default());
        wake.adopt_current_thread();
        let mut properties = config.consumer().map_err(unusable)?;
        properties
            // What was removed meanwhile is no longer there to be read: no error.
            .set("auto.offset.reset", "earliest")
            // Of transactions that are undone nothing is to be seen.
            .set("isolation.level", "read_committed");
        let (client, _destroyed) =
            Client::new(&properties, &config, &wake).map_err(|error| unusable(config.refused(&error)))?;
        Ok(Self { strands: Vec::new(), buffer: Buffer::default(), client, config, wake, stop })
    }

    fn failed(&self, code: Code, what: &str) -> LettersError {
        // Its last words may tell why.
        drop(self.client.serve());
        failed(code, what, self.client.obstacles(), &self.config)
    }

    fn forbidden(topic: &Topic) -> LettersError {
        LettersError::NotAuthorized { operation: "READ", resource: format!("topic `{topic}`") }
    }

    /// Where a partition begins and ends. Waits until somebody leads it.
    fn span(&self, topic: &Topic, partition: Partition, deadline: Instant) -> Result<Span, LettersError> {
        let (low, high) = loop {
            let marks = self.client.consumer().client().fetch_watermarks(topic.as_str(), partition.0, PATIENCE);
            let code = match marks {
                Ok(marks) => break marks,
                Err(error) => code_of(&error),
            };
            self.stop.check()?;
            match code {
                Code::TopicAuthorizationFailed => return Err(Self::forbidden(topic)),
                // A topic that was just made, or whose leader has just gone.
                code if is_between_leaders(code) && Instant::now() < deadline => Wake::pause(AGAIN),
                code => return Err(self.failed(code, "can't ask where the topic ends")),
            }
        };
        Ok(Span { partition, from: Offset(low), end: Offset(high) })
    }

    /// Where those of these partitions begin and end whose leaders answer.
    fn led(&self, topic: &Topic, partitions: Vec<Partition>) -> Result<Vec<Span>, LettersError> {
        let firsts = self.answered(topic, partitions, Place::Beginning)?;
        let ends = self.answered(topic, firsts.keys().copied().collect(), Place::End)?;
        let span = |(partition, from): (Partition, Offset)| {
            let end = ends.get(&partition)?.max(&from);
            Some(Span { partition, from, end: *end })
        };
        Ok(firsts.into_iter().filter_map(span).collect())
    }

    /// The offsets of a place in those partitions whose leaders answer.
    fn answered(
        &self,
        topic: &Topic,
        mut partitions: Vec<Partition>,
        at: Place,
    ) -> Result<BTreeMap<Partition, Offset>, LettersError> {
        let (what, deadline) = ("can't ask where the topic begins and ends", Instant::now() + ASK);
        let mut answered = BTreeMap::new();
        while !partitions.is_empty() {
            let places = partitions.iter().map(|partition| TopicPartition::new(topic.as_str(), partition.0));
            let question = list(places.collect::<Vec<_>>().iter().map(|place| (place, at)));
            let question = question.map_err(|error| self.failed(code_of(&error), what))?;
            let left = deadline.saturating_duration_since(Instant::now()).max(AGAIN);
            let told = native::offsets(self.client.consumer().client(), &question, Isolation::Committed, left);
            partitions.clear();
            for Committed { place, offset, error, .. } in told.map_err(|code| self.failed(code, what))? {
                match (error, offset) {
                    (Some(Code::TopicAuthorizationFailed), _) => return Err(Self::forbidden(topic)),
                    (Some(code), _) if is_between_leaders(code) => partitions.push(place.partition),
                    (None, Some(offset)) => drop(answered.insert(place.partition, Offset(offset))),
                    _ => {}
                }
            }
            self.stop.check()?;
            if partitions.is_empty() || Instant::now() >= deadline {
                break;
            }
            Wake::pause(AGAIN);
        }
        Ok(answered)
    }

    /// The partitions that nobody leads now.
    fn leaderless(&self, topic: &Topic) -> Result<HashSet<Partition>, LettersError> {
        let metadata = self.client.consumer().fetch_metadata(Some(topic.as_str()), PATIENCE);
        let metadata = metadata.map_err(|error| self.failed(code_of(&error), "can't ask who leads the topic"))?;
        let partitions = metadata.topics().iter().flat_map(|found| found.partitions());
        Ok(partitions.filter(|found| found.leader() < 0).map(|found| Partition(found.id())).collect())
    }

    /// Reads what has arrived for those partitions that have nothing to give; says whether each has, or is through.
    fn fill(&mut self) -> Result<bool, LettersError> {
        let mut is_full = true;
        for strand in self.strands.iter_mut().filter(|strand| strand.read.is_empty() && !strand.is_through) {
            let read = strand.queue.read(BATCH, 0, &mut self.buffer);
            // Not passed over: an error in the place of a record moves the client's position past what nobody has read.
            if let Some(failure) = read.failure {
                let topic = &strand.place.topic;
                return Err(match failure.code {
                    Code::TopicAuthorizationFailed => Self::forbidden(topic),
                    Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                        LettersError::UnknownTopic(topic.clone())
                    }
                    _ => LettersError::Unavailable(format!("{} can't be read: {}", strand.place, failure.reason)),
                });
            }
            for record in read.records {
                if record.offset() < strand.next {
                    let topic = &strand.place.topic;
                    return Err(LettersError::Unavailable(format!(
                        "topic `{topic}` was made anew meanwhile, try again"
                    )));
                }
                strand.next = record.offset().next().offset();
                if record.offset() >= strand.end {
                    strand.is_through = true;
                    break;
                }
                strand.is_through = strand.next >= strand.end;
                strand.read.push_back(record);
            }
            // Behind the last record there may be offsets without one.
            if strand.read.is_empty()
                && position(&self.client, &strand.place).is_some_and(|(next, _)| next >= strand.end)
            {
                strand.is_through = true;
            }
            is_full &= strand.is_through || !strand.read.is_empty();
        }
        Ok(is_full)
    }
}

/// Whether it may be answered in a moment, by whoever leads the partition then.
fn is_between_leaders(code: Code) -> bool {
    use Code::{FencedLeaderEpoch, LeaderNotAvailable, NotLeaderForPartition, ReplicaNotAvailable, UnknownLeaderEpoch};
    matches!(
        code,
        FencedLeaderEpoch | LeaderNotAvailable | NotLeaderForPartition | ReplicaNotAvailable | UnknownLeaderEpoch
    )
}

impl Reader for KafkaReader {
    fn survey(&mut self, topic: &Topic, of: Partitions) -> Result<Option<Survey>, LettersError> {
        let what = "can't ask about the topic";
        let consumer = self.client.consumer().client();
        let deadline = Instant::now() + PATIENCE;
        let described = loop {
            match describe(consumer, std::slice::from_ref(topic), ASK) {
                Ok(described) => break described,
                Err(code) => {
                    let error = self.failed(code, what);
                    // Whom they refuse they refuse the next time, too.
                    if matches!(error, LettersError::NotLetIn(_)) || Instant::now() >= deadline {
                        return Err(error);
                    }
                    self.stop.check()?;
                }
            }
        };
        let Some(described) = described.into_iter().next() else { return Ok(None) };
        let partitions = match described.partitions {
            Ok(partitions) => partitions,
            Err(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::InvalidTopic) => return Ok(None),
            Err(Code::TopicAuthorizationFailed) => return Err(Self::forbidden(topic)),
            Err(code) => return Err(self.failed(code, what)),
        };
        let id = described.id.ok_or_else(|| {
            LettersError::Unavailable(format!("the brokers don't say which topic `{topic}` is, try again"))
        })?;
        let all = (0..i32::try_from(partitions).unwrap_or(i32::MAX)).map(Partition);
        let spans: Vec<Span> = match of {
            Partitions::All => all.map(|partition| self.span(topic, partition, deadline)).collect::<Result<_, _>>()?,
            Partitions::One(one) if all.clone().any(|partition| partition == one) => {
                if self.leaderless(topic)?.contains(&one) {
                    return Err(LettersError::Unavailable(format!(
                        "no broker leads {topic}[{one}] now: look which are down, and try again"
                    )));
                }
                vec![self.span(topic, one, deadline)?]
            }
            Partitions::One(_) => Vec::new(),
            Partitions::Led => {
                let leaderless = self.leaderless(topic)?;
                self.led(topic, all.filter(|partition| !leaderless.contains(partition)).collect())?
            }
        };
        Ok(Some(Survey { id: TopicId(format!("{id:032x}")), partitions, spans }))
    }

    fn skip_to(&mut self, topic: &Topic, spans: &mut [Span], time: Timestamp) -> Result<(), LettersError> {
        // Asked about nothing the client refuses.
        if spans.is_empty() {
            return Ok(());
        }
        let places: Vec<TopicPartition> = spans.iter().map(|span| place(topic, span)).collect();
        let time = Place::Offset(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let asked = list(places.iter().map(|place| (place, time)));
        let found = asked.and_then(|asked| self.client.consumer().offsets_for_times(asked, PATIENCE));
        let found = found.map_err(|error| self.failed(code_of(&error), "can't ask where a time begins"))?;
        for element in found.elements() {
            let Some(span) = spans.iter_mut().find(|span| span.partition.0 == element.partition()) else { continue };
            element.error().map_err(|error| self.failed(code_of(&error), "can't ask where a time begins"))?;
            match element.offset() {
                Place::Offset(offset) => span.from = span.from.max(Offset(offset)),
                // Nothing is that young.
                _ => span.from = span.end,
            }
        }
        Ok(())
    }

    fn open(&mut self, topic: &Topic, spans: &[Span]) -> Result<(), LettersError> {
        let what = "can't begin to read";
        let consumer = self.client.consumer();
        consumer.unassign().map_err(|error| self.failed(code_of(&error), what))?;
        self.strands.clear();
        for span in spans {
            let place = place(topic, span);
            let queue = PartitionQueue::take(&self.client, &place, Arc::clone(&self.wake).into());
            let queue = queue.ok_or_else(|| LettersError::UnknownTopic(topic.clone()))?;
            let strand =
                Strand { queue, place, next: span.from, end: span.end, read: VecDeque::new(), is_through: false };
            self.strands.push(strand);
        }
        let starts = self.strands.iter().zip(spans);
        let assigned = list(starts.map(|(strand, span)| (&strand.place, Place::Offset(span.from.0))))
            .and_then(|starts| consumer.assign(&starts));
        assigned.map_err(|error| self.failed(code_of(&error), what))
    }

    fn poll(&mut self, until: Instant) -> Result<Polled, LettersError> {
        while !self.fill()? {
            self.stop.check()?;
            drop(self.client.serve());
            if Instant::now() >= until {
                return Ok(Polled::Late);
            }
            Wake::pause(LOOK);
        }
        let oldest = self.strands.iter_mut().filter(|strand| !strand.read.is_empty());
        let oldest = oldest.min_by_key(|strand| strand.read.front().and_then(Record::timestamp));
        Ok(oldest.and_then(|strand| strand.read.pop_front()).map_or(Polled::End, Polled::Record))
    }

    fn next(&mut self) -> Result<Option<Record>, LettersError> {
        match self.poll(Instant::now() + STALLED)? {
            Polled::Record(record) => Ok(Some(record)),
            Polled::End => Ok(None),
            Polled::Late => Err(self.failed(Code::OperationTimedOut, "nothing comes although there is something")),
        }
    }

    fn reached(&self, partition: Partition) -> Option<Offset> {
        let strand = self.strands.iter().find(|strand| strand.place.partition == partition)?;
        if let Some(first) = strand.read.front() {
            return Some(first.offset());
        }
        let position = position(&self.client, &strand.place).map_or(strand.next, |(next, _)| next);
        Some(position.clamp(strand.next, strand.end.max(strand.next)))
    }
}

fn place(topic: &Topic, span: &Span) -> TopicPartition {
    TopicPartition { topic: topic.clone(), partition: span.partition }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn a_partition_that_nobody_leads_is_told_and_keeps_no_other_one_from_being_asked() {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic("orders", 3, 1).expect("a topic");
        cluster.partition_leader("orders", 1, None).expect("no leader");
        let config = KafkaConfig::new(cluster.bootstrap_servers(), "group");
        let mut reader = KafkaReader::new(config, Stop::default()).expect("a client");
        let orders = Topic::from("orders");
        let begun = Instant::now();
        let mut asked = |of| {
            let survey = reader.survey(&orders, of).map(|survey| survey.expect("it is there"));
            survey
                .map(|survey| (survey.partitions, survey.spans.iter().map(|span| span.partition.0).collect::<Vec<_>>()))
        };
        assert_eq!(asked(Partitions::Led), Ok((3, vec![0, 2])));
        assert_eq!(asked(Partitions::One(Partition(2))), Ok((3, vec![2])));
        assert_eq!(asked(Partitions::One(Partition(7))), Ok((3, vec![])));
        let leaderless = asked(Partitions::One(Partition(1))).expect_err("nobody leads it");
        assert!(leaderless.to_string().contains("no broker leads orders[1] now"), "{leaderless}");
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_leader_that_says_nothing_hides_no_partition_of_another_one() {
        let cluster = MockCluster::new(3).expect("a mock cluster");
        cluster.create_topic("orders", 9, 3).expect("a topic");
        for partition in 0..9 {
            cluster.partition_leader("orders", partition, Some(partition % 3 + 1)).expect("a leader");
        }
        // Those that are asked for what the topic is answer; of what is asked of the leader of these alone nothing is heard.
        let bootstrap = cluster.bootstrap_servers();
        let first = bootstrap.split(',').next().expect("three brokers").to_owned();
        cluster.broker_round_trip_time(3, Duration::from_secs(60)).expect("a broker");
        let mut reader = KafkaReader::new(KafkaConfig::new(first, "group"), Stop::default()).expect("a client");
        let begun = Instant::now();
        let survey = reader.survey(&Topic::from("orders"), Partitions::Led).expect("two answer").expect("it is there");
        let told: Vec<i32> = survey.spans.iter().map(|span| span.partition.0).collect();
        assert_eq!((survey.partitions, told), (9, vec![0, 1, 3, 4, 6, 7]));
        // Within the time that a page has.
        assert!(begun.elapsed() < ASK * 2, "{:?}", begun.elapsed());
    }
}
