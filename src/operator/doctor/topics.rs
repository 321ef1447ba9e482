//! Topics that are read: whether they are there, and how well they are kept.

use super::facts::{Facts, TopicFact};
use super::finding::Findings;
use crate::api::Finding;
use crate::kafka::PartitionState;
use crate::record::Topic;

pub(super) fn judge(facts: &Facts, into: &mut Vec<Finding>) {
    if !facts.is_reached() {
        return;
    }
    let mut found = Findings::of("topics", into);
    for group in &facts.groups {
        let from = |topic: &Topic| format!("topic {topic} of group {}", group.group);
        for topic in group.reads.iter().filter(|topic| !facts.topics.contains_key(*topic)) {
            found.error(
                from(topic),
                "it is read, and there is no such topic, or this user may not see it",
                "create it, correct the route's topic, or grant this user DESCRIBE on it",
            );
        }
    }
    for (topic, fact) in &facts.topics {
        kept(&format!("topic {topic}"), fact, &mut found);
    }
}

/// How well a topic is kept.
fn kept(at: &str, fact: &TopicFact, found: &mut Findings<'_>) {
    let partitions = &fact.partitions;
    let numbers = |is_so: &dyn Fn(&PartitionState) -> bool| {
        let those = partitions.iter().filter(|state| is_so(state)).map(|state| state.partition.to_string());
        those.collect::<Vec<_>>()
    };
    let replicas = partitions.iter().map(|state| state.replicas).min().unwrap_or(0);
    let needed = fact.number("min.insync.replicas").and_then(|number| usize::try_from(number).ok()).unwrap_or(1);
    let leaderless = numbers(&|state| !state.has_leader);
    if !leaderless.is_empty() {
        let what = format!("nobody leads partition {}: it can be neither read nor written", leaderless.join(", "));
        found.error(at, what, "bring the brokers back that have its replicas");
    }
    let unwritable = numbers(&|state| state.has_leader && state.in_sync < needed);
    if !unwritable.is_empty() {
        let what = format!(
            "partition {} has fewer replicas in sync than `min.insync.replicas` ({needed}): nothing can be written to it",
            unwritable.join(", ")
        );
        found.error(at, what, "bring the brokers back that have its replicas");
    }
    let behind = numbers(&|state| state.has_leader && state.in_sync < state.replicas && state.in_sync >= needed);
    if !behind.is_empty() {
        let what = format!("partition {} has replicas that are not in sync", behind.join(", "));
        found.warning(at, what, "look whether a broker is away or can't keep up");
    }
    if replicas == 1 {
        found.warning(
            at,
            "it has one replica: with its broker its records are gone",
            "raise its replication factor to 3, with `min.insync.replicas` at 2",
        );
    } else if replicas > 1 && needed >= replicas {
        found.warning(
            at,
            format!(
                "`min.insync.replicas` is {needed}, of {replicas} replicas: while one is away, nothing can be written"
            ),
            "set it below the replication factor",
        );
    } else if replicas > 1 && needed < 2 && fact.settings.is_some() {
        found.warning(
            at,
            "`min.insync.replicas` is 1: a record that was acknowledged may be on one broker alone",
            "set it to 2",
        );
    } else if leaderless.is_empty() && unwritable.is_empty() && behind.is_empty() {
        found.ok(at, format!("{} partition(s) of {replicas} replicas, all in sync", partitions.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::GroupFact;
    use super::super::tests::{facts, said, state, topic};
    use super::*;
    use crate::api::Severity::{Error, Ok as Fine, Warning};

    fn judged(partitions: &[(bool, usize, usize)], needed: &str) -> Vec<crate::api::Severity> {
        let partitions =
            (0..).zip(partitions).map(|(number, (led, replicas, in_sync))| state(number, *led, *replicas, *in_sync));
        let fact = topic(partitions.collect(), &[("min.insync.replicas", needed)]);
        said(judge, &facts([("orders", fact)], GroupFact::default()))
            .into_iter()
            .map(|(severity, _)| severity)
            .collect()
    }

    #[test]
    fn a_topic_that_is_kept_well_is_well() {
        assert_eq!(judged(&[(true, 3, 3), (true, 3, 3)], "2"), [Fine]);
    }

    #[test]
    fn partitions_without_leader_or_without_enough_replicas_are_errors() {
        assert_eq!(judged(&[(false, 3, 0), (true, 3, 3)], "2"), [Error]);
        assert_eq!(judged(&[(true, 3, 1), (true, 3, 3)], "2"), [Error]);
        assert_eq!(judged(&[(true, 3, 2), (true, 3, 3)], "2"), [Warning]);
    }

    #[test]
    fn too_few_replicas_and_too_many_needed_are_warnings() {
        assert_eq!(judged(&[(true, 1, 1)], "1"), [Warning]);
        assert_eq!(judged(&[(true, 3, 3)], "3"), [Warning]);
        assert_eq!(judged(&[(true, 3, 3)], "1"), [Warning]);
    }

    #[test]
    fn a_topic_that_is_not_there_is_an_error() {
        let group = GroupFact { group: "shop".to_owned(), reads: [Topic::from("gone")].into(), ..GroupFact::default() };
        assert_eq!(said(judge, &facts([], group)), [(Error, "topic gone of group shop".to_owned())]);
    }
}
