//! What librdkafka's errors mean for the source, and what to do about them.

use rdkafka::error::RDKafkaErrorCode as Code;
use tracing::{debug, warn};

use super::config::KafkaConfig;
use super::native::Failure;
use super::obstacles::Obstacle;
use super::session::{Halt, Surroundings};
use super::trouble::Until;
use crate::pipeline::source::SourceError;
use crate::record::{Topic, TopicPartition};

/// By this librdkafka's words tell batches that were compressed with zstd. It decompresses one only into a buffer no larger than
/// `receive.message.max.bytes`, which it makes three times as large with each try, and has the same error for one that is broken.
const ZSTD: &str = "codec 0x4";

/// An error that the client gets over by itself.
#[derive(Debug)]
pub(super) enum Fault {
    /// Part of a normal day: a connection that was closed.
    Noise,
    /// Worth a line in the log.
    Worth,
    /// Something about a topic: to be looked at.
    Topics,
    /// The pipeline should know.
    Trouble(Until, String),
    /// It won't go away before somebody changes something.
    Halt(Halt),
}

/// An error after which the client goes on. `obstacle`: what its connections met last.
pub(super) fn passing(code: Code, obstacle: Option<Obstacle>, around: &Surroundings) -> Fault {
    let config = &around.config;
    let mistake = |say: String| {
        if around.was_assigned {
            Fault::Trouble(Until::Assigned, say)
        } else {
            Fault::Halt(Halt::Fail(SourceError::Misconfigured(say)))
        }
    };
    match (code, obstacle) {
        (Code::AllBrokersDown, Some(Obstacle::Refused(say))) if !around.was_reached => Fault::Halt(Halt::Refused(say)),
        (Code::AllBrokersDown, obstacle) => Fault::Trouble(Until::Answered, unreachable(obstacle, config)),
        // One broker's; before any has let us in, the others may still.
        (Code::Authentication | Code::SSL, Some(obstacle)) if around.was_reached => {
            Fault::Trouble(Until::Answered, obstacle.say().to_owned())
        }
        (Code::GroupAuthorizationFailed, _) => mistake(group_forbidden(config)),
        (Code::InconsistentGroupProtocol, _) => mistake(format!(
            "the members of group `{}` don't agree on a protocol: set the same `protocol` for all of them, and move step by step",
            config.group
        )),
        (Code::InvalidSessionTimeout, _) => mistake(
            "the brokers refuse the session timeout: keep it between their `group.min.session.timeout.ms` and `group.max.session.timeout.ms`"
                .to_owned(),
        ),
        (code, _) if is_of_topic(code) => Fault::Topics,
        (Code::Authentication | Code::SSL | Code::BrokerTransportFailure | Code::OperationTimedOut | Code::Resolve, _) => {
            Fault::Noise
        }
        _ => Fault::Worth,
    }
}

/// No broker answers.
pub(super) fn unreachable(obstacle: Option<Obstacle>, config: &KafkaConfig) -> String {
    obstacle.map_or_else(
        || {
            format!(
                "no broker of `{}` answers: check the address, the network, the brokers' listeners and `security.protocol`",
                config.brokers
            )
        },
        |obstacle| obstacle.say().to_owned(),
    )
}

/// Topics that we may not read.
pub(super) fn forbidden(topics: &[Topic]) -> String {
    let names: Vec<String> = topics.iter().map(|topic| format!("`{topic}`")).collect();
    format!("not authorised to read topic {}: grant this user READ on it", names.join(", "))
}

/// A topic that isn't there.
pub(crate) fn missing(topic: &Topic) -> String {
    format!("topic `{topic}` does not exist: create it, or correct the route's topic")
}

/// The group, which we may not join or commit for.
pub(super) fn group_forbidden(config: &KafkaConfig) -> String {
    format!("not authorised to read as group `{}`: grant this user READ on the group", config.group)
}

/// Whether an error says that a topic is gone, or out of our sight.
pub(super) fn is_of_topic(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed | Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition
    )
}

/// An error after which this client does nothing more.
pub(super) fn fatal(code: Code, reason: &str, around: &Surroundings) -> Halt {
    let config = &around.config;
    match code {
        Code::FencedInstanceId => Halt::Fail(SourceError::Fatal(format!(
            "another member of group `{}` uses the instance id `{}` and has taken this one's place: give each process its own",
            config.group,
            config.instance_id.as_deref().unwrap_or_default()
        ))),
        Code::UnreleasedInstanceId => Halt::Taken(format!(
            "a member of group `{}` with the instance id `{}` has not left yet: it goes with its session timeout; if it is alive, give each process its own",
            config.group,
            config.instance_id.as_deref().unwrap_or_default()
        )),
        Code::UnsupportedVersion | Code::UnsupportedFeature | Code::UnsupportedAssignor if !around.was_assigned => {
            Halt::Fail(SourceError::Misconfigured(format!(
                "the brokers don't know the group protocol ({reason}): set `protocol` to `cooperative`, or update them to Apache Kafka 4.0 or later"
            )))
        }
        Code::GroupAuthorizationFailed if !around.was_assigned => {
            Halt::Fail(SourceError::Misconfigured(group_forbidden(config)))
        }
        Code::GroupAuthorizationFailed => Halt::Rebuild(group_forbidden(config)),
        _ => Halt::Rebuild(format!("the client has failed for good: {reason}")),
    }
}

/// An error that came in the place of a partition's records. Those are fetched again: librdkafka may have passed over them, and would go on
/// behind them without a word. Where that won't help before somebody does something about it, says what.
pub(super) fn of_partition(place: &TopicPartition, failure: &Failure, around: &Surroundings) -> Option<String> {
    match failure.code {
        Code::BadCompression if failure.reason.contains(ZSTD) => Some(format!(
            "a batch of {place} can't be read ({}), the partition waits: once it is decompressed it may be too large for the client, so set `receive.message.max.bytes` to three times its size; if it is broken, move the group's offset past it",
            failure.reason
        )),
        Code::BadMessage
        | Code::BadCompression
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidRecord
        | Code::NotImplemented
        | Code::MessageSizeTooLarge
        | Code::Underflow => Some(format!(
            "records of {place} can't be read ({}), the partition waits: repair the topic, or move the group's offset past them",
            failure.reason
        )),
        // It may be gone, and only the pattern's others are left. That is being looked at.
        code if is_of_topic(code)
            && code != Code::TopicAuthorizationFailed
            && around.selection.is_found(&place.topic) =>
        {
            let partition = place.partition.0;
            debug!(topic = %place.topic, partition, error = failure.reason, "a topic that a pattern has found can't be read");
            None
        }
        // Of all its partitions, second by second: it is enough to tell once.
        code if is_of_topic(code) => {
            let say = match code {
                Code::TopicAuthorizationFailed => forbidden(std::slice::from_ref(&place.topic)),
                _ => missing(&place.topic),
            };
            around.mailbox.trouble(Until::Fetched, say);
            None
        }
        _ => {
            let partition = place.partition.0;
            warn!(topic = %place.topic, partition, error = failure.reason, "a partition can't be read for now");
            None
        }
    }
}
