//! The topics that remember what became of dead letters, where they were made: with the first re-drive or discard.

use super::facts::{Facts, TopicFact};
use super::finding::Findings;
use crate::api::Finding;
use crate::config::Period;
use crate::dead_letters::letters_of_marks;
use crate::record::Topic;

pub(super) fn judge(facts: &Facts, into: &mut Vec<Finding>) {
    if !facts.is_reached() {
        return;
    }
    let mut found = Findings::of("dead letters", into);
    for (marks, fact) in &facts.topics {
        let Some(letters) = letters_of_marks(marks) else { continue };
        if facts.groups.iter().any(|group| group.letters.contains_key(&letters)) {
            kept(&letters, marks, fact, facts.topics.get(&letters), &mut found);
        }
    }
}

fn kept(letters: &Topic, marks: &Topic, fact: &TopicFact, of: Option<&TopicFact>, found: &mut Findings<'_>) {
    let at = format!("topic {marks}");
    let mut is_well = true;
    let policy = fact.settings.as_ref().and_then(|settings| settings.get("cleanup.policy"));
    let retention = of.and_then(TopicFact::retention);
    if policy.is_some_and(|policy| !policy.contains("compact")) {
        is_well = false;
        let what = format!(
            "it is not compacted: once a mark is removed by age, a letter of {letters} counts as one that nobody has dealt with, and is re-driven again"
        );
        found.error(&at, what, "set `cleanup.policy=compact` on it");
    } else if let Some(kept) = fact.retention().filter(|kept| retention.is_none_or(|letters| *kept < letters)) {
        is_well = false;
        let what = format!(
            "marks are removed after {}, before the letters of {letters} are: those count as open again, and are re-driven again",
            Period(kept)
        );
        found.warning(&at, what, "set `cleanup.policy=compact`, or a longer `retention.ms` than that of the letters");
    }
    if let Some(rights) = fact.rights.filter(|rights| !(rights.read && rights.write)) {
        is_well = false;
        let missing = if rights.read { "WRITE" } else { "READ and WRITE" };
        let what = "this user may not read and write it: letters can be listed without their marks alone, or neither re-driven nor discarded";
        found.warning(&at, what, format!("grant it {missing} on the topic, unless others deal with its letters"));
    }
    if is_well {
        found.ok(&at, format!("it remembers what became of the letters of {letters}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::GroupFact;
    use super::super::tests::{facts, said, state, topic};
    use super::*;
    use crate::api::Severity::{self, Error, Ok as Fine, Warning};
    use crate::kafka::Rights;

    fn judged(settings: &[(&str, &str)], rights: Option<Rights>) -> Vec<Severity> {
        let one = || vec![state(0, true, 3, 3)];
        let letters = topic(one(), &[("cleanup.policy", "delete"), ("retention.ms", "7000")]);
        let marks = TopicFact { rights, ..topic(one(), settings) };
        let group = GroupFact {
            group: "shop".to_owned(),
            letters: [("orders.dlq".into(), [Topic::from("orders")].into())].into(),
            ..GroupFact::default()
        };
        let strange = topic(one(), &[("cleanup.policy", "delete")]);
        let topics = [("orders.dlq", letters), ("orders.dlq.marks", marks), ("other.marks", strange)];
        said(judge, &facts(topics, group)).into_iter().map(|(severity, _)| severity).collect()
    }

    #[test]
    fn marks_that_last_as_long_as_their_letters_are_well() {
        assert_eq!(judged(&[("cleanup.policy", "compact")], None), [Fine]);
        assert_eq!(judged(&[("cleanup.policy", "compact,delete"), ("retention.ms", "7000")], None), [Fine]);
        assert_eq!(judged(&[], None), [Fine], "what isn't known is not held against it");
    }

    #[test]
    fn marks_that_go_before_their_letters_are_told() {
        assert_eq!(judged(&[("cleanup.policy", "delete"), ("retention.ms", "-1")], None), [Error]);
        assert_eq!(judged(&[("cleanup.policy", "compact,delete"), ("retention.ms", "6999")], None), [Warning]);
    }

    #[test]
    fn marks_that_can_not_be_used_are_a_warning() {
        let compact = [("cleanup.policy", "compact")];
        assert_eq!(judged(&compact, Some(Rights { read: true, write: true })), [Fine]);
        assert_eq!(judged(&compact, Some(Rights { read: false, write: true })), [Warning]);
        assert_eq!(judged(&compact, Some(Rights { read: true, write: false })), [Warning]);
    }
}
