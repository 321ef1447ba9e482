//! What a scenario's topic loses: all of it, where it is made anew, or the end of a log.
//!
//! What was written before is no longer what [`produced`](Scenario::produced) tells of. It is judged all the same.

use std::time::Duration;

use anyhow::{Result, ensure};
use daemonry::record::{Offset, Partition};

use super::Scenario;
use crate::checker::{Former, Gone, Moment, Sought};
use crate::patience::{unix_ms, until_true};

impl Scenario {
    /// Deletes its topic, waits for its end, and makes it anew with as many partitions.
    ///
    /// # Errors
    /// When the brokers refuse, or take too long.
    pub fn make_anew(&mut self, deadline: Duration) -> Result<()> {
        let (unix_ms, ends) = (unix_ms(), self.topics.ends(&self.topic)?);
        self.topics.delete(&self.topic)?;
        until_true(deadline, "the end of the topic", || Ok(!self.topics.exists(&self.topic)?))?;
        self.topics.create(&self.topic, u16::try_from(ends.len())?, &[])?;
        for (partition, end) in ends {
            self.lose(partition, Gone::Topic, end, unix_ms)?;
        }
        Ok(())
    }

    /// Notes that the log of a partition, which ended at `end`, was cut: what stood at `from` and behind it is gone. At the time `unix_ms` it
    /// was whole.
    ///
    /// # Errors
    /// When a seek of it was noted before.
    pub fn note_cut(&mut self, partition: Partition, from: Offset, end: Offset, unix_ms: u64) -> Result<()> {
        self.lose(partition, Gone::From(from), end, unix_ms)
    }

    fn lose(&mut self, partition: Partition, gone: Gone, end: Offset, unix_ms: u64) -> Result<()> {
        // Of which of the two it was isn't known.
        ensure!(self.seeks.iter().all(|sought| sought.partition != partition), "a seek of {partition} came before");
        let from = match gone {
            Gone::Topic => Offset(0),
            Gone::From(from) => from,
        };
        let is_gone = |stored: &crate::Stored| stored.partition == partition && stored.offset >= from;
        let produced = self.produced.extract_if(.., |produced| is_gone(&produced.stored)).collect();
        self.former.push(Former { partition, gone, produced, end, unix_ms });
        Ok(())
    }

    /// Notes that a partition goes on at this place since this moment, as a policy says: what stands below it is passed over.
    pub fn note_passed_over(&mut self, partition: Partition, place: Offset, since: Moment) {
        let done = Some(self.moment());
        self.note_sought(Sought { partition, place, asked: since, done });
    }
}
