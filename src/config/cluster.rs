//! A cluster's section, made into what the Kafka client takes.

use super::document::Document;
use super::key::KeyPath;
use super::raw::{ClusterSection, Mechanism, SaslSection, SecurityProtocol, TlsSection};
use super::secret::secret;
use crate::kafka::{ConfigFault, KafkaConfig, is_built_with};

/// Stands for the group of daemons that have one of their own, where the cluster has none.
const NO_GROUP: &str = "daemonry";

/// Keys of a cluster's section with the property that they set.
const NAMED: [(&[&str], &[&str]); 12] = [
    (&["security"], &["security.protocol"]),
    (&["sasl", "mechanism"], &["sasl.mechanisms", "sasl.mechanism"]),
    (&["sasl", "username"], &["sasl.username"]),
    (&["sasl", "password"], &["sasl.password"]),
    (&["tls", "ca_file"], &["ssl.ca.location"]),
    (&["tls", "cert_file"], &["ssl.certificate.location"]),
    (&["tls", "key_file"], &["ssl.key.location"]),
    (&["tls", "key_password"], &["ssl.key.password"]),
    // Set by the client's own fields, and refused under their properties' names.
    (&["session_timeout"], &["session.timeout.ms", "heartbeat.interval.ms"]),
    (&["max_poll_interval"], &["max.poll.interval.ms"]),
    (&["instance_id"], &["group.instance.id"]),
    (&["group"], &["group.id"]),
];

/// The client's configuration; what is wrong with it is told to the document. Without a group, it is empty there.
pub(super) fn cluster(document: &mut Document, path: &KeyPath, section: &ClusterSection) -> KafkaConfig {
    let mut kafka = KafkaConfig::new(section.brokers.clone(), section.group.as_deref().unwrap_or(NO_GROUP));
    kafka.protocol = section.protocol;
    kafka.instance_id.clone_from(&section.instance_id);
    kafka.instance_wait = section.instance_wait.0;
    kafka.session_timeout = section.session_timeout.map(|period| period.0);
    kafka.max_poll_interval = section.max_poll_interval.map(|period| period.0);
    kafka.start = section.start;
    kafka.out_of_range = section.out_of_range;
    kafka.truncated = section.truncated;
    kafka.recreated = section.recreated;
    kafka.expected_partitions = section.expected_partitions;
    kafka.metadata_limit = section.metadata_limit.0;
    kafka.topic_refresh = section.topic_refresh.0;

    let properties = &section.properties.0;
    for (key, value) in properties {
        kafka = match value.secret {
            true => kafka.secret_property(key, &value.text),
            false => kafka.property(key, &value.text),
        };
    }
    let told = document.faults().len();
    for (key, value) in security(document, path, section) {
        if properties.contains_key(key) {
            let own = key_of(key).map_or_else(|| path.clone(), |own| below(path, own));
            let property = path.child(super::PROPERTIES).child(key);
            document.fault(&property, &[], format!("is set a second time, by `{own}`, allowed: one of them"));
        }
        kafka = kafka.property(key, value);
    }
    // What the client as a whole is refused for may only follow from that.
    let is_whole = document.faults().len() == told && !document.has_gone_within(path);
    for ConfigFault { setting, problem } in kafka.check().err().into_iter().flat_map(|error| error.faults) {
        let key = match key_of(&setting) {
            _ if properties.contains_key(&setting) => path.child(super::PROPERTIES).child(&*setting),
            Some(own) => below(path, own),
            None if setting.is_empty() && !is_whole => continue,
            None if setting.is_empty() => key_in(&problem, path, properties.keys()),
            None => path.child(&*setting),
        };
        document.fault(&key, &[], problem);
    }
    if section.group.is_none() {
        kafka.group = String::new();
    }
    kafka
}

/// The key of the section that sets this property.
fn key_of(property: &str) -> Option<&'static [&'static str]> {
    NAMED.iter().find(|(_, properties)| properties.contains(&property)).map(|(key, _)| *key)
}

/// The key whose property a message speaks of, or that of the cluster.
fn key_in<'p>(message: &str, path: &KeyPath, mut passed: impl Iterator<Item = &'p String>) -> KeyPath {
    if let Some(property) = passed.find(|property| message.contains(property.as_str())) {
        return path.child(super::PROPERTIES).child(&**property);
    }
    let own = NAMED.iter().find(|(_, properties)| properties.iter().any(|property| message.contains(property)));
    own.map_or_else(|| path.clone(), |(key, _)| below(path, key))
}

fn below(path: &KeyPath, keys: &[&str]) -> KeyPath {
    keys.iter().fold(path.clone(), |path, key| path.child(*key))
}

/// The properties of TLS and SASL, where all is right with them.
fn security(document: &mut Document, path: &KeyPath, section: &ClusterSection) -> Vec<(&'static str, String)> {
    let (security, before) = (section.security, document.faults().len());
    let used = [
        ("tls", security.has_tls(), section.tls != TlsSection::default(), "ssl or sasl_ssl"),
        ("sasl", security.has_sasl(), section.sasl != SaslSection::default(), "sasl_plaintext or sasl_ssl"),
    ];
    for (key, _, _, instead) in used.into_iter().filter(|(_, used, set, _)| *set && !used) {
        let problem =
            format!("is set, and not used with `security: {}`: set {instead} there, or leave it out", security.name());
        document.fault(&path.child(key), &[path.child("security")], problem);
    }
    // Passed through, and nothing else is said of it here.
    if security == SecurityProtocol::default() && section.properties.0.contains_key("security.protocol") {
        return Vec::new();
    }
    let mut properties = vec![("security.protocol", Some(security.name().to_owned()))];
    if security.has_tls() {
        needs_tls(document, &path.child("security"), security.name());
        properties.extend(tls(document, &path.child("tls"), &section.tls));
    }
    if security.has_sasl() {
        properties.extend(sasl(document, &path.child("sasl"), section));
    }
    if document.faults().len() > before {
        return Vec::new();
    }
    properties.into_iter().filter_map(|(property, value)| Some((property, value?))).collect()
}

fn needs_tls(document: &mut Document, path: &KeyPath, what: &str) {
    if !is_built_with("ssl") {
        let problem = format!(
            "is `{what}`, which this program was built without: build it with daemonry's feature `tls` or `tls-vendored`"
        );
        document.fault(path, &[], problem);
    }
}

fn tls(document: &mut Document, path: &KeyPath, tls: &TlsSection) -> [(&'static str, Option<String>); 4] {
    let (password_given, password_file) = (tls.key_password.as_ref(), tls.key_password_file.as_deref());
    [
        ("ssl.ca.location", tls.ca_file.clone()),
        ("ssl.certificate.location", tls.cert_file.clone()),
        ("ssl.key.location", tls.key_file.clone()),
        ("ssl.key.password", secret(document, path, "key_password", password_given, password_file)),
    ]
}

fn sasl(document: &mut Document, path: &KeyPath, section: &ClusterSection) -> [(&'static str, Option<String>); 3] {
    let (sasl, has_property) = (&section.sasl, |property: &str| section.properties.0.contains_key(property));
    match sasl.mechanism {
        Some(Mechanism::Plain) => {}
        Some(mechanism) => needs_tls(document, &path.child("mechanism"), mechanism.name()),
        None if has_property("sasl.mechanism") || has_property("sasl.mechanisms") => {}
        None => {
            let problem = format!(
                "is missing with `security: {}`, allowed: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512",
                section.security.name()
            );
            document.fault(&path.child("mechanism"), &[], problem);
        }
    }
    let password_given = sasl.password.is_some() || sasl.password_file.is_some();
    for (key, given) in [("username", sasl.username.is_some()), ("password", password_given)] {
        if sasl.mechanism.is_some() && !given && !has_property(&format!("sasl.{key}")) {
            document.fault(&path.child(key), &[], "is missing, and the mechanism needs it");
        }
    }
    [
        ("sasl.mechanisms", sasl.mechanism.map(|mechanism| mechanism.name().to_owned())),
        ("sasl.username", sasl.username.clone()),
        ("sasl.password", secret(document, path, "password", sasl.password.as_ref(), sasl.password_file.as_deref())),
    ]
}
