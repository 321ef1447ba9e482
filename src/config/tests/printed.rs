//! What `config print` shows.

use super::{REST, check, loaded, with_program};

fn printed(text: &str) -> String {
    let loaded =
        loaded(text, &[("DB", "postgres://shop:hush@db/shop")], &[]).unwrap_or_else(|faults| panic!("{faults}"));
    with_program(|program| loaded.print(program))
}

#[test]
fn everything_in_force_is_shown_with_its_defaults() {
    let text = "\
kafka:
  main:
    brokers: localhost:9092
    group: shop
    security: sasl_plaintext
    sasl: {mechanism: PLAIN, username: me, password: hush}
    properties: {client.rack: a, broker.version.fallback: 0.10.0.0}
daemons:
  orders:
    topics:
      orders.created: {timeout: 90s, circuit_breaker: {enabled: false}}
      orders.cancelled: {timeout: none}
  ticker:
app:
  currency: USD
  api_key: hush
  hosts: [1, 2]
  prices: {}
";
    let expected = "\
admin:
  address: 127.0.0.1:9465
  enabled: true
api:
  address: 127.0.0.1:9466
  enabled: false
  hosts: []
  masked_fields: []
  tokens: {}
  trusted_proxies: []
app:
  api_key: \"***\"
  currency: USD
  hosts:
    - 1
    - 2
  prices: {}
daemons:
  orders:
    commit_after: 1000
    commit_interval: 1s
    crash_quarantine:
      enabled: true
      limit: 3
    enabled: true
    high_mark: 0.8
    low_mark: 0.5
    missing_dead_letter_topic: refuse
    parked_bytes: 64MiB
    parked_records: 10000
    queue_bytes: 64MiB
    queue_records: 100
    read_error_wait: 1s
    read_timeout: 5s
    rebalance_drain: 10s
    stall_after: 5min
    topics:
      orders.cancelled:
        circuit_breaker:
          attempts: 50
          cap: 1min
          enabled: true
          failed: 0.9
          keys: 20
          open: 5s
          patience: 1h
        dead_letter: orders.cancelled.dlq
        order: partition
        retries:
          base: 1s
          cap: 30s
          jitter: 0.2
          max: 3
        timeout: none
      orders.created:
        circuit_breaker:
          enabled: false
        dead_letter: orders.failed
        order: key
        retries:
          base: 1s
          cap: 30s
          jitter: 0.2
          max: 5
        timeout: 1min30s
    workers: 10
  ticker:
    enabled: true
fleet:
  control: daemonry.control
  enabled: false
  reports: daemonry.reports
kafka:
  main:
    brokers: localhost:9092
    expected_partitions: 8
    group: shop
    instance_wait: 2min
    metadata_limit: 4KiB
    out_of_range: stop
    properties:
      broker.version.fallback: 0.10.0.0
      client.rack: a
    protocol: cooperative
    recreated: stop
    sasl:
      mechanism: PLAIN
      password: \"***\"
      username: me
    security: sasl_plaintext
    start: earliest
    tls: {}
    topic_refresh: 30s
    truncated: stop
log:
  filter: info
  format: human
restart:
  base: 1s
  cap: 30s
  max: 5
  window: 10min
stop:
  drain: 30s
  grace: 12s
";
    let shown = printed(text);
    assert!(shown == expected, "shown:\n{shown}");
}

#[test]
fn scaling_is_shown_where_there_is_any() {
    let orders = "orders: {workers: 40, scaling: {mode: queue, min: 4}}";
    let shown = printed(&REST.replace("orders: {}", orders));
    let expected = "
    scaling:
      cool_down: 2s
      grow_above: 0.8
      grow_by: 1.0
      min: 4
      mode: queue
      shrink_after: 30s
      shrink_below: 0.2
      shrink_by: 0.5
      tolerance: 1.5
";
    assert!(shown.contains(expected), "{shown}");
    check(&shown, "ok");
    assert_eq!(printed(&shown), shown);
}

#[test]
fn what_is_printed_is_a_configuration_again() {
    let texts = [
        "",
        "log: {filter: \"a=info,${X:-info}\"}",
        "app: {currency: \"${DB}\", prices: {\"a b\": 1, \"c: d\": 2}}",
        "app: {currency: \"$${a}$$$ \\\"x\\\" # y\"}",
        "app: {currency: \"\"}",
    ];
    for text in texts {
        let once = printed(&format!("{text}{REST}"));
        check(&once, "ok");
        assert_eq!(printed(&once), once);
    }
}

#[test]
fn passwords_in_addresses_are_not_shown() {
    let shown = printed(&format!("app: {{currency: \"${{DB}}\"}}{REST}"));
    assert!(shown.contains("currency: \"postgres://shop:***@db/shop\""), "{shown}");
}
