//! Whether the topics that are read are still the ones that they were: a topic that was deleted and made anew has another id.
//!
//! Owner: a session; what is known outlives it. librdkafka takes what it is told of such a topic's leaders for older than what it knows, since
//! their epochs begin at 0 again. It fetches from the former ones, and by the former epochs, gets refusals, and says nothing of it. What was
//! read of the former topic, and from where, means nothing in the new one either. So the source ends, or where the policy is to go on, the
//! session with its client.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::assignment::Assignment;
use super::client::Client;
use super::config::LossPolicy;
use super::describe::ids;
use super::errand::Errand;
use super::losses::recreated;
use super::session::{Halt, Surroundings};
use crate::pipeline::source::{Event, Loss, Missed, SourceError};
use crate::record::Topic;

/// How soon again is asked at the earliest.
const AGAIN: Duration = Duration::from_secs(1);
/// For how long what was committed of a former topic is to be reckoned with.
const LATELY: Duration = Duration::from_secs(600);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Identities {
    asking: Option<Errand<Vec<(Topic, u128)>>>,
    asked: Instant,
    /// How many assignments there had been then.
    assignments: u64,
}

/// What is known of topics.
#[derive(Debug, Default)]
pub(super) struct Known {
    ids: HashMap<Topic, u128>,
    /// Those that were made anew while we read them, and when that was found out.
    anew: HashMap<Topic, Instant>,
    /// Ids that they had before: a broker that lags tells them once more.
    former: HashSet<u128>,
    /// Those of them that are not read, so that nothing is committed for them: it would be of the former ones.
    void: HashSet<Topic>,
}

impl Identities {
    /// Of a client that reads nothing yet.
    pub(super) fn new() -> Self {
        Self { asking: None, asked: Instant::now(), assignments: 0 }
    }

    /// Goes as far as it can without waiting. Asks as often as for new partitions, and when there are new assignments.
    pub(super) fn advance(
        &mut self,
        client: &Arc<Client>,
        assignment: &Assignment,
        around: &mut Surroundings,
    ) -> Result<(), Halt> {
        let pause =
            if around.assignments() == self.assignments { around.config.topic_refresh.max(AGAIN) } else { AGAIN };
        if self.asking.is_none() && self.asked.elapsed() >= pause {
            (self.asked, self.assignments) = (Instant::now(), around.assignments());
            let topics: BTreeSet<&Topic> = assignment.iter().map(|assigned| &assigned.place.topic).collect();
            let topics: Vec<Topic> = topics.into_iter().cloned().collect();
            if !topics.is_empty() {
                // A client that is made anew has none for a moment.
                around.topics.ids.retain(|topic, _| topics.contains(topic));
                let client = Arc::clone(client);
                let ask = move || ids(client.consumer().client(), &topics, PATIENCE);
                self.asking = Errand::run("kafka-identities", &around.wake, ask).ok();
            }
        }
        let Some(answer) = self.asking.as_ref().and_then(Errand::answer) else { return Ok(()) };
        self.asking = None;
        match around.learn(answer.unwrap_or_default()) {
            Some((topic, id)) => Err(made_anew(&topic, id, assignment, around)),
            None => Ok(()),
        }
    }
}

/// Does about a topic that has another id now what the policy says.
pub(super) fn made_anew(topic: &Topic, id: u128, assignment: &Assignment, around: &mut Surroundings) -> Halt {
    if around.config.policy(Loss::Recreated) == LossPolicy::Stop {
        around.topics.void.insert(topic.clone());
        return Halt::Fail(SourceError::Fatal(recreated(topic)));
    }
    around.topics.former.extend(around.topics.ids.insert(topic.clone(), id));
    around.topics.anew.insert(topic.clone(), Instant::now());
    for assigned in assignment.iter().filter(|assigned| assigned.place.topic == *topic) {
        let topic_partition = assigned.place.clone();
        around.mailbox.tell(Event::Missed(Missed { topic_partition, loss: Loss::Recreated, offsets: None }));
    }
    Halt::Rebuild(format!("topic `{topic}` was deleted and made anew"))
}

impl Known {
    /// Names a topic that is another one than it was, and its id.
    pub(super) fn learn(&mut self, told: Vec<(Topic, u128)>) -> Option<(Topic, u128)> {
        let mut news = told.into_iter().filter(|(_, id)| !self.former.contains(id));
        news.find(|(topic, id)| *self.ids.entry(topic.clone()).or_insert(*id) != *id)
    }

    /// Nothing is known any more of topics that are gone.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&Topic) -> bool) {
        self.ids.retain(|topic, _| !is_gone(topic));
    }

    /// The id of a topic that is read.
    pub(super) fn id(&self, topic: &Topic) -> Option<u128> {
        self.ids.get(topic).copied()
    }

    /// Whether a topic of this id is another one than the one that is read.
    pub(super) fn is_another(&self, topic: &Topic, id: u128) -> bool {
        !self.former.contains(&id) && self.ids.get(topic).is_some_and(|known| *known != id)
    }

    /// Those that were made anew lately, and are read: what was committed of the former one may still stand. Later on what is committed is of the
    /// new one, and a partition of which nothing is has come later.
    pub(super) fn anew(&self) -> HashSet<Topic> {
        let lately = self.anew.iter().filter(|(_, since)| since.elapsed() < LATELY);
        lately.map(|(topic, _)| topic.clone()).collect()
    }

    /// Whether what is to be committed of a topic is of another one.
    pub(super) fn is_void(&self, topic: &Topic) -> bool {
        self.void.contains(topic)
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
        assert_eq!(known.learn(told(&[("a", 1), ("b", 4)])), Some(("b".into(), 4)));
        assert!(known.is_another(&"b".into(), 4), "until somebody says that it is read now");
        known.forget(|topic| topic.as_str() == "b");
        assert_eq!(known.learn(told(&[("a", 1), ("b", 4)])), None, "a topic that was gone for sure is a new one");
    }
}
