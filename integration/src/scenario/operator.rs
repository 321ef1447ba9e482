//! What an operator, or a retention that has passed, does to a scenario's group and topic behind the processes' backs.
//!
//! For the verdict each is a seek: from its place on all runs again, and what lies below is left out.

use anyhow::Result;
use daemonry::record::{NextOffset, Offset, Partition};

use super::Scenario;
use crate::checker::Sought;
use crate::topics::Committed;

impl Scenario {
    /// Sets what the group has committed of a partition. No member may be there.
    ///
    /// # Errors
    /// When the brokers refuse, as they do while the group has members.
    pub fn reset(&mut self, partition: Partition, place: Offset) -> Result<()> {
        let asked = self.moment();
        let committed = Committed { next: NextOffset::at(place.0), metadata: String::new() };
        self.topics.group(&self.topic)?.commit(&self.topic, partition, &committed)?;
        let done = Some(self.moment());
        self.note_sought(Sought { partition, place, asked, done });
        Ok(())
    }

    /// Removes records, read or not: the group goes on behind them. No member may be there.
    ///
    /// # Errors
    /// When the brokers refuse.
    pub fn remove_records(&mut self, partition: Partition, below: Offset) -> Result<()> {
        let asked = self.moment();
        self.topics.remove_records(&self.topic, &[(partition, below)])?;
        let done = Some(self.moment());
        self.note_sought(Sought { partition, place: below, asked, done });
        Ok(())
    }

    /// Has all that the group has committed forgotten, in a way of the caller's: it begins again at the beginning of each partition. No
    /// member may be there.
    ///
    /// # Errors
    /// When the partitions can't be asked for, or the way fails.
    pub fn forget_commits(&mut self, way: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let asked = self.moment();
        way(self)?;
        let done = Some(self.moment());
        for partition in self.topics.partitions(&self.topic)? {
            self.note_sought(Sought { partition, place: Offset(0), asked, done });
        }
        Ok(())
    }
}
