//! Which cluster, and how to come in: from a configuration file, or from the command line alone.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};

use super::ReadFile;
use super::again::Again;
use super::failure::Failure;
use crate::config::{DeployedConsumer, DeployedFleet, Deployment};
use crate::kafka::KafkaConfig;

/// The group of whoever only asks.
const NO_GROUP: &str = "daemonry";

/// A configuration file, and what is set over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) set: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Args)]
#[command(group(ArgGroup::new("way in").args(["config", "brokers"]).required(true)))]
pub(super) struct ClusterArgs {
    /// The configuration file: its clusters, and what its daemons read
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets a key over file and environment; can be repeated
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "brokers")]
    set: Vec<String>,
    /// The cluster, by its name in the file; by default the only one, or the one named `default`
    #[arg(long, value_name = "NAME", conflicts_with = "brokers")]
    cluster: Option<String>,
    /// Brokers instead of a file, several with commas
    #[arg(long, short, value_name = "HOST:PORT")]
    brokers: Option<String>,
    /// A property of librdkafka's, as in `security.protocol=ssl`; can be repeated
    #[arg(long, short = 'X', value_name = "KEY=VALUE", conflicts_with = "config")]
    property: Vec<String>,
    /// A file with such properties, one a line: so that no secret stands on the command line
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    properties: Option<PathBuf>,
}

/// A cluster, and what is known of whoever reads it.
#[derive(Debug)]
pub(super) struct Target {
    /// Its name in the file.
    pub(super) name: Option<String>,
    pub(super) kafka: KafkaConfig,
    /// By their names; none where there is no file.
    pub(super) consumers: Vec<(String, DeployedConsumer)>,
    /// Where the program's processes know one another by it.
    pub(super) fleet: Option<DeployedFleet>,
}

impl ClusterArgs {
    /// The cluster that is meant.
    pub(super) fn target(&self, read: &ReadFile<'_>) -> Result<Target, Failure> {
        let Some(deployment) = self.deployment(read)? else {
            return Ok(Target { name: None, kafka: self.given()?, consumers: Vec::new(), fleet: None });
        };
        let (clusters, fleet) = (deployment.clusters, deployment.fleet);
        let names = || clusters.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let name = match &self.cluster {
            Some(name) if clusters.contains_key(name) => name.clone(),
            Some(name) => {
                return Err(Failure::usage(format!("the file has no cluster `{name}`, it has: {}", names())));
            }
            None if clusters.len() == 1 => names(),
            None if clusters.contains_key("default") => "default".to_owned(),
            None if clusters.is_empty() => return Err(Failure::usage("the file has no cluster below `kafka`")),
            None => {
                return Err(Failure::usage(format!("say which cluster with `--cluster`, the file has: {}", names())));
            }
        };
        let kafka = clusters[&name].clone();
        let consumers = deployment.consumers.into_iter().filter(|(_, consumer)| consumer.cluster == name);
        let fleet = fleet.filter(|fleet| fleet.cluster == name);
        Ok(Target { kafka, consumers: consumers.collect(), fleet, name: Some(name) })
    }

    /// The cluster that is meant; where none is named, all those of the file that are read.
    pub(super) fn targets(&self, read: &ReadFile<'_>) -> Result<Vec<Target>, Failure> {
        let (None, Some(deployment)) = (&self.cluster, self.deployment(read)?) else {
            return Ok(vec![self.target(read)?]);
        };
        let targets = used_targets(deployment);
        let targets: Vec<Target> = targets.into_iter().filter(|target| !target.consumers.is_empty()).collect();
        // One that nobody reads is meant where there is no other.
        if targets.is_empty() { Ok(vec![self.target(read)?]) } else { Ok(targets) }
    }

    /// A cluster that nobody reads, by which the program's processes know one another: none where another one was named.
    pub(super) fn fleet_alone(&self, read: &ReadFile<'_>) -> Result<Option<Target>, Failure> {
        let (None, Some(deployment)) = (&self.cluster, self.deployment(read)?) else { return Ok(None) };
        Ok(used_targets(deployment).into_iter().find(|target| target.fleet.is_some() && target.consumers.is_empty()))
    }

    /// Everything that the file says; none where the cluster is given without one.
    pub(super) fn deployment(&self, read: &ReadFile<'_>) -> Result<Option<Deployment>, Failure> {
        let Some(path) = self.config.clone() else { return Ok(None) };
        Ok(Some(read(&File { path, set: self.set.clone() })?))
    }

    /// The same cluster again.
    pub(super) fn again(&self, again: &mut Again) {
        again
            .options("config", self.config.iter().map(|path| path.display()))
            .settings("set", &self.set)
            .options("cluster", &self.cluster)
            .options("brokers", &self.brokers)
            .settings("property", &self.property)
            .options("properties", self.properties.iter().map(|path| path.display()));
    }

    /// The cluster of the command line.
    fn given(&self) -> Result<KafkaConfig, Failure> {
        let brokers = self.brokers.as_deref().unwrap_or_default();
        let mut kafka = KafkaConfig::new(brokers, NO_GROUP);
        for (key, value) in self.properties.as_deref().map(read_properties).transpose()?.unwrap_or_default() {
            kafka = kafka.secret_property(key, value);
        }
        for property in &self.property {
            let (key, value) = property
                .split_once('=')
                .ok_or_else(|| Failure::usage("`--property` has no `=`, allowed: KEY=VALUE".to_owned()))?;
            kafka = kafka.property(key, value);
        }
        kafka.check()?;
        Ok(kafka)
    }
}

/// The clusters that are read, and who reads them; and the one by which the program's processes know one another.
pub(super) fn used_targets(deployment: Deployment) -> Vec<Target> {
    let Deployment { clusters, consumers, fleet, .. } = deployment;
    let target = |(name, kafka): (String, KafkaConfig)| {
        let consumers = consumers.iter().filter(|(_, consumer)| consumer.cluster == name);
        let consumers = consumers.map(|(daemon, one)| (daemon.clone(), one.clone())).collect();
        let fleet = fleet.clone().filter(|fleet| fleet.cluster == name);
        Target { kafka, consumers, fleet, name: Some(name) }
    };
    let targets = clusters.into_iter().map(target);
    targets.filter(|target| !target.consumers.is_empty() || target.fleet.is_some()).collect()
}

/// Properties of a file, `key=value` a line; what begins with `#` is a comment. Values may be secret, so no error shows one.
fn read_properties(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let file = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("properties `{file}` can't be read: {error}")))?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    said.map(|(number, line)| {
        let property = line.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
        property.ok_or_else(|| Failure::usage(format!("{file}:{number}: has no `=`, allowed: key=value")))
    })
    .collect()
}
