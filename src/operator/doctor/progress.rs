//! Whether groups read what there is before it is removed.

use super::facts::{Facts, GroupFact};
use super::finding::Findings;
use crate::api::Finding;
use crate::config::Period;
use crate::kafka::StartPolicy;
use crate::operator::standing::{NO_PARTITION, Place};
use crate::record::Partition;

pub(super) fn judge(facts: &Facts, into: &mut Vec<Finding>) {
    let mut found = Findings::of("progress", into);
    for group in &facts.groups {
        let Some(standing) = group.standing() else { continue };
        let mut is_well = true;
        let is_there = |place: &&Place| place.place.partition != Partition(NO_PARTITION);
        let places: Vec<&Place> = standing.places.iter().filter(is_there).collect();
        for place in &places {
            let at = format!("{} of group {}", place.place, group.group);
            is_well &= judge_place(&at, facts, group, place, &mut found);
        }
        if is_well && !places.is_empty() {
            let lag: u64 = places.iter().filter_map(|place| place.lag()).sum();
            let bare = places.iter().filter(|place| place.committed.is_none() && place.lag() > Some(0)).count();
            let mut what = format!("{lag} record(s) behind, none about to be removed");
            if bare > 0 {
                what += &format!("; nothing is committed of {bare} partition(s)");
            }
            found.ok(format!("group {}", group.group), what);
        }
    }
}

/// Says whether all is well.
fn judge_place(at: &str, facts: &Facts, group: &GroupFact, place: &Place, found: &mut Findings<'_>) -> bool {
    let Ok(span) = &place.span else {
        // Of topics that are gone, and partitions that nobody leads, others tell.
        return false;
    };
    let policy = "the daemon does what `out_of_range` says; or set the place with `reset-offsets`";
    if place.is_beyond() {
        found.error(at, place.note().unwrap_or_default(), policy);
        return false;
    }
    let lost = place.lost();
    if lost > 0 {
        let what = format!("up to {lost} record(s) were removed before they were read");
        found.error(at, what, format!("keep records longer (`retention.ms`, `retention.bytes`); {policy}"));
        return false;
    }
    if place.committed.is_none() && place.lag().is_some_and(|lag| lag > 0) {
        let wants = |policy: StartPolicy| group.consumers.iter().any(|(_, one)| one.kafka.start == policy);
        if wants(StartPolicy::Fail) {
            found.error(
                at,
                "nothing is committed, and `start` is `fail`",
                "set its place with `reset-offsets`, or set `start`",
            );
            return false;
        }
        if wants(StartPolicy::Latest) {
            let what = "nothing is committed, and `start` is `latest`: what it holds is passed over";
            found.warning(
                at,
                what,
                "to have it read, set its place with `reset-offsets --to earliest` before the daemon starts",
            );
            return false;
        }
    }
    let oldest = place.committed.as_ref().map_or(span.first, |commit| commit.next.offset().max(span.first));
    let kept = facts.topics.get(&place.place.topic).and_then(super::facts::TopicFact::retention);
    // Where no record is young, the oldest isn't either.
    if let (Some(young), Some(kept)) = (group.young.get(&place.place), kept)
        && place.lag().is_some_and(|lag| lag > 0)
        && young.is_none_or(|young| oldest < young)
    {
        found.warning(
            at,
            format!(
                "the oldest record that is not read has used up half of the {} that records are kept",
                Period(kept)
            ),
            "catch up, or raise `retention.ms`: what is removed unread is lost",
        );
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::{consumer, facts, said, standing, state, topic};
    use super::*;
    use crate::api::Severity::{self, Error, Ok as Fine, Warning};
    use crate::kafka::GroupProtocol;
    use crate::operator::standing::tests::place;
    use crate::record::Offset;

    fn judged(place: Place, young: Option<Option<i64>>, start: Option<StartPolicy>) -> Vec<Severity> {
        let orders = topic(vec![state(0, true, 3, 3)], &[("cleanup.policy", "delete"), ("retention.ms", "3600000")]);
        let consumers = start.map(|start| {
            let mut consumer = consumer(GroupProtocol::Cooperative);
            consumer.kafka.start = start;
            ("orders".to_owned(), consumer)
        });
        let young = young.map(|young| (place.place.clone(), young.map(Offset)));
        let group = GroupFact {
            consumers: consumers.into_iter().collect(),
            young: young.into_iter().collect(),
            standing: Some(Ok(standing(vec![place]))),
            ..GroupFact::default()
        };
        said(judge, &facts([("orders", orders)], group)).into_iter().map(|(severity, _)| severity).collect()
    }

    #[test]
    fn a_group_that_is_behind_by_young_records_is_well() {
        assert_eq!(judged(place(0, Some(7), 0, 10), Some(Some(7)), None), [Fine]);
        assert_eq!(judged(place(0, Some(7), 0, 10), None, None), [Fine], "or nobody knows how old they are");
        assert_eq!(judged(place(0, Some(10), 0, 10), Some(None), None), [Fine], "there is nothing to read");
    }

    #[test]
    fn records_that_may_go_before_they_are_read_are_a_warning() {
        assert_eq!(judged(place(0, Some(6), 0, 10), Some(Some(7)), None), [Warning]);
        assert_eq!(judged(place(0, Some(6), 0, 10), Some(None), None), [Warning]);
        assert_eq!(judged(place(0, None, 4, 10), Some(Some(5)), None), [Warning]);
    }

    #[test]
    fn records_that_are_gone_unread_and_commits_behind_the_end_are_errors() {
        assert_eq!(judged(place(0, Some(2), 4, 10), None, None), [Error]);
        assert_eq!(judged(place(0, Some(12), 4, 10), None, None), [Error]);
    }

    #[test]
    fn a_partition_without_a_commit_is_as_the_policy_has_it() {
        let of = |start| judged(place(0, None, 0, 10), None, Some(start));
        assert_eq!(of(StartPolicy::Earliest), [Fine]);
        assert_eq!(of(StartPolicy::Latest), [Warning]);
        assert_eq!(of(StartPolicy::Fail), [Error]);
        assert_eq!(judged(place(0, None, 0, 0), None, Some(StartPolicy::Fail)), [Fine], "there is nothing to read");
    }
}
