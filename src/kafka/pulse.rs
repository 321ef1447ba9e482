//! The brokers' pulse: whether they still answer, and where our partitions end, asked from time to time without an occasion.
//!
//! A broker that is frozen, or behind a network that swallows everything, closes no connection: an idle client would notice it after
//! minutes. And what a fetch tells of a partition's end grows old while the partition isn't fetched, such as when it is paused or when
//! what was fetched ahead is enough for a while. They are asked at once when the system's clock was put back: their answer is what keeps the
//! client alive then.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rdkafka::Offset as Place;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;

use super::client::{Client, list};
use super::errand::Errand;
use super::faults;
use super::session::Surroundings;
use super::setback::Setback;
use super::trouble::Until;
use crate::record::{Topic, TopicPartition};

/// How often they are asked.
const EVERY: Duration = Duration::from_secs(10);
/// How soon again where there was no answer.
const AGAIN: Duration = Duration::from_secs(1);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is asked who leads a topic's partitions.
const ASKED: usize = 3;
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
    setback: Setback,
}

impl Pulse {
    /// Of a client that begins to talk to its brokers.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { asking: None, due: now + EVERY, setback: Setback::new(now, SystemTime::now()) }
    }

    /// Goes as far as it can without waiting. Gives what is newly heard of these partitions, were it only that nobody answers for any.
    pub(super) fn advance<'a, I: Iterator<Item = &'a TopicPartition>>(
        &mut self,
        client: &Arc<Client>,
        places: impl Fn() -> I,
        around: &mut Surroundings,
    ) -> Option<Heard> {
        let now = Instant::now();
        if self.setback.look(now, SystemTime::now()) {
            // Whatever is on its way may have been answered before.
            (self.asking, self.due) = (None, now);
        }
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
        // One that was asked may have been the only one that says nothing: the next question may go to another.
        if now.saturating_duration_since(around.heard) < SILENCE {
            return None;
        }
        let say = faults::unreachable(client.obstacles().last(), &around.config);
        around.mailbox.trouble(Until::Answered, say);
        Some(Heard { ends: Vec::new(), silent: places().cloned().collect() })
    }
}

/// Asks for one topic, and where these partitions end. That some of them have no leader just now says nothing of the brokers.
fn ask(client: &Client, topic: Option<&Topic>, places: &[TopicPartition]) -> Answer {
    client.consumer().fetch_metadata(topic.map(Topic::as_str), PATIENCE).ok()?;
    // For the end of a partition one asks as for a time.
    Some(ends(client, places).unwrap_or_else(|_| ask_each_leader(client, places)))
}

/// Where these partitions end. Their leaders are asked all at once, and all must answer.
fn ends(client: &Client, places: &[TopicPartition]) -> KafkaResult<Heard> {
    let asked = list(places.iter().map(|place| (place, Place::End)))?;
    let ends = client.consumer().offsets_for_times(asked, PATIENCE)?;
    let mut heard = Heard::default();
    for end in ends.elements() {
        let place = TopicPartition::new(end.topic(), end.partition());
        match (end.error(), end.offset()) {
            (Ok(()), Place::Offset(offset)) => heard.ends.push((place, offset)),
            _ => heard.silent.push(place),
        }
    }
    Ok(heard)
}

/// The same where one that doesn't answer has kept the answers of the others from us: each is asked by itself, side by side.
fn ask_each_leader(client: &Client, places: &[TopicPartition]) -> Heard {
    let mut heard = Heard::default();
    let (led, unknown) = by_leader(client, places);
    heard.silent.extend(unknown);
    thread::scope(|scope| {
        let ask = |places: Vec<TopicPartition>| {
            let named = thread::Builder::new().name("kafka-pulse".to_owned());
            let of_it = places.clone();
            (places, named.spawn_scoped(scope, move || ends(client, &of_it)))
        };
        let asked: Vec<_> = led.into_values().map(ask).collect();
        for (places, asked) in asked {
            // Without a thread, as without an answer: it is asked again soon.
            match asked.ok().and_then(|asked| asked.join().ok()) {
                Some(Ok(Heard { ends, silent })) => {
                    heard.ends.extend(ends);
                    heard.silent.extend(silent);
                }
                Some(Err(_)) | None => heard.silent.extend(places),
            }
        }
    });
    heard
}

/// These partitions by the brokers that lead them, and those that nobody is known to lead.
fn by_leader(client: &Client, places: &[TopicPartition]) -> (HashMap<i32, Vec<TopicPartition>>, Vec<TopicPartition>) {
    let topics: BTreeSet<&Topic> = places.iter().map(|place| &place.topic).collect();
    let mut leaders: HashMap<TopicPartition, i32> = HashMap::new();
    for topic in topics {
        // Whoever is asked may be the one that says nothing: it is not asked again at once, as it counts as gone then.
        let ask = |_| client.consumer().fetch_metadata(Some(topic.as_str()), PATIENCE).ok();
        let Some(metadata) = (0..ASKED).find_map(ask) else { continue };
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let known = partitions.filter(|partition| partition.leader() >= 0);
        leaders.extend(known.map(|known| (TopicPartition::new(topic.clone(), known.id()), known.leader())));
    }
    let (mut led, mut unknown): (HashMap<i32, Vec<_>>, _) = (HashMap::new(), Vec::new());
    for place in places {
        match leaders.get(place) {
            Some(leader) => led.entry(*leader).or_default().push(place.clone()),
            None => unknown.push(place.clone()),
        }
    }
    (led, unknown)
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::kafka::KafkaConfig;
    use crate::kafka::wake::Wake;

    #[test]
    fn a_leader_that_does_not_answer_keeps_only_its_own_partitions_silent() {
        let cluster = MockCluster::new(3).expect("a mock cluster");
        cluster.create_topic("t", 3, 1).expect("a topic");
        for partition in 0..3 {
            cluster.partition_leader("t", partition, Some(partition + 1)).expect("a leader");
        }
        let config = KafkaConfig::new(cluster.bootstrap_servers(), "group");
        let properties = config.consumer().expect("a configuration");
        let (client, _destroyed) = Client::new(&properties, &config, &Arc::new(Wake::default())).expect("a client");
        let (topic, places) = (Topic::from("t"), [0, 1, 2].map(|partition| TopicPartition::new("t", partition)));
        let heard = ask(&client, Some(&topic), &places).expect("they answer");
        assert_eq!((heard.ends.len(), heard.silent.len()), (3, 0), "{heard:?}");

        // Longer than anybody waits.
        cluster.broker_round_trip_time(2, PATIENCE * 10).expect("a slow broker");
        // Whoever is asked for the topic may be the one; another question goes to another broker.
        let heard = (0..10).find_map(|_| ask(&client, Some(&topic), &places)).expect("the others answer");
        assert_eq!(heard.silent, [TopicPartition::new("t", 1)], "{heard:?}");
        let mut ends: Vec<i32> = heard.ends.iter().map(|(place, _)| place.partition.0).collect();
        ends.sort_unstable();
        assert_eq!(ends, [0, 2]);
    }
}
