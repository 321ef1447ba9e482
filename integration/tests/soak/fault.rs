//! What may happen to a group.
//!
//! Left to scenarios of their own are: what loses records by its nature (logs that are cut or passed over, topics made anew); what ends all
//! processes of a group, or its commits, for good (records that kill each process, handlers that never end, an instance id that is taken, commits of
//! another generation, that expire or are reset); what holds from the start on (disks that are full, file systems that are read-only); and what needs
//! a broker's files or namespaces of the machine (batches that are broken, links that are down).

use std::fs;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use daemonry::record::{NextOffset, Offset, Partition};
use fastrand::Rng;
use integration::abuse::{self, Abuse};
use integration::patience::unix_ms;
use integration::payload::Payload;
use integration::scenario::PARTITIONS;
use integration::{Commits, Committed, Link};
use rustix::process::Signal;

use crate::BOUND;
use crate::ground::{BROKERS, Ground};
use crate::group::{Group, STOP};

/// What a process that wakes up may take until it has heard what it has lost, and what it was at has ended; in a network that is slow, too.
const WAKES: Duration = Duration::from_secs(10);
/// What a producer may take until it misses an answer, which is ten seconds, and has another connection.
const LETTERS: Duration = Duration::from_secs(15);
const FAST: Link = Link::Open(Duration::ZERO);
/// What a process may take to begin.
const STARTS: Duration = Duration::from_secs(10);
/// How many partitions a topic gets at most.
const MOST: u16 = PARTITIONS + 4;
/// Removed records are so far behind what is committed that no commit that comes late is before them.
const FAR: i64 = 1_000;
/// Kafka's codes for commits that may pass the next time, or not before somebody has done something.
const REFUSALS: [i16; 6] = [14, 27, 7, 3, 30, 12];

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill,
    Stop,
    StopTwice,
    StopAtStart,
    Freeze,
    Join,
    Leave,
    DescriptorsExhausted,
    ClockJumps,
    BrokerKilled,
    BrokerStopped,
    BrokerFrozen,
    CoordinatorGone,
    AllBrokersGone,
    LeadersMove,
    NetworkCut,
    NetworkSlow,
    NetworkSilent,
    ConnectionsHalfOpen,
    CommitsRefused,
    CommitsDenied,
    CommitsAnsweredLate,
    Outage,
    SlowHandlers,
    BlockingHandlers,
    HotKey,
    LargeRecords,
    LettersGone,
    LettersTooLarge,
    PartitionAdded,
    RecordsRemoved,
    ResetRefused,
    Paused,
    ApiAbused,
}

impl Fault {
    /// Those that are over in a moment.
    pub(crate) const QUICK: [Self; 8] = [
        Self::Kill,
        Self::Stop,
        Self::Join,
        Self::Leave,
        Self::BrokerKilled,
        Self::LeadersMove,
        Self::NetworkSlow,
        Self::Outage,
    ];

    pub(crate) const ALL: [Self; 34] = [
        Self::Kill,
        Self::Stop,
        Self::StopTwice,
        Self::StopAtStart,
        Self::Freeze,
        Self::Join,
        Self::Leave,
        Self::DescriptorsExhausted,
        Self::ClockJumps,
        Self::BrokerKilled,
        Self::BrokerStopped,
        Self::BrokerFrozen,
        Self::CoordinatorGone,
        Self::AllBrokersGone,
        Self::LeadersMove,
        Self::NetworkCut,
        Self::NetworkSlow,
        Self::NetworkSilent,
        Self::ConnectionsHalfOpen,
        Self::CommitsRefused,
        Self::CommitsDenied,
        Self::CommitsAnsweredLate,
        Self::Outage,
        Self::SlowHandlers,
        Self::BlockingHandlers,
        Self::HotKey,
        Self::LargeRecords,
        Self::LettersGone,
        Self::LettersTooLarge,
        Self::PartitionAdded,
        Self::RecordsRemoved,
        Self::ResetRefused,
        Self::Paused,
        Self::ApiAbused,
    ];

    /// What progress of each partition may take once it is over: those of a process that went without a word are its own until its session ends.
    pub(crate) fn bound(self, session: Duration) -> Duration {
        match self {
            Self::Kill | Self::StopTwice => session + BOUND,
            // What reads hears nothing for half a minute; then there are letters, for a connection that nobody has used since.
            Self::ConnectionsHalfOpen => BOUND + LETTERS,
            _ => BOUND,
        }
    }

    /// Has it happen to one of the groups, or to what all stand on, and be over.
    pub(crate) fn happen(self, ground: &mut Ground, groups: &mut [Group], of: usize, random: &mut Rng) -> Result<()> {
        if self == Self::AllBrokersGone {
            return all_brokers_gone(ground, groups, random);
        }
        let group = &mut groups[of];
        match self {
            Self::Kill | Self::Stop | Self::StopTwice | Self::StopAtStart | Self::Freeze | Self::Join | Self::Leave => {
                self.of_a_process(ground, group, random)
            }
            Self::SlowHandlers | Self::BlockingHandlers | Self::HotKey | Self::LargeRecords => {
                self.of_records(group, random)
            }
            Self::LettersGone
            | Self::LettersTooLarge
            | Self::PartitionAdded
            | Self::RecordsRemoved
            | Self::ResetRefused
            | Self::Paused
            | Self::ApiAbused
            | Self::Outage => self.of_what_is_around(ground, group, random),
            _ => self.of_the_ground(ground, group, random),
        }
    }

    fn of_a_process(self, ground: &Ground, group: &mut Group, random: &mut Rng) -> Result<()> {
        match self {
            Self::Kill => {
                let victim = group.any(random);
                group.scenario.kill(victim)?;
                group.join()?;
            }
            Self::Stop => {
                let leaver = group.any(random);
                group.stop(leaver)?;
                group.join()?;
            }
            Self::StopTwice => {
                let mut leaver = group.any(random);
                leaver.signal(Signal::TERM)?;
                leaver.until_log("signal received", STARTS)?;
                let gone = unix_ms();
                // It may have ended of the first one.
                drop(leaver.signal(Signal::TERM));
                let code = leaver.wait(STOP)?;
                ensure!(code == 0 || code == 143, "it ended with {code}, log {}", leaver.log_path().display());
                if code != 0 {
                    group.scenario.note_gone(leaver.pid(), gone, Duration::ZERO);
                }
                group.join()?;
            }
            Self::StopAtStart => {
                let mut next = group.scenario.start(&group.flags)?;
                next.until_log("daemon starts", STARTS)?;
                thread::sleep(between(random, 0..2_000));
                group.stop(next)?;
            }
            Self::Freeze => {
                let time = ground.session + between(random, 1_000..4_000);
                let mut zombie = group.any(random);
                let stopped = unix_ms();
                zombie.signal(Signal::STOP)?;
                thread::sleep(time);
                zombie.signal(Signal::CONT)?;
                group.scenario.note_gone(zombie.pid(), stopped, WAKES);
                group.others.push(zombie);
            }
            Self::Join if group.others.len() < 4 => group.join()?,
            _ => {
                if group.others.len() > 1 {
                    let leaver = group.any(random);
                    group.stop(leaver)?;
                }
            }
        }
        Ok(())
    }

    fn of_the_ground(self, ground: &mut Ground, group: &mut Group, random: &mut Rng) -> Result<()> {
        match self {
            Self::BrokerKilled | Self::BrokerStopped => {
                let broker = random.i32(1..=3);
                broker_gone(ground, broker, self == Self::BrokerKilled, between(random, 0..8_000))?;
            }
            Self::CoordinatorGone => {
                let broker = ground.cluster.coordinator(group.scenario.topic())?;
                broker_gone(ground, broker, random.bool(), between(random, 0..4_000))?;
            }
            Self::BrokerFrozen => {
                let broker = random.i32(1..=3);
                ground.cluster.broker(broker).freeze()?;
                thread::sleep(between(random, 1_000..6_000));
                ground.cluster.broker(broker).thaw()?;
            }
            Self::LeadersMove => ground.cluster.move_leaders(group.scenario.topic())?,
            Self::NetworkCut => on(ground, Link::Cut, between(random, 200..3_500)),
            Self::NetworkSlow => {
                let link = Link::Open(between(random, 20..200));
                on(ground, link, between(random, 1_000..5_000));
            }
            Self::NetworkSilent => on(ground, Link::Silent, between(random, 1_000..4_000)),
            Self::ConnectionsHalfOpen => ground.proxies[random.usize(0..BROKERS)].half_open(),
            Self::CommitsRefused | Self::CommitsDenied | Self::CommitsAnsweredLate => {
                let code = REFUSALS[random.usize(0..REFUSALS.len())];
                ground.commits(match self {
                    Self::CommitsRefused => Commits::Refuse(code),
                    Self::CommitsDenied => Commits::Deny(code),
                    _ => Commits::Delay(between(random, 500..3_000)),
                });
                thread::sleep(between(random, 1_000..4_000));
                ground.commits(Commits::Pass);
            }
            Self::DescriptorsExhausted => {
                let victim = group.any(random);
                victim.limit_descriptors(Some(3))?;
                ground.proxies[random.usize(0..BROKERS)].hang_up();
                thread::sleep(between(random, 1_000..5_000));
                victim.limit_descriptors(None)?;
                group.others.push(victim);
            }
            _ => {
                ground.clock.set(random.i64(-86_400..86_400))?;
                thread::sleep(between(random, 1_000..4_000));
                ground.clock.set(0)?;
            }
        }
        Ok(())
    }

    fn of_records(self, group: &mut Group, random: &mut Rng) -> Result<()> {
        let mut ids = random.u64(1 << 40..1 << 50)..;
        let mut some = |count: usize, key: &str, orders: &str| -> Vec<Payload> {
            ids.by_ref().take(count).map(|id| Payload::obeyed(id, key, orders)).collect()
        };
        let payloads = match self {
            Self::SlowHandlers | Self::BlockingHandlers => {
                let what = if self == Self::BlockingHandlers { "block_ms" } else { "sleep_ms" };
                let orders = format!("\"{what}\":{}", random.u32(2_000..8_000));
                (0..3).flat_map(|key| some(1, &format!("slow-{key}"), &orders)).collect()
            }
            Self::HotKey => some(300, "hot", "\"sleep_ms\":10"),
            _ => some(6, "large", &format!("\"filler\":\"{}\"", "x".repeat(300 << 10))),
        };
        group.scenario.produce(payloads)
    }

    fn of_what_is_around(self, ground: &Ground, group: &mut Group, random: &mut Rng) -> Result<()> {
        match self {
            Self::Outage => {
                let file = group.scenario.directory().join("outage");
                fs::write(&file, "")?;
                thread::sleep(between(random, 1_000..6_000));
                fs::remove_file(&file)?;
            }
            Self::LettersGone => {
                // A letter that is written while they are read, and deleted then, would be missing in the end.
                group.pause()?;
                // What a member had that was killed before goes on once its session is over.
                group.scenario.settle(ground.session + BOUND)?;
                group.scenario.delete_letters()?;
                group.resume();
                thread::sleep(between(random, 500..4_000));
                group.scenario.create_letters()?;
            }
            Self::LettersTooLarge => {
                group.scenario.bound_letters(100)?;
                thread::sleep(between(random, 1_000..4_000));
                group.scenario.bound_letters(1 << 20)?;
            }
            Self::PartitionAdded => {
                let new = u16::try_from(group.scenario.topics().partitions(group.scenario.topic())?.len())?;
                if new < MOST {
                    // Who writes hears of it when it begins.
                    group.pause()?;
                    group.scenario.topics().grow(group.scenario.topic(), new + 1)?;
                    let (id, partition) = (random.u64(1 << 40..1 << 50), Partition(new.into()));
                    group.scenario.produce_to(partition, [Payload::obeyed(id, "new", "")])?;
                    let is_new = |partition: Partition| partition.0 == i32::from(new);
                    let within = ground.session + BOUND;
                    group.scenario.settle_where(within, |produced| is_new(produced.stored.partition))?;
                    group.resume();
                }
            }
            Self::RecordsRemoved => {
                let (topics, topic) = (group.scenario.topics(), group.scenario.topic());
                let committed = topics.group(topic)?.committed(topic, &topics.partitions(topic)?)?;
                let far = |(partition, committed): (Partition, Committed)| {
                    let below = Offset(committed.next.offset().0 - FAR);
                    (below > Offset(0)).then_some((partition, below))
                };
                let below: Vec<_> = committed.into_iter().filter_map(far).collect();
                if !below.is_empty() {
                    topics.remove_records(topic, &below)?;
                }
            }
            Self::ResetRefused => {
                let beginning = Committed { next: NextOffset::at(0), metadata: String::new() };
                let topic = group.scenario.topic();
                let partition = Partition(random.i32(0..PARTITIONS.into()));
                let reset = group.scenario.topics().group(topic)?.commit(topic, partition, &beginning);
                ensure!(reset.is_err(), "a group with members was reset");
            }
            Self::Paused => {
                let partition = random.u16(0..PARTITIONS);
                let mut order = |command: String| {
                    let mut all = group.others.iter_mut().chain([&mut group.stays]);
                    all.try_for_each(|member| member.order(&command))
                };
                order(format!("pause {partition}"))?;
                thread::sleep(between(random, 1_000..4_000));
                order(format!("resume {partition}"))?;
            }
            _ => {
                let api = abuse::listens(&group.stays.log()?).context("no API")?;
                let abuse = Abuse::start(api)?;
                thread::sleep(between(random, 1_000..6_000));
                let answers = abuse.stop()?;
                ensure!(answers.contains_key(&("traversal", 404)), "nothing was refused: {answers:?}");
            }
        }
        Ok(())
    }
}

fn between(random: &mut Rng, millis: Range<u64>) -> Duration {
    Duration::from_millis(random.u64(millis))
}

fn on(ground: &Ground, link: Link, time: Duration) {
    ground.link(link);
    thread::sleep(time);
    ground.link(FAST);
}

fn broker_gone(ground: &mut Ground, id: i32, is_killed: bool, time: Duration) -> Result<()> {
    let broker = ground.cluster.broker(id);
    if is_killed {
        broker.kill()?
    } else {
        broker.stop()?
    }
    thread::sleep(time);
    ground.cluster.restart_stopped()
}

/// A producer gives up earlier than a daemon.
fn all_brokers_gone(ground: &mut Ground, groups: &mut [Group], random: &mut Rng) -> Result<()> {
    groups.iter_mut().try_for_each(Group::pause)?;
    ground.cluster.kill_all()?;
    thread::sleep(between(random, 500..4_000));
    ground.cluster.restart_stopped()?;
    groups.iter_mut().for_each(Group::resume);
    Ok(())
}
