//! Which topics are read: those that are named, and those that a pattern has found.
//!
//! Owner: the event thread; outlives a client. We match the patterns ourselves, over a list of the cluster's topics, and subscribe to the
//! names that come out: librdkafka's own matching is another one with each protocol, and would read a topic before its letters have a
//! place to go. The invariant: what a pattern has found is taken in only once it was admitted, and given up only when it is gone for sure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::pipeline::metadata::LaneTag;
use crate::pipeline::subscription::Subscription;
use crate::record::Topic;

/// How often a topic must be missing until it is: a broker learns of a new one a moment later than another.
pub(super) const SURE: u32 = 3;

/// How often it is told again what is left alone.
const REMINDER: Duration = Duration::from_secs(600);

/// Whether a topic that a pattern has found may be read. Asked on a thread that may be blocked, about several at once.
pub(crate) type Admit = dyn Fn(&[Topic]) -> Vec<Admission> + Send + Sync;

/// An answer to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    Granted,
    /// Somebody has to change something; says what.
    Refused(String),
    /// Nobody answers: to be asked again.
    Unknown(String),
}

/// What a look at the cluster's topics has found for the patterns.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// All that are to be read, new or not.
    pub(super) matching: BTreeSet<Topic>,
    /// New ones that may be read.
    pub(super) admitted: BTreeSet<Topic>,
    /// Others that can't be read as things stand, and what to do about it.
    pub(super) refused: BTreeMap<Topic, String>,
    /// Others that belong to somebody else, as far as we are let.
    pub(super) foreign: BTreeMap<Topic, String>,
    /// What nobody could tell of the rest.
    pub(super) unknown: Option<String>,
}

/// What comes of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Whether another selection than before, whether a topic of it is back that was missing, and what is left to be seen.
    Taken { changed: bool, is_back: bool, rest: Rest },
    /// A daemon must not start like this.
    Refused(String),
    /// Nor can it start yet.
    Unknown(String),
}

/// What is left to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// Whether topics that are missing are gone for sure.
    Missing,
    /// Whether new topics may be read.
    Unanswered,
}

/// See the module.
pub(super) struct Selection {
    subscription: Arc<Subscription>,
    admit: Option<Arc<Admit>>,
    /// What patterns have found, and how often it was missing since it was last seen.
    taken: BTreeMap<Topic, u32>,
    /// What is left alone, and what was said about it when.
    left: BTreeMap<Topic, (String, Instant)>,
    /// Whether there was a first look: what is wrong by then is a mistake of the configuration.
    started: bool,
}

impl Selection {
    pub(super) fn new(subscription: Subscription, admit: Option<Arc<Admit>>) -> Self {
        Self {
            subscription: Arc::new(subscription),
            admit,
            taken: BTreeMap::new(),
            left: BTreeMap::new(),
            started: false,
        }
    }

    /// Whether topics may come and go.
    pub(super) fn has_patterns(&self) -> bool {
        self.subscription.has_patterns()
    }

    /// The topics that are read.
    pub(super) fn topics(&self) -> Vec<Topic> {
        self.subscription.topics().chain(self.taken.keys()).cloned().collect()
    }

    /// The order and key function of a topic's route.
    pub(super) fn tag(&self, topic: &Topic) -> &LaneTag {
        self.subscription.tag(topic).expect("the group assigns partitions of subscribed topics only")
    }

    /// Whether a topic is read only because a pattern has found it.
    pub(super) fn is_found(&self, topic: &Topic) -> bool {
        self.taken.contains_key(topic)
    }

    /// Whether a topic was read because a pattern had found it, and is there no more.
    pub(super) fn has_given_up(&self, topic: &Topic) -> bool {
        !self.taken.contains_key(topic) && self.subscription.is_matching(topic)
    }

    /// What a look needs to know.
    pub(super) fn search(&self) -> Search {
        let taken = self.taken.keys().cloned().collect();
        Search { subscription: Arc::clone(&self.subscription), admit: self.admit.clone(), taken, started: self.started }
    }

    /// Takes up what was found.
    pub(super) fn take(&mut self, found: Found, now: Instant) -> Outcome {
        let Found { matching, admitted, refused, foreign, unknown } = found;
        if !self.started {
            if !refused.is_empty() {
                return Outcome::Refused(refused.into_values().collect::<Vec<_>>().join("; "));
            }
            if let Some(say) = unknown {
                return Outcome::Unknown(say);
            }
            self.started = true;
            for pattern in self.subscription.patterns() {
                if !matching.iter().any(|topic| pattern.matches(topic)) {
                    warn!(
                        pattern = pattern.as_str(),
                        "no topic that this user may see matches the pattern yet, it is waited for"
                    );
                }
            }
        }
        let is_back = self.taken.iter().any(|(topic, missing)| *missing > 0 && matching.contains(topic));
        let gone = self.take_away(&matching);
        let changed = gone | !admitted.is_empty();
        for topic in admitted {
            info!(topic = topic.as_str(), "topic found by a pattern, it is read from now on");
            self.taken.insert(topic, 0);
        }
        let mut left = refused;
        left.extend(foreign);
        for (topic, say) in self.news(left, now) {
            warn!(topic = topic.as_str(), error = say, "topic that matches a pattern is left alone");
        }
        let rest = if self.taken.values().any(|missing| *missing > 0) {
            Rest::Missing
        } else if let Some(error) = unknown {
            warn!(error, "whether a new topic can be read is not known yet, it is asked again");
            Rest::Unanswered
        } else {
            Rest::Nothing
        };
        Outcome::Taken { changed, is_back, rest }
    }

    /// What of these, which are left alone, is to be told now.
    fn news(&mut self, left: BTreeMap<Topic, String>, now: Instant) -> BTreeMap<Topic, String> {
        let before = std::mem::take(&mut self.left);
        let mut news = BTreeMap::new();
        for (topic, say) in left {
            let told = before.get(&topic).filter(|(said, at)| *said == say && now < *at + REMINDER).map(|(_, at)| *at);
            if told.is_none() {
                news.insert(topic.clone(), say.clone());
            }
            self.left.insert(topic, (say, told.unwrap_or(now)));
        }
        news
    }

    /// Lets go of topics that are gone for sure, and says whether there are any.
    fn take_away(&mut self, seen: &BTreeSet<Topic>) -> bool {
        let before = self.taken.len();
        self.taken.retain(|topic, missing| {
            *missing = if seen.contains(topic) { 0 } else { *missing + 1 };
            if *missing == SURE {
                warn!(
                    topic = topic.as_str(),
                    "topic found by a pattern is there no more, or out of our sight: it is read no longer"
                );
            }
            *missing < SURE
        });
        self.taken.len() != before
    }
}

impl std::fmt::Debug for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Selection")
            .field("subscription", &self.subscription)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

/// One look for topics, on its way on a thread of its own.
pub(super) struct Search {
    subscription: Arc<Subscription>,
    admit: Option<Arc<Admit>>,
    taken: BTreeSet<Topic>,
    started: bool,
}

impl Search {
    /// The topics that are named.
    pub(super) fn named(&self) -> Vec<Topic> {
        self.subscription.topics().cloned().collect()
    }

    /// Whether there is anything to be searched for.
    pub(super) fn has_patterns(&self) -> bool {
        self.subscription.has_patterns()
    }

    /// Whether there was one before.
    pub(super) fn is_repeated(&self) -> bool {
        self.started
    }

    /// Whether a topic was found before.
    pub(super) fn knows(&self, topic: &Topic) -> bool {
        self.taken.contains(topic)
    }

    /// What there is for the patterns among the cluster's topics. `may_read`: of those that match, as far as the brokers tell.
    pub(super) fn find(&self, listed: &[Topic], may_read: impl FnOnce(&[Topic]) -> Vec<Topic>) -> Found {
        let mut found = Found::default();
        for topic in listed {
            if self.subscription.is_matching(topic) {
                found.matching.insert(topic.clone());
            } else if let Some(ambiguity) = self.subscription.ambiguity(topic) {
                found.refused.insert(topic.clone(), ambiguity.to_string());
            }
        }
        let new: Vec<Topic> = found.matching.iter().filter(|topic| !self.knows(topic)).cloned().collect();
        if new.is_empty() {
            return found;
        }
        let mine = may_read(&new);
        let foreign = new.into_iter().filter(|topic| !mine.contains(topic));
        found.foreign = foreign.map(|topic| (topic.clone(), super::faults::forbidden(&[topic]))).collect();
        let answers = match &self.admit {
            Some(admit) => admit(&mine),
            None => vec![Admission::Granted; mine.len()],
        };
        for (topic, answer) in mine.into_iter().zip(answers) {
            match answer {
                Admission::Granted => drop(found.admitted.insert(topic)),
                Admission::Refused(say) => drop(found.refused.insert(topic, say)),
                Admission::Unknown(say) => found.unknown = Some(say),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::TopicPattern;

    fn topics<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Topic> {
        names.into_iter().map(Topic::from).collect()
    }

    /// Of `bills`, and of two patterns that have `orders.ab` in common.
    fn selection(admit: impl Fn(&Topic) -> Admission + Send + Sync + 'static) -> Selection {
        let pattern = |text| TopicPattern::new(text).unwrap_or_else(|error| panic!("{error}"));
        let subscription = Subscription::new()
            .topic("bills", "key")
            .pattern(pattern(r"orders\.a.*"), "key")
            .pattern(pattern(r"orders\..*b"), "key");
        Selection::new(subscription, Some(Arc::new(move |topics: &[Topic]| topics.iter().map(&admit).collect())))
    }

    fn look<'a>(selection: &mut Selection, listed: impl IntoIterator<Item = &'a str>) -> Outcome {
        let found = selection.search().find(&topics(listed), <[Topic]>::to_vec);
        selection.take(found, Instant::now())
    }

    fn settled(changed: bool) -> Outcome {
        Outcome::Taken { changed, is_back: false, rest: Rest::Nothing }
    }

    #[test]
    fn what_matches_is_taken_in_and_what_is_gone_for_sure_is_given_up() {
        let mut selection = selection(|_| Admission::Granted);
        assert_eq!(selection.topics(), topics(["bills"]));
        let listed = ["bills", "orders.a", "orders.a.dlq", "__orders.a", "others"];
        assert_eq!(look(&mut selection, listed), settled(true));
        assert_eq!(selection.topics(), topics(["bills", "orders.a"]));
        assert_eq!(look(&mut selection, listed), settled(false));
        assert_eq!(look(&mut selection, ["bills", "orders.a", "orders.b"]), settled(true));
        let missing = |changed| Outcome::Taken { changed, is_back: false, rest: Rest::Missing };
        assert_eq!(look(&mut selection, ["orders.b"]), missing(false));
        let is_back = Outcome::Taken { changed: false, is_back: true, rest: Rest::Nothing };
        assert_eq!(look(&mut selection, ["orders.a", "orders.b"]), is_back, "it was only late");
        let outcomes: Vec<_> = (0..3).map(|_| look(&mut selection, ["orders.b"])).collect();
        assert_eq!(outcomes, [missing(false), missing(false), settled(true)]);
        assert_eq!(selection.topics(), topics(["bills", "orders.b"]));
        assert!(selection.is_found(&"orders.b".into()) && !selection.is_found(&"bills".into()));
        let given_up = ["orders.a", "orders.b", "bills"].map(|topic| selection.has_given_up(&topic.into()));
        assert_eq!(given_up, [true, false, false]);
        // What is on its way for a topic that was given up still knows its lanes.
        assert_eq!(selection.tag(&"orders.a".into()), &"key".into());
    }

    #[test]
    fn what_two_patterns_match_is_refused_at_the_start_and_left_alone_later() {
        let mut selection = selection(|_| Admission::Granted);
        let said = r"topic `orders.ab` matches both patterns `orders\.a.*` and `orders\..*b`: make them differ, or give the topic a route of its own";
        assert_eq!(look(&mut selection, ["orders.ab", "orders.a"]), Outcome::Refused(said.to_owned()));
        assert_eq!(look(&mut selection, ["orders.a"]), settled(true));
        assert_eq!(look(&mut selection, ["orders.ab", "orders.a"]), settled(false));
        assert_eq!(selection.topics(), topics(["bills", "orders.a"]));
    }

    #[test]
    fn topic_without_a_place_for_its_letters_is_refused_at_the_start_and_waits_later() {
        let mut selection = selection(|topic| match topic.as_str() {
            "orders.a1" => Admission::Refused("create it".to_owned()),
            _ => Admission::Granted,
        });
        assert_eq!(look(&mut selection, ["orders.a1"]), Outcome::Refused("create it".to_owned()));
        assert_eq!(look(&mut selection, []), settled(false));
        assert_eq!(look(&mut selection, ["orders.a1", "orders.a2"]), settled(true));
        assert_eq!(selection.topics(), topics(["bills", "orders.a2"]));
    }

    #[test]
    fn nothing_begins_before_everybody_has_answered() {
        let silent = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let is_silent = Arc::clone(&silent);
        let mut selection = selection(move |_| match is_silent.load(std::sync::atomic::Ordering::Relaxed) {
            true => Admission::Unknown("no answer".to_owned()),
            false => Admission::Granted,
        });
        assert_eq!(look(&mut selection, ["orders.a"]), Outcome::Unknown("no answer".to_owned()));
        silent.store(false, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(look(&mut selection, ["orders.a"]), settled(true));
        silent.store(true, std::sync::atomic::Ordering::Relaxed);
        let outcome = look(&mut selection, ["orders.a", "orders.b"]);
        assert_eq!(outcome, Outcome::Taken { changed: false, is_back: false, rest: Rest::Unanswered });
    }

    #[test]
    fn topics_of_others_are_left_alone() {
        let mut selection = selection(|_| Admission::Granted);
        let found = selection.search().find(&topics(["orders.a", "orders.b"]), |new| {
            assert_eq!(new, topics(["orders.a", "orders.b"]));
            topics(["orders.b"])
        });
        assert_eq!(selection.take(found, Instant::now()), settled(true));
        assert_eq!(selection.topics(), topics(["bills", "orders.b"]));
    }

    #[test]
    fn what_is_left_alone_is_told_once_and_then_from_time_to_time() {
        let (mut selection, start) = (selection(|_| Admission::Granted), Instant::now());
        let mut told = Vec::new();
        for minute in 0..25 {
            let say = if minute < 12 { "create it" } else { "grant it" };
            let left = BTreeMap::from([("orders.a".into(), say.to_owned())]);
            let news = selection.news(left, start + Duration::from_secs(60 * minute));
            told.extend(news.into_values().map(|say| (minute, say)));
        }
        let expected = [(0, "create it"), (10, "create it"), (12, "grant it"), (22, "grant it")];
        assert_eq!(told, expected.map(|(minute, say)| (minute, say.to_owned())));
    }
}
