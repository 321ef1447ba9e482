//! A topic that is deleted and made anew while it is read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use daemonry::record::{Offset, Partition};
use integration::checker::{Moment, Order};
use integration::patience::until_true;
use integration::payload::Payload;
use integration::scenario::{PARTITIONS, STOP};
use integration::{Flags, Member, Scenario, brokers};
use rustix::process::Signal;

use crate::side_by_side::{each, side_by_side};

const FIRST: Partition = Partition(0);
const SOON: Duration = Duration::from_secs(60);
/// What it says where it goes on.
const TOLD: &str = "the topic was deleted and made anew, what was unread of the former one is lost";
const FORMER: Range<u64> = 0..400;
const FRESH: Range<u64> = 1_000..1_400;

fn records(ids: Range<u64>) -> impl Iterator<Item = Payload> {
    ids.map(|id| Payload::obeyed(id, &format!("key-{}", id % 50), ""))
}

struct Reader {
    scenario: Scenario,
    flags: Flags,
    member: Member,
}

impl Reader {
    fn start(policy: &str) -> Result<Self> {
        let mut scenario = Scenario::open(&brokers()?, &format!("anew.{policy}"), Order::Key)?;
        scenario.produce(records(FORMER))?;
        // As by default, unless something else is asked for.
        let flags = if policy == "stop" { scenario.flags() } else { scenario.flags().with("recreated", policy) };
        let member = scenario.start_watched(&flags)?;
        scenario.settle(SOON)?;
        scenario.until_committed_to_the_end(SOON)?;
        Ok(Self { scenario, flags, member })
    }

    fn make_topic_anew(&mut self) -> Result<()> {
        self.scenario.expect_error(TOLD);
        self.scenario.make_anew(SOON)?;
        self.scenario.produce(records(FRESH))
    }

    /// What is in the topic was passed over since then; what comes from now on is not.
    fn note_passed_over(&mut self, since: Moment) -> Result<()> {
        for (partition, end) in self.scenario.topics().ends(self.scenario.topic())? {
            self.scenario.note_passed_over(partition, end, since);
        }
        self.scenario.note_resumption("all was passed over", SOON);
        Ok(())
    }

    /// It ends by itself, as nobody has decided what to do.
    fn ends(&mut self) -> Result<String> {
        let code = self.member.wait(SOON)?;
        self.scenario.unwatch(&self.member)?;
        let log = self.member.log()?;
        ensure!(code == 4, "it ended with code {code}: {log}");
        Ok(log)
    }

    fn committed(&self) -> Result<BTreeMap<i32, Offset>> {
        let (topics, topic) = (self.scenario.topics(), self.scenario.topic());
        let committed = topics.group(topic)?.committed(topic, &topics.partitions(topic)?)?;
        Ok(committed.into_iter().map(|(partition, committed)| (partition.0, committed.next.offset())).collect())
    }

    fn until_done(&mut self, ids: Range<u64>) -> Result<()> {
        let wanted: Vec<String> = ids.map(|id| id.to_string()).collect();
        self.scenario.until_ledger(SOON, "the records that were written last", |entries| {
            wanted.iter().all(|id| entries.iter().any(|entry| entry.id == *id))
        })?;
        self.scenario.until_committed_to_the_end(SOON)
    }

    fn ensure_counted(&mut self) -> Result<()> {
        let counted = self.member.metric("daemon_resets_total", "cause=\"recreated\"")?;
        ensure!(counted == f64::from(PARTITIONS), "{counted} partitions are counted");
        let log = self.member.log()?;
        ensure!(log.contains(TOLD), "{log}");
        Ok(())
    }

    /// What was and what followed are judged, each by itself.
    fn pass(self) -> Result<()> {
        let verdict = self.scenario.pass(vec![self.member], SOON)?;
        assert_eq!(verdict.duplicates, 0, "{verdict}");
        Ok(())
    }
}

#[test]
fn topic_made_anew_stops_or_goes_on_as_the_policy_says() -> Result<()> {
    let (mut stops, mut earliest, mut latest) =
        (Reader::start("stop")?, Reader::start("earliest")?, Reader::start("latest")?);
    let since = latest.scenario.moment();
    stops.scenario.expect_error("was deleted and made anew while it was read");
    for reader in [&mut stops, &mut earliest, &mut latest] {
        reader.make_topic_anew()?;
    }
    earliest.scenario.note_resumption("its topic was made anew", SOON);

    // Nothing of the new topic is done, or committed, before somebody has decided.
    let log = stops.ends()?;
    let said = log.lines().find(|line| line.contains("was deleted and made anew while it was read"));
    let said = said.with_context(|| format!("it doesn't say why: {log}"))?;
    ensure!(said.contains("where `start` says") && said.contains("set `recreated`"), "nor what to do: {said}");
    ensure!(stops.committed()?.is_empty(), "it was committed of another topic: {:?}", stops.committed()?);
    // Whoever starts it again has decided.
    stops.member = stops.scenario.start_watched(&stops.flags)?;
    stops.until_done(FRESH)?;

    earliest.until_done(FRESH)?;
    earliest.ensure_counted()?;
    // Before it knew, it would have read these where it stood in the former one.
    earliest.scenario.produce(records(2_000..2_050))?;
    earliest.until_done(2_000..2_050)?;

    until_true(SOON, "a place in each partition", || Ok(latest.committed()?.len() == usize::from(PARTITIONS)))?;
    latest.note_passed_over(since)?;
    latest.scenario.produce(records(2_000..2_050))?;
    latest.until_done(2_000..2_050)?;
    latest.ensure_counted()?;
    let passed_over = |id: &str| id.parse::<u64>().is_ok_and(|id| FRESH.contains(&id));
    let done = latest.scenario.entries()?.iter().filter(|entry| passed_over(&entry.id)).count();
    ensure!(done == 0, "{done} were done of what was there before");

    each(vec![stops, earliest, latest], Reader::pass).map(drop)
}

/// The first partition of a topic whose last record is in its handler while the topic is made anew, with more records than there were. What is
/// committed of the former one then lands on the new one.
fn made_anew_under_a_commit(policy: &'static str) -> Result<(Reader, Moment)> {
    let mut scenario = Scenario::open(&brokers()?, &format!("under.{policy}"), Order::Key)?;
    scenario.produce_to(FIRST, records(0..399))?;
    let flags = if policy == "stop" { scenario.flags() } else { scenario.flags().with("recreated", policy) };
    let mut member = scenario.start_watched(&flags)?;
    scenario.until_ledger(SOON, "the records before the last", |entries| entries.len() == 399)?;
    // What its topic is, it asks a second after it was assigned, and then every half minute.
    let assigned = Instant::now();
    until_true(SOON, "the time of that question to be over", || Ok(assigned.elapsed() > Duration::from_secs(3)))?;
    scenario.produce_to(FIRST, [Payload::obeyed(399, "slow", "\"sleep_ms\":3000")])?;
    until_true(SOON, "the last one in its handler", || Ok(member.metric("daemon_workers_busy", "")? == 1.0))?;

    let begun = Instant::now();
    scenario.unwatch(&member)?;
    // It learns of nothing meanwhile, and then the record's end comes first.
    member.signal(Signal::STOP)?;
    let since = scenario.moment();
    scenario.expect_error(TOLD);
    scenario.make_anew(SOON)?;
    scenario.produce_to(FIRST, records(FRESH.start..FRESH.start + 600))?;
    let mut reader = Reader { scenario, flags, member };
    until_true(SOON, "the time of the last one to be over", || Ok(begun.elapsed() > Duration::from_secs(4)))?;
    reader.member.signal(Signal::TERM)?;
    reader.member.signal(Signal::CONT)?;
    let code = reader.member.wait(STOP)?;
    ensure!(code == 0, "it ended with code {code}: {}", reader.member.log()?);
    let committed = reader.committed()?;
    ensure!(committed.get(&0) == Some(&Offset(400)), "nothing of the former topic is committed: {committed:?}");
    reader.member = reader.scenario.start_watched(&reader.flags)?;
    Ok((reader, since))
}

#[test]
fn topic_deleted_and_recreated_under_a_commit() -> Result<()> {
    let fresh = FRESH.start..FRESH.start + 600;
    let made = side_by_side(&["stop", "earliest", "latest"], made_anew_under_a_commit)?;
    let [(mut stops, _), (mut earliest, _), (mut latest, since)] =
        made.try_into().map_err(|_| anyhow::anyhow!("there are three"))?;

    stops.scenario.expect_error("was deleted and made anew while it was read");
    let log = stops.ends()?;
    ensure!(log.contains("is of the former one: reset the group's offsets"), "{log}");
    stops.flags = stops.flags.clone().with("recreated", "earliest");
    stops.member = stops.scenario.start_watched(&stops.flags)?;
    stops.until_done(fresh.clone())?;

    earliest.until_done(fresh.clone())?;
    let counted = earliest.member.metric("daemon_resets_total", "cause=\"recreated\"")?;
    ensure!(counted == 1.0, "{counted} partitions are counted");

    until_true(SOON, "the end of the first partition", || Ok(latest.committed()?.get(&0) == Some(&Offset(600))))?;
    latest.note_passed_over(since)?;
    latest.scenario.produce(records(2_000..2_050))?;
    latest.until_done(2_000..2_050)?;
    let passed_over = |id: &str| id.parse::<u64>().is_ok_and(|id| fresh.contains(&id));
    let done = latest.scenario.entries()?.iter().filter(|entry| passed_over(&entry.id)).count();
    ensure!(done == 0, "{done} were done of what was there before");
    let counted = latest.member.metric("daemon_resets_total", "cause=\"recreated\"")?;
    ensure!(counted == 1.0, "{counted} partitions are counted");

    each(vec![stops, earliest, latest], Reader::pass).map(drop)
}
