//! What isn't there of what an order is about: so that nothing is paused in three of three processes of which none has it.

use super::Reported;
use crate::api::shown::{Patterns, Scope};

/// What each of these processes lacks of a daemon, or a part of what it reads, as far as they have told. A partition that one of them has may come to any
/// other; one that none has is lacked by all. Which patterns they have told is known from one time to the next.
pub(crate) fn lacking(
    processes: &[&[Reported]],
    daemon: &str,
    about: &Scope,
    patterns: &mut Patterns,
) -> Vec<Option<String>> {
    let mut lacking: Vec<_> = processes.iter().map(|process| of_process(process, daemon, about, patterns)).collect();
    if let (Some(topic), Some(partition)) = (&about.topic, about.partition) {
        let found: Vec<_> = processes.iter().map(|process| has(process, daemon, topic, partition)).collect();
        if found.contains(&Some(false)) && !found.contains(&Some(true)) {
            for (lacks, found) in lacking.iter_mut().zip(found) {
                if found == Some(false) {
                    lacks.get_or_insert_with(|| format!("no process has {topic}[{partition}] now"));
                }
            }
        }
    }
    lacking
}

fn of_process(daemons: &[Reported], daemon: &str, about: &Scope, patterns: &mut Patterns) -> Option<String> {
    let Some(of) = daemons.iter().find(|of| of.daemon.name == daemon) else {
        return Some(format!("it has no daemon `{daemon}`"));
    };
    let topic = about.topic.as_deref()?;
    let reads = of.daemon.consumer.as_ref()?.reads.as_ref()?;
    (!reads.has(topic, patterns)).then(|| format!("its `{daemon}` does not read `{topic}`"))
}

/// Whether it has the partition; `None` where it doesn't tell.
fn has(daemons: &[Reported], daemon: &str, topic: &str, partition: i32) -> Option<bool> {
    let of = daemons.iter().find(|of| of.daemon.name == daemon)?;
    of.daemon.consumer.as_ref()?.now?;
    if of.partitions.iter().any(|one| one.topic == topic && one.partition == partition) {
        return Some(true);
    }
    (of.partitions_left_out == 0).then_some(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A process with a daemon that reads `orders` and more, and has this partition of it.
    fn process(partition: i32) -> Vec<Reported> {
        let told = json!([{
            "daemon": {
                "name": "orders", "state": "running", "state_for": 1, "unready": null, "restarts": 0, "last_error": null,
                "consumer": {
                    "reads": {"topics": ["orders"], "patterns": ["eu-.+"]}, "paused": [],
                    "limits": {"rate": null, "key_rate": null},
                    "counts": {
                        "succeeded": 0, "skipped": 0, "dead_lettered": 0, "failed_attempts": 0, "retries": 0, "overdue": 0,
                    },
                    "now": {
                        "at": 1, "partitions": 1, "held": 0, "stalled": 0, "lag": 0, "behind": 0, "queued": 0,
                        "queue_capacity": 1, "parked": 0, "busy": 0, "workers": 1, "overdue": 0,
                    },
                },
            },
            "rate": 0.0, "partitions_left_out": 0, "attempts": [], "failures": [],
            "partitions": [{
                "topic": "orders", "partition": partition, "lag": 0, "behind": 0, "position": 0, "committed": 0,
                "oldest_unfinished": null, "unfinished": 0, "queued": 0, "parked": 0, "busy": 0, "lanes": 0, "deepest_lane": 0,
                "held": null, "stalled": null, "probation": false, "waits": null, "silent": false, "finished": 0,
                "uncommitted": 0, "finished_ahead": 0,
            }],
        }]);
        serde_json::from_value(told).expect("a report")
    }

    fn scope(topic: Option<&str>, partition: Option<i32>) -> Scope {
        Scope { topic: topic.map(str::to_owned), partition, key: None }
    }

    #[test]
    fn who_lacks_what_is_told_and_what_may_come_is_lacked_by_nobody() {
        let (one, two, none) = (process(0), process(1), Vec::new());
        let lack = |daemon: &str, about: Scope| lacking(&[&one, &two, &none], daemon, &about, &mut Patterns::default());
        let no_daemon = |name: &str| Some(format!("it has no daemon `{name}`"));
        assert_eq!(lack("orders", scope(None, None)), [None, None, no_daemon("orders")]);
        assert_eq!(lack("bills", scope(None, None)), [no_daemon("bills"), no_daemon("bills"), no_daemon("bills")]);
        assert_eq!(lack("orders", scope(Some("eu-orders"), None)), [None, None, no_daemon("orders")]);
        let unread = Some("its `orders` does not read `order`".to_owned());
        assert_eq!(lack("orders", scope(Some("order"), None)), [unread.clone(), unread, no_daemon("orders")]);
        assert_eq!(lack("orders", scope(Some("orders"), Some(1)))[..2], [None, None]);
        let missing = Some("no process has orders[7] now".to_owned());
        assert_eq!(lack("orders", scope(Some("orders"), Some(7)))[..2], [missing.clone(), missing]);
    }
}
