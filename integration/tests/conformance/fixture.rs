//! What a source's side has to bring, so that the statements can be asked of it.

use std::time::Duration;

use daemonry::pipeline::source::{Committer, Source};
use daemonry::pipeline::subscription::Subscription;
use daemonry::pipeline::tracker::{OffsetCommit, OffsetTracker};
use integration::Message;
use integration::topics::Committed;

/// How the lanes of all members are told apart: metadata that a test writes by hand has to name them.
pub(crate) const LANES: &str = "key";

/// A topic, and a group that reads it. Each test has its own.
///
/// All but the source itself may block: nothing else goes on meanwhile, and what the sources do stands still with it.
pub(crate) trait Fixture: Sized {
    /// The source that is asked.
    type Source: Source<Progress = OffsetTracker, Committer: Committer<Commit = OffsetCommit>>;

    /// The name of a topic that is still to be made, and a group without a member. Its members keep a revoked partition for `drain` at most.
    fn announce(drain: Duration) -> Self;

    /// The same with a topic of so many partitions.
    fn start(partitions: u16, drain: Duration) -> Self {
        let fixture = Self::announce(drain);
        fixture.create(fixture.topic(), partitions);
        fixture
    }

    /// The topic's name. No other test has topics that begin with it.
    fn topic(&self) -> &str;

    /// Makes a topic.
    fn create(&self, topic: &str, partitions: u16);

    /// One more member of the group, which reads the topic.
    fn join(&self) -> Self::Source {
        self.join_by(Subscription::new().topic(self.topic(), LANES))
    }

    /// One that reads this.
    fn join_by(&self, subscription: Subscription) -> Self::Source;

    /// Appends to a partition, in this order.
    fn produce(&self, partition: i32, messages: &[Message]);

    /// Has the end of a partition move on by some offsets that no record comes for.
    fn leave_gap(&self, partition: i32);

    /// Where a partition ends: the offset that its next record will get.
    fn end(&self, partition: i32) -> i64;

    /// What the group committed of a partition, seen from outside.
    fn committed(&self, partition: i32) -> Option<Committed>;
}

/// Longer than any test takes to complete a revocation.
pub(crate) const AMPLE: Duration = Duration::from_secs(30);

/// A topic whose partitions hold `count` records each, by the number in their value; and a group.
pub(crate) fn filled<F: Fixture>(partitions: u16, count: usize) -> F {
    let fixture = F::start(partitions, AMPLE);
    for partition in 0..i32::from(partitions) {
        fixture.produce(partition, &numbered(0..count));
    }
    fixture
}

/// Messages with these numbers as their values.
pub(crate) fn numbered(numbers: std::ops::Range<usize>) -> Vec<Message> {
    numbers.map(|number| Message::new(number.to_string())).collect()
}
