//! The brokers' own settings that a daemon's promises rest on.

use super::facts::Facts;
use super::finding::Findings;
use crate::api::Finding;

/// Kafka's own default, 7 d.
const WEEK: i64 = 7 * 24 * 60;

pub(super) fn judge(facts: &Facts, into: &mut Vec<Finding>) {
    if !facts.is_reached() {
        return;
    }
    let mut found = Findings::of("settings", into);
    let Some(settings) = &facts.settings else {
        found.unknown(
            &facts.cluster,
            "this user may not know the brokers' settings",
            "grant it DESCRIBE_CONFIGS on the cluster",
        );
        return;
    };
    let number = |name: &str| settings.get(name)?.parse::<i64>().ok();
    let mut is_well = true;
    if let Some(limit) = number("offset.metadata.max.bytes") {
        for (daemon, consumer) in facts.groups.iter().flat_map(|group| &group.consumers) {
            let ours = consumer.kafka.metadata_limit;
            if i64::try_from(ours).is_ok_and(|ours| ours > limit) {
                is_well = false;
                found.error(
                    format!("daemon {daemon}"),
                    format!("a commit may carry {ours} B of metadata, and the brokers take {limit} B (`offset.metadata.max.bytes`): they refuse it"),
                    format!("set `metadata_limit: {limit}B`, or raise the brokers' setting"),
                );
            }
        }
    }
    if let Some(kept) = number("offsets.retention.minutes").filter(|kept| *kept < WEEK) {
        is_well = false;
        found.warning(
            &facts.cluster,
            format!("commits are forgotten {kept} min after a group was left (`offsets.retention.minutes`)"),
            "set it to 10080 (7 d) or more: a daemon that stands still for longer begins as one that is new",
        );
    }
    if is_well {
        found.ok(&facts.cluster, "commits fit, and are kept for 7 d or longer");
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::GroupFact;
    use super::super::tests::{consumer, facts, said};
    use super::*;
    use crate::api::Severity::{Error, Ok as Fine, Unknown, Warning};
    use crate::kafka::GroupProtocol;

    fn judged(settings: &[(&str, &str)]) -> Vec<(crate::api::Severity, String)> {
        let consumers = vec![("orders".to_owned(), consumer(GroupProtocol::Cooperative))];
        let mut facts = facts([], GroupFact { consumers, ..GroupFact::default() });
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        facts.settings = Some(settings.collect());
        said(judge, &facts)
    }

    #[test]
    fn metadata_must_fit() {
        assert_eq!(judged(&[("offset.metadata.max.bytes", "4096")]), [(Fine, "main".to_owned())]);
        assert_eq!(judged(&[("offset.metadata.max.bytes", "4095")]), [(Error, "daemon orders".to_owned())]);
    }

    #[test]
    fn commits_must_last() {
        assert_eq!(judged(&[("offsets.retention.minutes", "10080")]), [(Fine, "main".to_owned())]);
        assert_eq!(judged(&[("offsets.retention.minutes", "1440")]), [(Warning, "main".to_owned())]);
    }

    #[test]
    fn settings_that_are_not_told_leave_it_open() {
        assert_eq!(said(judge, &facts([], GroupFact::default())), [(Unknown, "main".to_owned())]);
    }
}
