//! The brokers' pulse: whether they still answer, and where our partitions end, asked from time to time without an occasion.
//!
//! A broker that is frozen, or behind a network that swallows everything, closes no connection: an idle client would notice it after
//! minutes. And what a fetch tells of a partition's end grows old while the partition isn't fetched, such as when it is paused or when
//! what was fetched ahead is enough for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset as Place;
use rdkafka::consumer::Consumer;

use super::client::{Client, list};
use super::errand::Errand;
use super::faults;
use super::session::Surroundings;
use super::trouble::Until;
use crate::record::{Topic, TopicPartition};

/// How often they are asked.
const EVERY: Duration = Duration::from_secs(10);
/// How soon again where there was no answer.
const AGAIN: Duration = Duration::from_secs(1);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long there may be none until that is trouble. With what a question takes it is noticed within 30 s.
pub(super) const SILENCE: Duration = Duration::from_secs(20);

/// What the brokers say of the partitions that were asked for; none where they say nothing.
type Answer = Option<Heard>;

/// What was heard of partitions, each of which is in one of them.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Where they end.
    pub(super) ends: Vec<(TopicPartition, i64)>,
    /// Nobody answers for them.
    pub(super) silent: Vec<TopicPartition>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pulse {
    asking: Option<Errand<Answer>>,
    /// When to ask next.
    due: Instant,
}

impl Pulse {
    /// Of a client that begins to talk to its brokers.
    pub(super) fn new() -> Self {
        Self { asking: None, due: Instant::now() + EVERY }
    }

    /// Goes as far as it can without waiting. Gives what is newly heard of these partitions, were it only that nobody answers for any.
    pub(super) fn advance<'a, I: Iterator<Item = &'a TopicPartition>>(
        &mut self,
        client: &Arc<Client>,
        places: impl Fn() -> I,
        around: &mut Surroundings,
    ) -> Option<Heard> {
        let now = Instant::now();
        if self.asking.is_none() && now >= self.due {
            let (client, topic) = (Arc::clone(client), around.selection.topics().into_iter().next());
            let places: Vec<TopicPartition> = places().cloned().collect();
            let errand = Errand::run("kafka-pulse", &around.wake, move || ask(&client, topic.as_ref(), &places));
            self.asking = errand.ok();
            self.due = now + AGAIN;
        }
        let answer = self.asking.as_ref().and_then(Errand::answer)?;
        self.asking = None;
        if let Some(heard) = answer.flatten() {
            (around.heard, self.due) = (now, now + EVERY);
            return Some(heard);
        }
        self.due = now + AGAIN;
        if now.saturating_duration_since(around.heard) >= SILENCE {
            let say = faults::unreachable(client.obstacles().last(), &around.config);
            around.mailbox.trouble(Until::Answered, say);
        }
        Some(Heard { ends: Vec::new(), silent: places().cloned().collect() })
    }
}

/// Asks for one topic, and where these partitions end. That some of them have no leader just now says nothing of the brokers.
fn ask(client: &Client, topic: Option<&Topic>, places: &[TopicPartition]) -> Answer {
    let consumer = client.consumer();
    consumer.fetch_metadata(topic.map(Topic::as_str), PATIENCE).ok()?;
    // For the end of a partition one asks as for a time.
    let ends = list(places.iter().map(|place| (place, Place::End)));
    let ends = ends.and_then(|ends| consumer.offsets_for_times(ends, PATIENCE));
    let Ok(ends) = ends else { return Some(Heard { ends: Vec::new(), silent: places.to_vec() }) };
    let mut heard = Heard::default();
    for end in ends.elements() {
        let place = TopicPartition::new(end.topic(), end.partition());
        match (end.error(), end.offset()) {
            (Ok(()), Place::Offset(offset)) => heard.ends.push((place, offset)),
            _ => heard.silent.push(place),
        }
    }
    Some(heard)
}
