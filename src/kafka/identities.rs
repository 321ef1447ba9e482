//! Whether the topics that are read are still the ones that they were: a topic that was deleted and made anew has another id.
//!
//! Owner: a session. librdkafka takes what it is told of such a topic's leaders for older than what it knows, since their epochs begin at 0
//! again. It fetches from the former ones, and by the former epochs, gets refusals, and says nothing of it. What was read of the former topic,
//! and from where, means nothing in the new one either. So the session ends with its client.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::client::Client;
use super::describe::ids;
use super::errand::Errand;
use super::session::{Halt, Surroundings};
use crate::record::{Topic, TopicPartition};

/// How soon again is asked at the earliest.
const AGAIN: Duration = Duration::from_secs(1);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Identities {
    asking: Option<Errand<Vec<(Topic, u128)>>>,
    asked: Instant,
    /// How many assignments there had been then.
    assignments: u64,
    known: Known,
}

#[derive(Debug, Default)]
struct Known(HashMap<Topic, u128>);

impl Identities {
    /// Of a client that reads nothing yet.
    pub(super) fn new() -> Self {
        Self { asking: None, asked: Instant::now(), assignments: 0, known: Known::default() }
    }

    /// Goes as far as it can without waiting. Asks as often as for new partitions, and when there are new assignments.
    pub(super) fn advance<'a>(
        &mut self,
        client: &Arc<Client>,
        places: impl Iterator<Item = &'a TopicPartition>,
        around: &Surroundings,
    ) -> Result<(), Halt> {
        let pause =
            if around.assignments() == self.assignments { around.config.topic_refresh.max(AGAIN) } else { AGAIN };
        if self.asking.is_none() && self.asked.elapsed() >= pause {
            (self.asked, self.assignments) = (Instant::now(), around.assignments());
            let topics: BTreeSet<&Topic> = places.map(|place| &place.topic).collect();
            self.known.0.retain(|topic, _| topics.contains(topic));
            let topics: Vec<Topic> = topics.into_iter().cloned().collect();
            if !topics.is_empty() {
                let client = Arc::clone(client);
                let ask = move || ids(client.consumer().client(), &topics, PATIENCE);
                self.asking = Errand::run("kafka-identities", &around.wake, ask).ok();
            }
        }
        let Some(answer) = self.asking.as_ref().and_then(Errand::answer) else { return Ok(()) };
        self.asking = None;
        match self.known.learn(answer.unwrap_or_default()) {
            Some(topic) => Err(Halt::Rebuild(format!("topic `{topic}` was deleted and made anew"))),
            None => Ok(()),
        }
    }
}

impl Known {
    /// Names a topic that is another one than it was.
    fn learn(&mut self, told: Vec<(Topic, u128)>) -> Option<Topic> {
        told.into_iter().find(|(topic, id)| *self.0.entry(topic.clone()).or_insert(*id) != *id).map(|(topic, _)| topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_with_another_id_is_another_one() {
        let mut known = Known::default();
        let told = |topics: &[(&str, u128)]| topics.iter().map(|(topic, id)| (Topic::from(*topic), *id)).collect();
        assert_eq!(known.learn(told(&[("a", 1), ("b", 2)])), None);
        assert_eq!(known.learn(told(&[("b", 2), ("c", 3)])), None);
        assert_eq!(known.learn(told(&[("a", 1), ("b", 4)])), Some("b".into()));
    }
}
