//! What is known of a cluster and of who reads it: collected first, judged afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;

use crate::config::DeployedConsumer;
use crate::dead_letters::letters_of_marks;
use crate::kafka::{
    AdminError, GroupPhase, KafkaAdmin, KafkaConfig, OffsetAt, PartitionState, Rights, Settings, TopicState,
};
use crate::operator::cluster::Target;
use crate::operator::failure::Failure;
use crate::operator::standing::{Only, Standing, Subject, ask};
use crate::record::{Offset, Timestamp, Topic, TopicPartition};

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a group may take to distribute its partitions before that counts as stuck.
pub(super) const SETTLING: Duration = Duration::from_secs(10);
/// Pause between two looks at one that does.
const PAUSE: Duration = Duration::from_secs(1);

/// A cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Its name in the file, else the address that was given.
    pub(super) cluster: String,
    pub(super) brokers: Vec<BrokerFact>,
    /// Those that matter and are there.
    pub(super) topics: BTreeMap<Topic, TopicFact>,
    /// A broker's; none where this user may not know them.
    pub(super) settings: Option<Settings>,
    pub(super) groups: Vec<GroupFact>,
    /// Where the program's processes know one another by this cluster.
    pub(super) fleet: Option<FleetFact>,
}

/// The topics of a fleet.
#[derive(Clone, Debug)]
pub(super) struct FleetFact {
    pub(super) reports: Topic,
    pub(super) control: Topic,
}

/// A broker's address, and whether somebody answers there.
#[derive(Clone, Debug)]
pub(super) struct BrokerFact {
    pub(super) address: String,
    /// None of one that only the configuration names.
    pub(super) id: Option<i32>,
    /// Whether the configuration names it.
    pub(super) is_named: bool,
    pub(super) answer: Result<(), String>,
}

/// A topic that is there.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicFact {
    pub(super) partitions: Vec<PartitionState>,
    /// None where the brokers don't tell.
    pub(super) rights: Option<Rights>,
    /// None where this user may not know them.
    pub(super) settings: Option<Settings>,
}

impl TopicFact {
    /// A setting that is a number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.settings.as_ref()?.get(name)?.parse().ok()
    }

    /// How long a record is kept at least; none where it is kept for ever, or that isn't known.
    pub(super) fn retention(&self) -> Option<Duration> {
        let policy = self.settings.as_ref()?.get("cleanup.policy")?;
        let millis = self.number("retention.ms").filter(|_| policy.contains("delete"))?;
        u64::try_from(millis).ok().map(Duration::from_millis)
    }
}

/// A group that reads.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupFact {
    pub(super) group: String,
    /// The daemons of the file that are its members.
    pub(super) consumers: Vec<(String, DeployedConsumer)>,
    /// How many processes there are to be, if that was said.
    pub(super) replicas: Option<usize>,
    /// The topics that it is known to read.
    pub(super) reads: BTreeSet<Topic>,
    /// Topics of dead letters, each with those whose letters go there.
    pub(super) letters: BTreeMap<Topic, BTreeSet<Topic>>,
    /// Where it stands; or why its coordinator doesn't say.
    pub(super) standing: Option<Result<Standing, String>>,
    /// Whether it was distributing its partitions for as long as it was looked at.
    pub(super) is_stuck: bool,
    /// The first record of each partition that is in the younger half of what the topic keeps; none in it where all are older.
    pub(super) young: BTreeMap<TopicPartition, Option<Offset>>,
}

impl GroupFact {
    fn of(subject: &Subject, target: &Target, replicas: Option<usize>) -> Self {
        let ours = target.consumers.iter().filter(|(daemon, _)| subject.daemons.contains(daemon));
        let consumers: Vec<_> = ours.cloned().collect();
        let mut letters: BTreeMap<Topic, BTreeSet<Topic>> = BTreeMap::new();
        for read in consumers.iter().flat_map(|(_, consumer)| consumer.topics.iter().flatten()) {
            if let Some(topic) = &read.letters {
                letters.entry(topic.clone()).or_default().insert(read.topic.clone());
            }
        }
        let (group, reads) = (subject.group.clone(), subject.topics.clone());
        Self { group, consumers, replicas, reads, letters, ..Self::default() }
    }

    /// Where it stands, if that is known.
    pub(super) fn standing(&self) -> Option<&Standing> {
        self.standing.as_ref()?.as_ref().ok()
    }
}

impl Facts {
    /// Collects all of them, as far as they can be had: what can't be had is a fact too. Fails where brokers that have answered don't any more.
    pub(super) async fn collect(
        target: &Target,
        subjects: &[Subject],
        replicas: Option<usize>,
    ) -> Result<Self, Failure> {
        let kafka = &target.kafka;
        let groups = subjects.iter().map(|subject| GroupFact::of(subject, target, replicas)).collect();
        let cluster = target.name.clone().unwrap_or_else(|| kafka.brokers.clone());
        let fleet = target.fleet.as_ref();
        let fleet = fleet.map(|fleet| FleetFact { reports: fleet.reports.clone(), control: fleet.control.clone() });
        let mut facts = Self { cluster, groups, fleet, ..Self::default() };
        let admin = KafkaAdmin::new(kafka)?;
        let known = match admin.brokers(PATIENCE).await {
            Ok(known) => known.into_iter().map(|broker| (broker.address, Some(broker.id))).collect(),
            Err(error) => {
                let answer = Err(reason(error));
                facts.brokers.push(BrokerFact { address: kafka.brokers.clone(), id: None, is_named: true, answer });
                return Ok(facts);
            }
        };
        facts.brokers = brokers(kafka, known).await?;
        let topics = admin.topics().await?;
        for (subject, fact) in subjects.iter().zip(&mut facts.groups) {
            fact.look(&admin, subject, &topics).await;
        }
        facts.add_topics(&admin, &topics).await;
        if let Some(id) = facts.brokers.iter().filter(|broker| broker.answer.is_ok()).find_map(|broker| broker.id) {
            facts.settings = admin.broker_settings(id).await.ok().flatten();
        }
        facts.add_young(&admin).await;
        Ok(facts)
    }

    /// Whether the cluster answers at all.
    pub(super) fn is_reached(&self) -> bool {
        self.brokers.iter().any(|broker| broker.id.is_some())
    }

    /// The topics that matter: what is read, where letters go, and what became of them, and those of the fleet.
    async fn add_topics(&mut self, admin: &KafkaAdmin, topics: &[TopicState]) {
        let wanted: BTreeSet<&Topic> =
            self.groups.iter().flat_map(|group| group.reads.iter().chain(group.letters.keys())).collect();
        let fleet: Vec<&Topic> = self.fleet.iter().flat_map(|fleet| [&fleet.reports, &fleet.control]).collect();
        let has_marks = |topic: &Topic| letters_of_marks(topic).is_some_and(|letters| wanted.contains(&letters));
        let there = topics
            .iter()
            .filter(|state| wanted.contains(&state.topic) || fleet.contains(&&state.topic) || has_marks(&state.topic));
        let mut found: BTreeMap<Topic, TopicFact> = there
            .map(|state| {
                (state.topic.clone(), TopicFact { partitions: state.partitions.clone(), ..TopicFact::default() })
            })
            .collect();
        let names: Vec<Topic> = found.keys().cloned().collect();
        let mut rights = admin.rights(&names).await.unwrap_or_default();
        let mut settings = admin.topic_settings(&names).await.unwrap_or_default();
        for (topic, fact) in &mut found {
            (fact.rights, fact.settings) = (rights.remove(topic), settings.remove(topic));
        }
        self.topics = found;
    }

    /// Asks where the younger half of what topics keep begins.
    async fn add_young(&mut self, admin: &KafkaAdmin) {
        let now = Timestamp::now();
        for group in &mut self.groups {
            let Some(Ok(standing)) = &group.standing else { continue };
            let mut behind: BTreeMap<Duration, Vec<TopicPartition>> = BTreeMap::new();
            for place in standing.places.iter().filter(|place| place.lag().is_some_and(|lag| lag > 0)) {
                if let Some(kept) = self.topics.get(&place.place.topic).and_then(TopicFact::retention) {
                    behind.entry(kept).or_default().push(place.place.clone());
                }
            }
            for (kept, places) in behind {
                let found = admin.offsets(&places, OffsetAt::Time(now - kept / 2)).await.unwrap_or_default();
                group.young.extend(found.into_iter().filter_map(|(place, found)| Some((place, found.ok()?))));
            }
        }
    }
}

impl GroupFact {
    /// Looks where the group stands, and for how long it takes to settle.
    async fn look(&mut self, admin: &KafkaAdmin, subject: &Subject, topics: &[TopicState]) {
        let mut waited = Duration::ZERO;
        let standing = loop {
            let standing = ask(admin, subject, Only::Read, topics).await.map_err(|error| error.to_string());
            let is_moving = standing.as_ref().is_ok_and(|standing| standing.state.phase == GroupPhase::Rebalancing);
            if !is_moving || waited >= SETTLING {
                self.is_stuck = is_moving;
                break standing;
            }
            tokio::time::sleep(PAUSE).await;
            waited += PAUSE;
        };
        if let Ok(standing) = &standing {
            self.reads.extend(standing.places.iter().map(|place| place.place.topic.clone()));
        }
        self.standing = Some(standing);
    }
}

/// What is wrong, without that it could be tried again.
fn reason(error: AdminError) -> String {
    match error {
        AdminError::Unavailable(reason) => reason,
        error => error.to_string(),
    }
}

/// Asks each address by itself: those that the configuration names, and those that the cluster tells clients to go to.
async fn brokers(kafka: &KafkaConfig, known: BTreeMap<String, Option<i32>>) -> Result<Vec<BrokerFact>, Failure> {
    let named: BTreeSet<&str> = kafka.brokers.split(',').map(str::trim).filter(|address| !address.is_empty()).collect();
    let mut addresses = known;
    for address in &named {
        addresses.entry((*address).to_owned()).or_insert(None);
    }
    let asked = addresses.into_iter().map(|(address, id)| {
        let is_named = named.contains(address.as_str());
        let mut alone = kafka.clone();
        alone.brokers.clone_from(&address);
        let admin = KafkaAdmin::new(&alone);
        async move {
            let answer = admin?.brokers(PATIENCE).await.map(drop).map_err(reason);
            Ok(BrokerFact { address, id, is_named, answer })
        }
    });
    join_all(asked).await.into_iter().collect()
}
