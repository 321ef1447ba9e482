//! What is overridden from the start.

use std::num::NonZeroUsize;

use super::{REST, check_daemon};
use crate::pipeline::control::{Control, Rate};
use crate::record::TopicPartition;

#[test]
fn overrides_must_mean_something() {
    let overrides = |keys: &str, expected: &str| check_daemon(&format!("overrides: {{{keys}}}"), expected);
    let all = "paused: [{topic: orders.created}, {topic: orders.created, partition: 3}, {topic: orders.created, key: a}], rate: 100/s, \
               key_rate: 5/min, workers: 3, skipped: [{topic: orders.created, partition: 3, offset: 42}]";
    overrides(all, "ok");
    let loaded = super::loaded(&REST.replace("orders: {}", &format!("orders: {{overrides: {{{all}}}}}")), &[], &[])
        .expect("it is right");
    let control = Control::of(loaded.config.consumers["orders"].steered.clone());
    let place = TopicPartition::new("orders.created", 3);
    assert_eq!((control.paused().len(), control.is_paused(&place)), (3, true));
    assert_eq!(control.rate().map(|rate| (rate.attempts(), rate.interval().as_secs())), Some((100, 1)));
    assert_eq!((control.key_rate().map(Rate::attempts), control.workers().map(NonZeroUsize::get)), (Some(5), Some(3)));
    overrides("paused: [{}]", "ok");
    let at = |column: u32, key: &str| format!("shop.yaml:3:{column}: daemons.orders.overrides.{key}");
    overrides(
        "paused: [{}, {partition: 3}]",
        &format!(
            "{}: a partition needs its `topic`, in its entry 2, allowed: a `topic`, with a `partition` or a `key`",
            at(17, "paused")
        ),
    );
    overrides(
        "rate: 100",
        &format!("{}: is `100`, allowed: how many within a time, as in `100/s` or `20/1min`", at(23, "rate")),
    );
    overrides("workers: 11", &format!("{}: is `11`, allowed: at most `workers`, 10", at(26, "workers")));
    overrides(
        "skipped: [{topic: orders.created, partition: 0, offset: -1}]",
        &format!("{}: has partition 0 and offset -1 in its entry 1, allowed: 0 or more", at(17, "skipped")),
    );
    overrides(
        "paused: [{topik: orders.created}]",
        &format!("{}: unknown key, did you mean `topic`? allowed: key, partition, topic", at(27, "paused.0.topik")),
    );
}
