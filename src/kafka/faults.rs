//! What librdkafka's errors mean for the source, and what to do about them.

use rdkafka::error::RDKafkaErrorCode as Code;
use tracing::warn;

use super::native::Failure;
use super::session::{Halt, Surroundings};
use crate::pipeline::source::SourceError;
use crate::record::TopicPartition;

/// An error that the client gets over by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Part of a normal day: a connection that was closed.
    Noise,
    /// Worth a line in the log.
    Worth,
    /// The pipeline should know.
    Trouble(String),
    /// It won't go away before somebody changes something.
    Mistake(String),
}

/// An error after which the client goes on.
pub(super) fn passing(code: Code, reason: &str, around: &Surroundings) -> Fault {
    let config = &around.config;
    match code {
        Code::AllBrokersDown => {
            Fault::Trouble(format!("no broker of `{}` can be reached ({reason}): the client goes on trying", config.brokers))
        }
        Code::Authentication => Fault::Trouble(format!("the brokers refuse our credentials ({reason}): check the `sasl.` and `ssl.` properties")),
        Code::GroupAuthorizationFailed => {
            Fault::Mistake(format!("not authorised to read as group `{}`: grant this user READ on the group", config.group))
        }
        Code::TopicAuthorizationFailed => Fault::Mistake(format!("not authorised to read ({reason}): grant this user DESCRIBE and READ on the topic")),
        Code::InconsistentGroupProtocol => Fault::Mistake(format!(
            "the members of group `{}` don't agree on a protocol: set the same `protocol` for all of them, and move step by step",
            config.group
        )),
        Code::InvalidSessionTimeout => Fault::Mistake(
            "the brokers refuse the session timeout: keep it between their `group.min.session.timeout.ms` and `group.max.session.timeout.ms`"
                .to_owned(),
        ),
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            Fault::Trouble(format!("a topic is gone ({reason}): create it again, or correct the route's topic"))
        }
        Code::BrokerTransportFailure | Code::OperationTimedOut | Code::Resolve => Fault::Noise,
        _ => Fault::Worth,
    }
}

/// An error after which this client does nothing more.
pub(super) fn fatal(code: Code, reason: &str, around: &Surroundings) -> Result<(), Halt> {
    let config = &around.config;
    Err(match code {
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
        Code::GroupAuthorizationFailed if !around.was_assigned => Halt::Fail(SourceError::Misconfigured(format!(
            "not authorised to read as group `{}`: grant this user READ on the group",
            config.group
        ))),
        _ => Halt::Rebuild(format!("the client has failed for good: {reason}")),
    })
}

/// An error that came in the place of a partition's records.
pub(super) fn of_partition(place: &TopicPartition, failure: &Failure, around: &Surroundings) -> Result<(), Halt> {
    match failure.code {
        // librdkafka would pass over the batch and go on behind it: its records would be lost without a word.
        Code::BadMessage
        | Code::BadCompression
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidRecord
        | Code::NotImplemented
        | Code::MessageSizeTooLarge
        | Code::Underflow => Err(Halt::Fail(SourceError::Failed(format!(
            "records of {place} can't be read ({}): repair the topic, or move the group's offset past them",
            failure.reason
        )))),
        code => {
            let partition = place.partition.0;
            warn!(topic = %place.topic, partition, error = failure.reason, "a partition can't be read for now");
            match passing(code, &failure.reason, around) {
                Fault::Trouble(say) => around.mailbox.trouble(SourceError::Transient(say)),
                Fault::Mistake(say) => return around.only_at_start(Halt::Fail(SourceError::Misconfigured(say))),
                Fault::Noise | Fault::Worth => {}
            }
            Ok(())
        }
    }
}
