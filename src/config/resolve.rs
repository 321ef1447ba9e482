//! From what was written to what the process is set up with, in one step that tells everything that is wrong.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use super::api::api;
use super::cluster::cluster;
use super::document::Document;
use super::fault::instead;
use super::key::KeyPath;
use super::program::{Configurable, Program, Reads, RouteChange, RouteChanges};
use super::raw::{DaemonSection, FleetSection, RawConfig, ScalingSection, TopicSection};
use super::{Config, ConsumerSettings, FleetSettings, Reader};
use crate::handler::{NO_TIMEOUT, RouterError};
use crate::kafka::KafkaConfig;
use crate::record::Topic;
use crate::supervisor::RestartPolicy;
use crate::telemetry;

/// The settings of a daemon, or what is wrong with them.
pub(super) fn resolve(raw: &RawConfig, document: &mut Document, program: &Program<'_>) -> Config {
    if !telemetry::is_filter(&raw.log.filter) {
        let (path, found) = at(document, ["log", "filter"]);
        document.fault(&path, &[], format!("is {found}, allowed: a log filter, as in `info,daemonry=debug`"));
    }
    let clusters: BTreeMap<String, KafkaConfig> = raw
        .kafka
        .iter()
        .map(|(name, section)| (name.clone(), cluster(document, &KeyPath::of(["kafka", name.as_str()]), section)))
        .collect();
    let api = api(document, &raw.api);
    let fleet = fleet(document, &raw.fleet, &clusters);
    daemon_names(raw, document, program);
    let (mut consumers, mut readers) = (BTreeMap::new(), BTreeMap::new());
    let mut enabled = Vec::new();
    for (name, reads) in &program.daemons {
        let Some(section) = raw.daemons.get(*name) else { continue };
        let path = KeyPath::of(["daemons", *name]);
        match reads {
            Reads::Topics(routes) => {
                let settings = consumer(document, &path, section, *routes, &clusters);
                if section.enabled {
                    consumers.extend(settings.map(|settings| ((*name).to_owned(), settings)));
                }
            }
            Reads::Nothing => no_consumer(document, &path),
            Reads::Unknown => {}
        }
        if section.enabled {
            enabled.push((*name).to_owned());
            if !matches!(reads, Reads::Nothing)
                && let Ok(cluster) = cluster_of(section.cluster.as_deref(), &clusters)
            {
                let kafka = with_group(section, &clusters[cluster]);
                if !kafka.group.trim().is_empty() {
                    readers.insert((*name).to_owned(), Reader { cluster: cluster.to_owned(), kafka });
                }
            }
        }
    }
    if enabled.is_empty() && !raw.daemons.is_empty() {
        let (path, _) = at(document, ["daemons"]);
        document.fault(&path, &[], "has no daemon that is enabled, allowed: one at least");
    }
    static_members(document, &consumers);
    shared_topics(document, &consumers, program);
    Config {
        admin: raw.admin.enabled.then_some(raw.admin.address.0),
        api,
        fleet,
        log_format: raw.log.format,
        log_filter: raw.log.filter.clone(),
        drain: raw.stop.drain.0,
        grace: raw.stop.grace.0,
        restart: restart(raw, document),
        clusters,
        enabled,
        consumers,
        readers,
    }
}

/// The supervisor's policy; one whose limit can't be reached would restart for ever.
fn restart(raw: &RawConfig, document: &mut Document) -> RestartPolicy {
    let section = &raw.restart;
    let policy = RestartPolicy::exponential()
        .max_restarts(section.max)
        .window(section.window.0)
        .base(section.base.0)
        .cap(section.cap.0);
    if policy.check().is_err() {
        let path = KeyPath::of(["restart"]);
        let related = ["max", "base", "cap"].map(|key| path.child(key));
        let problem = format!(
            "is `{}`, in which {} restarts never come for the delays between them: widen it, or allow fewer",
            section.window, section.max
        );
        document.fault(&path.child("window"), &related, problem);
    }
    policy
}

fn at<const N: usize>(document: &Document, keys: [&str; N]) -> (KeyPath, String) {
    let path = KeyPath::of(keys);
    let found = document.found(&path);
    (path, found)
}

/// The configuration must name the daemons that the program has, and no others.
fn daemon_names(raw: &RawConfig, document: &mut Document, program: &Program<'_>) {
    let names = program.names();
    let path = KeyPath::of(["daemons"]);
    for name in raw.daemons.keys().filter(|name| !names.contains(&name.as_str())) {
        document.fault_of_key(&path.child(&**name), format!("unknown daemon{}", instead(name, &names)));
    }
    for (_, name) in names.iter().enumerate().filter(|(index, name)| names[..*index].contains(name)) {
        document.fault(&path.child(*name), &[], "names two daemons of the program: give each a name of its own");
    }
    for name in names.iter().filter(|name| !raw.daemons.contains_key(**name)) {
        let key = path.child(*name);
        document.fault(&key, &[], format!("is missing, though the program has this daemon: set it, as in `{name}: {{}}`, or `{name}: {{enabled: false}}` to leave it out"));
    }
}

/// A daemon that reads no topics can only be enabled or not.
fn no_consumer(document: &mut Document, path: &KeyPath) {
    let entries = document.root().at(path).map_or(&[][..], |node| node.entries());
    let others: Vec<String> = entries.iter().map(|entry| entry.key.clone()).filter(|key| key != "enabled").collect();
    for key in others {
        document.fault_of_key(
            &path.child(key),
            "is for daemons that read Kafka topics, which this one doesn't, allowed: enabled",
        );
    }
}

fn consumer(
    document: &mut Document,
    path: &KeyPath,
    section: &DaemonSection,
    routes: &dyn Configurable,
    clusters: &BTreeMap<String, KafkaConfig>,
) -> Option<ConsumerSettings> {
    let pipeline = section.pipeline();
    for error in pipeline.check().err().unwrap_or_default() {
        let below = |setting: &str| setting.split('.').fold(path.clone(), |path, key| path.child(key));
        let key = below(error.setting);
        let related: &[&str] = match error.setting {
            "queue_records" => &["workers"],
            "high_mark" => &["low_mark"],
            "scaling.min" => &["workers", "scaling.mode"],
            "scaling.grow_above" => &["scaling.shrink_below"],
            _ => &[],
        };
        let related: Vec<KeyPath> = related.iter().map(|setting| below(setting)).collect();
        let found = match document.root().at(&key) {
            Some(_) => document.found(&key),
            None => format!("`{}`, the default", error.found),
        };
        document.fault(&key, &related, format!("is {found}, allowed: {}", error.allowed));
    }
    scaling(document, &path.child("scaling"), &section.scaling);
    if section.handler_threads == Some(0) {
        document.fault(&path.child("handler_threads"), &[], "is `0`, allowed: 1 or more");
    }
    overrides(document, &path.child("overrides"), section);
    let changes = topics(document, path, section, routes);
    let kafka = if section.enabled { kafka(document, path, section, clusters) } else { None };
    Some(ConsumerSettings {
        kafka: kafka?,
        pipeline,
        missing_dead_letter_topic: section.missing_dead_letter_topic,
        handler_threads: section.handler_threads.and_then(NonZeroUsize::new),
        steered: section.overrides.layer(),
        changes,
    })
}

/// What is overridden must mean something.
fn overrides(document: &mut Document, path: &KeyPath, section: &DaemonSection) {
    for (index, scope) in section.overrides.paused.iter().enumerate() {
        if let Err(wrong) = scope.clone().meant() {
            let problem =
                format!("{wrong}, in its entry {}, allowed: a `topic`, with a `partition` or a `key`", index + 1);
            document.fault(&path.child("paused"), &[], problem);
        }
    }
    for (index, of) in section.overrides.skipped.iter().enumerate().filter(|(_, of)| of.partition < 0 || of.offset < 0)
    {
        let problem = format!(
            "has partition {} and offset {} in its entry {}, allowed: 0 or more",
            of.partition,
            of.offset,
            index + 1
        );
        document.fault(&path.child("skipped"), &[], problem);
    }
    if let Some(workers) = section.overrides.workers.filter(|workers| workers.get() > section.workers) {
        let problem = format!("is `{workers}`, allowed: at most `workers`, {}", section.workers);
        document.fault(&path.child("workers"), &[], problem);
    }
}

/// What is said of scaling must count for something.
fn scaling(document: &mut Document, path: &KeyPath, section: &ScalingSection) {
    let entries = document.root().at(path).map_or(&[][..], |node| node.entries());
    let said: Vec<String> = entries.iter().map(|entry| entry.key.clone()).filter(|key| key != "mode").collect();
    let mode = path.child("mode");
    if section.is_fixed() && !document.has_gone_within(&mode) {
        for key in said {
            let problem =
                "counts for nothing while `mode` is `fixed`: set that to `queue` or `latency`, or leave this out";
            document.fault_of_key(&path.child(key), problem);
        }
    }
    for (key, of) in section.in_vain() {
        document
            .fault_of_key(&path.child(key), format!("counts only where `mode` is `{of}`: set that, or leave this out"));
    }
}

/// Why a daemon has no cluster.
enum NoCluster<'s> {
    /// There is none of this name.
    Unknown(&'s str),
    /// There are none.
    None,
    /// It could be any of several.
    Any,
}

/// The name of the cluster that this says, or that is meant where it says none.
fn cluster_of<'s>(
    said: Option<&'s str>,
    clusters: &'s BTreeMap<String, KafkaConfig>,
) -> Result<&'s str, NoCluster<'s>> {
    let mut names = clusters.keys().map(String::as_str);
    match (said, names.next(), names.next()) {
        (Some(name), ..) if clusters.contains_key(name) => Ok(name),
        (Some(name), ..) => Err(NoCluster::Unknown(name)),
        (None, None, _) => Err(NoCluster::None),
        (None, Some(only), None) => Ok(only),
        (None, Some(_), Some(_)) if clusters.contains_key("default") => Ok("default"),
        (None, Some(_), Some(_)) => Err(NoCluster::Any),
    }
}

/// The cluster with the daemon's group, which is empty where nobody names one.
fn with_group(section: &DaemonSection, cluster: &KafkaConfig) -> KafkaConfig {
    let mut kafka = cluster.clone();
    if let Some(group) = &section.group {
        kafka.group.clone_from(group);
    }
    kafka
}

/// The cluster that the daemon reads, as a member of its group.
fn kafka(
    document: &mut Document,
    path: &KeyPath,
    section: &DaemonSection,
    clusters: &BTreeMap<String, KafkaConfig>,
) -> Option<KafkaConfig> {
    let name = named_cluster(document, path, section.cluster.as_deref(), clusters)?;
    let kafka = with_group(section, clusters.get(name)?);
    if kafka.group.trim().is_empty() {
        let of_cluster = KeyPath::of(["kafka", name, "group"]);
        document.fault(
            &path.child("group"),
            std::slice::from_ref(&of_cluster),
            format!("is missing: name the consumer group here, or in `{of_cluster}` for all daemons of the cluster"),
        );
    }
    Some(kafka)
}

/// The name of the cluster that the section at this path says, or that is meant where it says none. Where there is none, that is told.
fn named_cluster<'s>(
    document: &mut Document,
    path: &KeyPath,
    said: Option<&'s str>,
    clusters: &'s BTreeMap<String, KafkaConfig>,
) -> Option<&'s str> {
    let all = KeyPath::of(["kafka"]);
    let names: Vec<&str> = clusters.keys().map(String::as_str).collect();
    match cluster_of(said, clusters) {
        Ok(name) => return Some(name),
        Err(NoCluster::Unknown(name)) => {
            let problem = format!("names no cluster `{name}`{}", instead(name, &names));
            document.fault(&path.child("cluster"), &[all.child(name)], problem);
        }
        Err(NoCluster::None) => {
            let problem = "has no cluster, allowed: one at least, as in `kafka: {main: {brokers: \"localhost:9092\"}}`";
            document.fault(&all, &[], problem);
        }
        Err(NoCluster::Any) => {
            let problem = format!("is missing, and no cluster is named `default`, allowed: {}", names.join(", "));
            document.fault(&path.child("cluster"), std::slice::from_ref(path), problem);
        }
    }
    None
}

/// Where the processes of the program tell of themselves; none where they don't.
fn fleet(
    document: &mut Document,
    section: &FleetSection,
    clusters: &BTreeMap<String, KafkaConfig>,
) -> Option<FleetSettings> {
    if !section.enabled {
        return None;
    }
    let path = KeyPath::of(["fleet"]);
    for (key, topic) in [("reports", &section.reports), ("control", &section.control)] {
        if topic.trim().is_empty() {
            document.fault(&path.child(key), &[], "is empty, allowed: the name of a topic");
        }
    }
    if section.reports == section.control {
        document.fault(&path.child("control"), &[], "is the topic of the reports too, allowed: another one");
    }
    let name = named_cluster(document, &path, section.cluster.as_deref(), clusters)?;
    let kafka = clusters.get(name)?.clone();
    let [reports, control] = [&section.reports, &section.control].map(|topic| Topic::from(topic.as_str()));
    Some(FleetSettings { cluster: name.to_owned(), kafka, reports, control })
}

/// What is changed of the program's routes.
fn topics(document: &mut Document, path: &KeyPath, section: &DaemonSection, routes: &dyn Configurable) -> RouteChanges {
    let path = path.child("topics");
    let known = routes.topics();
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    let changes = changes(section);
    for (name, section) in &section.topics {
        let path = path.child(&**name);
        if !names.contains(&name.as_str()) {
            document.fault_of_key(&path, format!("is no topic that this daemon reads{}", instead(name, &names)));
            continue;
        }
        if section.retries.jitter.is_some_and(|jitter| !(0.0..=1.0).contains(&jitter)) {
            let key = path.child("retries").child("jitter");
            let found = document.found(&key);
            document.fault(&key, &[], format!("is {found}, allowed: between 0 and 1"));
        }
        if section.dead_letter.as_ref().is_some_and(|topic| topic.trim().is_empty()) {
            document.fault(&path.child("dead_letter"), &[], "is empty, allowed: the name of a topic");
        }
    }
    for error in routes.faults(&changes) {
        let key = match &error {
            RouterError::Loop { of, .. } => path.child(of.as_str()).child("dead_letter"),
            RouterError::CircuitBreaker(of, error) => {
                let path = path.child(of.as_str()).child("circuit_breaker");
                let key = path.child(error.setting);
                let found = match document.root().at(&key) {
                    Some(_) => document.found(&key),
                    None => format!("`{}`, as the program has it", error.found),
                };
                let related: &[KeyPath] = if error.setting == "cap" { &[path.child("open")] } else { &[] };
                document.fault(&key, related, format!("is {found}, allowed: {}", error.allowed));
                continue;
            }
            RouterError::ZeroTimeout(of) => path.child(of.as_str()).child("timeout"),
            RouterError::Doubled(of) => path.child(of.as_str()),
            RouterError::Empty | RouterError::Pattern(_) => path.clone(),
        };
        document.fault(&key, &[], error.to_string());
    }
    changes
}

/// What a section changes of the routes that it names.
pub(super) fn changes(section: &DaemonSection) -> RouteChanges {
    section.topics.iter().map(|(name, section)| (name.clone(), change(section))).collect()
}

fn change(section: &TopicSection) -> RouteChange {
    let retries = &section.retries;
    RouteChange {
        order: section.order,
        max_retries: retries.max,
        base: retries.base.map(|period| period.0),
        cap: retries.cap.map(|period| period.0),
        jitter: retries.jitter,
        circuit_breaker: section.circuit_breaker.clone(),
        timeout: section.timeout.map(|limit| limit.0.unwrap_or(NO_TIMEOUT)),
        dead_letter: section.dead_letter.as_deref().map(Topic::from),
    }
}

/// Two static members of one group must not have one name: each would throw the other out.
fn static_members(document: &mut Document, consumers: &BTreeMap<String, ConsumerSettings>) {
    let mut taken: BTreeMap<(&str, &str, &str), &str> = BTreeMap::new();
    for (name, consumer) in consumers {
        let Some(instance) = &consumer.kafka.instance_id else { continue };
        let member = (consumer.kafka.brokers.as_str(), consumer.kafka.group.as_str(), instance.as_str());
        if let Some(other) = taken.insert(member, name) {
            let path = KeyPath::of(["daemons", name.as_str()]).child("group");
            document.fault(&path, &[], format!("is that of the daemon `{other}` too, with the same `instance_id`, and each would throw the other out: give each daemon a group of its own"));
        }
    }
}

/// Two daemons of one group must not read one topic: each record would go to one of them, whichever has its partition.
fn shared_topics(document: &mut Document, consumers: &BTreeMap<String, ConsumerSettings>, program: &Program<'_>) {
    let mut taken: BTreeMap<(&str, &str, String), &str> = BTreeMap::new();
    for (name, consumer) in consumers {
        let (brokers, group) = (consumer.kafka.brokers.as_str(), consumer.kafka.group.as_str());
        for topic in program.topics(name) {
            let other = taken.insert((brokers, group, topic.clone()), name);
            // What has no group, or is there twice in one router, is told already.
            let Some(other) = other.filter(|other| other != name && !group.is_empty()) else { continue };
            let path = KeyPath::of(["daemons", name.as_str()]).child("group");
            document.fault(&path, &[], format!("is `{group}`, as that of the daemon `{other}`, which reads `{topic}` too, and each record would go to one of the two alone: give each daemon a group of its own"));
            break;
        }
    }
}
