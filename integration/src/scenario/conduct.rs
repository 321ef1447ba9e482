//! How the processes of a scenario behave meanwhile: under watch, and held to go on in time.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, Result};
use daemonry::record::{Offset, Partition};

use super::Scenario;
use crate::checker::{Coverage, Look, Produced, Resumption, Vitals};
use crate::member::{Flags, Member};
use crate::patience::{unix_ms, until};
use crate::topics::Committed;
use crate::vitals::Watch;

/// How long a broker's answer may take where it is asked for again.
const PATIENCE: Duration = Duration::from_secs(3);

impl Scenario {
    /// Watches a process, which must have been started with `--admin`, for as long as it lives; what it holds and says counts for the verdict.
    ///
    /// # Errors
    /// As [`Watch::start`].
    pub fn watch(&mut self, member: &mut Member) -> Result<()> {
        self.watches.push(Watch::start(member)?);
        Ok(())
    }

    /// Starts a process under [watch](Self::watch).
    ///
    /// # Errors
    /// As both.
    pub fn start_watched(&mut self, flags: &Flags) -> Result<Member> {
        let mut member = self.start(&flags.clone().with("admin", "127.0.0.1:0"))?;
        self.watch(&mut member)?;
        Ok(member)
    }

    /// What watches a process.
    ///
    /// # Errors
    /// When nothing does.
    pub fn watch_of(&mut self, member: &Member) -> Result<&mut Watch> {
        let watch = self.watches.iter_mut().find(|watch| watch.pid() == member.pid());
        watch.context("it is not watched")
    }

    /// What watches its processes.
    pub fn watches(&mut self) -> &mut [Watch] {
        &mut self.watches
    }

    /// Watches a process no longer: it is to end before all is done.
    ///
    /// # Errors
    /// When it wasn't watched.
    pub fn unwatch(&mut self, member: &Member) -> Result<()> {
        let watched = self.watches.iter().position(|watch| watch.pid() == member.pid());
        let watch = self.watches.remove(watched.context("it is not watched")?);
        self.vitals.push(watch.stop(false)?);
        Ok(())
    }

    /// What was seen of the processes that were watched, once they are no longer.
    pub fn vitals(&self) -> &[Vitals] {
        &self.vitals
    }

    /// Ends the watching of processes whose work is done: they must have counted it all.
    pub(super) fn stop_watches(&mut self) -> Result<()> {
        /// The ends of partitions, which the lag is told by, are asked for every ten seconds.
        const COUNTED: Duration = Duration::from_secs(12);
        for watch in std::mem::take(&mut self.watches) {
            let written = self.ledger.read()?.iter().filter(|entry| entry.pid == watch.pid()).count() as u64;
            // One that doesn't count it, or isn't ready, is for the checker to tell.
            let is_ready = |status: &Option<(u16, String)>| status.as_ref().is_some_and(|(status, _)| *status == 200);
            let has_counted =
                |look: &Look| look.counts.is_some_and(|counts| counts.succeeded >= written && counts.lag == 0);
            drop(watch.until(COUNTED, "all counted", |look| has_counted(look) && is_ready(&look.ready)));
            self.vitals.push(watch.stop(true)?);
        }
        Ok(())
    }

    /// What was produced so far; not what a running load writes.
    pub fn produced(&self) -> &[Produced] {
        &self.produced
    }

    /// How long some of the records took from their acknowledgement to their first success, shortest first.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn latencies(&mut self, mut chosen: impl FnMut(&Produced) -> bool) -> Result<Vec<Duration>> {
        let place = |produced: &Produced| (produced.stored.partition, produced.stored.offset);
        let mut open: HashMap<_, u64> = self
            .produced
            .iter()
            .filter(|produced| chosen(produced))
            .map(|produced| (place(produced), produced.acknowledged_ms))
            .collect();
        let mut latencies = Vec::new();
        for entry in self.ledger.read()? {
            let since = open.remove(&(entry.partition, entry.offset));
            latencies.extend(since.map(|since| Duration::from_millis(entry.unix_ms.saturating_sub(since))));
        }
        latencies.sort_unstable();
        Ok(latencies)
    }

    /// Notes that from now on nothing hinders progress: it must go on within this bound.
    pub fn note_resumption(&mut self, after: &str, bound: Duration) {
        self.note_resumption_and_commit(after, bound, bound);
    }

    /// The same where commits may take longer: those of a group wait while it waits for a member that is no more.
    pub fn note_resumption_and_commit(&mut self, after: &str, bound: Duration, committed: Duration) {
        self.resumptions.push(Resumption { after: after.to_owned(), unix_ms: unix_ms(), bound, committed });
    }

    /// Notes that for so long from now on a commit may land that the network has held back, after a newer one.
    pub fn note_late_commits(&mut self, time: Duration) {
        let now = unix_ms();
        self.late_commits.push((now, now + u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
    }

    /// Waits until of each partition a record that came since the last such note is finished, and says how long that took.
    ///
    /// # Errors
    /// When one has none within the bound.
    pub fn until_resumed(&mut self) -> Result<Duration> {
        let Resumption { after, unix_ms: since, bound, .. } =
            self.resumptions.last().context("nothing was noted")?.clone();
        // Which records came later isn't known before the load is over: those behind the ends as they are now did.
        let mut open: Option<BTreeMap<Partition, Offset>> = None;
        let (mut read, mut last) = (0, since);
        let left = bound.saturating_sub(Duration::from_millis(unix_ms().saturating_sub(since)));
        let resumed = until(left, &format!("progress of each partition after {after}"), || {
            if open.is_none() {
                // A leader may not be there yet; and a client that saw no brokers listed may never find any again, see `Bootstrap`.
                open = self.topics.again()?.ends_within(&self.topic, PATIENCE).ok();
            }
            let Some(open) = &mut open else { return Ok(None) };
            let entries = self.ledger.read()?;
            for entry in &entries[read..] {
                if open.get(&entry.partition).is_some_and(|end| entry.offset >= *end) {
                    open.remove(&entry.partition);
                    last = entry.unix_ms;
                }
            }
            read = entries.len();
            Ok(open.is_empty().then_some(()))
        });
        resumed.with_context(|| format!("{}: none of {:?}", self.name, open.unwrap_or_default()))?;
        let took = Duration::from_millis(last.saturating_sub(since));
        eprintln!("{}: progress {took:?} after {after}", self.name);
        Ok(took)
    }

    /// Waits until of each partition a record that was finished since the last such note is committed, and says how long that took.
    ///
    /// # Errors
    /// When one has none within its time.
    pub fn until_committed(&mut self) -> Result<Duration> {
        let Resumption { after, unix_ms: since, committed, .. } =
            self.resumptions.last().context("nothing was noted")?.clone();
        let left = committed.saturating_sub(Duration::from_millis(unix_ms().saturating_sub(since)));
        let mut group = None;
        until(left, &format!("a commit of each partition after {after}"), || {
            let mut finished: BTreeMap<Partition, Offset> = BTreeMap::new();
            for entry in self.ledger.read()?.iter().rev().take_while(|entry| entry.unix_ms >= since) {
                finished.insert(entry.partition, entry.offset);
            }
            if finished.is_empty() {
                return Ok(None);
            }
            let asked = match &group {
                Some(group) => group,
                None => group.insert(self.topics.again()?.group(&self.topic)?),
            };
            let partitions: Vec<Partition> = finished.keys().copied().collect();
            // A coordinator may not be there yet; and a client that saw no brokers listed may never find any again.
            let Ok(committed) = asked.committed_within(&self.topic, &partitions, PATIENCE) else {
                group = None;
                return Ok(None);
            };
            let covers =
                |one: &Committed, offset: Offset| Coverage::of(one.next.offset(), &one.metadata).covers(offset.0);
            let is_covered = |(partition, offset): (&Partition, &Offset)| {
                committed.get(partition).is_some_and(|one| covers(one, *offset))
            };
            Ok(finished.iter().all(is_covered).then_some(()))
        })?;
        let took = Duration::from_millis(unix_ms().saturating_sub(since));
        eprintln!("{}: a commit {took:?} after {after}", self.name);
        Ok(took)
    }
}
