//! The start of a client: are the topics there, then join the group.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::RDKafkaRespErr;

use super::client::Client;
use super::errand::Errand;
use super::session::{Halt, Surroundings};
use crate::pipeline::source::SourceError;
use crate::record::Topic;

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before it is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often a topic must be missing until it is: a broker learns of a new one a moment later than another.
const SURE: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Startup {
    stage: Stage,
    missing: u32,
}

#[derive(Debug)]
enum Stage {
    Due(Instant),
    Asking(Errand<Finding>),
    Joined,
}

#[derive(Debug)]
enum Finding {
    AllThere,
    Missing(Topic),
    Forbidden(Topic),
    Unreachable(String),
}

impl Startup {
    /// At once.
    pub(super) fn new() -> Self {
        Self { stage: Stage::Due(Instant::now()), missing: 0 }
    }

    /// When to look again at the latest.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Due(at) => Some(at),
            _ => None,
        }
    }

    /// Goes as far as it can without waiting.
    pub(super) fn advance(&mut self, client: &Arc<Client>, around: &Surroundings) -> Result<(), Halt> {
        if matches!(self.stage, Stage::Due(at) if Instant::now() >= at) {
            let (client, topics) = (Arc::clone(client), around.topics());
            let errand = Errand::run("kafka-topics", &around.wake, move || find(&client, &topics));
            self.stage = errand.map_or_else(|_| later(), Stage::Asking);
        }
        let Stage::Asking(errand) = &self.stage else { return Ok(()) };
        let Some(finding) = errand.answer() else { return Ok(()) };
        self.stage = later();
        match finding {
            Some(Finding::AllThere) => {
                let topics = around.topics();
                let names: Vec<&str> = topics.iter().map(Topic::as_str).collect();
                client
                    .consumer()
                    .subscribe(&names)
                    .map_err(|error| Halt::Rebuild(format!("the topics could not be subscribed: {error}")))?;
                self.stage = Stage::Joined;
            }
            Some(Finding::Missing(topic)) => {
                self.missing += 1;
                let say = format!("topic `{topic}` does not exist: create it, or correct the route's topic");
                // A topic that is deleted under a running daemon may come back; one that never was there is a mistake.
                if self.missing >= SURE && !around.was_assigned {
                    return Err(Halt::Fail(SourceError::Misconfigured(say)));
                }
                if around.was_assigned {
                    around.mailbox.trouble(SourceError::Transient(say));
                } else {
                    self.stage = Stage::Due(Instant::now() + AGAIN / 3);
                }
            }
            Some(Finding::Forbidden(topic)) => {
                let say = format!("not authorised to read topic `{topic}`: grant this user DESCRIBE and READ on it");
                return Err(Halt::Fail(SourceError::Misconfigured(say))).or_else(|halt| around.only_at_start(halt));
            }
            Some(Finding::Unreachable(error)) => around.mailbox.trouble(SourceError::Transient(format!(
                "no broker of `{}` answers ({error}): check the address, the network and the brokers' listeners",
                around.config.brokers
            ))),
            None => {}
        }
        Ok(())
    }
}

fn later() -> Stage {
    Stage::Due(Instant::now() + AGAIN)
}

/// Asks for each topic by name, so that a broker never has to list them all.
fn find(client: &Client, topics: &[Topic]) -> Finding {
    for topic in topics {
        let metadata = match client.consumer().fetch_metadata(Some(topic.as_str()), PATIENCE) {
            Ok(metadata) => metadata,
            Err(error) => {
                return Finding::Unreachable(
                    error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string()),
                );
            }
        };
        let error = metadata.topics().iter().find(|found| found.name() == topic.as_str()).map(|found| found.error());
        match error.map(|error| error.map(|error: RDKafkaRespErr| Code::from(error))) {
            Some(None) => {}
            None | Some(Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::InvalidTopic)) => {
                return Finding::Missing(topic.clone());
            }
            Some(Some(Code::TopicAuthorizationFailed)) => return Finding::Forbidden(topic.clone()),
            // A leader that is being elected, for one: the group can be joined meanwhile.
            Some(Some(_)) => {}
        }
    }
    Finding::AllThere
}
