//! The brokers' own log of what groups commit, `__consumer_offsets`: every commit that they took, in their order and with their time.
//!
//! Who asks a group from time to time what it has committed sees some of them; here are all. Read by the format's description, without
//! librdkafka's help: it has none for this.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use daemonry::record::{NextOffset, Partition};

use crate::checker::{Coverage, Sample};
use crate::ledger::Entry;
use crate::message::Message;
use crate::topics::{Committed, Topics};

const TOPIC: &str = "__consumer_offsets";
/// What the clocks of two processes of one machine may differ by, when each counts from its own start: milliseconds.
const SKEW: u64 = 5;

/// One commit of one partition; `None`: what was committed is forgotten.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Commit {
    partition: Partition,
    committed: Option<Committed>,
    /// Under which leader what is committed was read, where that was told.
    leader_epoch: Option<i32>,
    unix_ms: u64,
}

/// What the brokers took of a group's commits of a topic since this time, milliseconds since 1970: what was committed after each of them, and how
/// much stood in the ledger then.
///
/// # Errors
/// When the log can't be read, or has something else in it than its format says.
pub(crate) fn read(topics: &Topics, group: &str, topic: &str, since_ms: u64, ledger: &[Entry]) -> Result<Vec<Sample>> {
    // It is made when the first group is.
    if !topics.exists(TOPIC)? {
        return Ok(Vec::new());
    }
    let partition = partition_of(group, topics.partitions(TOPIC)?.len())?;
    let stored = topics.read_since(TOPIC, partition, since_ms)?;
    let commits = stored.iter().map(|stored| commit(&stored.message, stored.unix_ms, group, topic));
    let commits = commits.filter_map(Result::transpose).collect::<Result<Vec<_>>>()?;
    Ok(samples(&commits, ledger))
}

/// The states that commits lead to, one after the other. Those of one request are one.
fn samples(commits: &[Commit], ledger: &[Entry]) -> Vec<Sample> {
    let finished = Finished::of(ledger);
    let (mut samples, mut committed): (Vec<Sample>, _) = (Vec::new(), BTreeMap::new());
    let mut leader_epochs = BTreeMap::new();
    let mut together: Vec<Partition> = Vec::new();
    let mut before = None;
    for commit in commits {
        let is_apart = before != Some(commit.unix_ms) || together.contains(&commit.partition);
        if is_apart {
            together.clear();
        }
        together.push(commit.partition);
        before = Some(commit.unix_ms);
        match &commit.committed {
            Some(Committed { next, metadata }) => {
                committed.insert(commit.partition, Coverage::of(next.offset(), metadata))
            }
            None => committed.remove(&commit.partition),
        };
        match commit.leader_epoch {
            Some(epoch) => leader_epochs.insert(commit.partition, epoch),
            None => leader_epochs.remove(&commit.partition),
        };
        let ledger_bytes = finished.bytes_at(commit.unix_ms + SKEW);
        let (committed, leader_epochs) = (committed.clone(), leader_epochs.clone());
        let sample = Sample { committed, leader_epochs, ledger_bytes, unix_ms: commit.unix_ms };
        match samples.last_mut().filter(|_| !is_apart) {
            Some(last) => *last = sample,
            None => samples.push(sample),
        }
    }
    samples
}

/// How long the ledger was at a time: its lines are nearly in the order of their times.
struct Finished(Vec<(u64, u64)>);

impl Finished {
    fn of(ledger: &[Entry]) -> Self {
        let ends = ledger.iter().skip(1).map(|entry| entry.at).chain([u64::MAX]);
        let mut times: Vec<(u64, u64)> = ledger.iter().map(|entry| entry.unix_ms).zip(ends).collect();
        times.sort_unstable();
        let mut most = 0;
        times.iter_mut().for_each(|(_, end)| {
            most = most.max(*end);
            *end = most;
        });
        Self(times)
    }

    fn bytes_at(&self, unix_ms: u64) -> u64 {
        let later = self.0.partition_point(|(time, _)| *time <= unix_ms);
        later.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

/// Where a group's commits stand: its name's hash, as Java has it, by the number of partitions.
fn partition_of(group: &str, partitions: usize) -> Result<Partition> {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // The lowest number has no counterpart, and counts as 0.
    let positive = usize::try_from(hash.checked_abs().unwrap_or(0))?;
    ensure!(partitions > 0, "{TOPIC} has no partition");
    Ok(Partition(i32::try_from(positive % partitions)?))
}

/// What a record of the log says, where it is a commit of this group and topic.
fn commit(message: &Message, stored_ms: Option<i64>, group: &str, topic: &str) -> Result<Option<Commit>> {
    let mut key = Bytes(message.key.as_deref().context("a record without a key")?);
    // Others are of members and generations.
    if !matches!(key.i16()?, 0 | 1) || key.text()? != group || key.text()? != topic {
        return Ok(None);
    }
    let partition = Partition(key.i32()?);
    let stored_ms = u64::try_from(stored_ms.unwrap_or_default())?;
    let Some(value) = message.value.as_deref() else {
        return Ok(Some(Commit { partition, committed: None, leader_epoch: None, unix_ms: stored_ms }));
    };
    let mut value = Bytes(value);
    let version = value.i16()?;
    ensure!((0..=4).contains(&version), "a commit of version {version}");
    let next = NextOffset::at(value.i64()?);
    // Below 0 where it isn't known.
    let leader_epoch = if version >= 3 { Some(value.i32().context("the leader's epoch")?) } else { None };
    let leader_epoch = leader_epoch.filter(|epoch| *epoch >= 0);
    let metadata = if version >= 4 { value.compact_text()? } else { value.text()? };
    let unix_ms = u64::try_from(value.i64()?)?;
    Ok(Some(Commit { partition, committed: Some(Committed { next, metadata }), leader_epoch, unix_ms }))
}

/// Bytes that are being read.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().context("it ends too early")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.take()?))
    }

    fn text(&mut self) -> Result<String> {
        let length = self.i16()?;
        self.text_of(usize::try_from(length)?)
    }

    /// Of the protocol's flexible versions: the length is one higher, in seven bits a byte.
    fn compact_text(&mut self) -> Result<String> {
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let [byte] = self.take()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return self.text_of(length.checked_sub(1).context("a null text")?);
            }
            shift += 7;
            ensure!(shift < 32, "a length is too long");
        }
    }

    fn text_of(&mut self, length: usize) -> Result<String> {
        let (text, rest) = self.0.split_at_checked(length).context("it ends too early")?;
        self.0 = rest;
        Ok(String::from_utf8(text.to_vec())?)
    }
}

#[cfg(test)]
mod tests {
    use daemonry::record::Offset;

    use super::*;

    fn text(text: &str) -> Vec<u8> {
        let length = i16::try_from(text.len()).expect("a short one");
        [&length.to_be_bytes()[..], text.as_bytes()].concat()
    }

    fn key(group: &str, partition: i32) -> Vec<u8> {
        [&[0, 1][..], &text(group), &text("orders"), &partition.to_be_bytes()].concat()
    }

    fn value(version: i16, next: i64, metadata: &[u8], unix_ms: i64) -> Vec<u8> {
        let epoch: &[u8] = if version >= 3 { &[0, 0, 0, 7] } else { &[] };
        [&version.to_be_bytes()[..], &next.to_be_bytes(), epoch, metadata, &unix_ms.to_be_bytes(), &[0]].concat()
    }

    fn read(key: Vec<u8>, value: Option<Vec<u8>>) -> Result<Option<Commit>> {
        commit(&Message { key: Some(key), value, headers: Vec::new() }, Some(9), "shop", "orders")
    }

    #[test]
    fn a_commit_is_read_as_the_format_describes_it() -> Result<()> {
        let committed = |leader_epoch, unix_ms| {
            let committed = Some(Committed { next: NextOffset::at(300), metadata: "dm1".to_owned() });
            Some(Commit { partition: Partition(3), committed, leader_epoch, unix_ms })
        };
        for version in 0..=3 {
            let expected = committed((version == 3).then_some(7), 7);
            assert_eq!(read(key("shop", 3), Some(value(version, 300, &text("dm1"), 7)))?, expected, "{version}");
        }
        assert_eq!(read(key("shop", 3), Some(value(4, 300, b"\x04dm1", 8)))?, committed(Some(7), 8));
        let forgotten = Commit { partition: Partition(3), committed: None, leader_epoch: None, unix_ms: 9 };
        assert_eq!(read(key("shop", 3), None)?, Some(forgotten));
        assert_eq!(read(key("another", 3), Some(value(3, 300, &text(""), 7)))?, None);
        // Of a member.
        assert_eq!(read([&[0, 2][..], &text("shop")].concat(), None)?, None);
        assert!(read(key("shop", 3), Some(value(9, 300, &text(""), 7))).is_err());
        Ok(())
    }

    #[test]
    fn a_group_has_its_place_by_its_hash() -> Result<()> {
        // Of Java's "".hashCode(), "a".hashCode() and "polygenelubricants".hashCode(), which is the lowest number that there is.
        assert_eq!(partition_of("", 50)?, Partition(0));
        assert_eq!(partition_of("a", 50)?, Partition(97 % 50));
        // -1,008,770,331.
        assert_eq!(partition_of("orders", 50)?, Partition(31));
        assert_eq!(partition_of("polygenelubricants", 50)?, Partition(0));
        Ok(())
    }

    #[test]
    fn what_was_committed_at_once_is_one_sample_and_knows_what_was_finished() {
        let commit = |partition, next, unix_ms| Commit {
            partition: Partition(partition),
            committed: Some(Committed { next: NextOffset::at(next), metadata: String::new() }),
            leader_epoch: None,
            unix_ms,
        };
        let entry = |at, unix_ms| Entry {
            at,
            partition: Partition(0),
            offset: Offset(0),
            key: "-".to_owned(),
            id: "-".to_owned(),
            attempt: 1,
            pid: 1,
            unix_ms,
        };
        let ledger = [entry(0, 100), entry(10, 300), entry(20, 200)];
        let commits = [commit(0, 1, 150), commit(1, 5, 150), commit(0, 2, 150), commit(1, 7, 250)];
        let seen = |sample: &Sample| {
            let next = |partition| sample.committed.get(&Partition(partition)).map(|coverage| coverage.next);
            (next(0), next(1), sample.ledger_bytes, sample.unix_ms)
        };
        let samples: Vec<_> = samples(&commits, &ledger).iter().map(seen).collect();
        assert_eq!(
            samples,
            [
                (Some(1), Some(5), 10, 150),
                (Some(2), Some(5), 10, 150),
                // The line of 200 stands behind that of 300: what was not there yet is let pass with it.
                (Some(2), Some(7), u64::MAX, 250)
            ]
        );
    }
}
