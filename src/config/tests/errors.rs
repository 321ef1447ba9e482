//! What is told of a file.

use super::{REST, check, check_daemon, check_top};

#[test]
fn what_can_work_is_no_error() {
    check_top("", "ok");
    check_top("log:\nstop: {}", "ok");
    check_top("app: {currency: USD, prices: {tea: 3}}", "ok");
}

#[test]
fn everything_is_told_at_once() {
    check(
        "\
amdin:
  address: 0.0.0.0:9465
log:
  format: xml
stop:
  drain: 30
kafka:
  main:
    brokers: localhost:9092
    protocol: classic
daemons:
  orders:
    group: shop
    workers: many
    wrokers: 3
    queue_bytes: 64
    topics:
      orders.create: {}
      orders.created: {timeout: soon, retries: {max: -1}}
  tikcer: {}
",
        "\
shop.yaml:1:1: amdin: unknown key, did you mean `admin`? allowed: admin, api, daemons, fleet, kafka, log, restart, stop
shop.yaml:4:11: log.format: is `xml`, allowed: human, json
shop.yaml:6:10: stop.drain: is `30`, allowed: a duration with its unit, as in `30s`, `500ms`, `10min` or `1h30min`
shop.yaml:10:15: kafka.main.protocol: is `classic`, allowed: cooperative, eager, consumer
shop.yaml:11:1: daemons.ticker: is missing, though the program has this daemon: set it, as in `ticker: {}`, or `ticker: {enabled: false}` to leave it out
shop.yaml:14:14: daemons.orders.workers: is `many`, allowed: a whole number, 0 or more
shop.yaml:15:5: daemons.orders.wrokers: unknown key, did you mean `workers`? allowed: cluster, commit_after, commit_interval, crash_quarantine, enabled, group, handler_threads, high_mark, low_mark, missing_dead_letter_topic, overrides, parked_bytes, parked_records, queue_bytes, queue_records, read_error_wait, read_timeout, rebalance_drain, scaling, stall_after, topics, workers
shop.yaml:16:18: daemons.orders.queue_bytes: is `64`, allowed: a size with its unit, as in `64MiB`, `512KiB`, `4096B` or `1GB`
shop.yaml:18:7: daemons.orders.topics.\"orders.create\": is no topic that this daemon reads, did you mean `orders.created`? allowed: orders.cancelled, orders.created
shop.yaml:19:33: daemons.orders.topics.\"orders.created\".timeout: is `soon`, allowed: `none`, or a duration with its unit, as in `30s`, `500ms`, `10min` or `1h30min`
shop.yaml:19:54: daemons.orders.topics.\"orders.created\".retries.max: is `-1`, allowed: a whole number from 0 to 4294967295
shop.yaml:20:3: daemons.tikcer: unknown daemon, did you mean `ticker`? allowed: orders, ticker",
    );
}

#[test]
fn yaml_that_can_not_be_read_is_told_without_its_text() {
    let broken = "can't be read as YAML from here on:";
    check("a: [1", &format!("shop.yaml:2:1: {broken} while parsing a flow sequence, expected ',' or ']'"));
    check("a: @b", &format!("shop.yaml:1:4: {broken} unexpected character"));
    check("a: *b", &format!("shop.yaml:1:4: {broken} while parsing node, found unknown anchor"));
    check(
        "log:\n\tformat: json",
        &format!("shop.yaml:2:2: {broken} tabs disallowed within this context (block indentation)"),
    );
    check("just text", "shop.yaml:1:1: is no section, allowed: keys with values, as in `log: {format: json}`");
    check("log: {}\n---\nlog: {}", "shop.yaml:3:1: is a second document, allowed: one");
    check("log: !secret {}", "shop.yaml:1:6: has a tag, allowed: none but `!!str`");
    check("? [a]\n: b", "shop.yaml:1:3: is no key, allowed: a name");
    let deep = "a: {".repeat(70);
    check(&deep, "shop.yaml:1:260: is too large or too deep for a configuration");
    let laughs: String =
        (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","))).collect();
    check(&format!("a0: &a0 [x]\n{laughs}"), "shop.yaml:6:38: is too large or too deep for a configuration");
}

#[test]
fn key_that_stands_twice_is_told() {
    check_top(
        "log: {format: json}\nlog: {format: human}",
        "shop.yaml:2:1: log: stands here a second time, allowed: once",
    );
}

#[test]
fn sections_can_be_shared_by_anchors() {
    check("daemons:\n  ticker: {}\n  orders: &usual\n    workers: 3\nkafka:\n  main: &main\n    brokers: a:1\n    group: shop\n  other:\n    <<: *main\n    brokers: b:1\n    wrong: 1\n",
        "\
shop.yaml:3:3: daemons.orders.cluster: is missing, and no cluster is named `default`, allowed: main, other
shop.yaml:12:5: kafka.other.wrong: unknown key, allowed: brokers, expected_partitions, group, instance_id, instance_wait, max_poll_interval, metadata_limit, out_of_range, properties, protocol, recreated, sasl, security, session_timeout, start, tls, topic_refresh, truncated");
}

#[test]
fn a_loss_has_no_policy_that_nobody_knows() {
    let text = "kafka: {main: {brokers: \"a:1\", group: shop, truncated: end, recreated: start}}\ndaemons: {orders: {}, ticker: {}}\n";
    check(
        text,
        "\
shop.yaml:1:56: kafka.main.truncated: is `end`, allowed: stop, earliest, latest
shop.yaml:1:72: kafka.main.recreated: is `start`, allowed: stop, earliest, latest",
    );
}

#[test]
fn types_are_told_apart() {
    check_top("log: json", "shop.yaml:1:6: log: is a single value, allowed: a section with the keys filter, format");
    check_top("log: [json]", "shop.yaml:1:1: log: is a list, allowed: a section with the keys filter, format");
    check_top("log: {format: {a: b}}", "shop.yaml:1:7: log.format: is a section, allowed: human, json");
    check_top("log: {format:}", "shop.yaml:1:7: log.format: is nothing, allowed: human, json");
    check_top("log: {filter: 5}", "shop.yaml:1:15: log.filter: is `5`, allowed: text, so put it in quotes");
    check_top(
        "log: {filter: \"info,a=b=c=d\"}",
        "shop.yaml:1:15: log.filter: is `\"info,a=b=c=d\"`, allowed: a log filter, as in `info,daemonry=debug`",
    );
    check_top("admin: {enabled: yes}", "shop.yaml:1:18: admin.enabled: is `yes`, allowed: true, false");
    check_top(
        "admin: {address: here}",
        "shop.yaml:1:18: admin.address: is `here`, allowed: an address of this machine with its port, as in `127.0.0.1:9465` or `0.0.0.0:9465`",
    );
    check_top(
        "stop: {grace: 1.5s}",
        "shop.yaml:1:15: stop.grace: is `1.5s`, allowed: a duration with its unit, as in `30s`, `500ms`, `10min` or `1h30min`",
    );
    check_daemon(
        "workers: \"3\"",
        "shop.yaml:3:14: daemons.orders.workers: is `\"3\"`, allowed: a whole number, 0 or more",
    );
    check_daemon("high_mark: most", "shop.yaml:3:16: daemons.orders.high_mark: is `most`, allowed: a number");
    check_daemon(
        "missing_dead_letter_topic: ignore",
        "shop.yaml:3:32: daemons.orders.missing_dead_letter_topic: is `ignore`, allowed: refuse, create",
    );
    check(
        "daemons: 5\nkafka: none",
        "\
shop.yaml:1:10: daemons: is a single value, allowed: a section with names of yours as keys
shop.yaml:2:8: kafka: is a single value, allowed: a section with names of yours as keys",
    );
}

#[test]
fn settings_of_the_pipeline_are_checked_where_they_stand() {
    check_daemon(
        "workers: 60",
        "shop.yaml:3:14: daemons.orders.queue_records: is `100`, the default, allowed: at least twice `workers`",
    );
    check_daemon(
        "workers: 60\nqueue_records: 100",
        "shop.yaml:4:20: daemons.orders.queue_records: is `100`, allowed: at least twice `workers`",
    );
    check_daemon("workers: 0", "shop.yaml:3:14: daemons.orders.workers: is `0`, allowed: between 1 and 100,000");
    check_daemon(
        "high_mark: 0.4",
        "shop.yaml:3:16: daemons.orders.high_mark: is `0.4`, allowed: above the low mark, and both above 0 and at most 1",
    );
    check_daemon(
        "commit_interval: 0s\nparked_bytes: 0B",
        "\
shop.yaml:3:22: daemons.orders.commit_interval: is `0s`, allowed: above 0
shop.yaml:4:19: daemons.orders.parked_bytes: is `0B`, allowed: above 0",
    );
    check_daemon("handler_threads: 0", "shop.yaml:3:22: daemons.orders.handler_threads: is `0`, allowed: 1 or more");
    // What is missing only because it was wrong is not told.
    check_daemon(
        "workers: 60\nqueue_records: lots",
        "shop.yaml:4:20: daemons.orders.queue_records: is `lots`, allowed: a whole number, 0 or more",
    );
}

#[test]
fn restarts_that_never_come_to_an_end_are_refused() {
    let problem = "restart.window: is `30s`, in which 5 restarts never come for the delays between them: widen it, or allow fewer";
    check_top("restart: {window: 30s}", &format!("shop.yaml:1:19: {problem}"));
    // Where the window is the default, what was said of the others is meant.
    check_top(
        "restart: {base: 10min, cap: 20min}",
        "shop.yaml:1:17: restart.window: is `10min`, in which 5 restarts never come for the delays between them: widen it, or allow fewer",
    );
    check_top(
        "restart: {window: soon, max: 9}",
        "shop.yaml:1:19: restart.window: is `soon`, allowed: a duration with its unit, as in `30s`, `500ms`, `10min` or `1h30min`",
    );
    check_top("restart: {window: 30s, max: 2}", "ok");
    check_top("restart: {max: 0}", "ok");
}

#[test]
fn topics_are_checked_with_the_routes() {
    let topics =
        |keys: &str, expected: &str| check_daemon(&format!("topics: {{orders.created: {{{keys}}}}}"), expected);
    topics(
        "dead_letter: orders.cancelled",
        "shop.yaml:3:44: daemons.orders.topics.\"orders.created\".dead_letter: the dead letters of topic `orders.created` go to `orders.cancelled`, which this router reads itself: name another topic",
    );
    topics(
        "timeout: 0s",
        "shop.yaml:3:40: daemons.orders.topics.\"orders.created\".timeout: the handler of topic `orders.created` has a timeout of zero: give it some time",
    );
    topics(
        "retries: {jitter: 1.5}",
        "shop.yaml:3:49: daemons.orders.topics.\"orders.created\".retries.jitter: is `1.5`, allowed: between 0 and 1",
    );
    topics(
        "dead_letter: \"\"",
        "shop.yaml:3:44: daemons.orders.topics.\"orders.created\".dead_letter: is empty, allowed: the name of a topic",
    );
    topics(
        "circuit_breaker: {keys: 0, failed: 1.5}",
        "\
shop.yaml:3:55: daemons.orders.topics.\"orders.created\".circuit_breaker.keys: is `0`, allowed: between 1 and 1,000
shop.yaml:3:66: daemons.orders.topics.\"orders.created\".circuit_breaker.failed: is `1.5`, allowed: above 0 and at most 1",
    );
    topics(
        "circuit_breaker: {open: 2min}",
        "shop.yaml:3:55: daemons.orders.topics.\"orders.created\".circuit_breaker.cap: is `60s`, as the program has it, allowed: at least as long as `open`",
    );
    topics("circuit_breaker: {enabled: false, keys: 0}", "ok");
    topics(
        "order: Sometimes",
        "shop.yaml:3:38: daemons.orders.topics.\"orders.created\".order: is `Sometimes`, allowed: partition, key, unordered",
    );
}

#[test]
fn daemons_must_be_those_of_the_program() {
    let rest = "kafka: {main: {brokers: \"localhost:9092\", group: shop}}\n";
    check(&format!("daemons: {{orders: {{}}, ticker: {{enabled: false}}}}\n{rest}"), "ok");
    check(
        &format!("daemons: {{orders: {{}}, ticker: {{workers: 3}}}}\n{rest}"),
        "shop.yaml:1:32: daemons.ticker.workers: is for daemons that read Kafka topics, which this one doesn't, allowed: enabled",
    );
    check(
        &format!("daemons: {{orders: {{enabled: false}}, ticker: {{enabled: false}}}}\n{rest}"),
        "shop.yaml:1:1: daemons: has no daemon that is enabled, allowed: one at least",
    );
    check("", "\
shop.yaml: daemons.orders: is missing, though the program has this daemon: set it, as in `orders: {}`, or `orders: {enabled: false}` to leave it out
shop.yaml: daemons.ticker: is missing, though the program has this daemon: set it, as in `ticker: {}`, or `ticker: {enabled: false}` to leave it out");
}

#[test]
fn clusters_are_chosen_by_name() {
    let daemons = |orders: &str| format!("daemons: {{ticker: {{}}, orders: {{{orders}}}}}\n");
    let two = "kafka:\n  main: {brokers: \"a:1\", group: shop}\n  audit: {brokers: \"b:1\"}\n";
    check(&format!("{}{two}", daemons("cluster: main")), "ok");
    check(&format!("{}{two}", daemons("cluster: audit, group: audit")), "ok");
    check(
        &format!("{}{two}", daemons("cluster: mian")),
        "shop.yaml:1:41: daemons.orders.cluster: names no cluster `mian`, did you mean `main`? allowed: audit, main",
    );
    check(
        &format!("{}{two}", daemons("")),
        "shop.yaml:1:23: daemons.orders.cluster: is missing, and no cluster is named `default`, allowed: audit, main",
    );
    check(&format!("{}{}", daemons(""), two.replace("main", "default")), "ok");
    check(
        &format!("{}{two}", daemons("cluster: audit")),
        "shop.yaml:1:23: daemons.orders.group: is missing: name the consumer group here, or in `kafka.audit.group` for all daemons of the cluster",
    );
    check(
        &daemons(""),
        "shop.yaml: kafka: has no cluster, allowed: one at least, as in `kafka: {main: {brokers: \"localhost:9092\"}}`",
    );
}

/// The keys of the cluster `main`, from line 3 and column 5 on.
#[track_caller]
fn check_cluster(keys: &str, expected: &str) {
    let keys: Vec<_> = keys.lines().map(|line| format!("    {line}\n")).collect();
    check(&format!("kafka:\n  main:\n{}daemons: {{orders: {{group: shop}}, ticker: {{}}}}\n", keys.concat()), expected);
}

#[test]
fn clusters_are_checked_as_the_client_would() {
    check_cluster(
        "brokers: localhost:9092\nproperties: {fetch.min.bytes: 1, socket.keepalive.enable: true, client.rack: a}",
        "ok",
    );
    check_cluster("group: shop", "shop.yaml:2:3: kafka.main.brokers: is empty, name one at least as `host:port`");
    check_cluster(
        "brokers: \"a:b\"",
        "shop.yaml:3:14: kafka.main.brokers: has an address that is none, write each as `host:port`, several with commas",
    );
    check_cluster(
        "brokers: a:1\nprotocol: consumer\nsession_timeout: 6s",
        "shop.yaml:5:22: kafka.main.session_timeout: can't be set with the protocol `consumer`: set `group.consumer.session.timeout.ms` on the brokers, or another protocol",
    );
    check_cluster(
        "brokers: a:1\nsession_timeout: 20s\nmax_poll_interval: 10s",
        "shop.yaml:5:24: kafka.main.max_poll_interval: is shorter than `session_timeout`: make it as long at least",
    );
    check_cluster(
        "brokers: a:1\nsession_timeout: 2d",
        "shop.yaml:4:22: kafka.main.session_timeout: is `172800000`, which the Kafka client refuses: Configuration property \"session.timeout.ms\" value 172800000 is outside allowed range 1..3600000",
    );
    check_cluster("brokers: a:1\nproperties:\n  enable.auto.commit: true\n  fetch.min.bytes: many\n  fetch.mix.bytes: 1", "\
shop.yaml:5:27: kafka.main.properties.\"enable.auto.commit\": can't be passed through as a property: offsets are committed once their records are finished
shop.yaml:6:24: kafka.main.properties.\"fetch.min.bytes\": is `many`, which the Kafka client refuses: Invalid value for configuration property \"fetch.min.bytes\"
shop.yaml:7:24: kafka.main.properties.\"fetch.mix.bytes\": is no property of the Kafka client: correct its name");
    check_cluster(
        "brokers: a:1\nproperties: {client.rack: [a]}",
        "shop.yaml:4:18: kafka.main.properties.\"client.rack\": is a list, allowed: text, a number, true, false",
    );
}

#[test]
fn security_is_checked_as_a_whole() {
    check_cluster(
        "brokers: a:1\nsecurity: sasl_plaintext\nsasl: {mechanism: PLAIN, username: shop, password: hush}",
        "ok",
    );
    check_cluster(
        "brokers: a:1\nsasl: {mechanism: PLAIN, username: shop, password: hush}",
        "shop.yaml:4:5: kafka.main.sasl: is set, and not used with `security: plaintext`: set sasl_plaintext or sasl_ssl there, or leave it out",
    );
    check_cluster(
        "brokers: a:1\ntls: {ca_file: ca.crt}",
        "shop.yaml:4:5: kafka.main.tls: is set, and not used with `security: plaintext`: set ssl or sasl_ssl there, or leave it out",
    );
    check_cluster(
        "brokers: a:1\nsecurity: sasl_plaintext",
        "shop.yaml:2:3: kafka.main.sasl.mechanism: is missing with `security: sasl_plaintext`, allowed: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512",
    );
    check_cluster(
        "brokers: a:1\nsecurity: sasl_plaintext\nsasl: {mechanism: PLAIN}",
        "\
shop.yaml:5:5: kafka.main.sasl.password: is missing, and the mechanism needs it
shop.yaml:5:5: kafka.main.sasl.username: is missing, and the mechanism needs it",
    );
    check_cluster(
        "brokers: a:1\nsecurity: sasl_plaintext\nsasl: {mechanism: PLAIN, username: shop, password: hush, password_file: x}",
        "shop.yaml:5:77: kafka.main.sasl.password_file: is set, and `password` too, allowed: one of them",
    );
    check_cluster(
        "brokers: a:1\nsecurity: sasl_plaintext\nsasl: {mechanism: PLAIN, username: shop, password_file: nowhere/x}",
        "shop.yaml:5:61: kafka.main.sasl.password_file: needs the file `nowhere/x`, which can't be read: No such file or directory (os error 2)",
    );
    check_cluster(
        "brokers: a:1\nsecurity: tls",
        "shop.yaml:4:15: kafka.main.security: is `tls`, allowed: plaintext, ssl, sasl_plaintext, sasl_ssl",
    );
    check_cluster(
        "brokers: a:1\nsecurity: sasl_plaintext\nsasl: {mechanism: PLAIN, username: shop, password: hush}\nproperties: {sasl.username: me}",
        "shop.yaml:6:33: kafka.main.properties.\"sasl.username\": is set a second time, by `kafka.main.sasl.username`, allowed: one of them",
    );
}

#[test]
fn what_needs_tls_is_refused_by_a_program_without_it() {
    let told = |at: &str, what: &str| {
        format!(
            "{at}: is `{what}`, which this program was built without: build it with daemonry's feature `tls` or `tls-vendored`"
        )
    };
    let (ssl, scram) = (
        told("shop.yaml:4:15: kafka.main.security", "ssl"),
        told("shop.yaml:5:23: kafka.main.sasl.mechanism", "SCRAM-SHA-512"),
    );
    let built = crate::kafka::is_built_with("ssl");
    let expected = |told| if built { "ok" } else { told };
    check_cluster("brokers: a:1\nsecurity: ssl", expected(&ssl));
    let scrammed = "brokers: a:1\nsecurity: sasl_plaintext\nsasl: {mechanism: SCRAM-SHA-512, username: a, password: b}";
    check_cluster(scrammed, expected(&scram));
    if built {
        let text = "kafka: {main: {brokers: \"a:1\", group: g, security: ssl, tls: {ca_file: nowhere}}}\ndaemons: {orders: {}, ticker: {}}";
        let told = super::loaded(text, &[], &[]).err().expect("there is no such file").to_string();
        assert!(told.starts_with("shop.yaml:1:72: kafka.main.tls.ca_file: "), "{told}");
    }
}

#[test]
fn security_passed_through_as_a_property_leaves_no_room_for_the_sections() {
    check_cluster(
        "brokers: a:1\nproperties: {security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: a, sasl.password: b}",
        "ok",
    );
    check_cluster(
        "brokers: a:1\nproperties: {security.protocol: plaintext}\nsasl: {username: a}",
        "shop.yaml:5:5: kafka.main.sasl: is set, and not used with `security: plaintext`: set sasl_plaintext or sasl_ssl there, or leave it out",
    );
}

#[test]
fn static_members_of_one_group_are_refused() {
    let text =
        "kafka: {main: {brokers: \"a:1\", group: shop, instance_id: shop-0}}\ndaemons: {orders: {}, audit: {}}\n";
    let router = |topic: &str| crate::handler::Router::new().topic(topic, crate::handler::on(super::handle));
    let app = crate::app::App::new("shop").consumer("orders", router("a")).consumer("audit", router("b"));
    let faults = app.check_text("shop.yaml", text).expect_err("both are shop-0");
    assert_eq!(
        faults.to_string(),
        "shop.yaml:2:11: daemons.orders.group: is that of the daemon `audit` too, with the same `instance_id`, and each would throw the other out: give each daemon a group of its own"
    );
    app.check_text("shop.yaml", &text.replace("audit: {}", "audit: {group: audit}"))
        .expect("each has a group of its own");
}

#[test]
fn daemons_that_would_share_the_records_of_a_topic_are_refused() {
    let text = "kafka: {main: {brokers: \"a:1\", group: shop}}\ndaemons: {orders: {}, audit: {}}\n";
    let router = || crate::handler::Router::new().topic("a", crate::handler::on(super::handle));
    let app = crate::app::App::new("shop").consumer("orders", router()).consumer("audit", router());
    let faults = app.check_text("shop.yaml", text).expect_err("both read `a`");
    assert_eq!(
        faults.to_string(),
        "shop.yaml:2:11: daemons.orders.group: is `shop`, as that of the daemon `audit`, which reads `a` too, and each record would go to one of the two alone: give each daemon a group of its own"
    );
    assert_eq!(format!("{faults:?}"), format!("\n{faults}"), "an `expect` shows the same");
    for right in ["audit: {group: audit}", "audit: {enabled: false}"] {
        app.check_text("shop.yaml", &text.replace("audit: {}", right))
            .expect("each record goes to both, or to the only one");
    }
}

#[test]
fn own_section_is_as_strict() {
    check_top(
        "app: {curency: USD}",
        "shop.yaml:1:7: app.curency: unknown key, did you mean `currency`? allowed: address, api_key, currency, hosts, log, prices, secrets",
    );
    check_top(
        "app: {hosts: [1, two, 70000]}",
        "shop.yaml:1:18: app.hosts.1: is `two`, allowed: a whole number from 0 to 65535",
    );
    check_top(
        "app: {prices: {tea: 1, milk: low, bread: none}}",
        "\
shop.yaml:1:30: app.prices.milk: is `low`, allowed: a whole number from 0 to 4294967295
shop.yaml:1:42: app.prices.bread: is `none`, allowed: a whole number from 0 to 4294967295",
    );
    check_top("app: {address: here}", "shop.yaml:1:16: app.address: is `here`: invalid socket address syntax");
    check_top("app: {log: {level: mid}}", "shop.yaml:1:20: app.log.level: is `mid`, allowed: low, high");
    let faults = crate::app::App::new("shop").check_text("shop.yaml", "app: {}").expect_err("it has none");
    assert_eq!(
        faults.to_string(),
        "shop.yaml:1:1: app: unknown key, did you mean `api`? allowed: admin, api, daemons, fleet, kafka, log, restart, stop"
    );
}

#[test]
fn key_that_has_to_be_there_is_told() {
    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "read, and never looked at")]
    struct Needy {
        name: String,
        number: u8,
    }
    let app = crate::app::App::new("shop").section::<Needy>().daemon("ticker", |_, ()| -> NoDaemon { unreachable!() });
    let told = |text: &str| app.check_text("shop.yaml", text).expect_err("keys are missing").to_string();
    assert_eq!(told("daemons: {ticker: {}}"), "shop.yaml: app.name: is missing, and has no default");
    assert_eq!(
        told("daemons: {ticker: {}}\napp: {name: a}"),
        "shop.yaml:2:1: app.number: is missing, and has no default"
    );
    // What is missing only because it was wrong is not told.
    assert_eq!(
        told("daemons: {ticker: {}}\napp: {name: a, number: b}"),
        "shop.yaml:2:24: app.number: is `b`, allowed: a whole number from 0 to 255"
    );
}

struct NoDaemon;

#[async_trait::async_trait]
impl crate::daemon::Daemon for NoDaemon {
    fn name(&self) -> &str {
        ""
    }

    async fn run(
        self: Box<Self>,
        _: crate::daemon::DaemonContext,
    ) -> Result<crate::daemon::Ended, crate::daemon::DaemonError> {
        unreachable!("it is never started")
    }
}

#[test]
fn variables_that_are_missing_are_told_with_their_keys() {
    let needs = "needs the environment variable `NONE`, which is not set: set it, or give a value to use instead, as in `${NONE:-text}`";
    check(
        &format!("log: {{filter: \"${{NONE}}\"}}\nstop:\n  drain: ${{NONE}}\n{}", REST.trim_start()),
        &format!("shop.yaml:1:15: log.filter: {needs}\nshop.yaml:3:10: stop.drain: {needs}"),
    );
}

#[test]
fn daemons_of_one_name_are_refused() {
    let app = crate::app::App::new("shop").daemon("one", |_, ()| NoDaemon).daemon("one", |_, ()| NoDaemon);
    let faults = app.check_text("shop.yaml", "daemons: {one: {}}").expect_err("there are two");
    assert_eq!(
        faults.to_string(),
        "shop.yaml:1:11: daemons.one: names two daemons of the program: give each a name of its own"
    );
}
