//! The groups: whether they have settled, whether each member has something to do, and whether the brokers know their protocol.

use super::facts::{Facts, GroupFact, SETTLING};
use super::finding::Findings;
use crate::api::Finding;
use crate::config::Period;
use crate::kafka::{GroupPhase, GroupProtocol};
use crate::operator::standing::named;

/// Which protocols of groups a broker knows.
const PROTOCOLS: &str = "group.coordinator.rebalance.protocols";

pub(super) fn judge(facts: &Facts, into: &mut Vec<Finding>) {
    if !facts.is_reached() {
        return;
    }
    let mut found = Findings::of("group", into);
    for group in &facts.groups {
        let at = format!("group {}", group.group);
        protocol(&at, facts, group, &mut found);
        members(&at, facts, group, &mut found);
    }
}

fn protocol(at: &str, facts: &Facts, group: &GroupFact, found: &mut Findings<'_>) {
    let wants = |protocol: GroupProtocol| group.consumers.iter().any(|(_, one)| one.kafka.protocol == protocol);
    let wants_consumer = wants(GroupProtocol::Consumer);
    if wants_consumer && (wants(GroupProtocol::Cooperative) || wants(GroupProtocol::Eager)) {
        found.error(at, "its daemons don't have the same `protocol`", "set the same for all of them");
    }
    if wants_consumer && let Some(settings) = &facts.settings {
        let known = settings.get(PROTOCOLS).map(String::as_str).unwrap_or_default();
        if !known.split(',').any(|protocol| protocol.trim().eq_ignore_ascii_case("consumer")) {
            found.error(
                at,
                format!("`protocol` is `consumer`, which these brokers don't have (`{PROTOCOLS}` is `{known}`)"),
                "set `protocol: cooperative`, or update the brokers to Apache Kafka 4.0 or later",
            );
        }
    }
    let Some(standing) = group.standing().filter(|standing| !standing.state.members.is_empty()) else { return };
    if !group.consumers.is_empty() && standing.state.is_consumer != wants_consumer {
        let (is, wanted) = if wants_consumer { ("classic", "consumer") } else { ("consumer", "classic") };
        let what = format!("its members speak the {is} protocol, and the configuration says {wanted}");
        found.warning(at, what, "if that is no change under way, look whose members they are");
    }
}

fn members(at: &str, facts: &Facts, group: &GroupFact, found: &mut Findings<'_>) {
    let Some(standing) = group.standing() else { return };
    let state = &standing.state;
    let partitions: usize =
        group.reads.iter().filter_map(|topic| facts.topics.get(topic)).map(|fact| fact.partitions.len()).sum();
    if group.is_stuck {
        let names: Vec<String> = state.members.iter().map(named).collect();
        found.warning(
            at,
            format!(
                "it has been distributing its partitions for {} or longer, with {}",
                Period(SETTLING),
                names.join(", ")
            ),
            "look for a member that starts and stops again and again, or does not answer",
        );
        return;
    }
    match state.phase {
        GroupPhase::Dead | GroupPhase::Empty => {
            let what = match state.phase {
                GroupPhase::Dead => "nobody is in it, and it has never committed",
                _ => "nobody is in it",
            };
            found.warning(at, what, "start its daemon, or look why that doesn't join");
        }
        _ => {
            let idle: Vec<String> =
                state.members.iter().filter(|member| member.partitions.is_empty()).map(named).collect();
            // Under KIP-848 a rebalance has no word of its own.
            if state.phase == GroupPhase::Stable && !idle.is_empty() {
                found.warning(
                    at,
                    format!(
                        "{} of {} member(s) have no partition, of {partitions} that there are: {}",
                        idle.len(),
                        state.members.len(),
                        idle.join(", ")
                    ),
                    "run fewer processes, or give the topics more partitions; concurrency is had within a process too",
                );
            } else if state.phase == GroupPhase::Stable {
                found.ok(at, format!("{} member(s), each with partitions", state.members.len()));
            }
        }
    }
    if let Some(replicas) = group.replicas.filter(|replicas| partitions > 0 && *replicas > partitions) {
        found.warning(
            at,
            format!("{replicas} processes are to share {partitions} partition(s)"),
            "run fewer, or give the topics more partitions; concurrency is had within a process too",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{consumer, facts, member, said, standing, state, topic};
    use super::*;
    use crate::api::Severity::{self, Error, Ok as Fine, Warning};
    use crate::record::Topic;

    fn group(members: &[&[i32]]) -> GroupFact {
        let mut standing = standing(Vec::new());
        standing.state.members = members.iter().map(|partitions| member(partitions)).collect();
        GroupFact {
            group: "shop".to_owned(),
            reads: [Topic::from("orders")].into(),
            standing: Some(Ok(standing)),
            ..GroupFact::default()
        }
    }

    fn judged(group: GroupFact, protocols: &str) -> Vec<Severity> {
        let orders = topic((0..2).map(|number| state(number, true, 3, 3)).collect(), &[]);
        let mut facts = facts([("orders", orders)], group);
        facts.settings = Some([(PROTOCOLS.to_owned(), protocols.to_owned())].into());
        said(judge, &facts).into_iter().map(|(severity, _)| severity).collect()
    }

    fn phase(phase: GroupPhase) -> GroupFact {
        let mut group = group(&[]);
        if let Some(Ok(standing)) = &mut group.standing {
            standing.state.phase = phase;
        }
        group
    }

    #[test]
    fn members_that_all_have_something_are_well() {
        assert_eq!(judged(group(&[&[0], &[1]]), ""), [Fine]);
    }

    #[test]
    fn members_without_partitions_and_groups_without_members_are_warnings() {
        assert_eq!(judged(group(&[&[0], &[1], &[]]), ""), [Warning]);
        assert_eq!(judged(phase(GroupPhase::Empty), ""), [Warning]);
        assert_eq!(judged(phase(GroupPhase::Dead), ""), [Warning]);
        assert_eq!(judged(GroupFact { replicas: Some(3), ..group(&[&[0], &[1]]) }, ""), [Fine, Warning]);
        assert_eq!(judged(GroupFact { replicas: Some(2), ..group(&[&[0], &[1]]) }, ""), [Fine]);
    }

    #[test]
    fn a_group_that_does_not_settle_is_a_warning() {
        assert_eq!(judged(GroupFact { is_stuck: true, ..phase(GroupPhase::Rebalancing) }, ""), [Warning]);
        assert_eq!(judged(phase(GroupPhase::Rebalancing), ""), [], "it may be about to");
    }

    #[test]
    fn a_protocol_that_the_brokers_do_not_know_is_an_error() {
        let of = |protocols: &[GroupProtocol]| {
            let consumers = protocols.iter().map(|protocol| ("orders".to_owned(), consumer(*protocol)));
            GroupFact { consumers: consumers.collect(), ..phase(GroupPhase::Unknown) }
        };
        assert_eq!(judged(of(&[GroupProtocol::Consumer]), "classic"), [Error]);
        assert_eq!(judged(of(&[GroupProtocol::Consumer]), ""), [Error]);
        assert_eq!(judged(of(&[GroupProtocol::Consumer]), "classic,consumer,streams"), []);
        assert_eq!(judged(of(&[GroupProtocol::Cooperative]), "classic"), []);
        assert_eq!(judged(of(&[GroupProtocol::Consumer, GroupProtocol::Eager]), "classic,consumer"), [Error]);
    }

    #[test]
    fn members_of_another_protocol_are_a_warning() {
        let consumers = vec![("orders".to_owned(), consumer(GroupProtocol::Consumer))];
        let group = GroupFact { consumers, ..group(&[&[0], &[1]]) };
        assert_eq!(judged(group, "classic,consumer"), [Warning, Fine]);
    }
}
