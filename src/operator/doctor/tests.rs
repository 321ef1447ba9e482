//! Facts to judge.

use super::*;
use crate::api::{Finding, Severity};
use crate::config::DeployedConsumer;
use crate::kafka::{EmbeddedCluster, GroupMember, GroupPhase, GroupProtocol, GroupState, KafkaConfig, PartitionState};
use crate::operator::standing::{Place, Standing};
use crate::record::{Partition, Topic, TopicPartition};
use facts::{BrokerFact, Facts, GroupFact, TopicFact};

/// How bad each finding is, and where.
pub(super) fn said(judge: fn(&Facts, &mut Vec<Finding>), facts: &Facts) -> Vec<(Severity, String)> {
    let mut found = Vec::new();
    judge(facts, &mut found);
    found.into_iter().map(|finding| (finding.severity, finding.at)).collect()
}

/// A cluster that answers, with these topics and this group.
pub(super) fn facts<const N: usize>(topics: [(&str, TopicFact); N], group: GroupFact) -> Facts {
    let broker = BrokerFact { address: "b1:9092".to_owned(), id: Some(1), is_named: true, answer: Ok(()) };
    Facts {
        cluster: "main".to_owned(),
        brokers: vec![broker],
        topics: topics.into_iter().map(|(topic, fact)| (Topic::from(topic), fact)).collect(),
        settings: None,
        groups: vec![group],
        fleet: None,
    }
}

pub(super) fn topic(partitions: Vec<PartitionState>, settings: &[(&str, &str)]) -> TopicFact {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    TopicFact { partitions, rights: None, settings: Some(settings.collect()) }
}

pub(super) fn state(partition: i32, has_leader: bool, replicas: usize, in_sync: usize) -> PartitionState {
    PartitionState { partition: Partition(partition), has_leader, replicas, in_sync }
}

pub(super) fn standing(places: Vec<Place>) -> Standing {
    let state = GroupState { phase: GroupPhase::Stable, is_consumer: false, members: Vec::new(), may_read: None };
    Standing { state, places }
}

pub(super) fn member(partitions: &[i32]) -> GroupMember {
    GroupMember {
        id: "m".to_owned(),
        client: "daemonry".to_owned(),
        instance: None,
        host: "/10.0.0.1".to_owned(),
        partitions: partitions.iter().map(|number| TopicPartition::new("orders", *number)).collect(),
    }
}

pub(super) fn consumer(protocol: GroupProtocol) -> DeployedConsumer {
    let mut kafka = KafkaConfig::new("b1:9092", "shop");
    kafka.protocol = protocol;
    DeployedConsumer { cluster: "main".to_owned(), kafka, topics: None }
}

#[test]
fn retention_counts_where_records_are_removed_by_age() {
    let kept = |settings: &[(&str, &str)]| topic(Vec::new(), settings).retention().map(|kept| kept.as_secs());
    assert_eq!(kept(&[("cleanup.policy", "delete"), ("retention.ms", "5000")]), Some(5));
    assert_eq!(kept(&[("cleanup.policy", "compact,delete"), ("retention.ms", "5000")]), Some(5));
    assert_eq!(kept(&[("cleanup.policy", "compact"), ("retention.ms", "5000")]), None);
    assert_eq!(kept(&[("cleanup.policy", "delete"), ("retention.ms", "-1")]), None);
    assert_eq!(TopicFact::default().retention(), None);
}

#[test]
fn an_error_ends_with_1_and_warnings_alone_with_0() {
    let cluster = EmbeddedCluster::start(&[("orders", 2)]).expect("a cluster");
    let brokers = cluster.brokers();
    let done = |brokers: &str| crate::operator::run_with(["daemonry", "doctor", "--brokers", brokers]);
    assert_eq!(done(&brokers), Exit::Drained);
    assert_eq!(done("127.0.0.1:1"), Exit::Found);
}

#[test]
fn a_grace_period_needs_the_file_that_says_how_long_a_stop_takes() {
    let arguments = ["daemonry", "doctor", "--brokers", "b:1", "--grace-period", "30s"];
    assert_eq!(crate::operator::run_with(arguments), Exit::Misconfigured);
}
