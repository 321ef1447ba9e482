//! What a process is set up with: from a file, the environment, and the command line.
//!
//! ```text
//! file ──► tree ──► DAEMONRY__…, --set ──► ${…} put in ──► RawConfig ──► Config
//! (yaml)   (texts with places)                             (sections)    (typed, valid)
//! ```
//!
//! A file is read once, at the start, as a whole: [`App`](crate::app::App) does it. The invariants: everything that is wrong is told at once,
//! each with its place, its key, what was found and what is allowed ([`Faults`]); a key that nobody knows is wrong; a secret is never
//! shown, whatever is wrong around it.
//!
//! [`reference()`] lists every key.

mod api;
mod cluster;
mod deployment;
mod deserialize;
mod document;
mod fault;
mod key;
mod overrides;
mod print;
mod problem;
mod program;
mod raw;
mod reference;
mod resolve;
mod schema;
mod secret;
mod standing;
mod substitute;
mod tree;
mod units;
mod yaml;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

#[cfg(test)]
pub(crate) use deployment::DeployedTopic;
pub(crate) use deployment::{
    DeployedApi, DeployedConsumer, DeployedFleet, Deployment, load_of_any_program, schema_of_any_program,
};
pub(crate) use document::Document;
pub(crate) use fault::Place;
pub use fault::{Fault, Faults};
pub(crate) use key::KeyPath;
pub(crate) use print::as_yaml;
pub(crate) use program::{Configurable, Program, Reads, RouteChanges, changed};
use raw::{OverridesSection, SkippedRecord};
pub use reference::reference;
pub(crate) use schema::of as schema;
pub use secret::Secret;
pub(crate) use standing::overrides_as_yaml;
pub(crate) use substitute::Variables;
pub(crate) use units::PerTime;
pub use units::{Period, Size, UnitError};

use crate::api::ApiConfig;
use crate::daemon::MissingDeadLetterTopic;
use crate::kafka::KafkaConfig;
use crate::pipeline::PipelineSettings;
use crate::pipeline::control::Layer;
use crate::record::Topic;
use crate::supervisor::RestartPolicy;
use crate::telemetry::LogFormat;
use raw::RawConfig;
use schema::Guide;
use serde_json::Value;
use tree::Node;

/// The key of the program's own section.
const APP: &str = "app";
/// What is said of it.
const APP_MEANING: &str = "The program's own settings, where it has any: see the program.";
/// The key of a cluster's properties.
const PROPERTIES: &str = "properties";

/// What a process is set up with. Valid: everything in it can work, as far as that can be told without connecting.
///
/// ```
/// use daemonry::app::Setup;
/// use daemonry::kafka::{KafkaConfig, KafkaProducer};
///
/// /// For a state that writes to Kafka too.
/// async fn connect(setup: Setup) -> anyhow::Result<std::sync::Arc<KafkaProducer>> {
///     let kafka: &KafkaConfig = setup.config().kafka("main").expect("the file names it");
///     Ok(std::sync::Arc::new(KafkaProducer::new(kafka)?))
/// }
/// # drop(connect);
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) api: Option<ApiConfig>,
    pub(crate) fleet: Option<FleetSettings>,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: String,
    pub(crate) drain: Duration,
    pub(crate) grace: Duration,
    /// How often a daemon that failed is started again.
    pub(crate) restart: RestartPolicy,
    clusters: BTreeMap<String, KafkaConfig>,
    /// The daemons that this process runs, in the program's order.
    pub(crate) enabled: Vec<String>,
    /// Those of them that read topics.
    pub(crate) consumers: BTreeMap<String, ConsumerSettings>,
    /// What each of those reads, and those that only somebody else's program knows.
    readers: BTreeMap<String, Reader>,
}

/// Where the processes of the program tell of themselves, and where what operators order stands.
#[derive(Clone, Debug)]
pub(crate) struct FleetSettings {
    /// The cluster's name.
    pub(crate) cluster: String,
    pub(crate) kafka: KafkaConfig,
    pub(crate) reports: Topic,
    pub(crate) control: Topic,
}

/// Whoever reads topics.
#[derive(Clone, Debug)]
struct Reader {
    /// The cluster's name.
    cluster: String,
    /// The cluster, with the reader's group.
    kafka: KafkaConfig,
}

impl Config {
    /// A cluster by its name under `kafka`, with the cluster's group, if it has one.
    pub fn kafka(&self, cluster: &str) -> Option<&KafkaConfig> {
        self.clusters.get(cluster)
    }

    /// The cluster that a consumer daemon reads, with the daemon's group; none where there is no such daemon, or it isn't enabled.
    pub fn kafka_of(&self, daemon: &str) -> Option<&KafkaConfig> {
        self.consumers.get(daemon).map(|consumer| &consumer.kafka)
    }

    /// The clusters' names.
    pub fn clusters(&self) -> impl Iterator<Item = &str> {
        self.clusters.keys().map(String::as_str)
    }

    /// The daemons that this process runs.
    pub fn daemons(&self) -> impl Iterator<Item = &str> {
        self.enabled.iter().map(String::as_str)
    }
}

/// What a consumer daemon is set up with.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerSettings {
    pub(crate) kafka: KafkaConfig,
    pub(crate) pipeline: PipelineSettings,
    pub(crate) missing_dead_letter_topic: MissingDeadLetterTopic,
    pub(crate) handler_threads: Option<NonZeroUsize>,
    /// How it is steered from its start.
    pub(crate) steered: Layer,
    pub(crate) changes: RouteChanges,
}

/// Where a configuration comes from.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'s> {
    /// The file's name, for messages.
    pub(crate) file: &'s str,
    /// What it holds.
    pub(crate) text: &'s str,
    pub(crate) variables: &'s Variables,
    /// `KEY=VALUE`, the later ones counting more.
    pub(crate) flags: &'s [String],
}

/// A configuration with what it was made from.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// What was set by the environment and the command line: names of variables, and keys.
    pub(crate) overrides: Vec<String>,
    /// The program's own section.
    pub(crate) own: Document,
    raw: RawConfig,
    tree: Node,
}

/// Reads and checks everything.
///
/// # Errors
/// Everything that is wrong.
pub(crate) fn load(sources: Sources<'_>, program: &Program<'_>) -> Result<Loaded, Faults> {
    let mut faults = Vec::new();
    let tree = match yaml::parse(sources.file, sources.text, &mut faults) {
        Ok(tree) => tree,
        Err(fault) => {
            faults.push(fault);
            return Err(Faults::new(faults));
        }
    };
    let mut document = Document::new(sources.file, tree, faults);
    let keys = schema::of_every_program();
    let overrides = overrides::apply(&mut document, Guide::new(&keys), program, sources.variables, sources.flags);
    put_in(&mut document, sources.variables);
    let (own, tree) = (document.section(&KeyPath::of([APP])), document.root().clone());
    if let Some(read) = program.app {
        read(&mut document);
        document.root_mut().take(&KeyPath::of([APP]));
    }
    let raw: RawConfig = document.read(&KeyPath::default()).unwrap_or_default();
    let config = resolve::resolve(&raw, &mut document, program);
    let faults = document.into_faults();
    if faults.is_empty() { Ok(Loaded { config, overrides, own, raw, tree }) } else { Err(Faults::new(faults)) }
}

/// Puts in what stands for `${…}` in the file's values.
fn put_in(document: &mut Document, variables: &Variables) {
    let mut problems = Vec::new();
    document.root_mut().scalars(&KeyPath::default(), &mut |path, place, scalar| {
        if matches!(place, Place::At(..))
            && let Err(problem) = substitute::substitute(scalar, variables)
        {
            problems.push((path.clone(), problem));
        }
    });
    for (path, problem) in problems {
        document.refuse(&path, problem);
    }
}

impl Loaded {
    /// The configuration in force as YAML, with every default, and the routes as they are; without secrets.
    pub(crate) fn print(&self, program: &Program<'_>) -> String {
        let mut raw = self.raw.clone();
        for (name, reads) in &program.daemons {
            let (Reads::Topics(routes), Some(section)) = (reads, raw.daemons.get_mut(*name)) else { continue };
            section.topics = routes.effective(&resolve::changes(section));
        }
        let mut value = serde_json::to_value(&raw).unwrap_or(Value::Null);
        for (name, reads) in &program.daemons {
            if let (Reads::Nothing, Some(section)) = (reads, self.raw.daemons.get(*name)) {
                value["daemons"][*name] = serde_json::json!({ "enabled": section.enabled });
            }
        }
        if let Some(app) = self.tree.entry(APP) {
            print::insert(&mut value, APP, print::own(&app.value, &KeyPath::of([APP])));
        }
        print::print(value, &self.tree)
    }
}

#[cfg(test)]
mod tests;
