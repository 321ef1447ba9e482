//! The topics: are they there, and may we read them? Asked before the group is joined, and again as long as a trouble stands.
//!
//! The answer tells more than itself: that the brokers are reached, and let us in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use tracing::info;

use super::client::Client;
use super::config::GroupProtocol;
use super::describe::{Described, describe};
use super::errand::Errand;
use super::faults;
use super::obstacles::Obstacle;
use super::session::{Halt, Surroundings};
use super::trouble::Until;
use crate::pipeline::source::SourceError;
use crate::record::Topic;

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before it is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// For how long a topic may have been out of sight before that is noticed.
const UNNOTICED: Duration = Duration::from_secs(10);
/// How often a topic must be missing until it is: a broker learns of a new one a moment later than another.
const SURE: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Startup {
    stage: Stage,
    joined: bool,
    missing: u32,
    /// The group's client may have lost sight of a topic, and would look again only minutes later.
    lost_sight: bool,
    /// Since when a topic has been out of sight, as far as is known.
    blind: Option<Instant>,
    /// When partitions were given or taken last.
    rebalanced: Option<Instant>,
}

#[derive(Debug)]
enum Stage {
    Due(Instant),
    Asking(Errand<Finding>),
    /// The group is left, to be joined anew once nothing is assigned any more.
    Leaving,
    /// Nothing to ask, as far as is known.
    Content,
}

#[derive(Debug, PartialEq, Eq)]
enum Finding {
    AllThere,
    Missing(Topic),
    /// Of these topics we see something, but not what we need.
    Forbidden(Vec<Topic>),
    Unreachable,
}

impl Startup {
    /// At once.
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Due(Instant::now()),
            joined: false,
            missing: 0,
            lost_sight: false,
            blind: None,
            rebalanced: None,
        }
    }

    /// When to look again at the latest.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Due(at) => Some(at),
            _ => None,
        }
    }

    /// Something is wrong with a topic: asks what.
    pub(super) fn look_again(&mut self) {
        self.lost_sight = true;
        if matches!(self.stage, Stage::Content) {
            self.stage = Stage::Due(Instant::now());
        }
    }

    fn lose_sight(&mut self) {
        self.lost_sight = true;
        self.blind.get_or_insert_with(Instant::now);
    }

    /// The group has given us partitions, or taken some.
    pub(super) fn rebalanced(&mut self) {
        self.rebalanced = Some(Instant::now());
    }

    /// Goes as far as it can without waiting. `is_free`: nothing is assigned, nor is a rebalance under way.
    pub(super) fn advance(
        &mut self,
        client: &Arc<Client>,
        around: &mut Surroundings,
        is_free: bool,
    ) -> Result<(), Halt> {
        if matches!(self.stage, Stage::Leaving) && is_free {
            self.subscribe(client, around)?;
            self.stage = Stage::Content;
        }
        if matches!(self.stage, Stage::Content) && around.mailbox.is_in_trouble() {
            self.stage = later();
        }
        if matches!(self.stage, Stage::Due(at) if Instant::now() >= at) {
            let (client, topics) = (Arc::clone(client), around.topics());
            let errand = Errand::run("kafka-topics", &around.wake, move || {
                find(describe(client.consumer().client(), &topics, PATIENCE))
            });
            self.stage = errand.map_or_else(|_| later(), Stage::Asking);
        }
        let Stage::Asking(errand) = &self.stage else { return Ok(()) };
        let Some(finding) = errand.answer() else { return Ok(()) };
        self.stage = later();
        let Some(finding) = finding else { return Ok(()) };
        if finding != Finding::Unreachable {
            around.was_reached = true;
            around.heard = Instant::now();
            client.obstacles().clear();
        }
        match finding {
            Finding::AllThere => {
                around.mailbox.answered();
                self.stage = Stage::Content;
                self.join(client, around)
            }
            Finding::Missing(topic) => {
                self.missing += 1;
                // A topic that is deleted under a running daemon may come back; one that never was there is a mistake.
                if self.missing < SURE && !around.was_assigned {
                    self.stage = Stage::Due(Instant::now() + AGAIN / 3);
                    return Ok(());
                }
                self.lose_sight();
                around.mistake(faults::missing(&topic))
            }
            Finding::Forbidden(topics) => {
                self.lose_sight();
                around.mistake(faults::forbidden(&topics))
            }
            Finding::Unreachable => match client.obstacles().last() {
                Some(Obstacle::Refused(say)) if !around.was_reached => Err(Halt::Refused(say)),
                obstacle => {
                    around.mailbox.trouble(Until::Answered, faults::unreachable(obstacle, &around.config));
                    Ok(())
                }
            },
        }
    }

    /// Joins the group; or, if it is a member already, has it look at the topics again.
    fn join(&mut self, client: &Client, around: &Surroundings) -> Result<(), Halt> {
        let (lost_sight, blind) = (std::mem::take(&mut self.lost_sight), self.blind.take());
        if self.joined && !lost_sight {
            return Ok(());
        }
        // The member that led that rebalance may have assigned nothing of a topic that it did not see, and nothing brings about another
        // one: librdkafka takes the topic for unchanged. Under KIP-848 the brokers assign.
        let was_blind = self.rebalanced.zip(blind).is_some_and(|(at, since)| at + UNNOTICED >= since);
        if self.joined && was_blind && around.config.protocol != GroupProtocol::Consumer {
            info!("the group is joined anew, since it rebalanced while topics were out of sight");
            client.consumer().unsubscribe();
            self.stage = Stage::Leaving;
            return Ok(());
        }
        self.subscribe(client, around)
    }

    fn subscribe(&mut self, client: &Client, around: &Surroundings) -> Result<(), Halt> {
        let topics = around.topics();
        let names: Vec<&str> = topics.iter().map(Topic::as_str).collect();
        client
            .consumer()
            .subscribe(&names)
            .map_err(|error| Halt::Rebuild(format!("the topics could not be subscribed: {error}")))?;
        self.joined = true;
        self.missing = 0;
        Ok(())
    }
}

impl Surroundings {
    /// What can't work as it is set up ends the source, but only as long as nothing ever worked: later it was somebody else's change,
    /// which may be undone.
    pub(super) fn mistake(&self, say: String) -> Result<(), Halt> {
        if !self.was_assigned {
            return Err(Halt::Fail(SourceError::Misconfigured(say)));
        }
        self.mailbox.trouble(Until::Answered, say);
        Ok(())
    }
}

fn later() -> Stage {
    Stage::Due(Instant::now() + AGAIN)
}

/// What the brokers' answer comes down to.
fn find(answer: Result<Vec<Described>, Code>) -> Finding {
    let Ok(topics) = answer else { return Finding::Unreachable };
    let is_forbidden = |described: &&Described| match described.partitions {
        Err(code) => code == Code::TopicAuthorizationFailed,
        Ok(_) => described.rights.is_some_and(|rights| !rights.read),
    };
    let forbidden: Vec<Topic> = topics.iter().filter(is_forbidden).map(|described| described.topic.clone()).collect();
    if !forbidden.is_empty() {
        return Finding::Forbidden(forbidden);
    }
    // Any other error is a passing one: the group can be joined meanwhile.
    let unknown = [Code::UnknownTopicOrPartition, Code::UnknownTopic, Code::InvalidTopic];
    let missing = topics.into_iter().find(|described| described.partitions.is_err_and(|code| unknown.contains(&code)));
    missing.map_or(Finding::AllThere, |described| Finding::Missing(described.topic))
}

#[cfg(test)]
mod tests {
    use super::super::native::Rights;
    use super::*;

    fn described(topic: &str, partitions: Result<usize, Code>, read: Option<bool>) -> Described {
        Described {
            topic: Topic::from(topic),
            partitions,
            rights: read.map(|read| Rights { read, write: false }),
            id: None,
        }
    }

    #[test]
    fn all_topics_that_may_not_be_read_are_named_at_once() {
        let answer = vec![
            described("fine", Ok(1), Some(true)),
            described("hidden", Err(Code::TopicAuthorizationFailed), None),
            described("seen", Ok(1), Some(false)),
            described("missing", Err(Code::UnknownTopicOrPartition), None),
        ];
        assert_eq!(find(Ok(answer)), Finding::Forbidden(vec!["hidden".into(), "seen".into()]));
    }

    #[test]
    fn brokers_that_tell_no_rights_are_believed_to_grant_them() {
        assert_eq!(find(Ok(vec![described("fine", Ok(1), None)])), Finding::AllThere);
    }

    #[test]
    fn an_error_that_passes_keeps_nobody_from_joining() {
        assert_eq!(find(Ok(vec![described("busy", Err(Code::RequestTimedOut), None)])), Finding::AllThere);
    }
}
