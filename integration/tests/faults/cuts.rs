//! A log that is cut below what was read of it: the only broker that was in sync is gone, and one that was not leads in its place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use daemonry::record::{Offset, Partition};
use integration::checker::{Coverage, Moment, Order};
use integration::patience::{unix_ms, until_true};
use integration::payload::Payload;
use integration::{Cluster, Committed, Flags, Member, Scenario, Writer};

use crate::clusters::{BROKERS, ONE};

const SOON: Duration = Duration::from_secs(60);
const PARTITION: Partition = Partition(0);
/// What both brokers have.
const KEPT: u64 = 100;
/// What the one has that is lost.
const READ: u64 = 160;
/// The last record of what both have. One reader is at it for a while.
const LAST_KEPT: u64 = KEPT - 1;
/// How long it is.
const BEHIND: Duration = Duration::from_secs(30);
/// What is written afterwards: more than was lost, so that no offset is missing in the end.
const FRESH: Range<u64> = 1_000..1_100;

/// A topic of its own, and the process that reads it.
struct Reader {
    scenario: Scenario,
    flags: Flags,
    member: Member,
    policy: &'static str,
    /// Whether it is at a record for a while that both brokers have.
    is_behind: bool,
}

fn records(ids: Range<u64>) -> impl Iterator<Item = Payload> {
    ids.map(|id| Payload::obeyed(id, &format!("key-{}", id % 5), ""))
}

/// A topic whose log may be cut.
fn open(cluster: &Cluster, name: &str, order: Order) -> Result<Scenario> {
    let mut scenario = Scenario::open(&cluster.bootstrap(), name, order)?;
    let settings = [("unclean.leader.election.enable", "true"), ("min.insync.replicas", "1")];
    scenario.topics().set(scenario.topic(), &settings)?;
    cluster.place(scenario.topic(), &[1, 2])?;
    scenario.expect_broken_connections();
    Ok(scenario)
}

/// Waits until the log is cut.
fn until_cut(scenario: &Scenario, cluster: &Cluster) -> Result<()> {
    let topic = scenario.topic();
    until_true(SOON, &format!("another leader of {topic}"), || {
        Ok(cluster.leaders(topic)?.values().all(|leader| *leader == 2))
    })?;
    // That it leads it learns a moment later.
    let end = Offset(KEPT.cast_signed());
    until_true(SOON, &format!("{topic} to end at {end}"), || {
        Ok(scenario.topics().ends(topic).is_ok_and(|ends| ends[&PARTITION] == end))
    })
}

fn until_seen(scenario: &mut Scenario, ids: Range<u64>) -> Result<()> {
    let wanted: Vec<String> = ids.map(|id| id.to_string()).collect();
    scenario.until_ledger(SOON, "the records that were written last", |entries| {
        wanted.iter().all(|id| entries.iter().any(|entry| entry.id == *id))
    })
}

/// Waits until it is committed that this is finished, above what is not.
fn until_remembered(scenario: &Scenario, end: u64) -> Result<()> {
    until_true(SOON, "a commit of what is finished above the record that isn't", || {
        let group = scenario.topics().group(scenario.topic())?;
        let committed = group.committed(scenario.topic(), &[PARTITION])?;
        let Some(Committed { next, metadata }) = committed.get(&PARTITION) else { return Ok(false) };
        Ok(next.offset() == Offset(LAST_KEPT.cast_signed())
            && Coverage::of(next.offset(), metadata).end() == end.cast_signed())
    })
}

impl Reader {
    fn start(cluster: &Cluster, policy: &'static str, protocol: &str, is_behind: bool) -> Result<Self> {
        let behind = if is_behind { ".behind" } else { "" };
        let mut scenario = open(cluster, &format!("cut.{policy}.{protocol}{behind}"), Order::Key)?;
        let flags = scenario.flags().with("group-protocol", protocol);
        // As by default, unless something else is asked for.
        let flags = if policy == "stop" { flags } else { flags.with("truncated", policy) };
        scenario.produce_to(PARTITION, records(0..LAST_KEPT))?;
        let member = scenario.start_watched(&flags)?;
        scenario.settle(SOON)?;
        Ok(Self { scenario, flags, member, policy, is_behind })
    }

    /// Writes the last record that both brokers will have.
    fn fill_up(&mut self) -> Result<()> {
        let orders = if self.is_behind { format!("\"sleep_ms\":{}", BEHIND.as_millis()) } else { String::new() };
        self.scenario.produce_to(PARTITION, [Payload::obeyed(LAST_KEPT, "key-last", &orders)])
    }

    /// Writes what one broker alone will have, and waits until it is done; committed it is, if nothing below holds it up.
    fn read_on(&mut self) -> Result<()> {
        self.scenario.produce_to(PARTITION, records(KEPT..READ))?;
        if self.is_behind {
            return self.until_seen(KEPT..READ);
        }
        self.scenario.settle(SOON)?;
        self.scenario.until_committed_to_the_end(SOON)
    }

    /// Writes to the log as it is now. What is cut off is judged by itself.
    fn write_anew(&mut self, whole_ms: u64) -> Result<()> {
        let (from, end) = (Offset(KEPT.cast_signed()), Offset(READ.cast_signed()));
        self.scenario.note_cut(PARTITION, from, end, whole_ms)?;
        self.scenario.expect_error("the log was cut below what was read of it");
        match self.policy {
            "stop" => self.scenario.expect_error("was cut off below what was read of it"),
            "earliest" => self.scenario.note_resumption("the log was cut", SOON),
            _ => {}
        }
        if self.is_behind {
            // Its handler outlasts the time that it has for it.
            self.scenario.note_gone(self.member.pid(), whole_ms, BEHIND);
        }
        self.scenario.produce_to(PARTITION, records(FRESH))
    }

    fn until_seen(&mut self, ids: Range<u64>) -> Result<()> {
        until_seen(&mut self.scenario, ids)
    }

    /// It stopped, and says why and what to do; starting it again changes nothing.
    fn ensure_stopped(&mut self) -> Result<()> {
        for again in [true, false] {
            let code = self.member.wait(SOON)?;
            if again {
                self.scenario.unwatch(&self.member)?;
            }
            let log = self.member.log()?;
            ensure!(code == 4, "it ended with code {code}: {log}");
            let said = log.lines().find(|line| line.contains("was cut off below what was read of it"));
            let said = said.with_context(|| format!("it doesn't say why: {log}"))?;
            let facts = ["read up to 160", "left up to 100", "`truncated`", "reset the group's offset"];
            ensure!(facts.iter().all(|fact| said.contains(fact)), "it doesn't say what to do: {said}");
            if again {
                self.member = self.scenario.start(&self.flags)?;
            }
        }
        let entries = self.scenario.entries()?;
        ensure!(entries.len() == usize::try_from(READ)?, "something ran of a log that was cut");
        Ok(())
    }

    /// How many offsets it counts as gone.
    fn missed(&mut self) -> Result<f64> {
        self.member.metric("daemon_missed_offsets_total", "cause=\"truncated\"")
    }

    /// It goes on at the end: by its own account so many were passed over.
    fn note_passed_over(&mut self, since: Moment) -> Result<()> {
        self.member.until_log("going on elsewhere", SOON)?;
        let mut passed_over = 0.0;
        until_true(SOON, "what is gone among the metrics", || {
            passed_over = self.missed()? - (READ - KEPT) as f64;
            Ok(passed_over >= 0.0)
        })?;
        let place = Offset(KEPT.cast_signed() + passed_over as i64);
        self.scenario.note_passed_over(PARTITION, place, since);
        self.scenario.note_resumption("the log was cut and passed over", SOON);
        Ok(())
    }

    /// It went on, has counted what is gone, and nothing ran twice.
    fn ensure_goes_on(&mut self) -> Result<()> {
        let counted = (self.member.metric("daemon_resets_total", "cause=\"truncated\"")?, self.missed()?);
        let gone = if self.policy == "latest" { 60.0..=160.0 } else { 60.0..=60.0 };
        ensure!(counted.0 == 1.0 && gone.contains(&counted.1), "it counts {counted:?}");
        self.scenario.until_committed_to_the_end(SOON)?;
        let mut runs: BTreeMap<&str, u32> = BTreeMap::new();
        for entry in self.scenario.entries()? {
            *runs.entry(&entry.id).or_default() += 1;
        }
        // Neither finished nor committed when the log was cut, and still there: it is read again.
        let may_repeat = |id: &str| self.is_behind && id == LAST_KEPT.to_string();
        ensure!(runs.iter().all(|(id, runs)| *runs == 1 || may_repeat(id)), "some ran twice: {runs:?}");
        ensure!((0..READ).all(|id| runs.contains_key(id.to_string().as_str())), "some never ran: {runs:?}");
        ensure!(
            FRESH.clone().all(|id| self.policy == "latest" || runs.contains_key(id.to_string().as_str())),
            "{runs:?}"
        );
        Ok(())
    }
}

#[test]
#[ignore = "of `make faults`: it takes long"]
fn log_cut_below_what_was_read() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut cluster = Cluster::start(BROKERS)?;
    let mut readers = Vec::new();
    for (policy, protocol, is_behind) in [
        ("stop", "classic", false),
        ("stop", "consumer", false),
        ("earliest", "classic", true),
        ("earliest", "eager", false),
        ("earliest", "consumer", false),
        ("latest", "classic", false),
    ] {
        readers.push(Reader::start(&cluster, policy, protocol, is_behind)?);
    }
    readers.iter_mut().try_for_each(Reader::fill_up)?;
    cluster.broker(2).stop()?;
    readers.iter_mut().try_for_each(Reader::read_on)?;
    let whole_ms = unix_ms();
    let since: Vec<Moment> = readers.iter().map(|reader| reader.scenario.moment()).collect();
    // Nobody is left who has it all. The third broker has none of it, and is there for the controllers' majority.
    cluster.broker(1).kill()?;
    cluster.broker(2).restart()?;
    readers.iter().try_for_each(|reader| until_cut(&reader.scenario, &cluster))?;
    readers.iter_mut().try_for_each(|reader| reader.write_anew(whole_ms))?;

    for (reader, since) in readers.iter_mut().zip(since) {
        match reader.policy {
            "stop" => {
                reader.ensure_stopped()?;
                let flags = reader.flags.clone().with("truncated", "earliest");
                reader.member = reader.scenario.start_watched(&flags)?;
                reader.until_seen(FRESH)?;
            }
            "earliest" => reader.until_seen(FRESH)?,
            _ => {
                reader.note_passed_over(since)?;
                reader.scenario.produce_to(PARTITION, records(2_000..2_010))?;
                reader.until_seen(2_000..2_010)?;
            }
        }
        reader.ensure_goes_on()?;
    }
    // What comes back is cut like the others.
    cluster.restart_stopped()?;
    for Reader { scenario, member, is_behind, policy, .. } in readers {
        let verdict = scenario.pass(vec![member], SOON)?;
        assert_eq!(verdict.duplicates, usize::from(is_behind), "{policy}: {verdict}");
    }
    Ok(())
}

/// The same where nobody runs meanwhile. What is cut off was finished above a record that was not, and was committed so; by the time that somebody reads
/// on, its offsets are other records'.
#[test]
#[ignore = "of `make faults`: it takes long"]
fn log_cut_below_what_is_finished_while_nobody_runs() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut cluster = Cluster::start(BROKERS)?;
    let mut reader = Reader::start(&cluster, "stop", "classic", true)?;
    reader.fill_up()?;
    cluster.broker(2).stop()?;
    reader.read_on()?;
    until_remembered(&reader.scenario, READ)?;
    let Reader { mut scenario, flags, member, .. } = reader;
    scenario.unwatch(&member)?;
    scenario.kill(member)?;
    let whole_ms = unix_ms();
    cluster.broker(1).kill()?;
    cluster.broker(2).restart()?;
    until_cut(&scenario, &cluster)?;
    scenario.note_cut(PARTITION, Offset(KEPT.cast_signed()), Offset(READ.cast_signed()), whole_ms)?;
    scenario.produce_to(PARTITION, records(FRESH))?;

    scenario.expect_error("the log was cut below what is finished");
    let mut member = scenario.start_watched(&flags)?;
    until_seen(&mut scenario, FRESH)?;
    member.until_log("the log was cut below what is finished", SOON)?;
    scenario.until_committed_to_the_end(SOON)?;
    cluster.restart_stopped()?;
    let verdict = scenario.pass(vec![member], SOON)?;
    assert_eq!(verdict.duplicates, 0, "{verdict}");
    Ok(())
}

/// The same where nothing was ever committed, as all wait for the first record. What is left of them is read again.
#[test]
#[ignore = "of `make faults`: it takes long"]
fn log_cut_before_anything_is_committed() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut cluster = Cluster::start(BROKERS)?;
    let mut scenario = open(&cluster, "cut.uncommitted", Order::Partition)?;
    let head = Payload::obeyed(0, "head", &format!("\"sleep_ms\":{}", BEHIND.as_millis()));
    scenario.produce_to(PARTITION, [head].into_iter().chain(records(1..KEPT)))?;
    // Nobody commits before it is at an end.
    let flags = scenario
        .flags()
        .with("truncated", "earliest")
        .with("queue", 1_000)
        .with("crash-limit", 0)
        .with("commit-interval-ms", 600_000);
    let mut member = scenario.start_watched(&flags)?;
    let mut until_read = |read: u64| {
        let what = format!("{read} records in the lanes");
        until_true(SOON, &what, || Ok(member.metric("daemon_queue_depth", "")? == read as f64))
    };
    until_read(KEPT)?;
    cluster.broker(2).stop()?;
    // They are gone before anybody has done them, so that nobody asks for them.
    let lost = records(KEPT..READ).map(|payload| payload.message).collect::<Vec<_>>();
    Writer::connect(&cluster.bootstrap())?.write(scenario.topic(), Some(PARTITION), &lost)?;
    until_read(READ)?;
    ensure!(scenario.entries()?.is_empty(), "something is finished");
    let group = scenario.topics().group(scenario.topic())?;
    let committed = group.committed(scenario.topic(), &[PARTITION])?;
    ensure!(committed.is_empty(), "something is committed: {committed:?}");

    let whole_ms = unix_ms();
    cluster.broker(1).kill()?;
    cluster.broker(2).restart()?;
    until_cut(&scenario, &cluster)?;
    scenario.expect_error("the log was cut below what was read of it");
    // Its handler outlasts the time that it has for it.
    scenario.note_gone(member.pid(), whole_ms, BEHIND);
    scenario.note_resumption("the log was cut", 2 * SOON);
    scenario.produce_to(PARTITION, records(FRESH))?;
    until_seen(&mut scenario, 0..KEPT)?;
    until_seen(&mut scenario, FRESH)?;
    let gone = member.metric("daemon_missed_offsets_total", "cause=\"truncated\"")?;
    ensure!(gone == (READ - KEPT) as f64, "it counts {gone}");
    cluster.restart_stopped()?;
    scenario.pass(vec![member], SOON).map(drop)
}
