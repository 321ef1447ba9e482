//! The topics by which the processes of a program know one another, where they do.

use std::time::Duration;

use super::facts::{Facts, TopicFact};
use super::finding::Findings;
use crate::api::Finding;
use crate::config::Period;
use crate::record::Topic;

/// What an override may last at most.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(super) fn judge(facts: &Facts, into: &mut Vec<Finding>) {
    let Some(fleet) = facts.fleet.as_ref().filter(|_| facts.is_reached()) else { return };
    let mut found = Findings::of("fleet", into);
    for (topic, use_of_it) in [(&fleet.reports, Use::Reports), (&fleet.control, Use::Orders)] {
        let at = format!("topic {topic}");
        match facts.topics.get(topic) {
            None => found.warning(
                at,
                format!("{} go there, and there is no such topic, or this user may not see it", use_of_it.name()),
                "start a process whose user has CREATE on it, or create it with one partition and `cleanup.policy=compact`, and grant this user READ and WRITE on it",
            ),
            Some(fact) => kept(&at, topic, fact, use_of_it, &mut found),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Reports,
    Orders,
}

impl Use {
    fn name(self) -> &'static str {
        match self {
            Self::Reports => "what processes tell of themselves is to",
            Self::Orders => "what operators order is to",
        }
    }
}

fn kept(at: &str, topic: &Topic, fact: &TopicFact, use_of_it: Use, found: &mut Findings<'_>) {
    let mut is_well = true;
    if fact.partitions.len() > 1 && use_of_it == Use::Orders {
        is_well = false;
        let what = format!(
            "it has {} partitions, and only the first one is read: an order in another one reaches nobody",
            fact.partitions.len()
        );
        found.error(
            at,
            what,
            "delete it, and let it be made anew with one partition; what was ordered has to be ordered again",
        );
    }
    let policy = fact.settings.as_ref().and_then(|settings| settings.get("cleanup.policy"));
    if policy.is_some_and(|policy| !policy.contains("compact")) {
        is_well = false;
        let to_do = format!("set `cleanup.policy=compact` on `{topic}`");
        match use_of_it {
            Use::Orders => found.error(
                at,
                "it is not compacted: what operators have changed is forgotten with its record, by age",
                to_do,
            ),
            Use::Reports => {
                found.warning(at, "it is not compacted: it grows by a report of each process every five seconds", to_do)
            }
        }
    } else if let Some(kept) = fact.retention().filter(|kept| use_of_it == Use::Orders && *kept < LONGEST) {
        is_well = false;
        let what = format!("orders are removed after {}, and may last 30d", Period(kept));
        found.warning(at, what, "set `cleanup.policy=compact`, or `retention.ms` to 30 d or more");
    }
    let missing = fact.rights.map(|rights| [("READ", rights.read), ("WRITE", rights.write)]);
    let missing = missing.map(|rights| rights.into_iter().filter(|(_, is_there)| !is_there).map(|(name, _)| name));
    let missing = missing.map(|names| names.collect::<Vec<_>>().join(" and "));
    match missing {
        None => found.unknown(
            at,
            "the brokers don't tell what this user may do with it",
            "try it: `ps --fleet` says what is in the way",
        ),
        Some(missing) if !missing.is_empty() => found.error(
            at,
            format!("this user lacks {missing}: its processes are silent, or obey no orders"),
            format!("grant it {missing} on the topic"),
        ),
        Some(_) if is_well => found.ok(at, "it is kept as it should be, and may be read and written"),
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::{FleetFact, GroupFact};
    use super::super::tests::{facts, said, state, topic};
    use super::*;
    use crate::api::Severity::{self, Error, Ok as Fine, Unknown, Warning};
    use crate::kafka::Rights;

    const BOTH: Option<Rights> = Some(Rights { read: true, write: true });

    /// What is said of the two topics, where they are so.
    fn judged(partitions: i32, policy: &[(&str, &str)], rights: Option<Rights>) -> Vec<Severity> {
        let fact = || {
            let fact = topic((0..partitions).map(|number| state(number, true, 3, 3)).collect(), policy);
            TopicFact { rights, ..fact }
        };
        let facts = facts([("reports", fact()), ("control", fact())], GroupFact::default());
        let found = said(judge, &of_a_fleet(facts));
        assert!(found.iter().all(|(_, at)| at == "topic reports" || at == "topic control"), "{found:?}");
        found.into_iter().map(|(severity, _)| severity).collect()
    }

    fn of_a_fleet(facts: Facts) -> Facts {
        Facts { fleet: Some(FleetFact { reports: "reports".into(), control: "control".into() }), ..facts }
    }

    #[test]
    fn without_a_fleet_nothing_is_looked_at() {
        assert_eq!(said(judge, &facts([], GroupFact::default())), []);
    }

    #[test]
    fn topics_as_they_are_made_are_well() {
        assert_eq!(judged(1, &[("cleanup.policy", "compact")], BOTH), [Fine, Fine]);
        let month = LONGEST.as_millis().to_string();
        assert_eq!(judged(1, &[("cleanup.policy", "compact,delete"), ("retention.ms", &month)], BOTH), [Fine, Fine]);
    }

    #[test]
    fn topics_that_are_not_there_are_told() {
        let found = said(judge, &of_a_fleet(facts([], GroupFact::default())));
        assert_eq!(found, [(Warning, "topic reports".to_owned()), (Warning, "topic control".to_owned())]);
    }

    #[test]
    fn orders_that_would_be_forgotten_are_an_error() {
        assert_eq!(judged(1, &[("cleanup.policy", "delete"), ("retention.ms", "-1")], BOTH), [Warning, Error]);
        assert_eq!(
            judged(1, &[("cleanup.policy", "compact,delete"), ("retention.ms", "60000")], BOTH),
            [Fine, Warning]
        );
        assert_eq!(judged(3, &[("cleanup.policy", "compact")], BOTH), [Fine, Error]);
    }

    #[test]
    fn each_right_that_is_missing_is_an_error_and_one_that_is_not_told_is_open() {
        let compact = [("cleanup.policy", "compact")];
        assert_eq!(judged(1, &compact, Some(Rights { read: true, write: false })), [Error, Error]);
        assert_eq!(judged(1, &compact, Some(Rights { read: false, write: true })), [Error, Error]);
        assert_eq!(judged(1, &compact, None), [Unknown, Unknown]);
    }
}
