//! Workers that follow what there is to do, in a configuration.

use std::time::Duration;

use super::{check_daemon, loaded};
use crate::pipeline::Scaling;

#[test]
fn scaling_is_checked_where_it_stands() {
    check_daemon(
        "scaling: {mode: queue, min: 20}",
        "shop.yaml:3:33: daemons.orders.scaling.min: is `20`, allowed: at least 1 and at most `workers`",
    );
    check_daemon(
        "workers: 1\nscaling: {mode: latency}",
        "shop.yaml:3:14: daemons.orders.scaling.min: is `2`, the default, allowed: at least 1 and at most `workers`",
    );
    check_daemon(
        "scaling: {mode: queue, shrink_below: 0.9, tolerance: 1}",
        "\
shop.yaml:3:42: daemons.orders.scaling.grow_above: is `0.8 (shrink_below 0.9)`, the default, allowed: above `shrink_below`, and both above 0 and at most 1
shop.yaml:3:47: daemons.orders.scaling.tolerance: counts only where `mode` is `latency`: set that, or leave this out
shop.yaml:3:58: daemons.orders.scaling.tolerance: is `1`, allowed: above 1 and at most 100",
    );
    check_daemon(
        "scaling: {mode: latency, grow_by: 2, shrink_by: 1, cool_down: 0s, shrink_after: 0s}",
        "\
shop.yaml:3:30: daemons.orders.scaling.grow_by: counts only where `mode` is `queue`: set that, or leave this out
shop.yaml:3:53: daemons.orders.scaling.shrink_by: is `1`, allowed: above 0 and below 1
shop.yaml:3:67: daemons.orders.scaling.cool_down: is `0s`, allowed: above 0
shop.yaml:3:85: daemons.orders.scaling.shrink_after: is `0s`, allowed: above 0",
    );
    check_daemon(
        "scaling: {min: 4}",
        "shop.yaml:3:15: daemons.orders.scaling.min: counts for nothing while `mode` is `fixed`: set that to `queue` or `latency`, or leave this out",
    );
    check_daemon(
        "scaling: {mode: vegas, min: 4}",
        "shop.yaml:3:21: daemons.orders.scaling.mode: is `vegas`, allowed: fixed, queue, latency",
    );
    check_daemon(
        "scaling: queue",
        "shop.yaml:3:14: daemons.orders.scaling: is a single value, allowed: a section with the keys cool_down, grow_above, grow_by, min, mode, shrink_after, shrink_below, shrink_by, tolerance",
    );
    check_daemon("scaling: {mode: queue, min: 10}", "ok");
}

#[test]
fn scaling_is_set_from_anywhere() {
    let scaling = |text: &str, variables: &[(&str, &str)], flags: &[&str]| {
        let text = format!(
            "kafka: {{main: {{brokers: \"a:1\", group: shop}}}}\ndaemons: {{ticker: {{}}, orders: {{{text}}}}}\n"
        );
        let loaded = loaded(&text, variables, flags).unwrap_or_else(|faults| panic!("{faults}"));
        loaded.config.consumers["orders"].pipeline.scaling
    };
    assert_eq!(scaling("", &[], &[]), None);
    assert_eq!(scaling("scaling: {mode: fixed}", &[], &[]), None);
    assert_eq!(scaling("scaling: {mode: queue}", &[], &[]), Some(Scaling::by_queue()));
    let variables = [("DAEMONRY__DAEMONS__ORDERS__SCALING__MODE", "latency")];
    let expected = Scaling { min: 4, cool_down: Duration::from_secs(5), ..Scaling::by_latency() };
    let flags = ["daemons.orders.scaling.cool_down=5s"];
    assert_eq!(scaling("scaling: {mode: queue, min: 4}", &variables, &flags), Some(expected));
}
