//! Seeking: to have a partition go on at another place, while its daemon runs.

use std::fmt;

use tokio::sync::oneshot;

use crate::record::{NextOffset, Offset, Timestamp, TopicPartition};

/// Where a partition is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// At the first record that there is.
    Beginning,
    /// At its end: with the next record that is written.
    End,
    /// At this offset.
    Offset(Offset),
    /// At the first record that was written then or later; at the end where there is none.
    Time(Timestamp),
}

impl SeekTo {
    /// The place in this partition; see [`Seek::resolve`].
    pub(crate) fn resolve(
        self,
        topic_partition: &TopicPartition,
        first: Offset,
        end: Offset,
        at_time: impl FnOnce(Timestamp) -> Result<Option<Offset>, SeekError>,
    ) -> Result<Offset, SeekError> {
        match self {
            Self::Beginning => Ok(first),
            Self::End => Ok(end),
            Self::Time(time) => Ok(at_time(time)?.unwrap_or(end)),
            Self::Offset(offset) if (first..=end).contains(&offset) => Ok(offset),
            Self::Offset(_) => {
                Err(SeekError::OutOfRange { topic_partition: topic_partition.clone(), to: self, first, end })
            }
        }
    }
}

impl fmt::Display for SeekTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str("the beginning"),
            Self::End => f.write_str("the end"),
            Self::Offset(offset) => write!(f, "offset {offset}"),
            Self::Time(time) => write!(f, "{} ms after 1970", time.as_millis()),
        }
    }
}

/// Why a partition does not go on at another place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeekError {
    /// The daemon doesn't run, or stops before the partition went on elsewhere.
    #[error("the daemon does not run: start it, or set the group's offsets while it is idle")]
    NotRunning,
    /// The partition is not this process's, or was taken from it meanwhile.
    #[error("{0} is not assigned to this process: ask the one that has it")]
    NotAssigned(TopicPartition),
    /// There is no such place.
    #[error("{topic_partition} has no {to}: its records are those from {first} up to, not including, {end}")]
    OutOfRange {
        /// The partition.
        topic_partition: TopicPartition,
        /// Where it was to go on.
        to: SeekTo,
        /// Its first offset.
        first: Offset,
        /// The offset that its next record gets.
        end: Offset,
    },
    /// The source does not know where the place is, or could not go there; where it can't tell whether it did, it says so.
    #[error("{0}")]
    Failed(String),
    /// The source can't seek.
    #[error("this daemon's source can't seek")]
    Unsupported,
}

/// A wish on its way to the source. Dropped unanswered, it counts as not running.
#[derive(Debug)]
pub struct Seek {
    topic_partition: TopicPartition,
    to: SeekTo,
    reply: oneshot::Sender<Result<NextOffset, SeekError>>,
}

impl Seek {
    /// A wish, and where its answer comes.
    pub fn new(
        topic_partition: TopicPartition,
        to: SeekTo,
    ) -> (Self, oneshot::Receiver<Result<NextOffset, SeekError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { topic_partition, to, reply }, answer)
    }

    /// Which partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// Where it is to go on.
    pub fn to(&self) -> SeekTo {
        self.to
    }

    /// Whether nobody waits for it any more. What has not begun need not.
    pub fn is_forgotten(&self) -> bool {
        self.reply.is_closed()
    }

    /// The partition is assigned anew and goes on here, and that is committed.
    pub fn done(self, next: NextOffset) {
        // Nobody may wait any more.
        drop(self.reply.send(Ok(next)));
    }

    /// It can't be done.
    pub fn refuse(self, error: SeekError) {
        // As above.
        drop(self.reply.send(Err(error)));
    }

    /// The place, where the partition has these records: `first` is its first, `end` what its next one gets. `at_time` says where a time is.
    ///
    /// # Errors
    /// [`SeekError::OutOfRange`] where there is none, or what `at_time` says.
    pub fn resolve(
        &self,
        first: Offset,
        end: Offset,
        at_time: impl FnOnce(Timestamp) -> Result<Option<Offset>, SeekError>,
    ) -> Result<Offset, SeekError> {
        self.to.resolve(&self.topic_partition, first, end, at_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_found_where_there_is_one() {
        let [then, later] = [1_000, 2_000].map(|millis| Timestamp::from_millis(millis).expect("a time"));
        let resolve = |to| {
            let (seek, _) = Seek::new(TopicPartition::new("orders", 3), to);
            seek.resolve(Offset(10), Offset(20), |time| Ok((time == then).then_some(Offset(13))))
        };
        let places = [SeekTo::Beginning, SeekTo::End, SeekTo::Time(then), SeekTo::Time(later)];
        assert_eq!(places.map(resolve), [Ok(Offset(10)), Ok(Offset(20)), Ok(Offset(13)), Ok(Offset(20))]);
        assert_eq!(resolve(SeekTo::Offset(Offset(20))), Ok(Offset(20)));
        let error = resolve(SeekTo::Offset(Offset(21))).unwrap_err().to_string();
        assert_eq!(error, "orders[3] has no offset 21: its records are those from 10 up to, not including, 20");
    }
}
