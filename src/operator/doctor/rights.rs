//! Whether this user may do what the daemons do.

use super::facts::Facts;
use super::finding::Findings;
use crate::api::Finding;
use crate::record::Topic;

pub(super) fn judge(facts: &Facts, into: &mut Vec<Finding>) {
    if !facts.is_reached() {
        return;
    }
    let mut found = Findings::of("rights", into);
    for group in &facts.groups {
        let at = format!("group {}", group.group);
        let mut is_well = true;
        let mut is_told = true;
        match &group.standing {
            Some(Err(error)) => {
                is_well = false;
                found.error(&at, error, "let this user ask about the group, or the daemon won't be let in either");
            }
            Some(Ok(standing)) if standing.state.may_read == Some(false) => {
                is_well = false;
                found.error(
                    &at,
                    "this user may neither join the group nor commit for it",
                    "grant it READ on the group",
                );
            }
            // Of a group that nobody is in nothing is told.
            _ => {}
        }
        let on = |topic: &Topic| format!("topic {topic} of group {}", group.group);
        for topic in &group.reads {
            match facts.topics.get(topic).map(|fact| fact.rights) {
                Some(Some(rights)) if !rights.read => {
                    is_well = false;
                    found.error(on(topic), "this user may not read it", "grant it READ on the topic");
                }
                Some(None) => is_told = false,
                _ => {}
            }
        }
        for topic in group.letters.keys() {
            match facts.topics.get(topic).map(|fact| fact.rights) {
                Some(Some(rights)) if !rights.write => {
                    is_well = false;
                    let what = "this user may not write letters to it: a record that fails holds its partition up";
                    found.error(on(topic), what, "grant it WRITE on the topic");
                }
                Some(None) => is_told = false,
                _ => {}
            }
        }
        match (is_well, is_told) {
            (true, true) => found.ok(&at, "no right that it needs is missing, as far as the brokers tell"),
            (_, false) => found.unknown(
                &at,
                "the brokers don't tell what this user may do with its topics",
                "try it: start the daemon",
            ),
            (false, true) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::GroupFact;
    use super::super::tests::{facts, said, standing, state, topic};
    use super::*;
    use crate::api::Severity::{Error, Ok as Fine, Unknown};
    use crate::kafka::Rights;

    fn group() -> GroupFact {
        GroupFact {
            group: "shop".to_owned(),
            reads: [Topic::from("orders")].into(),
            letters: [(Topic::from("orders.dlq"), [Topic::from("orders")].into())].into(),
            ..GroupFact::default()
        }
    }

    fn judged(
        group: GroupFact,
        of_orders: Option<Rights>,
        of_letters: Option<Rights>,
    ) -> Vec<(crate::api::Severity, String)> {
        let [orders, letters] = [of_orders, of_letters].map(|rights| {
            let mut fact = topic(vec![state(0, true, 3, 3)], &[]);
            fact.rights = rights;
            fact
        });
        said(judge, &facts([("orders", orders), ("orders.dlq", letters)], group))
    }

    const READ: Option<Rights> = Some(Rights { read: true, write: false });
    const WRITE: Option<Rights> = Some(Rights { read: false, write: true });

    #[test]
    fn rights_that_are_there_are_well() {
        assert_eq!(judged(group(), READ, WRITE), [(Fine, "group shop".to_owned())]);
    }

    #[test]
    fn each_right_that_is_missing_is_an_error() {
        let found = judged(group(), WRITE, READ);
        assert_eq!(
            found,
            [(Error, "topic orders of group shop".to_owned()), (Error, "topic orders.dlq of group shop".to_owned())]
        );
        let mut standing = standing(Vec::new());
        standing.state.may_read = Some(false);
        let group = GroupFact { standing: Some(Ok(standing)), ..group() };
        assert_eq!(judged(group, READ, WRITE), [(Error, "group shop".to_owned())]);
    }

    #[test]
    fn a_group_that_may_not_be_asked_about_is_an_error() {
        let group = GroupFact { standing: Some(Err("grant this user DESCRIBE".to_owned())), ..group() };
        assert_eq!(judged(group, READ, WRITE), [(Error, "group shop".to_owned())]);
    }

    #[test]
    fn brokers_that_tell_no_rights_leave_it_open() {
        assert_eq!(judged(group(), None, WRITE), [(Unknown, "group shop".to_owned())]);
    }
}
