//! A configuration as whoever operates its daemons from outside sees it: which clusters there are, and which daemon reads what of them.
//!
//! A program knows its own daemons' topics; the operator's command line, which has none of them, knows what stands in the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::program::{Program, Reads};
use super::resolve::changes;
use super::{Faults, Loaded, Sources, load, schema, yaml};
use crate::kafka::KafkaConfig;
use crate::record::Topic;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    /// By their names.
    pub(crate) clusters: BTreeMap<String, KafkaConfig>,
    /// The enabled consumers, by their names.
    pub(crate) consumers: BTreeMap<String, DeployedConsumer>,
    /// Where the API is served; none where it is not.
    pub(crate) api: Option<DeployedApi>,
    /// Where its processes know one another; none where they don't.
    pub(crate) fleet: Option<DeployedFleet>,
    /// How long a process may take to stop.
    pub(crate) stop: Duration,
}

/// Where the processes of a program know one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeployedFleet {
    /// The name of the cluster that the topics are in.
    pub(crate) cluster: String,
    pub(crate) reports: Topic,
    pub(crate) control: Topic,
}

/// Where the API is served.
#[derive(Clone, Debug)]
pub(crate) struct DeployedApi {
    pub(crate) address: SocketAddr,
    /// The file with what it shows of itself, where it is served over TLS alone.
    pub(crate) certificate: Option<PathBuf>,
}

/// A daemon that reads topics.
#[derive(Clone, Debug)]
pub(crate) struct DeployedConsumer {
    /// The name of the cluster that it reads.
    pub(crate) cluster: String,
    /// That cluster, with the daemon's group.
    pub(crate) kafka: KafkaConfig,
    /// What it reads, and where the letters of that go; none where whoever asks has not the program.
    pub(crate) topics: Option<Vec<DeployedTopic>>,
}

/// A topic that a daemon reads by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeployedTopic {
    pub(crate) topic: Topic,
    pub(crate) letters: Option<Topic>,
}

impl Deployment {
    pub(crate) fn of(loaded: &Loaded, program: &Program<'_>) -> Self {
        let config = &loaded.config;
        let consumers = config.readers.iter().map(|(name, reader)| {
            let topics = program.daemons.iter().find_map(|(daemon, reads)| match reads {
                Reads::Topics(routes) if daemon == name => {
                    let changes = loaded.raw.daemons.get(name).map(changes).unwrap_or_default();
                    let named = routes.topics_and_letters();
                    let in_force = routes.effective(&changes);
                    let topics = named.into_iter().map(|(topic, _)| {
                        let section = in_force.get(topic.as_str());
                        let letters = section.and_then(|section| section.dead_letter.as_deref()).map(Topic::from);
                        DeployedTopic { topic, letters }
                    });
                    Some(topics.collect())
                }
                _ => None,
            });
            let (cluster, kafka) = (reader.cluster.clone(), reader.kafka.clone());
            (name.clone(), DeployedConsumer { cluster, kafka, topics })
        });
        Self {
            clusters: config.clusters.clone(),
            consumers: consumers.collect(),
            api: config.api.as_ref().map(|api| DeployedApi {
                address: api.address,
                certificate: api.tls.as_ref().map(|files| files.certificate.clone()),
            }),
            fleet: config.fleet.as_ref().map(|fleet| DeployedFleet {
                cluster: fleet.cluster.clone(),
                reports: fleet.reports.clone(),
                control: fleet.control.clone(),
            }),
            stop: config.drain.saturating_add(config.grace),
        }
    }

    /// What a file says, for whoever has not the program that it is for: its daemons are believed to be there, and those with a cluster and
    /// a group to be consumers.
    ///
    /// # Errors
    /// Everything that is wrong with it, as far as that can be told.
    pub(crate) fn of_file(sources: Sources<'_>) -> Result<Self, Faults> {
        load_of_any_program(sources, Self::of)
    }
}

/// The program that a file is for, as far as the file tells.
fn any_program<'n>(daemons: impl IntoIterator<Item = &'n str>) -> Program<'n> {
    let daemons = daemons.into_iter().map(|name| (name, Reads::Unknown)).collect();
    Program { name: "daemonry", daemons, app: Some(|_| ()) }
}

/// Reads a file for whoever has not the program that it is for, and makes something of it.
///
/// # Errors
/// Everything that is wrong with it, as far as that can be told.
pub(crate) fn load_of_any_program<T>(
    sources: Sources<'_>,
    make: impl FnOnce(&Loaded, &Program<'_>) -> T,
) -> Result<T, Faults> {
    // What is wrong with the text is told when it is read as a whole.
    let tree = yaml::parse(sources.file, sources.text, &mut Vec::new()).ok();
    let daemons = tree.as_ref().and_then(|tree| tree.entry("daemons"));
    let names = daemons.map(|daemons| daemons.value.entries()).unwrap_or_default();
    let program = any_program(names.iter().map(|entry| entry.key.as_str()));
    Ok(make(&load(sources, &program)?, &program))
}

/// The schema of any program's configuration: daemons and topics have whatever names they have.
pub(crate) fn schema_of_any_program() -> Value {
    schema::of_any(&any_program([]))
}
