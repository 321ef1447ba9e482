//! Waiting for what is to become of a scenario's records.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use daemonry::record::{Offset, Partition};

use super::Scenario;
use crate::checker::{Fate, Moment, Owed, Produced, origin, owed};
use crate::ledger;
use crate::member::Member;
use crate::patience::{until, until_true};

/// Some of the places of records that are missing.
fn first<T>(places: &BTreeMap<(Partition, Offset), T>) -> String {
    format!("{:?}", places.keys().take(5).collect::<Vec<_>>())
}

impl Scenario {
    /// Waits for lines of the ledger that satisfy a condition.
    ///
    /// # Errors
    /// When they don't in time.
    pub fn until_ledger(
        &mut self,
        deadline: Duration,
        what: &str,
        mut enough: impl FnMut(&[ledger::Entry]) -> bool,
    ) -> Result<()> {
        until_true(deadline, what, || Ok(enough(self.ledger.read()?)))
    }

    /// Waits until `count` more successes stand in the ledger.
    ///
    /// # Errors
    /// When they don't in time.
    pub fn until_more(&mut self, count: usize, deadline: Duration) -> Result<()> {
        let enough = self.entries()?.len() + count;
        self.until_ledger(deadline, &format!("{count} more successes"), |entries| entries.len() >= enough)
    }

    /// Waits until a process has written to the ledger.
    ///
    /// # Errors
    /// When it doesn't in time, or has ended.
    pub fn until_works(&mut self, member: &mut Member, deadline: Duration) -> Result<()> {
        let (pid, log) = (member.pid(), member.log_path().to_owned());
        until_true(deadline, &format!("the first success of process {pid}, log {}", log.display()), || {
            if let Some(status) = member.ended()? {
                anyhow::bail!("process {pid} ended ({status}), log {}", log.display());
            }
            Ok(self.ledger.read()?.iter().any(|entry| entry.pid == pid))
        })
    }

    /// Waits until all that was produced is in the ledger or a dead letter.
    ///
    /// # Errors
    /// When it isn't in time; says what is missing.
    pub fn settle(&mut self, deadline: Duration) -> Result<()> {
        self.settle_where(deadline, |_| true)
    }

    /// As [`settle`](Self::settle), for some of the records.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    pub fn settle_where(&mut self, deadline: Duration, mut chosen: impl FnMut(&Produced) -> bool) -> Result<()> {
        let (mut successes, mut letters) = (BTreeMap::new(), BTreeMap::new());
        for produced in self.produced.iter().filter(|produced| chosen(produced)) {
            let place = (produced.stored.partition, produced.stored.offset);
            let since = match owed(&self.seeks, place.0, place.1) {
                Owed::Nothing => continue,
                Owed::Once => Moment::default(),
                Owed::Since(moment) => moment,
            };
            match produced.fate {
                // A record of a topic that was before had the same place.
                Fate::Success => {
                    successes.insert(place, (since.ledger_bytes, produced.told_id()));
                }
                Fate::Letter(_) => {
                    letters.insert(place, since.unix_ms);
                }
            }
        }
        let mut seen = 0;
        let settled = until(deadline, "the rest of the records", || {
            for entry in &self.ledger.read()?[seen..] {
                seen += 1;
                if let Entry::Occupied(open) = successes.entry((entry.partition, entry.offset))
                    && open.get().0 <= entry.at
                    && open.get().1 == entry.id
                {
                    open.remove();
                }
            }
            if !successes.is_empty() {
                return Ok(None);
            }
            if !letters.is_empty() {
                for letter in self.topics.read(&self.letter_topic())?.iter().chain(&self.early_letters) {
                    let origin = origin(letter).context("a letter without its origin")?;
                    if let Entry::Occupied(open) = letters.entry(origin)
                        && letter.unix_ms.is_some_and(|written| *open.get() <= written.cast_unsigned())
                    {
                        open.remove();
                    }
                }
            }
            Ok(letters.is_empty().then_some(()))
        });
        if settled.is_err()
            && let Err(error) = self.note_letters()
        {
            // What is missing is the news, and not that there may be no topic of letters.
            eprintln!("{}: {error:#}", self.name);
        }
        settled.with_context(|| {
            // Letters are looked at once all successes are there.
            let missing = match successes.len() {
                0 => format!("{} letters are missing, the first of them {}", letters.len(), first(&letters)),
                count => format!("{count} successes are missing, the first of them {}", first(&successes)),
            };
            format!("{}: not settled: {missing}; ledger and logs in {}", self.name, self.path().display())
        })
    }

    /// Writes down where each letter stands and what it is the letter of, beside the logs that say where the brokers acknowledged it.
    fn note_letters(&self) -> Result<()> {
        let mut lines = String::new();
        for letter in self.topics.read(&self.letter_topic())? {
            let place = (letter.partition.0, letter.offset.0);
            writeln!(lines, "{place:?} at {:?} is of {:?}", letter.unix_ms, origin(&letter))?;
        }
        fs::write(self.path().join("letters.txt"), lines).context("cannot write down the letters")
    }

    /// Waits until the group has committed to the end of each partition, whatever that is worth.
    ///
    /// # Errors
    /// When it hasn't in time.
    pub fn until_committed_to_the_end(&self, deadline: Duration) -> Result<()> {
        let ends = self.topics.ends(&self.topic)?;
        let partitions: Vec<Partition> = ends.keys().copied().collect();
        let group = self.topics.group(&self.topic)?;
        until_true(deadline, "commits to the end of each partition", || {
            let committed = group.committed(&self.topic, &partitions)?;
            let at_end = |(partition, end): (&Partition, &Offset)| {
                end.0 == 0 || committed.get(partition).is_some_and(|committed| committed.next.offset() >= *end)
            };
            Ok(ends.iter().all(at_end))
        })
    }
}
