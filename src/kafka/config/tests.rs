//! What a configuration becomes.

use std::time::Duration;

use super::{GroupProtocol, KafkaConfig};
use crate::kafka::KafkaSource;
use crate::pipeline::subscription::Subscription;

#[test]
fn all_faults_are_told_at_once() {
    let mut config =
        KafkaConfig::new("", " ").property("enable.auto.commit", "true").property("auto.offset.reset", "latest");
    config.protocol = GroupProtocol::Consumer;
    config.session_timeout = Some(Duration::from_secs(6));
    let faults = config.consumer().expect_err("five faults").faults;
    assert_eq!(faults.len(), 5, "{faults:?}");
    assert!(faults.iter().any(|fault| fault.setting == "enable.auto.commit"), "{faults:?}");
}

#[test]
fn secrets_are_not_shown() {
    let config = KafkaConfig::new("b:1", "g")
        .property("sasl.username", "me")
        .property("sasl.password", "hush")
        .property("ssl.key.password", "hush")
        .property("ssl.key.pem", "hush")
        .property("sasl.oauthbearer.client.secret", "hush");
    let shown = format!("{config:?}");
    assert!(!shown.contains("hush") && shown.contains("me"), "{shown}");
}

#[test]
fn a_property_of_the_users_wins_where_no_promise_rests_on_it() {
    let client = KafkaConfig::new("b:1", "g").property("fetch.queue.backoff.ms", "50").consumer().expect("valid");
    assert_eq!(client.get("fetch.queue.backoff.ms"), Some("50"));
    assert_eq!(client.get("enable.auto.commit"), Some("false"));
    assert_eq!(client.get("auto.offset.reset"), Some("error"));
}

#[test]
fn a_connection_is_given_ten_seconds_unless_the_user_says_otherwise() {
    const SETUP: &str = "socket.connection.setup.timeout.ms";
    let (by_default, config) = (KafkaConfig::new("b:1", "g"), KafkaConfig::new("b:1", "g").property(SETUP, "25000"));
    for (config, expected) in [(by_default, "10000"), (config, "25000")] {
        for client in [config.consumer().expect("valid"), config.producer_properties(), config.other()] {
            assert_eq!(client.get(SETUP), Some(expected));
        }
    }
}

#[test]
fn a_producer_gets_the_connection_and_not_the_group() {
    let config =
        KafkaConfig::new("b:1", "g").property("security.protocol", "sasl_plaintext").property("fetch.min.bytes", "1");
    let client = config.other();
    assert_eq!(
        (client.get("security.protocol"), client.get("fetch.min.bytes"), client.get("group.id")),
        (Some("sasl_plaintext"), None, None)
    );
}

#[test]
fn what_the_client_refuses_shows_no_secret() {
    let config = || KafkaConfig::new("b:1", "g");
    let cases = [
        (config().property("sasl.pasword", "hush"), "sasl.pasword"),
        (config().property("pasword", "hush"), "pasword"),
        (config().property("sasl.jaas.config", "hush"), "sasl.jaas.config"),
        (config().property("security.protocol", "ssl").property("ssl.key.pem", "hush"), "ssl.key"),
    ];
    for (config, key) in cases {
        let refused = KafkaSource::new(&config, Subscription::new().topic("t", "t"));
        let error = refused.expect_err("it is refused").to_string();
        assert!(error.contains(key) && !error.contains("hush"), "{key}: {error}");
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn tls_in_a_build_without_it_names_the_features() {
    let config =
        KafkaConfig::new("b:1", "g").property("security.protocol", "sasl_ssl").property("sasl.password", "hush");
    let consumer = config.consumer().expect_err("there is no TLS in it").to_string();
    let other = config.check_connection().expect_err("there is no TLS in it").to_string();
    for error in [consumer, other] {
        assert!(error.contains("`tls`") && error.contains("`tls-vendored`") && !error.contains("hush"), "{error}");
    }
}
