//! Topics of dead letters: whether they are there, take what comes, and keep it until somebody looks.

use std::time::Duration;

use super::facts::{Facts, GroupFact, TopicFact};
use super::finding::Findings;
use crate::api::Finding;
use crate::config::Period;
use crate::record::Topic;

/// A letter should outlast a week in which nobody looks.
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

pub(super) fn judge(facts: &Facts, into: &mut Vec<Finding>) {
    if !facts.is_reached() {
        return;
    }
    let mut found = Findings::of("dead letters", into);
    for group in &facts.groups {
        for (letters, sources) in &group.letters {
            let at = format!("topic {letters} of group {}", group.group);
            match facts.topics.get(letters) {
                None => found.error(
                    at,
                    "letters are to go there, and there is no such topic, or this user may not see it",
                    "create it, name another one with `dead_letter`, or set `missing_dead_letter_topic: create`",
                ),
                Some(fact) => {
                    let sources: Vec<(&Topic, &TopicFact)> =
                        sources.iter().filter_map(|source| facts.topics.get_key_value(source)).collect();
                    kept(&at, fact, &sources, &mut found);
                }
            }
        }
        if group.letters.is_empty() && is_guesswork(group) {
            found.unknown(
                format!("group {}", group.group),
                "which topics its letters go to is known by its program alone",
                "run `doctor --config FILE` of that program",
            );
        }
    }
}

/// Whether what the group reads was not told by its program.
fn is_guesswork(group: &GroupFact) -> bool {
    group.consumers.iter().all(|(_, consumer)| consumer.topics.is_none())
}

fn kept(at: &str, fact: &TopicFact, sources: &[(&Topic, &TopicFact)], found: &mut Findings<'_>) {
    let mut is_well = true;
    let mut warn = |what: String, to_do: &str| {
        is_well = false;
        found.warning(at, what, to_do);
    };
    let largest = sources.iter().map(|(_, source)| source.partitions.len()).max().unwrap_or(0);
    if fact.partitions.len() < largest {
        let what = format!("it has {} partition(s), of {largest} whose letters go there", fact.partitions.len());
        warn(what, "give it as many: letters of many partitions are written and read in few");
    }
    let policy = fact.settings.as_ref().and_then(|settings| settings.get("cleanup.policy"));
    if policy.is_some_and(|policy| policy.contains("compact")) {
        warn(
            "it is compacted: of the letters of a key only the last one is kept".to_owned(),
            "set `cleanup.policy` to `delete`",
        );
    }
    if let Some(kept) = fact.retention().filter(|kept| *kept < WEEK) {
        let what = format!("letters are removed after {}", Period(kept));
        warn(what, "set `retention.ms` to 7 d or more: a letter should last until somebody has looked");
    }
    let record = sources.iter().filter_map(|(_, source)| source.number("max.message.bytes")).max();
    // Equal limits are what everybody has by default.
    if let (Some(room), Some(record)) = (fact.number("max.message.bytes"), record)
        && room < record
    {
        let what = format!(
            "`max.message.bytes` is {room}, and a record may have {record}: the letter of a large one is refused, and its partition waits"
        );
        warn(what, "set it to that of the topics that are read, and some KiB more for the letters' headers");
    }
    if is_well {
        found.ok(at, "it is there, and keeps what it gets");
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{facts, said, state, topic};
    use super::*;
    use crate::api::Severity::{self, Error, Ok as Fine, Unknown, Warning};

    fn group() -> GroupFact {
        let letters = [(Topic::from("orders.dlq"), [Topic::from("orders")].into())].into();
        GroupFact { group: "shop".to_owned(), letters, ..GroupFact::default() }
    }

    fn judged(partitions: i32, settings: &[(&str, &str)]) -> Vec<Severity> {
        let states = |count| (0..count).map(|number| state(number, true, 3, 3)).collect();
        let source = topic(states(4), &[("max.message.bytes", "1000000")]);
        let found =
            said(judge, &facts([("orders", source), ("orders.dlq", topic(states(partitions), settings))], group()));
        found.into_iter().map(|(severity, _)| severity).collect()
    }

    #[test]
    fn letters_that_are_kept_for_a_week_are_well() {
        let week = WEEK.as_millis().to_string();
        assert_eq!(judged(4, &[("cleanup.policy", "delete"), ("retention.ms", &week)]), [Fine]);
        assert_eq!(judged(4, &[("cleanup.policy", "delete"), ("retention.ms", "-1")]), [Fine]);
        assert_eq!(judged(4, &[]), [Fine], "what isn't known is not held against it");
    }

    #[test]
    fn letters_that_go_too_soon_or_do_not_fit_are_warnings() {
        assert_eq!(judged(3, &[]), [Warning]);
        assert_eq!(judged(4, &[("cleanup.policy", "compact")]), [Warning]);
        assert_eq!(judged(4, &[("cleanup.policy", "delete"), ("retention.ms", "3600000")]), [Warning]);
        assert_eq!(judged(4, &[("max.message.bytes", "999999")]), [Warning]);
        assert_eq!(judged(4, &[("max.message.bytes", "1000000")]), [Fine]);
    }

    #[test]
    fn a_topic_for_letters_that_is_not_there_is_an_error() {
        assert_eq!(said(judge, &facts([], group())), [(Error, "topic orders.dlq of group shop".to_owned())]);
    }

    #[test]
    fn without_the_program_nobody_knows_where_letters_go() {
        let group = GroupFact { letters: [].into(), ..group() };
        assert_eq!(said(judge, &facts([], group)), [(Unknown, "group shop".to_owned())]);
    }
}
