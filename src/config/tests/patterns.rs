//! What a configuration says of a program's patterns: they go by their texts.

use std::time::Duration;

use crate::config::{Faults, Loaded, Program, Reads, Sources, Variables, changed, load};
use crate::handler::{Router, on};

const TOPICS: &str = "kafka: {main: {brokers: \"a:1\", group: shop}}\ndaemons:\n  orders:\n    topics:\n";

fn router() -> Router {
    Router::new().topic("orders.audit", on(super::handle)).pattern(r"orders\..+", on(super::handle))
}

fn with_program<R>(router: &Router, act: impl FnOnce(&Program<'_>) -> R) -> R {
    act(&Program { name: "shop", daemons: vec![("orders", Reads::Topics(router))], app: None })
}

fn loaded(router: &Router, text: &str, flags: &[&str]) -> Result<Loaded, Faults> {
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let sources = Sources { file: "shop.yaml", text, variables: &Variables::default(), flags: &flags };
    with_program(router, |program| load(sources, program))
}

#[track_caller]
fn check(router: &Router, topics: &str, expected: &str) {
    let told =
        loaded(router, &format!("{TOPICS}{topics}"), &[]).map_or_else(|faults| faults.to_string(), |_| "ok".to_owned());
    assert!(told == expected, "told:\n{told}\nexpected:\n{expected}\n");
}

#[test]
fn pattern_is_changed_by_its_text() {
    let router = router();
    let text = format!("{TOPICS}      orders\\..+: {{timeout: 30s, dead_letter: failed}}\n");
    let loaded = loaded(&router, &text, &[r"daemons.orders.topics.orders\..+.retries.max=9"]);
    let config = loaded.unwrap_or_else(|faults| panic!("{faults}")).config;
    let mut changed = changed(&router, &config.consumers["orders"].changes);
    let route = changed.settings_mut(r"orders\..+").expect("it is there");
    assert_eq!((route.timeout, route.retry.parts().0), (Duration::from_secs(30), 9));
    assert_eq!(changed.letters_of(&"orders.eu".into()), Some("failed".into()));
    assert_eq!(changed.letters_of(&"orders.audit".into()), Some("orders.audit.dlq".into()));
}

#[test]
fn pattern_that_the_program_does_not_have_is_told() {
    let at = "shop.yaml:5:7: daemons.orders.topics";
    check(
        &router(),
        "      orders\\..*: {}\n",
        &format!(
            "{at}.\"orders\\..*\": is no topic that this daemon reads, did you mean `orders\\..+`? allowed: orders.audit, orders\\..+"
        ),
    );
    // What it matches has no settings of its own.
    check(
        &router(),
        "      orders.eu: {}\n",
        &format!(
            "{at}.\"orders.eu\": is no topic that this daemon reads, did you mean `orders\\..+`? allowed: orders.audit, orders\\..+"
        ),
    );
}

#[test]
fn patterns_are_checked_with_the_routes() {
    check(
        &router(),
        "      orders\\..+: {timeout: 0s, dead_letter: orders.failed}\n",
        "\
shop.yaml:5:29: daemons.orders.topics.\"orders\\..+\".timeout: the handler of pattern `orders\\..+` has a timeout of zero: give it some time
shop.yaml:5:46: daemons.orders.topics.\"orders\\..+\".dead_letter: the dead letters of pattern `orders\\..+` go to `orders.failed`, which this router reads itself: name another topic",
    );
    check(
        &Router::new().pattern("(", on(super::handle)),
        "",
        "shop.yaml:4:5: daemons.orders.topics: pattern `(` is no regular expression, unclosed group: correct it, as in `orders\\..+`",
    );
}

#[test]
fn what_is_printed_of_a_pattern_is_a_configuration_again() {
    let router = router();
    let print = |text: &str| {
        let loaded = loaded(&router, text, &[]).unwrap_or_else(|faults| panic!("{faults}"));
        with_program(&router, |program| loaded.print(program))
    };
    let once = print(&format!("{TOPICS}      orders\\..+: {{timeout: 30s}}\n"));
    assert!(once.contains("      \"orders\\\\..+\":\n        circuit_breaker:\n"), "{once}");
    assert_eq!(print(&once), once);
}
